"""PLN915, PLN917: times that the hardware cannot reach, and requirements that contradict one another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.finding import Certainty, Severity, Verdict
from servelint.formats.plan.claims import gpus_of
from servelint.formats.plan.model import is_absent, stated
from servelint.rulebook import Scope, rule
from servelint_rules.figures import duration, rate
from servelint_rules.plan_claims import place_of, related
from servelint_rules.plan_throughput import alternatives

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import PlanCase, PoolCase


@rule(
    "PLN915", "ttft-claim-below-bound", "Claimed time to first token is below the hardware's bound",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.PLAN, since="0.1.0", formats=("plan",),
    inputs=("model", "accelerator", "workload", "claims"),
)  # fmt: skip
def ttft_claim_below_bound(case: PlanCase) -> Iterator[Verdict]:
    """
    ## What it checks

    `claims.ttft` against the least time in which all GPUs of a replica, at the highest peak that any source lists, can compute
    one prompt of `input_tokens.max` (of the last of all requests, where they arrive in a burst). The same bound on the target
    is SLO801.

    ## Why it matters

    No engine and no layout is faster, so the claim was not measured on this hardware with this model. It was read off another
    model, another unit, a shorter prompt, or divided by something that does not divide time.

    ## How to fix

    Compute the time from the arithmetic of the prompt: 2 × parameters × tokens / (GPUs × peak × the share reached). Tokens
    that a prefix cache serves are not computed: claim the time of prompts without it, or state shorter ones.

    ## Certainty

    Proven: every GPU counts, each weight is used once per token, embeddings and LM head are left out. Where stated parameters
    and shape disagree and only one reading forbids the claim, a warning that names it.

    ## References

    - [Kaplan et al., *Scaling laws for neural language models*](https://arxiv.org/abs/2001.08361), table 1: 2 operations per
      parameter and token
    - `servelint derive` prints the bound with its terms
    """
    claims = case.plan.claims
    claim = stated(claims.ttft)
    if claim is None:
        return
    pool = next((each for each in case.pools if each.pool.role.value in ("prefill", "serve")), case.pool)
    # Of the GPUs that a name may mean the fastest counts.
    bounds = min((_ttft_bounds(each) for each in alternatives(pool)), key=min)
    beaten = [(least, label) for least, label in bounds if claim.value_si + claim.rounding < least]
    if not beaten:
        return
    certain = len(beaten) == len(bounds)
    least, label = min(beaten)
    tokens = pool.pool.input_tokens_max.value
    yield Verdict(
        place_of(case, claims.ttft),
        f"at least {duration(least)} s" + ("" if certain else f" with {label}") + f", not {claim.text}",
        arithmetic=tuple(
            f"{label}, {tokens} tokens on {pool.layout.world_size} GPUs at their peak: {duration(each)} s"
            for each, label in bounds
        ),
        related=related(
            (pool.pool.input_tokens_max, "the longest prompt"), (case.plan.parameters, "the parameters"),
            (pool.pool.accelerator, "the accelerator"),
        ),
        severity=Severity.ERROR if certain else Severity.WARNING,
        certainty=Certainty.PROVEN if certain else Certainty.ESTIMATED,
    )  # fmt: skip


def _ttft_bounds(case: PoolCase) -> list[tuple[float, str]]:
    """Seconds below which no engine gets, with the reading of the model that says so."""
    from servelint.capacity.latency import lengths_of
    from servelint.capacity.work import peak_flops, prompt_flops, readings_of

    pool = case.pool
    rate_ = case.layout.world_size * peak_flops(pool, case.accelerator, True)
    lengths = lengths_of(pool)
    others = pool.concurrency.value - 1 if pool.arrival.get("steady") == "burst" else 0
    return [
        ((prompt_flops(pool, work, lengths.longest) + others * prompt_flops(pool, work, lengths.shortest)) / rate_, work.label)
        for work in readings_of(pool)
    ]


@rule(
    "PLN917", "target-itself-impossible", "Requirements contradict one another, whatever the layout",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.PLAN, since="0.1.0", formats=("plan",),
    inputs=("model", "accelerator", "workload", "targets"),
)  # fmt: skip
def target_itself_impossible(case: PlanCase) -> Iterator[Verdict]:
    """
    ## What it checks

    The requirements alone. A `memory_utilization` whose least is above its most. A `throughput_per_gpu` above all the tokens
    that arrive: `request_rate` times the longest request, over the GPUs. And times that all requests in flight can only
    meet at a rate beyond the roofline: with N requests always in flight, N / (`ttft` + `tpot` × answer) requests finish per
    second, and their tokens have to be computed. A single target beyond the hardware is SLO801, SLO802 or SLO803.

    ## Why it matters

    No layout meets such requirements, so every plan for them is wrong, and searching for a better one is wasted. It is the
    requirement that has to be talked about.

    ## How to fix

    Check units and scope (per GPU or in total, per second or per millisecond), then give up one side of the contradiction.
    Tokens that a prefix cache serves are not computed: `input_tokens` are those that are.

    ## Certainty

    Proven: arithmetic on the requirements, with the shortest prompts and the most favourable reading of the model.

    ## References

    - Little, *A proof for the queuing formula L = λW*, 1961
    - Williams, Waterman, Patterson: Roofline, CACM 52(4), 2009
    """
    yield from _utilization(case)
    yield from _more_than_arrives(case)
    yield from _times_against_load(case)


def _utilization(case: PlanCase) -> Iterator[Verdict]:
    pool = case.pool.pool
    least, most = pool.target_memory_utilization_min, pool.target_memory_utilization_max
    if least.is_known and most.is_known and least.value > most.value:
        yield Verdict(
            place_of(case, least),
            f"at least {least.value:.4g} and at most {most.value:.4g} of the memory cannot both hold",
            related=related((most, "the most")),
            key="utilization",
        )


def _more_than_arrives(case: PlanCase) -> Iterator[Verdict]:
    """A throughput per GPU above what the request rate brings."""
    pool = case.pool.pool
    target = stated(case.plan.targets.throughput_per_gpu)
    if target is None or len(case.pools) != 1 or is_absent(pool.request_rate) or target.of == "input":
        return
    answers = [fact.value for fact in (pool.output_tokens_max, pool.output_tokens_mean) if fact.is_known]
    if not answers or (target.of == "total" and not pool.input_tokens_max.is_known):
        return  # how much a request brings is not stated
    tokens = answers[0] + (pool.input_tokens_max.value if target.of == "total" else 0)
    gpus = gpus_of(case)
    arrives = pool.request_rate.value * tokens / gpus
    if target.rate.value_si - target.rate.rounding <= arrives:
        return
    yield Verdict(
        place_of(case, case.plan.targets.throughput_per_gpu),
        f"{target.rate.text} per GPU wanted; only {rate(arrives)} tokens/s per GPU arrive",
        arithmetic=(f"{pool.request_rate.value:g} requests/s × at most {tokens:g} tokens / {gpus} GPUs = {rate(arrives)}",),
        related=related((pool.request_rate, "requests that arrive"), (pool.input_tokens_max, "their length")),
        key="arrives",
    )


def _times_against_load(case: PlanCase) -> Iterator[Verdict]:
    """Times to first and further tokens that so many requests in flight can only meet beyond the roofline."""
    targets, pool = case.plan.targets, case.pool.pool
    first, each = stated(targets.ttft), stated(targets.tpot)
    if first is None or each is None or len(case.pools) != 1 or is_absent(pool.concurrency):
        return
    answer = pool.output_tokens_mean if pool.output_tokens_mean.is_known else pool.output_tokens_max
    if is_absent(answer) or not pool.input_tokens_min.is_known or pool.arrival.get("steady") == "burst":
        return
    longest = first.value_si + each.value_si * max(0.0, answer.value - 1)
    tokens = pool.input_tokens_min.value + answer.value
    if not longest:
        return
    gpus = gpus_of(case)
    wanted = pool.concurrency.value / longest * tokens / gpus
    bound = max(each.throughput.best for each in alternatives(case.pool))
    if wanted <= bound:
        return
    yield Verdict(
        place_of(case, targets.ttft),
        f"{pool.concurrency.value} requests in flight that meet both times make {rate(wanted)} tokens/s per GPU; "
        f"the most is {rate(bound)}",
        arithmetic=(
            f"{first.text} + {each.text} × {answer.value - 1:g} = {duration(longest)} s for each request",
            f"{pool.concurrency.value} × {tokens:g} tokens (shortest prompts) / {duration(longest)} s / {gpus} = {rate(wanted)}",
        ),
        related=related((targets.tpot, "with it"), (pool.concurrency, "requests in flight")),
        key="load",
    )
