"""The variables of a shell script, as far as its text and the container's environment settle them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

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


Part = tuple[str, str]
"""A stretch of a value: its text as it is known, and the unresolved variable that it is; "" where it is text."""


class Unset:
    """The state of a variable that nothing sets: neither the script nor the environment as it is written."""


UNSET = Unset()
Value = str | Unset | None
"""A variable's value; None where it is set to what cannot be told."""


_BUDGET = 200_000  # characters of expanded values in one script: doubling variables must not fill the memory
_LONGEST_VALUE = 50_000


class Variables:
    """Shell variables in order of execution. What a branch, a loop or a function may have set is not known afterwards."""

    __slots__ = ("_arrays", "_budget", "_environment", "_exported", "_parts", "_values", "positional")

    def __init__(self, environment: Mapping[str, Fact[str]], positional: tuple[Word, ...] | None = None) -> None:
        self._environment = environment
        self._values: dict[str, Value] = {}
        self._arrays: dict[str, tuple[RawWord, ...] | None] = {}
        self._parts: dict[str, tuple[Part, ...]] = {}
        self._exported: set[str] = set()
        self._budget = _BUDGET
        self.positional = positional

    def snapshot(self) -> Variables:
        """The variables as they are now, for text that the same shell evaluates."""
        copy = Variables(self._environment, self.positional)
        copy._values.update(self._values)
        copy._arrays.update(self._arrays)
        copy._parts.update(self._parts)
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

    def array(self, name: str) -> tuple[RawWord, ...] | None:
        """The elements of an array of the script; None where there is none or they cannot be told."""
        return self._arrays.get(name)

    def parts(self, name: str) -> tuple[Part, ...]:
        """What a variable consists of whose value is not known as a whole; none where nothing of it is known."""
        return self._parts.get(name, ())

    def assign(self, name: str, value: Value, *, append: bool, conditional: bool, parts: tuple[Part, ...] = ()) -> None:
        """``name=value``. ``conditional``: it may not be executed, so unless it changes nothing, the value is lost.

        ``parts``: what the value consists of, where unresolved variables are in it.
        """
        old = self.get(name)
        before = (((old, ""),) if isinstance(old, str) else self._parts.get(name, ())) if append else ()
        self._parts.pop(name, None)
        if parts and not conditional and (before or old is UNSET or not append):
            self._parts[name] = (*before, *parts) if sum(len(text) for text, _ in (*before, *parts)) <= _LONGEST_VALUE else ()
        if append:
            value = (old if isinstance(old, str) else "") + value if isinstance(value, str) and old is not None else None
        if isinstance(value, str) and len(value) > _LONGEST_VALUE:
            value = None
        self._values[name] = value if not conditional or value == old else None

    def assign_array(self, name: str, words: tuple[RawWord, ...], *, append: bool, conditional: bool) -> None:
        old = self._arrays.get(name, ())
        if conditional or old is None:
            self._arrays[name] = None
        else:
            self._arrays[name] = (*old, *words) if append else words

    def forget(self, name: str) -> None:
        """``name`` is set to something that the text does not say."""
        self._values[name] = None
        self._parts.pop(name, None)
        if name in self._arrays:
            self._arrays[name] = None

    def unset(self, name: str, *, conditional: bool) -> None:
        self._values[name] = None if conditional else UNSET
        self._parts.pop(name, None)
