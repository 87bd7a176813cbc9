"""DIS719, DIS720 and DIS723: what variables tell NCCL and UCX of the network, against the devices that the pod has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.facts import Place
from servelint.finding import Certainty, Proposal, Related, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint.source.nodes import ScalarNode
from servelint_rules import guards, pods
from servelint_rules.figures import count
from servelint_rules.kv_transfer import transfer_of
from servelint_rules.pod_placement import RDMA_FLAGS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import ContainerCase, PoolCase
    from servelint.deployment import Container, Pod

# Parts of the names of resources that are network cards with RDMA; EFA has a transport of its own.
_RDMA = ("rdma", "hca", "roce", "infiniband", "erdma")
_CARDS = (*_RDMA, "efa")


@rule(
    "DIS719", "rdma-device-unused", "RDMA devices beside a setting that keeps NCCL off them",
    severity=Severity.WARNING, certainty=Certainty.PROVEN, scope=Scope.POOL, since="0.1.0",
)  # fmt: skip
def rdma_device_unused(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A replica of several pods that ask for RDMA devices (`rdma/…`, EFA) and set `NCCL_NET=Socket` or `NCCL_IB_DISABLE=1`.

    ## Why it matters

    Both settings make NCCL exchange over TCP sockets between the pods. Tensor, pipeline and expert parallelism then run at
    a tenth of the speed of the cards that the pods reserve, and that nobody else can use meanwhile.

    ## How to fix

    Take the variable out, so that NCCL takes the fastest network it finds (`NCCL_DEBUG=INFO` tells which). Or give the
    devices back.

    ## Certainty

    Proven for what NCCL does. A warning: a team may work around a broken fabric for a time. Replicas of one pod are left
    out, whose NCCL does not leave the node while a KV connector may use the cards; `NCCL_IB_DISABLE` says nothing of EFA,
    which NCCL reaches through a plugin.

    ## References

    - [NCCL: NCCL_NET, NCCL_IB_DISABLE](https://docs.nvidia.com/deeplearning/nccl/user-guide/docs/env.html)
    """
    container = case.pool.containers[0] if case.pool.containers else None
    if container is None or case.pool.nodes.get(1) < 2:
        return
    for name, off in (("NCCL_NET", "socket"), ("NCCL_IB_DISABLE", "1")):
        fact = container.variable(name)
        if fact is None or fact.get("").strip().lower() != off or fact.place is None:
            continue
        found = _device(container, _CARDS if name == "NCCL_NET" else _RDMA)
        if found is None:
            continue
        yield Verdict(
            fact.place,
            f"{name}={fact.value} keeps NCCL between {count(case.pool.nodes.get(1), 'pod')} on TCP; {found[0]} is not used by it",
            related=(Related(found[1], "asked for here"),),
            proposals=(Proposal(f"take {name} out, or give {found[0]} back", False, None),),
            key=name,
        )
        return


def _device(container: Container, words: tuple[str, ...]) -> tuple[str, Place] | None:
    """The first RDMA resource that the container asks for, and where."""
    for side in ("limits", "requests"):
        for key, node, value in container.node.entries_at("resources", side):
            if any(word in key.lower() for word in words) and (not isinstance(value, ScalarNode) or value.text != "0"):
                return key, Place.of(container.document, node)
    return None


# UCX's names of transports and groups of them (docs/source/faq.md of openucx/ucx, "List of main transports and aliases").
_VERBS = frozenset((
    "ib", "rc", "rc_v", "rc_x", "rc_verbs", "rc_mlx5", "ud", "ud_v", "ud_x", "ud_verbs", "ud_mlx5", "dc", "dc_x", "dc_mlx5",
    "gga", "gga_mlx5",
))  # fmt: skip
_HOST = frozenset((
    "sm", "shm", "mm", "self", "sysv", "posix", "cma", "knem", "xpmem", "cuda", "cuda_copy", "cuda_ipc", "gdr_copy", "rocm",
    "rocm_copy", "rocm_ipc",
))  # fmt: skip


