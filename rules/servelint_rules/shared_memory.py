"""Shared memory: whether the ranks of one container have room to talk, and whether that room has a bound."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.facts import Place
from servelint.finding import Certainty, Proposal, Severity, Verdict
from servelint.formats import containers, devices
from servelint.rulebook import Scope, rule
from servelint.source.nodes import MappingNode
from servelint_rules import guards, pods
from servelint_rules.places import place_of, related

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import ContainerCase
    from servelint.deployment import Container, Pod, Pool
    from servelint.formats.compose.service import Service

_DEFAULT = "default of container runtimes: 64 MiB for all ranks together"


@rule(
    "K8S601", "shm-missing-for-multi-gpu", "Several GPUs with the default 64 MiB of shared memory",
    severity=Severity.WARNING, certainty=Certainty.HEURISTIC, scope=Scope.CONTAINER, since="0.1.0",
    formats=(*guards.TEMPLATED, "compose"), fixable=True,
)  # fmt: skip
def shm_missing_for_multi_gpu(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A container that runs several ranks of one engine (tensor, pipeline or expert parallelism on more than one GPU) in a pod
    without a volume at `/dev/shm` and without `hostIPC`; in a Compose file, a service without `shm_size` and without
    `ipc: host`.

    ## Why it matters

    The ranks of one pod talk through shared memory: NCCL where GPUs cannot reach each other directly, and the engine's
    own message queue in any case. A container's default `/dev/shm` has 64 MiB. When it is full the engine dies with
    "Bus error" or an NCCL "unhandled system error", often only under load.

    ## How to fix

    Mount a memory-backed `emptyDir` at `/dev/shm`; in Compose, set `shm_size`. The proposed size, 1 GiB for each GPU, is a
    rule of thumb; only pages that are written count against the memory limit of the container.

    ## Certainty

    Heuristic: whether 64 MiB are too little depends on how the GPUs are connected and on the load. Operators that mount
    the volume themselves are left out, as are patches and bases.

    ## References

    - NCCL user guide, "Troubleshooting: shared memory"
    - [Compose file reference: shm_size](https://docs.docker.com/reference/compose-file/services/#shm_size)
    - [production-stack#276](https://github.com/vllm-project/production-stack/issues/276),
      [vllm#1710](https://github.com/vllm-project/vllm/issues/1710)
    """
    if case.container.pod is not None:
        yield from _in_pod(case, case.container.pod)
    elif case.deployment.format == "compose":
        yield from _in_service(case)


def _in_pod(case: ContainerCase, pod: Pod) -> Iterator[Verdict]:
    container, pool = case.container, case.pool
    if not guards.shows_all(case) or not guards.on_gpus(case):
        return
    if containers.has_shared_memory(pod.node, container.node):
        return
    asked = devices.devices(container.node)
    claimed = asked.resource == devices.DYNAMIC
    size = min(pool.gpus_per_node.get(0) if claimed else asked.number, pods.ranks_in_pod(pool))
    if (asked.resource not in devices.COUNTED and not claimed) or size <= 1:
        return
    from servelint.formats.snippets import mount_shared_memory  # lazy: only findings edit

    place = Place.of(container.document, asked.written) if asked.written is not None else place_of(pool, pool.tensor)
    yield Verdict(
        place,
        f"{size} ranks in one container, and nothing is mounted at /dev/shm",
        arithmetic=(_DEFAULT,),
        related=related(place, (pool.tensor, f"tensor-parallel size {pool.tensor.get(1)}")),
        proposals=(
            Proposal(
                f"mount a memory-backed emptyDir of {size} GiB at /dev/shm (1 GiB for each GPU: a rule of thumb)",
                True,
                lambda: mount_shared_memory(container.document, pod.node, container.node, size),
            ),
        ),
        key=container.name,
    )


