"""LeaderWorkerSet: groups of pods, each group one replica of a model.

``spec.replicas`` counts groups, ``leaderWorkerTemplate.size`` pods in a group. Engines are launched in three ways: the
leader serves and the workers join its Ray cluster; every pod runs the engine with its index; every pod runs data-parallel
ranks. In all of them the leader's command line states the degrees of the replica.

Source: LeaderWorkerSet API ``leaderworkerset.x-k8s.io/v1`` (size and replicas default to 1; the leader runs the worker
template where ``leaderTemplate`` is absent; the pod webhook injects LWS_LEADER_ADDRESS, LWS_GROUP_SIZE and
LWS_WORKER_INDEX).
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

    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document, Node

_GROUP = "leaderworkerset.x-k8s.io/"


class LeaderWorkerSet:
    name = "leaderworkerset"

    def recognise(self, document: Document, surroundings: Surroundings) -> Iterator[Deployment]:
        for _, item in custom_resources.of(document, _GROUP, ("LeaderWorkerSet",)):
            deployment = self._object(document, item, surroundings)
            if deployment is not None:
                yield deployment

    def _object(self, document: Document, item: Node, surroundings: Surroundings) -> Deployment | None:
        worker = item.get("spec", "leaderWorkerTemplate", "workerTemplate")
        leader = item.get("spec", "leaderWorkerTemplate", "leaderTemplate") or worker
        if leader is None:
            return None
        partial = is_patch_file(document.source.path) or worker is None
        partial = partial or is_unfinished(item, leader) or (worker is not None and is_unfinished(item, worker))
        size = _size(document, item, partial)
        groups = podspec.replicas(document, item, partial=partial)
        own = worker if worker is not leader else None
        group = Group("", leader, own, size, groups, given=injected(size))
        pools = pod_groups.pools(document, group, surroundings, owner="LeaderWorkerSet", partial=partial)
        if not pools:
            return None
        name = item.text_at("metadata", "name") or "leaderworkerset"
        for fact in (size, groups):
            podspec.report_invalid(surroundings, name, fact)
        return Deployment(name, self.name, document, tuple(pools), notes=(podspec.PATCHED,) if partial else ())


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
