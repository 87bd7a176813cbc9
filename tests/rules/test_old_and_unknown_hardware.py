"""HWQ501, HWQ509, MEM403, MEM404, PAR202, PAR218 and CLI122: releases, GPUs and images at the edges of what is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from servelint.finding import Certainty, Severity
from servelint.formats import containers
from servelint.run import lint_texts
from servelint.source.text import SourceText
from servelint_rules.devices_and_images import _built_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from servelint.finding import Finding
    from servelint.run import Report, Session

    Lint = Callable[..., Report]

T4 = "cloud.google.com/gke-accelerator: nvidia-tesla-t4"
QWEN = "--model=Qwen/Qwen2.5-1.5B-Instruct"
LLAMA = "--model=meta-llama/Llama-3.1-8B-Instruct"


def found(report: Report, code: str) -> list[Finding]:
    return [finding for finding in report.findings if finding.code == code]


@pytest.mark.parametrize(("tag", "said"), [("v0.6.3", True), ("v0.8.5", True), ("v0.9.0", False), ("v0.19.1", False)])
@pytest.mark.parametrize("dtype", [(), ("--dtype=auto",)])
def test_old_releases_keep_the_checkpoints_type(lint: Lint, tag: str, said: bool, dtype: tuple[str, ...]) -> None:
    report = lint(QWEN, *dtype, image=f"vllm/vllm-openai:{tag}", selector=T4)
    assert [(f.severity, f.certainty) for f in found(report, "HWQ501")] == [(Severity.ERROR, Certainty.PROVEN)] * said


def test_auto_is_not_judged_where_the_type_is_not_known(lint: Lint) -> None:
    old = "vllm/vllm-openai:v0.8.5"
    assert not found(lint(QWEN, "--dtype=half", image=old, selector=T4), "HWQ501")
    assert not found(lint(QWEN, image="vllm/vllm-openai:latest", selector=T4), "HWQ501"), "it may have the fallback"
    assert not found(lint("--model=some-house/model", image=old, selector=T4), "HWQ501")
    several = lint("--model=google/gemma-3-4b-it", image=old, selector=T4)
    assert not found(several, "HWQ501"), "the text model of a multimodal one may name a type of its own"


@pytest.mark.parametrize("version", ["1.4.5", "2.3.1", "3.3.7"])
@pytest.mark.parametrize(("shards", "said"), [(4, False), (8, False), (16, True)])
def test_tgi_copies_no_kv_heads(lint: Lint, version: str, shards: int, said: bool) -> None:
    """Llama 3.1 8B: 32 heads and 8 KV heads."""
    image = f"ghcr.io/huggingface/text-generation-inference:{version}"
    report = lint("--model-id=meta-llama/Llama-3.1-8B-Instruct", f"--num-shard={shards}", image=image, gpus=shards)
    assert bool(found(report, "PAR202")) is said


def test_tgi_for_other_devices_is_other_code(lint: Lint) -> None:
    args = ("--model-id=google/gemma-2b-it", "--num-shard=8")
    image = "ghcr.io/huggingface/text-generation-inference:2.3.1"
    assert found(lint(*args, image=image, gpus=8), "PAR202")
    assert not found(lint(*args, image="ghcr.io/huggingface/text-generation-inference:1.1.0", gpus=8), "PAR202"), "not read"
    assert not found(lint("--model=google/gemma-2b-it", "--tensor-parallel-size=8", gpus=8), "PAR202"), "vLLM copies it"


@pytest.mark.parametrize(
    ("share", "gpus", "said"), [("0.99", 4, True), ("0.98", 4, False), ("0.99", 1, False), ("0.998", 1, True), ("1", 1, True)]
)
def test_a_share_that_hardly_any_gpu_bears(lint: Lint, share: str, gpus: int, said: bool) -> None:
    degree = (f"--tensor-parallel-size={gpus}", f"--gpu-memory-utilization={share}")
    report = lint(LLAMA, *degree, gpus=gpus, selector="pool: gpu", image="vllm/vllm-openai:v0.20.2")
    assert [f.certainty for f in found(report, "MEM403")] == [Certainty.HEURISTIC] * said
    assert any("MEM403" in item.codes for item in report.not_checked), "for the GPU that it is, nobody knows"


@pytest.mark.parametrize(
    ("tag", "moves"),
    [
        (None, True), ("latest", True), ("latest-cu129", True), ("latest-nightly", True), ("nightly", True), ("v0.5.0", False),
        ("", False), ("nightly-f849ee739cdb3d82", False), ("nightly-20251105", False), ("gptoss", False),
    ],
)  # fmt: skip
def test_tags_that_move(tag: str | None, moves: bool) -> None:
    assert containers.is_moving(tag) is moves


@pytest.mark.parametrize(
    ("image", "built"),
    [
        ("vault.habana.ai/gaudi-docker/1.22.0/ubuntu24.04/habanalabs/pytorch-installer-2.7.1:latest", "habana.ai/"),
        ("intel/vllm:0.10.0-xpu", "gpu.intel.com/"), ("vllm/vllm-openai:v0.19.1", ""), ("registry/rocm/vllm:v1", ""),
        ("ghcr.io/llm-d/llm-d-cuda:v0.5.0@sha256:0", "nvidia.com/"), ("x/vllm-rocm-cuda:1", ""), ("habanalabs:v1", ""),
    ],
)  # fmt: skip
def test_what_an_image_is_built_for(image: str, built: str) -> None:
    assert _built_for(image)[1] == built


CLAIM = """
---
apiVersion: resource.k8s.io/v1beta1
kind: ResourceClaimTemplate
metadata: {name: devices}
spec: {spec: {devices: {requests: [{name: device, deviceClassName: gaudi.intel.com}]}}}
"""


@pytest.mark.parametrize(("more", "severity"), [("", Severity.ERROR), (", {name: other}", Severity.WARNING)])
def test_a_claim_that_is_not_at_hand_may_hold_the_right_device(
    session: Session, manifest: Callable[..., str], more: str, severity: Severity
) -> None:
    text = manifest("Qwen/Qwen3-8B", image="intel/vllm:0.10.0-xpu", command="[vllm, serve]")
    text = text.replace("limits: {nvidia.com/gpu: 1}", f"claims: [{{name: device}}{more}]")
    text += (
        "      resourceClaims: [{name: device, resourceClaimTemplateName: devices}, {name: other, resourceClaimTemplateName: x}]"
    )
    report = lint_texts([SourceText("llm.yaml", text + CLAIM)], session)
    assert [f.severity for f in found(report, "HWQ509")] == [severity]


@pytest.mark.parametrize(
    ("selector", "image", "said"),
    [("cloud.google.com/gke-accelerator: nvidia-l4", "vllm/vllm-openai:v0.19.1", True),
     ("amd.com/gpu.product-name: AMD_Instinct_MI300X_OAM", "vllm/vllm-openai-rocm:v0.19.1", False)],
)  # fmt: skip
def test_only_nvidias_gpus_lack_a_link(
    session: Session, manifest: Callable[..., str], selector: str, image: str, said: bool
) -> None:
    text = manifest(LLAMA, "--tensor-parallel-size=2", gpus=2, selector=selector, image=image)
    text = text if said else text.replace("nvidia.com/gpu: 2", "amd.com/gpu: 2")
    report = lint_texts([SourceText("llm.yaml", text)], session)
    assert bool(found(report, "PAR218")) is said
    assert not any("PAR218" in item.codes for item in report.not_checked)


def test_a_verdict_of_one_of_several_gpu_types_says_which(session: Session) -> None:
    task = (
        "resources:\n  accelerators: {A100: 1, H200: 1}\n  image_id: docker:vllm/vllm-openai:v0.19.1\n"
        "run: vllm serve Qwen/Qwen3-32B --max-model-len 4096\n"
    )
    (finding,) = found(lint_texts([SourceText("task.yaml", task)], session), "MEM401")
    assert finding.label.endswith("(on A100-SXM4-40GB, one of the GPU types allowed here)")
