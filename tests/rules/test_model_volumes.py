"""K8S630 at its edges: which mount counts, and who may fetch the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from servelint.finding import Certainty
from servelint.run import lint_texts
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from servelint.finding import Finding
    from servelint.run import Session

POD = """\
apiVersion: v1
kind: Pod
metadata: {name: llm}
spec:
  initContainers: [INIT]
  containers:
    - name: vllm
      image: vllm/vllm-openai:v0.19.1
      command: COMMAND
      volumeMounts: [MOUNTS]
      resources: {limits: {nvidia.com/gpu: 1}}
  volumes:
    - {name: a, emptyDir: {}}
    - {name: b, persistentVolumeClaim: {claimName: models}}
"""
SERVE = "[vllm, serve, /models/qwen]"
A = "{name: a, mountPath: /models}"


def lint(session: Session, command: str = SERVE, mounts: str = A, init: str = "") -> list[Finding]:
    text = POD.replace("COMMAND", command).replace("MOUNTS", mounts).replace("INIT", init)
    report = lint_texts([SourceText("pod.yaml", text)], session)
    assert report.deployments
    return [finding for finding in report.findings if finding.code == "K8S630"]


@pytest.mark.parametrize(
    ("command", "mounts", "found"),
    [
        (SERVE, A, True),
        ("[vllm, serve, --model=/models/qwen]", A, True),
        (SERVE, "{name: a, mountPath: /models/}", True),
        (SERVE, "{name: a, mountPath: /mod}", False),  # no directory above it
        (SERVE, "{name: a, mountPath: /models}, {name: b, mountPath: /models/qwen}", False),  # the deeper mount counts
        (SERVE, "{name: b, mountPath: /models}, {name: a, mountPath: /models/qwen}", True),
        ("[vllm, serve, Qwen/Qwen3-8B]", A, False),
        ("[sh, -c, 'fetch && vllm serve /models/qwen']", A, False),  # the script may fetch it
    ],
)
def test_the_deepest_mount_above_the_path_counts(session: Session, command: str, mounts: str, found: bool) -> None:
    assert bool(lint(session, command, mounts)) is found


@pytest.mark.parametrize(
    ("script", "certainty"),
    [
        ("echo start", Certainty.HEURISTIC),
        ("set -eu; mkdir -p /models/qwen && echo done", Certainty.HEURISTIC),
        ("aws s3 cp s3://b/qwen /models/qwen", None),
        ("echo {} > /models/qwen/config.json", None),
    ],
)
def test_what_an_init_container_does_can_be_read(session: Session, script: str, certainty: Certainty | None) -> None:
    init = f"{{name: fetch, image: busybox, command: [sh, -c, '{script}'], volumeMounts: [{A}]}}"
    assert [finding.certainty for finding in lint(session, init=init)] == ([] if certainty is None else [certainty])


def test_an_init_container_without_a_script_may_do_anything(session: Session) -> None:
    assert lint(session, init=f"{{name: fetch, image: fetcher, volumeMounts: [{A}]}}") == []


def test_it_is_proven_where_nothing_else_mounts_the_volume(session: Session) -> None:
    (finding,) = lint(session, init="{name: other, image: busybox}")
    assert finding.certainty is Certainty.PROVEN
