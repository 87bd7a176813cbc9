"""LeaderWorkerSet: groups of pods, each group one replica of a model.

``spec.replicas`` counts groups, ``leaderWorkerTemplate.size`` pods in a group. Engines are launched in three ways: the
leader serves and the workers join its Ray cluster; every pod runs the engine with its index; every pod runs data-parallel
ranks. In all of them the leader's command line states the degrees of the replica.

Source: LeaderWorkerSet API ``leaderworkerset.x-k8s.io/v1`` (size and replicas default to 1; the leader runs the worker
template where ``leaderTemplate`` is absent; the pod webhook injects LWS_LEADER_ADDRESS, LWS_GROUP_SIZE and
LWS_WORKER_INDEX).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from servelint.deployment import Deployment
from servelint.facts import Fact, FactState, Origin, OriginKind, Place
from servelint.formats import devices, podspec
from servelint.formats.base import ENGINE
from servelint.formats.kubernetes import is_patch_file, is_unfinished
from servelint.formats.writers import EntryWriter, ScalarWriter, together
from servelint.source.nodes import MappingNode, ScalarNode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.deployment import Pool
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document, Node

_GROUP = "leaderworkerset.x-k8s.io/"
_AGREE = ("model", "tensor", "pipeline", "data", "data_local", "expert", "max_model_len", "kv_cache_dtype", "quantization")


class LeaderWorkerSet:
    name = "leaderworkerset"
    needles: tuple[tuple[bytes, ...], ...] = ((b"leaderworkerset.x-k8s.io", ENGINE),)

    def recognise(self, document: Document, surroundings: Surroundings) -> Iterator[Deployment]:
        root = document.root
        if not isinstance(root, MappingNode):
            return
        for item in root.elements_at("items") if (root.text_at("kind") or "") in ("List", "LeaderWorkerSetList") else [root]:
            if item.text_at("kind") == "LeaderWorkerSet" and (item.text_at("apiVersion") or "").startswith(_GROUP):
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
        given = injected(size)
        every = [
            podspec.engine_pools(document, template, surroundings, owner="LeaderWorkerSet", partial=partial, given=given)
            for template in ((leader,) if worker is None or worker is leader else (leader, worker))
        ]
        leads, follows = every[0], every[1] if len(every) > 1 else []
        if not leads:
            return None
        groups = podspec.replicas(document, item, partial=partial)
        pools = []
        for index, lead in enumerate(leads):
            pool = _joined(lead, follows[index]) if index < len(follows) else lead
            pool = replace(pool, nodes=size, replicas_min=groups, replicas_max=replace(groups, name="replicas.max"))
            own = worker is not None and worker is not leader
            pools.append(_with_workers(document, pool, worker, size) if own else pool)
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
        "LWS_GROUP_SIZE": replace(size.map(str), name="env.LWS_GROUP_SIZE"),
        "LWS_WORKER_INDEX": Fact.unknown("env.LWS_WORKER_INDEX", "the controller sets it to the pod's index", remedy),
    }


def _joined(leader: Pool, worker: Pool) -> Pool:
    """The leader's pool with the worker's engine container; facts on which the two disagree become conflicts."""
    conflicts: dict[str, Any] = {}
    for name in _AGREE:
        ours: Fact[Any] = getattr(leader, name)
        theirs: Fact[Any] = getattr(worker, name)
        if ours.is_known and theirs.is_known and ours.value != theirs.value and ours.origin is not None:
            reason = f"the leader runs with {ours.value} and the workers with {theirs.value}"
            conflicts[name] = Fact.conflict(ours.name, (ours.value, theirs.value), reason, ours.origin)
    return replace(leader, containers=(*leader.containers, *worker.containers), **conflicts)


def _with_workers(document: Document, pool: Pool, worker: Node | None, size: Fact[int]) -> Pool:
    """GPUs of a group whose workers have their own template. The engine's GPUs are the same in every pod, or a conflict."""
    if worker is None or (size.is_known and size.value == 1):
        return pool  # the worker template is never run
    container = _accelerated(worker)
    if container is None:
        return pool
    asked = devices.devices(container)
    partial = bool(pool.containers[0].pod and pool.containers[0].pod.partial)
    theirs = devices.count(document, container, partial=partial)
    ours = pool.gpus_per_node
    if not pool.gpu_resource and ours.state is FactState.UNKNOWN and theirs.is_known and size.is_known and not partial:
        # A leader without GPUs only starts the engine; the ranks are on the workers.
        writer = together((document, asked.limit), (document, asked.request))
        origin = Origin(OriginKind.DERIVED, f"{size.value} pods, of which the leader asks for no accelerator")
        return replace(
            pool,
            gpu_resource=asked.resource,
            gpus_per_node=replace(theirs, writer=writer),
            nodes=Fact.known("nodes", size.value - 1, origin),
        )
    if not ours.is_known or ours.origin is None:
        return pool
    if not theirs.is_known or theirs.value != ours.value or asked.resource != pool.gpu_resource:
        what = f"{theirs.value} × {asked.resource}" if theirs.is_known else "an unknown number"
        reason = f"the leader asks for {ours.value} × {pool.gpu_resource}, each worker for {what}"
        values = (ours.value, theirs.value) if theirs.is_known else (ours.value,)
        return replace(pool, gpus_per_node=Fact.conflict(ours.name, values, reason, ours.origin))
    engine = devices.devices(pool.containers[0].node)
    nodes = (engine.limit, engine.request, asked.limit, asked.request)
    return replace(pool, gpus_per_node=replace(ours, writer=together(*((document, node) for node in nodes))))


def _accelerated(template: Node) -> Node | None:
    """The container of ``template`` that asks for accelerators, if it is one container."""
    found = [c for c in template.elements_at("spec", "containers") if devices.devices(c).resource]
    return found[0] if len(found) == 1 else None
