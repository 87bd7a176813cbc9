"""Takes an engine's words apart as its option parser does, given the table of its flags.

What argparse does, and vLLM's FlexibleArgumentParser (vllm/utils/argparse_utils.py, 0.9.2-0.33.0; vllm/utils.py before):

- ``--flag value`` and ``--flag=value``; ``_`` may stand for ``-``; unique prefixes; the last one given wins.
- ``--flag.key value`` sets one key of a JSON value, ``--flag.key+ value`` appends to a list; its value is the next word,
  whatever it looks like.
- ``-q8`` is ``-q 8`` for flags of one letter, ``-O3`` is ``--optimization-level 3`` (``--compilation-config.level`` before).
- A word that begins with ``-`` is an option unless it is a negative number; a switch takes no value.

Two mistakes are kept visible. A word with a flag and its value in one (:attr:`Form.JAMMED`) reaches the engine as a single
word, which it rejects; it is split here into what was meant. A value behind a switch is a positional of its own, directly
behind the switch: :func:`stray_value` finds it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from servelint.engines.command import TRUTHS, Argument, Command, Form
from servelint.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from servelint.engines.command import Word
    from servelint.engines.flag import Flag
    from servelint.engines.flags import FlagTable
    from servelint.engines.versions import Version

_JAMMED_POSITIONAL = r"\S+\s+--[A-Za-z]"
_SEVERAL = r"(?i)(^|_)(args?|arguments?|opts?|options?|flags?|extra|params?)(_|$)"
_LEVELS = frozenset("0123")
# A word of an exec list, where no shell replaces it: whoever fills the manifest in may put several words there, or none.
_FILLED_IN = r"\$\{\w+\}"
# Options that name a file with further settings, by their canonical spelling.
_FILES = frozenset(("--config", "--extra-engine-args", "--disagg-config", "--engine-config-json"))


def file_of(flag: str) -> str:
    """What :attr:`Parsed.elsewhere` says where nothing but the file that ``flag`` names may hold further arguments."""
    return f"the file of {flag}"


class Parsed(NamedTuple):
    """The arguments in order; ``elsewhere`` says where further ones may come from, "" if nowhere."""

    arguments: tuple[Argument, ...]
    elsewhere: str


def parse(words: Sequence[Word], start: int, table: FlagTable, version: Version | None) -> Parsed:
    """The arguments in ``words[start:]``, read as ``version`` does (the newest release scanned where it is unknown)."""
    parser = _Parser(words, table, version)
    parser.run(start)
    return Parsed(tuple(parser.arguments), parser.elsewhere)


def stray_value(command: Command, argument: Argument) -> Argument | None:
    """The ``true`` or ``false`` that stands behind a switch as a word of its own; None if there is none."""
    arguments = command.arguments
    position = next((i for i, other in enumerate(arguments) if other is argument), len(arguments))
    if argument.form is not Form.BARE or position + 1 >= len(arguments):
        return None
    following = arguments[position + 1]
    return following if following.form is Form.POSITIONAL and is_truth(following.value) else None


def is_truth(text: str | None) -> bool:
    return text is not None and text.strip().lower() in TRUTHS


def number(text: str, kinds: Sequence[str]) -> float | None:
    """The number that ``text`` is as one of ``kinds`` (``int``, ``size``, ``float``); None if it is none in any."""
    from servelint.engines.values import human_readable_integer, integer  # lazy: it imports the model of a deployment

    for kind in kinds:
        try:
            return float(integer(text) if kind == "int" else human_readable_integer(text) if kind == "size" else text)
        except (ValueError, OverflowError):
            continue
    return None


class _Parser:
    def __init__(self, words: Sequence[Word], table: FlagTable, version: Version | None) -> None:
        self._words = words
        self._table = table
        self._version = version
        self._position = 0
        self._positionals = 0
        self.arguments: list[Argument] = []
        self.elsewhere = ""
        self._file = ""

    def run(self, start: int) -> None:
        self._position = start
        options = True
        while self._position < len(self._words):
            word = self._words[self._position]
            self._position += 1
            if options and word.text == "--":
                options = False
            elif not options:
                self._positional(word)
            elif _is_jammed(word.text):
                self._jammed(word, word.text.split())
            elif "--" in word.text[2:] and not word.whole and self._has_options(parts := _glued(word)):
                self._jammed(word, parts)
            elif _is_option(word.text):
                self._option(word)
            else:
                self._positional(word)
        if self._file:
            self._from_elsewhere(file_of(self._file))

    def _has_options(self, parts: Sequence[str]) -> bool:
        """One of ``parts`` but the first is an option of the engine: ``a--b`` may be meant as one word."""
        return any(self._table.flag(self._table.spelled(part.partition("=")[0])) is not None for part in parts[1:])

    # -- words that are no options

    def _positional(self, word: Word) -> None:
        self.arguments.append(Argument("", "", word.text, Form.POSITIONAL, (word,)))
        behind_switch = len(self.arguments) > 1 and self.arguments[-2].form is Form.BARE and is_truth(word.text)
        if word.variable and (self._positionals or re.search(_SEVERAL, word.variable) or word.variable == "@"):
            self._from_elsewhere(f"${word.variable}" if word.variable.isidentifier() else word.text)
        elif not word.variable and re.fullmatch(_FILLED_IN, word.text):
            self._from_elsewhere(word.text)
        self._positionals += not behind_switch

    def _from_elsewhere(self, what: str) -> None:
        self.elsewhere = self.elsewhere or what

    def _jammed(self, word: Word, tokens: Sequence[str]) -> None:
        """One word that was meant as several, ``tokens``: ``--flag value``."""
        groups: list[list[str]] = []
        for token in tokens:
            if _is_option(token) or not groups:
                groups.append([token])
            else:
                groups[-1].append(token)
        for number, (head, *rest) in enumerate(groups, 1):
            if not _is_option(head):
                self.arguments.append(Argument("", "", head, Form.JAMMED, (word,)))
                self._positionals += 1
                continue
            flag, name, key, attached, abbreviated = self._resolve(head)
            # " --flag" alone (`\\ --flag 1`, where lines were folded): its value was meant to be the next word.
            taken = self._values(flag, key) if attached is None and not rest and number == len(groups) else ()
            value = " ".join([*([attached] if attached is not None else []), *rest, *(other.text for other in taken)]) or None
            if value is not None and len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
                value = value[1:-1]
            written = head.partition("=")[0]
            self.arguments.append(Argument(name, written, value, Form.JAMMED, (word, *taken), flag, key, abbreviated))

    # -- options

    def _resolve(self, text: str) -> tuple[Flag | None, str, str, str | None, bool]:
        """(flag, canonical name, key, attached value, abbreviated) of a word that begins with ``-``."""
        written, equals, attached = text.partition("=")
        value = attached if equals else None
        key = written.partition(".")[2].removesuffix("+") if self._table.parser == "flexible" else ""
        if text.startswith("-O") and self._table.parser == "flexible" and (special := self._optimization(text)) is not None:
            return special
        if text.startswith("--"):
            flag, abbreviated = self._table.resolve(written, self._version)
            return flag, flag.name if flag else self._table.spelled(written), key, value, abbreviated
        base = written.partition(".")[0] if key else written
        flag = self._table.flag(base)
        if flag is None and len(text) > 2 and (short := self._table.flag(text[:2])) is not None:
            return short, short.name, "", text[2:], False
        return flag, flag.name if flag else base, key, value, False

    def _optimization(self, text: str) -> tuple[Flag | None, str, str, str | None, bool] | None:
        """``-O3``, ``-O=3``, ``-O 3``, ``-O.key``: which flag they set changed with the releases."""
        from servelint.engines.flag import Presence

        level, config = self._table.flag("--optimization-level"), self._table.flag("--compilation-config")
        if level is None or config is None:
            return None
        modern = self._version is None or level.presence(self._version) is not Presence.ABSENT
        if text.startswith("-O."):
            key, equals, value = text[3:].partition("=")
            return config, config.name, key.removesuffix("+"), value if equals else None, False
        if text == "-O":
            following = self._words[self._position].text if self._position < len(self._words) else ""
            if following not in _LEVELS:
                return None
            value_of_level = None
        else:
            value_of_level = text[3:] if text[2] == "=" else text[2:]
        if modern:
            return level, level.name, "", value_of_level, False
        return config, config.name, "level", value_of_level, False

    def _option(self, word: Word) -> None:
        flag, name, key, attached, abbreviated = self._resolve(word.text)
        written = word.text.partition("=")[0]
        self._file = self._file or (name if name in _FILES else "")
        if word.variable and attached is None:
            self._from_elsewhere(word.text)
        taken = () if attached is not None else self._values(flag, key)
        value = attached if attached is not None else " ".join([other.text for other in taken]) if taken else None
        form = Form.JOINED if attached is not None else Form.SEPARATE if taken else Form.BARE
        self.arguments.append(Argument(name, written, value, form, (word, *taken), flag, key, abbreviated))

    def _values(self, flag: Flag | None, key: str) -> tuple[Word, ...]:
        """The words behind an option that are its values."""
        arity = "1" if key else flag.arity_at(self._version) if flag is not None else "?"
        if arity == "0":
            return ()
        taken: list[Word] = []
        while self._position < len(self._words):
            word = self._words[self._position]
            if _is_option(word.text.strip()) and not key:
                break
            taken.append(word)
            self._position += 1
            if arity != "+":
                break
        return tuple(taken)


def _glued(word: Word) -> list[str]:
    """What a word of a script was meant as that lacks a blank before a backslash at the end of its line; [] for others."""
    written = word.node.text[word.start : word.end] if word.start >= 0 else ""
    parts: list[str] = []
    text = word.text
    for option in reversed(re.findall(r"\\\r?\n(--[A-Za-z][\w-]*)", written)):
        before, found, after = text.rpartition(option)
        if not found or not before:
            return []
        parts.insert(0, option + after)
        text = before
    return [text, *parts] if parts else []


def _is_option(text: str) -> bool:
    return len(text) > 1 and text[0] == "-" and (text[1] == "-" or not _is_number(text[1:]))


def _is_number(text: str) -> bool:
    """What argparse takes for a number behind a minus sign: digits, or digits with a point before the last of them."""
    whole, point, fraction = text.partition(".")
    return (whole.isdigit() or not whole) and fraction.isdigit() if point else whole.isdigit()


def _is_jammed(text: str) -> bool:
    """A flag and more in one word: with a blank before it, in it, or (where no ``=`` follows) behind it."""
    if text.split(None, 1) == [text]:
        return False  # one word, as nearly all are
    stripped = text.strip()
    if not _is_option(stripped):
        return len(stripped.split(None, 1)) > 1 and re.match(_JAMMED_POSITIONAL, stripped) is not None
    head, equals, _ = stripped.partition("=")
    return text[0].isspace() or any(c.isspace() for c in head) or (not equals and text != stripped)
