"""PLN919: whether fewer copies of the model meet what the plan's targets ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.finding import Certainty, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint_rules import parallelism, provisioning
from servelint_rules.figures import count, duration
from servelint_rules.plan_claims import place_of, related
from servelint_rules.plan_throughput import alternatives
from servelint_rules.unaccounted import gpu_memory
from servelint_rules.workload import demand_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.capacity.layout import Layout
    from servelint.case import PlanCase, PoolCase

# Above it a queue grows without measure (M/D/1: half a service time of waiting at 0.5, two at 0.8).
_MOST_BUSY = 0.8


@rule(
    "PLN919", "smaller-layout-suffices", "Fewer copies meet the targets",
    severity=Severity.WARNING, certainty=Certainty.ESTIMATED, scope=Scope.PLAN, since="0.1.0", formats=("plan",),
    inputs=("model", "accelerator", "workload", "targets"),
)  # fmt: skip
def smaller_layout_suffices(case: PlanCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A plan with data parallelism whose stated workload also fits fewer copies: the KV cache of all requests at their longest,
    at the unfavourable end of the estimate, and every stated time at its middle, the request rate included where there is
    one. Only where a time is a target. Smaller tensor and pipeline parallelism is MEM405 and PAR207, and where one of those
    speaks this rule does not.

    ## Why it matters

    Data parallelism is decided last, for the requests that one copy cannot serve. Copies decided beforehand are GPUs nobody
    asked for.

    ## How to fix

    Use the layout that the finding names, after a load test, or state the load that the copies are for.

    ## Certainty

    Estimated: memory at the unfavourable end, times at the middle.

    ## References

    - `rules/servelint_rules/knowledge.yaml`, step `request`
    """
    pool = case.pool.pool
    if len(case.pools) != 1 or pool.data.value <= 1 or not pool.concurrency.is_known or not pool.input_tokens_max.is_known:
        return
    if not (pool.target_ttft_seconds.is_known or pool.target_tpot_seconds.is_known) or gpu_memory(case.pool) is None:
        return
    layout = case.pool.layout
    gpus = alternatives(case.pool)
    enough = (copies for copies in range(1, layout.data) if all(_suffices(each, layout.with_(data=copies)) for each in gpus))
    copies = next(enough, None)
    if copies is None:
        return
    # One fault, one finding: what smaller groups save is said by these.
    others = (provisioning.over_provisioned_memory, parallelism.pipeline_parallel_not_needed)
    if any(True for other in others for _ in other.check(case.pool)):
        return
    smaller = layout.with_(data=copies)
    demand = demand_of(pool)
    times = []
    latency = case.pool.latency_under(smaller)
    for words, target, estimate in (
        ("TTFT", pool.target_ttft_seconds, latency.ttft_seconds),
        ("TPOT", pool.target_tpot_seconds, latency.tpot_seconds),
    ):
        if target.is_known:
            times.append(f"{words} about {duration(estimate.mid)} s of {target.value:g} s")
    room = case.pool.memory_under(smaller).max_concurrency(demand.tokens)
    yield Verdict(
        place_of(case, pool.data),
        f"DP {copies} is enough: {count(smaller.world_size, 'GPU')} of {layout.world_size}",
        arithmetic=(
            f"{smaller.formula()}: room for {room.low:.0f} requests of {demand.words}; needed: {demand.sequences}",
            "; ".join(times),
        ),
        related=related((pool.concurrency, "requests at once"), (pool.target_ttft_seconds, "the target")),
    )


def _suffices(case: PoolCase, layout: Layout) -> bool:
    pool = case.pool
    demand = demand_of(pool)
    memory = case.memory_under(layout)
    if memory.max_concurrency(demand.tokens).low < demand.sequences:
        return False
    if pool.max_num_seqs.is_known and pool.max_num_seqs.value * layout.attention_ranks < demand.sequences:
        return False
    most = pool.target_memory_utilization_max
    if most.is_known and memory.used_bytes.high > most.value * memory.device_bytes.low:
        return False
    if pool.request_rate.is_known:
        from servelint.capacity.latency import busy_share
        from servelint.capacity.work import readings_of

        busy = busy_share(pool, case.accelerator, layout, readings_of(pool)[0])
        if busy is None or busy > _MOST_BUSY:
            return False
    latency = case.latency_under(layout)
    targets = ((pool.target_ttft_seconds, latency.ttft_seconds), (pool.target_tpot_seconds, latency.tpot_seconds))
    return not latency.queue_bound and all(estimate.mid <= target.value for target, estimate in targets if target.is_known)
