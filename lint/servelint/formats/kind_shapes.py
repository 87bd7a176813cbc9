"""Objects of known kinds with a text or a list where their API has a map: nothing is read of them, and this says why.

Sources: the APIs named in the modules that read the kinds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.formats import objects
from servelint.formats.needles import names_an_engine
from servelint.source.nodes import MappingNode, ScalarNode, SequenceNode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document, Node

_POD = "spec spec.containers"
_WORKLOAD = "spec spec.template spec.template.spec spec.template.spec.containers"
_CRON = "spec spec.jobTemplate spec.jobTemplate.spec spec.jobTemplate.spec.template spec.jobTemplate.spec.template.spec"
_GROUP = "spec.leaderWorkerTemplate"
_RANKS = "spec.mpiReplicaSpecs"
_LLM = "spec spec.model spec.template spec.template.containers spec.parallelism spec.worker spec.prefill"
_ENGINES = "spec spec.engineConfig spec.engineConfig.runner spec.decoderConfig"
_FLEET = "spec spec.template spec.template.spec spec.template.spec.headGroupSpec"

# Kinds that anything may run in: they are ours where an engine's name occurs in them.
_PLAIN = {
    ("", "Pod"): _POD,
    ("apps", "Deployment"): _WORKLOAD,
    ("apps", "ReplicaSet"): _WORKLOAD,
    ("apps", "StatefulSet"): _WORKLOAD,
    ("apps", "DaemonSet"): _WORKLOAD,
    ("batch", "Job"): _WORKLOAD,
    ("batch", "CronJob"): f"{_CRON} spec.jobTemplate.spec.template.spec.containers",
    ("argoproj.io", "Rollout"): _WORKLOAD,
    ("apps.kruise.io", "CloneSet"): _WORKLOAD,
    ("apps.openshift.io", "DeploymentConfig"): _WORKLOAD,
    ("serving.knative.dev", "Service"): _WORKLOAD,
    ("leaderworkerset.x-k8s.io", "LeaderWorkerSet"): " ".join((
        "spec", _GROUP, *(
            f"{_GROUP}.{template}{end}"
            for template in ("leaderTemplate", "workerTemplate") for end in ("", ".spec", ".spec.containers")
        ),
    )),
    ("disaggregatedset.x-k8s.io", "DisaggregatedSet"): "spec spec.roles",
    ("jobset.x-k8s.io", "JobSet"): "spec spec.replicatedJobs",
    ("kubeflow.org", "MPIJob"): " ".join((
        "spec", _RANKS, *(
            f"{_RANKS}.{one}{end}"
            for one in ("Launcher", "Worker") for end in ("", ".template", ".template.spec", ".template.spec.containers")
        ),
    )),
    ("ray.io", "RayCluster"): "spec spec.headGroupSpec",
    ("ray.io", "RayJob"): "spec spec.rayClusterSpec",
}  # fmt: skip
# Kinds that are made for serving models.
_OWN = {
    ("ray.io", "RayService"): "spec spec.rayClusterConfig",
    ("serving.kserve.io", "InferenceService"): "spec spec.predictor spec.predictor.model spec.predictor.containers",
    ("serving.kserve.io", "ServingRuntime"): _POD,
    ("serving.kserve.io", "ClusterServingRuntime"): _POD,
    ("serving.kserve.io", "LLMInferenceService"): _LLM,
    ("serving.kserve.io", "LLMInferenceServiceConfig"): _LLM,
    ("ome.io", "ServingRuntime"): _ENGINES,
    ("ome.io", "ClusterServingRuntime"): _ENGINES,
    ("ome.io", "InferenceService"): "spec spec.engine spec.engine.runner spec.decoder",
    ("kaito.sh", "Workspace"): "resource inference",
    ("kaito.sh", "InferenceSet"): "spec spec.template spec.template.resource spec.template.inference",
    ("kaito.sh", "MultiRoleInference"): "spec spec.model spec.roles",
    ("nvidia.com", "DynamoGraphDeployment"): "spec",
    ("nvidia.com", "DynamoComponentDeployment"): "spec spec.extraPodSpec spec.podTemplate",
    ("nvidia.com", "DynamoGraphDeploymentRequest"): "spec",
    ("apps.nvidia.com", "NIMService"): "spec spec.image",
    ("apps.nvidia.com", "NIMCache"): "spec spec.source",
    ("apps.nvidia.com", "NIMPipeline"): "spec spec.services",
    ("orchestration.aibrix.ai", "StormService"): "spec spec.template spec.template.spec spec.template.spec.roles",
    ("orchestration.aibrix.ai", "RoleSet"): "spec spec.roles",
    ("orchestration.aibrix.ai", "RayClusterFleet"): _FLEET,
    ("orchestration.aibrix.ai", "RayClusterReplicaSet"): _FLEET,
    ("workloads.x-k8s.io", "RoleBasedGroup"): "spec spec.roleTemplates spec.roles",
    ("workloads.x-k8s.io", "RoleBasedGroupSet"): (
        "spec spec.template spec.template.roles spec.groupTemplate spec.groupTemplate.spec spec.groupTemplate.spec.roles"
    ),
    ("workload.serving.volcano.sh", "ModelServing"): "spec spec.template spec.template.roles",
    ("workload.serving.volcano.sh", "ModelBooster"): "spec spec.backend spec.backend.workers spec.backends",
    ("kubeai.org", "Model"): "spec",
    ("production-stack.vllm.ai", "VLLMRuntime"): "spec spec.model",
    ("inference.llmaz.io", "Playground"): "spec spec.modelClaim",
    ("inference.llmaz.io", "Service"): "spec spec.workloadTemplate",
}
# Kinds whose fields stand beside `metadata`, and those of which an object has at least one (KAITO: api/v1beta1, Workspace).
_WITHOUT_SPEC = {("kaito.sh", "Workspace"): ("inference", "tuning")}
_LISTS = frozenset(("containers", "roles", "roleTemplates", "services", "workers", "backends", "replicatedJobs"))


def report(document: Document, surroundings: Surroundings) -> None:
    """Reports the first field of each object in ``document`` that has another shape than its API asks for."""
    for item in _items(document):
        group = (item.text_at("apiVersion") or "").rpartition("/")[0]
        kind = item.text_at("kind") or ""
        paths = _OWN.get((group, kind)) or _PLAIN.get((group, kind))
        if paths is None or ((group, kind) in _PLAIN and not _names_an_engine(document, surroundings)):
            continue
        name = item.text_at("metadata", "name") or kind
        if (group, kind) in _WITHOUT_SPEC and _wrapped(document, item, _WITHOUT_SPEC[group, kind], surroundings, name):
            continue
        for path in paths.split():
            keys = tuple(path.split("."))
            node = item.get(*keys)
            if isinstance(node, ScalarNode) and (node.is_null or not node.text):
                continue  # absent, or filled in by a template
            shape = SequenceNode if keys[-1] in _LISTS else MappingNode
            if not objects.has_shape(surroundings, document, item, keys, shape, name):
                break


def _wrapped(document: Document, item: Node, fields: tuple[str, ...], surroundings: Surroundings, name: str) -> bool:
    """Reports fields that were put under a ``spec`` which their kind has not: the API server drops it with all of them."""
    inside = next((field for field in fields if item.get("spec", field) is not None), "")
    if not inside or any(item.get(field) is not None for field in fields):
        return False
    from servelint.facts import Place
    from servelint.finding import Verdict  # lazy: only invalid documents are reported

    spec = next((key for name, key, _ in item.entries_at() if name == "spec"), item)
    label = f"a {item.text_at('kind')} has no spec: {inside} must stand beside metadata, or it is not read"
    surroundings.problem("DOC102", Verdict(Place.of(document, spec), label, key="spec"), name)
    return True


def _items(document: Document) -> Iterator[Node]:
    root = document.root
    if isinstance(root, MappingNode):
        yield from root.elements_at("items") if (root.text_at("kind") or "").endswith("List") else (root,)


def _names_an_engine(document: Document, surroundings: Surroundings) -> bool:
    return names_an_engine(document.source.text[document.span.start : document.span.end], surroundings.engines)
