"""Throughput claims: beyond what the hardware can do (PLN916), or of another unit or scope (PLN905)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.case import PoolCase
from servelint.facts import FactState, UnknownFact
from servelint.finding import Certainty, Severity, Verdict
from servelint.formats.plan.claims import gpus_of
from servelint.formats.plan.model import stated
from servelint.records import NamedTuple
from servelint_rules.plan_claims import MOST_LINES, place_of, principles, related, written

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import PlanCase
    from servelint.facts import Fact
    from servelint.formats.plan.model import Throughput


class Roofline(NamedTuple):
    """The most tokens per second and GPU: in the most favourable reading of the model, and in the stated one."""

    best: float
    stated: float
    lines: tuple[str, ...]


def roofline(case: PlanCase, of: str) -> Roofline:
    """The bound of tokens ``of`` a kind ("output", or any other: of any token), over all pools and all accelerators a pool may
    run on the most favourable. Raises :class:`UnknownFact`."""
    best = first = 0.0
    lines: list[str] = []
    for pool in case.pools:
        for one in alternatives(pool):
            bound = one.throughput
            readings = bound.output_bounds if of == "output" else bound.bounds
            best = max(best, *(reading.tokens_per_second_per_gpu for reading in readings))
            first = max(first, readings[0].tokens_per_second_per_gpu)
            kind = "output tokens/s" if of == "output" else "tokens/s"
            lines += [f"{each.label}: at most {rate(each.tokens_per_second_per_gpu)} {kind} per GPU" for each in readings]
    return Roofline(best, first, tuple(dict.fromkeys(lines)))


def alternatives(pool: PoolCase) -> list[PoolCase]:
    """The pool on each accelerator that its name may mean."""
    fact = pool.pool.accelerator
    if fact.state is FactState.ALTERNATIVES:
        return [PoolCase(pool.pool, pool.deployment, accelerator) for accelerator in fact.values]
    return [pool]


def rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


class PerGpu(NamedTuple):
    """A claimed rate per GPU: where it is claimed, as written, in tokens/s with its rounding, and of which tokens."""

    fact: Fact[Throughput]
    text: str
    value: float
    rounding: float
    of: str


def claims_per_gpu(case: PlanCase) -> Iterator[PerGpu]:
    """The claimed throughput per GPU; the total over the GPUs only where no figure per GPU is claimed."""
    claims = case.plan.claims
    own = stated(claims.throughput_per_gpu)
    if own is not None:
        yield PerGpu(claims.throughput_per_gpu, f"{own.rate.text} per GPU", own.rate.value_si, own.rate.rounding, own.of)
        return
    total = stated(claims.throughput)
    if total is not None:
        gpus = gpus_of(case)
        text = f"{total.rate.text} on {gpus} GPUs"
        yield PerGpu(claims.throughput, text, total.rate.value_si / gpus, total.rate.rounding / gpus, total.of)


def beyond_roofline_verdicts(case: PlanCase) -> Iterator[Verdict]:
    """Claims above what the peak allows in every reading of the model."""
    for claim in claims_per_gpu(case):
        roof = roofline(case, claim.of)
        if claim.value - claim.rounding <= roof.best:
            continue
        yield Verdict(
            place_of(case, claim.fact),
            f"{claim.text} is {times(claim.value / roof.best)} the most the hardware can do"
            + (" in either reading of the model" if len(roof.lines) > 1 else ""),
            arithmetic=(*roof.lines[: MOST_LINES - 1], f"claimed: {rate(claim.value)} tokens/s per GPU"),
            related=related(
                (case.plan.parameters, "the parameters"),
                (case.pool.pool.architecture, "the shape"),
                (case.pool.pool.accelerator, "the accelerator"),
            ),
        )


def times(factor: float) -> str:
    return f"{factor:,.0f}x" if factor >= 10 else f"{factor:.3g}x"


def scope_verdicts(case: PlanCase) -> Iterator[Verdict]:
    """A total and a figure per GPU that differ by a scope (proven), and a figure that only another unit makes possible."""
    for verdict in (scope_mismatch(case), unit_slip(case)):
        if verdict is not None:
            yield verdict


def scope_mismatch(case: PlanCase) -> Verdict | None:
    """``throughput`` ≠ ``throughput_per_gpu`` × GPUs, and their quotient is that of a scope or unit taken for another."""
    claims = case.plan.claims
    per_gpu, total = stated(claims.throughput_per_gpu), stated(claims.throughput)
    if per_gpu is None or total is None or not per_gpu.rate.value_si or not total.rate.value_si or per_gpu.of != total.of:
        return None
    gpus = gpus_of(case)
    tolerances = principles(case).tolerances
    quotient = total.rate.value_si / per_gpu.rate.value_si
    rounding = sum(each.rate.rounding / each.rate.value_si for each in (per_gpu, total))
    allowed = max(tolerances.arithmetic, min(rounding, tolerances.rounded))

    def near(factor: float) -> bool:
        return bool(abs(quotient / factor - 1) <= allowed)

    # A count that is itself wrong is another rule's finding, so a total for the claimed GPUs is no mixed scope.
    if any(near(count) for count in {gpus, claims.gpus.get(gpus)}):
        return None
    layout = case.pool.layout
    for factor, meaning in (
        (1.0, "the figure per GPU is given as the total"),
        (float(layout.world_size), "the total is one replica's"),
        (float(layout.data), "the total is the figure per GPU times DP alone"),
        (gpus * 1000.0, "tokens/ms and tokens/s are mixed up"),
        (gpus / 1000.0, "tokens/ms and tokens/s are mixed up"),
    ):
        if near(factor):
            right = per_gpu.rate.value_si * gpus
            return Verdict(
                place_of(case, claims.throughput),
                f"{total.rate.text} is not {per_gpu.rate.text} on {gpus} GPUs: {meaning}",
                arithmetic=(
                    f"{per_gpu.rate.text} × {gpus} GPUs = {rate(right)} tokens/s",
                    f"claimed as the total: {rate(total.rate.value_si)} tokens/s, {quotient:,.4g} times that per GPU",
                ),
                related=related((claims.throughput_per_gpu, "per GPU")),
                proposals=written("write the total that follows", (claims.throughput, right), safe=False),
                key="total",
            )
    return None


def unit_slip(case: PlanCase) -> Verdict | None:
    """A claim per GPU beyond the roofline of every reading that another unit or scope brings to or below the stated one's."""
    claims = case.plan.claims
    claim = stated(claims.throughput_per_gpu)
    if claim is None:
        return None
    roof = roofline(case, claim.of)
    value = claim.rate.value_si
    if value - claim.rate.rounding <= roof.best:
        return None
    try:
        gpus = gpus_of(case)
    except UnknownFact:
        gpus = 1
    for factor, meaning in (
        (1000.0, "a figure per second and one per millisecond are mixed up"),
        (float(gpus), f"it is the total of {gpus} GPUs"),
        (1000.0 * gpus, f"it is the total of {gpus} GPUs, and seconds and milliseconds are mixed up"),
    ):
        read = value / factor
        if factor > 1 and read <= roof.stated:
            target = stated(case.plan.targets.throughput_per_gpu)
            bound = f"the bound of the stated parameters ({rate(roof.stated)} tokens/s per GPU)"
            arithmetic = [
                f"{rate(value)} tokens/s is {times(value / roof.stated)} {bound}",
                f"read as {rate(read)} tokens/s it would be below it",
            ]
            if target is not None and target.rate.value_si:
                wanted = target.rate.value_si
                arithmetic.append(f"that is {read / wanted:.2g}x the target of {target.rate.text}, not {times(value / wanted)}")
            return Verdict(
                place_of(case, claims.throughput_per_gpu),
                f"{claim.rate.text} per GPU looks like {rate(read)} tokens/s: {meaning}",
                arithmetic=tuple(arithmetic),
                related=related((case.plan.targets.throughput_per_gpu, "the target")),
                severity=Severity.WARNING,
                certainty=Certainty.HEURISTIC,
                key="unit",
            )
    return None
