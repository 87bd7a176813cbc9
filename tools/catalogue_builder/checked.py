"""Added entries against their own shape: what the tensors count must be the published total, to the rounding of that."""

from __future__ import annotations

from typing import Any

from servelint.capacity import tensors, vision, weights
from servelint.catalogue import packed
from servelint.catalogue.architecture import Architecture
from servelint.facts import UnknownFact

_EXACT = 0.01
_ROUNDED = 0.05  # as in sizes.py: two digits, often cut instead of rounded
_TOWERS = 1.9  # a model that sees or hears may have so much beside its language model: InternVL3-1B has 0.3 of 0.9 billion
# Totals that hold more than the model that is served, and what.
_MORE = {"stepfun-ai/Step-3.5-Flash": "three prediction layers, each with embeddings and a head of its own"}


def faults(records: dict[str, dict[str, Any]], ids: list[str]) -> list[str]:
    """One sentence for each of ``ids`` whose count is not its total. Those without a total, or whose layers are not described,
    have nothing to compare.
    """
    found = []
    for name in ids:
        record = records.get(name.lower(), {})
        total = record.get("parameters")
        if name in _MORE or not total or record["completeness"] == "size-only" or not record.get("config"):
            continue
        config = packed.expand(record["config"])
        one = Architecture(name, config, record.get("defaults", {}), total, "", vision=record.get("vision"))
        try:
            count = weights.text_parameters(one)
        except UnknownFact:
            continue
        within = _ROUNDED if record.get("rounded") else _EXACT
        counts = [count, count + tensors.draft_layer_parameters(one)]
        if any(abs(each / total - 1) <= within for each in counts):
            continue
        if vision.has_tower(one) and count < total < _TOWERS * count:
            continue
        found.append(f"{name}: its tensors count {count:,.0f} parameters, {count / total - 1:+.1%} off {total:,.0f}")
    return found
