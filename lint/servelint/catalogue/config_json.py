"""``config.json`` as the Hugging Face hub has it → the flat fields of an :class:`Architecture`, and what is wrong with it.

The same reading serves the shipped catalogue (through ``tools/build_catalogue.py``) and a checkpoint's own file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

# Where multimodal configurations keep the language model (get_text_config of transformers, get_hf_text_config of vLLM).
TEXT_PARTS = ("text_config", "llm_config", "language_config", "thinker_config")
VISION_PARTS = ("vision_config", "visual", "vision")

# Other names of one field: the attribute_map of the transformers classes, and for the context length the keys that vLLM reads
# (vllm/config/model.py, _get_and_verify_max_len). The old name stays beside the common one.
_COMMON_NAMES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("num_hidden_layers", ("n_layer", "n_layers", "num_layers")),
    ("hidden_size", ("n_embd", "d_model")),
    ("num_attention_heads", ("n_head", "n_heads")),
    ("num_key_value_heads", ("n_head_kv", "num_kv_heads")),
    ("vocab_size", ("padded_vocab_size",)),
    ("intermediate_size", ("ffn_hidden_size", "n_inner", "ffn_dim", "ff_intermediate_size")),
    ("max_position_embeddings", ("n_positions", "max_seq_len", "seq_length", "model_max_length")),
    ("num_experts_per_tok", ("num_experts_per_token", "top_k_experts", "moe_topk")),
    ("torch_dtype", ("dtype",)),
)

_DROPPED = frozenset(
    {
        "_attn_implementation", "_attn_implementation_autoset", "_from_model_config", "_name_or_path", "add_cross_attention",
        "attn_implementation", "auto_map", "aux_loss_alpha", "bad_words_ids", "begin_suppress_tokens", "bf16",
        "bias_dropout_fusion", "cache_implementation", "chunk_size_feed_forward", "cross_attention_hidden_size",
        "diversity_penalty", "do_sample", "early_stopping", "encoder_no_repeat_ngram_size",
        "exponential_decay_length_penalty", "finetuning_task", "flash_attn", "flash_rotary", "fp16", "fp32",
        "fp32_residual_connection", "fused_dense", "gradient_clipping", "id2label", "ignore_index", "image_placeholder",
        "init_config", "init_device", "initializer_factor", "initializer_range", "input_jitter_noise", "is_decoder",
        "label2id", "length_penalty", "max_length", "min_length", "no_repeat_ngram_size", "num_beam_groups", "num_beams",
        "num_logits_to_keep", "num_return_sequences", "onnx_safe", "output_attentions", "output_hidden_states",
        "output_router_logits", "output_scores", "prefix", "pretraining_tp", "problem_type", "processor_class",
        "pruned_heads", "remove_invalid_values", "repetition_penalty", "return_dict", "return_dict_in_generate",
        "router_aux_loss_coef", "router_jitter_noise", "seq_aux", "suppress_tokens", "task_specific_params", "temperature",
        "tf_legacy_loss", "tie_encoder_decoder", "time_step_floor", "time_step_limit", "time_step_max", "time_step_min",
        "tokenizer_class", "tokenizer_name", "tokenizer_type", "top_k", "top_p", "torchscript", "transformers.js_config",
        "transformers_version", "typical_p", "use_bfloat16", "use_cache", "use_flash_attn", "verbose", "video_placeholder",
        "z_loss_weight",
        }
)  # fmt: skip
_DROPPED_ENDINGS = ("_token_id", "_token_ids", "_token_index", "_pdrop", "_eps", "_epsilon")


def cleaned(fields: Mapping[str, Any]) -> dict[str, Any]:
    """``fields`` without those that change neither memory nor time: token ids, dropouts, training and generation settings."""
    return {
        key: value
        for key, value in fields.items()
        if key not in _DROPPED and not key.endswith(_DROPPED_ENDINGS) and "dropout" not in key
    }


def text_part(raw: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The nested configuration of the language model, if there is one."""
    for name in TEXT_PARTS:
        part = raw.get(name)
        if isinstance(part, dict) and part:
            return text_part(part) or part
    return None


def with_common_names(config: dict[str, Any]) -> dict[str, Any]:
    """``config`` with the usual name beside each old one, where the usual one is not there."""
    for name, others in _COMMON_NAMES:
        if config.get(name) is None:
            for other in others:
                if config.get(other) is not None:
                    config[name] = config[other]
                    break
    if isinstance(config.get("ffn_config"), dict):  # DBRX keeps its experts in an object of their own
        own = config["ffn_config"]
        for name, old in (
            ("moe_num_experts", "moe_num_experts"),
            ("num_experts_per_tok", "moe_top_k"),
            ("moe_intermediate_size", "ffn_hidden_size"),
        ):
            if config.get(name) is None and own.get(old) is not None:
                config[name] = own[old]
    if config.get("num_hidden_layers") is None and isinstance(config.get("layers_block_type"), list):
        config["num_hidden_layers"] = len(config["layers_block_type"])
    if config.get("num_key_value_heads") is None or config.get("multi_query_attention"):
        # vLLM 0.33, vllm/config/model.py (get_total_num_kv_heads); ChatGLM counts groups, Falcon-7B and GPTBigCode have one.
        if config.get("multi_query_attention"):
            config["num_key_value_heads"] = config.get("multi_query_group_num") or 1
        elif config.get("multi_query") and not config.get("new_decoder_architecture"):
            config["num_key_value_heads"] = 1
        elif isinstance(config.get("attn_config"), dict) and config["attn_config"].get("kv_n_heads"):
            config["num_key_value_heads"] = config["attn_config"]["kv_n_heads"]
    return config


