"""PLN920-PLN922: what a plan says of itself in words, and figures of it that cannot both be true."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.finding import Certainty, Severity, Verdict
from servelint.formats.plan.claims import gpus_of
from servelint.formats.plan.model import is_absent, stated
from servelint.formats.plan.quantities import nearest
from servelint.rulebook import Scope, rule
from servelint_rules import plan_throughput
from servelint_rules.figures import rate
from servelint_rules.plan_claims import place_of, principles, related

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import PlanCase
    from servelint.facts import Fact


@rule(
    "PLN920", "claims-contradict-each-other", "Two statements of the plan cannot both be true",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.PLAN, since="0.1.0", formats=("plan",),
    inputs=("claims",),
)  # fmt: skip
def claims_contradict_each_other(case: PlanCase) -> Iterator[Verdict]:
    """
    ## What it checks

    - A target listed under `claims.meets` that the claimed figure misses.
    - `claims.throughput` that is not `throughput_per_gpu` times the GPUs, where no mixed-up unit or scope explains it (that
      is PLN905).
    - A throughput above what the claimed `tpot` lets the stated `concurrency` produce: N requests in flight give at most
      N / `tpot` output tokens per second, each with its share of a prompt.
    - An entry of `alternatives` with the plan's own degrees and another figure for the same thing.

    ## Why it matters

    Whoever reads the plan takes the figure that suits them. If one of two is wrong, nobody can tell which was measured.

    ## How to fix

    Decide which of the two was computed last and correct the other; a target that is missed does not belong under `meets`.

    ## Certainty

    Proven: figures of the same document, to 1 % or their rounding.

    ## References

    - Little, *A proof for the queuing formula L = λW*, 1961
    - `rules/servelint_rules/knowledge.yaml`, `tolerances`
    """
    yield from _missed(case)
    yield from _totals(case)
    yield from _faster_than_its_tokens(case)
    yield from _twice(case)


def _missed(case: PlanCase) -> Iterator[Verdict]:
    """Targets said to be met that the plan's own figure misses."""
    claims, targets, pool = case.plan.claims, case.plan.targets, case.pool.pool
    for said in claims.meets:
        pairs: list[tuple[Fact[Any], float, float, str]] = []
        if said.value in ("ttft", "tpot"):
            fact, target = getattr(claims, said.value), stated(getattr(targets, said.value))
            claim = stated(fact)
            if claim is not None and target is not None and claim.value_si - claim.rounding > target.value_si:
                pairs.append((fact, claim.value_si, target.value_si, f"{claim.text} claimed, at most {target.text} wanted"))
        elif said.value == "throughput_per_gpu":
            target_rate = stated(targets.throughput_per_gpu)
            for own in plan_throughput.claims_per_gpu(case):
                if target_rate is None or own.of != target_rate.of:
                    continue
                if own.value + own.rounding < target_rate.rate.value_si:
                    shown = f"{own.text}, at least {target_rate.rate.text} per GPU wanted"
                    pairs.append((own.fact, own.value, target_rate.rate.value_si, shown))
        elif said.value == "memory_utilization":
            share = stated(claims.memory.utilization)
            least, most = pool.target_memory_utilization_min, pool.target_memory_utilization_max
            if share is not None and least.is_known and share.value_si + share.rounding < least.value:
                shown = f"{share.text} claimed, at least {least.value * 100:g} % wanted"
                pairs.append((claims.memory.utilization, share.value_si, least.value, shown))
            if share is not None and most.is_known and share.value_si - share.rounding > most.value:
                shown = f"{share.text} claimed, at most {most.value * 100:g} % wanted"
                pairs.append((claims.memory.utilization, share.value_si, most.value, shown))
        for fact, value, target_value, shown in pairs:
            if said.place is not None:
                yield Verdict(
                    said.place,
                    f"`{said.value}` is said to be met: {shown}",
                    arithmetic=(f"{value / target_value:.3g} times the target",) if target_value else (),
                    related=related((fact, "the claim")),
                    key=f"meets:{said.value}",
                )


