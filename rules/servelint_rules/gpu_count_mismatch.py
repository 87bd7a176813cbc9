"""PAR201: whether a replica asks for the GPUs that its degrees of parallelism need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.finding import Certainty, Severity, Verdict
from servelint.formats import devices
from servelint.rulebook import Scope, rule
from servelint_rules import gpu_counts, guards
from servelint_rules.figures import count
from servelint_rules.places import place_of, related

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import PoolCase
    from servelint.deployment import Container

# Kubernetes' own objects: whoever else owns one may change its pods.
_PLAIN = ("kubernetes", "leaderworkerset", "jobset")
# Formats whose reading joins all pods and processes of a replica, and knows what their operator adds.
_JOINED = (
    "aibrix", "compose", "dstack", "dynamo", "helm-values", "kaito", "kserve", "kthena", "kubeai", "llm-d-benchmark", "llmaz",
    "mpijob", "ome", "ray", "rbg", "skypilot", "srt-slurm", "truss", "vllm-runtime",
)  # fmt: skip
# They come by whole machines, so a machine that is larger than its replica is no choice of the manifest.
_WHOLE_MACHINES = ("kaito", "srt-slurm")
# SkyPilot itself sets the variables from which its scripts compute degrees, and they are read.
_OWN_VARIABLES = ("skypilot",)


@rule(
    "PAR201", "gpu-count-mismatch", "GPUs requested and GPUs needed differ",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.POOL, since="0.1.0",
    formats=_PLAIN + _JOINED, fixable=True,
)  # fmt: skip
def gpu_count_mismatch(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    That the GPUs which the pods (or machines) of one replica request are the GPUs its degrees of parallelism need. Which
    degrees multiply depends on the engine: for vLLM tensor, pipeline, prefill-context and data parallelism do; expert and
    decode context parallelism reuse GPUs that are there. Where a pod runs its own share of the data-parallel ranks
    (`--data-parallel-size-local`), the pod is counted; otherwise all pods of the replica together. KAITO chooses the number
    of machines itself: there a stated tensor-parallel size must fit in one.

    ## Why it matters

    With fewer GPUs than ranks the engine stops at start-up ("World size (4) is larger than the number of available GPUs",
    or it waits for a Ray placement group that never comes). With more, the rest idle, and nobody else can have them.

    ## How to fix

    Make the limit (and the request, which must be equal) the number that is needed, or change the degree. In a
    LeaderWorkerSet the number is that of one pod times `size`.

    ## Certainty

    Proven: from the command line and the resources in the same manifest. The rule is silent where they do not decide it:
    patches and unfinished bases, degrees computed by a shell, ranks that a loop of it starts, resources that do not count
    GPUs one by one (Neuron, MIG, claims other than KServe's; Ascend and TPU, unless two devices in each were still too few),
    Kubernetes objects that an operator owns, hosts that several replicas share, and images for CPUs or simulators. Machines
    that are larger than a replica are no finding where they only come whole (KAITO, Slurm).

    ## References

    - vLLM, `vllm/config/parallel.py`: `world_size`, `world_size_across_dp`
    - [Kubernetes: schedule GPUs](https://kubernetes.io/docs/tasks/manage-gpus/scheduling-gpus/)
    """
    pool, kind = case.pool, case.deployment.format
    container = pool.containers[0] if pool.containers else None
    if container is not None and devices.unevenness(pool.gpu_resource):
        from servelint_rules import uneven_devices  # lazy: few manifests ask for such accelerators

        yield from uneven_devices.too_few(case, plain=kind in _PLAIN)
        return
    if container is None or pool.shares_nodes or not _counts_gpus(case) or not _is_judged(container, kind):
        return
    if kind not in _OWN_VARIABLES and not guards.is_literal(container.command, *gpu_counts.DEGREE_FLAGS):
        return
    if gpu_counts.is_launched_from_outside(container):
        return
    need = gpu_counts.need_of(case)
    if need is None or need.needed == need.asked:
        return
    missing = need.needed > need.asked
    if not missing and (kind in _WHOLE_MACHINES or _may_grow(container)):
        return
    place = place_of(pool, pool.gpus_per_node, pool.tensor)
    idle = "" if missing else f"; {need.asked - need.needed} would idle"
    yield Verdict(
        place,
        f"{count(need.needed, 'GPU')} needed by {need.whose}, {need.asked} {need.given}{idle}",
        arithmetic=gpu_counts.arithmetic(case, need),
        related=related(
            place,
            (pool.tensor, f"tensor-parallel size {pool.tensor.value}"),
            (pool.pipeline, f"pipeline-parallel size {pool.pipeline.get(1)}"),
            (pool.data, f"data-parallel size {pool.data.get(1)}"),
            (pool.nodes, f"{count(pool.nodes.get(1), 'host')} in a group"),
        ),
        proposals=gpu_counts.proposals(pool, need, whole_hosts=kind in _WHOLE_MACHINES),
        severity=Severity.ERROR if missing else Severity.WARNING,
        key="fewer" if missing else "more",
    )


def _counts_gpus(case: PoolCase) -> bool:
    """One unit of what the pool asks for is one GPU: of a device plugin, or of NVIDIA's class that KServe claims from."""
    managed = case.pool.gpu_resource == devices.DYNAMIC and case.deployment.format == "kserve"
    return managed or guards.counts_devices(case.pool)


def _is_judged(container: Container, kind: str) -> bool:
    if not guards.runs_on_gpus(container):
        return False
    if container.pod is None:
        return kind not in _PLAIN
    if kind == "kserve":
        return True  # what its configurations may add is unknown to the facts, not to this rule
    return guards.is_complete(container.pod) and (kind not in _PLAIN or not guards.has_operator(container.pod))


def _may_grow(container: Container) -> bool:
    """An elastic deployment holds GPUs that it does not use yet; vLLM-Omni spreads the stages of one model over them."""
    if "omni" in container.image.get("").lower():
        return True
    return container.command is not None and any(container.command.last(f) is not None for f in ("--enable-elastic-ep", "--omni"))
