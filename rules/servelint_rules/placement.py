"""PAR209, PAR217, PAR218, HWQ507: on which GPUs the ranks of a pool lie, and how many of them are worth having."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.facts import FactState
from servelint.finding import Certainty, Proposal, Severity, Verdict
from servelint.formats import devices
from servelint.rulebook import Scope, rule
from servelint.source.nodes import MappingNode
from servelint_rules import guards
from servelint_rules.figures import count, duration, gib
from servelint_rules.parallelism import targets_hold, within_memory_target
from servelint_rules.places import place_of, related
from servelint_rules.unaccounted import check_accelerator, gpu_memory
from servelint_rules.workload import demand_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import PoolCase
    from servelint.deployment import Pool

# What asks for network devices that reach other hosts' memory: resource names, annotations and variables.
_RDMA = (
    "rdma", "infiniband", "roce", "amazonaws.com/efa", "fi_provider", "mlnx", "hostdev", "sriov", "sr-iov", "nccl_ib", "nccl_net",
    "ucx_net", "gpudirect", "mnnvl", "imex", "networking.gke.io/interfaces", "k8s.v1.cni.cncf.io/networks", "libnccl-net",
)  # fmt: skip
_GPUS_OF_A_TRAY = 4
# GB of the smallest GPU that is used for serving, taken where the GPU is not known.
_SMALLEST = 16
_PROMPT = 1000
_BYTES = 2


def fits_half_a_gpu(case: PoolCase) -> bool:
    """The weights take less than half of one GPU; not where the model is unknown."""
    architecture = case.pool.architecture.get(None)
    if architecture is None:
        return False
    size = architecture.checkpoint_bytes or 2 * (architecture.parameters or 0)
    gigabytes = [each.memory_gb for each in case.pool.accelerator.values if each.memory_gb is not None]
    return 0 < size < 0.5e9 * (min(gigabytes) if gigabytes else _SMALLEST)


def _mentions_rdma(pool: Pool) -> bool:
    """The pods ask for, name or set up a network with remote memory access, or a fabric that spans hosts."""
    for container in pool.containers:
        words = [name.lower() for name in container.environment]
        pod = container.pod
        for node in (container.node, pod.node if pod is not None else None):
            if isinstance(node, MappingNode):
                text = node.span
                source = container.document.source.text[text.start : text.end]
                words.append(source.lower())
        if any(mark in word for word in words for mark in _RDMA):
            return True
    return False


@rule(
    "PAR209", "tp-spans-nodes", "The tensor-parallel group spans hosts",
    severity=Severity.WARNING, certainty=Certainty.HEURISTIC, scope=Scope.POOL, since="0.1.0",
    engines=("vllm", "sglang", "trtllm", "generic"), inputs=("accelerator",),
)  # fmt: skip
def tp_spans_nodes(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A tensor-parallel group (of the attention, where attention data parallelism cuts it) with more ranks than a host has GPUs,
    where nothing in the manifest asks for RDMA or for a fabric that joins hosts (NVL72). A model that plainly fits one GPU is
    left to DIS726, groups with expert parallelism to DIS709.

    ## Why it matters

    Tensor parallelism exchanges activations twice in every layer of every step. Inside a host that runs over NVLink; between
    hosts over a network that is ten to a hundred times slower, and without RDMA through the CPUs as well.

    ## How to fix

    A tensor-parallel size of the GPUs of one host, and pipeline stages over the hosts; for a mixture of experts data and expert
    parallelism.

    ## Certainty

    Heuristic: the network may be there without a word in the manifest. Groups that mention RDMA are left out.

    ## References

    - vLLM documentation, Parallelism and Scaling
    - [vllm#13552](https://github.com/vllm-project/vllm/issues/13552), [OpenRLHF#758](https://github.com/OpenRLHF/OpenRLHF/issues/758)
    """
    pool = case.pool
    ranks = case.layout.attention_tensor
    if ranks <= 1 or case.layout.expert > 1 or pool.shares_nodes or fits_half_a_gpu(case):
        return
    per_host = pool.gpus_per_node.value
    if not 1 <= per_host < ranks or pool.nodes.value <= 1:
        return
    if pool.gpu_resource not in devices.COUNTED or not guards.on_gpus(case) or _mentions_rdma(pool):
        return
    if pool.accelerator.is_known and (case.accelerator.fabric_devices or 0) >= ranks:
        return
    if not pool.accelerator.is_known and per_host == _GPUS_OF_A_TRAY:
        return  # hosts of an NVL72 rack have as many, and nothing says that these are others
    hosts = -(-ranks // per_host)
    place = place_of(pool, pool.tensor)
    yield Verdict(
        place,
        f"{ranks} ranks on hosts of {count(per_host, 'GPU')}: every layer's exchange crosses the network",
        arithmetic=(f"{ranks} / {per_host} = {hosts} hosts in one tensor-parallel group",),
        related=related(place, (pool.gpus_per_node, f"{count(per_host, 'GPU')} on each host"), (pool.nodes, f"{hosts} hosts")),
        proposals=(Proposal(f"tensor-parallel size {per_host} and {hosts} pipeline stages", False, None),),
    )


@rule(
    "PAR217", "tp-larger-than-needed", "Half of the tensor-parallel ranks would do",
    severity=Severity.INFO, certainty=Certainty.ESTIMATED, scope=Scope.POOL, since="0.1.0",
    inputs=("model", "accelerator"), advice=True,
)  # fmt: skip
def tp_larger_than_needed(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    Whether the model and the KV cache it needs fit on half of the tensor-parallel ranks, at the unfavourable end of the
    estimates, and stated targets still hold.

    ## Why it matters

    Each rank does less of the arithmetic and the same number of exchanges: throughput per GPU falls with the size of the group.
    Two replicas on the same GPUs serve more.

    ## How to fix

    Half the tensor-parallel size, and twice the replicas.

    ## Certainty

    Estimated. Advice: a larger group answers each request faster, which may be what it is for.

    ## References

    - [vllm#732](https://github.com/vllm-project/vllm/issues/732), [vllm#1435](https://github.com/vllm-project/vllm/issues/1435)
    """
    pool, size = case.pool, case.pool.tensor.value
    if size <= 1 or size % 2 or case.layout.attention_data > 1 or case.layout.expert > 1 or case.layout.pipeline > 1:
        return
    after = case.layout.with_(tensor=size // 2)
    if gpu_memory(case) is None:
        return
    demand = demand_of(pool)
    then = case.memory_under(after)
    fits = then.kv_pool_bytes.low > 0 and then.max_concurrency(demand.tokens).low >= demand.sequences
    if not fits or not within_memory_target(case, after, demand) or not targets_hold(case, after):
        return
    place = place_of(pool, pool.tensor)
    taken = f"weights {gib(then.weights_bytes.mid)} GiB, KV cache {gib(then.kv_pool_bytes.low)} GiB at least"
    yield Verdict(
        place,
        f"{size // 2} of {size} ranks hold the model and the KV cache it needs",
        arithmetic=(f"at TP={size // 2} per GPU: {taken}", f"needed: {demand.sequences} × {demand.words}"),
        related=related(place, (pool.model, f"{gib(then.weights_bytes.mid)} GiB of weights per GPU")),
        proposals=(Proposal(f"tensor-parallel size {size // 2} and twice the replicas", False, None),),
    )


@rule(
    "PAR218", "tp-over-pcie", "Tensor parallelism over PCIe",
    severity=Severity.INFO, certainty=Certainty.ESTIMATED, scope=Scope.POOL, since="0.1.0",
    inputs=("model", "accelerator"), advice=True,
)  # fmt: skip
def tp_over_pcie(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A tensor-parallel size above 1 on NVIDIA GPUs without NVLink (L4, L40S, A10, T4, RTX). Other makers' devices have links of
    their own (Infinity Fabric, ICI, NeuronLink), and are not judged.

    ## Why it matters

    Two all-reduces in every layer go over PCIe. Decoding hardly notices; long prompts do: the finding says how long a thousand
    tokens wait for it at least.

    ## How to fix

    One larger GPU, a smaller checkpoint, or pipeline stages, which exchange once per stage.

    ## Certainty

    Estimated: the bytes follow from the model's shape, the rate is that of the bus at its best.

    ## References

    - NCCL, all-reduce: each rank sends 2 (n − 1) / n of the bytes
    """
    pool, size = case.pool, case.pool.tensor.value
    if size <= 1 or not guards.on_gpus(case):
        return
    check_accelerator(case)
    accelerator = case.accelerator
    rate = accelerator.pcie_bytes_per_second
    if accelerator.vendor != "NVIDIA" or accelerator.has_nvlink is not False or accelerator.slice_of or rate is None:
        return
    layers, hidden = case.architecture.layers, case.architecture.hidden_size
    sent = 2 * layers * _PROMPT * hidden * _BYTES * 2 * (size - 1) / size
    place = place_of(pool, pool.tensor)
    yield Verdict(
        place,
        f"{_PROMPT} prompt tokens exchange {gib(sent)} GiB over PCIe: {duration(sent / rate)} s at least",
        arithmetic=(
            f"2 × {layers} layers × {_PROMPT} × {hidden} × {_BYTES} B × 2 × {size - 1} / {size} = {gib(sent)} GiB",
            f"PCIe: {rate / 1e9:.3g} GB/s",
        ),
        related=related(place, (pool.accelerator, f"{accelerator.name} has no NVLink")),
    )


@rule(
    "HWQ507", "gpu-memory-suffix-vs-selector", "The manifest names two different GPUs",
    severity=Severity.WARNING, certainty=Certainty.PROVEN, scope=Scope.POOL, since="0.1.0",
)  # fmt: skip
def gpu_memory_suffix_vs_selector(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    Node selectors, instance types and other statements of the GPU that exclude each other.

    ## Why it matters

    No node fits them all, so the pod stays pending; or one of them is a left-over, and the pod runs elsewhere than it says.

    ## How to fix

    Keep the one that is meant.

    ## Certainty

    Proven from the catalogue of GPUs and instance types.

    ## References

    - [Kubernetes: assigning pods to nodes](https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/)
    """
    fact = case.pool.accelerator
    if fact.state is not FactState.CONFLICT:
        return
    yield Verdict(fact.place or case.pool.place, fact.reason)
