"""What the PLN rules on claims compute: the figures of a plan against what follows from its other figures."""

from __future__ import annotations

from itertools import combinations
from math import prod
from typing import TYPE_CHECKING, Any

from servelint.finding import Proposal, Related, Verdict
from servelint.formats.plan.claims import capacities, gpus_of
from servelint.formats.plan.model import DEGREES, LETTERS, stated
from servelint.records import NamedTuple
from servelint_rules import knowledge

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.capacity.layout import Layout
    from servelint.case import PlanCase, PoolCase
    from servelint.facts import Fact, Place
    from servelint.finding import Edit
    from servelint.formats.plan.model import MemoryClaims
    from servelint.formats.plan.quantities import Quantity

LETTER_OF = {field: LETTERS[key] for key, field in DEGREES.items()}
# Lines of arithmetic that a finding carries.
MOST_LINES = 3
# Multiplying degree by degree must end: more overlaying degrees than this no engine has.
MOST_OVERLAYS = 6


def principles(case: PlanCase) -> knowledge.Knowledge:
    """The knowledge file of the run: the organization's where configured, else the built-in one."""
    return knowledge.load() if case.knowledge is None else knowledge.parse(case.knowledge, "the knowledge file")


def place_of(case: PlanCase, fact: Fact[Any]) -> Place:
    """Where the plan states ``fact``, else the plan's first pool."""
    return fact.place or case.pool.pool.place


def related(*facts: tuple[Fact[Any], str]) -> tuple[Related, ...]:
    """The stated ones of ``facts``, each with its label."""
    return tuple(Related(fact.place, label) for fact, label in facts if fact.is_stated and fact.place is not None)


def written(title: str, *changes: tuple[Fact[Any], float], safe: bool) -> tuple[Proposal, ...]:
    """The proposal to make all ``changes`` (claim, its new value in SI), in words only where one of them cannot be written."""

    def edits() -> tuple[Edit, ...] | None:
        made: list[Edit] = []
        for fact, value in changes:
            change = fact.writer.write(value) if fact.writer is not None else None
            if change is None:
                return None
            made += change
        return tuple(made) or None

    return (Proposal(title, safe, edits),)


def like(quantity: Quantity, value: float) -> str:
    """``value`` (SI) as ``quantity`` is written."""
    from servelint.formats.plan.quantities import rewritten

    return rewritten(quantity, value)


# PLN901


def utilization_verdicts(case: PlanCase) -> Iterator[Verdict]:
    """``memory.utilization`` of the claims and of each alternative's against total / capacity, in every reading of the
    capacity."""
    for memory, name in _memories(case):
        yield from _utilization(case, memory, name)


def _memories(case: PlanCase) -> Iterator[tuple[MemoryClaims, str]]:
    """The memory claims of the plan ("") and of its alternatives, by name."""
    yield case.plan.claims.memory, ""
    for each in case.plan.alternatives:
        yield each.claims.memory, each.name


def _utilization(case: PlanCase, memory: MemoryClaims, name: str) -> Iterator[Verdict]:
    claimed = stated(memory.utilization)
    if claimed is None:
        return
    total = stated(memory.total)
    parts = [stated(part) for part in memory.parts]
    if total is not None:
        amount, rounding, shown = total.value_si, total.rounding, total.text
    elif all(part is not None for part in parts):
        known = [part for part in parts if part is not None]
        amount, rounding = sum(p.value_si for p in known), sum(p.rounding for p in known)
        shown = like(known[0], amount)
    else:
        return
    allowed = principles(case).tolerances.utilization
    readings = capacities(case)
    for reading in readings:
        if abs(amount / reading.bytes - claimed.value_si) <= max(allowed, rounding / reading.bytes + claimed.rounding):
            return
    first = readings[0]
    ratio = amount / first.bytes
    right = like(claimed, ratio)
    yield Verdict(
        place_of(case, memory.utilization),
        f"{shown} of {first.label} is {right}, not {claimed.text}",
        arithmetic=(
            f"{shown} / {first.label} = {ratio * 100:.1f} %",
            f"{claimed.text} of {first.label} would be {_amount(claimed.value_si * first.bytes, total, parts)}",
        ),
        related=related((memory.total, "the total"), (case.plan.memory, "the memory of one GPU")),
        proposals=written(f"write the utilization that follows, {right}", (memory.utilization, ratio), safe=True),
        key=name,
    )


def _amount(value: float, total: Quantity | None, parts: list[Quantity | None]) -> str:
    model = total or next(part for part in parts if part is not None)
    return like(model, value)


# PLN902


def memory_sum_verdicts(case: PlanCase) -> Iterator[Verdict]:
    """``memory.total`` of the claims and of each alternative's against the sum of its parts. Parts that are not stated may only
    add to it."""
    for memory, name in _memories(case):
        yield from _memory_sum(case, memory, name)