def _totals(case: PlanCase) -> Iterator[Verdict]:
    """A total that is no multiple of the figure per GPU that any scope or unit explains."""
    claims = case.plan.claims
    each, total = stated(claims.throughput_per_gpu), stated(claims.throughput)
    if each is None or total is None or each.of != total.of or not each.rate.value_si or not total.rate.value_si:
        return
    gpus = gpus_of(case)
    right = each.rate.value_si * gpus
    tolerances = principles(case).tolerances
    rounding = each.rate.rounding / each.rate.value_si + total.rate.rounding / total.rate.value_si
    counts = {gpus, claims.gpus.get(gpus)}
    if any(abs(total.rate.value_si / (each.rate.value_si * n) - 1) <= max(tolerances.arithmetic, rounding) for n in counts):
        return
    if plan_throughput.scope_mismatch(case) is not None:
        return
    yield Verdict(
        place_of(case, claims.throughput),
        f"{each.rate.text} on {gpus} GPUs is {rate(right)} tokens/s, not {total.rate.text}",
        arithmetic=(f"{each.rate.text} × {gpus} = {rate(right)} tokens/s; claimed: {rate(total.rate.value_si)}",),
        related=related((claims.throughput_per_gpu, "per GPU")),
        key="total",
    )


def _faster_than_its_tokens(case: PlanCase) -> Iterator[Verdict]:
    """A throughput above that of so many requests with so much time for each token."""
    claims, pool = case.plan.claims, case.pool.pool
    each = stated(claims.tpot)
    if each is None or not each.value_si or len(case.pools) != 1 or is_absent(pool.concurrency):
        return
    for claim in plan_throughput.claims_per_gpu(case):
        if claim.of == "input":
            continue
        inputs = 0.0
        if claim.of == "total":
            if not (pool.output_tokens_mean.is_known and pool.input_tokens_max.is_known and pool.output_tokens_mean.value):
                continue
            inputs = pool.input_tokens_max.value / pool.output_tokens_mean.value
        gpus = gpus_of(case)
        most = pool.concurrency.value / max(1e-12, each.value_si - each.rounding) * (1 + inputs) / gpus
        if claim.value - claim.rounding <= most * (1 + principles(case).tolerances.arithmetic):
            continue
        kind = "output" if claim.of == "output" else "input and output"
        with_inputs = f" × (1 + {inputs:.3g} prompt tokens each)" if inputs else ""
        yield Verdict(
            place_of(case, claim.fact),
            f"{claim.text}, but {pool.concurrency.value} requests at {each.text} a token make {rate(most)} {kind} tokens/s",
            arithmetic=(f"{pool.concurrency.value} / {each.text}{with_inputs} / {gpus} GPUs = {rate(most)} tokens/s per GPU",),
            related=related((claims.tpot, "the time per token"), (pool.concurrency, "requests in flight")),
            key="tokens",
        )


def _twice(case: PlanCase) -> Iterator[Verdict]:
    """Figures of an alternative that is the plan's own layout."""
    own, plan = case.plan.claims, case.plan
    for other in plan.alternatives:
        if plan.has_pools or any(other.degrees[key].value != fact.value for key, fact in plan.parallelism.items()):
            continue
        for name in ("ttft", "tpot", "latency", "prefill_flops"):
            mine, theirs = stated(getattr(own, name)), stated(getattr(other.claims, name))
            place = getattr(other.claims, name).place
            if mine is None or theirs is None or place is None:
                continue
            if abs(mine.value_si - theirs.value_si) > 0.01 * mine.value_si + mine.rounding + theirs.rounding:
                yield Verdict(
                    place,
                    f"`{other.name[:40]}` has the plan's own degrees and another {name}: {theirs.text}, not {mine.text}",
                    related=related((getattr(own, name), "the plan's")),
                    key=f"twice:{other.name[:80]}:{name}",
                )


