"""The tensors of a model as one rank holds them: name, rows, columns, copies.

With :data:`WHOLE` shards the same functions give the tensors of the whole checkpoint. Shapes follow the transformers
modelling code; what is cut over ranks, and what every rank holds, follows vLLM 0.19 (``vllm/model_executor/models/*.py``:
column- and row-parallel linears are cut, norms, routers and the MLA down-projections are not; KV heads are replicated
beyond their number, ``vllm/config/model.py`` ``get_num_kv_heads``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.capacity import shape
from servelint.facts import UnknownFact
from servelint.records import NamedTuple

if TYPE_CHECKING:
    from servelint.capacity.layout import Layout
    from servelint.capacity.shape import LayerKind
    from servelint.catalogue.architecture import Architecture

VOCABULARY_PADDING = 64  # vllm/model_executor/layers/vocab_parallel_embedding.py DEFAULT_VOCAB_PADDING_SIZE

_UNGATED = frozenset(
    {
        "phi",
        "phi-msft",
        "gpt_neox",
        "opt",
        "gpt2",
        "falcon",
        "starcoder2",
        "nemotron",
        "nemotron_h",
        "apertus",
        "arcee",
        "gpt_bigcode",
        "gptj",
        "bloom",
        "mpt",
    }
)
_QKV_BIAS = frozenset({"qwen", "qwen2", "qwen2_moe", "qwen2_vl", "qwen2_5_vl", "minicpmv", "mimo"})
_ALL_BIAS = frozenset({"gpt2", "opt", "phi", "phi-msft", "gpt_neox", "gpt_bigcode", "starcoder2", "bloom"})
_NORM_BIAS = _ALL_BIAS | {"stablelm", "gptj"}
_HEAD_BIAS = frozenset({"phi", "phi-msft", "gptj"})
_BIASED_ROUTER = frozenset({"bailing_moe", "dots1", "afmoe"})  # a number for each expert beside the router
_NO_NORM_WEIGHT = frozenset({"olmo"})
_ONE_NORM = frozenset({"cohere", "cohere2", "phi", "phi-msft", "gptj"})  # attention and feed-forward read the same
_HEAD_NORM = frozenset(
    {
        "qwen3", "qwen3_moe", "qwen3_vl", "qwen3_vl_moe", "qwen3_next", "qwen3_5", "qwen3_5_moe", "gemma3", "gemma4", "exaone4",
        "lfm2", "lfm2_moe", "hunyuan_v1_dense", "hunyuan_v1_moe", "apertus", "bailing_moe", "dots1", "afmoe",
    }
)  # fmt: skip
_TIED = frozenset(
    {
        "gemma3n", "gpt2", "opt", "falcon", "cohere", "cohere2", "smollm3", "starcoder2", "minicpm", "minicpm3", "lfm2",
        "lfm2_moe", "gemma", "gemma2", "gemma3", "gemma4", "granite", "bloom", "mpt",
    }
)  # fmt: skip
_STEP = frozenset({"step3p5", "step3p7"})
_FOUR_NORMS = frozenset({"gemma2", "gemma3", "gemma4", "glm4", "afmoe"})
_GATED_OUTPUT = frozenset({"qwen3_next", "qwen3_5", "qwen3_5_moe", "afmoe"})


class Part(NamedTuple):
    """One tensor, or ``copies`` equal ones stored together (experts). ``role``: ``linear`` and ``expert`` may be quantized,
    ``embedding``, ``head`` and ``plain`` usually are not, ``single`` is kept in 32 bits.
    ``split``: False for what every rank holds whole."""

    name: str
    rows: float
    columns: float
    copies: float = 1
    role: str = "linear"
    split: bool = True

    @property
    def parameters(self) -> float:
        return self.rows * self.columns * self.copies


class Shards(NamedTuple):
    """Over how many ranks things are cut. ``expert_groups``: whole experts are dealt out over so many ranks;
    ``expert_slices``: each expert is cut into so many slices. ``dense_whole``: the dense layers of a mixture of experts are not
    cut, as SGLang's ``--moe-dense-tp-size`` has it, which takes 1 alone (``enable_moe_dense_fully_dp`` in its
    ``layers/communicator.py``)."""

    attention: int = 1
    tensor: int = 1
    expert_groups: int = 1
    expert_slices: int = 1
    dense_whole: bool = False

    @classmethod
    def of(cls, layout: Layout) -> Shards:
        """MoE without expert parallelism in vLLM cuts each expert over TP·PCP·DP (``fused_moe/config.py``)."""
        if layout.expert > 1:
            group = layout.expert_shards
            groups = group if layout.engine == "vllm" else min(layout.expert, group)
            slices = max(1, group // groups) if layout.engine != "generic" else min(layout.tensor, max(1, group // groups))
        else:
            groups = 1
            slices = layout.expert_shards if layout.engine == "vllm" else layout.tensor
        return cls(layout.attention_tensor, layout.tensor, groups, slices, layout.dense_whole)


WHOLE = Shards()


def _ceil(value: int, over: int) -> int:
    return -(-value // over)


@shape.kept
def attention_dims(architecture: Architecture, mixer: str) -> tuple[int, int, int, int]:
    """Heads, KV heads, key and value width of an attention layer; some families differ between layer kinds."""
    key = shape.head_dim(architecture)
    value = shape.value_head_dim(architecture)
    if mixer == shape.FULL and (wide := shape.whole(architecture, "global_head_dim")):
        kv = shape.whole(architecture, "num_global_key_value_heads") or shape.kv_heads(architecture)
        return shape.heads(architecture), kv, wide, wide
    if mixer == shape.SLIDING and (own := shape.whole(architecture, "num_sliding_attention_heads")):
        return own, shape.kv_heads(architecture), key, value
    if mixer == shape.SLIDING and shape.whole(architecture, "swa_head_dim"):
        return (
            shape.whole(architecture, "swa_num_attention_heads"),
            shape.whole(architecture, "swa_num_key_value_heads"),
            shape.whole(architecture, "swa_head_dim"),
            shape.whole(architecture, "swa_v_head_dim") or value,
        )
    return shape.heads(architecture), shape.kv_heads(architecture), key, value


def kv_heads_per_rank(total: int, ranks: int) -> int:
    """``max(1, total / ranks)``: beyond their number KV heads are replicated, not cut."""
    return max(1, total // ranks)


def attention_parts(a: Architecture, mixer: str, shards: Shards) -> list[Part]:
    """Grouped-query attention with what some families add to it: biases, norms of heads, gates."""
    hidden = shape.hidden_size(a)
    kind = shape.family(a)
    heads, kv, key, value = attention_dims(a, mixer)
    tp = shards.attention
    local_kv = kv_heads_per_rank(kv, tp)
    gate = 2 if shape.flag(a, "attn_output_gate", kind in _GATED_OUTPUT) else 1
    values = 0 if mixer == shape.FULL and shape.flag(a, "attention_k_eq_v") else value
    qkv = heads * key * gate / tp + local_kv * (key + values)
    parts = [
        Part("self_attn.qkv_proj", qkv, hidden),
        Part("self_attn.o_proj", hidden, heads * value / tp),
    ]
    bias = shape.flag(a, "attention_bias") or shape.flag(a, "qkv_bias") or shape.flag(a, "add_qkv_bias")
    if bias or kind in _QKV_BIAS or kind in _ALL_BIAS:
        parts.append(Part("self_attn.qkv_proj.bias", qkv, 1, role="plain"))
    if kind in _ALL_BIAS or (shape.flag(a, "attention_bias") and kind in {"llama", "gpt_oss", "granite", "phi3"}):
        parts.append(Part("self_attn.o_proj.bias", hidden, 1, role="plain", split=False))
    if kind in _STEP:
        parts.append(Part("self_attn.g_proj", heads / tp, hidden))  # a gate for each head
    if kind in _HEAD_NORM or kind in _STEP or (kind == "glm4_moe" and shape.flag(a, "use_qk_norm")):
        parts.append(Part("self_attn.qk_norm", 2 * key, 1, role="plain", split=False))
    elif kind in {"olmo2", "olmo3", "olmoe", "minimax_m2"}:
        parts.append(Part("self_attn.qk_norm", heads * key / tp + local_kv * key, 1, role="plain"))
    return parts


def _latent_attention(a: Architecture, shards: Shards) -> list[Part]:
    """Multi-head latent attention: the down-projections are whole on every rank (DeepSeek-V2, arXiv 2405.04434)."""
    hidden, heads = shape.hidden_size(a), shape.heads(a)
    rope, nope, value = a.need("qk_rope_head_dim"), a.need("qk_nope_head_dim"), a.number("v_head_dim", a.need("qk_nope_head_dim"))
    latent, query = a.need("kv_lora_rank"), a.number("q_lora_rank", 0)
    tp = shards.attention
    parts = [
        Part("self_attn.kv_a_proj_with_mqa", latent + rope, hidden, split=False),
        Part("self_attn.kv_b_proj", heads * (nope + value) / tp, latent),
        Part("self_attn.o_proj", hidden, heads * value / tp),
        Part("self_attn.kv_a_layernorm", latent + query, 1, role="plain", split=False),
    ]
    if query:
        parts.append(Part("self_attn.q_a_proj", query, hidden, split=False))
        parts.append(Part("self_attn.q_b_proj", heads * (nope + rope) / tp, query))
    else:
        parts.append(Part("self_attn.q_proj", heads * (nope + rope) / tp, hidden))
    if indexers := a.number("index_n_heads", 0):
        from servelint.capacity.kinds import indexed_share  # lazily: of sparse attention only

        width, share = a.need("index_head_dim"), indexed_share(a)
        parts.append(Part("self_attn.indexer.wq_b", indexers * width, query or hidden, share, split=False))
        parts.append(Part("self_attn.indexer.wk", width + indexers, hidden, share, split=False))
    return parts


def _mixer(a: Architecture, mixer: str, shards: Shards) -> list[Part]:
    if mixer in {shape.FULL, shape.SLIDING}:
        return attention_parts(a, mixer, shards)
    if mixer == shape.MLA:
        return _latent_attention(a, shards)
    if mixer == shape.NONE:
        return []
    from servelint.capacity.mixers import PARTS  # lazily: of single families

    return PARTS[mixer](a, shards)


def dense_intermediate(a: Architecture) -> int:
    """Width of a dense feed-forward layer."""
    value = shape.whole(
        a, "dense_intermediate_size", "intermediate_size_mlp", "intermediate_size", "ffn_hidden_size", "ffn_dim", "n_inner"
    )
    if not value and shape.family(a) in {"gpt2", "phi-msft", "falcon", "gpt_bigcode", "gptj", "bloom", "mpt"}:
        value = 4 * shape.hidden_size(a)
    if not value and (widest := [kind.width for kind in shape.layer_kinds(a) if kind.width]):
        return max(widest)
    value = value or a.need("intermediate_size")
    # The first Qwen generation states the width of gate and up together; its OLMo and Molmo relatives as well.
    return value // 2 if shape.family(a) in {"qwen", "molmo"} else value


def expert_intermediate(a: Architecture) -> int:
    return shape.whole(a, "moe_intermediate_size", "expert_ffn_hidden_size", "intermediate_size") or a.need(
        "moe_intermediate_size"
    )


def shared_intermediate(a: Architecture) -> int:
    """Width of the shared experts of one MoE layer together; 0 without."""
    direct = shape.whole(
        a,
        "shared_expert_intermediate_size",
        "moe_shared_expert_intermediate_size",
        "shared_intermediate_size",
        "share_expert_dim",
    )
    if direct:
        return direct
    if shape.family(a) == "llama4":
        return expert_intermediate(a)
    return shape.whole(
        a, "n_shared_experts", "num_shared_experts", "num_shared_expert", "moe_num_shared_experts"
    ) * expert_intermediate(a)


def experts_per_token(a: Architecture) -> int:
    return shape.whole(a, "num_experts_per_tok", "num_experts_per_token", "top_k_experts", "moe_topk", "moe_k") or a.need(
        "num_experts_per_tok"
    )


def is_gated(a: Architecture) -> bool:
    return shape.family(a) not in _UNGATED


def _feed_forward(prefix: str, hidden: int, width: float, gated: bool, experts: float = 0) -> list[Part]:
    up, role = "gate_up_proj" if gated else "up_proj", "expert" if experts else "linear"
    return [
        Part(f"{prefix}.{up}", (2 if gated else 1) * width, hidden, experts or 1, role),
        Part(f"{prefix}.down_proj", hidden, width, experts or 1, role),
    ]


def _mlp(a: Architecture, layer: LayerKind, shards: Shards) -> list[Part]:
    if layer.mlp == shape.NONE:
        return []
    hidden, gated, kind = shape.hidden_size(a), is_gated(a), shape.family(a)
    if layer.mlp == shape.DENSE:
        width = (layer.width or dense_intermediate(a)) / (1 if shards.dense_whole and a.experts else shards.tensor)
        parts = _feed_forward("mlp", hidden, width, gated)
        if kind == "apertus":  # its activation has two numbers of its own
            parts.append(Part("mlp.act_fn", 2, 1, role="plain", split=False))
        if kind in _ALL_BIAS or kind == "gptj" or shape.flag(a, "mlp_bias"):
            parts.append(Part("mlp.bias", (2 if gated else 1) * width + hidden, 1, role="plain"))
        return parts
    experts, width = a.experts, expert_intermediate(a)
    local = _ceil(experts, shards.expert_groups)
    inner = shape.whole(a, "moe_latent_size", "routed_expert_hidden_size") or hidden
    beside = "experts" if kind == "gemma4" else "mlp.experts"  # what its checkpoints call mlp is the dense part
    parts = _feed_forward(beside, inner, width / shards.expert_slices, gated, local)
    parts.append(Part("mlp.gate", experts, hidden, role="plain", split=False))
    if kind in _BIASED_ROUTER:
        parts.append(Part("mlp.gate.bias", experts, 1, role="single", split=False))
    if inner != hidden:
        parts.append(Part("mlp.latent_proj", 2 * inner, hidden, split=False))
    if kind == "gpt_oss":
        parts.append(Part("mlp.experts.bias", 2 * width / shards.expert_slices + hidden, 1, local, role="plain"))
    if shared := shared_intermediate(a):
        parts += _feed_forward("mlp.shared_experts", hidden, shared / shards.tensor, gated)
        if kind in {"qwen2_moe", "qwen3_next", "qwen3_5_moe"}:
            parts.append(Part("mlp.shared_expert_gate", 1, hidden, role="plain", split=False))
    if kind == "gemma4":  # its MoE block stands beside a dense one in every layer
        parts += _feed_forward("mlp", hidden, dense_intermediate(a) / shards.tensor, gated)
    return parts


@shape.kept
def layer_parts(a: Architecture, kind: LayerKind, shards: Shards = WHOLE) -> tuple[Part, ...]:
    """The tensors of one layer on one rank. Raises :class:`UnknownFact` naming the field that is missing."""
    hidden, family = shape.hidden_size(a), shape.family(a)
    norms = 4 if family in _FOUR_NORMS else 1 if shape.NONE in kind or family in _ONE_NORM else 2
    norms *= 2 if family in _NORM_BIAS else 0 if family in _NO_NORM_WEIGHT else 1
    parts = [
        *_mixer(a, kind.mixer, shards),
        *_mlp(a, kind, shards),
        Part("norms", norms * hidden, 1, role="plain", split=False),
    ]
    if extra := shape.whole(a, "hidden_size_per_layer_input"):
        parts.append(Part("per_layer_input", 2 * extra, hidden, split=False))
    if laurel := shape.whole(a, "laurel_rank"):
        parts.append(Part("laurel", 2 * laurel, hidden, split=False))
        inputs = a.number("altup_num_inputs", 4)
        parts.append(Part("altup", inputs, hidden, role="plain", split=False))
    return tuple(parts)


def last_norm(a: Architecture) -> int:
    """Weights of the norm before the head."""
    return 0 if shape.family(a) in _NO_NORM_WEIGHT else shape.hidden_size(a)


def padded_vocabulary(a: Architecture, engine: str) -> int:
    """Rows of the embedding table as the engine holds it."""
    rows = shape.vocabulary(a)
    return _ceil(rows, VOCABULARY_PADDING) * VOCABULARY_PADDING if engine in {"vllm", "sglang"} else rows


def is_tied(a: Architecture) -> bool | None:
    """Whether the LM head is the embedding table; None where neither the configuration nor its class says."""
    value = a.field("tie_word_embeddings")
    if value is None:
        return True if shape.family(a) in _TIED else None
    return bool(value)


def embedding_parts(a: Architecture, engine: str = "generic", shards: Shards = WHOLE) -> tuple[Part, ...]:
    """What the first stage holds before its layers. None is guessed: without a vocabulary the fact is unknown."""
    hidden = shape.hidden_size(a)
    parts = [Part("embed_tokens", padded_vocabulary(a, engine) / shards.tensor, hidden, role="embedding")]
    family = shape.family(a)
    if family in {"gpt2", "opt", "gpt_bigcode"} and (positions := shape.whole(a, "n_positions", "max_position_embeddings")):
        # OPT counts positions from 2 (vllm/model_executor/models/opt.py, OPTLearnedPositionalEmbedding).
        parts.append(Part("embed_positions", positions + (2 if family == "opt" else 0), hidden, role="plain", split=False))
    if family in _NORM_BIAS:  # of the last norm; BLOOM has a norm behind the table, too
        parts.append(Part("norm.bias", 3 * hidden if family == "bloom" else hidden, 1, role="plain", split=False))
    if family in _HEAD_BIAS:
        parts.append(Part("lm_head.bias", padded_vocabulary(a, engine) / shards.tensor, 1, role="plain"))
    if extra := shape.whole(a, "hidden_size_per_layer_input"):
        rows = shape.whole(a, "vocab_size_per_layer_input") or shape.vocabulary(a)
        width = extra * shape.layer_count(a)
        parts.append(Part("embed_tokens_per_layer", rows / shards.tensor, width, role="embedding"))
        parts.append(Part("per_layer_model_projection", width, hidden, split=False))
    if shape.whole(a, "laurel_rank"):  # Gemma 3n mixes several copies of the hidden states
        parts.append(Part("altup_projections", 2 * (a.number("altup_num_inputs", 4) - 1) * hidden, hidden, split=False))
    return tuple(parts)


def head_part(a: Architecture, engine: str = "generic", shards: Shards = WHOLE) -> Part:
    """The LM head: the same shape as the embedding table."""
    return Part("lm_head", padded_vocabulary(a, engine) / shards.tensor, shape.hidden_size(a), role="head")


@shape.kept
def draft_layer_parameters(a: Architecture) -> float:
    """Parameters of the multi-token-prediction modules a checkpoint carries, which only speculative decoding loads."""
    count = shape.whole(a, "num_nextn_predict_layers", "mtp_num_hidden_layers")
    if not count:
        return 0.0
    try:
        kinds = shape.layer_kinds(a)
        layer = next((k for k in reversed(kinds) if k.mixer in {shape.FULL, shape.MLA}), kinds[-1])
        parts = layer_parts(a, layer)
    except UnknownFact:
        return 0.0
    hidden = shape.hidden_size(a)
    return count * (sum(p.parameters for p in parts) + 2 * hidden * hidden + 3 * hidden)
