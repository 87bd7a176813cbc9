"""Writes an engine's arguments: sets, removes and adds them in the style they are written in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.engines.command import Form
from servelint.source.nodes import MappingNode, ScalarNode, SequenceNode, walk

if TYPE_CHECKING:
    from servelint.engines.command import Argument, Command, Word
    from servelint.finding import Edit

_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-")

Edits = tuple["Edit", ...]


class ArgumentWriter:
    """Sets the value of one argument; ``None`` removes it.

    A switch that is on is removed by ``False`` (or by 1, where it stands for a degree) and left alone by what it already says.
    """

    __slots__ = ("_argument", "_command")

    def __init__(self, command: Command, argument: Argument) -> None:
        self._command = command
        self._argument = argument

    def write(self, value: object) -> Edits | None:
        if self._argument.form is Form.BARE:
            return self._write_switch(value)
        if self._argument.form is Form.ENTRY and value is not None:
            return _set_entry(self._command, self._argument, value)
        if value is None:
            return remove_argument(self._command, self._argument)
        return set_argument(self._command, self._argument, str(value))

    def _write_switch(self, value: object) -> Edits | None:
        argument = self._argument
        on = argument.flag is None or not argument.flag.negates(argument.written)
        wanted = value > 1 if isinstance(value, int) and not isinstance(value, bool) else value
        if wanted is None or (on and wanted is False):
            return remove_argument(self._command, argument)
        return () if wanted is on else None


def set_argument(command: Command, argument: Argument, value: str) -> Edits | None:
    """The edits that give ``argument`` another value, its form kept; None where that cannot be proven."""
    word = argument.words[-1]
    if argument.form is Form.JOINED:
        return _set_word(command, word, f"{word.text.partition('=')[0]}={value}")
    if argument.form is Form.SEPARATE and len(argument.words) == 2:
        return _set_word(command, word, value)
    return None


def remove_argument(command: Command, argument: Argument) -> Edits | None:
    """The edits that take ``argument`` out, with the blanks (or list items) that belong to it; None where unprovable."""
    if argument.form is Form.JAMMED:
        return None
    if argument.form is Form.ENTRY:
        return _remove_entry(command, argument)
    first, last = argument.words[0], argument.words[-1]
    if first.whole:
        return _remove_items(command, argument.words)
    before = _word_before(command, first)
    if before is None or not _is_stretch(argument.words) or not _is_gap(before, first):
        return None
    return _replace(command, first.node, before.end, last.end, "")


def append_argument(command: Command, name: str, value: str | None = None) -> Edits | None:
    """The edits that add ``name`` (with ``value``) behind the last argument, as the others are written; None where unprovable."""
    if command.separator and isinstance(command.program.node, MappingNode):
        return _add_entry(command, command.program.node, name, value)
    joined = sum(a.form is Form.JOINED for a in command.arguments)
    separate = sum(a.form is Form.SEPARATE for a in command.arguments)
    own = [a for a in command.arguments if a.form is not Form.ENTRY]
    last = own[-1].words[-1] if own else _last_word(command)
    if last is None:
        return None
    if last.whole:
        texts = [name] if value is None else [f"{name}={value}"] if joined >= separate else [name, value]
        return _insert_items(command, last, texts)
    if last.expanded or last.end < 0:
        return None
    text = name if value is None else f"{name}={_quoted(value)}" if joined > separate else f"{name} {_quoted(value)}"
    return _replace(command, last.node, last.end, last.end, f" {text}")


def _set_entry(command: Command, argument: Argument, value: object) -> Edits | None:
    """Another value for a setting of a mapping. A switch that stands for a degree is on where the degree is more than 1."""
    from servelint.source import edits

    word = argument.words[-1]
    if not word.whole or word.variable or (argument.flag is not None and argument.flag.negates(argument.written)):
        return None
    if word.text.lower() in {"true", "false"}:
        wanted = value > 1 if isinstance(value, int) and not isinstance(value, bool) else value
        if not isinstance(wanted, bool):
            return None
        return edits.set_scalar(argument.document or command.document, word.node, str(wanted).lower())
    return edits.set_scalar(argument.document or command.document, word.node, str(value))


def _remove_entry(command: Command, argument: Argument) -> Edits | None:
    from servelint.source import edits

    document, key = argument.document or command.document, argument.words[0].node
    for candidate in walk(document.root) if document.root is not None else ():
        if isinstance(candidate, MappingNode) and any(name is key for name, _ in candidate.entries):
            return edits.remove_entry(document, candidate, key.text)
    return None


def _add_entry(command: Command, mapping: MappingNode, name: str, value: str | None) -> Edits | None:
    """``name`` as a key that is written like the others."""
    from servelint.source import edits

    keys = [key.text for key, _ in mapping.entries if isinstance(key, ScalarNode)]
    key = name.removeprefix("--").replace("-", command.separator)
    return edits.insert_entry(command.document, mapping, key, "true" if value is None else value, keys[-1] if keys else None)


def _set_word(command: Command, word: Word, text: str) -> Edits | None:
    from servelint.source import edits  # lazy: only fixes write

    if word.variable or word.expanded:
        return None
    if word.whole:
        return edits.set_scalar(command.document, word.node, text)
    if word.start < 0:
        return None
    return _replace(command, word.node, word.start, word.end, _quoted(text))


def _quoted(text: str) -> str:
    """``text`` as one word of a shell."""
    if text and all(character in _SAFE for character in text):
        return text
    return "'" + text.replace("'", "'\"'\"'") + "'"


def _replace(command: Command, node: ScalarNode, start: int, end: int, text: str) -> Edits | None:
    from servelint.source import edits

    return edits.replace_value_text(command.document, node, start, end, text)


def _is_stretch(words: tuple[Word, ...]) -> bool:
    """The words stand one behind the other in one scalar and are written there as they are."""
    return all(w.start >= 0 and not w.expanded for w in words) and all(map(_is_gap, words, words[1:]))


def _is_gap(before: Word, after: Word) -> bool:
    """Only blanks and continuations stand between two words of one scalar."""
    between = after.node.text[before.end : after.start]
    return before.node is after.node and 0 <= before.end <= after.start and not between.strip().replace("\\", "").strip()


def _word_before(command: Command, word: Word) -> Word | None:
    words = command.program.words
    position = next((i for i, other in enumerate(words) if other is word), 0)
    return words[position - 1] if position else None


def _last_word(command: Command) -> Word | None:
    return command.program.words[-1] if command.program.words else None


def _item_of(command: Command, node: ScalarNode) -> tuple[SequenceNode, int] | None:
    """(the list that holds ``node`` itself, its index); None where an alias stands for it or it stands in several lists."""
    root = command.document.root
    found = []
    for candidate in walk(root) if root is not None else ():
        if isinstance(candidate, SequenceNode):
            found += [(candidate, i) for i, item in enumerate(candidate.items) if item is node]
    return found[0] if len(found) == 1 else None


def _remove_items(command: Command, words: tuple[Word, ...]) -> Edits | None:
    from servelint.source import edits

    changes: list[Edit] = []
    for word in words:
        place = _item_of(command, word.node)
        change = edits.remove_item(command.document, *place) if place is not None else None
        if change is None:
            return None
        changes += change
    changes.sort()
    if any(map(_overlap, changes, changes[1:])):
        return None
    return tuple(changes)


def _overlap(first: Edit, second: Edit) -> bool:
    return first.end > second.start


def _insert_items(command: Command, last: Word, texts: list[str]) -> Edits | None:
    from servelint.source import edits

    place = _item_of(command, last.node)
    if place is None:
        return None
    sequence, index = place
    changes: list[Edit] = []
    for text in texts:
        change = edits.insert_item(command.document, sequence, index + 1, text)
        if change is None:
            return None
        changes += change
    if len(changes) > 1:  # several items behind one place: one edit, so that their order is certain
        if len({(c.start, c.end) for c in changes}) != 1 or changes[0].start != changes[0].end:
            return None
        changes = [changes[0]._replace(text="".join(c.text for c in changes))]
    return tuple(changes)