@rule(
    "DIS720", "ucx-without-network", "KV cache handed over by UCX, which is left no way between pods",
    severity=Severity.WARNING, certainty=Certainty.HEURISTIC, scope=Scope.CONTAINER, since="0.1.0",
)  # fmt: skip
def ucx_without_network(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A pod that hands its KV cache over through NIXL and whose `UCX_TLS` lists no transport that reaches another pod: only
    those within a host (`sm`, `self`, `cuda_copy`, `cuda_ipc`), or beside them only InfiniBand verbs (`rc`, `ud`, `dc`,
    `ib`) in a pod that has no RDMA device.

    ## Why it matters

    NIXL moves the cache over UCX, and UCX takes none but the transports listed. Without a network among them the first
    transfer fails ("no active messages transport", "Destination is unreachable") while all pods are ready. Within one node
    it may seem to work.

    ## How to fix

    Add `tcp` to the list (slow, yet it works), ask for the RDMA device (`rdma/…`), or leave `UCX_TLS` out.

    ## Certainty

    Heuristic: NVLink connects pods of one rack (GB200, GB300: left out where the GPU is known), and some clusters put the
    cards into every pod. Pods on the host's network, privileged ones, those with a further network or a claim of devices,
    and lists with a name that is not known here are left out.

    ## References

    - [UCX: UCX_TLS](https://openucx.readthedocs.io/en/master/faq.html#which-transports-does-ucx-use)
    - [vLLM: NixlConnector usage guide](https://docs.vllm.ai/en/stable/features/nixl_connector_usage/)
    """
    container, pod = case.container, case.container.pod
    fact = container.variable("UCX_TLS")
    if fact is None or not fact.is_known or fact.place is None or pod is None or not _hands_over(container):
        return
    if fact.place.document.source.path != case.deployment.document.source.path:
        return  # said of the object that it comes from
    if pod.partial and not container.node.entries_at("resources", "limits"):
        return
    listed = [word.strip() for word in fact.value.split(",") if word.strip()]
    if not listed or any(word not in _VERBS | _HOST for word in listed):
        return  # a network among them, an exclusion (^), or a name that is not known here
    verbs = [word for word in listed if word in _VERBS]
    racks = any(name in each.name for each in case.pool.accelerator.values for name in ("GB200", "GB300"))
    if racks or (verbs and _sees_cards(container, pod)):
        return
    why = f"{', '.join(verbs)} need an RDMA device, and the pod has none" if verbs else "none of its transports leaves the host"
    transfer = transfer_of(container.command)
    related = (
        (Related(container.command.place_of(transfer.argument), "hands the KV cache over through NIXL"),)
        if transfer is not None and container.command is not None
        else ()
    )
    yield Verdict(
        fact.place,
        f"UCX may use {fact.value} and nothing else: {why}",
        related=related,
        proposals=(Proposal("add tcp to the list, or ask for an RDMA device", False, None),),
        key=container.name,
    )


def _hands_over(container: Container) -> bool:
    """Through NIXL, to an engine in another pod."""
    command = container.command
    transfer = transfer_of(command)
    if transfer is not None:
        return transfer.uses("NixlConnector")
    backend = command.last("--disaggregation-transfer-backend") if command is not None else None
    mode = command.last("--disaggregation-mode") if command is not None else None
    return backend is not None and backend.value == "nixl" and mode is not None and mode.value in ("prefill", "decode")


def _sees_cards(container: Container, pod: Pod) -> bool:
    """The container may reach RDMA cards: by a resource, a claim, a further network, the host's, or its privileges."""
    if _device(container, ("rdma", "hca", "roce", "infiniband", "sriov", "mlnx", "hostdev")) is not None:
        return True
    if pods.says(pod.node, "spec", "hostNetwork") or pod.node.elements_at("spec", "resourceClaims"):
        return True
    if guards.sees_host_devices(container) or pods.says(container.node, "securityContext", "privileged"):
        return True
    return _has_network(pod)


def _has_network(pod: Pod) -> bool:
    """An annotation, of the pod or of the object that an operator makes it of, attaches a further network."""
    keys = [key for key, _, _ in pod.node.entries_at("metadata", "annotations")]
    root = pod.document.root
    for path in (("metadata", "annotations"), ("spec", "annotations")):
        keys += [key for key, _, _ in root.entries_at(*path)] if root is not None else []
    return any("networks" in key or "networking.gke.io" in key or "rdma" in key.lower() for key in keys)


_FIRST = "mlx5_"
_NAMES = ("_HCA", "_HCA_LIST", "_NET_DEVICES", "_IB_DEVICE", "_DEVICE_NAME", "MOONCAKE_DEVICE")


@rule(
    "DIS723", "network-device-misspelled", "Name of a network device that no driver gives",
    severity=Severity.WARNING, certainty=Certainty.HEURISTIC, scope=Scope.CONTAINER, since="0.1.0",
)  # fmt: skip
def network_device_misspelled(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    Lists of RDMA devices (`NCCL_IB_HCA`, `NCCL_EXCLUDE_IB_HCA`, `UCX_NET_DEVICES`, `NVSHMEM_HCA_LIST`,
    `--disaggregation-ib-device` and their like) with a name that differs from `mlx5_N` in one letter.

    ## Why it matters

    NVIDIA's driver calls its cards `mlx5_0`, `mlx5_1` … whatever their generation. A name that fits no card is passed over
    in silence: a card that was to be left out is used (or one that was to be used is not), and the rails of the nodes no
    longer match.

    ## How to fix

    Write the name as `ibv_devices` prints it.

    ## Certainty

    Heuristic: a card can be renamed by a udev rule; a name so near to the driver's is a slip.

    ## References

    - [NCCL: NCCL_IB_HCA](https://docs.nvidia.com/deeplearning/nccl/user-guide/docs/env.html#nccl-ib-hca)
    - rdma-core, `kernel-boot/rdma-persistent-naming.rules`
    """
    container, command = case.container, case.container.command
    found: list[tuple[str, str, Place]] = []
    for name, fact in container.environment.items():
        if name.endswith(_NAMES) and fact.is_known and fact.place is not None:
            found.append((name, str(fact.value), fact.place))
    for flag in RDMA_FLAGS:
        argument = command.last(flag) if command is not None else None
        if argument is not None and command is not None and argument.value and not argument.value_is_unknown:
            found.append((flag, argument.value, command.place_of(argument)))
    for name, value, place in found:
        wrong = [(word, meant) for word in _words(value) if (meant := _meant(word)) is not None]
        if wrong:
            yield Verdict(
                place,
                f"{name} names {', '.join(word for word, _ in wrong)}; the driver's name is {', '.join(m for _, m in wrong)}",
                proposals=(Proposal(f"write {', '.join(m for _, m in wrong)}", False, None),),
                key=name,
            )


def _words(value: str) -> list[str]:
    """The names in a list: without the marks for exclusion and exact matches, and without ports."""
    words = value.replace(";", ",").split(",")
    return [word.strip().lstrip("^=").partition(":")[0] for word in words]


def _meant(word: str) -> str | None:
    """``mlx5_N`` where ``word`` differs from it by a slip; None where it is that, or something else."""
    stem = word.rstrip("0123456789")
    number = word[len(stem) :]
    if not number or stem in (_FIRST, "mlx4_"):
        return None
    from servelint_rules.slips import distance  # lazy: few names are not the driver's

    return _FIRST + number if distance(stem, _FIRST, 1) == 1 else None
