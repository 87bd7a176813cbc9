"""SEC rules at their edges."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from servelint.finding import Severity

if TYPE_CHECKING:
    from collections.abc import Callable

    from servelint.run import Report

MODEL = "--model=Qwen/Qwen3-8B"
CODE = "--model=deepseek-ai/DeepSeek-V2-Lite"
TRUST = "--trust-remote-code"


def count(report: Report, code: str) -> int:
    return sum(finding.code == code for finding in report.findings)


@pytest.mark.parametrize(
    ("args", "found"),
    [
        ((CODE, TRUST), True),
        ((CODE, "--trust_remote_code"), True),
        ((CODE, TRUST, "--revision=b968826"), False),
        ((CODE, TRUST, "--code-revision=b968826"), False),
        (("--model=/models/qwen", TRUST), False),
        (("--model=s3://bucket/qwen", TRUST), False),
        ((CODE, "--no-trust-remote-code"), False),
        ((CODE, TRUST, "--config=/etc/vllm.yaml"), False),  # the file may name a revision
        ((MODEL,), False),
    ],
)
def test_remote_code_is_a_matter_of_hub_and_revision(lint: Callable[..., Report], args: tuple[str, ...], found: bool) -> None:
    report = lint(*args)
    assert count(report, "SEC101") == found


@pytest.mark.parametrize(
    ("model", "code"),
    [
        ("Qwen/Qwen3-8B", "SEC107"),
        ("meta-llama/Llama-3.1-8B-Instruct", "SEC107"),
        ("deepseek-ai/DeepSeek-V2-Lite", "SEC101"),
        ("moonshotai/Kimi-K2-Instruct", "SEC101"),
        ("Alibaba-NLP/gte-Qwen2-7B-instruct", "SEC101"),  # of a type without code, with code
        ("example/in-house-7b", "SEC101"),  # not known
    ],
)
def test_where_the_model_brings_no_code_it_is_advice(lint: Callable[..., Report], model: str, code: str) -> None:
    report = lint(f"--model={model}", TRUST)
    assert [f.code for f in report.findings if f.code in ("SEC101", "SEC107")] == [code]


def test_one_of_the_two_revision_rules_suffices(lint: Callable[..., Report]) -> None:
    report = lint(CODE, TRUST)
    assert [f.severity for f in report.findings if f.code == "SEC101"] == [Severity.WARNING]
    assert count(report, "SEC102") == 0


@pytest.mark.parametrize(
    ("argument", "found"),
    [
        ("--api-key=9f3c1e07ab55d2", True),
        ("--api-key=$(KEY)", False),
        ("--api-key=EMPTY", False),
        ("--api-key=xxxx", False),
        ("--api-key=sk-xxxx", False),
        ("--api-key=YOUR_API_KEY", False),
        ("--api-key=sk-9f3c1e07", True),
        ("'--api-key=<your key>'", False),
        ("--hf-token=hf_" + "a1" * 17, True),
        ("--served-model-name=hf_" + "a1" * 17, True),  # a token wherever it stands
        ("--served-model-name=hf_model", False),
    ],
)
def test_a_secret_is_what_is_written_out(lint: Callable[..., Report], argument: str, found: bool) -> None:
    assert count(lint(MODEL, argument), "SEC105") == found


@pytest.mark.parametrize(("value", "found"), [('"1"', True), ('"true"', True), ('"0"', False), ('""', False)])
def test_a_switch_must_be_on(lint: Callable[..., Report], value: str, found: bool) -> None:
    assert count(lint(MODEL, environment=(f"VLLM_SERVER_DEV_MODE={value}",)), "SEC104") == found
