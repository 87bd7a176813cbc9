"""Facts that the collected ones lack, each with its source (``additions.jsonl``): rows of their own, and fields of known ids.

A row with ``add`` gives an id that is there what its row does not say; nothing that is said is replaced. A row with ``like`` is
an id shaped like another, by the evidence in ``source``; ``instead`` replaces what is
wrong there, and says ``why``. Derived rows also take from their base the fields of attention that
the facts did not copy, since a model with the same layers, heads and sizes of the same type has the same windows; a quantized
copy takes its context and rotary embedding too, which quantizing does not change.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_FILE = Path(__file__).with_name("additions.jsonl")
# What decides which layers see everything; the same for all members of one shape.
_ATTENTION = ("sliding_window", "layer_types", "layer_types_pattern", "layer_types_counts", "sliding_window_pattern", "vision")
_POSITIONS = ("max_position_embeddings", "rope_scaling", "rope_parameters", "rope_theta", "partial_rotary_factor", "rotary_dim")
_OF_THE_BASE = frozenset({"id", "aliases", "completeness", "derived_from", "derivation", "params_hf", "params_published", "note"})
_COUNTS = frozenset({"params_formula", "params_meta_device"})  # of a base without the tower that the addition states
_SIZES = frozenset({"checkpoint_file_bytes", "checkpoint_check_pct_vs_2bytes", "quantization_config", "hf_quant_config"})


def ids() -> list[str]:
    """Every id that an addition is about."""
    return [json.loads(line)["id"] for line in _FILE.read_text().splitlines()]


def merged(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """``rows`` with the additions, in a stable order."""
    by_id = {row["id"]: dict(row) for row in rows}
    filled: dict[str, dict[str, Any]] = {}
    for line in _FILE.read_text().splitlines():
        own = json.loads(line)
        known = by_id.get(own["id"])
        if "add" in own:
            if known is None:
                raise ValueError(f"additions: {own['id']} is not in the facts")
            filled[own["id"]] = own["add"]
            more = {**_filled(known, own["add"]), **own.get("instead", {})}
            by_id[own["id"]] = {**more, "source": f"{known['source']}; {own['source']}"}
        elif "like" in own:
            by_id[own["id"]] = _like(own, by_id[own["like"]], known or {})
        elif known is not None:
            raise ValueError(f"additions: {own['id']} is in the facts already")
        else:
            by_id[own["id"]] = own
    return [_with_attention(_with_filled(row, filled), by_id) for row in by_id.values()]


def _filled(known: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """``known`` with what it does not say, in objects within it too."""
    result = dict(known)
    for name, value in more.items():
        if isinstance(value, dict) and isinstance(result.get(name), dict):
            result[name] = _filled(result[name], value)
        elif result.get(name) is None:
            result[name] = value
    return result


def _like(own: dict[str, Any], base: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    """A row of the shape of ``base``; what is known of the id itself stands first, then what the addition states."""
    dropped = _OF_THE_BASE | _SIZES | {"config_file"} | (_COUNTS if "vision" in own else frozenset())
    shape = {
        name: value for name, value in base.items() if name not in dropped or (own.get("quantized_alike") and name in _SIZES)
    }
    kept = {name: value for name, value in known.items() if value is not None and name not in {"source", "completeness"}}
    for name in own.get("instead", {}):
        kept.pop(name, None)
    stated = {name: value for name, value in own.items() if name not in {"like", "quantized_alike", "instead", "why"}}
    stated.update(own.get("instead", {}))
    row = {**shape, **kept, **stated, "completeness": "derived", "derived_from": base["id"], "derivation": "shape match"}
    row["source"] = f"{own['source']}; the fields: {base['source']}"
    row.pop("params_check", None)
    return row


def _with_filled(row: dict[str, Any], filled: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """A derived row with what was added to its base, which the facts could not copy; not the base's own quantization."""
    more = {name: value for name, value in filled.get(row.get("derived_from", ""), {}).items() if name not in _SIZES}
    return _filled(row, more) if row.get("completeness") == "derived" and more else row


def _with_attention(row: dict[str, Any], by_id: dict[str, dict[str, Any]]) -> dict[str, Any]:
    base = by_id.get(row.get("derived_from", ""))
    if base is None or row.get("derivation") == "recalled" or base.get("model_type") != row.get("model_type"):
        return row
    copied = _ATTENTION + (_POSITIONS if _is_quantized_copy(row, base) else ())
    more = {name: base[name] for name in copied if base.get(name) is not None and row.get(name) is None}
    if "max_position_embeddings" in more:
        more["max_position_embeddings_source"] = f"that of {base['id']}, which this is a quantization of"
    return {**row, **more}


def _is_quantized_copy(row: dict[str, Any], base: dict[str, Any]) -> bool:
    return row["derivation"].startswith("by name") or (
        bool(row.get("quantization_config_inferred")) and not base.get("quantization_config_inferred")
    )
