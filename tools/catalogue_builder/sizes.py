"""Parameter counts: which figure is shipped, and whether the entry is a fact at all (rules: ``build_catalogue.py``)."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

_TOLERANCE = 0.01
# A published "32B" stands for a count with two digits left: 32.76e9 and 31.6e9 are both written so.
_ROUNDED_TOLERANCE = 0.05
_UNITS = {"T": 1e12, "B": 1e9, "M": 1e6}
# Weight files smaller than this many bytes per counted element hold a quantized checkpoint.
_SIXTEEN_BIT = 1.9
# Without a count to compare, a total this far off a rounded figure for the same id is a slip of one of the two.
_SLIP = 0.2

# Disagreements that the facts' gaps.md explains; what is right, and why (section 1 of gaps.md).
_SETTLED: dict[str, tuple[str, str]] = {
    **dict.fromkeys(
        ("google/gemma-4-26B-A4B", "google/gemma-4-26B-A4B-it", "google/gemma-4-31B", "google/gemma-4-31B-it"),
        ("meta", "the hub's total counts the tied embedding twice; the weight files hold the count of the class"),
    ),
    "google/gemma-4-E4B-it": ("hf", "the configuration read lacks the audio tower, which total and weight files hold"),
    "google/gemma-4-E2B-it": ("hf", "the formula leaves out the vision and audio towers"),
    **dict.fromkeys(
        ("openai-community/gpt2", "openai-community/gpt2-medium", "openai-community/gpt2-large", "openai-community/gpt2-xl"),
        ("count", "the hub's total counts the attention-mask buffers"),
    ),
    **dict.fromkeys(
        ("HuggingFaceTB/SmolLM-360M", "HuggingFaceTB/SmolLM2-360M-Instruct", "microsoft/Phi-3-mini-128k-instruct"),
        ("meta", "the collected total is its collector's estimate; the count of the class is exact"),
    ),
    "Qwen/Qwen3-Embedding-8B": ("hf", "the checkpoint has no LM head"),
    "RedHatAI/gpt-oss-20b": ("meta", "the hub's total counts packed FP4 words"),
    **dict.fromkeys(
        ("intfloat/e5-mistral-7b-instruct", "Salesforce/SFR-Embedding-2_R", "Salesforce/SFR-Embedding-Mistral"),
        ("hf", "an embedding class without LM head"),
    ),
    "Skywork/Skywork-Reward-Llama-3.1-8B-v0.2": ("meta", "a classification class without LM head"),
    **dict.fromkeys(
        (
            "mistralai/Mistral-Small-3.1-24B-Instruct-2503",
            "mistralai/Mistral-Small-3.2-24B-Instruct-2506",
            "mistralai/Magistral-Small-2509",
        ),
        ("formula", "the class ties the head by default, the checkpoint does not"),
    ),
}
# Disagreements that nothing explains, or an identity that fails: only the id is shipped.
_UNSETTLED = {
    "cyankiwi/MiniMax-M2.5-REAP-139B-A10B-AWQ-4bit": "its id says 139B, the shape taken from its base counts 228.7B",
}
# Weight files that hold a second copy of the weights (gaps.md section 1).
_TWO_COPIES = ("openai/gpt-oss-20b", "openai/gpt-oss-120b")


class Size(NamedTuple):
    """``check``: how the count was checked. ``withhold``: why nothing but the id may be shipped (else empty)."""

    parameters: float | None = None
    source: str = ""
    check: str = ""
    rounded: bool = False
    withhold: str = ""
    parameters_withheld: str = ""


def rounded_figure(text: str) -> float | None:
    """``30.5B`` → 30.5e9."""
    match = re.fullmatch(r"([\d.]+)([TBM])", text)
    return float(match[1]) * _UNITS[match[2]] if match else None


def checkpoint_withheld(row: dict[str, Any]) -> str:
    """Why the size of the weight files is not that of the weights; empty if it is."""
    return "the files hold two copies of the weights" if row["id"] in _TWO_COPIES else ""


def figures(row: dict[str, Any], by_id: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The counts side by side: ``formula``, ``mtp`` (its extra layer), ``meta`` (of the class), ``hub`` (``hub_packed`` where it
    counts words and scales), ``published``.
    """
    hub = row.get("params_hf") or {}
    stated = {
        "formula": row.get("params_formula"),
        "mtp": row.get("params_mtp_formula"),
        "meta": row.get("params_meta_device"),
        "hub_packed" if is_packed(row, by_id) else "hub": hub.get("value"),
        "published": (row.get("params_published") or {}).get("value"),
        "if_tied": row.get("params_formula_if_tied"),
        "if_untied": row.get("params_formula_if_untied"),
    }
    return {name: value for name, value in stated.items() if value is not None}


def counts(row: dict[str, Any]) -> dict[str, float]:
    """Every count of the stored tensors that the entry's fields explain."""
    head = (row.get("vocab_size") or 0) * (row.get("hidden_size") or 0) if row.get("tie_word_embeddings") is not False else 0
    found: dict[str, float] = {}
    for name in ("formula", "meta"):
        count = row.get("params_formula" if name == "formula" else "params_meta_device")
        if count is None:
            continue
        found[name] = count
        if row.get("params_mtp_formula"):
            found[f"{name} + MTP layer"] = count + row["params_mtp_formula"]
        if head:
            found[f"{name} + stored copy of the tied head"] = count + head
    return found


