"""``models.jsonl`` and ``configs/`` of the facts → the shipped ``models.records``. The rules stand in ``build_catalogue.py``."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from catalogue_builder import packing, sizes
from servelint.catalogue import config_json, data_files

if TYPE_CHECKING:
    from pathlib import Path

# Fields of an entry that are not fields of config.json.
_NOT_CONFIG = frozenset(
    {
        "aliases", "also_in", "checkpoint_check_pct_vs_2bytes", "checkpoint_file_bytes", "class_defaults", "completeness",
        "config_file", "context_length", "derivation", "derived_from", "hf_quant_config", "id", "is_moe",
        "layer_types_counts", "layer_types_pattern", "max_position_embeddings_source", "normalized", "note",
        "num_hidden_layers_derived", "params_check", "params_formula", "params_formula_excludes", "params_formula_if_tied",
        "params_formula_if_untied", "params_hf", "params_meta_device", "params_meta_source", "params_mtp_formula",
        "params_published", "quantization_config", "quantization_config_inferred", "quantization_config_of_base",
        "quantization_config_source", "source", "source_disagreements", "text_fields_from", "tie_word_embeddings_source",
        "vision",
        }
)  # fmt: skip
_COMPLETENESS_ORDER = ("full", "partial", "derived", "size-only")
_LITGPT = "Lightning-AI/litgpt"
_COMPILED = "/compile/files/"
# compressed-tensors names its formats so (CompressionFormat); the catalogue they were read from writes them as the method.
_FORMATS = ("float-quantized", "nvfp4-pack-quantized", "pack-quantized")


_INDEX = re.compile(r"(?:public )?code index,? ids? ")


class Built(NamedTuple):
    """One shipped record."""

    record: dict[str, Any]
    aliases: tuple[str, ...]


def build(rows: list[dict[str, Any]], directory: Path, report: dict[str, Any]) -> dict[str, Built]:
    """The records by id in lower case; ``report`` gets the counts."""
    by_id = {row["id"]: row for row in rows}
    built: dict[str, Built] = {}
    counts: dict[str, Counter[str]] = {"shipped": Counter(), "size": Counter(), "withheld": Counter(), "dropped": Counter()}
    details: dict[str, list[str]] = {}
    for row in sorted(rows, key=lambda row: _COMPLETENESS_ORDER.index(row["completeness"])):
        key = row["id"].lower()
        if key in built:
            counts["dropped"]["same id in other case, less complete"] += 1
            details.setdefault("same id in other case, less complete", []).append(row["id"])
            continue
        record = _record(row, by_id, directory)
        built[key] = Built(record, tuple(row.get("aliases", ())))
        counts["shipped"][record["completeness"]] += 1
        counts["size"][record["check"].partition(":")[0]] += 1
        for field, reason in record.get("withheld", {}).items():
            counts["withheld"][f"{field}: {reason.partition(';')[0]}" if field != "architecture" else f"{field}: {reason}"] += 1
            details.setdefault(field, []).append(row["id"])
    report["models"] = {name: dict(sorted(c.items())) for name, c in counts.items()}
    report["details"] = details
    return built


def lines(built: dict[str, Built]) -> dict[str, str]:
    """What stands beside each id and alias in ``models.records``."""
    found = {key: json.dumps(item.record, separators=(",", ":")) for key, item in built.items()}
    for key, item in built.items():
        for alias in item.aliases:
            found.setdefault(alias.lower(), f"={key}\t{alias}")
    return found


def written(found: dict[str, str]) -> bytes:
    return "".join([" models of the Hugging Face hub\n", *(f"{key}\t{found[key]}\n" for key in sorted(found))]).encode("ascii")


def _record(row: dict[str, Any], by_id: dict[str, dict[str, Any]], directory: Path) -> dict[str, Any]:
    size = sizes.judge(row, by_id)
    completeness = row["completeness"]
    record: dict[str, Any] = {"id": row["id"], "completeness": "withheld" if size.withhold else completeness}
    sources: dict[str, str] = {"config": row["source"]}
    notes = [row["note"]] if row.get("note") and "recalled" not in row["note"] else []
    withheld: dict[str, str] = {}
    if size.withhold:
        withheld["architecture"] = size.withhold
        sources["config"] = row["source"].partition("; link to this id")[0]
    elif completeness != "size-only":
        config, vision = _config(row, directory)
        _quantization(row, config, record, sources, withheld, directory)
        _context(row, by_id, config, sources, withheld)
        if len(row.get("source_disagreements", {}).get("tie_word_embeddings", ())):
            config.pop("tie_word_embeddings", None)
            withheld["tie_word_embeddings"] = "sources disagree"
        record["config"] = packing.packed(config)
        if completeness == "full":
            defaults = _defaults(row, config)
            if defaults:
                record["defaults"] = defaults
        if vision:
            record["vision"] = packing.packed(vision)
        if row.get("derived_from"):
            record["base"] = row["derived_from"]
            record["derivation"] = "name" if row["derivation"].startswith("by name") else "shape"
    if row.get("context_length"):
        record["context_length"] = row["context_length"]
    if size.parameters is not None:
        record["parameters"] = size.parameters
        sources["parameters"] = size.source
        if size.rounded:
            record["rounded"] = True
    record["check"] = size.check
    if size.parameters_withheld:
        withheld["parameters"] = size.parameters_withheld
    figures = sizes.figures(row, by_id) if not size.withhold else {}
    if figures:
        record["figures"] = figures
    stored = row.get("checkpoint_file_bytes")
    if stored and not size.withhold:
        if reason := sizes.checkpoint_withheld(row):
            withheld["checkpoint_bytes"] = reason
        else:
            record["checkpoint_bytes"] = stored["value"]
            sources["checkpoint_bytes"] = f"{stored['source']} (sum of the weight files, ±{stored['precision_gib']} GiB)"
    active = (row.get("params_published") or {}).get("active")
    if active:
        record["active"] = active
    record["sources"] = {field: _INDEX.sub("public code index, id ", text) for field, text in sources.items()}
    if notes:
        record["notes"] = notes
    if withheld:
        record["withheld"] = withheld
    return record


def _config(row: dict[str, Any], directory: Path) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The flat fields: of the whole config.json where there is one, and what the facts state beside it."""
    stated = {name: value for name, value in row.items() if name not in _NOT_CONFIG}
    vision = row.get("vision")
    config: dict[str, Any] = {}
    if row.get("config_file"):
        config, own = config_json.flatten(json.loads((directory / row["config_file"]).read_text()))
        vision = own or vision
        config.pop("quantization_config", None)
    for name, value in stated.items():
        if value is None and name in ("architectures", "tie_word_embeddings", "torch_dtype", "max_position_embeddings"):
            continue
        if name not in config:
            config[name] = value
        elif config[name] != value:
            raise ValueError(f"{row['id']}: {name} is {config[name]!r} in its config.json, {value!r} in the facts")
    counts = row.get("layer_types_counts")
    period = (row.get("layer_types_pattern") or {}).get("period")
    if "layer_types" not in config and counts and period:
        kinds = [period[i % len(period)] for i in range(sum(counts.values()))]
        if Counter(kinds) == counts:
            config["layer_types"] = kinds
    if counts and "layer_types" not in config:
        config["layer_types_counts"] = counts  # how many of each kind, though not in which order
    return config_json.with_common_names(config), vision


