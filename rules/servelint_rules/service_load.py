"""SLO807: how much of its time a pool is busy with the requests that arrive."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.finding import Certainty, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint_rules.figures import count
from servelint_rules.places import place_of, related

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import PoolCase

# M/D/1: waiting in service times is ρ / (2 (1 − ρ)), two at 0.8 and nine at 0.95; its tail grows faster.
_MOST_BUSY = 0.8


@rule(
    "SLO807", "queueing-ignored", "Requests arrive nearly as fast as they can be served",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.POOL, since="0.1.0",
    inputs=("model", "accelerator", "workload"),
)  # fmt: skip
def queueing_ignored(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    `workload.request_rate` against what the pool can compute. If even the shortest requests at the GPUs' peak take more
    arithmetic per second than there is, the queue grows for ever. Otherwise, where a time to first token is a target: whether
    the ranks spend more than 80 % of their time on prompts at usual efficiency.

    ## Why it matters

    A time measured on one request says nothing about the hundredth in line. At 80 % of the capacity a request waits for two
    others on average, at 95 % for nine, and the tail is several times that.

    ## How to fix

    More replicas, a layout with more throughput, shorter prompts, or a smaller rate per pool. Tokens that a prefix cache
    serves are not computed: `input_tokens` are those that are.

    ## Certainty

    Proven where the peak does not suffice. A warning by estimate above 80 %.

    ## References

    - Pollaczek, Khinchine: mean waiting time of M/D/1, ρ / (2 (1 − ρ)) service times
    """
    pool = case.pool
    if not pool.request_rate.is_known or not pool.input_tokens_max.is_known or not alone(case):
        return
    from servelint.capacity.latency import busy_share, lengths_of
    from servelint.capacity.work import peak_flops, prompt_flops, readings_of

    replicas, layout = pool.replicas_max.value, case.layout
    works = readings_of(pool)
    lengths = lengths_of(pool)
    answer = 0.0 if pool.role.value == "prefill" else lengths.output
    prompt = 0 if pool.role.value == "decode" else lengths.shortest
    least = min((prompt_flops(pool, w, prompt) if prompt else 0.0) + 2.0 * (w.layers + w.head) * answer for w in works)
    place = place_of(pool, pool.request_rate)
    gpus = layout.world_size * replicas
    share = pool.request_rate.value * least / (gpus * peak_flops(pool, case.accelerator, True))
    if share >= 1:
        yield Verdict(
            place,
            f"{pool.request_rate.value:g} requests/s take {share:.3g} times all that {count(gpus, 'GPU')} can compute",
            arithmetic=(
                f"at least {least / 1e12:.3g} TFLOP each, the shortest prompts, at the peak of {gpus} {case.accelerator.name}",
            ),
            related=related(place, (pool.input_tokens_min, "the shortest prompts")),
        )
        return
    if not pool.target_ttft_seconds.is_known or pool.role.value == "decode":
        return
    busy = (busy_share(pool, case.accelerator, layout, works[0]) or 0.0) / replicas
    if busy > _MOST_BUSY:
        wait = f"; a prompt waits for about {busy / (2 * (1 - busy)):.2g} others" if busy < 1 else ": the queue grows for ever"
        yield Verdict(
            place,
            f"{pool.request_rate.value:g} requests/s keep the ranks busy with prompts {busy:.0%} of the time{wait}",
            arithmetic=(
                f"{works[0].label}, prompts of {lengths.usual:g} tokens, {layout.formula()}, {count(replicas, 'replica')}",
            ),
            related=related(place, (pool.target_ttft_seconds, "the target")),
            severity=Severity.WARNING,
            certainty=Certainty.ESTIMATED,
        )


def alone(case: PoolCase) -> bool:
    """All requests pass this pool: no other has its role."""
    return sum(pool.role is case.pool.role for pool in case.deployment.pools) == 1 and case.pool.role.value != "encode"
