"""Findings that hold only where the file says all of it, and fixes that fit the hosts there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from servelint.finding import Severity
from servelint.run import lint_texts
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from servelint.finding import Finding
    from servelint.run import Session


def findings(text: str, session: Session, code: str, path: str = "deploy.yaml") -> list[Finding]:
    return [f for f in lint_texts([SourceText(path, text)], session).findings if f.code == code]


def deployment(image: str, args: str, gpus: int = 1, *, kind: str = "Deployment", pod: str = "", spec: str = "") -> str:
    return (
        f"apiVersion: apps/v1\nkind: {kind}\nmetadata: {{name: x}}\nspec: {{selector: {{matchLabels: {{a: b}}}}{spec}, template: "
        f"{{metadata: {{labels: {{a: b}}}}, spec: {{{pod}containers: [{{name: e, image: '{image}', {args}, "
        f"resources: {{limits: {{nvidia.com/gpu: {gpus}}}}}}}]}}}}}}\n"
    )


@pytest.mark.parametrize(
    ("image", "found"),
    [
        ("ENGINE_IMAGE", False),
        ("ENGINE-IMAGE:latest", False),
        ("vllm/vllm-openai:v0.19.1", True),
        ("${IMAGE}", True),  # a script fills it in, and nothing else
    ],
)
def test_a_base_that_waits_for_its_image_lacks_no_model(image: str, found: bool, session: Session) -> None:
    assert bool(findings(deployment(image, "command: [vllm, serve, '--port=8000']"), session, "CLI114")) is found


@pytest.mark.parametrize(
    ("image", "option", "found"),
    [
        ("vllm/vllm-openai:latest", "--enable-lab-kernels", True),
        ("vllm/vllm-openai", "--enable-lab-kernels", True),  # the same tag
        ("localhost:5000/vllm/vllm-openai", "--enable-lab-kernels", True),
        (f"docker.io/vllm/vllm-openai@sha256:{'0' * 64}", "--enable-lab-kernels", True),
        ("lab/vllm", "--enable-lab-kernels", False),
        ("mirror.example.com/docker/vllm/vllm-openai:latest", "--enable-lab-kernels", True),  # a copy of the project's
        ("lab/vllm:cu130", "--enable-lab-kernels", False),  # its builder may have added it
        ("lab/vllm:cu130", "--tensor-paralel-size=1", True),  # a slip
        ("lab/vllm:v0.19.1", "--enable-lab-kernels", True),  # a build of a release
    ],
)
def test_options_of_an_image_that_somebody_else_publishes(image: str, option: str, found: bool, session: Session) -> None:
    text = deployment(image, f"command: [vllm, serve, Qwen/Qwen3-8B, '{option}']")
    assert bool(findings(text, session, "CLI101")) is found


@pytest.mark.parametrize("key", ["not-needed", "NOT_REQUIRED", "sk-no-key-required", "unused", "xxx", "EMPTY"])
def test_a_key_that_says_that_it_is_none(key: str, session: Session) -> None:
    args = "args: ['--model=Qwen/Qwen3-8B', '--api-key={}']"
    assert not findings(deployment("vllm/vllm-openai:v0.19.1", args.format(key)), session, "SEC105")
    assert findings(deployment("vllm/vllm-openai:v0.19.1", args.format(f"{key}-93b1")), session, "SEC105")


def test_each_host_of_a_group_is_told_how_many_there_are(session: Session) -> None:
    args = (
        "args: ['python3', '-m', 'sglang.launch_server', '--model-path=Qwen/Qwen3-8B', '--tp=2', '--nnodes=2', '--node-rank=0', "
        "'--dist-init-addr=x:5000']"
    )
    (found,) = findings(deployment("lmsysorg/sglang:v0.5.6", args, 2), session, "PAR201")
    assert found.label == "2 GPUs needed by a replica, 4 requested; 2 would idle"
    (proposal,) = found.proposals
    assert (proposal.title, proposal.edits) == ("make a group of 1 pod, and tell it so with --nnodes", None)


def test_hosts_that_meet_and_are_not_counted(session: Session) -> None:
    args = "args: ['python3', '-m', 'sglang.launch_server', '--model-path=Qwen/Qwen3-8B', '--tp=16', '{}']"
    (found,) = findings(
        deployment("lmsysorg/sglang:v0.5.6", args.format("--dist-init-addr=x:5000"), 8, kind="StatefulSet", spec=", replicas: 2"),
        session,
        "PAR201",
    )
    (proposal,) = found.proposals
    assert proposal.title.startswith("--nnodes 2 and a --node-rank for each")
    assert proposal.edits is None
    for option in ("--trust-remote-code", "--dist-init-addr=127.0.0.1:5000", "--dist-init-addr=localhost:5000"):
        (alone,) = findings(deployment("lmsysorg/sglang:v0.5.6", args.format(option), 8), session, "PAR201")
        assert [each.title for each in alone.proposals] == ["ask for 16 GPUs"]


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("for i in 0 1; do\nSERVE --port 820$i --data-parallel-rank $i &\ndone\nwait", False),
        ("until ready; do\nsleep 1\ndone\nSERVE --data-parallel-rank $RANK", True),  # one, and then it serves
        ("SERVE --data-parallel-rank $RANK &\nwait", True),
    ],
)
def test_ranks_that_a_loop_starts_are_not_counted(script: str, found: bool, session: Session) -> None:
    lines = script.replace("SERVE", "vllm serve Qwen/Qwen3-30B-A3B --data-parallel-size 4 --data-parallel-address x").replace(
        "\n", "\\n"
    )
    text = deployment("vllm/vllm-openai:v0.19.1", f'command: [bash, -c, "{lines}"]', 2, kind="StatefulSet", spec=", replicas: 2")
    assert [f.severity for f in findings(text, session, "PAR201")] == ([Severity.WARNING] if found else [])


@pytest.mark.parametrize(
    ("node", "size"),
    [
        ("node.kubernetes.io/instance-type: g6.12xlarge", 0),  # four GPUs, of which more would be needed
        ("node.kubernetes.io/instance-type: g6.48xlarge", 8),
        ("nvidia.com/gpu.product: NVIDIA-L4", 8),  # of nodes of any size
        ("node.kubernetes.io/instance-type: g6f.xlarge", 0),  # a part of one GPU
    ],
)
def test_no_more_gpus_than_the_instance_type_has(node: str, size: int, session: Session) -> None:
    gpus = 1 if "g6f" in node else 2
    args = f"args: ['--model=deepseek-ai/DeepSeek-R1-Distill-Qwen-32B', '--tensor-parallel-size={gpus}']"
    (found,) = findings(deployment("vllm/vllm-openai:v0.7.0", args, gpus, pod=f"nodeSelector: {{{node}}}, "), session, "MEM401")
    larger = [each.title for each in found.proposals if "tensor-parallel-size" in each.title]
    assert larger == ([f"--tensor-parallel-size={size} with {size} GPUs"] if size else [])


def service(name: str, more: str, share: float = 0.9) -> str:
    return (
        f"  {name}: {{image: 'vllm/vllm-openai:v0.19.1', command: '--model Qwen/Qwen3-8B --gpu-memory-utilization {share}', "
        f"runtime: nvidia, {more}}}\n"
    )


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        ("container_name: a", "container_name: b", True),
        ("container_name: a", "container_name: a", False),
        ("environment: {NVIDIA_VISIBLE_DEVICES: '${ONE:-all}'}", "environment: {NVIDIA_VISIBLE_DEVICES: '${TWO:-all}'}", False),
        ("environment: {NVIDIA_VISIBLE_DEVICES: '${ONE:-0}'}", "environment: {NVIDIA_VISIBLE_DEVICES: '${TWO:-0}'}", True),
        ("environment: {NVIDIA_VISIBLE_DEVICES: all}", "environment: {NVIDIA_VISIBLE_DEVICES: all}", True),
        *(
            (f"environment: {{NVIDIA_VISIBLE_DEVICES: '0', CUDA_VISIBLE_DEVICES: '{number}'}}", "container_name: b", False)
            for number in ("²", "9" * 5000)  # no number, and none that Python reads
        ),
    ],
)
def test_services_that_share_a_gpu(one: str, other: str, found: bool, session: Session) -> None:
    text = "services:\n" + service("one", one) + service("other", other)
    assert bool(findings(text, session, "MEM408", "compose.yaml")) is found


def test_alternatives_beside_a_third_service_count_once(session: Session) -> None:
    alternatives = service("small", "container_name: a", 0.3) + service("large", "container_name: a", 0.8)
    text = "services:\n" + alternatives + service("third", "container_name: c", 0.8)
    (found,) = findings(text, session, "MEM408", "compose.yaml")
    assert found.arithmetic == ("0.3 + 0.8 = 1.1",)  # what is certain: the smaller of the two


@pytest.mark.parametrize(
    ("replicas", "size", "gpus", "label"),
    [
        (1, 2, 1, ""),  # one group, which fails as one wherever it is
        (1, 2, 4, ""),
        (1, 2, 8, "2 pods in a group"),
        (2, 2, 1, "2 replicas, 2 pods in a group"),
        (3, 1, 1, "3 replicas"),
    ],
)
def test_pods_of_one_node(replicas: int, size: int, gpus: int, label: str, session: Session) -> None:
    text = (
        f"apiVersion: leaderworkerset.x-k8s.io/v1\nkind: LeaderWorkerSet\nmetadata: {{name: x}}\nspec:\n  replicas: {replicas}\n"
        f"  leaderWorkerTemplate:\n    size: {size}\n    workerTemplate: {{spec: {{nodeName: n7, containers: [{{name: e, image: "
        "'lmsysorg/sglang:v0.5.6', args: [python3, -m, sglang.launch_server, --model-path=Qwen/Qwen3-8B], resources: {limits: "
        f"{{nvidia.com/gpu: {gpus}}}}}}}]}}}}\n"
    )
    found = findings(text, session, "K8S629")
    assert [", ".join(r.label for r in f.related) for f in found] == ([label] if label else [])


@pytest.mark.parametrize(
    ("replicas", "worker", "label"),
    [
        (1, "node-9", ""),  # sixteen GPUs, and eight on each
        (1, "node-7", "2 pods on node-7, and nowhere else"),
        (3, "node-9", "3 pods on node-7, and nowhere else"),  # the leaders
    ],
)
def test_leader_and_workers_on_nodes_of_their_own(replicas: int, worker: str, label: str, session: Session) -> None:
    pod = (
        "spec: {{nodeSelector: {{kubernetes.io/hostname: {}}}, containers: [{{name: e, image: 'lmsysorg/sglang:v0.5.6', args: "
        "[python3, -m, sglang.launch_server, --model-path=Qwen/Qwen3-8B], resources: {{limits: {{nvidia.com/gpu: 8}}}}}}]}}"
    )
    text = (
        f"apiVersion: leaderworkerset.x-k8s.io/v1\nkind: LeaderWorkerSet\nmetadata: {{name: x}}\nspec:\n  replicas: {replicas}\n"
        f"  leaderWorkerTemplate:\n    size: 2\n    leaderTemplate: {{{pod.format('node-7')}}}\n"
        f"    workerTemplate: {{{pod.format(worker)}}}\n"
    )
    assert [f.label for f in findings(text, session, "K8S629")] == ([label] if label else [])


@pytest.mark.parametrize(
    ("name", "found"),
    [("__NAME__", False), ("LWS_NAME", False), ("'@NAME@'", False), ("'{{ name }}'", False), ("LLAMA-70B", True), ("a.b", True)],
)
def test_a_name_that_is_filled_in_later_is_not_judged(name: str, found: bool, session: Session) -> None:
    text = (
        f"apiVersion: leaderworkerset.x-k8s.io/v1\nkind: LeaderWorkerSet\nmetadata: {{name: {name}}}\nspec:\n  replicas: 1\n"
        "  leaderWorkerTemplate:\n    size: 2\n    workerTemplate: {spec: {containers: [{name: e, image: 'lmsysorg/sglang:v0.5.6', "
        "args: [python3, -m, sglang.launch_server, --model-path=Qwen/Qwen3-8B], resources: {limits: {nvidia.com/gpu: 1}}}]}}\n"
    )
    assert bool(findings(text, session, "DIS707")) is found


@pytest.mark.parametrize("node", ["__NODE__", "NODE_NAME", "${NODE}", "<node>"])
def test_a_node_that_is_filled_in_later_is_none(node: str, session: Session) -> None:
    pod = f"nodeName: '{node}', "
    args = "args: ['--model=Qwen/Qwen3-8B']"
    assert not findings(deployment("vllm/vllm-openai:v0.19.1", args, pod=pod, spec=", replicas: 3"), session, "K8S629")


SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {{name: vllm{0}}}\nspec: {{selector: {{a: b}}, ports: [{{port: 8000}}]}}\n"
NEEDED = "envFrom: [{configMapRef: {name: settings}}], "


@pytest.mark.parametrize(
    ("container", "settings", "severity"),
    [
        ("args: ['--model=Qwen/Qwen3-8B']", "", Severity.ERROR),
        (NEEDED + "args: ['--model=Qwen/Qwen3-8B']", "", Severity.WARNING),  # it may set the variable
        (NEEDED + "args: ['--model=Qwen/Qwen3-8B', '--port=$(VLLM_PORT)']", "", None),  # it does
        (NEEDED + "command: [sh, -c, 'vllm serve Qwen/Qwen3-8B --port ${VLLM_PORT}']", "", None),
        ("command: [sh, -c, 'vllm serve Qwen/Qwen3-8B --port $VLLM_PORT']", "", Severity.ERROR),  # nothing else sets it
        ("command: [sh, -c, 'unset VLLM_PORT; exec vllm serve Qwen/Qwen3-8B']", "", None),
        ("command: [sh, -c, 'VLLM_PORT=29000 vllm serve Qwen/Qwen3-8B']", "", None),
        (NEEDED + "args: ['--model=Qwen/Qwen3-8B']", "{VLLM_PORT: '8000'}", None),
        (NEEDED + "args: ['--model=Qwen/Qwen3-8B']", "{OTHER: '8000'}", Severity.ERROR),
        (NEEDED.replace("settings", "settings, optional: true") + "args: ['--model=Qwen/Qwen3-8B']", "", Severity.ERROR),
    ],
)
def test_what_a_pod_takes_from_a_config_map_wins(
    container: str, settings: str, severity: Severity | None, session: Session
) -> None:
    text = deployment("vllm/vllm-openai:v0.19.1", container) + "---\n" + SERVICE.format("")
    if settings:
        text += f"---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: settings}}\ndata: {settings}\n"
    assert [f.severity for f in findings(text, session, "CLI108")] == ([severity] if severity is not None else [])


@pytest.mark.parametrize(
    ("where", "severity"),
    [("run/one/service.yaml", Severity.ERROR), ("run/other/service.yaml", Severity.WARNING)],  # the second may be another project
)
def test_a_service_of_the_same_namespace_elsewhere(where: str, severity: Severity, session: Session) -> None:
    pod = deployment("vllm/vllm-openai:v0.19.1", "args: ['--model=Qwen/Qwen3-8B']").replace(
        "{name: x}", "{name: x, namespace: ai}"
    )
    files = [SourceText("run/one/deploy.yaml", pod), SourceText(where, SERVICE.format(", namespace: ai"))]
    assert [f.severity for f in lint_texts(files, session).findings if f.code == "CLI108"] == [severity]
