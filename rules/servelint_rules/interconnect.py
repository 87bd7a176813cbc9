"""DIS: the network between the pods of one replica."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.finding import Certainty, Proposal, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint_rules import guards, pods
from servelint_rules.figures import count
from servelint_rules.placement import fits_half_a_gpu
from servelint_rules.places import place_of, related

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import PoolCase
    from servelint.deployment import Pod

# Parts of resource names, annotations and variables by which a pod gets, or is told of, a fast network.
_DEVICES = ("rdma", "hca", "efa", "roce", "infiniband", "networking.gke.io", "sriov", "mlnx", "erdma")
_ANNOTATIONS = ("k8s.v1.cni.cncf.io/networks", "networking.gke.io", "k8s.volcengine.com/pod-networks", "v1.multus-cni.io")
_VARIABLES = ("NCCL_IB", "NCCL_NET", "NCCL_SOCKET_IFNAME", "NCCL_TUNER", "NCCL_MNNVL", "FI_", "UCX_NET_DEVICES", "NVSHMEM_")
_INTERFACES = ("NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME")
# Racks in which the GPUs of several nodes are on one NVLink switch.
_RACKS = ("GB200", "GB300")
_FORMATS = ("kubernetes", "leaderworkerset", "jobset", "rbg", "aibrix", "kthena")


@rule(
    "DIS709", "no-rdma-for-cross-node", "Expert parallelism across nodes over the pod network",
    severity=Severity.WARNING, certainty=Certainty.HEURISTIC, scope=Scope.POOL, since="0.1.0",
    formats=_FORMATS,
)  # fmt: skip
def no_rdma(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A replica whose experts lie on the GPUs of several pods that show no sign of a fast network: no RDMA, EFA or InfiniBand
    device, no further network, no host network, and no variable that tells NCCL of one. Tensor parallelism without experts
    is PAR209's, and a model that plainly fits one GPU is left to DIS726.

    ## Why it matters

    In every layer each token goes to the ranks of its experts and back. NVLink does that at hundreds of GB/s; a pod network
    over TCP at one or two, with a latency of tens of microseconds for each of the hundred or more operations of a token.
    Decoding becomes many times slower than on one node.

    ## How to fix

    Give the pods the network cards (`rdma/…`, `vpc.amazonaws.com/efa`, a further network). Or keep the group inside of a
    node and put pipeline parallelism between nodes, which exchanges once per stage.

    ## Certainty

    Heuristic: some clusters give every pod a fast network without a word in the manifest.

    ## References

    - [NCCL: environment variables](https://docs.nvidia.com/deeplearning/nccl/user-guide/docs/env.html)
    - [vLLM: parallelism and scaling, multi-node](https://docs.vllm.ai/en/stable/serving/parallelism_scaling/)
    """
    if case.layout.expert > 1 and not fits_half_a_gpu(case):
        ranks = max(case.layout.expert, case.pool.tensor.value)
        yield from _spanning(case, "an expert-parallel", ranks, "which no fast network connects", "RDMA devices for the pods")


