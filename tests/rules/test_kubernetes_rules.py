"""The Kubernetes rules beyond their examples: what must keep them silent, what decides, and what their edits make."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from servelint.finding import Certainty, Severity
from servelint.fixes.verify import edited
from servelint.run import lint_texts
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from servelint.finding import Finding
    from servelint.run import Session

OURS = ("PAR201", "K8S601", "K8S602", "K8S606", "K8S607")
LIVENESS = "livenessProbe: {httpGet: {path: /health, port: 8000}}"


def deployment(container: str, *, pod: str = "", image: str = "vllm/vllm-openai:v0.19.1", meta: str = "", spec: str = "") -> str:
    """A Deployment around one container, given as flow-style entries."""
    return (
        f"apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: x{meta}}}\n"
        f"spec: {{selector: {{matchLabels: {{a: b}}}}{spec}, template: {{metadata: {{labels: {{a: b}}}}, "
        f"spec: {{{pod}containers: [{{name: vllm, image: '{image}', {container}}}]}}}}}}\n"
    )


def findings(text: str, session: Session, path: str = "deploy.yaml") -> list[Finding]:
    return [f for f in lint_texts([SourceText(path, text)], session).findings if f.code in OURS]


def codes(text: str, session: Session, path: str = "deploy.yaml") -> list[str]:
    return [f.code for f in findings(text, session, path)]


# A deployment in which everything is wrong: the traps below each take one reason away.
WRONG = "args: [--model=Qwen/Qwen3-32B, --tensor-parallel-size=4], resources: {limits: {nvidia.com/gpu: 2}}, " + LIVENESS


def test_everything_wrong_at_once(session: Session) -> None:
    assert sorted(codes(deployment(WRONG, image="vllm/vllm-openai:latest"), session)) == ["K8S601", "K8S602", "K8S606", "PAR201"]


TRAPS = {
    "kustomize placeholder": deployment(WRONG.replace("args: [", "command: [vllm, serve, "), image="replaced-by-kustomize"),
    "image filled in by a script": deployment("resources: {limits: {nvidia.com/gpu: 1}}, command: [vllm, serve, m/m]", image="${IMAGE}"),
    "patch without selector": deployment(WRONG, image="vllm/vllm-openai:latest").replace("selector: {matchLabels: {a: b}}, ", ""),
    "simulator": deployment(WRONG, image="ghcr.io/llm-d/llm-d-inference-sim:latest"),
    "CPU image": deployment(WRONG.replace("args: [", "command: [vllm, serve, "), image="example.com/vllm-cpu:v1"),
    "TPU": deployment(
        "command: [vllm, serve, m/m, -tp, '8'], resources: {limits: {google.com/tpu: 4}}", image="vllm/vllm-tpu:v0.19.1"
    ),
    "Neuron": deployment(
        "command: [vllm, serve, m/m, -tp, '8'], resources: {limits: {aws.amazon.com/neuron: 4}}", image="example.com/neuronx:v1"
    ),
    "MIG": deployment("args: [--model, m/m, -tp, '4'], resources: {limits: {nvidia.com/mig-1g.10gb: 1}}"),
    "claims": deployment("args: [--model, m/m, -tp, '4'], resources: {claims: [{name: g}]}", pod="resourceClaims: [{name: g}], "),
    "owned by an operator": deployment(WRONG, meta=", ownerReferences: [{kind: InferenceService, name: x}]"),
    "labelled by an operator": deployment(WRONG, meta=", labels: {ray.io/cluster: x}"),
    "degrees by the shell": deployment(
        "command: [sh, -c, 'vllm serve m/m --tensor-parallel-size $((A * 2)) --pipeline-parallel-size ${B:-4}'], "
        "env: [{name: A, value: '4'}], resources: {limits: {nvidia.com/gpu: 1}}"
    ),
    "ranks started by torchrun": deployment(
        "args: [--model, m/m, -tp, '4', --distributed-executor-backend, external_launcher], resources: {limits: {nvidia.com/gpu: 1}}"
    ),
    "an API server without ranks": deployment(
        "args: [--model, m/m, --data-parallel-size, '4', --data-parallel-size-local, '0'], resources: {limits: {nvidia.com/gpu: 1}}"
    ),
    "two engines in one container": deployment(
        "command: [sh, -c, 'vllm serve a/a -tp 2 & vllm serve b/b -tp 2'], resources: {limits: {nvidia.com/gpu: 4}}, "
        "volumeMounts: [{name: d, mountPath: /dev/shm}]"
    ),
    "expert parallelism adds no GPU": deployment(
        "args: [--model, m/m, -tp, '2', --enable-expert-parallel, --decode-context-parallel-size, '2'], "
        "resources: {limits: {nvidia.com/gpu: 2}}, volumeMounts: [{name: d, mountPath: /dev/shm}]"
    ),
    "elastic spare GPUs": deployment(
        "args: [--model, m/m, --data-parallel-size, '2', --enable-elastic-ep, --enable-expert-parallel], "
        "resources: {limits: {nvidia.com/gpu: 4}}, volumeMounts: [{name: d, mountPath: /dev/shm}]"
    ),
    "privileged": deployment("args: [--model, m/m, -tp, '4'], securityContext: {privileged: true}"),
    "visible devices": deployment("args: [--model, m/m, -tp, '4'], env: [{name: NVIDIA_VISIBLE_DEVICES, value: all}]"),
    "probe of a router": deployment(
        "args: [--model, Qwen/Qwen3-32B, --port, '8200'], resources: {limits: {nvidia.com/gpu: 1}}, " + LIVENESS
    ),
    "probe that answers at once": deployment(
        "args: [--model, Qwen/Qwen3-32B], resources: {limits: {nvidia.com/gpu: 1}}, livenessProbe: {httpGet: {path: /live, port: 8000}}"
    ),
    "probe by a script": deployment(
        "args: [--model, Qwen/Qwen3-32B], resources: {limits: {nvidia.com/gpu: 1}}, livenessProbe: {exec: {command: [check]}}"
    ),
    "probe of a small model": deployment(
        "args: [--model, Qwen/Qwen3-0.6B], resources: {limits: {nvidia.com/gpu: 1}}, " + LIVENESS
    ),
}  # fmt: skip


@pytest.mark.parametrize("trap", TRAPS, ids=str)
def test_no_false_finding(trap: str, session: Session) -> None:
    assert codes(TRAPS[trap], session) == []


@pytest.mark.parametrize("path", ["overlays/prod/deploy.yaml", "components/gpu/deploy.yaml", "patch-vllm.yaml"])
def test_patches_by_their_place(path: str, session: Session) -> None:
    assert codes(deployment(WRONG, image="vllm/vllm-openai:latest"), session, path) == []


def test_a_base_is_judged_by_what_it_states(session: Session) -> None:
    # an overlay may add a volume, a startup probe or a tag; the degree and the limit stand here
    assert codes(deployment(WRONG, image="vllm/vllm-openai:latest"), session, "base/deploy.yaml") == ["PAR201"]


def test_a_mismatch_shows_its_arithmetic_and_its_flags(session: Session) -> None:
    [finding] = [f for f in findings(deployment(WRONG), session) if f.code == "PAR201"]
    assert finding.severity is Severity.ERROR
    assert finding.certainty is Certainty.PROVEN
    assert finding.label == "4 GPUs needed by a replica, 2 requested"
    assert finding.arithmetic == ("needed by the engine: TP 4", "requested: 2 × nvidia.com/gpu in the pod")
    assert [r.label for r in finding.related] == ["tensor-parallel size 4"]


@pytest.mark.parametrize(
    ("args", "gpus", "expected"),
    [
        ("-tp, '2', -pp, '2'", 4, None),
        ("-tp, '2', -pp, '2'", 2, Severity.ERROR),
        ("-tp, '2', -pp, '2'", 8, Severity.WARNING),
        ("-tp, '2', --data-parallel-size, '2'", 4, None),
        ("-tp, '2', --data-parallel-size, '2'", 2, Severity.ERROR),
        ("--max-num-seqs, '8'", 1, None),
        ("--max-num-seqs, '8'", 0, Severity.ERROR),
        ("--max-num-seqs, '8'", 2, Severity.WARNING),
        ("-tp, '2', --data-parallel-size, '4', --data-parallel-rank, '0'", 2, None),
        ("-tp, '2', --data-parallel-size, '4', --data-parallel-rank, '0'", 1, Severity.ERROR),
    ],
)
def test_degrees_against_gpus(args: str, gpus: int, expected: Severity | None, session: Session) -> None:
    text = deployment(f"args: [--model, m/m, {args}], resources: {{limits: {{nvidia.com/gpu: {gpus}}}}}")
    found = [f.severity for f in findings(text, session) if f.code == "PAR201"]
    assert found == ([] if expected is None else [expected])


@pytest.mark.parametrize(
    ("model", "probe", "more", "expected"),
    [
        ("Qwen/Qwen3-32B", "", "", Severity.ERROR),
        ("Qwen/Qwen3-32B", "", ", --enforce-eager", Severity.WARNING),
        ("Qwen/Qwen3-32B", "", ", --load-format, runai_streamer", Severity.WARNING),
        ("Qwen/Qwen3-32B", ", initialDelaySeconds: 60", "", Severity.WARNING),
        ("Qwen/Qwen3-32B", ", failureThreshold: 30", "", None),
        ("/models/mine", "", "", Severity.WARNING),
    ],
)
def test_how_sure_the_liveness_rule_is(model: str, probe: str, more: str, expected: Severity | None, session: Session) -> None:
    liveness = LIVENESS[:-1] + probe + "}"
    text = deployment(f"args: [--model, {model}{more}], resources: {{limits: {{nvidia.com/gpu: 1}}}}, {liveness}")
    found = [f.severity for f in findings(text, session) if f.code == "K8S602"]
    assert found == ([] if expected is None else [expected])


@pytest.mark.parametrize(
    ("image", "moves"),
    [
        ("vllm/vllm-openai", True),
        ("vllm/vllm-openai:latest", True),
        ("vllm/vllm-openai:nightly", True),
        ("vllm/vllm-openai:latest-cu129", True),
        ("vllm/vllm-openai:latest-x86_64", False),
        ("vllm/vllm-openai:nightly-2aaa59e", False),
        ("vllm/vllm-openai:v0.19.1", False),
        ("vllm/vllm-openai:gptoss", False),
        ("localhost:5000/vllm-openai:v1", False),
    ],
)
def test_tags_that_move(image: str, moves: bool, session: Session) -> None:
    text = deployment("command: [vllm, serve, m/m], resources: {limits: {nvidia.com/gpu: 1}}", image=image)
    assert ("K8S606" in codes(text, session)) is moves


def test_a_local_image_needs_no_tag(session: Session) -> None:
    text = deployment(
        "command: [vllm, serve, m/m], imagePullPolicy: Never, resources: {limits: {nvidia.com/gpu: 1}}", image="vllm-openai"
    )
    assert codes(text, session) == []


@pytest.mark.parametrize("count", ["-1", "four", "0.5", "1500m"])
def test_a_count_that_is_none(count: str, session: Session) -> None:
    text = deployment(f"args: [--model, m/m], resources: {{limits: {{nvidia.com/gpu: {count}}}}}")
    [finding] = findings(text, session)
    assert finding.code == "K8S607"
    assert count in finding.label


BLOCK = """\
apiVersion: v1
kind: Pod
metadata:
  name: x
