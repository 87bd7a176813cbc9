"""Tensors of the mixers that few families have: linear and delta attention, state spaces, compressed and indexed attention.

As in :mod:`servelint.capacity.tensors`, with whole shards the same functions give the tensors of the checkpoint. What is
cut over ranks follows vLLM 0.33 (``vllm/models/*``, ``vllm/model_executor/models/*``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.capacity import shape
from servelint.capacity.tensors import Part, attention_parts, kv_heads_per_rank

if TYPE_CHECKING:
    from collections.abc import Callable

    from servelint.capacity.tensors import Shards
    from servelint.catalogue.architecture import Architecture


def _linear_attention(a: Architecture, shards: Shards) -> list[Part]:
    """Gated delta net (Qwen3-Next, Qwen3.5)."""
    hidden = shape.hidden_size(a)
    keys = a.need("linear_num_key_heads") * a.need("linear_key_head_dim")
    value_heads = a.need("linear_num_value_heads")
    values = value_heads * a.need("linear_value_head_dim")
    tp = shards.attention
    return [
        Part("linear_attn.in_proj_qkvz", (2 * keys + 2 * values) / tp, hidden),
        Part("linear_attn.in_proj_ba", 2 * value_heads / tp, hidden),
        Part("linear_attn.conv1d", (2 * keys + values) / tp, a.need("linear_conv_kernel_dim"), role="plain"),
        Part("linear_attn.out_proj", hidden, values / tp),
        Part("linear_attn.norm", 2 * value_heads / tp + a.need("linear_value_head_dim"), 1, role="plain"),
    ]


def mamba_dims(a: Architecture) -> tuple[int, int, int, int, int]:
    """Heads, head width, groups, state width and convolution width of a Mamba-2 layer."""
    heads = shape.whole(a, "mamba_num_heads", "mamba_n_heads") or a.need("mamba_num_heads")
    width = shape.whole(a, "mamba_head_dim", "mamba_d_head")
    if not width:
        width = shape.whole(a, "expand", "mamba_expand", default=2) * shape.hidden_size(a) // heads
    groups = shape.whole(a, "n_groups", "mamba_n_groups", default=1)
    state = shape.whole(a, "ssm_state_size", "mamba_d_state") or a.need("ssm_state_size")
    return heads, width, groups, state, shape.whole(a, "conv_kernel", "mamba_d_conv", default=4)


def mamba_parts(a: Architecture, shards: Shards) -> list[Part]:
    """A Mamba-2 mixer."""
    hidden = shape.hidden_size(a)
    heads, width, groups, state, kernel = mamba_dims(a)
    inner, tp = heads * width, shards.attention
    local_groups = groups / tp if groups % tp == 0 else groups  # groups that do not divide are replicated
    conv = inner / tp + 2 * local_groups * state
    return [
        Part("mixer.in_proj", inner / tp + conv + heads / tp, hidden),
        Part("mixer.conv1d", conv, kernel + 1, role="plain"),
        Part("mixer.out_proj", hidden, inner / tp),
        Part("mixer.norm", inner / tp + 3 * heads / tp, 1, role="plain"),
    ]


def selective_dims(a: Architecture) -> tuple[int, int, int, int]:
    """Inner width, state width, rank of the time step and convolution width of a first-generation Mamba layer."""
    hidden = shape.hidden_size(a)
    expand = shape.whole(a, "mamba_expand", "expand", default=2)
    inner = expand * hidden if shape.family(a) == "jamba" else shape.whole(a, "intermediate_size") or expand * hidden
    rank = shape.whole(a, "mamba_dt_rank", "time_step_rank") or -(-hidden // 16)  # "auto"
    state = shape.whole(a, "mamba_d_state", "state_size") or a.need("state_size")
    return inner, state, rank, shape.whole(a, "mamba_d_conv", "conv_kernel", default=4)


def _selective(a: Architecture, shards: Shards) -> list[Part]:
    """``vllm/model_executor/layers/mamba/mamba_mixer.py``; Jamba normalizes what makes the state depend on the input."""
    hidden, tp = shape.hidden_size(a), shards.attention
    inner, state, rank, kernel = selective_dims(a)
    parts = [
        Part("mixer.in_proj", 2 * inner / tp, hidden),
        Part("mixer.conv1d", inner / tp, kernel + 1, role="plain"),
        Part("mixer.x_proj", rank + 2 * state, inner / tp),
        Part("mixer.dt_proj", inner / tp, rank + 1),
        Part("mixer.A", inner / tp, state, role="single"),
        Part("mixer.D", inner / tp, 1, role="plain"),
        Part("mixer.out_proj", hidden, inner / tp),
    ]
    if shape.family(a) == "jamba":
        parts.append(Part("mixer.norms", rank + 2 * state, 1, role="plain", split=False))
    return parts


def _convolution(a: Architecture, shards: Shards) -> list[Part]:
    """A short convolution between gates (LFM2)."""
    hidden, tp = shape.hidden_size(a), shards.attention
    return [
        Part("conv.in_proj", 3 * hidden / tp, hidden),
        Part("conv.conv", hidden / tp, shape.whole(a, "conv_L_cache", default=3), role="plain"),
        Part("conv.out_proj", hidden, hidden / tp),
    ]


def delta_dims(a: Architecture) -> tuple[int, int, int]:
    """Heads, head width and convolution width of Kimi's delta attention, whose dimensions stand in an object of their own."""
    own = a.field("linear_attn_config")
    own = own if isinstance(own, dict) else {}
    heads = own.get("num_heads") or a.number("linear_num_heads", 0) or a.need("linear_attn_config")
    width = own.get("head_dim") or a.number("linear_head_dim", 128)
    return int(heads), int(width), int(own.get("short_conv_kernel_size") or 4)