def _quantization(
    row: dict[str, Any],
    config: dict[str, Any],
    record: dict[str, Any],
    sources: dict[str, str],
    withheld: dict[str, str],
    directory: Path,
) -> None:
    """``quantization_config`` as the engine will see it, and whether it was read, inferred, or is unknown."""
    quantization = _stated_quantization(row, directory)
    if row.get("quantization_config_inferred"):
        record["quantization"] = "inferred"
        sources["quantization_config"] = row["quantization_config_source"]
        contradiction = _name_contradicts(row["id"], quantization or {})
        if contradiction:
            quantization = {key: value for key, value in (quantization or {}).items() if key != "bits"}
            withheld["quantization_config.bits"] = f"inferred; the name says {contradiction}"
        if " or " in str((quantization or {}).get("quant_method", "")):
            # Two methods store it alike; which one is not known.
            quantization = {key: value for key, value in (quantization or {}).items() if key != "quant_method"}
    elif quantization is None and row["completeness"] != "full" and not sizes.is_surely_unquantized(row):
        record["quantization"] = "unknown"
    if quantization:
        if quantization.get("quant_method") in _FORMATS:
            quantization = {"quant_method": "compressed-tensors", "format": quantization["quant_method"]}
        config["quantization_config"] = quantization


def _stated_quantization(row: dict[str, Any], directory: Path) -> dict[str, Any] | None:
    """Of the files themselves where they are kept, since the entry shortens long lists.

    modelopt checkpoints from before 0.31 keep it in ``hf_quant_config.json`` alone, which vLLM then takes
    (vllm/transformers_utils/config.py, get_config).
    """
    stated: dict[str, Any] | None = row.get("quantization_config")
    if row.get("config_file"):
        raw = json.loads((directory / row["config_file"]).read_text())
        part = config_json.text_part(raw) or {}
        stated = part.get("quantization_config") or raw.get("quantization_config")
        beside = directory / row["config_file"].replace(".json", ".hf_quant_config.json")
        if beside.exists():
            own = json.loads(beside.read_text())["quantization"]
            if stated is None:
                stated = {"quant_method": "modelopt", **own}
            elif "kv_cache_scheme" not in stated and own.get("kv_cache_quant_algo"):
                stated = {**stated, "kv_cache_quant_algo": own["kv_cache_quant_algo"]}
    return {key: value for key, value in stated.items() if key != "producer"} if stated else None