@rule(
    "PLN921", "compliance-asserted-not-shown", "Plan says it follows or meets what it does not show",
    severity=Severity.WARNING, certainty=Certainty.PROVEN, scope=Scope.PLAN, since="0.1.0", formats=("plan",),
    inputs=("claims",),
)  # fmt: skip
def compliance_asserted_not_shown(case: PlanCase) -> Iterator[Verdict]:
    """
    ## What it checks

    Each principle under `claims.follows`: it is one of the knowledge file, and the sections that show it are in the plan
    (`kv_cache` needs a KV cache in the memory claim and a workload, `critical_path` a path for both phases). Each target
    under `claims.meets`: it is a target, and a figure is claimed for it.

    ## Why it matters

    A list of ticks convinces by its length. What is not in the plan cannot be recomputed, so a tick without its figures is
    an assertion like any other.

    ## How to fix

    Add the section that the finding names, or take the assertion out. Principles are checked whether or not they are asserted.

    ## Certainty

    Proven: the sections are not there. What is there is judged by the rules that the knowledge file names.

    ## References

    - `rules/servelint_rules/knowledge.yaml`, `principles`
    """
    known = principles(case)
    claims = case.plan.claims
    for said in claims.follows:
        principle = known.principle(said.value)
        if said.place is None:
            continue
        if principle is None:
            names = [each.name for each in known.principles]
            near = nearest(said.value, names)
            hint = f"did you mean `{near}`?" if near else f"its principles are {', '.join(names)}"
            label = f"`{said.value[:40]}` is no principle of the knowledge file: {hint}"
            yield Verdict(said.place, label, key=f"follows:{said.value[:80]}")
            continue
        lacking = [path for path in principle.shown_by if case.plan.node(*path.split(".")) is None]
        if lacking:
            yield Verdict(
                said.place,
                f"`{said.value}` is said to be followed, but the plan has no {' and no '.join(f'`{path}`' for path in lacking)}",
                help=(f"checked by {' and '.join(principle.checked_by)}",) if principle.checked_by else (),
                key=f"follows:{said.value}",
            )
    for said in claims.meets:
        target = f"targets.{said.value}"
        claim = "claims.memory.utilization" if said.value == "memory_utilization" else f"claims.{said.value}"
        lacking = [path for path in (target, claim) if case.plan.node(*path.split(".")) is None]
        if claim in lacking and said.value == "throughput_per_gpu" and case.plan.node("claims", "throughput") is not None:
            lacking.remove(claim)
        if lacking and said.place is not None:
            shown = " and no ".join(f"`{path}`" for path in lacking)
            yield Verdict(said.place, f"`{said.value}` is said to be met, but the plan has no {shown}", key=f"meets:{said.value}")


@rule(
    "PLN922", "measured-claim-without-provenance", "Figures are said to be measured, but not where",
    severity=Severity.WARNING, certainty=Certainty.PROVEN, scope=Scope.PLAN, since="0.1.0", formats=("plan",),
    inputs=("claims",),
)  # fmt: skip
def measured_claim_without_provenance(case: PlanCase) -> Iterator[Verdict]:
    """
    ## What it checks

    `claims.source: measured` or `vendor`, of the plan or of an alternative, without `provenance`.

    ## Why it matters

    A measurement outweighs every estimate, servelint's too, and so it has to be found again: which engine and version, which
    GPUs, which load, when. Vendors' figures hold for the vendor's lengths and batch.

    ## How to fix

    State `provenance`: the run or record, its date, engine and load. Where it was estimated, say `source: estimated`.

    ## Certainty

    Proven: the statement is not there.

    ## References

    - [MLPerf Inference policies](https://github.com/mlcommons/inference_policies): what a published result has to state
    """
    for claims in (case.plan.claims, *(each.claims for each in case.plan.alternatives)):
        source = stated(claims.source)
        if source in ("measured", "vendor") and is_absent(claims.provenance) and claims.source.place is not None:
            yield Verdict(
                claims.source.place,
                f"`source: {source}` without `provenance`: what was run on what, and when",
                help=("write `provenance: engine, version, GPUs, load, date, where the record is`",),
                key="alternative" if claims is not case.plan.claims else "",
            )