def _memory_sum(case: PlanCase, memory: MemoryClaims, name: str) -> Iterator[Verdict]:
    total = stated(memory.total)
    parts = [part for part in map(stated, memory.parts) if part is not None]
    if total is None or len(parts) < 2:
        return
    tolerances = principles(case).tolerances
    amount = sum(part.value_si for part in parts)
    rounding = total.rounding + sum(part.rounding for part in parts)
    allowed = max(tolerances.arithmetic * total.value_si, min(rounding, tolerances.rounded * total.value_si))
    complete = len(parts) == len(memory.parts)
    if abs(amount - total.value_si) <= allowed or (amount < total.value_si and not complete):
        return
    sum_text = like(total, amount)
    figures = " + ".join(part.text for part in parts)
    arithmetic = [f"{figures} = {sum_text}"]
    label = f"the parts add up to {sum_text}, not {total.text}"
    mixed = {_base(quantity) for quantity in (*parts, total)} == {1000, 1024}
    if mixed and abs(sum(map(_unitless, parts)) - _unitless(total)) <= allowed:
        label = f"GB and GiB are added as if they were one unit: the parts add up to {sum_text}"
        arithmetic.append("1 GiB = 1.0737 GB: 7.4 % apart")
    # The utilization is a share of the total: written anew with it where the capacity is known.
    share = [(memory.utilization, amount / capacities(case)[0].bytes)] if memory.utilization.is_known else []
    yield Verdict(
        place_of(case, memory.total),
        label,
        arithmetic=tuple(arithmetic),
        related=related(*((part, "a part of the total") for part in memory.parts)),
        proposals=written(f"write the sum of the parts, {sum_text}", (memory.total, amount), *share, safe=False),
        key=name,
    )


def _base(quantity: Quantity) -> int:
    return 1024 if "i" in quantity.unit else 1000


def _unitless(quantity: Quantity) -> float:
    """The value if ``GiB`` were ``GB``."""
    from servelint.formats.plan.quantities import parse

    return parse(quantity.text.replace("i", ""), quantity.dimension).value_si if "i" in quantity.unit else quantity.value_si


# PLN903, PAR219


class CountClaim(NamedTuple):
    """What is wrong with ``claims.gpus``: the code of the most specific rule, and the verdict."""

    code: str
    verdict: Verdict


def gpu_count_claim(case: PlanCase) -> CountClaim | None:
    """``claims.gpus`` against the engine's law; a product that counts reused ranks is PAR219, anything else PLN903."""
    fact = case.plan.claims.gpus
    claimed = stated(fact)
    if claimed is None:
        return None
    right = gpus_of(case)
    if claimed == right:
        return None
    lines = [_count_line(pool) for pool in case.pools]
    if len(case.pools) > 1:
        lines.append(f"all pools together: {right} GPUs")
    layout = case.pool.layout
    code, label, advice = "PLN903", f"the degrees make {right} GPUs, not {claimed}", ""
    counted = _counted_overlays(case.pools, claimed)
    if counted is not None:
        pool, names = counted
        letters = " and ".join(f"{LETTER_OF[name]} {pool.layout.degree(name)}" for name in names)
        code = "PAR219"
        reuse = "reuses" if len(names) == 1 else "reuse"
        label = f"{claimed} counts {letters}, which {reuse} GPUs that are counted already: it is {right}"
        lines += [f"{LETTER_OF[name]} runs on the {_group(pool.layout, name)} ranks and adds no GPU" for name in names]
    elif len(case.pools) == 1 and (left_out := _left_out(layout, right, claimed)):
        letters = " and ".join(f"{LETTER_OF[name]} {layout.degree(name)}" for name in left_out)
        label += f": {letters} multipl{'y' if len(left_out) > 1 else 'ies'} them"
        advice = f"every engine multiplies {letters}: the ranks of one stage or copy are not those of another"
    law, principle = layout.law.source, principles(case).principle("group_arithmetic")
    return CountClaim(
        code,
        Verdict(
            place_of(case, fact),
            label,
            arithmetic=tuple(lines[:MOST_LINES]),
            help=(*((advice,) if advice else ()), f"{principle.says if principle else 'the engine counts them'}: {law}"),
            related=related(*_degree_facts(case)),
            proposals=written(f"write the GPUs that the degrees make, {right}", (fact, right), safe=False),
        ),
    )


def _count_line(pool: PoolCase) -> str:
    replicas = pool.pool.replicas_min.value
    text = pool.layout.formula()
    if replicas != 1:
        text = f"{replicas} replicas × ({text}) = {replicas * pool.layout.world_size}"
    return f"{pool.pool.name}: {text}"


def _counted_overlays(pools: tuple[PoolCase, ...], claimed: int) -> tuple[PoolCase, tuple[str, ...]] | None:
    """The pool and its overlaying degrees whose multiplication gives ``claimed``, the fewest that do."""
    if len(pools) > 1:
        naive = sum(pool.layout.naive_product * pool.pool.replicas_min.value for pool in pools)
        for pool in pools if naive == claimed else ():
            if names := _overlays(pool.layout):
                return pool, names
        return None
    found = _multiplied(pools[0].layout, pools[0].layout.world_size * pools[0].pool.replicas_min.value, claimed)
    return (pools[0], found) if found else None


