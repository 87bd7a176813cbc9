"""LeaderWorkerSet: groups of pods, each group one replica of a model; and DisaggregatedSet, of which each role is such a set.

``spec.replicas`` counts groups, ``leaderWorkerTemplate.size`` pods in a group. Engines are launched in three ways: the
leader serves and the workers join its Ray cluster; every pod runs the engine with its index; every pod runs data-parallel
ranks. In all of them the leader's command line states the degrees of the replica.

Source: LeaderWorkerSet API ``leaderworkerset.x-k8s.io/v1`` (size and replicas default to 1; the leader runs the worker
template where ``leaderTemplate`` is absent; the pod webhook injects LWS_LEADER_ADDRESS, LWS_GROUP_SIZE and
LWS_WORKER_INDEX). LWS 0.9 ``api/disaggregatedset/v1/disaggregatedset_types.go`` (``slices``, 1 by default, copies of all roles;
``scaling.mode: External`` leaves ``replicas`` to an autoscaler).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.deployment import Deployment
from servelint.facts import Fact, Origin, OriginKind, Place
from servelint.formats import custom_resources, pod_groups, podspec
from servelint.formats.kubernetes import is_patch_file, is_unfinished
from servelint.formats.pod_groups import Group
from servelint.formats.writers import EntryWriter, ScalarWriter
from servelint.source.nodes import MappingNode, ScalarNode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.deployment import Pool
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document, Node

_GROUP = "leaderworkerset.x-k8s.io/"
_SETS = "disaggregatedset.x-k8s.io/"
_EXTERNAL = "an autoscaler sets them (scaling.mode: External)"


class LeaderWorkerSet:
    name = "leaderworkerset"

    def recognise(self, document: Document, surroundings: Surroundings) -> Iterator[Deployment]:
        for kind, item in custom_resources.of(document, _GROUP, ("LeaderWorkerSet",)):
            pools, partial = _pools(document, item, kind, surroundings)
            if pools:
                name = item.text_at("metadata", "name") or "leaderworkerset"
                yield Deployment(name, self.name, document, tuple(pools), notes=(podspec.PATCHED,) if partial else ())
        for kind, item in custom_resources.of(document, _SETS, ("DisaggregatedSet",)):
            slices = custom_resources.number(document, item.get("spec"), "slices", "replicas.min", default=1, of=kind, least=1)
            every = [_role(document, role, slices, kind, surroundings) for role in item.elements_at("spec", "roles")]
            partial = any(part for _, part in every)
            found = [pool for pools, _ in every for pool in pools]
            yield from pod_groups.deployed(document, item, self.name, found, surroundings, partial=partial)


def _role(document: Document, role: Node, slices: Fact[int], kind: str, surroundings: Surroundings) -> tuple[list[Pool], bool]:
    """The pools of one role of a DisaggregatedSet, which holds the ``spec`` of a LeaderWorkerSet."""
    name = role.text_at("name") or ""
    pools, partial = _pools(document, role, kind, surroundings, name)
    external = role.text_at("scaling", "mode") == "External"
    placed = []
    for pool in pools:
        low, high = (pod_groups.times(slices, fact) for fact in (pool.replicas_min, pool.replicas_max))
        if external:
            low, high = Fact.unknown(low.name, _EXTERNAL), Fact.unknown(high.name, _EXTERNAL)
        placed.append(pool._replace(replicas_min=low, replicas_max=high))
    return placed, partial


def _pools(document: Document, item: Node, kind: str, surroundings: Surroundings, role: str = "") -> tuple[list[Pool], bool]:
    """The engines of the set at ``item``, and whether another file completes it. ``role``: what its pools are called for."""
    worker = item.get("spec", "leaderWorkerTemplate", "workerTemplate")
    leader = item.get("spec", "leaderWorkerTemplate", "leaderTemplate") or worker
    if leader is None:
        return [], False
    partial = is_patch_file(document.source.path) or worker is None
    partial = partial or is_unfinished(item, leader) or (worker is not None and is_unfinished(item, worker))
    size = _size(document, item, partial)
    groups = podspec.replicas(document, item, partial=partial)
    own = worker if worker is not leader else None
    group = Group(role, leader, own, size, groups, given=injected(size))
    read = pod_groups.role_pools if role else pod_groups.pools
    pools = read(document, group, surroundings, owner=kind, partial=partial)
    if pools and not role:
        name = item.text_at("metadata", "name") or "leaderworkerset"
        for fact in (size, groups):
            podspec.report_invalid(surroundings, name, fact)
    return pools, partial


def _size(document: Document, item: Node, partial: bool) -> Fact[int]:
    from servelint.source.scalars import integer

    template = item.get("spec", "leaderWorkerTemplate")
    node = item.get("spec", "leaderWorkerTemplate", "size")
    if isinstance(node, ScalarNode):
        origin = Origin(OriginKind.FILE, "leaderWorkerTemplate.size", Place.of(document, node))
        value = integer(node)
        if value is None or value < 1:
            return Fact.unknown("nodes", f"leaderWorkerTemplate.size is {node.text!r}, not a positive number", origin=origin)
        return Fact.known("nodes", value, origin, ScalarWriter(document, node))
    if partial:
        return Fact.unknown("nodes", podspec.PATCHED)
    writer = EntryWriter(document, template, "size") if isinstance(template, MappingNode) else None
    return Fact.known("nodes", 1, Origin(OriginKind.DEFAULT, "default of LeaderWorkerSet for size"), writer)


def injected(size: Fact[int]) -> dict[str, Fact[str]]:
    """The variables that the controller puts into every container of a group."""
    remedy = "it differs from pod to pod"
    return {
        "LWS_LEADER_ADDRESS": Fact.unknown("env.LWS_LEADER_ADDRESS", "the controller sets it to the leader's host name"),
        "LWS_GROUP_SIZE": size.map(str)._replace(name="env.LWS_GROUP_SIZE"),
        "LWS_WORKER_INDEX": Fact.unknown("env.LWS_WORKER_INDEX", "the controller sets it to the pod's index", remedy),
    }
