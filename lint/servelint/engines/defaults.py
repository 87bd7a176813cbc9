"""Defaults of an engine's release for the facts of a pool that nobody stated: what the engines share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.engines.flags import flag_table
from servelint.engines.values import fact_name
from servelint.facts import Fact, FactState, Origin, OriginKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from servelint.deployment import Pool
    from servelint.engines.versions import Version

DEGREES = ("tensor", "pipeline", "data", "expert", "sequence", "prefill_context", "decode_context", "attention_data")


def is_missing(pool: Pool, field: str) -> bool:
    """Nobody stated it, as opposed to: stated, but not knowable."""
    fact: Fact[Any] = getattr(pool, field)
    return fact.state is FactState.UNKNOWN and fact.reason == "not stated"


def version_of(pool: Pool) -> Version | None:
    return pool.version.value if pool.version.is_known else None


class Defaults:
    """Collects the defaults of one pool. ``engine``: its name, for people; ``table``: the name of its flags."""

    __slots__ = ("_engine", "_facts", "_pool", "_table", "origin", "version")

    def __init__(self, pool: Pool, engine: str, table: str) -> None:
        self._pool = pool
        self._engine = engine
        self._table = table
        self._facts: dict[str, Fact[Any]] = {}
        self.version = version_of(pool)
        self.origin = self._origin()

    @property
    def facts(self) -> dict[str, Fact[Any]]:
        """By field. What may be stated where it is not seen (an incomplete command line) has no default: it is unknown."""
        containers = self._pool.containers
        elsewhere = next((c.command.elsewhere for c in containers if c.command is not None and not c.command.complete), "")
        if not elsewhere:
            return self._facts
        reason = f"arguments come from elsewhere: {elsewhere}"
        return {name: Fact.unknown(fact.name, reason, "state it on the command line") for name, fact in self._facts.items()}

    def _origin(self) -> Origin:
        scanned = flag_table(self._table).scanned
        if self.version is None or not scanned:
            text = f"default of {self._engine} (every version scanned)" if scanned else f"default of {self._engine}"
        elif self.version > scanned[-1]:
            text = f"default of {self._engine} {scanned[-1]}, the newest version scanned"
        else:
            text = f"default of {self._engine} {self.version}"
        return Origin(OriginKind.DEFAULT, text)

    def give(self, field: str, fact: Fact[Any]) -> None:
        """``fact`` for a field that nobody stated; the first one given stays."""
        if field not in self._facts and is_missing(self._pool, field):
            self._facts[field] = fact

    def constant(self, field: str, value: Any) -> None:
        self.give(field, Fact.known(fact_name(field), value, self.origin))

    def unknown(self, field: str, reason: str, remedy: str) -> None:
        self.give(field, Fact.unknown(fact_name(field), reason, remedy))

    def alternatives(self, field: str, values: tuple[Any, ...] | str, remedy: str) -> None:
        """One of several values; or unknown, with a text that says why."""
        if isinstance(values, str):
            self.unknown(field, values, remedy)
        else:
            self.give(field, Fact.either(fact_name(field), values, self.origin))

    def tabled(self, field: str, flag: str, convert: Callable[[str], Any], otherwise: str = "") -> None:
        """The default that the table of flags gives; both where the release lies between two scanned ones that differ.

        ``otherwise``: why it is unknown where the engine works it out.
        """
        texts = flag_table(self._table)[flag].defaults_at(self.version)
        if otherwise and any(text in {"?", "None"} for text in texts):
            self.unknown(field, otherwise, f"state {flag}")
            return
        values = tuple(convert(text) for text in reversed(texts))
        origin = self.origin
        if len(values) > 1 and self.version is None:
            origin = origin._replace(text=f"default of {self._engine}, by version (the image does not say which)")
        self.give(field, Fact.either(fact_name(field), values, origin))
