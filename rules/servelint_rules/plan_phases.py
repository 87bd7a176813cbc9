"""PLN912, PLN924: prefill and decode are two workloads; what a plan says of one does not hold for the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.facts import Place, UnknownFact
from servelint.finding import Certainty, Proposal, Severity, Verdict
from servelint.formats.plan.model import is_absent, stated
from servelint.rulebook import Scope, rule
from servelint.source.nodes import MappingNode
from servelint_rules.figures import duration
from servelint_rules.plan_claims import place_of, principles, related
from servelint_rules.plan_path import pool_of
from servelint_rules.plan_throughput import alternatives

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import PlanCase, PoolCase
    from servelint.finding import Edit


# What a phase is said to be limited by, where that can be held against the hardware.
_UNUSUAL = frozenset((("prefill", "memory"), ("decode", "compute")))


@rule(
    "PLN912", "phases-not-separated", "Prefill and decode are not judged apart",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.PLAN, since="0.1.0", formats=("plan",),
    inputs=("model", "accelerator", "workload", "claims"),
)  # fmt: skip
def phases_not_separated(case: PlanCase) -> Iterator[Verdict]:
    """
    ## What it checks

    Three things. `phases.decode.bound: compute` where a step over all requests of a rank takes longer to read its weights
    and KV cache than to multiply them, and `phases.prefill.bound: memory` where even the shortest prompt takes longer to
    multiply. `claims.latency` against `ttft` + `tpot` × (answer tokens − 1), to 5 %, for the mean or the longest answer. And
    a `claims.latency` without those two: one time for both phases.

    ## Why it matters

    Prefill is limited by arithmetic and decode by memory bandwidth. A decode step taken for compute-bound is planned with
    tensor cores it cannot feed; a single latency hides which of the two misses its target.

    ## How to fix

    State `ttft` and `tpot`, and let the whole follow from them. Judge each phase by its own limit: arithmetic per prompt in
    prefill, bytes per step in decode.

    ## Certainty

    Proven: bytes / bandwidth against operations / peak, at the end that favours the plan and in every reading of the model;
    and a sum of the plan's own figures. A latency that is not divided is a warning.

    ## References

    - `rules/servelint_rules/knowledge.yaml`, `phases`
    - [Pope et al., *Efficiently scaling transformer inference*](https://arxiv.org/abs/2211.05102), sections 2 and 3
    - Williams, Waterman, Patterson: Roofline, CACM 52(4), 2009
    """
    yield from _bounds(case)
    yield from _whole(case)


def _bounds(case: PlanCase) -> Iterator[Verdict]:
    """Phases whose stated limit is not what limits them."""
    for phase, usual in principles(case).phases.items():
        node = case.plan.node("phases", phase, "bound")
        said = case.plan.document.text_at("phases", phase, "bound")
        if node is None or said is None or said == usual or (phase, said) not in _UNUSUAL:
            continue
        pool = pool_of(case, phase)
        times = [(_decode if phase == "decode" else _prefill)(each) for each in alternatives(pool)]
        reading, counting, words = times[0]
        if all(read > count if said == "compute" else count > read for read, count, _ in times):
            longer, shorter = ("reading memory", "arithmetic") if said == "compute" else ("arithmetic", "reading memory")
            least = f"{duration(max(reading, counting) * 1e3)} ms of {longer} against {duration(min(reading, counting) * 1e3)} ms"
            yield Verdict(
                Place.of(case.plan.document, node),
                f"{phase} is not limited by {'arithmetic' if said == 'compute' else 'memory'}: {least} of {shorter}",
                arithmetic=(words,),
                related=related((pool.pool.concurrency, "requests at once"), (pool.pool.accelerator, "the accelerator")),
                key=phase,
            )


def _decode(case: PoolCase) -> tuple[float, float, str]:
    """Seconds of reading and of arithmetic of one decode step of a replica, both at the end that favours compute-bound."""
    from servelint.capacity.work import bandwidth, peak_flops, readings_of, traffic_of

    pool, layout = case.pool, case.layout
    batch = float(pool.concurrency.value)
    shortest = pool.input_tokens_min.value if pool.input_tokens_min.is_known else 1
    moved = traffic_of(pool, layout).least(batch, shortest) / (layout.world_size * bandwidth(case.accelerator))
    counted = max(2.0 * (work.layers + work.head) * batch for work in readings_of(pool))
    counting = counted / (layout.world_size * peak_flops(pool, case.accelerator, False))
    return moved, counting, f"one step over {batch:g} requests on {layout.world_size} GPUs: weights and KV read once"


def _prefill(case: PoolCase) -> tuple[float, float, str]:
    """Seconds of reading and of arithmetic of the shortest prompt, both at the end that favours memory-bound."""
    from servelint.capacity.work import bandwidth, peak_flops, prompt_flops, readings_of, traffic_of

    pool, layout = case.pool, case.layout
    if not pool.input_tokens_min.is_known:
        raise UnknownFact("workload.input_tokens.min", "how short a prompt may be is not stated", "state it")
    tokens = pool.input_tokens_min.value
    traffic = traffic_of(pool, layout)
    moved = (traffic.fixed.high + traffic.experts.high) / (layout.world_size * bandwidth(case.accelerator))
    counted = min(prompt_flops(pool, work, tokens) for work in readings_of(pool))
    counting = counted / (layout.world_size * peak_flops(pool, case.accelerator, True))
    return moved, counting, f"a prompt of {tokens} tokens on {layout.world_size} GPUs: every weight read once"


def _whole(case: PlanCase) -> Iterator[Verdict]:
    """``claims.latency`` against the phases it is made of."""
    claims = case.plan.claims
    latency, first, each = stated(claims.latency), stated(claims.ttft), stated(claims.tpot)
    if latency is None:
        return
    if first is None or each is None:
        lacking = " and ".join(f"`{name}`" for name, part in (("ttft", first), ("tpot", each)) if part is None)
        yield Verdict(
            place_of(case, claims.latency),
            f"one time of {latency.text} for both phases: {lacking} {'are' if ' and ' in lacking else 'is'} not claimed",
            help=("claim the time to the first token and the time per output token apart",),
            severity=Severity.WARNING,
            key="latency",
        )
        return
    pool = case.pool.pool
    answers = [fact.value for fact in (pool.output_tokens_mean, pool.output_tokens_max) if not is_absent(fact)]
    sums = [first.value_si + each.value_si * max(0.0, tokens - 1) for tokens in answers]
    if not sums:
        raise UnknownFact("workload.output_tokens", "how many tokens an answer has is not stated", "state workload.output_tokens")
    tolerance = principles(case).tolerances.path
    for tokens, whole in zip(answers, sums, strict=True):
        slack = latency.rounding + first.rounding + each.rounding * tokens
        if abs(latency.value_si - whole) <= tolerance * whole + slack:
            return
    yield Verdict(
        place_of(case, claims.latency),
        f"the phases make {duration(sums[0])} s, not {latency.text}",
        arithmetic=(f"{first.text} + {each.text} × ({answers[0]:g} − 1) = {duration(sums[0])} s",),
        related=related((claims.ttft, "the first token"), (claims.tpot, "each further one"), (pool.output_tokens_mean, "tokens")),
        key="latency",
    )


@rule(
    "PLN924", "sp-in-decode", "Sequence parallelism in decode divides no KV cache",
    severity=Severity.WARNING, certainty=Certainty.HEURISTIC, scope=Scope.PLAN, since="0.1.0", formats=("plan",), fixable=True,
)  # fmt: skip
def sp_in_decode(case: PlanCase) -> Iterator[Verdict]:
    """
    ## What it checks

    `phases.decode.sequence` above 1.

    ## Why it matters

    Sequence parallelism (Megatron's) divides the activations between the tensor-parallel parts of a layer along the tokens of
    a prompt. A decode step has one token of each request: there is nothing along which to divide, and the KV cache lies
    with the attention heads as before. Plans that count on "half of the cache per GPU" run out of it at half of the load.

    ## How to fix

    Take it out of the decode phase. Where the cache of long contexts is to be divided along the tokens, that is decode context
    parallelism: state `decode_context`, in an engine that has it (vLLM), with as many ranks as divide
    the tensor-parallel group.

    ## Certainty

    Heuristic: what it divides is the engine's law; that the plan counts on more is what the phase suggests.

    ## References

    - [Korthikanti et al., *Reducing activation recomputation in large transformer models*](https://arxiv.org/abs/2205.05198), 4.2
    - vLLM documentation, *Context parallel deployment*
    - docs/knowledge.md, where a public knowledge file says otherwise
    """
    degree = case.plan.phases.get("decode", {}).get("sequence")
    if degree is None or degree.value <= 1 or degree.place is None:
        return
    claimed = case.plan.claims.memory.kv_cache
    yield Verdict(
        degree.place,
        f"SP {degree.value} in decode: a step has one token of each request, and the KV cache is not divided by it",
        help=("`decode_context` divides the cache along the tokens, where the engine has it",),
        related=related((claimed, "the KV cache counted on")),
        proposals=(Proposal("take sequence parallelism out of decode", False, lambda: _without(case)),),
    )


def _without(case: PlanCase) -> tuple[Edit, ...] | None:
    from servelint.source.edits import remove_entry

    mapping = case.plan.node("phases", "decode")
    return remove_entry(case.plan.document, mapping, "sequence") if isinstance(mapping, MappingNode) else None
