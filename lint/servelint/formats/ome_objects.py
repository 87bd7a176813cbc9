"""What OME's controller makes of its objects: an engine and, where prefill and decode are separate, a decoder.

Each is one pod with a ``runner``, or a group with a ``leader`` and ``worker.size`` further pods (a LeaderWorkerSet). The
controller sets PARALLELISM_SIZE to the GPUs of a group and MODEL_PATH to where the model lies on the host.

Source: sgl-project/ome ``pkg/controller/v1beta1/inferenceservice/components/{base,engine,decoder}.go``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.deployment import Deployment, Pool, Role
from servelint.facts import Fact, Origin, OriginKind, Place
from servelint.formats import controller_words, devices, launches, model_uris, objects, pod_groups, podspec, scheduling
from servelint.formats.bare_podspecs import template_of, template_with
from servelint.formats.completed_commands import completed
from servelint.records import NamedTuple
from servelint.source.nodes import MappingNode, ScalarNode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document, Node

NOTE = "this is a serving runtime; the InferenceService that uses it names the model"
_GROUP = "ome.io/"
_RUNTIMES = ("ClusterServingRuntime", "ServingRuntime")
_USER = "the InferenceService that uses this runtime"
_MODELS = ("ClusterBaseModel", "BaseModel")
# Name of the pool, key in a runtime, key in a service, role where the other one exists, too.
_COMPONENTS = (("engine", "engineConfig", "engine", Role.PREFILL), ("decoder", "decoderConfig", "decoder", Role.DECODE))


class _Part(NamedTuple):
    """An engine or a decoder of one object."""

    document: Document
    kind: str
    name: str
    node: MappingNode

    def pools(self, surroundings: Surroundings) -> list[Pool]:
        """The pool of its runner, or of each container that runs an engine where it has no runner."""
        leader = self.node.get("leader")
        head = leader if isinstance(leader, MappingNode) else self.node
        runner = head.get("runner")
        template = template_with(head, runner) if isinstance(runner, MappingNode) else template_of(head)
        given = self._given(runner)
        pools = podspec.engine_pools(self.document, template, surroundings, owner=self.kind, given=given)
        nodes = self._nodes()
        workers = self._workers(surroundings, given) if pools and nodes.get(1) > 1 else []
        pools = [pod_groups.joined(pool, workers[index]) if index < len(workers) else pool for index, pool in enumerate(pools)]
        low, high = self.replicas()
        finished = []
        for pool in pools:
            facts: dict[str, Any] = {"nodes": nodes, "replicas_min": low, "replicas_max": high, "gpus_per_node": self._gpus(pool)}
            finished.append(_partial(self._named(pool, len(pools))).with_facts(facts))
        return finished

    def _workers(self, surroundings: Surroundings, given: dict[str, Fact[str]]) -> list[Pool]:
        """The engines of the workers' own runner; none where they have none, or start something else (Ray)."""
        worker = self.node.get("worker")
        runner = worker.get("runner") if worker is not None else None
        if not isinstance(worker, MappingNode) or not isinstance(runner, MappingNode):
            return []
        return podspec.engine_pools(self.document, template_with(worker, runner), surroundings, owner=self.kind, given=given)

    def _named(self, pool: Pool, among: int) -> Pool:
        return pool._replace(name=self.name if among == 1 else f"{self.name}-{pool.name}")

    def _nodes(self) -> Fact[int]:
        """Pods of one replica: the leader and ``worker.size`` workers."""
        worker = self.node.get("worker")
        if worker is None:
            return Fact.known(launches.NODES, 1, Origin(OriginKind.DERIVED, "one pod, since there are no workers"))
        size = launches.whole(self.document, worker.get("size"), launches.NODES, "worker.size")
        if size is None:
            return Fact.unknown(launches.NODES, "worker.size is not stated", "state it")
        if not size.is_known:
            return size
        return Fact.known(
            launches.NODES, 1 + size.value, Origin(OriginKind.DERIVED, f"the leader and {size.value} workers", size.place)
        )

    def _given(self, runner: Node | None) -> dict[str, Fact[str]]:
        reason = "the controller sets it in each pod"
        names = ("LWS_LEADER_ADDRESS", "LWS_GROUP_SIZE", "LWS_WORKER_INDEX")
        given: dict[str, Fact[str]] = {name: Fact.unknown(f"env.{name}", reason) for name in names}
        path = "OME sets it to where the model that the InferenceService names lies on the host"
        given["MODEL_PATH"] = Fact.unknown("env.MODEL_PATH", path, "lint the InferenceService together with its model")
        nodes = self._nodes()
        if nodes.is_known:
            given["LWS_GROUP_SIZE"] = Fact.known(
                "env.LWS_GROUP_SIZE", str(nodes.value), Origin(OriginKind.DERIVED, "pods of a group")
            )
        gpus = devices.count(self.document, runner) if isinstance(runner, MappingNode) else None
        if gpus is not None and gpus.is_known and nodes.is_known:
            origin = Origin(OriginKind.DERIVED, f"{nodes.value} pods × {gpus.value} GPUs", gpus.place)
            given["PARALLELISM_SIZE"] = Fact.known("env.PARALLELISM_SIZE", str(nodes.value * gpus.value), origin)
        else:
            given["PARALLELISM_SIZE"] = Fact.unknown("env.PARALLELISM_SIZE", "OME sets it to the GPUs of a group")
        return given

    def _gpus(self, pool: Pool) -> Fact[int]:
        """GPUs of each pod; a conflict where leader and workers differ."""
        ours = pool.gpus_per_node
        runner = self.node.get("worker", "runner")
        asked = devices.devices(runner) if isinstance(runner, MappingNode) else None
        if asked is None or runner is None or not asked.resource or not ours.is_known or ours.origin is None:
            return ours
        theirs = devices.count(self.document, runner)
        if not theirs.is_known or (theirs.value == ours.value and asked.resource == pool.gpu_resource):
            return ours
        reason = f"the leader asks for {ours.value} × {pool.gpu_resource}, each worker for {theirs.value} × {asked.resource}"
        return Fact.conflict(ours.name, (ours.value, theirs.value), reason, ours.origin)

    def replicas(self) -> tuple[Fact[int], Fact[int]]:
        low = launches.whole(self.document, self.node.get("minReplicas"), launches.REPLICAS, "minReplicas")
        high = launches.whole(self.document, self.node.get("maxReplicas"), "replicas.max", "maxReplicas")
        if self.kind in _RUNTIMES:
            return (
                low or Fact.unknown(launches.REPLICAS, f"they are stated by {_USER}"),
                high or Fact.unknown("replicas.max", f"they are stated by {_USER}"),
            )
        one = Fact.known(launches.REPLICAS, 1, Origin(OriginKind.DEFAULT, "default of OME for minReplicas"))
        least = low or one
        return least, high or least._replace(name="replicas.max")


