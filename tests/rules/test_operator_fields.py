"""Rules about what charts and operators read, whom Services select, and references that stay as they are written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from servelint.finding import Certainty, Severity
from servelint.run import lint_texts
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from servelint.finding import Finding
    from servelint.run import Session


def findings(text: str, session: Session, code: str) -> list[Finding]:
    return [f for f in lint_texts([SourceText("deploy.yaml", text)], session).findings if f.code == code]


def chart(entry: str, *, listed: bool = True, beside: str = "") -> str:
    base = "name: x, repository: vllm/vllm-openai, tag: v0.11.0, modelURL: Qwen/Qwen3-8B, replicaCount: 1, requestMemory: 48Gi"
    model = f"{{{base}, {entry}}}"
    return f"servingEngineSpec: {{{beside}modelSpec: {f'[{model}]' if listed else model}}}\n"


@pytest.mark.parametrize(
    ("entry", "certainty"),
    [
        ("extraArgs: ['--seed=1']", Certainty.PROVEN),  # of another level
        ("maxModelLen: 4096", Certainty.PROVEN),
        ("nodeSelector: {a: b}", Certainty.PROVEN),  # has a counterpart
        ("requestGpu: 1", Certainty.PROVEN),  # a slip
        ("vllmConfig: {requestGPU: 1}", Certainty.PROVEN),
        ("vllmConfig: {kvCacheDtype: fp8}", Certainty.HEURISTIC),  # a chart made of this one may read it
        ("lmcacheConfig: {enable: true}", Certainty.PROVEN),
        ("keda: {minReplicas: 1}", Certainty.HEURISTIC),
        ("pvcExistingClaimName: models", None),  # of the main branch only
        ("vllmConfig: {v1: 1}", None),  # of old releases only
        ("x-anchor: {}", None),
    ],
)
def test_keys_of_an_entry(entry: str, certainty: Certainty | None, session: Session) -> None:
    assert [f.certainty for f in findings(chart(entry), session, "K8S650")] == ([] if certainty is None else [certainty])


def test_another_chart_reads_keys_of_its_own(session: Session) -> None:
    assert not findings(chart("extraArgs: ['--seed=1']", listed=False), session, "K8S650")


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        ("vllmConfig: {pipelineParallelSize: 2}", True),
        ("vllmConfig: {pipelineParallelSize: 1}", False),
        ("raySpec: {enabled: false}, vllmConfig: {pipelineParallelSize: 2}", True),
        ("raySpec: {headNode: {requestGPU: 1}}, vllmConfig: {pipelineParallelSize: 2}", False),
        ("vllmConfig: {maxLoras: 2}", True),
        ("enableLoRA: false, vllmConfig: {maxLoras: 2}", True),
        ("vllmConfig: {maxLoras: 2, extraArgs: [--enable-lora]}", False),
        ("shmSize: 8Gi, vllmConfig: {maxModelLen: 8192}", True),
        ("shmSize: 8Gi, vllmConfig: {tensorParallelSize: 1}", False),
    ],
)
def test_keys_that_need_another(entry: str, found: bool, session: Session) -> None:
    assert bool(findings(chart(entry), session, "K8S650")) is found


@pytest.mark.parametrize(
    ("entry", "beside", "found"),
    [
        ("requestCPU: 1", 'runtimeClassName: "", ', True),
        ("requestCPU: 1", "", False),  # the chart's own class is nvidia
        ('requestCPU: 1, runtimeClassName: ""', "runtimeClassName: nvidia, ", True),
        ("requestCPU: 1, runtimeClassName: nvidia", 'runtimeClassName: "", ', False),
        ("requestGPU: 1", 'runtimeClassName: "", ', False),
        ("requestGPUMem: '3000'", 'runtimeClassName: "", ', False),
        ("resources: {limits: {amd.com/gpu: 1}}", 'runtimeClassName: "", ', False),
        ("vllmConfig: {extraArgs: [--device, cpu]}", 'runtimeClassName: "", ', False),
    ],
)
def test_entries_without_a_gpu(entry: str, beside: str, found: bool, session: Session) -> None:
    assert bool(findings(chart(entry, beside=beside), session, "K8S607")) is found


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        ("pvcStorage: 50Gi, replicaCount: 2", True),
        ("pvcStorage: 50Gi, replicaCount: 1", False),
        ("pvcStorage: 50Gi, keda: {enabled: true, maxReplicaCount: 3}", True),
        ("pvcStorage: 50Gi, replicaCount: 2, pvcAccessMode: [ReadWriteOnce, ReadWriteMany]", False),
        ("pvcStorage: 50Gi, replicaCount: 2, pvcExistingClaimName: models", False),
        ("pvcStorage: 50Gi, replicaCount: 2, nodeName: gpu-1", False),
        ("replicaCount: 2", False),
    ],
)
def test_claims_of_the_chart(entry: str, found: bool, session: Session) -> None:
    text = chart(entry).replace("replicaCount: 1, ", "")
    [*found_at] = findings(text, session, "K8S605")
    assert bool(found_at) is found
    assert all(f.severity is Severity.WARNING for f in found_at)


RUNTIME = "apiVersion: production-stack.vllm.ai/v1alpha1\nkind: VLLMRuntime\nmetadata: {name: x}\nspec: {model: {modelURL: a/b%s}, %s}\n"
PLACED = "deploymentConfig: {resources: {gpu: '1'}, image: {registry: docker.io, name: 'vllm/vllm-openai:v0.11.0'}%s}"


@pytest.mark.parametrize(
    ("model", "rest", "severities"),
    [
        ("", f"vllmConfig: {{v1: true}}, {PLACED % ''}", []),
        ("", f"vllmConfig: {{v1: true}}, maxLoras: 2, {PLACED % ''}", [Severity.ERROR]),
        (", tensorParallelSize: 2", f"vllmConfig: {{}}, {PLACED % ''}", [Severity.ERROR]),
        ("", f"vllmConfig: {{gpuMemoryUtilisation: '0.9'}}, {PLACED % ''}", [Severity.ERROR]),
        ("", f"vllmConfig: {{}}, {PLACED % ', podTemplate: {}'}", [Severity.WARNING]),  # a newer release may have it
        ("", "tensorParallelSize: 1, resources: {gpu: '1'}", [Severity.WARNING]),  # 0.1.3 and 0.1.4 took it
        ("", "tensorParallelSize: 1, podTemplate: {}", [Severity.ERROR, Severity.WARNING]),  # and nobody took that
    ],
)
def test_fields_of_a_runtime(model: str, rest: str, severities: list[Severity], session: Session) -> None:
    found = findings(RUNTIME % (model, rest), session, "K8S652")
    assert sorted((f.severity for f in found), reverse=True) == severities


@pytest.mark.parametrize(
    ("cache", "mode", "severity"),
    [
        ("HF_HOME, value: /data", "accessMode: ReadWriteOnce", Severity.ERROR),
        ("HF_HOME, value: /data/hub", "accessMode: ReadWriteOnce", Severity.ERROR),
        ("HF_HOME, value: /data", "mountPath: /data", Severity.WARNING),  # shared file systems: the size may be nominal
        ("HF_HOME, value: /database", "accessMode: ReadWriteOnce", None),
        ("HF_HOME, value: /data", "mountPath: /adapters", None),
        ("OTHER, value: /data", "accessMode: ReadWriteOnce", None),
    ],
)
def test_the_claim_of_a_runtime(cache: str, mode: str, severity: Severity | None, session: Session) -> None:
    rest = f"vllmConfig: {{env: [{{name: {cache}}}]}}, storageConfig: {{enabled: true, size: 10Gi, {mode}}}, {PLACED % ''}"
    text = (RUNTIME % ("", rest)).replace("a/b", "meta-llama/Llama-3.1-8B-Instruct")
    assert [f.severity for f in findings(text, session, "K8S611")] == ([] if severity is None else [severity])


def pod(container: str, *, kind: str = "Deployment", beside: str = "", resources: str = "nvidia.com/gpu: 1") -> str:
    head = {"Deployment": "apiVersion: apps/v1", "LeaderWorkerSet": "apiVersion: leaderworkerset.x-k8s.io/v1"}[kind]
    template = (
        "metadata: {labels: {a: b}}, spec: {containers: [{name: engine, image: 'vllm/vllm-openai:v0.19.1', "
        f"{container}, resources: {{limits: {{{resources}}}}}}}{beside}]}}"
    )
    spec = f"selector: {{matchLabels: {{a: b}}}}, template: {{{template}}}"
    if kind == "LeaderWorkerSet":
        spec = f"replicas: 1, leaderWorkerTemplate: {{size: 2, workerTemplate: {{{template}}}}}"
    return f"{head}\nkind: {kind}\nmetadata: {{name: x}}\nspec: {{{spec}}}\n"


@pytest.mark.parametrize(
    ("units", "tensor", "found"), [(1, 2, False), (1, 3, True), (2, 4, False), (2, 8, True), (8, 16, False), (8, 17, True)]
)
@pytest.mark.parametrize("resource", ["huawei.com/ascend-1980", "huawei.com/Ascend910", "google.com/tpu"])
def test_units_of_one_or_two_devices(units: int, tensor: int, found: bool, resource: str, session: Session) -> None:
    text = pod(f"args: [--model=/models/x, --tensor-parallel-size={tensor}]", resources=f"{resource}: {units}")
    assert bool(findings(text, session, "PAR201")) is found


@pytest.mark.parametrize("resource", ["huawei.com/Ascend910B-memory", "aws.amazon.com/neuroncore", "nvidia.com/mig-1g.10gb"])
def test_units_that_bound_nothing(resource: str, session: Session) -> None:
    text = pod("args: [--model=/models/x, --tensor-parallel-size=8]", resources=f"{resource}: 1")
    assert not findings(text, session, "PAR201")


@pytest.mark.parametrize(("limit", "found"), [("1Gi", True), ("2047Mi", True), ("2Gi", False), ("8Gi", False)])
def test_limits_below_an_engine(limit: str, found: bool, session: Session) -> None:
    text = pod("args: [--model=/models/x]", resources=f"nvidia.com/gpu: 1, memory: {limit}")
    assert bool(findings(text, session, "MEM429")) is found


def test_a_model_that_is_a_multiple_of_the_limit_is_said_once(session: Session) -> None:
    text = pod("args: [--model=Qwen/Qwen3-8B]", resources="nvidia.com/gpu: 1, memory: 1Gi")
    assert findings(text, session, "MEM409")
    assert not findings(text, session, "MEM429")


ARGS = "args: [--model=/models/x, '--served-model-name=%s']"


@pytest.mark.parametrize(
    ("container", "kind", "certainty"),
    [
        (ARGS % "$(POD_NAME)", "Deployment", Certainty.HEURISTIC),
        (ARGS % "$(POD_NAME)" + ", env: [{name: POD_NAME, value: a}]", "Deployment", None),
        (ARGS % "$(POD_NAME)" + ", envFrom: [{configMapRef: {name: c}}]", "Deployment", None),
        (ARGS % "$$(POD_NAME)", "Deployment", None),
        (ARGS % "$(pod_name)", "Deployment", None),  # a program in another tool's words, more likely
        (ARGS % "$(REDIS_SERVICE_HOST)", "Deployment", None),
        (ARGS % "$(LWS_GROUP_SIZE)", "Deployment", Certainty.HEURISTIC),
        (ARGS % "$(LWS_GROUP_SIZE)", "LeaderWorkerSet", None),
        ("args: [--model=/m], env: [{name: A, value: $(B)}, {name: B, value: b}]", "Deployment", Certainty.PROVEN),
        ("args: [--model=/m], env: [{name: B, value: b}, {name: A, value: $(B)}]", "Deployment", None),
        ("args: [--model=/m], env: [{name: PATH, value: /opt/bin:$(PATH)}]", "Deployment", Certainty.PROVEN),
        ("command: [sh, -c, 'vllm serve /m --seed $(SEED)']", "Deployment", None),
    ],
)
def test_references_that_stay(container: str, kind: str, certainty: Certainty | None, session: Session) -> None:
    found = findings(pod(container, kind=kind), session, "CLI130")
    assert [f.certainty for f in found] == ([] if certainty is None else [certainty])


GROUP = """apiVersion: leaderworkerset.x-k8s.io/v1
kind: LeaderWorkerSet
metadata: {name: x}
spec:
  replicas: 1
  leaderWorkerTemplate:
    size: 2
    leaderTemplate:
      metadata: {labels: {app: x, role: leader}}
      spec: {containers: [{name: leader, image: 'vllm/vllm-openai:v0.11.0', ports: [{name: http, containerPort: 8000}],
        command: [sh, -c, 'ray start --head; vllm serve a/b --port 8000 --tensor-parallel-size 16'],
        resources: {limits: {nvidia.com/gpu: 8}}}]}
    workerTemplate:
      metadata: {labels: {app: x}}
      spec: {containers: [{name: worker, image: 'vllm/vllm-openai:v0.11.0', command: [sh, -c, '%s'],%s
        resources: {limits: {nvidia.com/gpu: 8}}}]}