@rule(
    "DIS726", "small-model-spans-nodes", "Tensor parallelism across nodes for a model that fits one GPU",
    severity=Severity.INFO, certainty=Certainty.HEURISTIC, scope=Scope.POOL, since="0.1.0",
    formats=_FORMATS, inputs=("model",), advice=True,
)  # fmt: skip
def small_model_spans_nodes(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A tensor-parallel group that is larger than the GPUs of one pod, without a sign of a fast network, for a model whose
    weights take less than half of one GPU (of 16 GB where the GPU is not known). For larger ones see PAR209 and DIS709.

    ## Why it matters

    One GPU serves such a model faster than several that exchange over a pod network, and each of the others could be a
    replica. Most such manifests are demonstrations of a controller; as a template for a real service they mislead.

    ## How to fix

    One pod for each replica, without tensor parallelism.

    ## Certainty

    Heuristic, and advice: it serves, and a demonstration may want it so.

    ## References

    - [vLLM: parallelism and scaling](https://docs.vllm.ai/en/stable/serving/parallelism_scaling/)
    """
    if fits_half_a_gpu(case):
        yield from _spanning(
            case, "a tensor-parallel", case.pool.tensor.value, "and the model fits one GPU", "one pod for each replica"
        )


def _spanning(case: PoolCase, group: str, ranks: int, how: str, other: str) -> Iterator[Verdict]:
    """The verdict on a group of that many ranks that is larger than a pod, without a fast network."""
    pool = case.pool
    pod = pool.containers[0].pod if pool.containers else None
    if pod is None or not guards.may_lack(pod) or not pool.nodes.is_known or not pool.tensor.is_known:
        return
    gpus = pool.gpus_per_node
    if pool.nodes.value < 2 or not gpus.is_known or ranks <= gpus.value or not guards.counts_devices(pool):
        return
    if any(name in accelerator.name for accelerator in pool.accelerator.values for name in _RACKS) or _is_connected(pod):
        return
    place = place_of(pool, pool.tensor)
    yield Verdict(
        place,
        f"{group} group of {ranks} spans {count(-(-ranks // max(gpus.value, 1)), 'pod')}, {how}",
        related=related(place, (gpus, f"{count(gpus.value, 'GPU')} in each pod"), (pool.nodes, "pods of one replica")),
        proposals=(Proposal(f"{other}; or groups inside of a pod, and pipeline parallelism between pods", False, None),),
    )


def _is_connected(pod: Pod) -> bool:
    """Something in the template speaks of a network beside the pod's own."""
    if pods.says(pod.node, "spec", "hostNetwork") or pod.node.elements_at("spec", "resourceClaims"):
        return True
    if any(key.startswith(_ANNOTATIONS) for key, _, _ in pod.node.entries_at("metadata", "annotations")):
        return True
    for container in pod.node.elements_at("spec", "containers"):
        for side in ("limits", "requests"):
            if any(word in key.lower() for key, _, _ in container.entries_at("resources", side) for word in _DEVICES):
                return True
        if any((item.text_at("name") or "").startswith(_VARIABLES) for item in container.elements_at("env")):
            return True
        texts = " ".join(pods.texts(container.get("command"))) + " ".join(pods.texts(container.get("args")))
        if any(name in texts for name in _VARIABLES):
            return True
    return False


@rule(
    "DIS715", "network-interface-unset", "Several networks, and none is named for the socket connections",
    severity=Severity.INFO, certainty=Certainty.HEURISTIC, scope=Scope.POOL, since="0.1.0",
    formats=_FORMATS, advice=True,
)  # fmt: skip
def interface_unset(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A replica of several pods that have more than one network interface (the host's network, or further networks by
    annotation) without `NCCL_SOCKET_IFNAME` or `GLOO_SOCKET_IFNAME`.

    ## Why it matters

    NCCL and Gloo take the first interface that seems usable: Gloo for all it does, NCCL to bring its ranks together, even where
    `NCCL_IB_HCA` names the cards for the data. On a host with bridges, virtual and management interfaces the
    two ends may choose networks that do not reach each other: the group hangs at "init_process_group", on some nodes only.

    ## How to fix

    Name the interface: `NCCL_SOCKET_IFNAME=eth0` and `GLOO_SOCKET_IFNAME=eth0`, or exclude the others (`^docker,lo`).

    ## Certainty

    Heuristic: with one usable interface the choice is right by itself.

    ## References

    - [NCCL: NCCL_SOCKET_IFNAME](https://docs.nvidia.com/deeplearning/nccl/user-guide/docs/env.html#nccl-socket-ifname)
    - [vLLM: troubleshooting, incorrect hardware or driver](https://docs.vllm.ai/en/stable/usage/troubleshooting/)
    """
    pool = case.pool
    container = pool.containers[0] if pool.containers else None
    pod = container.pod if container is not None else None
    if container is None or pod is None or not guards.may_lack(pod) or pool.nodes.get(1) < 2:
        return
    host = pods.says(pod.node, "spec", "hostNetwork")
    further = [key for key, _, _ in pod.node.entries_at("metadata", "annotations") if key.startswith(_ANNOTATIONS)]
    if not host and not further:
        return
    texts = " ".join(pods.texts(container.node.get("command"))) + " ".join(pods.texts(container.node.get("args")))
    listed = container.environment.listed
    if container.open_environment or any(name in listed or name in texts for name in _INTERFACES):
        return
    place = pods.key_place(pod.document, pod.node.get("spec"), "hostNetwork") if host else None
    yield Verdict(
        place or pool.place,
        f"{count(pool.nodes.get(1), 'pod')} find each other over {'the interfaces of the host' if host else 'several networks'}, "
        "and neither NCCL_SOCKET_IFNAME nor GLOO_SOCKET_IFNAME names the one to use",
        related=related(pool.place, (pool.nodes, "pods of one replica")),
        proposals=(Proposal("set NCCL_SOCKET_IFNAME and GLOO_SOCKET_IFNAME", False, None),),
    )
