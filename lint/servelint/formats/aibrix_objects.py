"""What AIBrix makes of its objects.

A StormService is a number of role sets; each role set has roles, each role a number of instances, and an instance is one pod
or, where ``podGroupSize`` is more than 1, a group of pods (a PodSet) in which every pod runs the role's template with
POD_GROUP_INDEX. A RayClusterFleet is a number of Ray clusters, each of which serves one replica of the model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.facts import Fact
from servelint.formats import custom_resources, pod_groups
from servelint.formats.pod_groups import Group
from servelint.source.nodes import MappingNode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.deployment import Deployment, Pool
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document, Node

_WHO = "AIBrix"
# pkg/controller/constants/stormservice.go
_GIVEN = (
    "STORM_SERVICE_NAME", "ROLESET_NAME", "ROLESET_INDEX", "ROLE_NAME", "ROLE_REPLICA_INDEX", "ROLE_TEMPLATE_HASH",
    "PODSET_NAME", "POD_GROUP_INDEX",
)  # fmt: skip


def deployments(document: Document, item: Node, surroundings: Surroundings) -> Iterator[Deployment]:
    kind = item.text_at("kind") or ""
    if kind.startswith("RayCluster"):
        pools = _fleet(document, kind, item, surroundings)
    else:
        pools = _roles(document, kind, item, surroundings)
    yield from pod_groups.deployed(document, item, "aibrix", pools, surroundings)


def _roles(document: Document, kind: str, item: Node, surroundings: Surroundings) -> list[Pool]:
    spec = item.get("spec")
    sets = None
    if kind == "StormService":
        sets = custom_resources.number(document, spec, "replicas", "replicas.min", default=1, of=_WHO)
        spec = item.get("spec", "template", "spec")
    pools: list[Pool] = []
    for index, role in enumerate(spec.elements_at("roles") if spec is not None else ()):
        template = role.get("template")
        if template is None:
            continue
        replicas = custom_resources.number(
            document, role, "replicas", "replicas.min", default=None, of="the role does not state its replicas"
        )
        if sets is not None:
            replicas = pod_groups.times(sets, replicas)
        size = None
        if role.get("podGroupSize") is not None:
            size = custom_resources.number(document, role, "podGroupSize", "nodes", default=1, of=_WHO, least=1)
        given = pod_groups.controlled(_GIVEN, _WHO)
        given["POD_GROUP_SIZE"] = _as_variable("POD_GROUP_SIZE", size)
        ordered = (role.text_at("stateful") or "").lower() == "true"
        name = role.text_at("name") or f"role-{index}"
        group = Group(name, template, None, size, replicas, ordered=ordered, given=given)
        pools += pod_groups.role_pools(document, group, surroundings, owner=kind)
    return pools


def _as_variable(name: str, size: Fact[int] | None) -> Fact[str]:
    if size is None:
        return Fact.unknown(f"env.{name}", "podGroupSize is not stated, so that no group is made")
    return size.map(str)._replace(name=f"env.{name}")


def _fleet(document: Document, kind: str, item: Node, surroundings: Surroundings) -> list[Pool]:
    cluster = item.get("spec", "template", "spec")
    if not isinstance(cluster, MappingNode):
        return []
    from servelint.formats import ray_cluster  # lazy: only fleets have a Ray cluster

    replicas = custom_resources.number(document, item.get("spec"), "replicas", "replicas.min", default=1, of=_WHO)
    found = ray_cluster.pools(document, cluster, surroundings, owner=kind)
    return [pool._replace(replicas_min=replicas, replicas_max=replicas._replace(name="replicas.max")) for pool in found]
