"""MEM419: weights that are larger than the page cache they pass through, though not by so much that loading suffers badly."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.finding import Certainty, Severity
from servelint.rulebook import Scope, rule
from servelint_rules.host_memory import MOST_TIMES, passing_through, read_through, runs_on_cpus
from servelint_rules.host_resources import memory_limit, memory_volumes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import PoolCase
    from servelint.finding import Verdict


@rule(
    "MEM419", "page-cache-below-weights", "The weights do not stay in the page cache",
    severity=Severity.INFO, certainty=Certainty.HEURISTIC, scope=Scope.POOL, since="0.1.0",
    fixable=True, inputs=("model",), advice=True,
)  # fmt: skip
def page_cache_below_weights(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    The memory limit of a container on GPUs that is below the weights one host loads, with what may lie in memory-backed
    volumes beside them, but not below a third of them (MEM409).

    ## Why it matters

    Checkpoint files are mapped, and their pages count against the limit. The kernel gives up clean pages instead of killing
    the container, so the model loads. But ranks that come later read files from the disk again, and so does a restarted
    container, for which the whole checkpoint could have been in memory.

    ## How to fix

    A limit above the weights, where hosts have the memory. Nothing, where loading is quick enough.

    ## Certainty

    Heuristic, and advice: what it costs depends on the storage. Weights spread over several hosts count by their share.
    Loaders that read past the page cache are left out.

    ## References

    - [Linux: memory resource controller](https://docs.kernel.org/admin-guide/cgroup-v2.html#memory): page cache is charged
    - safetensors, `safe_open`: the files are mapped
    """
    pool = case.pool
    limits = [(container, limit) for container in pool.containers if (limit := memory_limit(container)) is not None]
    for container, limit in limits[:1]:
        passing = None if runs_on_cpus(container) else passing_through(case, container, limit)
        if passing is None or passing.size_bytes > MOST_TIMES * limit.size_bytes or 2 * passing.size_bytes < limit.size_bytes:
            continue  # what is mostly the volumes' size says nothing of the weights
        shared = sum(size.size_bytes for _, size in memory_volumes(container) if size.size_bytes < limit.size_bytes)
        if passing.size_bytes + shared <= limit.size_bytes:
            continue
        for verdict in read_through(pool, container, limit, passing):
            yield verdict._replace(severity=Severity.INFO)
