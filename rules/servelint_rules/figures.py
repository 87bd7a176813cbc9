"""Figures for people: the numbers of a finding's label and arithmetic, with their units said beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from servelint.capacity.memory import MemoryBudget
    from servelint.case import PoolCase
    from servelint.estimate import Estimate
    from servelint.formats.containers import Probe

GIB = 1 << 30


def gib(size_bytes: float) -> str:
    """Bytes as GiB with one decimal (two below 1 GiB), without the unit."""
    value = size_bytes / GIB
    text = f"{value:.1f}" if abs(value) >= 1 or value == 0 else f"{value:.2f}"
    return text.replace("-", "−")


def in_gib(size_bytes: float) -> str:
    """``64``, ``1.5``: bytes that somebody states or stores as GiB to three figures, without the unit."""
    return f"{size_bytes / GIB:.3g}" if size_bytes < 100 * GIB else f"{size_bytes / GIB:.0f}"


def span(estimate: Estimate) -> str:
    """An estimate of bytes in GiB: the middle, and the ends where they differ from it: ``4.1 (3.6 … 4.5)``."""
    return gib(estimate.mid) + _ends(estimate)


def seconds(estimate: Estimate) -> str:
    """A time with its ends: ``0.85 s (0.61 … 1.4)``."""
    low, mid, high = (duration(value) for value in estimate)
    return f"{mid} s" if low == mid == high else f"{mid} s ({low} … {high})"


def duration(value: float) -> str:
    """Seconds to two significant figures, never in exponent form, without the unit."""
    if value >= 10:
        return f"{value:.0f}"
    if value >= 1:
        return f"{value:.1f}"
    text = f"{value:.2g}"
    return f"{value:.6f}".rstrip("0").rstrip(".") if "e" in text else text


def patience(probe: Probe) -> str:
    """How the time comes about for which a container may fail a probe: ``0 s + 10 s × 3 failures = 30 s``."""
    return f"{probe.initial_delay} s + {probe.period} s × {probe.failure_threshold} failures = {probe.grace_seconds} s"


def count(number: int, what: str) -> str:
    """``1 GPU``, ``4 GPUs``."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def rate(tokens_per_second: float) -> str:
    """Tokens per second, rounded to what its size deserves: ``19,073``, ``4.8 million``."""
    if tokens_per_second >= 1e6:
        return f"{tokens_per_second / 1e6:.3g} million"
    return f"{tokens_per_second:,.0f}" if tokens_per_second >= 100 else f"{tokens_per_second:.3g}"


def dotted(capability: tuple[int, int]) -> str:
    """A compute capability as NVIDIA writes it: ``9.0``."""
    return f"{capability[0]}.{capability[1]}"


def budget(case: PoolCase, memory: MemoryBudget) -> str:
    """How the KV cache's room comes about, on one line: ``79.2 GiB × 0.92 − weights 65.7 − … = 4.1 GiB (3.6 … 4.5)``."""
    engine, share, stated = case.layout.engine, case.pool.gpu_memory_utilization, case.pool.kv_cache_memory_bytes
    if stated.is_known:
        return f"KV cache as stated: {gib(stated.value)} GiB per GPU, whatever the budget is"
    if share.is_known and engine != "trtllm":
        start = f"{gib(memory.device_bytes.mid)} GiB × {share.value:g}"
    else:
        start = f"{gib(memory.budget_bytes.mid)} GiB"
    parts = [("weights", memory.weights_bytes), ("activations", memory.activation_bytes), ("overhead", memory.overhead_bytes)]
    if engine == "sglang":
        del parts[1]  # activations live outside the static pool
    if memory.graphs_inside and memory.graphs_bytes.mid > 0:
        parts.append(("CUDA graphs", memory.graphs_bytes))
    taken = "".join(f" − {name} {gib(size.mid)}" for name, size in parts)
    return f"{start}{taken} = {gib(memory.kv_pool_bytes.mid)} GiB{_ends(memory.kv_pool_bytes)}"


def _ends(estimate: Estimate) -> str:
    low, mid, high = (gib(value) for value in estimate)
    return "" if low == mid == high else f" ({low} … {high})"
