"""What a plan's claims follow from: what its utilization is a share of, and what becomes of its claims under other degrees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.facts import UnknownFact
from servelint.formats.plan.model import DEGREES, stated
from servelint.formats.plan.statements import ScalarWriter
from servelint.records import NamedTuple
from servelint.source.nodes import MappingNode, ScalarNode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from servelint.capacity.layout import Layout
    from servelint.case import PlanCase, PoolCase
    from servelint.catalogue.accelerators import Accelerator
    from servelint.facts import Fact
    from servelint.finding import Edit
    from servelint.formats.plan.model import Plan
    from servelint.formats.plan.quantities import Quantity
    from servelint.source.nodes import Document

GIB = 2**30


class Capacity(NamedTuple):
    """One reading of "the GPU's memory": what people call it, in bytes."""

    label: str
    bytes: float


def capacities(case: PlanCase) -> list[Capacity]:
    """Everything that a share of the GPU's memory may be a share of, the one to write first.

    A memory stated in the plan is exactly that. A catalogue's accelerator is known by its marketed size (in GB or GiB) and
    by what the engine sees of it; of a name that may mean several, all count. With ``gpu_memory_utilization`` stated, its
    share of each may be meant. Raises :class:`UnknownFact` where the accelerator is unknown.
    """
    plan: Plan = case.plan
    found: list[Capacity] = []
    for pool in case.pools:
        own: list[Capacity] = []
        # A pool with an accelerator of its own is not what the plan's common section says.
        memory = None if plan.has_pools else stated(plan.memory)
        if memory is not None:
            own.append(Capacity(memory.text, memory.value_si))
        else:
            fact = pool.pool.accelerator
            for accelerator in fact.values or (fact.value,):
                own += _of(accelerator)
        limit = pool.pool.gpu_memory_utilization
        if limit.is_stated:
            own += [Capacity(f"{limit.value * 100:g} % of {label}", size * limit.value) for label, size in own]
        found += own
    return list(dict.fromkeys(found))


def _of(accelerator: Accelerator) -> list[Capacity]:
    readings = []
    if accelerator.memory_gb is not None:
        readings.append(Capacity(f"{accelerator.memory_gb:g} GB", accelerator.memory_gb * 1e9))
        readings.append(Capacity(f"{accelerator.memory_gb:g} GiB", accelerator.memory_gb * GIB))
    if accelerator.visible_bytes is not None:
        readings += [Capacity(f"{size / GIB:.2f} GiB", size) for size in dict.fromkeys(accelerator.visible_bytes)]
    return readings


def gpus_of(case: PlanCase) -> int:
    """GPUs of the whole deployment by the engine's law. Raises :class:`UnknownFact` for unknown degrees."""
    return sum(pool.layout.world_size * pool.pool.replicas_min.value for pool in case.pools)


def degree_edits(document: Document, changes: Mapping[str, int]) -> tuple[Edit, ...] | None:
    """:func:`change_degrees` for the plan in ``document``, its model's shape taken from the plan or the catalogue."""

    from servelint.case import PlanCase, PoolCase
    from servelint.facts import Fact, Origin, OriginKind
    from servelint.formats.plan.recognise import read
    from servelint.formats.plan.schema_check import NotPlainError, plain
    from servelint.formats.plan.statements import Statements

    if document.root is None:
        return None
    try:
        deployment = read(Statements(document), "plan", plain(document.root))
    except NotPlainError:
        return None
    cases = []
    for stated_pool in deployment.pools:
        pool = stated_pool
        if not pool.architecture.is_known and pool.model.is_known:
            from servelint.catalogue import models

            shape = models.find(pool.model.value)
            if shape is not None:
                origin = Origin(OriginKind.CATALOGUE, shape.origin)
                pool = pool._replace(architecture=Fact.known("model.architecture", shape, origin))
        cases.append(PoolCase(pool, deployment, pool.accelerator.values[0] if pool.accelerator.values else None))
    return change_degrees(PlanCase(deployment, tuple(cases)), **changes)


def change_degrees(case: PlanCase, **degrees: int) -> tuple[Edit, ...] | None:
    """The edits that give the plan other ``degrees`` (plan keys or fields of ``Pool``) and keep it true to itself.

    Rewrites each degree in ``parallelism``, in the phases that share it and in what ``reasoning`` decides, and of the
    claims: ``gpus`` by the engine's law; ``memory.weights`` and ``memory.kv_cache`` in proportion to what one rank holds
    (layers of the largest stage, ranks that share a layer, KV heads); ``total`` as their sum with the rest, ``utilization``
    as its share; ``throughput`` as per-GPU × GPUs. ``because``, times and the per-GPU throughput stay.
    None where some claim cannot be recomputed, or where several pools leave open which is meant.
    """
    plan: Plan = case.plan
    keys = {field: key for key, field in DEGREES.items()}
    changes = {keys.get(name, name): value for name, value in degrees.items()}
    if plan.has_pools or len(case.pools) != 1 or not set(changes) <= set(DEGREES):
        return None
    try:
        old = case.pool.layout
        new = old.with_(**{DEGREES[key]: value for key, value in changes.items()})
        stated_degrees = _degree_edits(plan, changes)
        recomputed = _claim_edits(case, old, new)
    except UnknownFact:
        return None
    if stated_degrees is None or recomputed is None:
        return None
    return tuple(dict.fromkeys((*stated_degrees, *recomputed)))


