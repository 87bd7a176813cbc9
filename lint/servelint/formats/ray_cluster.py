"""A Ray cluster of KubeRay: its groups of pods, and where Ray puts the workers of one engine.

The first container of a pod template is the Ray container (KubeRay, ``RayContainerIndex``). An engine takes one GPU for each
rank, in a placement group that packs the ranks into as few pods as they fit in (Ray Serve LLM: strategy PACK unless
``placement_group_config`` says otherwise; vLLM: ``vllm/v1/executor/ray_utils.py``). So several replicas may share one pod.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.deployment import Pod
from servelint.facts import Fact, FactState, Origin, OriginKind
from servelint.formats import containers, devices, launches, podspec, scheduling
from servelint.formats.writers import together
from servelint.records import NamedTuple
from servelint.source.nodes import MappingNode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from servelint.catalogue.accelerators import Accelerator
    from servelint.deployment import Pool
    from servelint.engines.command import Program
    from servelint.finding import Edit
    from servelint.formats.base import Surroundings
    from servelint.formats.devices import Devices
    from servelint.source.nodes import Document, Node

ABSENT = "the Ray cluster is not in this file"


class Group(NamedTuple):
    """The head, or one group of workers. ``hosts``: pods that one replica of the group is (``numOfHosts``). ``most``: pods of
    the group at most, None where that is open."""

    document: Document
    template: Node
    container: Node
    head: bool
    asked: Devices
    gpus: Fact[int]
    accelerator: Fact[Accelerator] | None
    hosts: Fact[int]
    most: int | None

    def pod(self, owner: str) -> Pod:
        return Pod(self.document, self.template, owner)

    def image(self) -> Fact[str]:
        return containers.image(self.document, self.container)


class Placement(NamedTuple):
    """Where the workers of an engine run. ``group``: None where no single group can be named."""

    group: Group | None
    gpus: Fact[int]
    resource: str
    nodes: Fact[int]
    shares_nodes: bool

    def facts(self) -> dict[str, Any]:
        """By field of :class:`servelint.deployment.Pool`."""
        return {
            "gpus_per_node": self.gpus,
            "gpu_resource": self.resource,
            "nodes": self.nodes,
            "shares_nodes": self.shares_nodes,
        }


def groups(document: Document, cluster: Node | None) -> list[Group]:
    """The groups of the RayCluster's spec at ``cluster``, workers first."""
    if cluster is None:
        return []
    found = [_group(document, node, head=False) for node in cluster.elements_at("workerGroupSpecs")]
    head = cluster.get("headGroupSpec")
    if head is not None:
        found.append(_group(document, head, head=True))
    return [group for group in found if group is not None]


def _group(document: Document, node: Node, *, head: bool) -> Group | None:
    template = node.get("template")
    container = template.get("spec", "containers", 0) if template is not None else None
    if template is None or not isinstance(container, MappingNode):
        return None
    asked = devices.devices(container)
    gpus = devices.count(document, container, together((document, asked.limit), (document, asked.request)))
    one = Fact.known("nodes", 1, Origin(OriginKind.DEFAULT, "default of KubeRay for numOfHosts"))
    hosts = launches.whole(document, node.get("numOfHosts"), "nodes", "numOfHosts", least=1) or one
    most: int | None = 1
    if not head:
        written = node.get("maxReplicas") or node.get("replicas")
        replicas = launches.whole(document, written, "replicas", "replicas")
        most = replicas.value * hosts.value if replicas is not None and replicas.is_known and hosts.is_known else None
    accelerator = scheduling.accelerator(document, template)
    return Group(document, template, container, head, asked, gpus, accelerator, hosts, most)


def image_of(group: Group | None) -> Fact[str]:
    return group.image() if group is not None else Fact.unknown(containers.IMAGE, ABSENT)


def accelerator_of(stated: Fact[Accelerator] | None, group: Group | None) -> Fact[Accelerator] | None:
    """The accelerator that an application asks for and the one its pods are scheduled onto, both of which hold."""
    placed = group.accelerator if group is not None else None
    if stated is None or placed is None or not stated.values:
        return placed or stated
    if not placed.values:
        return stated
    names = {accelerator.name for accelerator in stated.values}
    common = tuple(accelerator for accelerator in placed.values if accelerator.name in names)
    if common and placed.origin is not None:
        return Fact.either(placed.name, common, placed.origin)
    asks = " or ".join(accelerator.name for accelerator in stated.values)
    gets = " or ".join(accelerator.name for accelerator in placed.values)
    reason = f"the application asks for {asks}, and the pods with GPUs run on {gets}"
    return Fact.conflict(stated.name, (*stated.values, *placed.values), reason, stated.origin or _derived(""))


def place(
    cluster: Sequence[Group], world: Fact[int], wanted: Fact[Accelerator] | None = None, *, spread: bool = False
) -> Placement:
    """Where an engine of ``world`` ranks runs. ``wanted``: the accelerator it asks for; it keeps to groups that have it.

    ``spread``: its placement group asks for different pods.
    """
    able = [group for group in cluster if group.asked.resource and _fits(group, wanted)]
    if not able:
        reason = "no group of the cluster asks for an accelerator" if cluster else ABSENT
        gpus: Fact[int] = Fact.unknown(devices.NAME, reason, "set resources.limits, such as nvidia.com/gpu")
        return Placement(cluster[0] if len(cluster) == 1 else None, gpus, "", Fact.unknown("nodes", reason), False)
    group = able[0]
    if len({(g.asked.resource, g.gpus.state, g.gpus.values) for g in able}) > 1:
        reason = "several groups of the cluster have accelerators, each another number, and Ray chooses"
        return Placement(None, Fact.unknown(devices.NAME, reason), "", Fact.unknown("nodes", reason), False)
    nodes = _nodes(able, group, world, spread=spread)
    shares = world.is_known and group.gpus.is_known and world.value < group.gpus.value
    return Placement(group, group.gpus, group.asked.resource, nodes, shares)


