"""Memory that flags and variables of single deployments take: buffers for LoRA adapters, the heap for exchanging tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.capacity import shape, stated
from servelint.capacity.tensors import attention_dims, dense_intermediate, kv_heads_per_rank
from servelint.engines.versions import VLLM_V1
from servelint.estimate import Estimate

if TYPE_CHECKING:
    from servelint.capacity.layout import Layout
    from servelint.capacity.regimes import Regime
    from servelint.catalogue.architecture import Architecture
    from servelint.deployment import Pool

_HEAP = "NVSHMEM_SYMMETRIC_SIZE"
_SAMPLER = "VLLM_USE_FLASHINFER_SAMPLER"
_TRITON_SAMPLER_FROM = (0, 17, 0)
_FLASHINFER_SAMPLER = Estimate(12.0, 12.95, 15.0)
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def _count(pool: Pool, flag: str, default: int) -> int | None:
    """The value of a flag, its default where it is not there, None where it cannot be read."""
    text = stated.flag(pool, flag)
    if text is None:
        return default
    return int(text) if text.isdecimal() and len(text) < 19 else None


def _adapter_elements(a: Architecture, layout: Layout) -> float:
    """Rows and columns of the linear layers of one rank that get buffers, for one unit of rank (``vllm/lora/layers``).

    A is whole on every rank of column-parallel layers and cut in row-parallel ones; B the other way round. Experts have
    buffers of their own kind and are left out.
    """
    hidden, ranks = shape.hidden_size(a), layout.tensor
    total = 0.0
    for kind, layers in shape.kind_counts(a).items():
        if kind.mixer in {shape.FULL, shape.SLIDING}:
            heads, kv, key, value = attention_dims(a, kind.mixer)
            local = kv_heads_per_rank(kv, ranks)
            total += layers * (3 * hidden + heads * key / ranks + local * (key + value) + heads * value / ranks + hidden)
        if kind.mlp == shape.DENSE:
            width = kind.width or dense_intermediate(a)
            total += layers * (3 * hidden + 3 * width / ranks)
    return total / layout.pipeline


def adapter_bytes(pool: Pool, layout: Layout, element_bytes: float) -> Estimate | None:
    """Buffers that vLLM allocates for LoRA adapters, ``--max-loras`` slots of ``--max-lora-rank``; None where it serves none."""
    if not stated.is_on(pool, "--enable-lora"):
        return None
    slots, rank = _count(pool, "--max-loras", 1), _count(pool, "--max-lora-rank", 16)
    per = _adapter_elements(pool.architecture.value, layout) * element_bytes
    if slots is None or rank is None:
        return Estimate(0.0, 16 * per, 256 * per)
    return Estimate(0.8 * slots * rank * per, slots * rank * per, 1.3 * slots * rank * per)


def heap_bytes(pool: Pool) -> Estimate | None:
    """The symmetric heap that DeepEP and kernels like it exchange tokens through; None where nobody states one. It may grow by
    use, so that none of it need be there when the engine measures."""
    text = (stated.variable(pool, _HEAP) or "").lower().removesuffix("b").removesuffix("i")
    unit = text[-1:] if text[-1:].isalpha() else ""
    digits = text[: len(text) - len(unit)].strip()
    return Estimate(0.0, 0.0, float(digits) * _UNITS[unit]) if digits.isdecimal() and unit in _UNITS else None


def stated_sampler(pool: Pool, regime: Regime) -> Regime:
    """``regime`` with the sampler that a variable chooses: before 0.17 PyTorch's, which sorts, or FlashInfer's, which does not.

    13.7 bytes a logit of Mistral-Small-3.2 in 0.11.0 and 13 of Llama-3.2-1B in 0.11.2, where nothing sorted.
    """
    if regime.first < VLLM_V1 or regime.first >= _TRITON_SAMPLER_FROM:
        return regime
    value = stated.variable(pool, _SAMPLER)
    if value == "0":
        return regime._replace(sampler=Estimate.exact(regime.sampler.high))
    return regime._replace(sampler=_FLASHINFER_SAMPLER) if value == "1" else regime
