"""MEM: GPUs and KV cache against the workload that is stated for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.deployment import Role
from servelint.finding import Certainty, Proposal, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint_rules.figures import budget, count, gib, span
from servelint_rules.places import place_of, related
from servelint_rules.unaccounted import gpu_memory
from servelint_rules.workload import demand_of, typical_tokens

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.capacity.layout import Layout
    from servelint.case import PoolCase
    from servelint.deployment import Pool
    from servelint.estimate import Estimate

# Of the budget, below which a pool that meets its targets counts as over-provisioned where the targets do not say.
_LEAST_USE = 0.5


@rule(
    "MEM405", "over-provisioned-memory", "More GPUs than the workload needs",
    severity=Severity.WARNING, certainty=Certainty.ESTIMATED, scope=Scope.POOL, since="0.1.0",
    inputs=("model", "accelerator", "workload"),
)  # fmt: skip
def over_provisioned_memory(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A pool whose stated workload (weights, activations, overhead, and the KV cache of all concurrent requests at their
    longest) uses less of each GPU than `targets.memory_utilization.min`, or than half of the budget where no target says,
    while a smaller layout holds the same workload and meets the same targets.

    ## Why it matters

    The engine fills whatever it is given with KV cache, so a dashboard shows 90 % used however little is needed. The
    need is visible only in the arithmetic, and the GPUs above it are paid for and idle.

    ## How to fix

    Use the layout that the finding names, after a load test: pipeline parallelism goes first, then tensor parallelism;
    or give the workload that the GPUs are meant for.

    ## Certainty

    Estimated: the need is judged at its unfavourable (large) end, and so is the fit of the smaller layout; stated times are
    to hold at the middle of their estimate.

    ## References

    - `servelint derive` prints the need term by term
    """
    pool = case.pool
    demand = demand_of(pool) if pool.concurrency.is_known and pool.input_tokens_max.is_known else None
    if demand is None or not demand.stated:
        return  # without a workload nothing can be too much
    memory = gpu_memory(case)
    if memory is None:
        return
    need = _need(case, case.layout, demand.sequences, demand.tokens)
    target = pool.target_memory_utilization_min
    reference = memory.device_bytes if target.is_known else memory.budget_bytes
    least = target.get(_LEAST_USE)
    if need.high >= least * reference.low:
        return
    smaller = _smallest(case, demand.sequences, demand.tokens)
    if smaller is None:
        return
    share = _need(case, smaller, demand.sequences, demand.tokens)
    whole = "of GPU memory" if target.is_known else "of the budget"
    fewer = count(smaller.world_size, "GPU")
    there = f"GiB of {gib(reference.mid)} per GPU"
    place = place_of(pool, pool.tensor)
    yield Verdict(
        place,
        f"the workload needs {need.mid / reference.mid:.0%} {whole}; {fewer} of {case.layout.world_size} would do",
        arithmetic=(
            f"{demand.sequences} × {demand.words} need {span(need)} {there}; at least {least:.0%} is expected",
            f"{smaller.formula()}: {span(share)} {there}, {share.mid / reference.mid:.0%}",
        ),
        related=related(place, (target, "the least that is to be used"), (pool.concurrency, "the workload")),
        proposals=(Proposal(f"a replica of {fewer} ({smaller.formula()}), after a load test", False, None),),
        severity=Severity.WARNING,
    )


def _need(case: PoolCase, layout: Layout, sequences: int, tokens: int) -> Estimate:
    from servelint.capacity.memory import need_of  # lazy: the estimates are imported where a rule asks for one

    return need_of(case.pool, case.accelerator, layout, sequences, tokens)


def _smallest(case: PoolCase, sequences: int, tokens: int) -> Layout | None:
    """The layout with the fewest GPUs, of those with smaller TP and PP, that surely holds the workload and its targets."""
    layout = case.layout
    best: Layout | None = None
    for pipeline in _divisors(layout.pipeline):
        for tensor in _divisors(layout.tensor):
            overlays = {name: 1 for name in ("sequence", "decode_context") if tensor == 1 and layout.degree(name) > 1}
            candidate = layout.with_(tensor=tensor, pipeline=pipeline, **overlays)
            if candidate.world_size >= (best or layout).world_size:
                continue
            if case.memory_under(candidate).max_concurrency(tokens).low >= sequences and _meets_targets(
                case, candidate, sequences, tokens
            ):
                best = candidate
    return best


