"""The rules about pods beyond their examples: who may own a port, how times and shares are counted, and what keeps them silent."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given, strategies as st

from servelint.finding import Certainty, Severity
from servelint.run import lint_texts
from servelint.source.reader import read_text
from servelint.source.text import SourceText
from servelint_rules import gated_models, listening, rollout

if TYPE_CHECKING:
    from servelint.finding import Finding
    from servelint.run import Session
    from servelint.source.nodes import Node

GPU = "resources: {limits: {nvidia.com/gpu: 1}}"
PROBE = "readinessProbe: {httpGet: {path: /health, port: 9000}}"


def deployment(
    container: str, *, pod: str = "", image: str = "vllm/vllm-openai:v0.19.1", spec: str = "", others: str = "", meta: str = ""
) -> str:
    """A Deployment around one container, given as flow-style entries; ``others``: further containers."""
    return (
        f"apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: x{meta}}}\n"
        f"spec: {{selector: {{matchLabels: {{a: b}}}}{spec}, template: {{metadata: {{labels: {{a: b}}}}, "
        f"spec: {{{pod}containers: [{{name: engine, image: '{image}', {container}}}{others}]}}}}}}\n"
    )


def findings(text: str, session: Session, code: str, path: str = "deploy.yaml") -> list[Finding]:
    return [f for f in lint_texts([SourceText(path, text)], session).findings if f.code == code]


ARGS = "args: [--model=Qwen/Qwen3-8B]"
SERVICE = (
    "---\napiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {selector: {a: b}, ports: [{port: 80, targetPort: 9000}]}\n"
)


@pytest.mark.parametrize("code", ["K8S609", "K8S620"])
@pytest.mark.parametrize(
    ("container", "more", "found"),
    [
        (ARGS, {}, True),
        ("args: [--model=Qwen/Qwen3-8B, --port=9000]", {}, False),
        ("args: [--model=Qwen/Qwen3-8B, --port=$(PORT)]", {}, False),
        (f"{ARGS}, env: [{{name: METRICS, value: '9000'}}]", {}, False),
        (f"{ARGS}, env: [{{name: METRICS, value: '19000'}}]", {}, True),
        (ARGS, {"others": ", {name: proxy, image: envoy}"}, False),
        (ARGS, {"pod": "initContainers: [{name: p, image: p, restartPolicy: Always}], "}, False),
        (ARGS, {"pod": "initContainers: [{name: p, image: p}], "}, True),
        (ARGS, {"meta": ", annotations: {model.aibrix.ai/sidecar-injection: 'true'}"}, False),
        (ARGS, {"image": "example.com/vllm-openai:v1"}, False),
        ("command: [sh, -c, 'prometheus & vllm serve Qwen/Qwen3-8B']", {}, False),
        ("command: [sh, -c, 'cd /models && exec vllm serve Qwen/Qwen3-8B 2>&1']", {}, True),
        ("args: [--model=Qwen/Qwen3-8B, --headless]", {}, False),
    ],
)
def test_who_may_own_a_port(code: str, container: str, more: dict[str, str], found: bool, session: Session) -> None:
    text = deployment(f"{container}, {GPU}, {PROBE}", **more) + SERVICE
    assert bool(findings(text, session, code)) is found


@pytest.mark.parametrize(
    ("engine", "path", "answered"),
    [
        ("vllm", "/health", True), ("vllm", "/health?x=1", True), ("vllm", "/v1/models/", True), ("vllm", "/", False),
        ("vllm", "/healthz", False), ("vllm", "/health_generate", False), ("sglang", "/health_generate", True),
        ("sglang", "/live", False), ("tgi", "/", True), ("tgi", "/ready", False), ("trtllm", "/anything", None),
    ],
)  # fmt: skip
def test_paths_of_the_servers(engine: str, path: str, answered: bool | None) -> None:
    assert listening.answers(engine, path) is answered


def test_a_path_is_proven_wrong_only_for_the_projects_own_image(session: Session) -> None:
    probe = "readinessProbe: {httpGet: {path: /ready-or-not, port: 8000}}"
    [own] = findings(deployment(f"{ARGS}, {GPU}, {probe}"), session, "K8S609")
    text = deployment(f"command: [vllm, serve, Qwen/Qwen3-8B], {GPU}, {probe}", image="example.com/mine:1")
    [other] = findings(text, session, "K8S609")
    assert (own.certainty, other.certainty) == (Certainty.PROVEN, Certainty.HEURISTIC)
    assert other.severity is Severity.WARNING


def test_a_service_that_reaches_the_engine_too_is_a_warning(session: Session) -> None:
    both = SERVICE.replace("ports: [", "ports: [{name: http, port: 8000}, ")
    [finding] = findings(deployment(f"{ARGS}, {GPU}") + both, session, "K8S620")
    assert finding.severity is Severity.WARNING
    [finding] = findings(deployment(f"{ARGS}, {GPU}") + SERVICE, session, "K8S620")
    assert finding.severity is Severity.ERROR


def test_labels_that_a_controller_adds_are_no_reason_not_to_match(session: Session) -> None:
    selected = SERVICE.replace("{a: b}", "{a: b, apps.kubernetes.io/pod-index: '0'}")
    assert findings(deployment(f"{ARGS}, {GPU}") + selected, session, "K8S620")
    other = SERVICE.replace("{a: b}", "{a: b, tier: front}")
    assert not findings(deployment(f"{ARGS}, {GPU}") + other, session, "K8S620")


SGLANG = "command: [python3, -m, sglang.launch_server], args: [--model-path=Qwen/Qwen3-8B%s]"


@pytest.mark.parametrize(
    ("image", "command", "port", "found"),
    [
        ("lmsysorg/sglang:v0.5.9", SGLANG % ", --dist-init-addr=m-0.m:5000", 5000, False),
        ("lmsysorg/sglang:v0.5.9", SGLANG % ", --dist-init-addr=m-0.m:5000", 5001, False),
        ("lmsysorg/sglang:v0.5.9", SGLANG % ", --dist-init-addr=m-0.m:5000", 6000, True),
        ("lmsysorg/sglang:v0.5.9", SGLANG % f", '--dist-init-addr=m-0.m:{'9' * 5000}'", 5000, True),
        ("lmsysorg/sglang:v0.5.9", SGLANG % "", 5001, True),
        ("vllm/vllm-openai:v0.19.1", "args: [Qwen/Qwen3-8B, --data-parallel-size=2]", 29550, False),
        ("vllm/vllm-openai:v0.19.1", "args: [Qwen/Qwen3-8B]", 29550, True),
        ("vllm/vllm-openai:v0.19.1", "args: [Qwen/Qwen3-8B, --nnodes=2, --node-rank=0]", 29501, False),
    ],
)
def test_ports_by_which_the_nodes_of_an_engine_find_each_other(
    image: str, command: str, port: int, found: bool, session: Session
) -> None:
    service = SERVICE.replace("9000", str(port))
    assert bool(findings(deployment(f"{command}, {GPU}", image=image) + service, session, "K8S620")) is found


@pytest.mark.parametrize(
    ("port", "found"),
    [("{port: 8000, targetPort: 0}", False), ("{port: 8000, targetPort: ''}", False), ("{port: 80, targetPort: 0}", True)],
)
def test_a_target_that_is_none_is_the_port_of_the_service(port: str, found: bool, session: Session) -> None:
    service = f"---\napiVersion: v1\nkind: Service\nmetadata: {{name: s}}\nspec: {{selector: {{a: b}}, ports: [{port}]}}\n"
    assert bool(findings(deployment(f"{ARGS}, {GPU}") + service, session, "K8S620")) is found


@pytest.mark.parametrize(
    ("flags", "more", "severity"),
    [
        ("", "readinessProbe: {tcpSocket: {port: 30000}}", Severity.ERROR),
        ("", "ports: [{containerPort: 30000}]", Severity.WARNING),
        ("", "readinessProbe: {exec: {command: [curl, localhost:30000]}}", None),
        (", --host=0.0.0.0", "readinessProbe: {tcpSocket: {port: 30000}}", None),
        (", --host=$(POD_IP)", "readinessProbe: {tcpSocket: {port: 30000}}", None),
        (", --host=localhost", "readinessProbe: {tcpSocket: {port: 30000}}", Severity.ERROR),
    ],
)
def test_who_comes_from_outside(flags: str, more: str, severity: Severity | None, session: Session) -> None:
    text = deployment(f"{SGLANG % flags}, {GPU}, {more}", image="lmsysorg/sglang:v0.5.9")
    found = [f.severity for f in findings(text, session, "K8S621")]
    assert found == ([] if severity is None else [severity])


@given(replicas=st.integers(1, 400), share=st.integers(0, 100))
def test_shares_of_a_rolling_update(replicas: int, share: int) -> None:
    def of(text: str, *, up: bool) -> int | None:
        source = f"spec: {{strategy: {{rollingUpdate: {{maxSurge: {text}}}}}}}"
        [document] = read_text(SourceText("x.yaml", source)).documents
        return rollout._share(cast("Node", document.root), "maxSurge", replicas, up=up)

    above, below = of(f"{share}%", up=True), of(f"{share}%", up=False)
    assert above is not None
    assert below is not None
    assert 0 <= above - below <= 1
    assert below * 100 <= replicas * share <= above * 100
    assert of(str(share), up=True) == of(str(share), up=False) == share


@pytest.mark.parametrize(
    ("spec", "gpus", "found"),
    [
        ("", 8, True), (", replicas: 3", 8, True), (", replicas: 4", 8, False), (", replicas: 0", 8, False), ("", 4, False),
        (", strategy: {type: Recreate}", 8, False),
        (", strategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: 1}}", 8, False),
        (", replicas: 4, strategy: {rollingUpdate: {maxUnavailable: 0}}", 8, True),
    ],
)  # fmt: skip
def test_when_an_update_waits_for_gpus(spec: str, gpus: int, found: bool, session: Session) -> None:
    text = deployment(f"{ARGS}, resources: {{limits: {{nvidia.com/gpu: {gpus}}}}}", spec=spec)
    assert bool(findings(text, session, "K8S604")) is found


@pytest.mark.parametrize(
    ("hook", "slept"),
    [
        ("{sleep: {seconds: 40}}", 40),
        ("{exec: {command: [sleep, '40']}}", 40),
        ("{exec: {command: [/bin/sh, -c, sleep 40]}}", 40),
        ("{exec: {command: [/bin/sh, -c, 'sleep 40; curl localhost']}}", 0),
        ("{httpGet: {path: /drain, port: 8000}}", 0),
    ],
)
def test_how_long_a_hook_sleeps(hook: str, slept: int) -> None:
    [document] = read_text(SourceText("x.yaml", f"lifecycle: {{preStop: {hook}}}")).documents
    container: Any = SimpleNamespace(node=document.root)
    assert rollout._hook_seconds(container) == slept


@pytest.mark.parametrize(
    ("value", "gpus", "severity"),
    [
        ('"0"', 2, Severity.ERROR), ('"0,1"', 2, None), ('"0,2"', 2, Severity.ERROR), ('"0,1,2"', 4, Severity.WARNING),
        ('"0,1"', 4, None),  # as many as it has ranks: PAR201 counts those that idle
        ("GPU-1234", 2, None), ("all", 2, None),
    ],
)  # fmt: skip
def test_devices_that_are_visible(value: str, gpus: int, severity: Severity | None, session: Session) -> None:
    args = "args: [--model=Qwen/Qwen3-32B, --tensor-parallel-size=2]"
    container = f"{args}, env: [{{name: CUDA_VISIBLE_DEVICES, value: {value}}}]"
    text = deployment(f"{container}, resources: {{limits: {{nvidia.com/gpu: {gpus}}}}}")
    found = [f.severity for f in findings(text, session, "K8S628")]
    assert found == ([] if severity is None else [severity])


@pytest.mark.parametrize(
    ("model", "gated"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", True), ("google/gemma-3-27b-it", True), ("google/gemma-2b", True),
        ("google/gemma-4-26b-a4b-it", False), ("RedHatAI/Llama-3.3-70B-Instruct-FP8-dynamic", False),
        ("mistralai/Mistral-7B-Instruct-v0.3", False), ("google/flan-t5-xl", False),
    ],
)  # fmt: skip
def test_gated_families(model: str, gated: bool) -> None:
    assert gated_models.is_gated(model) is gated


GATED = "args: [--model=meta-llama/Llama-3.1-8B-Instruct]"
WITH_FILES = {
    "envFrom": f"{GATED}, envFrom: [{{secretRef: {{name: hf}}}}]",
    "token by an older name": f"{GATED}, env: [{{name: HUGGING_FACE_HUB_TOKEN, value: x}}]",
    "a mirror": f"{GATED}, env: [{{name: HF_ENDPOINT, value: http://mirror}}]",
    "a claim": f"{GATED}, volumeMounts: [{{name: m, mountPath: /root/.cache}}]",
    "a path": "args: [--model=/models/llama]",
    "a token on the command line": f"{GATED[:-1]}, --hf-token]",
}


@pytest.mark.parametrize("why", WITH_FILES)
def test_a_gated_model_that_can_be_fetched(why: str, session: Session) -> None:
    pod = "volumes: [{name: m, persistentVolumeClaim: {claimName: m}}], " if why == "a claim" else ""
    assert not findings(deployment(f"{WITH_FILES[why]}, {GPU}", pod=pod), session, "K8S610")


def test_a_gated_model_with_nothing_to_fetch_it_with(session: Session) -> None:
    [finding] = findings(deployment(f"{GATED}, {GPU}"), session, "K8S610")
    assert finding.severity is Severity.WARNING


@pytest.mark.parametrize(
    ("image", "gpus", "cpu", "found"),
    [
        ("v0.19.1", 2, "3", True), ("v0.19.1", 2, "4", False), ("v0.6.3", 2, "3", False), ("v0.6.3", 2, "2", True),
        ("v0.19.1", 1, "2", False), ("v0.19.1", 1, "1500m", True),
    ],
)  # fmt: skip
def test_cores_for_the_processes(image: str, gpus: int, cpu: str, found: bool, session: Session) -> None:
    args = f"args: [--model=Qwen/Qwen3-32B, --tensor-parallel-size={gpus}]"
    limits = f"resources: {{limits: {{cpu: {cpu}, nvidia.com/gpu: {gpus}}}}}"
    text = deployment(f"{args}, {limits}", image=f"vllm/vllm-openai:{image}")
    assert bool(findings(text, session, "K8S613")) is found


def test_a_patch_lacks_nothing(session: Session) -> None:
    text = deployment(f"{GATED}, {GPU}, {PROBE}", pod="hostNetwork: true, ", spec=", replicas: 4") + SERVICE
    for code in ("K8S601", "K8S604", "K8S608", "K8S609", "K8S610", "K8S612", "K8S620", "K8S622"):
        assert not findings(text, session, code, "overlays/prod/deploy.yaml")