def serving_runtime(document: Document, item: Node, surroundings: Surroundings) -> Iterator[Deployment]:
    pools = [
        pool._replace(model=pool.model if pool.model.is_known else Fact.unknown(model_uris.NAME, f"it is named by {_USER}"))
        for pool in _runtime(document, item, surroundings)
    ]
    if pools:
        yield Deployment(controller_words.label_of(item).text, "ome", document, tuple(pools), notes=(NOTE,))


def _runtime(document: Document, item: Node, surroundings: Surroundings) -> list[Pool]:
    spec = item.get("spec")
    if not isinstance(spec, MappingNode):
        return []
    kind = item.text_at("kind") or ""
    parts = [(name, spec.get(key), role) for name, key, _, role in _COMPONENTS]
    found = _roles(
        [(_Part(document, kind, name, node), role) for name, node, role in parts if isinstance(node, MappingNode)], surroundings
    )
    if not found and spec.get("containers") is not None:  # runtimes of the first releases
        found = _Part(document, kind, "engine", spec).pools(surroundings)
    placed = scheduling.accelerator(document, template_of(spec))  # the runtime's own placement, for parts that have none
    if placed is None:
        return found
    return [pool if pool.accelerator.origin is not None else pool._replace(accelerator=placed) for pool in found]


def _roles(parts: list[tuple[_Part, Role]], surroundings: Surroundings) -> list[Pool]:
    """The pools of all parts; with an engine and a decoder, the one prefills and the other decodes."""
    pools = []
    for part, role in parts:
        for pool in part.pools(surroundings):
            split = len(parts) > 1 and pool.role is Role.SERVE
            pools.append(pool._replace(role=role) if split else pool)
    return pools


