"""Activations: the peak that vLLM's profiling run finds, and what a step of any engine needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.capacity import shape, tensors
from servelint.estimate import Estimate
from servelint.facts import UnknownFact

if TYPE_CHECKING:
    from servelint.capacity.regimes import Regime
    from servelint.capacity.tensors import Shards
    from servelint.catalogue.architecture import Architecture

_COPIES = 4.3  # hidden-sized tensors alive at the widest point of a layer: CodeLlama-7B 0.77 GiB, Granite-8B 0.85, vLLM 0.19


@shape.kept
def _width(a: Architecture, shards: Shards, copies: float) -> float:
    """Elements of one token at the widest point of a dense layer: gate, up and their product, or the heads, beside ``copies`` of
    the hidden states."""
    hidden = shape.hidden_size(a)
    widths: list[float] = []
    try:
        kinds = shape.layer_kinds(a)
    except UnknownFact:
        kinds = ()
    if any(kind.mlp == shape.DENSE for kind in kinds):
        widths.append((3 if tensors.is_gated(a) else 2) * tensors.dense_intermediate(a) / shards.tensor)
    if any(kind.mlp == shape.MOE for kind in kinds):
        widths.append(3 * tensors.shared_intermediate(a) / shards.tensor)
    if shape.MLA in {kind.mixer for kind in kinds}:
        per_head = 3 * (a.need("qk_nope_head_dim") + a.need("qk_rope_head_dim")) + 2 * a.number("v_head_dim", 128)
        widths.append(shape.heads(a) * per_head / shards.attention)
    widths.append(2 * shape.heads(a) * shape.head_dim(a) / shards.attention)
    streams = max(1, a.number("hc_mult", 1))  # residual streams (DeepSeek V4)
    return max(widths) + copies * hidden * streams


@shape.kept
def _routed(a: Architecture, shards: Shards) -> tuple[int, float]:
    """(experts of one rank that a token is sent to, elements of both workspaces for each); zeros where there are none."""
    if not a.experts or (a.quantization or {}).get("quant_method") == "mxfp4":
        return 0, 0.0
    hidden = shape.whole(a, "moe_latent_size") or shape.hidden_size(a)
    width = tensors.expert_intermediate(a) / shards.expert_slices
    routed = tensors.experts_per_token(a)
    if shards.expert_groups > 1:
        routed = max(1, -(-routed // shards.expert_groups))
    return routed, max(width, hidden) + max(2 * width, hidden)


def expert_workspace(a: Architecture, shards: Shards, tokens: float, element: float) -> float:
    """Bytes of the two workspaces that vLLM's modular MoE kernels keep (``fused_moe/fused_moe.py`` ``workspace_shapes``).

    ``tokens × top-k × (max(width, hidden) + max(2 width, hidden))``: Qwen3-30B-A3B 0.5 GiB of its 2.68 GiB peak, Kimi-VL 0.45
    of 2.92 at TP1 and 0.38 of 2.85 at TP2. MXFP4 kernels keep none (gpt-oss).
    """
    routed, elements = _routed(a, shards)
    return tokens * routed * elements * element


def forward_peak(a: Architecture, shards: Shards, tokens: float, element: float) -> float:
    """Bytes a forward pass over ``tokens`` needs on one rank."""
    return tokens * element * _width(a, shards, _COPIES) + expert_workspace(a, shards, tokens, element)


_CHUNK, _LATENT_BLOCK = 65536, 64


def latent_chunk_bytes(a: Architecture, shards: Shards, sequences: float, longest: int | None, element: float) -> float:
    """Bytes of the up-projected context that the profiling run of latent attention stands in for.

    ``max(8 max_model_len, 4 max_num_seqs × block)`` tokens, at most 65536 and at least one page a request, times the heads'
    key and value width (``determine_chunked_prefill_workspace_size`` and ``forward_mha`` in vLLM 0.19
    ``vllm/model_executor/layers/attention/mla_attention.py``): 4 GiB for DeepSeek-V3 with data-parallel attention.
    """
    wanted = max(8 * (longest or _CHUNK), 4 * sequences * _LATENT_BLOCK)
    tokens = max(min(wanted, _CHUNK), sequences * _LATENT_BLOCK)
    width = a.need("qk_nope_head_dim") + a.number("v_head_dim", a.need("qk_nope_head_dim"))
    return tokens * shape.heads(a) / shards.attention * width * element


_GATHERED, _ENTRY, _INDEX_LOGITS = 40, 132, float(512 << 20)


def indexer_bytes(a: Architecture, longest: int | None) -> float:
    """Bytes that the profiling run reserves for the indexer of sparse attention: 40 times the longest request in entries of 132
    bytes, by the ratio of a compressed cache, and 512 MiB of logits (``sparse_attn_indexer`` and ``get_max_prefill_buffer_size``
    in vLLM 0.26, the former in 0.19 too). 5.7 of the 6.31 GiB that vLLM 0.26 logged for GLM-5.2 at a million tokens.
    """
    if not a.number("index_n_heads", 0):
        return 0.0
    length = longest or shape.whole(a, "max_position_embeddings")
    ratio = 4 if shape.family(a).startswith("deepseek_v4") else 1
    return _GATHERED * length * _ENTRY / ratio + _INDEX_LOGITS


_TILES, _PATCHES, _KEPT = 4, 1601, 6


def image_states_bytes(a: Architecture, sequences: float, element: float) -> float:
    """Bytes of the image states of a batch, for models that attend across to them (Llama 3.2 Vision).

    The profiling run sees ``max_num_seqs`` images of 4 tiles and 1601 patches: the tower's last and five earlier states, stacked
    and joined, and their projection (``vllm/model_executor/models/mllama.py`` 0.6). 36.63 GiB were logged for 128 sequences,
    of which this explains 29.7 and a step of 65536 tokens the rest (vllm-project/vllm pull request 12126).
    """
    tower = int((a.vision or {}).get("hidden_size") or 1280)
    return sequences * _TILES * _PATCHES * (shape.hidden_size(a) + 2 * _KEPT * tower) * element


def profiled_peak(
    a: Architecture,
    regime: Regime,
    shards: Shards,
    *,
    tokens: Estimate,
    sequences: Estimate,
    element: float,
    first: bool,
    last: bool,
    longest: int | None = None,
    spread: tuple[float, float] = (1.0, 1.0),
    encoder: tuple[Estimate, Estimate] | None = None,
    sampler: Estimate | None = None,
    attention: bool = True,
) -> tuple[Estimate, str]:
    """What vLLM's profiling run finds on one rank of one stage, and what decided it.

    The run is a forward pass over ``max_num_batched_tokens`` and a sampler over ``max_num_seqs`` rows of the gathered
    vocabulary (``v1/worker/gpu_model_runner.py`` ``_dummy_run``, ``_dummy_sampler_run``); the hidden states live through both,
    the workspaces of the experts as well. Only the last stage samples; stages after the first keep buffers for what they receive.
    The interval spans what the code may do, and ``spread`` of the forward pass, of which it says less than of the sampler.
    ``encoder``: the peak of a vision encoder's own run, before, and what of it is kept; ``sampler``: bytes per logit where they
    are not the regime's; ``attention``: the run stands in for it (model runner 2 leaves it out).
    """
    copies = 2 if a.vision else 1  # multimodal models keep the input embeddings as well
    results: list[float] = []
    hidden = shape.hidden_size(a)
    sampling = shape.vocabulary(a) if last else 0
    width = _width(a, shards, regime.copies or _COPIES)
    latent, crossed = a.is_mla, shape.family(a) == "mllama"
    for which in range(3):
        count, rows, logit = tokens[which], sequences[which], (sampler or regime.sampler)[which]
        states = copies * count * hidden * element
        received = 0.0 if first else 2 * count * hidden * element
        sampled = states + (logit + element) * rows * sampling if last else 0.0
        scale = (spread[0], 1.0, spread[1])[which]
        forward = scale * (count * element * width)
        chunk = latent_chunk_bytes(a, shards, rows, longest, element) if latent and attention else 0.0
        images = image_states_bytes(a, rows, element) * (0.2, 1.0, 1.5)[which] if crossed else 0.0
        workspace = scale * expert_workspace(a, shards, count, element)
        kept = encoder[1][which] if encoder is not None else 0.0
        indexed = indexer_bytes(a, longest)
        if indexed:
            indexed += scale * count * element * _COPIES * shape.hidden_size(a)
        peak = max(sampled, forward + chunk, indexed) + received + images + workspace + kept
        results.append(max(peak, encoder[0][which]) if encoder is not None else peak)
    low, mid, high = results
    formula = "hidden states + logits × (dtype + sampler) bytes" if last else "widest layer of a forward pass"
    return Estimate(min(low, mid), mid, max(mid, high)), formula