def is_packed(row: dict[str, Any], by_id: dict[str, dict[str, Any]]) -> bool:
    """Whether the hub's total counts packed words and scales, not parameters."""
    hub = row.get("params_hf") or {}
    if hub.get("note"):
        return True
    stored = (row.get("checkpoint_file_bytes") or {}).get("value")
    if stored and hub.get("value") and stored / hub["value"] < _SIXTEEN_BIT:
        return True
    base = by_id.get(row.get("derived_from", "")) or {}
    base_hub = base.get("params_hf") or {}
    return bool(base_hub.get("note")) and base_hub.get("value") == hub.get("value")


def is_surely_unquantized(row: dict[str, Any]) -> bool:
    """A checkpoint whose stored elements are exactly its parameters has no scales; one with 2 bytes for each is not packed."""
    hub = row.get("params_hf") or {}
    if hub.get("value") and not hub.get("note") and not hub.get("rounded") and hub["value"] in counts(row).values():
        return True
    off = row.get("checkpoint_check_pct_vs_2bytes")
    return off is not None and abs(off) < 1


def judge(row: dict[str, Any], by_id: dict[str, dict[str, Any]]) -> Size:
    """Which figure is this id's parameter count, and is the entry a fact."""
    hub = row.get("params_hf") or {}
    if row.get("derivation") == "recalled":
        reason = f"that it is shaped like {row['derived_from']} is recalled, unverified"
        return Size(hub.get("value"), hub.get("source", ""), "not counted", bool(hub.get("rounded")), reason)
    if row["id"] in _UNSETTLED:
        return Size(check="disagrees", withhold=_UNSETTLED[row["id"]])
    packed = is_packed(row, by_id)
    count = row.get("params_meta_device") or row.get("params_formula")
    if count is None:
        return _uncounted(row, packed)
    if row["id"] in _SETTLED:
        which, why = _SETTLED[row["id"]]
        value = hub.get("value") if which == "hf" else row.get("params_formula") if which == "formula" else count
        source = hub["source"] if which == "hf" else _FORMULA if which == "formula" else _counted(row)
        return Size(value, source, f"settled: {why}")
    if row.get("params_formula_excludes") and not row.get("params_meta_device"):
        return Size(check="no count", parameters_withheld=f"the count leaves out the {row['params_formula_excludes']}")
    if hub.get("value") and not hub.get("rounded"):
        size = _against_total(row, count, packed)
        if size is not None:
            return size
    off = row.get("checkpoint_check_pct_vs_2bytes")
    if off is not None and abs(off) <= 100 * _TOLERANCE:
        return Size(count, _counted(row), "confirmed: the weight files hold two bytes for each")
    return _against_rounded(row, count, packed)


def _uncounted(row: dict[str, Any], packed: bool) -> Size:
    """Without an architecture that can be counted, the published figure is the size, if there is one and it can be right."""
    hub = row.get("params_hf") or {}
    published = row.get("params_published") or {}
    stated = rounded_figure(published.get("value", ""))
    total = None if packed else hub.get("value")
    if total and row.get("model_type") == "gpt_neox":
        return Size(check="no count", parameters_withheld="the hub's totals of this family may count the attention-mask buffers")
    if total and stated and abs(total - stated) / stated > _SLIP:
        why = f"the hub's total of {total:,} and the published {published['value']} cannot both be right"
        return Size(check="no count", parameters_withheld=why)
    if total:
        return Size(total, hub["source"], "published only", bool(hub.get("rounded")))
    if stated:
        return Size(stated, published["source"], "published only", rounded=True)
    return Size(check="no count")


def _against_total(row: dict[str, Any], count: float, packed: bool) -> Size | None:
    """The count against the hub's exact total. None where that counts packed words, so that it says nothing."""
    hub = row["params_hf"]
    total = hub["value"]
    explained = counts(row)
    best = min(explained, key=lambda name: (abs(explained[name] - total), name))
    if abs(explained[best] - total) / total > _TOLERANCE:
        if packed:
            return None
        reason = f"the counted {count:,.0f} parameters are {abs(count - total) / total:.1%} off the published {total:,.0f}"
        return Size(check="disagrees", withhold=reason)
    if row.get("source_disagreements", {}).get("tie_word_embeddings"):
        return Size(total, hub["source"], "confirmed: the hub's total and the weight files agree")
    if best not in ("formula", "meta"):
        return Size(count, _counted(row), f"confirmed: the hub's total is the {best}")
    return Size(count, _counted(row), "confirmed") if packed else Size(total, hub["source"], "confirmed")


def _against_rounded(row: dict[str, Any], count: float, packed: bool) -> Size:
    """The count against a rounded figure, or nothing at all."""
    hub = row.get("params_hf") or {}
    published = (row.get("params_published") or {}).get("value", "")
    rough = hub.get("value") if hub.get("rounded") and not packed else rounded_figure(published)
    if not rough:
        return Size(count, _counted(row), "nothing published to compare")
    off = abs(count - rough) / rough
    if off > _ROUNDED_TOLERANCE:
        reason = f"the counted {count:,.0f} parameters are {off:.1%} off the published {published or f'{rough:,.0f}'}"
        return Size(check="disagrees", withhold=reason)
    return Size(count, _counted(row), "rounded figure agrees")


_FORMULA = "counted from its architecture"


def _counted(row: dict[str, Any]) -> str:
    return f"counted: {row['params_meta_source']}" if row.get("params_meta_device") else _FORMULA