def inference_service(document: Document, item: Node, surroundings: Surroundings) -> Iterator[Deployment]:
    spec = item.get("spec")
    if not isinstance(spec, MappingNode):
        return
    name = controller_words.label_of(item).text
    named = spec.text_at("runtime", "name") or spec.text_at("predictor", "model", "runtime") or ""
    found = next((pair for kind in _RUNTIMES if (pair := objects.named_of(surroundings, _GROUP, kind, named)) is not None), None)
    bases = {pool.name: pool for pool in _runtime(*found, surroundings)} if found is not None else {}
    parts = [(part, spec.get(key), role) for part, _, key, role in _COMPONENTS]
    stated = [
        (_Part(document, "InferenceService", part, node), role) for part, node, role in parts if isinstance(node, MappingNode)
    ]
    predictor = spec.get("predictor")
    if not stated and isinstance(predictor, MappingNode):  # the form of the first releases
        stated = [(_Part(document, "InferenceService", "engine", predictor), Role.PREFILL)]
    model = _model(document, spec, surroundings)
    where = f"the ClusterServingRuntime {named}" if named else "the ClusterServingRuntime that OME chooses for the model"
    pools: list[Pool] = []
    for part, role in stated:
        own = part.pools(surroundings)
        base = bases.get(part.name)
        if own:
            made = [completed(pool, base, surroundings.engines, appended=False) if base is not None else pool for pool in own]
        else:
            made = [_referring(part, base, where)]
        split = len(stated) > 1
        pools += [pool._replace(role=role if split and pool.role is Role.SERVE else pool.role) for pool in made]
    facts: dict[str, Any] = {"model": model} if model is not None else {}
    pools = [pool if pool.model.is_known else pool.with_facts(facts) for pool in pools]
    if pools:
        for pool in pools:
            podspec.report_invalid(surroundings, name, pool.replicas_min)
        yield Deployment(name, "ome", document, tuple(pools))


def _referring(part: _Part, base: Pool | None, where: str) -> Pool:
    """The pool of a part that leaves everything to its runtime, ``base`` where that is at hand."""
    place = Place.of(part.document, part.node)
    low, high = part.replicas()
    if base is not None:
        return base._replace(place=place, replicas_min=low, replicas_max=high)
    reason, remedy = f"it is stated by {where}", "lint it together with its ClusterServingRuntime"
    pool = Pool(name=part.name, place=place, replicas_min=low, replicas_max=high)
    unknown = ("engine", "version", "gpus_per_node", "nodes", "accelerator", "tensor", "pipeline", "data", "expert")
    return pool.with_facts({field: Fact.unknown(getattr(pool, field).name, reason, remedy) for field in unknown})


def _model(document: Document, spec: MappingNode, surroundings: Surroundings) -> Fact[str] | None:
    """The model by its ClusterBaseModel, whose storage says where the weights come from."""
    node = spec.get("model", "name") or spec.get("predictor", "model", "baseModel")
    if not isinstance(node, ScalarNode):
        return None
    for kind in _MODELS:
        found = objects.named_of(surroundings, _GROUP, kind, node.text)
        uri = found[1].get("spec", "storage", "storageUri") if found is not None else None
        if found is not None and isinstance(uri, ScalarNode):
            return model_uris.model(found[0], uri, f"storageUri of the {kind} {node.text}")
    origin = Origin(OriginKind.FILE, "model.name", Place.of(document, node))
    reason = f"{node.text} is the name of a ClusterBaseModel, which is not at hand"
    return Fact.unknown(model_uris.NAME, reason, "lint it together with the ClusterBaseModel", origin)


def _partial(pool: Pool) -> Pool:
    """What the pods lack, the object at the other end of a reference may add."""
    containers = (c if c.pod is None else c._replace(pod=c.pod._replace(partial=True)) for c in pool.containers)
    return pool._replace(containers=tuple(containers))
