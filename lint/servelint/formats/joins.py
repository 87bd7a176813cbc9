"""Facts that stand in other objects than the one that holds the pods: the number of replicas, the devices of a claim, and the
model that a Job puts onto a volume."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.facts import Fact, FactState, Origin, OriginKind, Place
from servelint.formats import devices, objects
from servelint.formats.writers import ScalarWriter
from servelint.source.nodes import ScalarNode

if TYPE_CHECKING:
    from servelint.deployment import Deployment, Pod, Pool
    from servelint.formats.base import Surroundings
    from servelint.formats.run_objects import KubernetesObject, RunObjects
    from servelint.source.nodes import Document, Node

# Least and most replicas by kind of autoscaler, and what holds where they are not stated (None: must be stated).
# Sources: autoscaling/v2 (minReplicas defaults to 1), KEDA's ScaledObject (0 and 100), AIBrix's PodAutoscaler (1).
_BOUNDS = {
    "HorizontalPodAutoscaler": (("minReplicas", 1), ("maxReplicas", None)),
    "PodAutoscaler": (("minReplicas", 1), ("maxReplicas", None)),
    "ScaledObject": (("minReplicaCount", 0), ("maxReplicaCount", 100)),
}


def joined(deployment: Deployment, surroundings: Surroundings, run: RunObjects) -> Deployment:
    """The deployment with what autoscalers, claim templates and Jobs of the run say of its pools."""
    pools = tuple(_claimed(pool, surroundings) for pool in deployment.pools)
    pools = tuple(_staged(pool, surroundings, run) for pool in pools)
    pools = tuple(_scaled(deployment, pool, run) for pool in pools)
    changed = any(ours is not theirs for ours, theirs in zip(pools, deployment.pools, strict=True))
    return deployment._replace(pools=pools) if changed else deployment


def _scaled(deployment: Deployment, pool: Pool, run: RunObjects) -> Pool:
    """The pool with the least and most replicas of the one autoscaler whose target its object is."""
    pod = pool.containers[0].pod if pool.containers else None
    document = deployment.document
    item = _holder(document, pod) if pod is not None else None
    name = (item.text_at("metadata", "name") if item is not None else None) or ""
    if pod is None or item is None or not name or item.text_at("kind") != pod.owner:
        return pool  # of an object that holds several pod templates
    scalers = run.scalers(document, pod.owner, name, item.text_at("metadata", "namespace") or "")
    if len(scalers) != 1 or not (pool.nodes.is_known and (pool.nodes.value == 1 or pod.owner == "LeaderWorkerSet")):
        return pool
    least, most = (_bound(scalers[0], *bound) for bound in _BOUNDS[scalers[0].kind])
    if least is None or most is None:
        return pool
    return pool._replace(replicas_min=least._replace(name="replicas.min"), replicas_max=most._replace(name="replicas.max"))


def _holder(document: Document, pod: Pod) -> Node | None:
    """The object that holds the pod's template: the document's, or the one of a List."""
    items = objects.items(document, (pod.owner,))
    return items[0] if len(items) == 1 else next((item for item in items if item.get("spec", "template") is pod.node), None)


def _bound(scaler: KubernetesObject, key: str, default: int | None) -> Fact[int] | None:
    from servelint.source.scalars import integer  # lazy: few workloads are scaled by an object at hand

    node = scaler.node.get("spec", key)
    if node is None:
        origin = Origin(OriginKind.DEFAULT, f"default of {scaler.kind} for {key}")
        return Fact.known("", default, origin) if default is not None else None
    value = integer(node) if isinstance(node, ScalarNode) else None
    if not isinstance(node, ScalarNode) or value is None or value < 0:
        return None
    origin = Origin(OriginKind.FILE, f"{scaler.kind} {scaler.name}: spec.{key}", Place.of(scaler.document, node))
    return Fact.known("", value, origin, ScalarWriter(scaler.document, node))


def _claimed(pool: Pool, surroundings: Surroundings) -> Pool:
    """The pool with the devices that its claims ask for."""
    if pool.gpu_resource != devices.DYNAMIC or pool.gpus_per_node.state is not FactState.UNKNOWN or not pool.containers:
        return pool
    from servelint.formats import device_claims  # lazy: few containers claim their devices

    return device_claims.claimed(pool, surroundings)


def _staged(pool: Pool, surroundings: Surroundings, run: RunObjects) -> Pool:
    """The pool with the model that a Job downloads to where its engine finds it."""
    if pool.model.state is not FactState.UNKNOWN or not pool.containers or not run.mentions("Job"):
        return pool
    from servelint.formats import downloads  # lazy: most engines name their model

    return downloads.staged(pool, surroundings, run)