def _multiplied(layout: Layout, right: int, claimed: int) -> tuple[str, ...]:
    """The overlaying degrees that make ``claimed`` of the ``right`` count, the fewest that do."""
    names = _overlays(layout)
    for size in range(1, len(names) + 1):
        for some in combinations(names, size):
            if right * prod(layout.degree(name) for name in some) == claimed:
                return some
    return ()


def alternative_counts(case: PlanCase) -> Iterator[CountClaim]:
    """``claims.gpus`` of alternatives against the law, as :func:`gpu_count_claim` for the plan's own."""
    for each in case.plan.alternatives if len(case.pools) == 1 else ():
        claimed = stated(each.claims.gpus)
        if claimed is None:
            continue
        layout = case.pool.layout.with_(**{DEGREES[key]: fact.value for key, fact in each.degrees.items()})
        right = layout.world_size * case.pool.pool.replicas_min.value
        if claimed == right:
            continue
        names = _multiplied(layout, right, claimed)
        letters = " and ".join(f"{LETTER_OF[name]} {layout.degree(name)}" for name in names)
        label = f"the degrees of `{each.name[:40]}` make {right} GPUs, not {claimed}"
        if names:
            label += f": {letters} run{'s' if len(names) == 1 else ''} on GPUs that are counted already"
        fix = written(f"write the GPUs that the degrees make, {right}", (each.claims.gpus, right), safe=False)
        place = each.claims.gpus.place or each.place
        verdict = Verdict(
            place, label, (layout.formula(),), (f"the engine counts them: {layout.law.source}",), proposals=fix, key=each.name
        )
        yield CountClaim("PAR219" if names else "PLN903", verdict)


def _overlays(layout: Layout) -> tuple[str, ...]:
    return tuple(name for name in layout.law.overlays if layout.degree(name) > 1)[:MOST_OVERLAYS]


def _group(layout: Layout, name: str) -> str:
    return "·".join(LETTER_OF[each] for each in layout.law.overlays[name].split("·"))


def _left_out(layout: Layout, right: int, claimed: int) -> tuple[str, ...]:
    """The multiplying degrees without which the law gives ``claimed``."""
    names = [name for name in layout.law.multiplies if layout.degree(name) > 1]
    for size in range(1, len(names) + 1):
        for some in combinations(names, size):
            if claimed * prod(layout.degree(name) for name in some) == right:
                return some
    return ()


def _degree_facts(case: PlanCase) -> list[tuple[Fact[int], str]]:
    return [(fact, LETTERS[key]) for key, fact in case.plan.parallelism.items() if fact.get(1) > 1]


# PLN909


def parameter_verdicts(case: PlanCase) -> Iterator[Verdict]:
    """``model.parameters`` against the tensors of the shape."""
    fact = case.plan.parameters
    claimed = stated(fact)
    pool = case.pool.pool
    if claimed is None or (not pool.architecture.is_known and pool.architecture.reason == "not stated"):
        return
    from servelint.capacity.shape import hidden_size, layer_count, whole
    from servelint.capacity.tensors import draft_layer_parameters
    from servelint.capacity.vision import vision_parameters
    from servelint.capacity.weights import text_parameters

    shape = case.pool.architecture
    counted = text_parameters(shape)
    tolerance = principles(case).tolerances.parameters
    # A count may or may not include the modules for speculative decoding and the vision tower.
    draft = draft_layer_parameters(shape)
    vision = vision_parameters(shape, counted, draft, hidden_size(shape))
    low, high, note = counted, counted + draft + (vision.high if vision is not None else 0.0), ""
    if not whole(shape, "vocab_size", "padded_vocab_size"):
        # An embedding and a head of any vocabulary there is: none has a million entries.
        high += 2 * hidden_size(shape) * 1e6
        note = f"; vocab_size is not stated, and embeddings of a million entries would make it {count(high)}"
    if low * (1 - tolerance) <= claimed.value_si <= high * (1 + tolerance):
        return
    ratio = max(claimed.value_si / counted, counted / claimed.value_si)
    yield Verdict(
        place_of(case, fact),
        f"{claimed.text} stated, but the shape has {count(counted)}: {ratio:,.3g} times apart",
        arithmetic=(
            f"{layer_count(shape)} layers, hidden size {hidden_size(shape)}: {count(counted)} parameters{note}",
            f"both readings are evaluated: {count(claimed.value_si)} stated, {count(counted)} by the shape",
        ),
        help=("correct the one that is wrong: until then a bound is proven only where it holds in both readings",),
        related=related((pool.architecture, "the shape")),
    )


def count(value: float) -> str:
    """``41.9M``, ``10B``"""
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"
