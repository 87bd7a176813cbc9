"""Models by their Hugging Face id: architecture and size, each with its source and how it was checked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from servelint.catalogue import data_files, packed
from servelint.catalogue.architecture import Architecture
from servelint.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

_FILE = "models.records"
_UNITS = {"T": 1e12, "B": 1e9, "M": 1e6}


class ModelEntry(NamedTuple):
    """What the catalogue holds of one id.

    ``completeness``: ``full`` (a whole config.json was read), ``partial`` (some of its fields), ``derived`` (the fields of
    ``base``, whose shape this id shares; ``derivation`` says by what: shape or name), ``size-only``, ``withheld`` (only the id,
    perhaps a published size). ``figures``: parameter counts side by side (``formula``, ``mtp``, ``meta``, ``hub``,
    ``hub_packed``, ``published``). ``check``: how far they agree. ``sources``: what was read where, by field. ``withheld``:
    field → why it is not given. ``active_parameters`` and ``context_length`` are published, rounded figures.
    """

    id: str
    completeness: str
    architecture: Architecture | None
    check: str
    figures: Mapping[str, Any]
    sources: Mapping[str, str]
    withheld: Mapping[str, str]
    notes: tuple[str, ...]
    base: str
    derivation: str
    active_parameters: float | None
    context_length: int | None


def find(model_id: str) -> Architecture | None:
    """The architecture of ``model_id`` (or an alias, in any case); only ``parameters`` where the catalogue knows only a size.

    An id that the catalogue does not hold but that plainly names one which it does is derived from it (``by_name``). None where
    there is nothing: :func:`entry` says whether the id is known at all and what was withheld.
    """
    found = entry(model_id)
    if found is not None and found.completeness != "size-only":
        return found.architecture
    own = found.architecture if found is not None else None
    if model_id.strip("/ ").count("/") != 1 or model_id.startswith("/"):
        return own
    from servelint.catalogue import named  # lazy: most ids are in the catalogue

    derived = named.derive(model_id, exact)
    if own is None or derived is None or "hidden_size" not in derived.config:
        return own or derived
    return derived if named.is_of_size(derived, own.parameters) else own


def exact(model_id: str) -> Architecture | None:
    """The architecture of an id or alias that the catalogue holds; nothing is derived from names."""
    found = entry(model_id)
    return found.architecture if found is not None else None


def entry(model_id: str) -> ModelEntry | None:
    """Everything the catalogue holds of ``model_id``; None if it does not know the id. One record is parsed, or two."""
    found = _own(model_id)
    if found is None and "/" in model_id:
        from servelint.catalogue import listed  # lazy: most ids that manifests name have a record of their own

        return listed.entry(model_id.strip(), _own)
    return found


def _own(model_id: str) -> ModelEntry | None:
    """What stands in ``models.records``."""
    line = data_files.line_of(_FILE, model_id.strip())
    if line is None:
        return None
    record = json.loads(line)
    if b'"$' in line:
        record = packed.expand(record)
    return ModelEntry(
        id=record["id"],
        completeness=record["completeness"],
        architecture=_architecture(record),
        check=record["check"],
        figures=record.get("figures", {}),
        sources=record["sources"],
        withheld=record.get("withheld", {}),
        notes=tuple(record.get("notes", ())),
        base=record.get("base", ""),
        derivation=record.get("derivation", ""),
        active_parameters=_figure(record.get("active", "")),
        context_length=record.get("context_length"),
    )


def names() -> list[str]:
    """Every id and alias as its owner spells it, sorted without regard to case."""
    return data_files.names_in(_FILE)


def suggest(text: str) -> list[str]:
    """Ids that look like ``text``, best first."""
    return data_files.nearest(text, names())


def _architecture(record: Mapping[str, Any]) -> Architecture | None:
    config = record.get("config")
    parameters = record.get("parameters")
    if config is None and parameters is None:
        return None
    quantization = record.get("quantization")
    return Architecture(
        id=record["id"],
        config=config or {},
        class_defaults=record.get("defaults", {}),
        parameters=parameters,
        origin=_origin(record),
        checkpoint_bytes=record.get("checkpoint_bytes"),
        vision=record.get("vision"),
        quantization_inferred=quantization == "inferred",
        quantization_unknown=quantization == "unknown" or config is None,
        parameters_rounded=record.get("rounded", False),
    )


def _origin(record: Mapping[str, Any]) -> str:
    name, sources = record["id"], record["sources"]
    if record.get("config") is None:
        return f"catalogue: published size of {name}, {sources['parameters']}"
    if record["completeness"] == "derived":
        how = "the same shape" if record["derivation"] == "shape" else "by its name a quantization of it"
        return f"catalogue: {name} as {record['base']} ({how}), {sources['config']}"
    what = "config.json" if record["completeness"] == "full" else "fields of the config.json"
    return f"catalogue: {what} of {name}, {sources['config']}"


def _figure(text: str) -> float | None:
    """``3B`` → 3e9; None for anything else."""
    try:
        return float(text[:-1]) * _UNITS[text[-1:]]
    except (KeyError, ValueError):
        return None
