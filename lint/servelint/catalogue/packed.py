"""Long lists inside a record, written short and expanded when the record is read. Nothing is lost but the order of names.

Three forms, each an object with one ``$`` key:

- ``{"$names": ["model.layers.<0-3,7>.mlp.gate", …]}``: a list of names. ``<…>`` stands for each number of the ranges in turn.
- ``{"$layers": [[value, [pattern, …]], …]}``: an object whose keys are the names that the patterns stand for.
- ``{"$cycle": [item, …], "$length": n}``: the list of ``n`` items that repeats the cycle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


def names_of(pattern: str) -> Iterator[str]:
    """The names that ``pattern`` stands for: each ``<a-b,c>`` replaced by each of its numbers."""
    before, opened, rest = pattern.partition("<")
    if not opened:
        yield pattern
        return
    ranges, _, after = rest.partition(">")
    tails = tuple(names_of(after))
    for part in ranges.split(","):
        first, _, last = part.partition("-")
        for number in range(int(first), int(last or first) + 1):
            for tail in tails:
                yield f"{before}{number}{tail}"


def expand(value: Any) -> Any:
    """``value`` with every packed list in it written out."""
    if isinstance(value, list):
        return [expand(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "$names" in value:
        return [name for pattern in value["$names"] for name in names_of(pattern)]
    if "$layers" in value:
        return {name: item for item, patterns in value["$layers"] for pattern in patterns for name in names_of(pattern)}
    if "$cycle" in value:
        cycle = value["$cycle"]
        return [cycle[i % len(cycle)] for i in range(value["$length"])]
    return {key: expand(item) for key, item in value.items()}