def _in_service(case: ContainerCase) -> Iterator[Verdict]:
    container, pool = case.container, case.pool
    ranks = min(pods.ranks_in_pod(pool), pool.gpus_per_node.get(1 << 30))
    if ranks <= 1 or pool.gpu_resource not in devices.COUNTED or not guards.on_gpus(case):
        return
    service = _service_of(container)
    if service is None or not isinstance(container.node, MappingNode):
        return
    from servelint.formats.compose.accelerators import has_shared_memory  # lazy: only Compose files have services
    from servelint.source import edits

    if service.partial or has_shared_memory(service):
        return
    node = container.node
    place = place_of(pool, pool.tensor, pool.pipeline)
    yield Verdict(
        place,
        f"{ranks} ranks in one container with the default /dev/shm",
        arithmetic=(_DEFAULT,),
        proposals=(
            Proposal(
                f"set shm_size: {ranks}gb (1 GiB for each GPU: a rule of thumb)",
                True,
                lambda: edits.insert_entry(container.document, node, "shm_size", f"{ranks}gb", "image"),
            ),
        ),
        key=container.name,
    )


def _service_of(container: Container) -> Service | None:
    from servelint.formats.compose.service import Service  # lazy, as above

    services = container.document.get("services")
    entry = services.entry(container.name) if isinstance(services, MappingNode) else None
    if entry is None or not isinstance(services, MappingNode) or not isinstance(entry[1].resolved, MappingNode):
        return None
    return Service(container.document, container.name, entry[0], entry[1].resolved, services)


@rule(
    "K8S618", "shm-without-limit", "Shared memory without a size limit",
    severity=Severity.INFO, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0",
    formats=guards.TEMPLATED, fixable=True, advice=True,
)  # fmt: skip
def shm_without_limit(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A memory-backed `emptyDir` at `/dev/shm` without a `sizeLimit`, of an engine's container with several GPUs.

    ## Why it matters

    Without a limit the volume may grow to the memory limit of the pod or, where the pod has none, to the allocatable
    memory of the node. What is written there counts as memory of the container: a leak in shared memory ends in an
    out-of-memory kill of the engine, or in memory pressure for every pod of the node, instead of a plain "no space left".

    ## How to fix

    Give it a `sizeLimit`. 1 GiB for each GPU is a usual start; offloading KV cache through shared memory needs more.

    ## Certainty

    Proven that there is no limit. Advice: most manifests do without one, and nothing happens.

    ## References

    - [Kubernetes: emptyDir, memory-backed volumes](https://kubernetes.io/docs/concepts/storage/volumes/#emptydir)
    """
    container, pool = case.container, case.pool
    if container.pod is None or not guards.shows_all(case) or pool.gpus_per_node.get(0) < 2:
        return
    if not pods.speaks_for(container, case.deployment):
        return
    for mount in pods.mounts(container.pod, container.node):
        volume = mount.volume
        directory = volume.get("emptyDir") if volume is not None and mount.path == pods.SHARED_MEMORY else None
        if not isinstance(directory, MappingNode) or directory.text_at("medium") != "Memory":
            continue
        if directory.get("sizeLimit") is None:
            yield _unlimited(container, pool, directory)
        return


def _unlimited(container: Container, pool: Pool, directory: MappingNode) -> Verdict:
    from servelint.source import edits  # lazy: only findings edit

    size = max(pods.ranks_in_pod(pool), 2)
    bounded = container.node.text_at("resources", "limits", "memory")
    most = f"the container's {bounded} of memory" if bounded else "the allocatable memory of the node"
    return Verdict(
        pods.key_place(container.document, directory, "medium") or Place.of(container.document, directory),
        f"what is written to /dev/shm may take {most}",
        proposals=(
            Proposal(
                f"limit it to {size} GiB (1 GiB for each GPU: a rule of thumb)",
                False,
                lambda: edits.insert_entry(container.document, directory, "sizeLimit", f"{size}Gi", "medium"),
            ),
        ),
        key=container.name,
    )