def flatten(raw: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The language model's fields, and those of the vision tower (None without one).

    What the language model's part does not say is taken from the top level; ``model_type`` and ``architectures`` are always
    those of the top level, and the part's own type is ``text_model_type``.
    """
    part = text_part(raw)
    vision = next((raw[name] for name in VISION_PARTS if isinstance(raw.get(name), dict)), None)
    if part is None:
        config = cleaned({key: value for key, value in raw.items() if key not in VISION_PARTS or not isinstance(value, dict)})
    else:
        config = cleaned({key: value for key, value in raw.items() if key not in TEXT_PARTS and key not in VISION_PARTS})
        config.update((key, value) for key, value in cleaned(part).items() if key not in {"model_type", "architectures"})
        if part.get("model_type"):
            config["text_model_type"] = part["model_type"]
        config.setdefault("model_type", part.get("model_type"))
        if raw.get("architectures") is None and part.get("architectures"):
            config["architectures"] = part["architectures"]
        if part.get("tie_word_embeddings") is None and raw.get("tie_word_embeddings") is not None:
            config["tie_word_embeddings"] = raw["tie_word_embeddings"]
    if isinstance(config.get("audio_config"), dict):
        config["audio_config"] = cleaned(config["audio_config"])
    for name in ("architectures", "model_type", "torch_dtype", "dtype", "quantization_config", "audio_config"):
        if config.get(name, 0) is None:
            del config[name]
    return with_common_names(config), cleaned(vision) if vision is not None else None


_COUNTS = (
    "num_hidden_layers", "hidden_size", "num_attention_heads", "vocab_size", "max_position_embeddings", "num_experts_per_tok",
    "n_routed_experts", "num_local_experts", "num_experts",
)  # fmt: skip
_POSITIVE = ("num_hidden_layers", "hidden_size", "num_attention_heads", "vocab_size", "max_position_embeddings")
_NUMBERS = (
    "num_key_value_heads", "head_dim", "intermediate_size", "moe_intermediate_size", "kv_lora_rank", "q_lora_rank",
    "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "first_k_dense_replace", "sliding_window", "n_shared_experts",
    "mamba_num_heads", "mamba_head_dim", "linear_num_key_heads", "linear_num_value_heads", "linear_key_head_dim",
    "linear_value_head_dim", "num_nextn_predict_layers",
)  # fmt: skip
_LISTS = ("layer_types", "layers_block_type")


def problem(raw: object) -> str | None:
    """What makes ``raw`` no usable ``config.json``, in one clause; None if nothing does."""
    if not isinstance(raw, dict):
        return f"it holds {_kind(raw)}, not an object"
    for name in (*TEXT_PARTS, *VISION_PARTS, "quantization_config"):
        if name in raw and raw[name] is not None and not isinstance(raw[name], dict):
            return f"{name} is {_kind(raw[name])}, not an object"
    config, _ = flatten(raw)
    shapeless = config.get("num_hidden_layers") is None and config.get("hidden_size") is None
    if shapeless and not config.get("architectures"):
        return "it has neither num_hidden_layers nor hidden_size nor architectures, so it is not a model's config.json"
    return _wrong_type(config) or _contradiction(config)


def _is_whole(value: float) -> bool:
    return isinstance(value, int) or value.is_integer()


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:40] + "…"


def _wrong_type(config: Mapping[str, Any]) -> str | None:
    for name in (*_COUNTS, *_NUMBERS):
        value = config.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not _is_whole(value):
            return f"{name} is {_shown(value)}; it must be a whole number"
        if value < 0 or (name in _POSITIVE and value == 0):
            return f"{name} is {_shown(value)}; it must be {'at least 1' if name in _POSITIVE else 'zero or more'}"
    return None


def _contradiction(config: Mapping[str, Any]) -> str | None:
    def number(name: str) -> int:
        return int(config.get(name) or 0)

    heads, width, layers = number("num_attention_heads"), number("hidden_size"), number("num_hidden_layers")
    mla = number("kv_lora_rank")
    if heads and width and width % heads and not mla and not number("head_dim") and not number("kv_channels"):
        return f"hidden_size {width} is not a multiple of num_attention_heads {heads}, and head_dim is not given"
    groups = number("num_key_value_heads")
    if heads and groups and (groups > heads or heads % groups):
        return f"num_attention_heads {heads} is not a multiple of num_key_value_heads {groups}"
    experts = max(number("n_routed_experts"), number("num_local_experts"), number("num_experts"))
    if experts and number("num_experts_per_tok") > experts:
        return f"num_experts_per_tok {number('num_experts_per_tok')} exceeds the {experts} experts"
    if layers and number("first_k_dense_replace") > layers:
        return f"first_k_dense_replace {number('first_k_dense_replace')} exceeds num_hidden_layers {layers}"
    for name in _LISTS:
        kinds = config.get(name)
        if layers and isinstance(kinds, list) and len(kinds) < layers:
            return f"{name} lists {len(kinds)} layers, num_hidden_layers is {layers}"
    return None
