"""Placement: on which nodes the pods of an engine may run, and what of them they get beside the GPUs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.engines.versions import VLLM_V1
from servelint.facts import Place
from servelint.finding import Certainty, Proposal, Severity, Verdict
from servelint.formats import devices
from servelint.rulebook import Scope, rule
from servelint.source.nodes import ScalarNode
from servelint_rules import guards, pods
from servelint_rules.figures import count
from servelint_rules.places import related

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import ContainerCase
    from servelint.deployment import Container, Pool
    from servelint.finding import Related

# Variables by which a transport over RDMA is asked for.
_RDMA = ("NCCL_IB_HCA", "NVSHMEM_HCA_LIST", "UCX_NET_DEVICES", "NCCL_IB_GID_INDEX", "NVSHMEM_IB_GID_INDEX")
RDMA_FLAGS = ("--disaggregation-ib-device", "--mooncake-ib-device")


@rule(
    "K8S612", "no-placement", "GPU pod that may run on any node",
    severity=Severity.INFO, certainty=Certainty.ADVICE, scope=Scope.CONTAINER, since="0.1.0",
    formats=guards.TEMPLATED, advice=True,
)  # fmt: skip
def no_placement(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A pod that asks for GPUs and has neither node selector, affinity, tolerations, runtime class nor node name.

    ## Why it matters

    In a cluster with several kinds of GPUs such a pod gets any of them, also one whose memory is too small for the model. In
    one whose GPU nodes are tainted it gets none, unless an admission controller adds the toleration. And nothing here can
    check its memory: the GPU is not known.

    ## How to fix

    Name the GPU by a node selector (`nvidia.com/gpu.product`), and tolerate the taint of the GPU nodes.

    ## Certainty

    Advice: with one kind of GPU the device plugin places the pod well enough.

    ## References

    - [Kubernetes: schedule GPUs, clusters with different types](https://kubernetes.io/docs/tasks/manage-gpus/scheduling-gpus/#manage-clusters-with-different-types-of-gpus)
    """
    container, pool = case.container, case.pool
    pod = container.pod
    asked = devices.devices(container.node)
    if pod is None or not guards.shows_all(case) or asked.written is None or not pods.is_first(container, pool):
        return
    spec = pod.node.get("spec")
    if spec is None or any(
        spec.get(key) is not None for key in ("nodeSelector", "affinity", "tolerations", "runtimeClassName", "nodeName")
    ):
        return
    place = Place.of(container.document, asked.written)
    yield Verdict(place, f"any node with {asked.resource} will do, whatever its GPU is", key=container.name)


