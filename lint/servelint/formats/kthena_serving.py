"""ModelServing: serving groups of roles, each role an entry pod and ``workerReplicas`` worker pods."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.facts import Fact, Origin, OriginKind
from servelint.formats import custom_resources, pod_groups
from servelint.formats.pod_groups import Group

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.deployment import Deployment, Pool
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document, Node

_WHO = "kthena"


def deployments(document: Document, item: Node, surroundings: Surroundings) -> Iterator[Deployment]:
    groups = custom_resources.number(document, item.get("spec"), "replicas", "replicas.min", default=1, of=_WHO)
    pools: list[Pool] = []
    for index, role in enumerate(item.elements_at("spec", "template", "roles")):
        entry = role.get("entryTemplate")
        if entry is None:
            continue
        workers = custom_resources.number(document, role, "workerReplicas", "nodes", default=0, of=_WHO)
        size = _size(workers)
        replicas = custom_resources.number(document, role, "replicas", "replicas.min", default=1, of=_WHO)
        given = pod_groups.controlled(("ENTRY_ADDRESS", "WORKER_INDEX"), _WHO)
        given["GROUP_SIZE"] = size.map(str)._replace(name="env.GROUP_SIZE")
        name = role.text_at("name") or f"role-{index}"
        template = role.get("workerTemplate")
        group = Group(name, entry, template, size, pod_groups.times(groups, replicas), given=given)
        made = pod_groups.role_pools(document, group, surroundings, owner="ModelServing")
        pools += made
    yield from pod_groups.deployed(document, item, "kthena", pools, surroundings)


def _size(workers: Fact[int]) -> Fact[int]:
    if not workers.is_known:
        return workers
    pods = workers.value + 1
    return Fact.known("nodes", pods, Origin(OriginKind.DERIVED, f"1 entry pod + {workers.value} workers", workers.place))
