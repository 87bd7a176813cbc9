"""Ids outside the catalogue that plainly name a model which it holds, and those that do not."""

from __future__ import annotations

from typing import Any

import pytest

from servelint.catalogue import models, named


@pytest.mark.parametrize(
    ("model_id", "base", "quantization"),
    [
        ("RedHatAI/Qwen2.5-7B-Instruct-FP8-dynamic", "Qwen/Qwen2.5-7B-Instruct", {"num_bits": 8, "type": "float"}),
        ("neuralmagic/Qwen3-4B-quantized.w8a8", "Qwen/Qwen3-4B", {"num_bits": 8, "type": "int"}),
        ("RedHatAI/phi-4-quantized.w4a16", "microsoft/phi-4", {"num_bits": 4, "type": "int", "group_size": 128}),
        ("someone/Qwen3-14B-AWQ-4bit", "Qwen/Qwen3-14B", {"quant_method": "awq", "bits": 4}),
        ("someone/Qwen3-14B-AWQ-8bit", "Qwen/Qwen3-14B", {"quant_method": "awq", "bits": 8}),
        ("someone/Qwen3-14B-GPTQ-Int8", "Qwen/Qwen3-14B", {"quant_method": "gptq", "bits": 8}),
        ("someone/Qwen3-1.7B-NVFP4", "Qwen/Qwen3-1.7B", {"quant_algo": "NVFP4"}),
        ("someone/Qwen3-14B-MXFP4", "Qwen/Qwen3-14B", {"quant_algo": "MXFP4"}),
        ("unsloth/Qwen3-14B-unsloth-bnb-4bit", "Qwen/Qwen3-14B", {"quant_method": "bitsandbytes"}),
        ("someone/Qwen3-14B-int4-AutoRound", "Qwen/Qwen3-14B", {"quant_method": "auto-round"}),
        ("someone/Qwen3-14B_FP8_block", "Qwen/Qwen3-14B", {"strategy": "block"}),
        ("someone/Qwen3-14B-AutoFP8", "Qwen/Qwen3-14B", {"quant_method": "fp8"}),
        (
            "RedHatAI/NVIDIA-Nemotron-3-Ultra-550B-A55B-FP8-block",
            "nvidia/NVIDIA-Nemotron-3-Ultra-550B-A55B-BF16",
            {"strategy": "block"},
        ),
        ("someone/Qwen3.6-27B-NVFP4", "Qwen/Qwen3.6-27B", {"quant_algo": "NVFP4"}),  # not as nvidia's: recipes differ
    ],
)
def test_a_base_and_a_quantization(model_id: str, base: str, quantization: dict[str, Any]) -> None:
    found, source = models.find(model_id), models.find(base)
    assert found is not None
    assert source is not None
    assert models.entry(model_id) is None, "it is not in the catalogue"
    assert found.id == model_id
    assert found.by_name
    assert found.quantization_inferred
    assert found.checkpoint_bytes is None, "the size is that of the base's files"
    assert found.origin.startswith(f"derived from the name: {base} in ")
    said = {**(found.quantization or {}), **(found.quantization or {}).get("weights", {})}
    assert quantization.items() <= said.items()
    assert found.config["hidden_size"] == source.config["hidden_size"]


@pytest.mark.parametrize(
    ("model_id", "same"),
    [
        ("mirror/Llama-3.2-3B-Instruct", "meta-llama/Llama-3.2-3B-Instruct"),
        ("mirror/qwen3-coder-480b-a35b-instruct-fp8", "Qwen/Qwen3-Coder-480B-A35B-Instruct-FP8"),
        ("mirror/Meta-Llama-3.1-70B-Instruct-hf", "meta-llama/Llama-3.1-70B-Instruct"),
        ("google/gemma-3-4b-pt-hf", "google/gemma-3-4b-it"),
        ("meta/llama3-8b-instruct", "meta-llama/Meta-Llama-3-8B-Instruct"),  # as NIM names them
        ("mistralai/mistral-7b-instruct-v03", "mistralai/Mistral-7B-Instruct-v0.3"),
        ("meta-llama/Llama-3.2-11B-Vision", "meta-llama/Llama-3.2-11B-Vision-Instruct"),
        ("mirror/Llama-3.1-8B-Instruct-bf16", "meta-llama/Llama-3.1-8B-Instruct"),
        ("mirror/DeepSeek-V2.5-1211", "deepseek-ai/DeepSeek-V2.5"),  # a later release
        ("mirror/DeepSeek-V3.1-Speciale", "deepseek-ai/DeepSeek-V3.1"),
        ("mistralai/Ministral-3-14B-Base-2512", "mistralai/Ministral-3-14B-Instruct-2512"),  # tuned otherwise, of one release
    ],
)
def test_a_mirror_or_a_sibling(model_id: str, same: str) -> None:
    found, source = models.find(model_id), models.find(same)
    assert found is not None
    assert source is not None
    assert found.by_name
    assert found.quantization == source.quantization
    assert found.parameters == source.parameters


@pytest.mark.parametrize(
    "model_id",
    [
        "someone/Qwen3-14B-GGUF", "someone/Qwen3-14B-pruned", "someone/Qwen3-14B-AWQ-FP8", "someone/merge-of-Qwen3-14B", "a/b",
        "someone/FP8", "someone/-AWQ", "someone/Qwen3-14B-abliterated-v2", "qwen3-14b", "/models/Qwen3-14B", "someone/Qwen3-15B-AWQ",
        "someone/Qwen3-14B-12345", "mistralai/Magistral-Small-2508",
    ],
)  # fmt: skip
def test_names_that_say_more_or_nothing(model_id: str) -> None:
    assert models.find(model_id) is None


def test_unlike_models_of_one_name_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = models.exact("Qwen/Qwen3-8B"), models.exact("Qwen/Qwen3-14B")
    monkeypatch.setattr(named, "_ids", lambda tail: [["x/a", "y/a"] if tail == "same-name" else []])
    assert named.derive("z/same-name", {"x/a": one, "y/a": other}.get) is None
    assert named.derive("z/same-name", {"x/a": one, "y/a": one}.get) is not None


@pytest.mark.parametrize(("model_id", "said"), [("a/Qwen3-8B", ""), ("a/Qwen3-8B-AWQ", "awq"), ("a/X-AWQ-FP8", None)])
def test_what_an_ending_says(model_id: str, said: str | None) -> None:
    assert named.ending(model_id) == said
