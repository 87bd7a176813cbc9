"""The built-in formats and engines, as a plugin like anyone's."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from servelint.formats.needles import NEEDLES
from servelint.hooks import hookimpl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from servelint.deployment import Deployment
    from servelint.engines.base import Engine
    from servelint.formats.base import Format, Surroundings
    from servelint.source.nodes import Document, Node

    Reader = Callable[[Document, Node, Surroundings], Iterable[Deployment]]


class Deferred:
    """A built-in format, its module imported only for the first file that has its needles."""

    def __init__(self, name: str, module: str, reader: str) -> None:
        self.name = name
        self.needles = NEEDLES[name]
        self._module = module
        self._reader = reader
        self._format: Format | None = None

    def recognise(self, document: Document, surroundings: Surroundings) -> Iterable[Deployment]:
        if self._format is None:
            made: Format = getattr(import_module(self._module), self._reader)()
            self._format = made
        return self._format.recognise(document, surroundings)


class Kinds:
    """A built-in format that is objects of one API group.

    ``readers``: by kind, the function that reads such an object, and its module below ``servelint.formats``, which is imported
    for the first one. The same kinds may exist in other groups with other fields.
    """

    def __init__(self, name: str, group: str, readers: Mapping[str, str]) -> None:
        self.name = name
        self.needles = NEEDLES[name]
        self.group = group
        self.readers = readers

    def recognise(self, document: Document, surroundings: Surroundings) -> Iterator[Deployment]:
        from servelint.formats import custom_resources  # lazy: only for files with such needles

        for kind, item in custom_resources.of(document, f"{self.group}/", self.readers):
            module, _, function = self.readers[kind].partition(".")
            read: Reader = getattr(import_module(f"servelint.formats.{module}"), function)
            yield from read(document, item, surroundings)


# In the order in which they are asked.
FORMATS = (
    Deferred("plan", "servelint.formats.plan", "NativePlan"),
    Deferred("kubernetes", "servelint.formats.kubernetes", "Kubernetes"),
    Deferred("leaderworkerset", "servelint.formats.leaderworkerset", "LeaderWorkerSet"),
    Kinds("jobset", "jobset.x-k8s.io", {"JobSet": "job_sets.deployments"}),
    Kinds("mpijob", "kubeflow.org", {"MPIJob": "mpi_jobs.deployments"}),
    Deferred("compose", "servelint.formats.compose", "Compose"),
    Deferred("skypilot", "servelint.formats.skypilot", "SkyPilot"),
    Deferred("engine-config", "servelint.formats.engine_config", "EngineConfig"),
    Deferred("dstack", "servelint.formats.dstack", "Dstack"),
    Deferred("truss", "servelint.formats.truss", "Truss"),
    Deferred("ray", "servelint.formats.ray", "Ray"),
    # ai-dynamo/dynamo deploy/operator/api/{v1alpha1,v1beta1}
    Kinds("dynamo", "nvidia.com", {
        "DynamoGraphDeployment": "dynamo_graph.deployments",
        "DynamoComponentDeployment": "dynamo_graph.deployments",
        "DynamoGraphDeploymentRequest": "dynamo_request.deployments",
    }),
    Deferred("srt-slurm", "servelint.formats.srt_slurm", "SrtSlurm"),
    Deferred("llm-d-benchmark", "servelint.formats.llm_d_benchmark", "LlmDBenchmark"),
    # KServe 0.16-0.17 pkg/apis/serving/{v1alpha1,v1alpha2,v1beta1}
    Kinds("kserve", "serving.kserve.io", {
        "InferenceService": "kserve_inference.inference_service",
        "ServingRuntime": "kserve_inference.serving_runtime",
        "ClusterServingRuntime": "kserve_inference.serving_runtime",
        "LLMInferenceService": "kserve_llm.deployments",
        "LLMInferenceServiceConfig": "kserve_llm.deployments",
    }),
    # sgl-project/ome pkg/apis/ome/v1beta1
    Kinds("ome", "ome.io", {
        "InferenceService": "ome_objects.inference_service",
        "ServingRuntime": "ome_objects.serving_runtime",
        "ClusterServingRuntime": "ome_objects.serving_runtime",
    }),
    # NVIDIA/k8s-nim-operator api/apps/v1alpha1
    Kinds("nim", "apps.nvidia.com", dict.fromkeys(("NIMService", "NIMPipeline", "NIMCache"), "nim_objects.deployments")),
    # kaito-project/kaito api/{v1alpha1,v1beta1}
    Kinds("kaito", "kaito.sh", dict.fromkeys(("Workspace", "InferenceSet", "MultiRoleInference"), "kaito_objects.deployments")),
    # AIBrix 0.5 api/orchestration/v1alpha1; a plain AIBrix model is a Deployment with labels, read as one
    Kinds("aibrix", "orchestration.aibrix.ai", dict.fromkeys(
        ("StormService", "RoleSet", "RayClusterFleet", "RayClusterReplicaSet"), "aibrix_objects.deployments",
    )),
    # rbg 0.5 to 0.7 api/workloads/{v1alpha1,v1alpha2}
    Kinds("rbg", "workloads.x-k8s.io", dict.fromkeys(("RoleBasedGroup", "RoleBasedGroupSet"), "rbg_roles.deployments")),
    # kthena 0.2 to 0.3 pkg/apis/workload/v1alpha1
    Kinds("kthena", "workload.serving.volcano.sh", {
        "ModelServing": "kthena_serving.deployments", "ModelBooster": "kthena_booster.deployments",
    }),
    # KubeAI 0.21 api/k8s/v1/model_types.go
    Kinds("kubeai", "kubeai.org", {"Model": "kubeai_model.deployments"}),
    # production-stack 0.1.7 operator/api/v1alpha1/vllmruntime_types.go
    Kinds("vllm-runtime", "production-stack.vllm.ai", {"VLLMRuntime": "vllm_runtime_spec.deployments"}),
    # llmaz 0.1.4 api/{core,inference}/v1alpha1
    Kinds("llmaz", "inference.llmaz.io", {"Playground": "llmaz_objects.playground", "Service": "llmaz_objects.service"}),
    Deferred("helm-values", "servelint.formats.helm_values", "HelmValues"),
)  # fmt: skip


@hookimpl
def servelint_formats() -> Sequence[Format]:
    return FORMATS


@hookimpl
def servelint_engines() -> Sequence[Engine]:
    from servelint.engines.nim import Nim
    from servelint.engines.sglang import Sglang
    from servelint.engines.tgi import Tgi
    from servelint.engines.trtllm import Trtllm
    from servelint.engines.undescribed import KNOWN, Undescribed
    from servelint.engines.vllm import Vllm

    return (Vllm(), Sglang(), Trtllm(), Tgi(), Nim(), *map(Undescribed, KNOWN))
