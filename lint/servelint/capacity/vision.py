"""Towers for images and sound: their parameters, from the tower's own fields and from what the text model leaves of the total."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.capacity import shape
from servelint.estimate import Estimate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from servelint.catalogue.architecture import Architecture

# vllm/model_executor/models/pixtral.py, phi3v.py, deepencoder.py: towers without tensor parallelism.
REPLICATED = frozenset({"pixtral", "clip_phi3v", "deepencoder"})
_GATED = frozenset({"pixtral", "qwen2_5_vl"})


def _number(vision: Mapping[str, Any], *names: str) -> int:
    for name in names:
        value = vision.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and value:
            return int(value)
    return 0


def _tower(vision: Mapping[str, Any], hidden: int) -> float:
    """A plain vision transformer with a projector to the text model's width ``hidden``; 0 where its width is not stated."""
    width = _number(vision, "embed_dim", "hidden_size", "vt_hidden_size")
    depth = _number(vision, "num_hidden_layers", "depth", "vt_num_hidden_layers")
    if not width or not depth:
        return 0.0
    inner = _number(vision, "intermediate_size", "vt_intermediate_size") or _number(vision, "mlp_ratio") * width or 4 * width
    gated = vision.get("model_type") in _GATED
    layers = depth * (4 * width * width + (3 if gated else 2) * width * inner + (0 if gated else inner + 9 * width))
    merge = (_number(vision, "spatial_merge_size") or 1) ** 2
    out = _number(vision, "out_hidden_size") or hidden
    joined = vision.get("vision_feature_layer")  # states of several layers, side by side (Granite Vision)
    states = len(joined) if isinstance(joined, list | tuple) else 1
    projector = merge * width * merge * width + merge * width * out if merge > 1 else states * width * out + out * out
    stacked = vision.get("deepstack_visual_indexes")
    return layers + _embeddings(vision) + projector * (1 + (len(stacked) if isinstance(stacked, list | tuple) else 0))


def _encoder(audio: Mapping[str, Any], hidden: int) -> float:
    """A Whisper encoder (transformers, ``WhisperEncoder``) with a projector to the text model's width ``hidden``."""
    width, layers = _number(audio, "d_model"), _number(audio, "encoder_layers")
    inner = _number(audio, "encoder_ffn_dim") or 4 * width
    block = 4 * width * width + 2 * width * inner + inner + 8 * width
    convolutions = 3 * width * (_number(audio, "num_mel_bins") + width)
    return layers * block + convolutions + width * (_number(audio, "max_source_positions") + hidden)


def _embeddings(vision: Mapping[str, Any]) -> float:
    """Of patches and, where the size of an image is fixed, of their positions: plain modules, whole on every rank."""
    width = _number(vision, "embed_dim", "hidden_size", "vt_hidden_size")
    patch = _number(vision, "patch_size") or 14
    positions = (_number(vision, "image_size") // patch) ** 2
    return width * (3 * patch**2 * (_number(vision, "temporal_patch_size") or 1) + positions)


def has_tower(architecture: Architecture) -> bool:
    """Whether the model has a tower: its fields say so, or every model of its family has one."""
    audio = architecture.config.get("audio_config")
    heard = isinstance(audio, dict) and _number(audio, "encoder_layers") > 0
    return bool(architecture.vision) or heard or str(architecture.field("model_type")) in shape.SEEING


def vision_parameters(architecture: Architecture, text: float, draft: float, hidden: int) -> Estimate | None:
    """Parameters of the towers and their projectors; None for a text model.

    ``text``: parameters of the text model; ``draft``: of the MTP modules its total may or may not include. The remainder of
    the published total is taken where it is of the tower's order of magnitude, else both readings stay.
    """
    if not has_tower(architecture):
        return None
    formula = _tower(architecture.vision or {}, hidden)
    audio = architecture.config.get("audio_config")
    if isinstance(audio, dict):
        formula += _encoder(audio, hidden)
    if architecture.parameters is None or architecture.parameters_rounded:
        return Estimate(0.8 * formula, formula, 1.3 * formula) if formula else Estimate(0.0, 0.4e9, 1.0e9)
    rests = [architecture.parameters - text]
    if draft:
        rests.append(architecture.parameters - text - draft)
    rest = min(rests, key=lambda value: abs(value - formula))
    if formula and not 0.5 * formula < rest < 2 * formula:
        return Estimate.spanning(formula, max(0.0, min(rest, 3 * formula)))
    return Estimate.exact(max(0.0, rest))


def tower_on_a_rank(architecture: Architecture, tower: Estimate, ranks: int, hidden: int) -> Estimate:
    """Parameters of the tower that each of ``ranks`` tensor-parallel ranks holds; at worst all of it."""
    kind = str((architecture.vision or {}).get("model_type"))
    if kind in REPLICATED:
        return tower
    whole = _embeddings(architecture.vision or {})
    if kind == "moonvit":  # its projector is a replicated linear (vllm/model_executor/models/kimi_vl.py)
        merged = 4 * _number(architecture.vision or {}, "hidden_size")
        whole += float(merged * merged + merged * hidden)
    cut = [(size - min(whole, size)) / ranks + min(whole, size) for size in tower]
    return Estimate(cut[0], cut[1], tower.high)
