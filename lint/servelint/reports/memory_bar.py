"""The memory of the fullest GPU at a glance: a bar for the terminal, a table for documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.facts import UnknownFact
from servelint.records import NamedTuple

if TYPE_CHECKING:
    from servelint.capacity.memory import MemoryBudget
    from servelint.case import PoolCase
    from servelint.estimate import Estimate

_GIB = float(1 << 30)
_WIDTH = 50


class Share(NamedTuple):
    """A part of the device's memory: its letter in the bar, its name, its bytes."""

    letter: str
    name: str
    size: Estimate


def shares(case: PoolCase) -> tuple[MemoryBudget, tuple[Share, ...]] | None:
    """The parts, in the order in which an engine takes them; None where the budget cannot be worked out."""
    try:
        memory = case.memory
    except UnknownFact:
        return None  # the section says what is missing
    inside = [
        Share("W", "weights", memory.weights_bytes),
        Share("A", "activations", memory.activation_bytes),
        Share("O", "overhead", memory.overhead_bytes),
    ]
    if memory.graphs_inside:
        inside.append(Share("G", "CUDA graphs", memory.graphs_bytes))
    inside.append(Share("K", "KV cache", memory.kv_pool_bytes))
    outside = memory.device_bytes.minus(memory.budget_bytes).at_least(0.0)
    return memory, (*inside, Share(".", "outside the budget", outside))


def _letters(parts: tuple[Share, ...], device: float) -> str:
    """The bar: as many letters as each part has of the device, at least one for what is there at all."""
    if device <= 0:
        return ""
    bar = ""
    for part in parts:
        share = min(max(0.0, part.size.mid) / device, 2.0) * _WIDTH  # what is beyond the end is cut off anyway
        bar += part.letter * max(1 if share > 0 else 0, round(share))
    return bar


def bar(case: PoolCase) -> tuple[str, ...]:
    """Two lines: the bar, and what its letters mean in GiB. Nothing where the budget cannot be worked out."""
    found = shares(case)
    if found is None:
        return ()
    memory, parts = found
    letters = _letters(parts, memory.device_bytes.mid)
    over = "" if len(letters) <= _WIDTH + len(parts) else f"  exceeds the device by {_short(parts, memory):.1f} GiB"
    legend = "  ".join(f"{part.letter} {part.name} {part.size.mid / _GIB:.1f}" for part in parts)
    return f"|{letters[:_WIDTH]:<{_WIDTH}}| {memory.device_bytes.mid / _GIB:.1f} GiB{over}", legend + " GiB"


def _short(parts: tuple[Share, ...], memory: MemoryBudget) -> float:
    return (sum(max(0.0, part.size.mid) for part in parts) - memory.device_bytes.mid) / _GIB


def rows(case: PoolCase) -> list[list[str]]:
    """For a table: part, GiB, its interval, its share of the device. Empty where the budget cannot be worked out."""
    found = shares(case)
    if found is None:
        return []
    memory, parts = found
    device = memory.device_bytes.mid
    return [
        [
            part.name,
            f"{part.size.mid / _GIB:.2f}",
            f"{part.size.low / _GIB:.2f} to {part.size.high / _GIB:.2f}",
            f"{part.size.mid / device:.0%}" if device > 0 else "",
        ]
        for part in parts
    ]