@rule(
    "K8S613", "cpu-throttled", "CPU limit below the processes of the engine",
    severity=Severity.WARNING, certainty=Certainty.HEURISTIC, scope=Scope.CONTAINER, since="0.1.0",
    engines=("vllm",), formats=guards.TEMPLATED, fixable=True,
)  # fmt: skip
def cpu_throttled(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    The CPU limit of a container against the processes of vLLM that keep a core busy: the API server, the engine core and, for
    several GPUs, a worker for each. Before 0.8 the engine core was one of the workers.

    ## Why it matters

    The engine core and the workers spin on a core each. Under a smaller limit the kernel stops all of them for a part of
    every 100 ms: GPUs wait, and time per token grows without any sign in the engine's log.

    ## How to fix

    Raise the limit, or state a request only: without a limit nothing is throttled.

    ## Certainty

    Heuristic: it costs speed, not correctness, and how much depends on the load.

    ## References

    - vLLM, `docs/configuration/optimization.md`, "CPU resources for GPU deployments" (0.33.0)
    - [vllm#9113](https://github.com/vllm-project/vllm/issues/9113), [vllm#13247](https://github.com/vllm-project/vllm/issues/13247)
    """
    container, pool = case.container, case.pool
    limit = container.node.get("resources", "limits", "cpu")
    if not guards.is_complete(container.pod) or not guards.on_gpus(case) or not isinstance(limit, ScalarNode):
        return
    gpus = devices.devices(container.node).number
    workers, cores = min(gpus, pods.ranks_in_pod(pool)), devices.amount(limit)
    if cores is None or workers < 1 or not guards.counts_devices(pool):
        return
    own = workers > 1 and pool.version.is_known and pool.version.value >= VLLM_V1  # with an engine core of its own
    needed = 2 if workers == 1 else workers + (2 if own else 1)
    if cores >= needed:
        return
    from servelint.source import edits  # lazy: only findings edit

    document = container.document
    yield Verdict(
        Place.of(document, limit),
        f"{limit.text} CPUs for {needed} processes that each keep a core busy",
        arithmetic=(_processes(workers, own=own, needed=needed),),
        related=related(Place.of(document, limit), (pool.gpus_per_node, count(gpus, "GPU"))),
        proposals=(Proposal(f"a limit of {2 * needed} CPUs", False, lambda: edits.set_scalar(document, limit, str(2 * needed))),),
        key=container.name,
    )


def _processes(workers: int, *, own: bool, needed: int) -> str:
    if workers == 1:
        return "1 API server + 1 engine core, which runs the GPU = 2"
    return f"1 API server + {'1 engine core + ' if own else ''}{workers} GPU workers = {needed}"


@rule(
    "K8S625", "runtimeclass-or-capability", "RDMA is configured, and the pod may not use it",
    severity=Severity.WARNING, certainty=Certainty.HEURISTIC, scope=Scope.CONTAINER, since="0.1.0",
    formats=guards.TEMPLATED,
)  # fmt: skip
def rdma_without_access(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A container that configures RDMA (`NCCL_IB_HCA`, `UCX_NET_DEVICES` with a Mellanox device, `--disaggregation-ib-device` and
    the like), but is neither privileged nor has a device of an RDMA or network plugin, a claim, or the host's `/dev/infiniband`.

    ## Why it matters

    Without the device files of the network card in the container the library finds no device. NCCL and UCX then fall back to
    TCP without an error, an order of magnitude slower; transfer engines that need RDMA fail.

    ## How to fix

    Ask for the resource of the RDMA device plugin (`rdma/…`), with the capability `IPC_LOCK` so that memory can be pinned.

    ## Certainty

    Heuristic: a runtime may add the devices by itself.

    ## References

    - [Mellanox/k8s-rdma-shared-dev-plugin](https://github.com/Mellanox/k8s-rdma-shared-dev-plugin)
    - NCCL user guide, "Environment variables: NCCL_IB_HCA"
    """
    container, pool = case.container, case.pool
    pod = container.pod
    if pod is None or not guards.shows_all(case) or _reaches_rdma(container):
        return
    place, what = _asks_for_rdma(container)
    if place is None:
        return
    yield Verdict(
        place,
        f"{what} names an RDMA device, and the container gets none",
        related=related(place, (pool.gpus_per_node, "its devices")),
        proposals=(Proposal("ask for the RDMA plugin's resource and the capability IPC_LOCK", False, None),),
        key=container.name,
    )


def _asks_for_rdma(container: Container) -> tuple[Place | None, str]:
    for name in _RDMA:
        fact = container.environment.get(name)
        if fact is not None and fact.is_known and fact.place is not None and "mlx5" in fact.value:
            return fact.place, name
    command = container.command
    for flag in RDMA_FLAGS:
        argument = command.last(flag) if command is not None else None
        if command is not None and argument is not None and "mlx5" in (argument.value or ""):
            return command.place_of(argument), flag
    return None, ""


def _reaches_rdma(container: Container) -> bool:
    """The container may have the host's network devices by one of the ways there are."""
    pod, node = container.pod, container.node
    if pod is None or pods.says(node, "securityContext", "privileged") or node.get("resources", "claims") is not None:
        return True
    names = [key for side in ("limits", "requests") for key, _, _ in node.entries_at("resources", side)]
    if any("/" in name and not devices.is_accelerator(name) for name in names):
        return True  # rdma/…, vpc.amazonaws.com/efa, networking.gke.io.networks/…
    paths = [mount.path for mount in pods.mounts(pod, node)]
    return any(path.startswith("/dev/infiniband") or path == "/dev" for path in paths)


@rule(
    "K8S629", "replicas-share-one-node", "All replicas are bound to one node",
    severity=Severity.WARNING, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0",
    formats=(*guards.TEMPLATED, "dynamo"),
)  # fmt: skip
def replicas_share_one_node(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    Several pods of one template that are all bound to one node, by `nodeName` or by the label `kubernetes.io/hostname`. Of a
    single group (a LeaderWorkerSet of one replica) only where its pods need more GPUs than a usual node has (8).

    ## Why it matters

    When the node fails or is drained, all replicas are gone: they add throughput, but no availability. And they need the GPUs
    of all pods on that one node; what does not fit stays pending for ever.

    ## How to fix

    Select nodes by their GPU (`nvidia.com/gpu.product`) instead of by name.

    ## Certainty

    Proven from the template. An error where the pods need more GPUs than the largest nodes have (16). A node whose name
    somebody fills in is left out.

    ## References

    - [Kubernetes: assigning pods to nodes](https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#nodename)
    """
    container, pool = case.container, case.pool
    pod = container.pod
    if pod is None or not guards.is_complete(pod) or not pods.is_first(container, pool):
        return
    pinned = pods.pinned_node(pod.node)
    if not isinstance(pinned, ScalarNode):
        return
    whole_groups = _binds_all(pool, pinned.text)
    replicas = _pods_of(pool) if whole_groups else pool.replicas_min.get(0)
    if replicas < 2 or guards.is_filled_in_later(pinned.text):
        return
    gpus = pool.gpus_per_node.get(0)
    together = replicas * gpus
    if pool.replicas_min.get(1) == 1 and together <= pods.GPUS_OF_A_NODE:
        return  # the pods of one group fail together wherever they are
    place = Place.of(container.document, pinned)
    yield Verdict(
        place,
        f"{replicas} pods on {pinned.text}, and nowhere else",
        arithmetic=(f"{replicas} pods × {count(gpus, 'GPU')} = {count(together, 'GPU')} on one node",) if gpus else (),
        related=_copies(place, pool, whole_groups=whole_groups),
        proposals=(Proposal("select nodes by their GPU, not by name", False, None),),
        severity=Severity.ERROR if together > pods.MOST_GPUS_OF_A_NODE else Severity.WARNING,
    )


def _binds_all(pool: Pool, node: str) -> bool:
    """Every template of a group binds its pods to ``node``: not the leader's alone."""
    first = pool.containers[0].pod
    templates = [each.pod.node for each in pool.containers if each.pod is not None]
    root = first.document.root if first is not None else None
    worker = root.get("spec", "leaderWorkerTemplate", "workerTemplate") if root is not None else None
    bound = [pods.pinned_node(template) for template in (*templates, *((worker,) if worker is not None else ()))]
    return all(isinstance(each, ScalarNode) and each.text == node for each in bound)


def _copies(place: Place, pool: Pool, *, whole_groups: bool) -> tuple[Related, ...]:
    """Where it says how many pods there are: replicas, the pods of each, or both."""
    replicas, nodes = pool.replicas_min, pool.nodes
    said = [(replicas, count(replicas.get(1), "replica"))] if replicas.get(1) > 1 else []
    if whole_groups and nodes.get(1) > 1:
        said.append((nodes, f"{nodes.get(1)} pods in a group"))
    return related(place, *said)


def _pods_of(pool: Pool) -> int:
    """Pods of the template, 0 where their number is not known."""
    return pool.replicas_min.get(0) * pool.nodes.get(0)