def _fits(group: Group, wanted: Fact[Accelerator] | None) -> bool:
    """Nothing says that the group has another accelerator."""
    if wanted is None or not wanted.values or group.accelerator is None or not group.accelerator.values:
        return True
    names = {accelerator.name for accelerator in wanted.values}
    return any(accelerator.name in names for accelerator in group.accelerator.values)


def _nodes(able: Sequence[Group], group: Group, world: Fact[int], *, spread: bool) -> Fact[int]:
    name = "nodes"
    if devices.unevenness(group.asked.resource):
        return group.hosts if len(able) == 1 else Fact.unknown(name, "several groups of the cluster have accelerators")
    if sum(g.most if g.most is not None else 2 for g in able) == 1:
        return Fact.known(name, 1, _derived("the cluster has one pod with GPUs"))
    if not world.is_known:
        return Fact.unknown(name, f"how many pods an engine spans follows from its degrees: {world.reason}", world.remedy)
    if not group.gpus.is_known:
        return Fact.unknown(name, group.gpus.reason, group.gpus.remedy)
    ranks, gpus = world.value, group.gpus.value
    if spread:
        return Fact.unknown(name, "the placement group spreads the ranks over pods")
    if ranks <= gpus:
        return Fact.known(name, 1, _derived(f"{ranks} of the {gpus} GPUs of one pod"), _Follows())
    if gpus and ranks % gpus == 0:
        return Fact.known(name, ranks // gpus, _derived(f"{ranks} GPUs in pods of {gpus}"), _Follows())
    return Fact.unknown(name, f"{ranks} ranks do not fill pods of {gpus} GPUs")


class _Follows:
    """Pods of a replica follow from its degrees: whatever is wanted of them, nothing is to be written."""

    def write(self, value: object) -> tuple[Edit, ...] | None:
        return () if value is not None else None


def _derived(text: str) -> Origin:
    return Origin(OriginKind.DERIVED, text)


def world_of(facts: dict[str, Fact[Any]], *, default: int = 0) -> Fact[int]:
    """TP × PP × prefill CP of an engine's facts; ``default`` stands for a degree that is not there (0: it is unknown then)."""
    product = 1
    for field in ("tensor", "pipeline", "prefill_context"):
        fact = facts.get(field)
        if fact is None:
            if not default and field == "tensor":
                return Fact.unknown("world_size", "the tensor-parallel degree is not stated")
            continue
        if fact.state is not FactState.KNOWN:
            return Fact.unknown("world_size", fact.reason, fact.remedy)
        product *= fact.value
    return Fact.known("world_size", product, _derived("TP × PP"))


def pools(document: Document, cluster: Node, surroundings: Surroundings, *, owner: str, partial: bool = False) -> list[Pool]:
    """The pools of engines that the containers of a RayCluster's spec start themselves, each sized by the cluster.

    The head's engine takes the GPUs of the whole cluster through Ray; an engine in a worker group runs in each of its pods.
    """
    members = groups(document, cluster)
    found: list[Pool] = []
    for group in sorted(members, key=lambda group: not group.head):
        started = _started(group)
        for pool in podspec.engine_pools(document, group.template, surroundings, owner=owner, partial=partial, started=started):
            if any(pool.engine.values == other.engine.values for other in found):
                continue  # the workers' part of the engine that the head started
            found.append(sized(pool, members if group.head else [group]))
    return found


def _started(group: Group) -> podspec.Started:
    """What the Ray container runs besides Ray: KubeRay replaces the image's entrypoint by a shell, which gets the words of
    ``args`` before ``ray start``, unless the container has a command of its own (KubeRay, ``BuildPod``)."""

    def started(container: Node, variables: Mapping[str, Fact[str]]) -> Sequence[Program] | None:
        if container is not group.container or container.elements_at("command"):
            return None
        from servelint.engines import shell  # lazy: only containers of clusters that may run an engine are taken apart

        made: list[Program] = []
        for item in container.elements_at("args"):
            following = list(shell.programs_of_texts(group.document, [item], variables))
            if made and following:  # the items are joined by blanks, so that a command may go on in the next one
                made[-1] = made[-1].continued(following.pop(0).words)
            made += following
        return made

    return started


def sized(pool: Pool, members: Sequence[Group]) -> Pool:
    """``pool`` on the GPUs of a cluster, started in one of its pods."""
    given = {name: fact for name in ("tensor", "pipeline", "prefill_context") if (fact := _stated(pool, name)) is not None}
    complete = all(container.command is None or container.command.complete for container in pool.containers)
    placement = place(members, world_of(given, default=1 if complete else 0))
    changes = placement.facts()
    if pool.nodes.is_known:
        changes.pop("nodes")  # the command line says so
    accelerator = accelerator_of(None, placement.group)
    if accelerator is not None:
        changes["accelerator"] = accelerator
    return pool._replace(**changes)


def _stated(pool: Pool, name: str) -> Fact[Any] | None:
    fact: Fact[Any] = getattr(pool, name)
    return None if fact.state is FactState.UNKNOWN and fact.reason == "not stated" else fact