def _divisors(number: int) -> list[int]:
    return [d for d in range(1, number + 1) if number % d == 0]


def _meets_targets(case: PoolCase, layout: Layout, sequences: int, tokens: int) -> bool:
    """Whether the stated targets hold under ``layout``: for memory surely, for time at the middle of the estimate."""
    pool = case.pool
    most = pool.target_memory_utilization_max
    if most.is_known:
        memory = case.memory_under(layout)
        if _need(case, layout, sequences, tokens).high > most.value * memory.device_bytes.low:
            return False
    times = [(pool.target_ttft_seconds, "ttft_seconds"), (pool.target_tpot_seconds, "tpot_seconds")]
    stated = [(fact.value, name) for fact, name in times if fact.is_known]
    if not stated:
        return True
    latency = case.latency_under(layout)
    return not latency.queue_bound and all(getattr(latency, name).mid <= target for target, name in stated)


@rule(
    "MEM406", "kv-capacity-below-concurrency", "KV cache holds fewer requests than are to run at once",
    severity=Severity.WARNING, certainty=Certainty.ESTIMATED, scope=Scope.POOL, since="0.1.0",
    inputs=("model", "accelerator", "workload"),
)  # fmt: skip
def kv_capacity_below_concurrency(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    Whether the KV cache of a replica holds as many requests of the stated length as the workload runs at once, or fewer where
    `max_num_seqs` admits fewer. In a plan without concurrency `max_num_seqs` stands for it; in a job or a manifest it is a cap
    that nobody need reach. Of prefill pools, which let their requests go, nothing is said.

    ## Why it matters

    Above that number the engine preempts: it drops the cache of running requests and computes it again, or leaves new
    ones waiting. Throughput stands still while the time to first token and its tail grow.

    ## How to fix

    Lower the concurrency per replica (more replicas, or `--max-num-seqs`), shorten the requests, quantise the KV cache,
    or give the replica more GPUs.

    ## Certainty

    Estimated, at the middle: requests of the mean length (halfway between the shortest and the longest where no mean is
    stated), and the middle of the memory estimate.

    ## References

    - vLLM documentation, Optimization and Tuning, on preemption
    """
    pool = case.pool
    length = typical_tokens(pool)
    wanted = wanted_at_once(pool)
    said = pool.concurrency.is_known or case.deployment.plan is not None
    if length is None or wanted is None or not said or pool.role is Role.PREFILL:
        return
    sequences, source = wanted
    memory = gpu_memory(case)
    if memory is None or memory.kv_pool_bytes.mid <= 0:
        return  # MEM401
    holds = memory.max_concurrency(int(length.mid))
    if holds.mid >= sequences:
        return
    each = (
        f"KV cache {span(memory.kv_pool_bytes)} GiB per GPU; a request of {length.mid:.0f} tokens takes "
        f"{gib(memory.request_bytes(int(length.mid)))} GiB"
    )
    place = place_of(pool, pool.concurrency if source == "concurrency" else pool.max_num_seqs)
    yield Verdict(
        place,
        f"{sequences} requests at once; the KV cache holds {int(holds.mid)} of {length.mid:.0f} tokens",
        arithmetic=(each, budget(case, memory)),
        related=related(place, (pool.input_tokens_max, "the lengths"), (pool.max_num_seqs, "admits so many")),
        severity=Severity.WARNING,
    )


def wanted_at_once(pool: Pool) -> tuple[int, str] | None:
    """How many requests are to run at once in one replica, and which fact says so."""
    admitted = pool.max_num_seqs.value * pool.data.get(1) if pool.max_num_seqs.is_stated else None
    if pool.concurrency.is_known:
        concurrency = pool.concurrency.value
        if admitted is not None and admitted < concurrency:
            return admitted, "max_num_seqs"
        return concurrency, "concurrency"
    return None if admitted is None else (admitted, "max_num_seqs")
