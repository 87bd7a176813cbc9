"""DIS725: addresses of the roles of a RoleBasedGroup, against the Services and pods that its controller makes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.facts import Place
from servelint.finding import Certainty, Proposal, Related, Severity, Verdict
from servelint.records import NamedTuple
from servelint.rulebook import Scope, rule
from servelint.source.nodes import ScalarNode, walk
from servelint.source.scalars import whole
from servelint_rules import pods
from servelint_rules.figures import count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import WorkspaceCase
    from servelint.formats.run_objects import KubernetesObject
    from servelint.source.nodes import Node

_GROUP = "RoleBasedGroup"
_LONGEST = 63  # of a Service's name; longer ones are cut


class _Role(NamedTuple):
    """``replicas``: instances, None where that is not a number. ``size``: pods of an instance whose pods are numbered, 0 where
    an instance is one pod, None where its pods are named in other ways."""

    group: str
    name: str
    node: Node
    replicas: int | None
    size: int | None

    @property
    def service(self) -> str:
        return f"s-{self.group}-{self.name}"[:_LONGEST].rstrip("-")


class _Address(NamedTuple):
    """A host name in a text: ``pod`` "" where it is the Service itself."""

    pod: str
    service: str
    node: ScalarNode


@rule(
    "DIS725", "group-address-unknown", "Address of a role that does not reach its pods",
    severity=Severity.WARNING, certainty=Certainty.HEURISTIC, scope=Scope.WORKSPACE, since="0.1.0",
    formats=("rbg",), inputs=("other files of the run",),
)  # fmt: skip
def group_address_unknown(case: WorkspaceCase) -> Iterator[Verdict]:
    """
    ## What it checks

    Host names in a RoleBasedGroup that are built as its controller builds them, `s-<group>-<role>` for the Service of a role
    and `<group>-<role>-<i>` for its pods: whether the group has that name, whether a pod has, and whether a list of pods
    names every instance of the role.

    ## Why it matters

    A Service of another group's name resolves to nothing, or to another team's pods. An instance of `leaderWorkerPattern`
    has several pods, `<group>-<role>-<i>-<j>`, and none that is called like the instance. And a router that is given fixed
    addresses sends nothing to the instances that are not on its list: their GPUs idle.

    ## How to fix

    Name the group, the leader's pod (`…-0-0`), and every instance; or let the router discover them (`--service-discovery`).

    ## Certainty

    Heuristic: names are compared with those that the newest controller gives, and a group may use a role of another one
    although it has its own. Names of Services and groups that stand in the same file are right.

    ## References

    - sgl-project/rbg, `api/workloads/v1alpha2/helper.go`: `GetServiceName`;
      `pkg/reconciler/roleinstance/utils/instance_utils.go`: `FormatComponentPodName`
    """
    for group in case.objects.of_kind(_GROUP, ("s-",)):
        roles = _roles(group)
        for role in roles:
            containers = [n for template in _templates(role.node) for n in template.elements_at("spec", "containers")]
            for container in containers:
                yield from _judge(case, group, roles, role, list(_addresses(container)))


def _roles(group: KubernetesObject) -> list[_Role]:
    found = []
    old = (group.node.text_at("apiVersion") or "").endswith("v1alpha1")
    for role in group.node.elements_at("spec", "roles"):
        name = role.text_at("name")
        if not name:
            continue
        replicas = pods.whole(role.get("replicas")) if role.get("replicas") is not None else 1
        size: int | None = 0
        pattern = role.get("leaderWorkerPattern")
        if pattern is not None and not old:
            size = pods.whole(pattern.get("size")) if pattern.get("size") is not None else 1
        elif any(role.get(key) is not None for key in ("customComponentsPattern", "components", "leaderWorkerSet", "workload")):
            size = None
        if any("Stateless" in text for text in pods.texts(role.get("annotations"))):
            size = None
        found.append(_Role(group.name, name, role, replicas, size))
    return found


def _templates(role: Node) -> Iterator[Node]:
    for pattern in (role, role.get("standalonePattern"), role.get("leaderWorkerPattern")):
        template = pattern.get("template") if pattern is not None else None
        if template is not None:
            yield template


def _addresses(container: Node) -> Iterator[_Address]:
    """The host names in the container's command and variables that have a label which begins with ``s-``."""
    import re  # lazy: only groups whose text speaks of such a Service

    for each in walk(container):
        node = each.resolved
        if not isinstance(node, ScalarNode) or "s-" not in node.text:
            continue
        for match in re.finditer(r"(?<![\w.$({/-])(?:\w+://)?([a-z0-9][a-z0-9.-]*)(?![\w.)}-])", node.text):
            labels = match.group(1).split(".")
            index = next((i for i, label in enumerate(labels) if label.startswith("s-")), None)
            if index is not None and index < 2:
                yield _Address(labels[0] if index else "", labels[index], node)


