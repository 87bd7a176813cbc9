"""Facts that stand in other objects than the one that holds the pods: the number of replicas, and of devices in a claim."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.facts import Fact, FactState, Origin, OriginKind, Place
from servelint.formats import devices, objects
from servelint.formats.controller_words import label_of
from servelint.formats.writers import ScalarWriter
from servelint.source.nodes import ScalarNode

if TYPE_CHECKING:
    from servelint.deployment import Deployment, Pool
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
# Device classes of which one device is one device of the engine.
_WHOLE_DEVICES = frozenset(("gpu.nvidia.com", "gpu.amd.com"))


def joined(deployment: Deployment, surroundings: Surroundings, run: RunObjects) -> Deployment:
    """The deployment with what autoscalers and claim templates of the run say of its pools."""
    pools = tuple(_claimed(pool, surroundings) for pool in deployment.pools)
    pools = tuple(_scaled(deployment, pool, run) for pool in pools)
    changed = any(ours is not theirs for ours, theirs in zip(pools, deployment.pools, strict=True))
    return deployment._replace(pools=pools) if changed else deployment


def _scaled(deployment: Deployment, pool: Pool, run: RunObjects) -> Pool:
    """The pool with the least and most replicas of the one autoscaler whose target its object is."""
    pod = pool.containers[0].pod if pool.containers else None
    document = deployment.document
    name = document.text_at("metadata", "name") or ""
    if pod is None or not name or document.text_at("kind") != pod.owner:
        return pool  # of an object that holds several pod templates, or of a List
    scalers = run.scalers(document, pod.owner, name, document.text_at("metadata", "namespace") or "")
    if len(scalers) != 1 or not (pool.nodes.is_known and (pool.nodes.value == 1 or pod.owner == "LeaderWorkerSet")):
        return pool
    least, most = (_bound(scalers[0], *bound) for bound in _BOUNDS[scalers[0].kind])
    if least is None or most is None:
        return pool
    return pool._replace(replicas_min=least._replace(name="replicas.min"), replicas_max=most._replace(name="replicas.max"))


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
    """The pool with the devices that its claim's template asks for, where they are whole devices of the engine."""
    if pool.gpu_resource != devices.DYNAMIC or pool.gpus_per_node.state is not FactState.UNKNOWN or not pool.containers:
        return pool
    container = pool.containers[0]
    claims = container.node.elements_at("resources", "claims")
    if container.pod is None or len(claims) != 1 or claims[0].get("request") is not None:
        return pool
    name = claims[0].text_at("name")
    for claim in container.pod.node.elements_at("spec", "resourceClaims"):
        template = claim.text_at("resourceClaimTemplateName")
        if claim.text_at("name") == name and template:
            found = objects.named(surroundings, "ResourceClaimTemplate", template)
            count = _count(*found) if found is not None else None
            return pool._replace(gpus_per_node=count) if count is not None else pool
    return pool


def _count(document: Document, item: Node) -> Fact[int] | None:
    """Devices of a ResourceClaimTemplate; None where it asks for several kinds, for all there are, or for parts.

    Source: ``resource.k8s.io`` v1beta1 (fields of the request), v1beta2 and v1 (below ``exactly``); count defaults to 1.
    """
    from servelint.source.scalars import integer

    requests = item.elements_at("spec", "spec", "devices", "requests")
    if len(requests) != 1:
        return None
    request = requests[0].get("exactly") or requests[0]
    mode = request.text_at("allocationMode") or "ExactCount"
    if request.text_at("deviceClassName") not in _WHOLE_DEVICES or mode != "ExactCount":
        return None
    node = request.get("count")
    what = "ResourceClaimTemplate"
    if node is None:
        return Fact.known(devices.NAME, 1, Origin(OriginKind.FILE, what, Place.of(document, label_of(item))))
    value = integer(node) if isinstance(node, ScalarNode) else None
    if not isinstance(node, ScalarNode) or value is None or value < 1:
        return None
    origin = Origin(OriginKind.FILE, what, Place.of(document, node))
    return Fact.known(devices.NAME, value, origin, ScalarWriter(document, node))