def _degree_edits(plan: Plan, changes: Mapping[str, int]) -> list[Edit] | None:
    document = plan.document
    edits: list[Edit] = []
    for key, value in changes.items():
        before = plan.parallelism[key].value
        if before == value:
            continue
        nodes = [document.get("parallelism", key)]
        for phase, own in plan.phases.items():
            if key in own and own[key].value == before:
                nodes.append(document.get("phases", phase, key))
        nodes += [document.get("reasoning", index, "decides", key) for index in range(len(document.elements_at("reasoning")))]
        if nodes[0] is None:
            inserted = _insert(document, key, value)
            if inserted is None:
                return None
            edits += inserted
        for node in nodes:
            if node is not None:
                change = ScalarWriter(document, node).write(value) if isinstance(node, ScalarNode) else None
                if change is None:
                    return None
                edits += change
    return edits


def _insert(document: Document, key: str, value: int) -> tuple[Edit, ...] | None:
    from servelint.source.edits import insert_entry

    mapping = document.get("parallelism")
    if not isinstance(mapping, MappingNode):
        return None
    names = [name for name, _, _ in mapping.pairs()]
    return insert_entry(document, mapping, key, f"{key}: {value}", names[-1] if names else None)


def _claim_edits(case: PlanCase, old: Layout, new: Layout) -> list[Edit] | None:
    """The edits of the claims that follow from the layout; None where one of them cannot be recomputed."""
    claims = case.plan.claims
    memory = claims.memory
    written: list[tuple[Fact[object], float]] = []
    replicas = case.pool.pool.replicas_min.value
    gpus = new.world_size * replicas
    if stated(claims.gpus) is not None:
        written.append((claims.gpus, gpus))
    per_gpu = stated(claims.throughput_per_gpu)
    if per_gpu is not None and stated(claims.throughput) is not None and new.world_size != old.world_size:
        written.append((claims.throughput, per_gpu.rate.value_si * gpus))
    parts = _parts_under(case.pool, memory.parts, old, new)
    if parts is None:
        return None
    for fact, value in zip(memory.parts, parts, strict=True):
        if value is not None and value != fact.value.value_si:
            written.append((fact, value))
    total, utilization = stated(memory.total), stated(memory.utilization)
    before = [stated(part) for part in memory.parts]
    if (total is not None or utilization is not None) and (before[0] is None or before[1] is None):
        return None  # what of the total is weights and cache is not said
    moves = [value - part.value_si for value, part in zip(parts, before, strict=True) if value is not None and part is not None]
    if any(moves):
        if all(value is not None for value in parts):
            new_total = sum(value for value in parts if value is not None)
        elif total is not None:
            new_total = total.value_si + sum(moves)
        elif utilization is not None:
            return None
        else:
            new_total = 0.0
        if total is not None:
            written.append((memory.total, new_total))
        if utilization is not None:
            written.append((memory.utilization, new_total / capacities(case)[0].bytes))
    edits: list[Edit] = []
    for fact, value in written:
        change = fact.writer.write(value) if fact.writer is not None else None
        if change is None:
            return None
        edits += change
    return edits


def _parts_under(
    pool: PoolCase, parts: tuple[Fact[Quantity], ...], old: Layout, new: Layout
) -> tuple[float | None, float | None, float | None, float | None] | None:
    """Weights, KV cache, activations and overhead under ``new``; None for one that is not claimed.

    Activations are those of one stage, so the number of stages leaves them; other degrees change them in ways a claim does
    not say. Which requests a claim of the KV cache counts under data parallelism is not said either.
    """
    weights, kv_cache, activations, overhead = (stated(part) for part in parts)
    changed = {field for field in DEGREES.values() if getattr(old, field) != getattr(new, field)}
    if activations is not None and changed & {"tensor", "sequence", "prefill_context", "attention_data"}:
        return None
    if kv_cache is not None and changed & {"data", "prefill_context", "attention_data"}:
        return None
    stage = _stage_share(pool, new) / _stage_share(pool, old)
    new_weights = new_cache = None
    if weights is not None:
        factor = stage
        if changed & {"tensor", "expert", "data", "prefill_context"}:
            if _has_experts(pool):
                return None
            factor *= old.tensor / new.tensor
        new_weights = weights.value_si * factor
    if kv_cache is not None:
        factor = stage * old.decode_context / new.decode_context
        if "tensor" in changed:
            shape = pool.architecture
            if not shape.is_mla:
                factor *= max(1 / new.attention_tensor, 1 / shape.kv_heads) / max(1 / old.attention_tensor, 1 / shape.kv_heads)
        new_cache = kv_cache.value_si * factor
    return (
        new_weights,
        new_cache,
        activations.value_si if activations is not None else None,
        overhead.value_si if overhead is not None else None,
    )


def _stage_share(pool: PoolCase, layout: Layout) -> float:
    """Share of the layers in the largest stage; an even cut where the number of layers is not known."""
    if layout.pipeline == 1:
        return 1.0
    if not pool.pool.architecture.is_known or not isinstance(pool.architecture.field("num_hidden_layers"), int):
        return 1 / layout.pipeline
    from servelint.capacity.shape import stage_layers

    layers = pool.architecture.layers
    return max(stage_layers(layout.engine, layers, layout.pipeline)) / layers


def _has_experts(pool: PoolCase) -> bool:
    return not pool.pool.architecture.is_known or pool.architecture.experts > 0
