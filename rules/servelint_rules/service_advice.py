"""SLO806, SLO810: advice on the tokens of a step and on the number of replicas, where targets and load are stated."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from servelint.finding import Certainty, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint_rules.figures import count, duration
from servelint_rules.places import place_of, related
from servelint_rules.service_load import alone

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import PoolCase

# Steps of chunked prefill beyond which the fixed part of each is a good part of the time.
_MOST_CHUNKS = 64


@rule(
    "SLO806", "chunk-size-vs-ttft-tpot", "Tokens of a step do not suit the targets",
    severity=Severity.INFO, certainty=Certainty.ADVICE, scope=Scope.POOL, since="0.1.0", formats=("plan",), advice=True,
    inputs=("model", "accelerator", "targets"),
)  # fmt: skip
def chunk_size_vs_targets(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A stated `max_num_batched_tokens`: whether one step full of prompt tokens takes longer than
    `targets.tpot`, even at the lower end; and whether the longest prompt takes so many steps that the fixed part of
    each matters.

    ## Why it matters

    With chunked prefill, prompts and answers share their steps. A large step makes everybody's next token wait; a small one
    reads the weights again for every few tokens of the prompt.

    ## How to fix

    Choose the largest step that stays below the target for the time per output token.

    ## Certainty

    Advice: arithmetic of a step at the estimate's favourable end; what else is in the step is not known.

    ## References

    - [Agrawal et al., *Sarathi-Serve*](https://arxiv.org/abs/2403.02310)
    - vLLM documentation, *Optimization and Tuning*, chunked prefill
    """
    pool = case.pool
    if not pool.max_num_batched_tokens.is_stated or not (pool.target_tpot_seconds.is_known or pool.input_tokens_max.is_known):
        return
    tokens = pool.max_num_batched_tokens.value
    place = place_of(pool, pool.max_num_batched_tokens)
    if pool.target_tpot_seconds.is_known and pool.role.value == "serve":
        from servelint.capacity.work import peak_flops, readings_of

        least = min(2.0 * work.layers for work in readings_of(pool)) * tokens
        step = least / (case.layout.tensor * case.layout.pipeline * peak_flops(pool, case.accelerator, True))
        if step > pool.target_tpot_seconds.value:
            yield Verdict(
                place,
                f"a step of {tokens} prompt tokens takes at least {duration(step)} s; {pool.target_tpot_seconds.value:g} s per "
                "output token are wanted",
                related=related(place, (pool.target_tpot_seconds, "the target")),
                key="large",
            )
    if pool.input_tokens_max.is_known and pool.target_ttft_seconds.is_known:
        steps = ceil(pool.input_tokens_max.value / tokens)
        if steps > _MOST_CHUNKS:
            yield Verdict(
                place,
                f"the longest prompt of {pool.input_tokens_max.value} tokens takes {steps} steps",
                related=related(place, (pool.input_tokens_max, "the prompt"), (pool.target_ttft_seconds, "the target")),
                key="small",
            )


@rule(
    "SLO810", "replicas-exceed-demand", "More replicas than the load keeps busy",
    severity=Severity.INFO, certainty=Certainty.ADVICE, scope=Scope.POOL, since="0.1.0", advice=True,
    inputs=("model", "accelerator", "workload"),
)  # fmt: skip
def replicas_exceed_demand(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A pool of several replicas with a `request_rate` and stated `concurrency` of which fewer would stay below half of their
    prefill time and still hold all concurrent requests in their KV cache.

    ## Why it matters

    Replicas beyond the load are paid for and wait. They may be there for failures or peaks, which the plan does not say.

    ## How to fix

    Fewer replicas and an autoscaler for the peaks; or state the rate at the peak.

    ## Certainty

    Advice: the estimate's upper ends, but availability is a reason too.

    ## References

    - `servelint derive` prints what one replica holds
    """
    pool = case.pool
    if not (pool.request_rate.is_known and pool.concurrency.is_known and pool.input_tokens_max.is_known):
        return
    replicas = pool.replicas_min.value
    if replicas <= 2:
        return
    if pool.role.value == "decode" or not alone(case):
        return  # its load is the answers, whose time the cache decides
    from servelint.capacity.latency import busy_share, lengths_of
    from servelint.capacity.work import readings_of

    lengths = lengths_of(pool)
    busy = max(busy_share(pool, case.accelerator, case.layout, work) or 0.0 for work in readings_of(pool))
    holds = case.memory.max_concurrency(lengths.longest + int(lengths.output)).low
    if holds < 1:
        return
    # One more than the load takes, for the one that fails.
    enough = max(ceil(busy / 0.5), ceil(pool.concurrency.value / holds)) + 1
    if enough < replicas:
        place = place_of(pool, pool.replicas_min)
        yield Verdict(
            place,
            f"{count(enough, 'replica')} of {replicas} would be busy half of the time at most, one to spare",
            arithmetic=(
                f"prompts keep one replica busy {busy:.0%}",
                f"one has room for {holds:.0f} requests, {pool.concurrency.value} come at once",
            ),
            related=related(place, (pool.request_rate, "the load"), (pool.concurrency, "requests at once")),
        )
