"""PAR and HWQ: boundaries that the examples do not cover."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from servelint.finding import Certainty, Severity

if TYPE_CHECKING:
    from collections.abc import Callable

    from servelint.finding import Finding
    from servelint.run import Report

    Lint = Callable[..., Report]

SGLANG = {"image": "lmsysorg/sglang:v0.5.9", "command": "[python3, -m, sglang.launch_server]"}


def found(report: Report, code: str) -> list[Finding]:
    return [finding for finding in report.findings if finding.code == code]


@pytest.mark.parametrize(
    ("image", "severity"),
    [
        ("vllm/vllm-openai:v0.28.0", Severity.ERROR),
        ("vllm/vllm-openai:v0.28.1", None),  # between a release that refuses it and one that refines the scales
        ("vllm/vllm-openai:v0.29.0", None),
        ("vllm/vllm-openai@sha256:0", Severity.WARNING),
    ],
)
def test_experts_of_part_blocks_by_release(lint: Lint, image: str, severity: Severity | None) -> None:
    report = lint("--model=Qwen/Qwen3-235B-A22B-FP8", "--tensor-parallel-size=8", image=image, gpus=8)
    said = found(report, "PAR205")
    assert [finding.severity for finding in said] == ([severity] if severity is not None else [])


def test_the_proposed_size_cuts_every_block(lint: Lint) -> None:
    [finding] = found(lint("--model=Qwen/Qwen3-235B-A22B-FP8", "--tensor-parallel-size=8", gpus=8), "PAR205")
    assert [proposal.title.partition(";")[0] for proposal in finding.proposals] == [
        "--enable-expert-parallel: whole experts are dealt out instead of slices of each",
        "tensor-parallel size 4 on 4 GPUs",
    ]
    assert not found(lint("--model=Qwen/Qwen3-235B-A22B-FP8", "--tensor-parallel-size=4", gpus=4), "PAR205")


@given(size=st.integers(1, 16))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=20)
def test_group_alignment_is_that_of_the_arithmetic(lint: Lint, size: int) -> None:
    """Qwen3-4B: 32 heads of 128 and a feed-forward width of 9728, groups of 128."""
    report = lint("--model=Qwen/Qwen3-4B-AWQ", f"--tensor-parallel-size={size}", gpus=size)
    whole = all(width % size == 0 for width in (4096, 9728))
    misfit = any(width % size == 0 and width // size % 128 for width in (4096, 9728))
    assert bool(found(report, "PAR206")) is misfit
    if whole and not misfit:
        assert not found(report, "PAR204")


@pytest.mark.parametrize(
    ("model", "size", "codes"),
    [
        ("Qwen/Qwen3-14B", 3, {"PAR202"}),  # 40 heads cannot be shared by 3: then nothing else is said of the size
        ("Qwen/Qwen3-14B", 5, {"PAR202", "PAR204"}),  # 40 heads can, 8 KV heads and 151936 tokens cannot
        ("Qwen/Qwen3-14B", 8, set()),
    ],
)
def test_what_is_said_of_a_size(lint: Lint, model: str, size: int, codes: set[str]) -> None:
    report = lint(f"--model={model}", f"--tensor-parallel-size={size}", gpus=size)
    assert {finding.code for finding in report.findings} & {"PAR202", "PAR204"} == codes


@pytest.mark.parametrize(
    ("image", "severity", "certainty"),
    [
        ("vllm/vllm-openai:v0.7.3", Severity.ERROR, Certainty.PROVEN),
        ("vllm/vllm-openai:v0.19.1", Severity.WARNING, Certainty.HEURISTIC),
    ],
)
def test_speculation_with_stages_by_release(lint: Lint, image: str, severity: Severity, certainty: Certainty) -> None:
    speculate = '\'--speculative-config={"method": "ngram", "num_speculative_tokens": 2}\''
    report = lint("--model=Qwen/Qwen3-8B", "--pipeline-parallel-size=2", speculate, image=image, gpus=2)
    [finding] = found(report, "PAR211")
    assert (finding.severity, finding.certainty) == (severity, certainty)


@pytest.mark.parametrize(("tag", "said"), [("v0.4.6", 0), ("v0.4.7", 1), ("v0.5.19", 1), ("v0.5.20", 0), ("v0.5.21", 0)])
def test_sglang_refuses_speculation_with_stages_in_some_releases(lint: Lint, tag: str, said: int) -> None:
    arguments = ("--model-path=Qwen/Qwen3-8B", "--tp-size=1", "--pp-size=2", "--speculative-algorithm=EAGLE")
    report = lint(*arguments, image=f"lmsysorg/sglang:{tag}", command=SGLANG["command"], gpus=2)
    assert len(found(report, "PAR211")) == said


def test_a_class_without_stages_is_a_warning_where_the_release_is_not_known(lint: Lint) -> None:
    arguments = ("--model=google/gemma-3n-E4B-it", "--pipeline-parallel-size=2")
    [known] = found(lint(*arguments, gpus=2), "PAR208")
    [unknown] = found(lint(*arguments, image="vllm/vllm-openai:latest", gpus=2), "PAR208")
    assert (known.severity, unknown.severity) == (Severity.ERROR, Severity.WARNING)


@pytest.mark.parametrize(
    ("model", "image", "severity"),
    [
        ("Qwen/Qwen3-Next-80B-A3B-Instruct", "vllm/vllm-openai:v0.10.0", Severity.ERROR),  # linear attention: no other way
        ("Qwen/Qwen3-30B-A3B", "vllm/vllm-openai:v0.8.0", Severity.ERROR),  # experts: not through Transformers then
        ("HuggingFaceTB/SmolLM3-3B", "vllm/vllm-openai:v0.9.0", Severity.WARNING),  # a dense model may run through Transformers
        ("Qwen/Qwen3-30B-A3B", "vllm/vllm-openai:v0.19.1", None),
        ("Qwen/Qwen3-30B-A3B", "vllm/vllm-openai:latest", None),
        ("Qwen/Qwen3-30B-A3B", "vllm/vllm-openai:v0.99.0", None),
    ],
)
def test_models_newer_than_the_engine(lint: Lint, model: str, image: str, severity: Severity | None) -> None:
    said = found(lint(f"--model={model}", image=image), "HWQ512")
    assert [finding.severity for finding in said] == ([severity] if severity is not None else [])


@pytest.mark.parametrize(
    ("selector", "image", "said"),
    [
        ("cloud.google.com/gke-accelerator: nvidia-tesla-t4", "vllm/vllm-openai:v0.10.0", True),
        ("cloud.google.com/gke-accelerator: nvidia-tesla-t4", "vllm/vllm-openai:v0.14.1", False),
        ("cloud.google.com/gke-accelerator: nvidia-tesla-t4", "vllm/vllm-openai:latest", False),  # newer releases take it
        ("nvidia.com/gpu.product: NVIDIA-A100-SXM4-80GB", "vllm/vllm-openai:v0.10.0", False),
        ("nvidia.com/gpu.product: NVIDIA-A100-SXM4-80GB", "vllm/vllm-openai:v0.4.3", True),
    ],
)
def test_the_least_gpu_of_a_method_by_release(lint: Lint, selector: str, image: str, said: bool) -> None:
    report = lint("--model=Qwen/Qwen2.5-7B-Instruct", "--quantization=fp8", "--dtype=half", selector=selector, image=image)
    assert bool(found(report, "HWQ502")) is said


def test_a_checkpoint_whose_tool_is_not_known_is_not_refused(lint: Lint) -> None:
    """ModelOpt's method needs 8.9 in 0.15, others that read FP8 do not; GLM-4.7-FP8 was served on eight A100."""
    arguments = ("--model=zai-org/GLM-4.7-FP8", "--pipeline-parallel-size=8")
    report = lint(*arguments, gpus=8, selector="nvidia.com/gpu.product: NVIDIA-A100-SXM4-80GB", image="vllm/vllm-openai:v0.15.0")
    assert not found(report, "HWQ502")


@pytest.mark.parametrize(("decode", "said"), [(1, False), (2, False), (4, True)])
def test_context_ranks_are_the_copies_of_a_kv_head(lint: Lint, decode: int, said: bool) -> None:
    """Llama-3.2-1B has 32 heads and 8 KV heads: on 16 ranks each of these is there twice."""
    arguments = ("--model=meta-llama/Llama-3.2-1B", "--tensor-parallel-size=16", f"--decode-context-parallel-size={decode}")
    assert bool(found(lint(*arguments, gpus=16), "PAR215")) is said


@pytest.mark.parametrize(("rank", "said"), [(0, 0), (3, 0), (4, 1)])
def test_ranks_count_from_zero(lint: Lint, rank: int, said: int) -> None:
    arguments = ("--model=Qwen/Qwen3-30B-A3B", "--data-parallel-size=4", f"--data-parallel-rank={rank}")
    assert len(found(lint(*arguments), "PAR214")) == said