---
apiVersion: v1
kind: Service
metadata: {name: x}
spec: {%s}
"""
JOIN = "ray start --block --address=$(LWS_LEADER_ADDRESS):6379"
PORTS = "ports: [{port: 80, targetPort: 8000}]"


@pytest.mark.parametrize(
    ("worker", "more", "service", "found"),
    [
        (JOIN, "", f"selector: {{app: x}}, {PORTS}", True),
        (JOIN, "", f"selector: {{app: x, role: leader}}, {PORTS}", False),
        (JOIN, "", f"selector: {{leaderworkerset.sigs.k8s.io/name: x}}, {PORTS}", True),
        (JOIN, "", f"clusterIP: None, selector: {{app: x}}, {PORTS}", False),
        (JOIN, " readinessProbe: {tcpSocket: {port: 8000}},", f"selector: {{app: x}}, {PORTS}", False),
        (JOIN, "", "selector: {app: x}, ports: [{port: 80, targetPort: http}]", False),
        (JOIN, " ports: [{name: http, containerPort: 8000}],", "selector: {app: x}, ports: [{port: 80, targetPort: http}]", True),
        (JOIN, "", "selector: {app: x}, ports: [{port: 8265}]", False),
        ("vllm serve a/b --port 8000", "", f"selector: {{app: x}}, {PORTS}", False),
        ("vllm serve a/b --headless", "", f"selector: {{app: x}}, {PORTS}", True),
    ],
)
def test_whom_a_service_selects(worker: str, more: str, service: str, found: bool, session: Session) -> None:
    assert bool(findings(GROUP % (worker, more, service), session, "K8S651")) is found
