"""The variables of a shell script, as far as its text and the container's environment settle them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from servelint.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from servelint.engines.command import Word
    from servelint.engines.mapped_text import Piece
    from servelint.facts import Fact


class RawWord(NamedTuple):
    """A word of a script: its text after expansion, and its stretch of the script, quotes included.

    ``variable``: an unresolved variable (or substitution, as written) in it. ``expanded``: a variable's value is part of it.
    ``pieces``: what it was made of, in offsets of the script.
    """

    text: str
    start: int
    end: int
    pieces: tuple[Piece, ...]
    variable: str = ""
    expanded: bool = False


class Unset:
    """The state of a variable that nothing sets: neither the script nor the environment as it is written."""


UNSET = Unset()
Value = str | Unset | None
"""A variable's value; None where it is set to what cannot be told."""


class Field(NamedTuple):
    """One word that a value splits into. ``variable``: an unresolved variable in it."""

    text: str
    variable: str = ""


_BUDGET = 200_000  # characters of expanded values in one script: doubling variables must not fill the memory
_LONGEST_VALUE = 50_000
_MOST_FIELDS = 1_000
# Texts, which few scripts need and which cost start-up time to compile. A substitution is a part of one word, whatever blanks
# it holds.
_COMMANDS = r"`[^`]*`|[$<>]\((?:[^()]|\([^()]*\))*\)"
_SUBSTITUTION = rf"{_COMMANDS}|\$\{{[^{{}}]*\}}"
_WORDS = rf"(?:{_SUBSTITUTION}|[^\s`])+"
_OPEN = r"`|[$<>]\(|\$\{"
_REFERENCE = r"\$\{?(\w+|[@*#?!$-])"


