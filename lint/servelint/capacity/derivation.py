"""Derivation: everything that is worked out of a pool, in the order in which it may be decided.

Model structure → structural parallelism (PP, EP) → operator parallelism (TP, SP, CP) → requests (DP, replicas) → memory →
prefill → decode → throughput. What cannot be worked out stands in its place with the reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.capacity import shape
from servelint.capacity.latency import latency_of
from servelint.capacity.layout import layout_of
from servelint.capacity.memory import memory_steps
from servelint.capacity.step import Step
from servelint.capacity.throughput import throughput_of
from servelint.capacity.weights import weights_of
from servelint.capacity.work import readings_of
from servelint.facts import UnknownFact
from servelint.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from servelint.capacity.layout import Layout
    from servelint.catalogue.accelerators import Accelerator
    from servelint.deployment import Pool

__all__ = ["Section", "Step", "derive"]

SECTIONS = (
    "model structure", "structural parallelism", "operator parallelism", "requests", "memory", "prefill", "decode", "throughput",
)  # fmt: skip


class Section(NamedTuple):
    """One section of a derivation. ``unknown``: ``(fact, reason, remedy)`` of what could not be worked out."""

    name: str
    steps: tuple[Step, ...]
    unknown: tuple[tuple[str, str, str], ...] = ()


def _model(pool: Pool) -> tuple[Step, ...]:
    steps: list[Step] = []
    if pool.architecture.is_known:
        a = pool.architecture.value
        kinds = shape.layer_kinds(a)
        counts: dict[str, int] = {}
        for kind in kinds:
            name = " + ".join(part for part in (kind.mixer, kind.mlp) if part != shape.NONE)
            if kind.width:
                name += f" of {kind.width}"
            counts[name] = counts.get(name, 0) + 1
        steps.append(Step("layers", "", (a.origin,), ", ".join(f"{count} {name}" for name, count in counts.items())))
    works = readings_of(pool)
    steps += [Step("parameters", "of which every token multiplies", (work.label,), f"{work.layers:.4g}") for work in works]
    return tuple(steps)


def _structural(layout: Layout, pool: Pool) -> tuple[Step, ...]:
    steps = []
    if pool.architecture.is_known:
        layers = shape.stage_layers(layout.engine, len(shape.layer_kinds(pool.architecture.value)), layout.pipeline)
        steps.append(
            Step("pipeline", "layers per stage as the engine splits them", (f"PP {layout.pipeline}",), " ".join(map(str, layers)))
        )
    else:
        steps.append(Step("pipeline", "stages", (), f"PP {layout.pipeline}"))
    if layout.expert > 1:
        group = layout.law.overlays.get("expert", "")
        steps.append(
            Step(
                "experts", f"reuse the group {group}, adding no GPU", (), f"EP {layout.expert} over {layout.group('expert')} GPUs"
            )
        )
    return tuple(steps)


def _operator(layout: Layout) -> tuple[Step, ...]:
    steps = [Step("tensor", "ranks that share each layer", (), f"TP {layout.tensor}")]
    for degree, title in (("sequence", "sequence"), ("prefill_context", "context"), ("decode_context", "decode context")):
        if layout.degree(degree) > 1:
            group = layout.law.overlays.get(degree)
            how = f"reuses the group {group}, adding no GPU" if group else "multiplies"
            steps.append(Step(title, how, (), str(layout.degree(degree))))
    return tuple(steps)


def _requests(layout: Layout, pool: Pool) -> tuple[Step, ...]:
    steps = [
        Step("data", "ranks that serve different requests", (), str(layout.attention_ranks)),
        Step("GPUs of one replica", "what multiplies by the engine's law", (layout.law.source,), layout.formula()),
    ]
    if layout.naive_product != layout.world_size:
        steps.append(Step("not", "the product of all degrees", (), str(layout.naive_product)))
    if pool.replicas_max.is_known:
        steps.append(Step("GPUs in all", "replicas × GPUs of one", (f"replicas {pool.replicas_max.value}",),
                          str(pool.replicas_max.value * layout.world_size)))  # fmt: skip
    return tuple(steps)


def _memory(pool: Pool, accelerator: Accelerator, layout: Layout) -> tuple[Step, ...]:
    try:
        return memory_steps(pool, accelerator, layout)
    except UnknownFact as unknown:
        # The weights may be known where the cache is not; then they are shown and the rest is said to be missing.
        try:
            steps = weights_of(pool, layout).steps
        except UnknownFact:
            raise unknown from None
        return (*steps, Step("not checked", unknown.fact, (unknown.remedy,) if unknown.remedy else (), unknown.reason))


def derive(pool: Pool, accelerator: Accelerator | None = None, layout: Layout | None = None) -> tuple[Section, ...]:
    """All sections, in order. ``accelerator`` and ``layout`` default to the pool's own; nothing unknown is raised."""
    sections: list[Section] = []

    def add(name: str, make: Callable[[], tuple[Step, ...]]) -> None:
        try:
            sections.append(Section(name, make()))
        except UnknownFact as unknown:
            sections.append(Section(name, (), ((unknown.fact, unknown.reason, unknown.remedy),)))

    def device() -> Accelerator:
        return accelerator if accelerator is not None else pool.accelerator.value

    def degrees() -> Layout:
        return layout if layout is not None else layout_of(pool)

    add(SECTIONS[0], lambda: _model(pool))
    add(SECTIONS[1], lambda: _structural(degrees(), pool))
    add(SECTIONS[2], lambda: _operator(degrees()))
    add(SECTIONS[3], lambda: _requests(degrees(), pool))
    add(SECTIONS[4], lambda: _memory(pool, device(), degrees()))
    latency: list[tuple[Step, ...]] = []  # worked out once for both of its sections

    def prefill() -> tuple[Step, ...]:
        latency.append(latency_of(pool, device(), degrees()).steps)
        return latency[0][:3]

    add(SECTIONS[5], prefill)
    add(SECTIONS[6], lambda: latency[0][3:] if latency else latency_of(pool, device(), degrees()).steps[3:])
    add(SECTIONS[7], lambda: throughput_of(pool, device(), degrees()).steps)
    return tuple(sections)
