"""MEM407, MEM408, MEM413, MEM416 and DOC106: shares, reserves and configurations at their edges."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, strategies as st

from servelint.catalogue.architecture import Architecture
from servelint.finding import Certainty, Severity
from servelint.run import lint_texts, model_lookup
from servelint.source.text import SourceText
from servelint_rules.model_configuration import _contradictions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from servelint.finding import Finding
    from servelint.run import Report, Session

EIGHT = "--model=meta-llama/Llama-3.1-8B-Instruct"
SGLANG = '["python3", "-m", "sglang.launch_server"]'


def of(report: Report, code: str) -> list[Finding]:
    return [finding for finding in report.findings if finding.code == code]


# -- shares


@pytest.mark.parametrize(("share", "found"), [("0.85", False), ("0.999", True)])
def test_sglang_keeps_activations_outside_of_its_share(lint: Callable[..., Report], share: str, found: bool) -> None:
    args = ("--model-path=meta-llama/Llama-3.1-8B-Instruct", "--context-length=16384", f"--mem-fraction-static={share}")
    report = lint(*args, image="lmsysorg/sglang:v0.5.10", command=SGLANG)
    assert bool(of(report, "MEM407")) is found


def test_a_share_nobody_stated_is_not_judged(lint: Callable[..., Report]) -> None:
    args = ("--model-path=meta-llama/Llama-3.1-8B-Instruct", "--context-length=16384")
    report = lint(*args, image="lmsysorg/sglang:v0.5.10", command=SGLANG, selector="pool: gpu")
    assert not of(report, "MEM407")
    assert not any("MEM407" in item.codes for item in report.not_checked)


def pair(first: str, second: str) -> tuple[str, ...]:
    served = "Qwen/Qwen2.5-7B-Instruct"
    return (
        "-c",
        " & ".join(
            f"vllm serve {served} --port {port} --gpu-memory-utilization {share}"
            for port, share in ((8000, first), (8001, second))
        ),
    )


@pytest.mark.parametrize(
    ("first", "second", "gpus", "found"),
    [("0.5", "0.5", 1, False), ("0.6", "0.5", 1, True), ("0.9", "0.9", 2, False), ("0.9", "0.9", 1, True)],
)
def test_engines_that_must_share_a_gpu(lint: Callable[..., Report], first: str, second: str, gpus: int, found: bool) -> None:
    report = lint(*pair(first, second), command='["/bin/bash"]', gpus=gpus)
    assert bool(of(report, "MEM408")) is found


@pytest.mark.parametrize(
    ("size", "severity"),
    [("40G", None), ("63G", Severity.WARNING), ("70G", Severity.ERROR)],
)
def test_a_stated_cache_must_fit_beside_the_weights(lint: Callable[..., Report], size: str, severity: Severity | None) -> None:
    found = of(lint(EIGHT, "--max-model-len=16384", f"--kv-cache-memory-bytes={size}"), "MEM413")
    assert [finding.severity for finding in found] == ([] if severity is None else [severity])
    assert all(finding.certainty is Certainty.PROVEN for finding in found if finding.severity is Severity.ERROR)


@pytest.mark.parametrize(
    ("args", "found"),
    [
        (("--enable-lora", "--max-loras=64", "--max-lora-rank=256"), True),
        (("--max-loras=64", "--max-lora-rank=256"), False),  # no adapters without the switch
        (("--no-enable-lora", "--max-loras=64", "--max-lora-rank=256"), False),
        (("--enable-lora",), False),  # one adapter of rank 16
        (("--enable-lora", "--max-loras=64", "--max-lora-rank=$RANK"), False),
    ],
)
def test_slots_for_adapters_take_their_highest_rank(lint: Callable[..., Report], args: tuple[str, ...], found: bool) -> None:
    assert bool(of(lint(EIGHT, "--max-model-len=16384", *args), "MEM416")) is found


# -- configurations


def config(**fields: Any) -> Architecture:
    plain = {"num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32, "num_key_value_heads": 8,
             "intermediate_size": 14336, "vocab_size": 128256}  # fmt: skip
    merged = {name: value for name, value in {**plain, **fields}.items() if value is not None}
    return Architecture("some/model", merged, {}, None, "test")


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({}, None),
        ({"num_key_value_heads": None}, None),  # multi-head
        ({"num_key_value_heads": 5}, ("num_attention_heads", "num_key_value_heads")),
        ({"num_key_value_heads": 64}, ("num_attention_heads", "num_key_value_heads")),
        ({"num_attention_heads": 48}, ("num_attention_heads", "hidden_size")),
        ({"num_attention_heads": 48, "head_dim": 128}, None),
        ({"num_hidden_layers": 0}, ("num_hidden_layers",)),
        ({"hidden_size": 1 << 41}, ("hidden_size",)),
        ({"num_experts": 64, "intermediate_size": None}, ("num_experts", "moe_intermediate_size")),
        ({"num_experts": 64, "num_experts_per_tok": 8}, None),
        ({"num_experts": 64, "num_experts_per_tok": 128}, ("num_experts", "num_experts_per_tok")),
        ({"kv_lora_rank": 512}, ("kv_lora_rank", "qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim")),
        ({"kv_lora_rank": 512, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128, "v_head_dim": 128}, None),
    ],
)
def test_fields_that_exclude_each_other(fields: dict[str, Any], named: tuple[str, ...] | None) -> None:
    assert [found for found, _ in _contradictions(config(**fields))] == ([] if named is None else [named])


@given(st.integers(1, 16), st.integers(1, 16), st.sampled_from([64, 128]))
def test_grouped_heads_never_contradict(groups: int, kv_heads: int, head_dim: int) -> None:
    heads = groups * kv_heads
    model = config(num_attention_heads=heads, num_key_value_heads=kv_heads, hidden_size=heads * head_dim)
    assert not list(_contradictions(model))


LLAMA = {"model_type": "llama", "num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32,
         "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128256}  # fmt: skip


def given_config(session: Session, folder: Path, fields: dict[str, Any], text: str, size: int | None = None) -> list[Finding]:
    (folder / "config.json").write_text(json.dumps(fields), encoding="utf-8")
    if size is not None:
        index = {"metadata": {"total_size": size}, "weight_map": {}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    config = session.config._replace(model_configs={"some-house/model": str(folder)})
    report = lint_texts([SourceText("llm.yaml", text)], session._replace(config=config, lookup=model_lookup(config)))
    return of(report, "DOC106")


def test_a_given_configuration_is_looked_at(session: Session, manifest: Callable[..., str], tmp_path: Path) -> None:
    text = manifest("--model=some-house/model", "--max-model-len=4096")
    fields = {**LLAMA, "model_type": "house", "num_key_value_heads": 32, "kv_lora_rank": 512}
    (finding,) = given_config(session, tmp_path, fields, text)
    assert "kv_lora_rank = 512, but no qk_rope_head_dim" in finding.label


@pytest.mark.parametrize(("size", "found"), [(16_060_000_000, False), (5_000_000_000, True), (141_000_000_000, True)])
def test_the_checkpoint_beside_it_has_its_size(
    session: Session, manifest: Callable[..., str], tmp_path: Path, size: int, found: bool
) -> None:
    text = manifest("--model=some-house/model", "--max-model-len=4096")
    findings = given_config(session, tmp_path, LLAMA, text, size)
    assert [finding.severity for finding in findings] == [Severity.WARNING] * found


def test_the_catalogue_is_nobodys_fault(lint: Callable[..., Report]) -> None:
    assert not of(lint(EIGHT, "--max-model-len=4096"), "DOC106")


@pytest.mark.parametrize(("release", "found"), [("0.19.1", True), ("0.22.1", False), ("0.27.1", True), ("0.29.0", False)])
def test_graphs_that_nothing_is_set_aside_for_need_room(lint: Callable[..., Report], release: str, found: bool) -> None:
    """Model runner 2, which dense models get from 0.25.1 on, sets nothing aside for CUDA graphs before 0.29."""
    args = ("--model=meta-llama/Llama-3.1-70B-Instruct", "--tensor-parallel-size=4", "--max-model-len=16384")
    report = lint(*args, "--gpu-memory-utilization=0.98", image=f"vllm/vllm-openai:v{release}", gpus=4)
    assert any("CUDA graphs" in str(finding.arithmetic) for finding in of(report, "MEM403")) is found