def _delta(a: Architecture, shards: Shards) -> list[Part]:
    """``vllm/model_executor/layers/kda.py``; Kimi K3 takes a gate of full rank (``vllm/models/kimi_k3``)."""
    hidden, tp = shape.hidden_size(a), shards.attention
    heads, width, kernel = delta_dims(a)
    inner = heads * width
    own = a.field("linear_attn_config")
    full_rank = isinstance(own, dict) and bool(own.get("use_full_rank_gate"))
    parts = [
        Part("self_attn.qkv_proj", 3 * inner / tp, hidden),
        Part("self_attn.f_a_proj", width, hidden, split=False),
        Part("self_attn.f_b_proj", inner / tp, width),
        Part("self_attn.b_proj", heads / tp, hidden),
        Part("self_attn.conv1d", 3 * inner / tp, kernel, role="plain"),
        Part("self_attn.o_norm", width + 2 * (inner + heads) / tp, 1, role="plain"),
        Part("self_attn.o_proj", hidden, inner / tp),
    ]
    if full_rank:
        return [*parts, Part("self_attn.g_proj", inner / tp, hidden)]
    return [*parts, Part("self_attn.g_a_proj", width, hidden, split=False), Part("self_attn.g_b_proj", inner / tp, width)]


def _lightning(a: Architecture, shards: Shards) -> list[Part]:
    """MiniMax's lightning attention (``vllm/model_executor/layers/mamba/linear_attn.py``)."""
    hidden, tp = shape.hidden_size(a), shards.attention
    inner = shape.heads(a) * shape.head_dim(a)
    return [
        Part("self_attn.qkv_proj", 3 * inner / tp, hidden),
        Part("self_attn.output_gate", inner / tp, hidden),
        Part("self_attn.out_proj", hidden, inner / tp),
        Part("self_attn.norm", inner / tp, 1, role="plain"),
    ]


def index_dims(a: Architecture) -> tuple[int, int]:
    """Heads and width of the indexer that picks blocks of keys (MiniMax M3)."""
    own = a.field("sparse_attention_config")
    own = own if isinstance(own, dict) else {}
    heads = own.get("sparse_num_index_heads") or a.number("index_n_heads", 4)
    return int(heads), int(own.get("sparse_index_dim") or a.number("index_head_dim", 128))