spec:
  containers:
    - name: vllm
      image: vllm/vllm-openai:v0.19.1
      command: ["vllm", "serve", "Qwen/Qwen3-32B", "-tp", "2"]
      livenessProbe:
        httpGet:
          path: /health
          port: 8000
      resources:
        limits:
          nvidia.com/gpu: 2
"""


def fixed(text: str, code: str, session: Session) -> str:
    report = lint_texts([SourceText("pod.yaml", text)], session)
    [finding] = [f for f in report.findings if f.code == code]
    [proposal] = finding.proposals
    assert proposal.edits
    return edited(report.sources, proposal.edits)["pod.yaml"].text


def test_the_shared_memory_fix_makes_what_is_missing(session: Session) -> None:
    after = fixed(BLOCK, "K8S601", session)
    assert "      volumeMounts:\n        - name: dshm\n          mountPath: /dev/shm\n" in after
    assert "  volumes:\n    - name: dshm\n      emptyDir:\n        medium: Memory\n        sizeLimit: 2Gi\n" in after
    assert "K8S601" not in codes(after, session)


def test_the_shared_memory_fix_mounts_a_volume_that_is_there(session: Session) -> None:
    text = BLOCK + "  volumes:\n    - name: shm\n      emptyDir: {medium: Memory}\n"
    after = fixed(text, "K8S601", session)
    assert after.count("medium: Memory") == 1
    assert "name: shm\n          mountPath: /dev/shm" in after


def test_the_shared_memory_fix_keeps_comments_and_takes_a_free_name(session: Session) -> None:
    mounts = "      volumeMounts:\n        # weights\n        - name: dshm\n          mountPath: /models\n"
    text = BLOCK.replace("      resources:\n", mounts + "      resources:\n")
    text += "  volumes:\n    - name: dshm\n      hostPath: {path: /models}\n"
    after = fixed(text, "K8S601", session)
    assert "        - name: shm\n          mountPath: /dev/shm\n        # weights\n        - name: dshm\n" in after
    assert "  volumes:\n    - name: shm\n      emptyDir:\n" in after


def test_a_volume_in_flow_style_gets_advice_only(session: Session) -> None:
    text = BLOCK.replace("      resources:\n", "      volumeMounts: [{name: m, mountPath: /models}]\n      resources:\n")
    [finding] = [f for f in findings(text, session) if f.code == "K8S601"]
    assert [p.edits for p in finding.proposals] == [None]


def test_the_startup_probe_has_the_handler_of_the_liveness_probe(session: Session) -> None:
    after = fixed(BLOCK, "K8S602", session)
    probe = "      startupProbe:\n        httpGet:\n          path: /health\n          port: 8000\n        periodSeconds: 10\n"
    assert probe in after
    assert "K8S602" not in codes(after, session)


def test_the_missing_limit_is_the_request(session: Session) -> None:
    text = BLOCK.replace("limits:", "requests:")
    after = fixed(text, "K8S607", session)
    assert '        limits:\n          nvidia.com/gpu: "2"\n' in after
    assert "K8S607" not in codes(after, session)


def test_fixes_keep_the_line_breaks_of_the_file(session: Session) -> None:
    after = fixed(BLOCK.replace("\n", "\r\n"), "K8S601", session)
    assert "\n" not in after.replace("\r\n", "")
