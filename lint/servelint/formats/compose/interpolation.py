"""Variables in Compose files: ``$NAME``, ``${NAME}``, ``${NAME:-default}`` and their kin, expanded with their defaults.

A variable comes from the shell that runs Compose or from the ``.env`` file, so what a file alone settles is the value where
neither sets it. Source: Compose specification, "Interpolation", and ``template`` of compose-spec/compose-go.
"""

from __future__ import annotations

import re

from servelint.engines.mapped_text import MappedText, Piece
from servelint.records import NamedTuple

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BRACED = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*(?::?[-+?].*)?\}")
_OPERATORS = (":-", ":?", ":+", "-", "?", "+")
_DEEPEST = 20


class Interpolated(NamedTuple):
    """A value after expansion. ``unset``: the variables that have no default; they stay in the text as written.

    ``defaults``: the variables whose default was taken. ``changed``: the text is not the one written.
    """

    text: MappedText
    unset: tuple[str, ...] = ()
    defaults: tuple[str, ...] = ()
    changed: bool = False


class _Expansion:
    def __init__(self, value: str) -> None:
        self._value = value
        self.pieces: list[Piece] = []
        self.unset: list[str] = []
        self.defaults: list[str] = []

    def run(self, start: int, end: int, level: int = 0) -> None:
        value = self._value
        done = position = start
        while position < end:
            position = value.find("$", position, end)
            if position < 0 or position + 1 >= end:
                break
            stop = self._one(position, end, done, level)
            if stop:
                done = position = stop
            else:
                position += 1
        self._literal(done, end)

    def _literal(self, start: int, end: int) -> None:
        if end > start:
            self.pieces.append(Piece(self._value[start:end], start, end, True))

    def _one(self, at: int, end: int, done: int, level: int) -> int:
        """Expands what begins with the ``$`` at ``at``; the position behind it, 0 where it is no variable."""
        value = self._value
        following = value[at + 1]
        if following == "$":
            self._literal(done, at)
            self.pieces.append(Piece("$", at, at + 2, False))
            return at + 2
        if following != "{":
            name = _NAME.match(value, at + 1, end)
            if name is None:
                return 0
            self._literal(done, at)
            self._unset(name.group(), at, name.end())
            return name.end()
        stop = _closing(value, at + 1, end)
        name = _NAME.match(value, at + 2, end)
        if stop < 0 or name is None or level >= _DEEPEST:
            return 0
        operator = next((o for o in _OPERATORS if value.startswith(o, name.end())), "")
        if not operator and name.end() != stop:
            return 0
        self._literal(done, at)
        if operator in {":-", "-"}:
            self.defaults.append(name.group())
            self.run(name.end() + len(operator), stop, level + 1)
        elif operator not in {":+", "+"}:  # an alternative is taken where the variable is set
            self._unset(name.group(), at, stop + 1)
        return stop + 1

    def _unset(self, name: str, start: int, end: int) -> None:
        self.unset.append(name)
        self._literal(start, end)


def _closing(text: str, opening: int, end: int) -> int:
    """The position of the brace that closes the one at ``opening``; -1 if none does. ``${`` nests, a bare ``{`` does not."""
    depth = 0
    position = opening
    while position < end:
        if text.startswith("${", position) and position > opening:
            depth += 1
            position += 1
        elif text[position] == "}":
            if depth == 0:
                return position
            depth -= 1
        position += 1
    return -1


def interpolate(value: str) -> Interpolated:
    """``value`` with its variables expanded; every part of the result knows where it stands in ``value``."""
    if "$" not in value:
        return Interpolated(MappedText(value))
    expansion = _Expansion(value)
    expansion.run(0, len(value))
    unset, defaults = tuple(dict.fromkeys(expansion.unset)), tuple(dict.fromkeys(expansion.defaults))
    changed = "".join(piece.text for piece in expansion.pieces) != value
    return Interpolated(MappedText.of(expansion.pieces), unset, defaults, changed)


def refused(value: str) -> tuple[int, int] | None:
    """Start and end of the first ``${…`` in ``value`` with which Compose refuses the file; None where it takes all of it.

    A ``$`` that neither a name nor a brace follows is taken as it is. Source: ``DefaultPattern`` of ``template/template.go`` of
    compose-go 2.9, in which only the alternative behind a brace may be invalid, and ``.`` matches no line end.
    """
    position = value.find("$")
    while 0 <= position < len(value) - 1:
        following = value[position + 1]
        if following == "{":
            found = _BRACED.match(value, position)
            if found is None:
                line = value.find("\n", position)
                end = value.find("}", position, line if line >= 0 else len(value))
                return position, end + 1 if end >= 0 else position + 2
            position = _end_of(value, position, found.end())
        else:
            position += 2 if following == "$" else 1
        position = value.find("$", position)
    return None


def _end_of(value: str, start: int, end: int) -> int:
    """Behind the brace that closes the one after ``start``; ``end`` where none does."""
    depth = 0
    for index in range(start, end):
        if value[index] == "{":
            depth += 1
        elif value[index] == "}":
            depth -= 1
            if depth == 0:
                return index + 1
    return end
