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


def _widest(a: Architecture, shards: Shards, tokens: float, element: float) -> float:
    """Bytes of the widest point of a dense layer: gate, up and their product, or the heads, beside the hidden states."""
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
    return tokens * element * (max(widths) + _COPIES * hidden)


def expert_workspace(a: Architecture, shards: Shards, tokens: float, element: float) -> float:
    """Bytes of the two workspaces that vLLM's modular MoE kernels keep (``fused_moe/fused_moe.py`` ``workspace_shapes``).

    ``tokens × top-k × (max(width, hidden) + max(2 width, hidden))``: Qwen3-30B-A3B 0.5 GiB of its 2.68 GiB peak, Kimi-VL 0.45
    of 2.92 at TP1 and 0.38 of 2.85 at TP2. MXFP4 kernels keep none (gpt-oss).
    """
    if not a.experts or (a.quantization or {}).get("quant_method") == "mxfp4":
        return 0.0
    hidden = shape.whole(a, "moe_latent_size") or shape.hidden_size(a)
    width = tensors.expert_intermediate(a) / shards.expert_slices
    routed = tensors.experts_per_token(a)
    if shards.expert_groups > 1:
        routed = max(1, -(-routed // shards.expert_groups))
    return tokens * routed * (max(width, hidden) + max(2 * width, hidden)) * element


def forward_peak(a: Architecture, shards: Shards, tokens: float, element: float) -> float:
    """Bytes a forward pass over ``tokens`` needs on one rank."""
    return _widest(a, shards, tokens, element) + expert_workspace(a, shards, tokens, element)


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
) -> tuple[Estimate, str]:
    """What vLLM's profiling run finds on one rank of one stage, and what decided it.

    The run is a forward pass over ``max_num_batched_tokens`` and a sampler over ``max_num_seqs`` rows of the gathered
    vocabulary (``v1/worker/gpu_model_runner.py`` ``_dummy_run``, ``_dummy_sampler_run``); the hidden states live through both,
    the workspaces of the experts as well. Only the last stage samples; stages after the first keep buffers for what they receive.
    """
    copies = 2 if a.vision else 1  # multimodal models keep the input embeddings as well
    results: list[float] = []
    sampling = shape.vocabulary(a) if last else 0
    for which in range(3):
        count, rows, logit = tokens[which], sequences[which], regime.sampler[which]
        states = copies * count * shape.hidden_size(a) * element
        received = 0.0 if first else 2 * count * shape.hidden_size(a) * element
        sampled = states + (logit + element) * rows * sampling if last else 0.0
        results.append(max(sampled, _widest(a, shards, count, element)) + received + expert_workspace(a, shards, count, element))
    low, mid, high = results
    spread = (0.92, 1.10) if regime.fitted else (0.8, 1.2) if regime.logged else (0.5, 1.6)
    vision = 0.12 * mid if a.vision else 0.0  # the encoder is profiled too; measured at up to 0.1 GiB beyond the rest
    formula = "hidden states + logits × (dtype + sampler) bytes" if last else "widest layer of a forward pass"
    return Estimate(low * spread[0], mid, high * spread[1] + vision + 32e6), formula
