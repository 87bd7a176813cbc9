"""What a rank holds beside parameters while the engine counts it as weights: rotary tables and allocator rounding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.capacity import shape
from servelint.capacity.step import MIB
from servelint.estimate import Estimate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.catalogue.architecture import Architecture
    from servelint.engines.versions import Version

_LATENT_WORKSPACE = 128 * MIB


def latent_workspace_bytes(architecture: Architecture, engine: str, version: Version | None) -> Estimate:
    """What importing vLLM's FlashInfer backend for latent attention allocates, whether it serves or not.

    ``vllm/v1/attention/backends/mla/flashinfer_mla.py`` of 0.19.1 and 0.22.1 allocates 128 MiB at import, and the choice of a
    backend imports all candidates; in 0.28.0 the backend allocates when it is used. Explains the logged weights of
    DeepSeek-V2-Lite and Kimi-VL (llm-d-planner pull request 205: 128 MiB more than their tensors at TP 1, 2 and 4).
    """
    if engine != "vllm" or not architecture.is_mla:
        return Estimate.exact(0.0)
    if version is not None and (0, 17, 0) <= version < (0, 23, 0):
        return Estimate.exact(_LATENT_WORKSPACE)
    if version is not None and version < (0, 9, 0):
        return Estimate.exact(0.0)
    return Estimate(0.0, _LATENT_WORKSPACE / 2, _LATENT_WORKSPACE)


def charged_bytes(size: float) -> float:
    """What torch's caching allocator charges for one tensor.

    Blocks below 1 MiB are rounded to 512 bytes; blocks from 10 MiB get a segment rounded up to 2 MiB, and what is left of
    it is charged to the tensor unless it is more than 1 MiB (``c10/cuda/CUDACachingAllocator.cpp``: ``kSmallSize``,
    ``kMinLargeAlloc``, ``kRoundLarge``, ``should_split``). This explains the logged weights of vLLM 0.19 on H100 to 0.1 %
    (llm-d-planner pull request 205: Qwen2.5-7B 14.25 GiB against 14.19 of parameters and tables).
    """
    if size >= 10 * MIB:
        segment = -(-size // (2 * MIB)) * 2 * MIB
        if segment - size <= MIB:
            return segment
    return -(-size // 512) * 512


def _scalings(architecture: Architecture) -> Iterator[dict[str, Any]]:
    stated = shape.first(architecture, "rope_parameters", "rope_scaling")
    if isinstance(stated, dict) and stated and all(isinstance(value, dict) for value in stated.values()):
        yield from stated.values()
    else:
        yield stated if isinstance(stated, dict) else {}


def rotary_table_bytes(architecture: Architecture, engine: str, element_bytes: float) -> Estimate:
    """Bytes of the cosine and sine tables that each rank keeps (``vllm/model_executor/layers/rotary_embedding``).

    Their length is the context the checkpoint was trained for, times the factor for linear and dynamic scaling (so Gemma 3
    keeps 0.5 GiB); YaRN's is the original context times the factor, M-RoPE's four times the context.
    """
    if engine not in {"vllm", "sglang"}:
        return Estimate.exact(0.0)
    length = shape.whole(architecture, "max_position_embeddings")
    if not length:
        return Estimate(0.0, 0.0, 131072 * shape.head_dim(architecture) * element_bytes)
    if architecture.is_mla:
        width: float = shape.whole(architecture, "qk_rope_head_dim")
    else:
        share = shape.first(architecture, "partial_rotary_factor")
        width = shape.whole(architecture, "rotary_dim") or shape.head_dim(architecture)
        width *= float(share) if isinstance(share, int | float) else 1.0
    total = 0.0
    for scaling in _scalings(architecture):
        kind = str(scaling.get("rope_type") or scaling.get("type") or "default")
        factor = scaling.get("factor")
        factor = float(factor) if isinstance(factor, int | float) else 1.0
        original = scaling.get("original_max_position_embeddings")
        rows = float(length)
        if kind in {"linear", "dynamic"}:
            rows = length * factor
        elif kind in {"yarn", "deepseek_yarn"} and isinstance(original, int):
            rows = original * factor
        elif scaling.get("mrope_section"):
            rows = 4.0 * length
        total += rows * width * element_bytes
    if shape.family(architecture) == "gemma3":
        total += length * width * element_bytes  # its sliding layers have a table of their own
    return Estimate.exact(total * (2 if engine == "sglang" else 1))  # SGLang keeps them in 32 bits
