from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from servelint.catalogue import config_json

DENSE = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "num_hidden_layers": 32,
    "hidden_size": 4096,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
}


def test_flat_configuration_keeps_its_fields_and_drops_what_changes_nothing() -> None:
    config, vision = config_json.flatten(
        {**DENSE, "bos_token_id": 1, "attention_dropout": 0.0, "use_cache": True, "sliding_window": None}
    )
    assert config == {**DENSE, "sliding_window": None}
    assert vision is None


def test_nested_language_model() -> None:
    raw = {
        "architectures": ["Mistral3ForConditionalGeneration"],
        "model_type": "mistral3",
        "dtype": "bfloat16",
        "tie_word_embeddings": True,
        "quantization_config": {"quant_method": "fp8"},
        "text_config": {"model_type": "mistral", "architectures": ["MistralForCausalLM"], "hidden_size": 5120, "pad_token_id": 3},
        "vision_config": {"model_type": "pixtral", "hidden_size": 1024, "attention_dropout": 0.0},
    }
    config, vision = config_json.flatten(raw)
    assert config["architectures"] == ["Mistral3ForConditionalGeneration"]
    assert (config["model_type"], config["text_model_type"]) == ("mistral3", "mistral")
    assert (config["hidden_size"], config["torch_dtype"], config["tie_word_embeddings"]) == (5120, "bfloat16", True)
    assert config["quantization_config"] == {"quant_method": "fp8"}
    assert "pad_token_id" not in config
    assert vision == {"model_type": "pixtral", "hidden_size": 1024}


def test_the_language_models_own_words_win() -> None:
    config, _ = config_json.flatten({"hidden_size": 1, "text_config": {"hidden_size": 2}, "vocab_size": 7})
    assert (config["hidden_size"], config["vocab_size"]) == (2, 7)


def test_language_model_inside_a_thinker() -> None:
    config, _ = config_json.flatten({"thinker_config": {"text_config": {"model_type": "q", "hidden_size": 2048}}})
    assert (config["hidden_size"], config["text_model_type"]) == (2048, "q")


@pytest.mark.parametrize(
    ("raw", "field", "value"),
    [
        ({"n_layer": 12, "n_embd": 768, "n_head": 12, "n_positions": 1024}, "num_hidden_layers", 12),
        ({"n_layer": 12, "n_positions": 1024}, "max_position_embeddings", 1024),
        ({"d_model": 4096, "n_heads": 32, "n_layers": 32}, "hidden_size", 4096),
        # Falcon-40B: eight groups under an old name; Falcon-7B: one
        ({"multi_query": True, "new_decoder_architecture": True, "num_kv_heads": 8}, "num_key_value_heads", 8),
        ({"multi_query": True, "n_head": 71}, "num_key_value_heads", 1),
        # ChatGLM
        ({"multi_query_attention": True, "multi_query_group_num": 2}, "num_key_value_heads", 2),
        ({"attn_config": {"kv_n_heads": 8}}, "num_key_value_heads", 8),
        ({"padded_vocab_size": 65024}, "vocab_size", 65024),
        ({"layers_block_type": ["mamba", "moe", "attention"]}, "num_hidden_layers", 3),
        ({"top_k_experts": 8}, "num_experts_per_tok", 8),
    ],
)
def test_old_names(raw: dict[str, object], field: str, value: int) -> None:
    config, _ = config_json.flatten(raw)
    assert config[field] == value
    assert set(raw) <= set(config)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_hidden_layers": "32"}, "num_hidden_layers is '32'"),
        ({"hidden_size": 0}, "hidden_size is 0; it must be at least 1"),
        ({"hidden_size": -4096}, "hidden_size is -4096"),
        ({"hidden_size": True}, "hidden_size is True"),
        ({"hidden_size": 4096.5}, "hidden_size is 4096.5"),
        ({"hidden_size": float("nan")}, "hidden_size is nan"),
        ({"vocab_size": float("inf")}, "vocab_size is inf"),
        ({"hidden_size": 4100}, "hidden_size 4100 is not a multiple of num_attention_heads 32"),
        ({"num_key_value_heads": 5}, "num_attention_heads 32 is not a multiple of num_key_value_heads 5"),
        ({"num_key_value_heads": 64}, "not a multiple"),
        ({"num_experts": 8, "num_experts_per_tok": 9}, "num_experts_per_tok 9 exceeds the 8 experts"),
        ({"first_k_dense_replace": 33}, "first_k_dense_replace 33 exceeds num_hidden_layers 32"),
        ({"layer_types": ["full_attention"] * 31}, "layer_types lists 31 layers, num_hidden_layers is 32"),
        ({"text_config": [1]}, "text_config is a list, not an object"),
        ({"quantization_config": "fp8"}, "quantization_config is a text, not an object"),
        ({"intermediate_size": {"a": 1}}, "intermediate_size is {'a': 1}"),
    ],
)
def test_problems(changes: dict[str, object], words: str) -> None:
    found = config_json.problem({**DENSE, **changes})
    assert found is not None
    assert words in found


@pytest.mark.parametrize("raw", [None, [], "x", 3, {}, {"peft_type": "LORA"}, {"architectures": []}])
def test_what_is_no_config_json(raw: object) -> None:
    assert config_json.problem(raw)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"head_dim": 128, "hidden_size": 2560, "num_attention_heads": 20, "num_key_value_heads": 4},
        {"kv_lora_rank": 512, "hidden_size": 7168, "num_attention_heads": 100, "num_key_value_heads": 100},
        {"num_hidden_layers": 32.0},
        {"sliding_window": None, "intermediate_size": None},
    ],
)
def test_good_ones_have_none(changes: dict[str, object]) -> None:
    assert config_json.problem({**DENSE, **changes}) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*DENSE, "text_config", "vision_config", "attn_config"]), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(json_values)
def test_any_json_is_answered(value: object) -> None:
    assert config_json.problem(value) is None or isinstance(config_json.problem(value), str)
    if isinstance(value, dict):
        config_json.flatten(value)
    else:
        assert config_json.problem(value)