def _judge(
    case: WorkspaceCase, group: KubernetesObject, roles: list[_Role], caller: _Role, addresses: list[_Address]
) -> Iterator[Verdict]:
    addressed: dict[str, list[_Address]] = {}
    for address in addresses:
        role = next((role for role in roles if role.service == address.service), None)
        if role is None:
            verdict = _other_group(case, group, roles, address)
            if verdict is not None:
                yield verdict
        elif address.pod:
            addressed.setdefault(role.name, []).append(address)
    for role in roles:
        if role.name in addressed and role.name != caller.name and role.size is not None and role.replicas:
            yield from _pods(group, role, addressed[role.name])


def _other_group(case: WorkspaceCase, group: KubernetesObject, roles: list[_Role], address: _Address) -> Verdict | None:
    """The Service of a role that this group has, by the name of a group that is not in its file."""
    for role in sorted(roles, key=lambda role: -len(role.name)):
        other = address.service.removeprefix("s-").removesuffix(f"-{role.name}")
        if other == address.service.removeprefix("s-") or other == group.name or len(address.service) >= _LONGEST:
            continue
        named = (*case.objects.called(_GROUP, other), *case.objects.called("Service", address.service))
        if any(each.path == group.path for each in named):
            return None
        name = group.node.get("metadata", "name") or group.node
        return Verdict(
            Place.of(group.document, address.node),
            f"{address.service} is the role {role.name} of the group {other}; this group, {group.name}, has such a role itself",
            related=(Related(Place.of(group.document, name), "the group"),),
            proposals=(Proposal(f"name {role.service}", False, None),),
            key=f"{role.name} {address.service}",
        )
    return None


def _pods(group: KubernetesObject, role: _Role, addresses: list[_Address]) -> Iterator[Verdict]:
    """Names that no pod of the role has, and instances that no address names."""
    stem = f"{role.group}-{role.name}-"
    reached: set[int] = set()
    assert role.replicas is not None
    label = ""
    for address in addresses:
        numbers = address.pod.removeprefix(stem).split("-")
        if not address.pod.startswith(stem) or not all(whole(number) is not None for number in numbers) or len(numbers) > 2:
            return  # named in a way that is not known here
        instance = int(numbers[0])
        reached.add(instance)
        wanted = 2 if role.size else 1
        if instance >= role.replicas:
            label = label or f"no pod is called {address.pod}: {role.name} has {count(role.replicas, 'instance')}"
        elif len(numbers) < wanted:
            label = label or f"no pod is called {address.pod}: it is a group of pods, whose leader is {address.pod}-0"
    missed = [instance for instance in range(role.replicas) if instance not in reached]
    if missed:
        here = role.replicas - len(missed)
        label += (" and " if label else "") + f"{here} of {count(role.replicas, 'instance')} of {role.name} "
        label += "is addressed" if here == 1 else "are addressed"
    if not label:
        return
    related = [Related(Place.of(group.document, node), what) for node, what in _counts(role)]
    yield Verdict(
        Place.of(group.document, addresses[-1].node),
        label,
        related=tuple(related),
        proposals=(Proposal("name the pod of every instance, or let the router discover them", False, None),),
        key=role.name,
    )


def _counts(role: _Role) -> Iterator[tuple[Node, str]]:
    replicas, size = role.node.get("replicas"), role.node.get("leaderWorkerPattern", "size")
    if replicas is not None:
        yield replicas, "instances"
    if size is not None and role.size:
        yield size, "pods of each"
