"""Places: where a verdict points, and where what it relies on stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.finding import Related

if TYPE_CHECKING:
    from servelint.deployment import Pool
    from servelint.facts import Fact, Place


def place_of(pool: Pool, *facts: Fact[Any]) -> Place:
    """The place of the first of ``facts`` that a file states, else the pool's own."""
    for fact in facts:
        if fact.is_stated and fact.place is not None:
            return fact.place
    return pool.place


def related(place: Place, *facts: tuple[Fact[Any], str]) -> tuple[Related, ...]:
    """The stated ones of ``facts`` with their labels, except what stands at ``place`` itself."""
    seen = [place]
    found = []
    for fact, label in facts:
        where = fact.place
        if fact.is_stated and where is not None and where not in seen:
            seen.append(where)
            found.append(Related(where, label))
    return tuple(found)