class Variables:
    """Shell variables in order of execution. What a branch, a loop or a function may have set is not known afterwards."""

    __slots__ = ("_arrays", "_budget", "_environment", "_exported", "_fields", "_texts", "_values", "positional")

    def __init__(self, environment: Mapping[str, Fact[str]], positional: tuple[Word, ...] | None = None) -> None:
        self._environment = environment
        self._values: dict[str, Value] = {}
        self._arrays: dict[str, tuple[RawWord, ...] | None] = {}
        self._fields: dict[str, tuple[Field, ...]] = {}
        self._texts: dict[str, str] = {}
        self._exported: set[str] = set()
        self._budget = _BUDGET
        self.positional = positional

    def snapshot(self) -> Variables:
        """The variables as they are now, for text that the same shell evaluates."""
        copy = Variables(self._environment, self.positional)
        copy._values.update(self._values)
        copy._arrays.update(self._arrays)
        copy._fields.update(self._fields)
        copy._texts.update(self._texts)
        copy._exported |= self._exported
        copy._budget = self._budget
        return copy

    def of_child(self, positional: tuple[Word, ...]) -> Variables:
        """What a program started now inherits: the environment and what was exported."""
        child = Variables(self._environment, positional)
        for name, value in self._values.items():
            inherited = name in self._exported or self._environment.get(name) is not None
            child._values[name] = value if inherited else UNSET
        child._budget = self._budget
        return child

    def export(self, name: str) -> None:
        self._exported.add(name)

    def spend(self, characters: int) -> bool:
        """Take from the script's budget for expansion; False once it is used up."""
        self._budget -= characters + 1
        return self._budget >= 0

    def get(self, name: str) -> Value:
        if name in self._values:
            return self._values[name]
        fact = self._environment.get(name)
        if fact is None:
            return UNSET
        return fact.value if fact.is_known else None

    def fields(self, name: str) -> tuple[Field, ...]:
        """The words of a value of which not all can be told, for use without quotes; none where nothing of it is known."""
        return self._fields.get(name, ())

    def text(self, name: str) -> Field | None:
        """A value of which not all can be told, for use in quotes; None where a part of it is not even written."""
        text = self._texts.get(name)
        return Field(text, _field(text).variable or name) if text is not None else None

    def array(self, name: str) -> tuple[RawWord, ...] | None:
        """The elements of an array of the script; None where there is none or they cannot be told."""
        return self._arrays.get(name)

    def assign(self, name: str, value: Value, *, append: bool, conditional: bool, written: str = "") -> None:
        """``name=value``. ``conditional``: it may not be executed, so unless it changes nothing, the value is lost.

        ``written``: the text of a value that is not settled as a whole (``value`` is None).
        """
        old = self.get(name)
        partly = self._fields.pop(name, ())
        self._keep_text(name, value if isinstance(value, str) else written, append=append, conditional=conditional)
        settled = value
        if append:
            settled = (old if isinstance(old, str) else "") + value if isinstance(value, str) and old is not None else None
        if isinstance(settled, str) and len(settled) > _LONGEST_VALUE:
            settled = None
        self._values[name] = known = settled if not conditional or settled == old else None
        if known is not None:
            return  # as a whole, so that nobody asks for its words: splitting a long value time and again would take long
        before = _split(old) if isinstance(old, str) else partly
        fields = _split(value) if isinstance(value, str) else self._fields_of(name, before, written)
        if append:
            # Without a blank between them the last word goes on, and where no words are known, none follow known ones.
            fields = (*before, *fields) if written[:1].isspace() and before else ()
        if conditional:
            fields = _perhaps(name, before, fields)
        if fields and len(fields) <= _MOST_FIELDS:
            self._fields[name] = fields

    def _keep_text(self, name: str, written: str, *, append: bool, conditional: bool) -> None:
        old = self.get(name)
        before = (old if isinstance(old, str) else self._texts.get(name)) if append and old is not UNSET else ""
        self._texts.pop(name, None)
        if written and before is not None and not conditional and len(before) + len(written) <= _LONGEST_VALUE:
            self._texts[name] = before + written

    def _fields_of(self, name: str, before: tuple[Field, ...], written: str) -> tuple[Field, ...]:
        """The words of a text with unresolved variables in it; what ``name`` held ``before`` where it begins with that."""
        if len(written) > _LONGEST_VALUE:
            return ()
        words = re.findall(_WORDS, written)
        if any(re.search(_OPEN, re.sub(_SUBSTITUTION, "", word)) for word in words):
            return ()  # of a substitution that does not end where it seems to
        if all(re.fullmatch(_COMMANDS, word) for word in words):
            return ()  # nothing of it is known
        goes_on = bool(before) and words[:1] in ([f"${name}"], [f"${{{name}}}"])
        return (*before, *map(_field, words[1:])) if goes_on else tuple(map(_field, words))

    def assign_array(self, name: str, words: tuple[RawWord, ...], *, append: bool, conditional: bool) -> None:
        old = self._arrays.get(name, ())
        if old is None or (conditional and not append) or (append and len(old) > _MOST_FIELDS):
            self._arrays[name] = None  # not known, or so long that each addition to it would take long
        elif conditional and words:
            flags = _flags(word.text for word in old)
            marker = RawWord(f"${{{name}[@]}}", words[0].start, words[0].end, words[0].pieces, name)
            known = () if flags & _flags(word.text for word in words) else (*(w for w in old if w.variable != name), marker)
            self._arrays[name] = known or None
        else:
            self._arrays[name] = (*old, *words) if append else words

    def forget(self, name: str) -> None:
        """``name`` is set to something that the text does not say."""
        self._values[name] = None
        self._fields.pop(name, None)
        self._texts.pop(name, None)
        if name in self._arrays:
            self._arrays[name] = None

    def unset(self, name: str, *, conditional: bool) -> None:
        self._values[name] = None if conditional else UNSET
        self._fields.pop(name, None)
        self._texts.pop(name, None)


def _field(word: str) -> Field:
    found = re.search(_REFERENCE, word) or re.search(_SUBSTITUTION, word)
    return Field(word, found.group(found.lastindex or 0) if found is not None else "")


def _split(value: str) -> tuple[Field, ...]:
    return tuple(map(Field, value.split()))


def _flags(words: Iterable[str]) -> set[str]:
    return {word.partition("=")[0].replace("_", "-") for word in words if word.startswith("-")}


def _perhaps(name: str, before: tuple[Field, ...], after: tuple[Field, ...]) -> tuple[Field, ...]:
    """``before``, and behind it the words by which ``after`` may be longer; none where those may change what is before."""
    added = after[len(before) :]
    if not before or after[: len(before)] != before or _flags(f.text for f in before) & _flags(f.text for f in added):
        return ()
    return before if not added or before[-1].variable == name else (*before, Field(f"${name}", name))
