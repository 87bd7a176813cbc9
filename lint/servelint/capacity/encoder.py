"""Encoders: the memory of the run over images with which vLLM's profiling begins, for towers whose largest image is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.capacity import stated
from servelint.estimate import Estimate

if TYPE_CHECKING:
    from servelint.deployment import Pool

# Qwen's processors make at most 16384 tokens of an image (max_pixels of preprocessor_config.json: 2^24 at patches of 16, 12845056
# at patches of 14), and vLLM profiles with one such image however few tokens a step has (``MultiModalBudget``).
_TOKENS = 16384
_FAMILIES = frozenset({"qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe", "gemma4"})
_GATED = frozenset({"qwen2_5_vl"})
_WITHOUT = ("--language-model-only", "--skip-mm-profiling")


def _profiled(pool: Pool) -> tuple[float, float, float]:
    """How much of the run takes place: all, none where a flag turns it off, either where images are limited by a flag."""
    if any(stated.is_on(pool, switch) for switch in _WITHOUT):
        return 0.0, 0.0, 0.0
    return (1.0 if stated.flag(pool, "--limit-mm-per-prompt") is None else 0.0), 1.0, 1.0


# A video of Gemma 4: 32 frames of 70 tokens and their times, which make 2496; 9 patches a token. vLLM profiles with as many as
# the tokens of a step hold: 3 of 8192, 6 of 16384 (vllm/model_executor/models/gemma4_mm.py 0.23, start-up logs of 0.20.2 and it).
_VIDEO, _FRAMES = 2496, 32 * 70


def _patches(kind: str, merge: int, tokens: float) -> tuple[int, int]:
    """(patches, tokens of the result) of what is profiled."""
    if kind == "gemma4":
        videos = max(1, int(tokens // _VIDEO))
        return videos * _FRAMES * 9, videos * _FRAMES
    return _TOKENS * merge**2, _TOKENS


def encoder_memory(pool: Pool, ranks: int, element_bytes: float, tokens: float) -> tuple[Estimate, Estimate] | None:
    """Peak bytes of the run on each of ``ranks`` tensor-parallel ranks, and bytes of its result, which stays until the profile is
    taken; None for other towers. ``tokens``: of a step.

    At the feed-forward of a block: the pixels twice, four states of the patches' width, and two of the inner width
    (``vllm/model_executor/models/qwen3_vl.py`` 0.26). 1.46 GiB for Qwen3.8-27B at TP 2 by this; 1.5 in noonghunna/club-3090 issue
    1087, and 1.46 in pull request 1139. Gemma 4 of 26B at 16384 tokens 3.6 and of 31B at 8192 1.4: 3.3 and 1.7 by this.
    """
    vision = pool.architecture.value.vision or {}
    kind = str(vision.get("model_type")).removesuffix("_vision")
    if kind not in _FAMILIES:
        return None
    width = int(vision.get("embed_dim") or vision.get("hidden_size") or 0)
    if not width:
        return None
    inner = float(vision.get("intermediate_size") or float(vision.get("mlp_ratio") or 4) * width)
    patch, merge = int(vision.get("patch_size") or 14), int(vision.get("spatial_merge_size") or 2)
    pixels = 3 * int(vision.get("temporal_patch_size") or 2) * patch**2
    patches, results = _patches(kind, merge, tokens)
    peak = patches * element_bytes * (2 * pixels + 4 * width + (3 if kind in _GATED else 2) * inner / ranks)
    stacked = vision.get("deepstack_visual_indexes")
    out = int(vision.get("out_hidden_size") or (vision.get("hidden_size") if vision.get("embed_dim") else 0) or 0)
    kept = results * element_bytes * out * (1 + (len(stacked) if isinstance(stacked, list | tuple) else 0))
    low, middle, high = _profiled(pool)
    return Estimate(0.8 * low * peak, middle * peak, 1.15 * high * peak), Estimate(low * kept, middle * kept, high * kept)