def _name_contradicts(model_id: str, quantization: dict[str, Any]) -> str:
    """What the id says of bits that an inferred configuration does not."""
    said = re.findall(r"int\d+|\d+-?bit|fp16mix|bf16|int\d+mix", model_id.rpartition("/")[2].lower())
    bits = quantization.get("bits")
    if bits is None:
        return ""
    other = [word for word in said if str(bits) not in word]
    return ", ".join(said) if other else ""


def _context(
    row: dict[str, Any],
    by_id: dict[str, dict[str, Any]],
    config: dict[str, Any],
    sources: dict[str, str],
    withheld: dict[str, str],
) -> None:
    """``max_position_embeddings`` of derived ids comes from other sources; one of them gives a training length instead.

    The files of a model compiled for an accelerator state the length that it was compiled for.
    """
    if _COMPILED in row.get("source", "") and "seq_length" in config and not row.get("max_position_embeddings"):
        del config["seq_length"]
        config.pop("max_position_embeddings", None)
        withheld["seq_length"] = "the source holds a compiled model, and gives the length that it was compiled for"
    source = row.get("max_position_embeddings_source", "")
    base = by_id.get(row.get("derived_from", ""), {})
    if source.startswith(_LITGPT) and (row.get("max_position_embeddings") or 0) < (base.get("max_position_embeddings") or 0):
        del config["max_position_embeddings"]
        withheld["max_position_embeddings"] = "litgpt's block_size is below the limit of the model it is derived from"
    elif source:
        sources["max_position_embeddings"] = source


def _defaults(row: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """Class defaults for what a whole config.json leaves out: of the transformers classes, then the facts' computed ones."""
    line = data_files.line_of("class_defaults.records", str(config.get("text_model_type") or config.get("model_type") or ""))
    defaults = {name: value for name, value in (json.loads(line) if line else {}).items() if name not in config}
    for name, value in (row.get("class_defaults") or {}).get("values", {}).items():
        if name not in config:
            if name != "head_dim" and defaults.get(name, value) != value:
                raise ValueError(f"{row['id']}: class default {name} is {defaults[name]!r} and {value!r}")
            defaults[name] = value
    if config.get("kv_lora_rank"):
        defaults.pop("head_dim", None)  # for MLA the class calls its rope part so
    return dict(sorted(defaults.items()))
