"""Throughput: the most tokens per second and GPU that peak and bandwidth allow, whatever the engine and the layout."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from servelint.capacity.latency import draft_tokens
from servelint.capacity.memory import memory_of
from servelint.capacity.step import Step
from servelint.capacity.work import bandwidth, peak_flops, readings_of, traffic_of
from servelint.facts import UnknownFact
from servelint.records import NamedTuple

if TYPE_CHECKING:
    from servelint.capacity.layout import Layout
    from servelint.catalogue.accelerators import Accelerator
    from servelint.deployment import Pool


class Reading(NamedTuple):
    """The bound under one reading of the model. ``parameters``: those every token multiplies."""

    label: str
    parameters: float
    tokens_per_second_per_gpu: float


class ThroughputBound(NamedTuple):
    """Tokens per second and GPU. ``bounds``: of any computed token, input or output, one per reading of the model;
    ``output_bounds``: of output tokens, which also read the weights and multiply the LM head."""

    bounds: tuple[Reading, ...]
    output_bounds: tuple[Reading, ...]
    steps: tuple[Step, ...]

    @property
    def best(self) -> float:
        """The most favourable reading's bound: beyond it is impossible under every reading."""
        return max(reading.tokens_per_second_per_gpu for reading in self.bounds)

    @property
    def output_bound(self) -> float:
        return max(reading.tokens_per_second_per_gpu for reading in self.output_bounds)


def _largest_batch(pool: Pool, accelerator: Accelerator, layout: Layout, shortest: int) -> float | None:
    """The most requests that can decode at once in a replica: what is stated to arrive, what the engine is told to admit, what
    the KV cache holds of the shortest requests; None where nothing says so."""
    caps: list[float] = []
    if pool.concurrency.is_known:
        caps.append(float(pool.concurrency.value))
    if pool.max_num_seqs.is_known:
        caps.append(float(pool.max_num_seqs.value * layout.attention_ranks))
    with suppress(UnknownFact):  # without a KV budget the other caps stand
        caps.append(memory_of(pool, accelerator, layout).max_concurrency(shortest).high)
    return max(1.0, min(caps)) if caps else None


def throughput_of(pool: Pool, accelerator: Accelerator, layout: Layout) -> ThroughputBound:
    """The bounds of ``pool``. Raises :class:`UnknownFact` where the model's size or the peak is unknown.

    Any token takes at least two operations per active parameter, embeddings and LM head left out: ``peak / (2 P)``, with the
    highest peak any source lists. Tokens served from a prefix cache are not computed and not counted. An output token
    multiplies the LM head as well, and a step over ``b`` requests reads the weights once: ``b × bandwidth / (W + b × KV)`` rises
    with the batch, so the largest admissible one is taken; a speculative step may yield 1 + draft tokens.
    """
    peak = peak_flops(pool, accelerator, True)
    works = readings_of(pool)
    bounds = tuple(Reading(work.label, work.layers, peak / (2 * work.layers)) for work in works if work.layers > 0)
    if not bounds:
        raise UnknownFact("model.parameters", "no parameter is left once embeddings are taken out", "state model.parameters")
    steps = [
        Step("most tokens per second and GPU", "peak / (2 × active parameters)", (f"{peak:.4g} FLOP/s", r.label),
             f"{r.tokens_per_second_per_gpu:.4g} tokens/s per GPU, input and output")
        for r in bounds
    ]  # fmt: skip
    moved: float | None = None
    shortest = pool.input_tokens_min.value if pool.input_tokens_min.is_known else 1
    try:
        traffic = traffic_of(pool, layout)
        batch = _largest_batch(pool, accelerator, layout, shortest + 1)
        if batch is not None:
            # Every token of the step sent to the same experts is the favourable end, however large the batch.
            ahead = 1 + draft_tokens(pool)
            moved = batch * ahead * bandwidth(accelerator) / traffic.least(batch, shortest)
            inputs = (f"at most {batch:.0f} requests", f"{bandwidth(accelerator):.4g} B/s")
            steps.append(
                Step(
                    "output tokens by bandwidth",
                    "batch × bandwidth / (weights + batch × KV)",
                    inputs,
                    f"{moved:.4g} tokens/s per GPU",
                )
            )
    except UnknownFact:
        moved = None  # the bound of the arithmetic stands alone
    output = tuple(
        Reading(work.label, work.layers + work.head, min(peak / (2 * (work.layers + work.head)), moved or float("inf")))
        for work in works
        if work.layers > 0
    )
    return ThroughputBound(bounds, output, tuple(steps))
