"""LIM rules at their edges: which releases check what, and what a default is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from servelint.capacity.model_length import sglang_length
from servelint.catalogue.architecture import Architecture
from servelint.finding import Certainty, Severity

if TYPE_CHECKING:
    from collections.abc import Callable

    from servelint.finding import Finding
    from servelint.run import Report

EIGHT = "--model=meta-llama/Llama-3.1-8B-Instruct"


def of(report: Report, code: str) -> list[Finding]:
    return [finding for finding in report.findings if finding.code == code]


# -- batched tokens


@pytest.mark.parametrize(
    ("tag", "switch", "severity"),
    [
        ("v0.33.0", "--no-enable-chunked-prefill", Severity.ERROR),
        ("v0.11.2", "--no-enable-chunked-prefill", Severity.ERROR),
        ("v0.11.1", "--no-enable-chunked-prefill", Severity.WARNING),  # between two releases that differ
        ("v0.11.0", "--no-enable-chunked-prefill", None),  # V1 overwrote the switch
        ("v0.8.5", "--no-enable-chunked-prefill", None),
        ("v0.7.3", "--no-enable-chunked-prefill", Severity.ERROR),
        ("latest", "--no-enable-chunked-prefill", Severity.WARNING),
        ("v0.33.0", "--enable-chunked-prefill", None),
        ("v0.7.3", "--enable-chunked-prefill", None),
    ],
)
def test_who_cuts_no_prompts_needs_whole_steps(
    lint: Callable[..., Report], tag: str, switch: str, severity: Severity | None
) -> None:
    args = (EIGHT, "--max-model-len=16384", "--max-num-batched-tokens=4096", switch)
    found = of(lint(*args, image=f"vllm/vllm-openai:{tag}"), "LIM303")
    assert [finding.severity for finding in found] == ([] if severity is None else [severity])


def test_v1_honours_the_switch_where_v0_is_asked_for(lint: Callable[..., Report]) -> None:
    args = (EIGHT, "--max-model-len=16384", "--max-num-batched-tokens=4096", "--no-enable-chunked-prefill")
    assert of(lint(*args, image="vllm/vllm-openai:v0.9.2", environment=('VLLM_USE_V1="0"',)), "LIM303")


@pytest.mark.parametrize(("length", "found"), [(4096, False), (4097, True), (32768, True), (32769, False)])
def test_v0_cuts_prompts_of_more_than_32768_tokens(lint: Callable[..., Report], length: int, found: bool) -> None:
    args = (EIGHT, f"--max-model-len={length}", "--max-num-batched-tokens=4096")
    assert bool(of(lint(*args, image="vllm/vllm-openai:v0.6.3"), "LIM303")) is found


def test_a_length_from_the_catalogue_is_no_proof(lint: Callable[..., Report]) -> None:
    args = (EIGHT, "--max-num-batched-tokens=4096", "--no-enable-chunked-prefill")
    (finding,) = of(lint(*args, image="vllm/vllm-openai:v0.33.0"), "LIM303")
    assert (finding.severity, finding.certainty) == (Severity.WARNING, Certainty.HEURISTIC)


def test_arguments_from_elsewhere_may_switch_chunks_on(lint: Callable[..., Report]) -> None:
    report = lint(
        "vllm serve meta-llama/Llama-3.1-8B-Instruct --max-model-len 16384 --max-num-batched-tokens 4096 $EXTRA_ARGS",
        command='["/bin/sh", "-c"]',
        image="vllm/vllm-openai:v0.7.3",
    )
    assert not of(report, "LIM303")


@pytest.mark.parametrize(("sequences", "found"), [(512, False), (513, True)])
def test_a_step_holds_a_token_of_each_sequence(lint: Callable[..., Report], sequences: int, found: bool) -> None:
    report = lint(EIGHT, "--max-model-len=8192", "--max-num-batched-tokens=512", f"--max-num-seqs={sequences}")
    assert bool(of(report, "LIM304")) is found


def test_a_default_that_depends_on_the_gpu_is_a_warning(lint: Callable[..., Report]) -> None:
    args = (EIGHT, "--max-model-len=8192", "--max-num-seqs=4096")
    (finding,) = of(lint(*args, selector="pool: gpu"), "LIM304")
    assert finding.severity is Severity.WARNING
    assert not of(lint(*args), "LIM304"), "8192 tokens on an H100"
    (finding,) = of(lint(*args, selector="nvidia.com/gpu.product: NVIDIA-L4"), "LIM304")
    assert finding.severity is Severity.ERROR


# -- long prompts


@pytest.mark.parametrize(
    ("tag", "partial", "severity"),
    [
        ("v0.33.0", (), Severity.ERROR),
        ("v0.26.0", (), None),
        ("v0.26.0", ("--max-num-partial-prefills=2",), Severity.ERROR),
        ("v0.26.0", ("--max-num-partial-prefills=1",), None),
        ("v0.27.0", (), Severity.WARNING),  # between a release that looks and one that does not
        ("latest", (), Severity.WARNING),
    ],
)
def test_a_threshold_above_every_prompt(
    lint: Callable[..., Report], tag: str, partial: tuple[str, ...], severity: Severity | None
) -> None:
    args = (EIGHT, "--max-model-len=8192", "--long-prefill-token-threshold=8193", *partial)
    found = of(lint(*args, image=f"vllm/vllm-openai:{tag}"), "LIM306")
    assert [finding.severity for finding in found] == ([] if severity is None else [severity])


def test_a_threshold_at_the_length_is_fine(lint: Callable[..., Report]) -> None:
    args = (EIGHT, "--max-model-len=8k", "--long-prefill-token-threshold=8000")
    assert not of(lint(*args, image="vllm/vllm-openai:v0.33.0"), "LIM306")


# -- the guard


@pytest.mark.parametrize(
    ("length", "value", "severity"),
    [
        (65536, "1", Severity.WARNING),
        (65536, "true", Severity.WARNING),
        (32768, "1", Severity.INFO),
        (65536, "0", None),
        (65536, "no", None),  # vLLM takes 1 and true only
    ],
)
def test_the_guard_matters_beyond_the_models_length(
    lint: Callable[..., Report], length: int, value: str, severity: Severity | None
) -> None:
    args = ("--model=Qwen/Qwen2.5-7B-Instruct", f"--max-model-len={length}")
    found = of(lint(*args, environment=(f'VLLM_ALLOW_LONG_MAX_MODEL_LEN="{value}"',)), "LIM302")
    assert [finding.severity for finding in found] == ([] if severity is None else [severity])


# -- blocks


@pytest.mark.parametrize(
    ("tag", "backend", "block", "found"),
    [
        ("v0.33.0", "FLASHMLA", 64, False),
        ("v0.33.0", "FLASHMLA", 128, False),  # a multiple
        ("v0.33.0", "FLASHMLA", 32, True),
        ("v0.33.0", "flashinfer_mla", 32, False),
        ("v0.33.0", "NO_SUCH_BACKEND", 8, False),
        ("v0.13.0", "FLASHMLA", 32, False),  # took 64 by itself
        ("latest", "FLASHMLA", 32, True),
    ],
)
def test_blocks_that_the_backend_reads(lint: Callable[..., Report], tag: str, backend: str, block: int, found: bool) -> None:
    args = ("--model=deepseek-ai/DeepSeek-V2-Lite", f"--attention-backend={backend}", f"--block-size={block}")
    assert bool(of(lint(*args, image=f"vllm/vllm-openai:{tag}"), "LIM311")) is found


# -- the length SGLang derives


@pytest.mark.parametrize(
    ("length", "environment", "severity"),
    [
        (32768, (), None),
        (32769, (), Severity.WARNING),
        (65536, ('SGLANG_ALLOW_OVERWRITE_LONGER_CONTEXT_LEN="1"',), None),
        (65536, ('SGLANG_ALLOW_OVERWRITE_LONGER_CONTEXT_LEN="0"',), Severity.WARNING),
    ],
)
def test_sglang_has_a_guard_of_its_own(
    lint: Callable[..., Report], length: int, environment: tuple[str, ...], severity: Severity | None
) -> None:
    args = ("--model-path=Qwen/Qwen2.5-7B-Instruct", f"--context-length={length}")
    command = '["python3", "-m", "sglang.launch_server"]'
    found = of(lint(*args, image="lmsysorg/sglang:v0.5.10", command=command, environment=environment), "LIM301")
    assert [finding.severity for finding in found] == ([] if severity is None else [severity])


@pytest.mark.parametrize(
    ("rope", "tokens"),
    [
        (None, 32768),
        ({"rope_type": "linear", "factor": 2.0}, 65536),
        ({"rope_type": "llama3", "factor": 8.0}, 32768),
        ({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}, 32768),
    ],
)
def test_the_length_sglang_derives(rope: dict[str, Any] | None, tokens: int) -> None:
    model = Architecture("some/model", {"max_position_embeddings": 32768, "rope_scaling": rope}, {}, None, "test")
    length = sglang_length(model)
    assert length is not None
    assert length.tokens == tokens


def test_without_a_length_sglang_derives_none() -> None:
    assert sglang_length(Architecture("some/model", {"hidden_size": 4096}, {}, None, "test")) is None