def _indexed(a: Architecture, shards: Shards) -> list[Part]:
    """``vllm/models/minimax_m3``: index queries are cut like KV heads, the index key is one for all."""
    heads, width = index_dims(a)
    hidden = shape.hidden_size(a)
    return [
        *attention_parts(a, shape.FULL, shards),
        Part("self_attn.index_q_proj", kv_heads_per_rank(heads, shards.attention) * width, hidden),
        Part("self_attn.index_k_proj", width, hidden, split=False),
        Part("self_attn.index_norm", 2 * width, 1, role="plain", split=False),
    ]


def _compressed(a: Architecture, shards: Shards, ratio: int) -> list[Part]:
    """DeepSeek V4 (``vllm/models/deepseek_v4``): one latent per ``ratio`` tokens beside those of a window; two residual
    streams' mixers in 32 bits stand in every layer. Ratio 0: the window alone."""
    hidden, heads, width, tp = shape.hidden_size(a), shape.heads(a), shape.head_dim(a), shards.attention
    query, groups, latent = a.need("q_lora_rank"), a.number("o_groups", 1), a.need("o_lora_rank")
    parts = [
        Part("self_attn.fused_wqa_wkv", query + width, hidden, split=False),
        Part("self_attn.wq_b", heads * width / tp, query),
        Part("self_attn.wo_a", groups * latent / tp, heads * width // groups),
        Part("self_attn.wo_b", hidden, groups * latent / tp),
        Part("self_attn.norms", query + width + heads, 1, role="plain", split=False),
    ]
    streams = a.number("hc_mult", 0)
    if streams:
        # One before the attention and one before the experts, in 32 bits.
        mixed = (2 + streams) * streams
        parts.append(Part("hyper_connection", 2 * mixed, streams * hidden, role="single", split=False))
    if ratio:
        overlap = 2 if ratio == 4 else 1  # vllm/models/deepseek_v4/compressor.py: coff
        parts.append(Part("self_attn.compressor", 2 * overlap * width, hidden, role="plain", split=False))
        parts.append(Part("self_attn.compressor.ape", ratio, overlap * width, role="single", split=False))
    if ratio == 4:
        indexers, own = a.need("index_n_heads"), a.need("index_head_dim")
        parts += [
            Part("self_attn.indexer.wq_b", indexers * own, query, split=False),
            Part("self_attn.indexer.weights_proj", indexers, hidden, role="plain", split=False),
            Part("self_attn.indexer.compressor", 4 * own, hidden, role="plain", split=False),
            Part("self_attn.indexer.compressor.ape", 4, 2 * own, role="single", split=False),
        ]
    return parts


def _cross(a: Architecture, shards: Shards) -> list[Part]:
    """Llama 3.2 Vision: keys and values of the image, with norms of single heads and two gates."""
    return [
        *attention_parts(a, shape.FULL, shards),
        Part("cross_attn.norms", 2 * shape.head_dim(a) + 2, 1, role="plain", split=False),
    ]


def _beside(a: Architecture, shards: Shards) -> list[Part]:
    """Falcon-H1: attention and a state space in one layer."""
    return [*attention_parts(a, shape.FULL, shards), *mamba_parts(a, shards)]


PARTS: dict[str, Callable[[Architecture, Shards], list[Part]]] = {
    shape.LINEAR: _linear_attention,
    shape.MAMBA: mamba_parts,
    shape.SELECTIVE: _selective,
    shape.CONV: _convolution,
    shape.DELTA: _delta,
    shape.LIGHTNING: _lightning,
    shape.INDEXED: _indexed,
    shape.CROSS: _cross,
    shape.BESIDE: _beside,
    shape.WINDOW_LATENT: lambda a, shards: _compressed(a, shards, 0),
    shape.COMPRESSED_4: lambda a, shards: _compressed(a, shards, 4),
    shape.COMPRESSED_128: lambda a, shards: _compressed(a, shards, 128),
}
