"""Facts: what is known of a deployment, where it comes from, and how to change it there.

A rule reads ``fact.value``. Where the value is not known the read raises :class:`UnknownFact`, which the runner
turns into "not checked: which fact, why, how to give it"; so no rule needs to ask first, and none can guess.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Generic, TypeVar

from servelint.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from servelint.source.nodes import Document, Node
    from servelint.source.text import Span
    from servelint.writer import Writer

T = TypeVar("T")
U = TypeVar("U")


class Place(NamedTuple):
    """A stretch of a document: what a finding points at and a fact comes from."""

    document: Document
    span: Span

    @classmethod
    def of(cls, document: Document, node: Node) -> Place:
        return cls(document.physical, node.span)


class OriginKind(Enum):
    FILE = "file"
    DEFAULT = "default"
    CATALOGUE = "catalogue"
    CONFIG = "config"
    DERIVED = "derived"


class Origin(NamedTuple):
    """Where a fact comes from. ``text`` is for people: "default of vLLM 0.19.1", "catalogue: HF config.json of …"."""

    kind: OriginKind
    text: str
    place: Place | None = None


class UnknownFact(Exception):
    """The one signal by which an unknown fact stops a rule; never shown as an error."""

    def __init__(self, fact: str, reason: str, remedy: str = "") -> None:
        super().__init__(f"{fact}: {reason}")
        self.fact = fact
        self.reason = reason
        self.remedy = remedy


class FactState(Enum):
    KNOWN = "known"
    ALTERNATIVES = "alternatives"
    UNKNOWN = "unknown"
    CONFLICT = "conflict"


class Fact(NamedTuple, Generic[T]):
    """One fact. ``values`` holds one value (known), several (alternatives, conflict) or none (unknown).

    ``place`` is where a finding about it should point; ``stated`` says that somebody wrote it down (as opposed to a
    default or a derivation).
    """

    name: str
    state: FactState
    values: tuple[T, ...] = ()
    origin: Origin | None = None
    reason: str = ""
    remedy: str = ""
    writer: Writer | None = None

    @staticmethod
    def known(name: str, value: U, origin: Origin, writer: Writer | None = None) -> Fact[U]:
        return Fact(name, FactState.KNOWN, (value,), origin, "", "", writer)

    @staticmethod
    def either(name: str, values: tuple[U, ...], origin: Origin, writer: Writer | None = None) -> Fact[U]:
        """Known to be one of ``values``; a single value is simply known."""
        state = FactState.KNOWN if len(values) == 1 else FactState.ALTERNATIVES
        return Fact(name, state, values, origin, writer=writer)

    @staticmethod
    def unknown(name: str, reason: str, remedy: str = "", origin: Origin | None = None) -> Fact[U]:
        return Fact(name, FactState.UNKNOWN, (), origin, reason, remedy)

    @staticmethod
    def conflict(name: str, values: tuple[U, ...], reason: str, origin: Origin) -> Fact[U]:
        return Fact(name, FactState.CONFLICT, values, origin, reason)

    @property
    def is_known(self) -> bool:
        return self.state is FactState.KNOWN

    @property
    def is_stated(self) -> bool:
        """Known because a file says so, not by default, catalogue or derivation."""
        return self.is_known and self.origin is not None and self.origin.kind is OriginKind.FILE

    @property
    def value(self) -> T:
        """The value; raises :class:`UnknownFact` unless exactly one is known."""
        if self.state is FactState.KNOWN:
            return self.values[0]
        if self.state is FactState.ALTERNATIVES:
            raise UnknownFact(self.name, "one of " + ", ".join(map(str, self.values)), self.remedy)
        raise UnknownFact(self.name, self.reason, self.remedy)

    def get(self, default: U) -> T | U:
        """The value, or ``default`` where it is not known: only for facts whose absence decides nothing."""
        return self.values[0] if self.state is FactState.KNOWN else default

    @property
    def place(self) -> Place | None:
        return self.origin.place if self.origin else None

    def map(self, function: Callable[[T], U]) -> Fact[U]:
        """The same fact seen through ``function`` (no writer: the new value cannot be written back)."""
        return Fact(self.name, self.state, tuple(map(function, self.values)), self.origin, self.reason, self.remedy)
