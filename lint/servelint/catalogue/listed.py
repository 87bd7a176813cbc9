"""Ids of which a public list of the hub gives shape and exact total, and which a count confirmed (``listed.records``).

Each line is short, since there are thousands: its own shape (``s``), the entry that it is shaped like (``b``), or only its type
and size. What the letters mean, and when a row is confirmed: ``tools/catalogue_builder/listed.py``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from servelint.catalogue import data_files
from servelint.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from servelint.catalogue.models import ModelEntry

FILE = "listed.records"
# The fields of a shape, in the order of a line.
COLUMNS = (
    "num_hidden_layers", "hidden_size", "num_attention_heads", "num_key_value_heads", "head_dim", "intermediate_size",
    "vocab_size", "num_experts", "num_experts_per_tok", "shared_expert_intermediate_size",
)  # fmt: skip
# Mixtures of experts whose configurations call an expert's width so.
_PLAIN_WIDTH = frozenset({"mixtral", "granitemoe", "olmoe"})
_LOCAL = frozenset({"mixtral", "granitemoe"})
# Of a model shaped like another: what quantizing, and where a context ends, are its own.
_OWN = (
    "quantization_config",
    "hf_quant_config",
    "max_position_embeddings",
    "rope_scaling",
    "rope_parameters",
    "rope_theta",
    "torch_dtype",
)


def expanded_shape(type_: str, shape: Mapping[str, int]) -> dict[str, Any]:
    """The fields as the family's ``config.json`` names them."""
    config: dict[str, Any] = {"model_type": type_, **{name: value for name, value in shape.items() if value}}
    if config.get("num_experts"):
        if type_ not in _PLAIN_WIDTH and "intermediate_size" in config:
            config["moe_intermediate_size"] = config.pop("intermediate_size")
        if type_ in _LOCAL:
            config["num_local_experts"] = config.pop("num_experts")
    return config


def _source() -> str:
    return data_files.contents(FILE).partition(b"\n")[0].decode().strip()


class _Told(NamedTuple):
    """What a line says of an id, beside its total."""

    config: dict[str, Any]
    completeness: str
    check: str
    shape_source: str
    origin: str
    base: str = ""
    defaults: Mapping[str, Any] = {}
    vision: Mapping[str, Any] | None = None
    parameters: float | None = None  # where the total counts packed words


def _of_its_own(record: dict[str, Any], source: str) -> _Told:
    type_, *values = record["s"]
    config = expanded_shape(type_, dict(zip(COLUMNS, values, strict=False)))
    config["tie_word_embeddings"] = bool(record["t"])
    check = "rounded figure agrees" if "r" in record else "confirmed: the hub's total is the count"
    return _Told(config, "partial", check, source, f"catalogue: shape and size of {record['id']}, {source}")


def _shaped_like(record: dict[str, Any], source: str, known: ModelEntry) -> _Told | None:
    other = known.architecture
    if other is None:
        return None
    config = {key: value for key, value in other.config.items() if key not in _OWN or ("q" in record and "quant" in key)}
    if "v" in record:
        config["vocab_size"] = record["v"]
    if "y" in record:
        config["model_type"] = record["y"]
        config.pop("architectures", None)
    read = f"{known.sources['config']}; that it is shaped so: {source}"
    return _Told(
        config, "derived", "confirmed: shape and total are those of its base", read,
        f"catalogue: {record['id']} as {known.id} (the same shape), {read}", known.id,
        {key: value for key, value in other.class_defaults.items() if key not in _OWN},
        None if "x" in record else other.vision, other.parameters if "q" in record else None,
    )  # fmt: skip


def entry(model_id: str, exact: Callable[[str], ModelEntry | None]) -> ModelEntry | None:
    """The entry of ``model_id``; None if the list has none. ``exact``: the catalogue's own entries."""
    line = data_files.line_of(FILE, model_id)
    if line is None:
        return None
    from servelint.catalogue.architecture import Architecture
    from servelint.catalogue.models import ModelEntry

    record, source = json.loads(line), _source()
    told: _Told | None
    if "s" in record:
        told = _of_its_own(record, source)
    elif "b" in record:
        known = exact(record["b"])
        told = _shaped_like(record, source, known) if known is not None else None
    else:
        size = f"catalogue: published size of {record['id']}, {source}"
        told = _Told({"model_type": record["y"]}, "size-only", "published only", source, size)
    if told is None:
        return None
    if "c" in record:
        told.config["max_position_embeddings"] = record["c"]
    rounded = "r" in record
    architecture = Architecture(
        id=record["id"], config=told.config, class_defaults=told.defaults, parameters=told.parameters or record["n"],
        origin=told.origin, vision=told.vision, quantization_inferred="q" in record,
        quantization_unknown=rounded or "u" in record or told.completeness == "size-only",
    )  # fmt: skip
    return ModelEntry(
        id=record["id"], completeness=told.completeness, architecture=architecture, check=told.check,
        figures={"formula" if rounded else "hub_packed" if "q" in record else "hub": record["n"]},
        sources={"config": told.shape_source, "parameters": "counted from its architecture" if rounded else source},
        withheld={}, notes=(), base=told.base, derivation="shape" if told.base else "", active_parameters=None,
        context_length=None,
    )  # fmt: skip
