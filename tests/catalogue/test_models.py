from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st

from servelint.catalogue import data_files, models

if TYPE_CHECKING:
    from servelint.catalogue.architecture import Architecture


def found(model: str) -> Architecture:
    architecture = models.find(model)
    assert architecture is not None
    return architecture


@pytest.mark.parametrize("text", ["Qwen/Qwen3-8B", "qwen/qwen3-8b", "QWEN/QWEN3-8B", " Qwen/Qwen3-8B\n"])
def test_any_case(text: str) -> None:
    one = found(text)
    assert one.id == "Qwen/Qwen3-8B"
    assert (one.layers, one.hidden_size, one.attention_heads, one.kv_heads, one.head_dim) == (36, 4096, 32, 8, 128)
    assert one.parameters == 8190735360
    assert one.origin.startswith("catalogue: config.json of Qwen/Qwen3-8B, ai-dynamo/aiconfigurator@")
    assert not one.quantization_unknown


@pytest.mark.parametrize(
    ("alias", "model"),
    [
        ("gpt2", "openai-community/gpt2"),
        ("meta-llama/Meta-Llama-3.1-8B-Instruct", "meta-llama/Llama-3.1-8B-Instruct"),
        ("THUDM/GLM-4.5", "zai-org/GLM-4.5"),
        ("neuralmagic/Meta-Llama-3.1-8B-Instruct-FP8", "RedHatAI/Meta-Llama-3.1-8B-Instruct-FP8"),
    ],
)
def test_aliases(alias: str, model: str) -> None:
    assert found(alias) == found(model)
    assert found(alias.lower()).id == model


@pytest.mark.parametrize("text", ["", "no/such-model", "Qwen", "Qwen/Qwen3-8", "qwen3-8b", "a\tb", "a\nb", "=gpt2", "\0"])
def test_unknown(text: str) -> None:
    assert models.find(text) is None
    assert models.entry(text) is None


@given(st.text(max_size=30))
def test_any_text_is_answered(text: str) -> None:
    models.find(text)


def test_every_entry_loads_with_its_sources() -> None:
    names = models.names()
    assert names == sorted(names, key=str.lower)
    assert {"Qwen/Qwen3-8B", "THUDM/GLM-4.5", "gpt2"} <= set(names)
    assert len(names) == len(set(names)) == 1071
    for name in names:
        entry = models.entry(name)
        assert entry is not None
        assert entry.check
        assert entry.sources["config"]
        one = entry.architecture
        if entry.completeness == "withheld":
            assert entry.withheld["architecture"]
            assert one is None or not one.config
            continue
        assert one is not None or entry.completeness == "size-only"
        if one is None:
            continue
        assert one.id == entry.id
        assert one.origin.startswith("catalogue: ")
        if one.parameters is not None:
            assert one.parameters > 0
            assert entry.sources["parameters"]
        if entry.completeness == "full":
            assert one.config
        if entry.completeness != "full":
            assert not one.class_defaults
        assert not any(mark in json.dumps([one.config, one.vision]) for mark in ('"$names"', '"$layers"', '"$cycle"'))
        for value in (one.field("num_hidden_layers"), one.field("hidden_size"), one.field("vocab_size")):
            assert value is None or value > 0
        kinds = one.config.get("layer_types")
        if kinds is not None:
            assert len(kinds) >= one.layers


def test_one_record_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[int] = []
    real = json.loads

    def counting(data: bytes) -> object:
        parsed.append(len(data))
        return real(data)

    monkeypatch.setattr(json, "loads", counting)
    models.find("Qwen/Qwen3-8B")
    models.find("gpt2")
    models.find("no/such-model")
    assert len(parsed) == 2
    assert max(parsed) < 5_000
    assert len(data_files.contents("models.records")) < 2_000_000


def test_text_model_of_a_multimodal_one() -> None:
    one = found("Qwen/Qwen3-VL-4B-Instruct")
    assert (one.config["model_type"], one.config["text_model_type"]) == ("qwen3_vl", "qwen3_vl_text")
    assert one.layers == 36
    assert one.vision is not None
    assert one.vision["depth"] == 24


def test_class_defaults_of_a_whole_config() -> None:
    one = found("google/gemma-3-4b-it")
    assert "num_attention_heads" not in one.config
    assert (one.attention_heads, one.kv_heads, one.head_dim) == (8, 4, 256)
    assert one.field("tie_word_embeddings") is True


def test_old_field_names_are_read() -> None:
    assert found("tiiuae/falcon-40b").kv_heads == 8
    assert found("openai-community/gpt2").layers == 12
    assert found("THUDM/chatglm3-6b").kv_heads == 2
    assert found("nvidia/NVIDIA-Nemotron-3-Ultra-550B-A55B-BF16").layers == 108


def test_mla_has_no_default_head_dim() -> None:
    for model in ("deepseek-ai/DeepSeek-V3", "moonshotai/Kimi-K2-Instruct"):
        one = found(model)
        assert one.is_mla
        assert "head_dim" not in one.class_defaults


def test_packed_lists_come_back_whole() -> None:
    one = found("zai-org/GLM-5-FP8")
    assert one.quantization is not None
    assert len(one.quantization["modules_to_not_convert"]) == 712
    assert "lm_head" in one.quantization["modules_to_not_convert"]
    layers = found("nvidia/MiniMax-M3-NVFP4").quantization
    assert layers is not None
    assert len(layers["quantized_layers"]) == 22422
    assert found("google/gemma-3-27b-it").config["layer_types"].count("full_attention") == 10


