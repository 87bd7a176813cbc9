"""One fixed report, built by hand: two findings, facts that were missing, an unreadable file. And snapshots of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from servelint import __version__
from servelint.facts import Place
from servelint.finding import Certainty, Edit, Finding, Fix, NotChecked, ReadError, Related, Severity
from servelint.run import Report
from servelint.source.nodes import Document
from servelint.source.text import SourceText, Span

if TYPE_CHECKING:
    from collections.abc import Callable

DATA = Path(__file__).parent.parent / "data"

LLAMA = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: llama-70b}
spec:
  template:
    spec:
      containers:
        - name: vllm
          args:
            - --tensor-parallel-size=2
            - --max-model-len=131072
          resources:
            limits:
              nvidia.com/gpu: 2
"""

PLAN = """\
apiVersion: servelint/v1
kind: DeploymentPlan
metadata: {name: 百億, owner: ops}
parallelism: {tensor: 2, pipeline: 2, data: 2, sequence: 2}
claims:
  gpus: 8
"""


class StubDocument(Document):
    """A document whose pointers are given, so that these tests need no reader."""

    __slots__ = ("pointers",)

    def __init__(self, source: SourceText, pointers: dict[Span, str]) -> None:
        super().__init__(source, 0, None, Span(0, len(source.text)))
        self.pointers = pointers

    def pointer(self, span: Span) -> str:
        return self.pointers[span]


def span_of(text: str, part: str) -> Span:
    start = text.index(part)
    return Span(start, start + len(part))


@pytest.fixture
def report() -> Report:
    llama, plan = SourceText("deploy/llama-70b.yaml", LLAMA), SourceText("plans/百億, v2.yaml", PLAN)
    length, gpus = span_of(LLAMA, "--max-model-len=131072"), span_of(LLAMA, "2\n")
    gpus = span_of(LLAMA, "nvidia.com/gpu: 2")
    pipeline, claim = span_of(PLAN, "pipeline: 2"), span_of(PLAN, "8")
    owner = span_of(PLAN, "owner: ops")
    container = "/spec/template/spec/containers/0"
    first = StubDocument(llama, {length: f"{container}/args/1", gpus: f"{container}/resources/limits/nvidia.com~1gpu"})
    second = StubDocument(plan, {pipeline: "/parallelism/pipeline", claim: "/claims/gpus", owner: "/metadata/owner"})
    memory = Finding(
        code="MEM402",
        name="kv-cache-below-one-sequence",
        severity=Severity.ERROR,
        certainty=Certainty.ESTIMATED,
        message="KV cache below one sequence of max_model_len",
        label="one sequence needs 20.0 GiB of KV cache per GPU; 4.1 GiB is there",
        place=Place(first, length),
        pointer=first.pointer(length),
        deployment="llama-70b",
        pool="serve",
        arithmetic=(
            "131072 tokens × 160 KiB (80 layers × 4 KV heads × 128 × 2 × 2 B)",
            "79.2 GiB × 0.92 − weights 65.7 − activations 1.9 − overhead 1.2 = 4.1 GiB (3.6 … 4.5)",
        ),
        help=("or --tensor-parallel-size=4 with 4 GPUs",),
        related=(Related(Place(first, gpus), "2 GPUs hold the weights"), Related(Place(second, claim), "the plan says 8")),
        fixes=(
            Fix(
                "--max-model-len=23584, the most that surely fits",
                False,
                (Edit(llama.path, length.start + len("--max-model-len="), length.end, "23584"),),
            ),
        ),
        identity="MEM402|deploy/llama-70b.yaml|llama-70b|serve",
    )
    pipeline_finding = Finding(
        code="PAR207",
        name="pipeline-parallel-not-needed",
        severity=Severity.WARNING,
        certainty=Certainty.PROVEN,
        message="pipeline parallelism that nothing needs",
        label="all 16 layers fit one stage: 60.4 % of 64 GB, below the 90 % allowed",
        place=Place(second, pipeline),
        pointer=second.pointer(pipeline),
        deployment="百億",
        related=(Related(Place(second, owner), "ask them"),),
        fixes=(
            Fix(
                "pipeline: 1, with 4 GPUs",
                True,
                (Edit(plan.path, pipeline.end - 1, pipeline.end, "1"), Edit(plan.path, claim.start, claim.end, "4")),
            ),
        ),
        identity="PAR207|plans|百億",
    )
    missing = "accelerator.name", "no GPU type stated", "set default_accelerator"
    return Report(
        findings=(memory, pipeline_finding),
        not_checked=(
            NotChecked("deploy/llama-70b.yaml", "llama-70b", ("HWQ501", "MEM401"), *missing),
            NotChecked("deploy/other.yaml", "other", ("MEM401",), *missing),
            NotChecked("deploy/other.yaml", "other", ("CLI102",), "engine.version", "the tag is latest", ""),
        ),
        errors=(ReadError("deploy/broken.yaml", 3, 1, "found character '\\t' that cannot start any token"),),
        files=3,
        documents=3,
        deployments=("llama-70b", "百億", "other", "fourth"),  # type: ignore[arg-type]  # only counted
        rules=96,
        sources={llama.path: llama, plan.path: plan},
    )


@pytest.fixture
def clean() -> Report:
    return Report((), (), (), 3, 3, ("a", "b", "c", "d"), 96, {})  # type: ignore[arg-type]  # only counted


@pytest.fixture
def snapshot() -> Callable[[str, str], None]:
    """Compares with the file of that name in tests/data; SERVELINT_UPDATE_SNAPSHOTS=1 writes it instead."""

    def check(name: str, text: str) -> None:
        path = DATA / name
        for key in ("version", "semanticVersion"):
            text = text.replace(f'"{key}": "{__version__}"', f'"{key}": "VERSION"')
        if os.environ.get("SERVELINT_UPDATE_SNAPSHOTS"):
            path.write_text(text, encoding="utf-8")
        assert text == path.read_text(encoding="utf-8")

    return check