def test_quantization_kept_beside_the_configuration() -> None:
    one = found("nvidia/Qwen3-235B-A22B-NVFP4")
    assert one.quantization is not None
    assert (one.quantization["quant_method"], one.quantization["quant_algo"]) == ("modelopt", "NVFP4")


@pytest.mark.parametrize(
    ("model", "inferred", "unknown", "stated"),
    [
        ("Qwen/Qwen3-8B", False, False, False),  # the whole file has none
        ("Qwen/Qwen3-235B-A22B-FP8", False, False, True),  # read
        ("Qwen/Qwen3-8B-AWQ", True, False, True),  # as a sibling's
        ("inclusionAI/Ling-mini-2.0", False, True, False),  # a family released in both, not in what was read
        ("moonshotai/Kimi-K2.6", False, False, True),  # natively int4, added from another source
        ("MiniMaxAI/MiniMax-M2", False, False, True),  # natively fp8, added from its config.json
        ("google/gemma-4-31B-it", False, False, False),  # the weight files hold two bytes for each parameter
        ("01-ai/Yi-1.5-34B", False, False, False),  # the stored elements are exactly the parameters
    ],
)
def test_quantization_is_read_inferred_or_unknown(model: str, inferred: bool, unknown: bool, stated: bool) -> None:
    one = found(model)
    assert (one.quantization_inferred, one.quantization_unknown, one.quantization is not None) == (inferred, unknown, stated)


def test_inferred_bits_that_the_name_contradicts_are_withheld() -> None:
    entry = models.entry("cyankiwi/gemma-4-31B-it-AWQ-8bit")
    assert entry is not None
    assert entry.architecture is not None
    assert entry.architecture.quantization == {"quant_method": "awq"}
    assert "quantization_config.bits" in entry.withheld


def test_size_only() -> None:
    one = found("internlm/Intern-S1")
    assert one.config == {}
    assert (one.parameters, one.parameters_rounded) == (240709856128, False)
    rounded = found("Qwen/Qwen3.8-2.4T-A95B")
    assert (rounded.parameters, rounded.parameters_rounded) == (2.4e12, True)
    entry = models.entry("Qwen/Qwen3.8-2.4T-A95B")
    assert entry is not None
    assert (entry.active_parameters, entry.context_length) == (95e9, 262144)


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        ("openai/gpt-oss-20b", 20914757184),  # the hub counts packed words
        ("deepseek-ai/DeepSeek-V3", 671026404352),  # the hub's total holds the MTP layer
        ("Qwen/Qwen3-0.6B", 596049920),  # the hub's total holds a copy of the tied head
        ("google/gemma-4-26B-A4B-it", 25805933872),  # settled by the weight files
        ("google/gemma-4-E4B-it", 7996156490),  # settled: audio tower
        ("microsoft/phi-4", 14659507200),  # only "14B" is published, the files agree
        ("Qwen/Qwen3-Embedding-8B", 7567295488),  # no LM head
        ("EleutherAI/pythia-1.4b", None),  # totals with mask buffers
        ("baidu/ERNIE-4.5-21B-A3B-PT", None),  # 2.76e9 is no 21B
        ("mistralai/Ministral-3-3B-Instruct-2512", None),  # the count lacks the vision tower
        ("mistralai/Mistral-Large-Instruct-2407", 122610069504),  # tied or not: as the count is the total
    ],
)
def test_which_figure_is_the_size(model: str, parameters: float | None) -> None:
    assert found(model).parameters == parameters


@pytest.mark.parametrize(
    ("model", "reason", "parameters"),
    [
        ("deepseek-ai/DeepSeek-V4-Flash-Base", "2.6% off", None),
        ("deepseek-ai/DeepSeek-V4-Pro-Base", "1.7% off", None),
        ("zai-org/AutoGLM-Phone-9B", "9.5% off", None),
        ("cyankiwi/MiniMax-M2.5-REAP-139B-A10B-AWQ-4bit", "139B", None),
    ],
)
def test_withheld_entries_say_why(model: str, reason: str, parameters: float | None) -> None:
    entry = models.entry(model)
    assert entry is not None
    assert entry.completeness == "withheld"
    assert reason in entry.withheld["architecture"]
    one = models.find(model)
    assert (one.parameters if one else None) == parameters
    assert one is None or (one.config == {} and one.quantization_unknown)


def test_disputed_field_is_withheld() -> None:
    entry = models.entry("ibm-granite/granite-4.1-8b")
    assert entry is not None
    assert entry.architecture is not None
    assert entry.architecture.field("tie_word_embeddings") is None
    assert entry.withheld["tie_word_embeddings"]
    assert entry.architecture.field("max_position_embeddings") is None  # the class default is none of a partial entry


def test_two_copies_of_the_weights_are_no_size() -> None:
    entry = models.entry("openai/gpt-oss-120b")
    assert entry is not None
    assert entry.architecture is not None
    assert entry.architecture.checkpoint_bytes is None
    assert entry.withheld["checkpoint_bytes"]


def test_ids_that_differ_in_case_only_are_one() -> None:
    assert found("nvidia/gemma-4-31b-it-nvfp4").id == "nvidia/Gemma-4-31B-IT-NVFP4"


def test_suggestions() -> None:
    assert models.suggest("Qwen/Qwen3-8")[0] == "Qwen/Qwen3-8B"
    assert "meta-llama/Llama-3.1-8B-Instruct" in models.suggest("unsloth/Llama-3.1-8B-Instruct")
    assert models.suggest("zzzzzz") == []
