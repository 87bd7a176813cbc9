"""Ids that a public list of the hub's models gives a shape and an exact total (``listed.tsv``) → the shipped ``listed.records``.

The list (its first line says which) holds for each id the fields that its collector read from ``config.json`` and the total of
its safetensors headers. A row is shipped only if both say the same:

- *counted*: the tensors of its own shape, as the program counts them, are exactly the total. That decides the tied head, too,
  and shows that nothing is quantized. Only families whose shape these fields say in full.
- *named*: there is no total of files (the collector's own estimate stands in its place), and the count is within 5 % of the
  size that the name says. Of families whose heads are not tied unless they say so. Whether it is quantized is not known.
- *twin*: type, layers, widths and heads are those of an entry of the catalogue, and the total is one of that entry's counts,
  with the rows that another vocabulary adds or takes. Or no shape could be read, and the total is exactly that of entries of
  this type, all of one shape. It takes the entry's fields; not its context, not its quantization unless the total is that of
  the quantized files.
- *size*: there is no shape that could be counted, but a total that is no rounded figure, no estimate of the collector's
  and not far below the size that the name says. Only the size is shipped.

What agrees with nothing is dropped. A context length is shipped where it cannot be the collector's product of a length and a
factor that engines do not multiply (:func:`_context`).

The same comparison completes entries of the catalogue of which only the tied head or the total was not known
(:func:`completed`).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from servelint.capacity import tensors, vision, weights
from servelint.capacity.model_length import derived_length
from servelint.catalogue import named, packed
from servelint.catalogue.architecture import Architecture
from servelint.catalogue.listed import COLUMNS, expanded_shape
from servelint.facts import UnknownFact

_FILE = Path(__file__).with_name("listed.tsv")
# Families whose layers the listed fields describe in full: no windows, states, or latents beside them.
_PLAIN = frozenset(
    {
        "apertus", "arcee", "bloom", "cohere", "ernie4_5", "exaone", "gemma", "glm", "glm4", "gpt2", "gpt_bigcode", "gpt_neox",
        "granite", "granitemoe", "hunyuan_v1_dense", "internlm2", "llama", "mimo", "mistral", "mixtral", "nemotron", "olmo",
        "olmo2", "olmoe", "opt", "phi", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "seed_oss", "smollm3", "stablelm",
    }
)  # fmt: skip
# Types of which only a size is worth a line: language models and the embedding models that the same engines serve.
_SIZED = frozenset(
    {
        "afmoe", "apertus", "arctic", "aria", "aya_vision", "baichuan", "bailing_hybrid", "bailing_moe", "bert",
        "chameleon", "chatglm", "cohere2", "cohere2_vision", "dbrx", "deepseek_ocr", "deepseek_vl_v2", "dots1",
        "dots_ocr", "exaone4_5", "exaone_moe", "falcon", "falcon_h1", "falcon_mamba", "fuyu", "gemma3", "gemma3_text",
        "gemma3n", "gemma4", "glm4v", "glm4v_moe", "glm5_next", "glm_ocr", "gpt_bigcode", "gpt_neo", "gpt_neox", "gptj",
        "granite_speech", "granitemoehybrid", "grinmoe", "h2ovl_chat", "hunyuan", "hunyuan_vl", "idefics", "idefics2",
        "idefics3", "internlm", "internlm3", "interns1", "internvl", "internvl_chat", "jais", "jamba", "lfm2",
        "lfm2_vl", "llama4", "llava", "llava_next", "llava_onevision", "mamba", "mamba2", "minicpm", "minicpm3",
        "minicpmo", "minicpmv", "minimax_vl_01", "mistral3", "mllama", "modernbert", "molmo", "molmo2", "mpt",
        "nemotron-nas", "nemotron_h", "new", "nomic_bert", "nvembed", "NVLM_D", "olmo3", "ovis", "ovis2", "ovis2_5",
        "paligemma", "persimmon", "phi3", "phi3_v", "phi4flash", "phi4mm", "phimoe", "plamo2", "qwen", "qwen2_5_omni",
        "qwen2_5_vl", "qwen2_audio", "qwen2_vl", "qwen3_omni_moe", "qwen3_vl", "recurrent_gemma", "roberta", "smolvlm",
        "solar", "solar_open", "stablelm_alpha", "starcoder2", "step3_vl", "step_robotics", "t5", "ultravox", "voxtral",
        "xlm-roberta", "xverse", "zamba2",
    }
)  # fmt: skip
_UNTIED = frozenset({"llama", "mistral", "mixtral"})
_SIZE_IN_NAME = re.compile(r"(?<![a-z0-9.])(\d+(?:\.\d+)?)b(?![a-z0-9])")
_ROUNDED = 0.05  # as for the published figures (sizes.py)
_UNSCALED = 32768  # a context up to here is no product: factors of Llama 3.1 to 3.3 make 65,536 and more
_LEAST_OF_NAME = 2 / 3  # a total far below what the name says is of one file of several, or of packed words
_NEAR = 1e-5  # what a few buffers (rotary tables, masks) add to a total; scales of FP8 blocks add six times that


class Row(NamedTuple):
    """One line: what the collector read of an id."""

    id: str
    type: str
    total: int
    shape: dict[str, int]
    context: int | None


def rows() -> list[Row]:
    result = []
    for line in _FILE.read_text().splitlines()[1:]:
        cells = line.split("\t")
        shape = {name: int(cell) for name, cell in zip(COLUMNS, cells[3:-1], strict=True) if cell}
        result.append(Row(cells[0], cells[1], int(cells[2]), shape, int(cells[-1]) if cells[-1] else None))
    return result


def header() -> str:
    """The source, as the first line says it."""
    return _FILE.read_text().partition("\n")[0]


class Known(NamedTuple):
    """An entry of the catalogue that others may be shaped like, with the counts that its files may have."""

    id: str
    architecture: Architecture
    figures: dict[str, float]


def _counted(architecture: Architecture) -> float | None:
    try:
        return weights.text_parameters(architecture)
    except UnknownFact:
        return None


def _tied(architecture: Architecture, total: int) -> bool | None:
    """Whether the head is tied, if the count is exactly the total with it so or so."""
    for tied in (True, False):
        if _counted(architecture._replace(config={**architecture.config, "tie_word_embeddings": tied})) == total:
            return tied
    return None


def _estimate(shape: dict[str, int]) -> int:
    """What the collector writes where it found no total."""
    hidden, inner = shape.get("hidden_size", 0), shape.get("intermediate_size", 0)
    inner = inner or 4 * hidden
    return shape.get("vocab_size", 0) * hidden + shape.get("num_hidden_layers", 0) * (4 * hidden * hidden + 2 * hidden * inner)


def _estimated(row: Row) -> bool:
    """Whether the total is one of the collector's two estimates: the other stands for totals that look quantized to it."""
    shape, hidden = row.shape, row.shape.get("hidden_size", 0)
    heads = shape.get("num_attention_heads") or 1
    width = shape.get("head_dim") or hidden // heads
    attention = 2 * hidden * width * (heads + (shape.get("num_key_value_heads") or heads))
    inner, experts = shape.get("intermediate_size", 0), shape.get("num_experts", 0)
    forward = 3 * hidden * inner or 4 * hidden * hidden
    if experts and inner:
        forward = experts * (3 * hidden * inner + hidden) + 3 * hidden * shape.get("shared_expert_intermediate_size", 0)
    other = 2 * shape.get("vocab_size", 0) * hidden + shape.get("num_hidden_layers", 0) * (attention + forward)
    return bool(hidden) and min(abs(row.total - _estimate(shape)), abs(row.total - other)) <= 1  # it multiplies floats


def _named_size(model_id: str) -> float | None:
    """The one size that the name says, as 7 of ``vicuna-7b-v1.3`` and 1.8 of ``Qwen-1_8B``."""
    name = re.sub(r"(?<![a-z0-9])(\d)_(\d+b)", r"\1.\2", model_id.rpartition("/")[2].lower())
    said = {float(found) for found in _SIZE_IN_NAME.findall(name)}
    return said.pop() * 1e9 if len(said) == 1 else None


def _key(type_: str, shape: dict[str, int]) -> tuple[Any, ...]:
    heads = shape.get("num_attention_heads")
    return type_, shape.get("num_hidden_layers"), shape.get("hidden_size"), heads, shape.get("num_key_value_heads") or heads


def _index(records: dict[str, dict[str, Any]]) -> dict[tuple[Any, ...], list[Known]]:
    found: dict[tuple[Any, ...], list[Known]] = {}
    for record in records.values():
        config = packed.expand(record.get("config") or {})
        if not config.get("hidden_size") or record["completeness"] == "withheld":
            continue
        one = Architecture(
            record["id"], config, record.get("defaults", {}), record.get("parameters"), "", vision=record.get("vision"),
            quantization_inferred=record.get("quantization") == "inferred",
        )  # fmt: skip
        figures = {name: float(value) for name, value in record.get("figures", {}).items() if isinstance(value, int | float)}
        if one.quantization and (one.quantization_inferred or named.ending(one.id) != ""):
            # A copy that somebody quantized: what the hub says of it may be a total of either kind.
            figures = {name: value for name, value in figures.items() if name not in {"hub", "hub_packed"}}
        if "mtp" in figures and "formula" in figures:
            figures["formula + mtp"] = figures["formula"] + figures.pop("mtp")
        if one.parameters and not record.get("rounded"):
            figures["parameters"] = one.parameters
        text = _counted(one)
        if text is not None:
            figures["text"] = text
            figures["text + mtp"] = text + tensors.draft_layer_parameters(one)
        known = Known(record["id"], one, figures)
        for type_ in {str(one.field("model_type")), str(one.field("text_model_type"))} - {"None"}:
            found.setdefault(_key(type_, config), []).append(known)
    for group in found.values():
        group.sort(key=_plainness)
    return found


def _plainness(known: Known) -> tuple[bool, bool, bool, int]:
    """Unquantized entries first, then whole configurations, then those of which most was read."""
    one = known.architecture
    return bool(one.quantization), one.quantization_inferred, not one.class_defaults, -len(one.config)


def _same(row: Row, known: Known) -> bool:
    config = known.architecture.config
    for name in ("head_dim",):
        if row.shape.get(name) and config.get(name) and row.shape[name] != config[name] and not config.get("kv_lora_rank"):
            return False
    width = row.shape.get("intermediate_size")
    widths = {config.get(name) for name in ("intermediate_size", "moe_intermediate_size", "ffn_hidden_size")}
    experts = row.shape.get("num_experts")
    return (width is None or width in widths) and (experts is None or experts == (known.architecture.experts or experts))


def _twin(row: Row, index: dict[tuple[Any, ...], list[Known]]) -> dict[str, Any] | None:
    """The record of a row that is shaped like an entry and has one of its counts."""
    for known in index.get(_key(row.type, row.shape), ()):
        if not _same(row, known):
            continue
        config = known.architecture.config
        vocabulary = row.shape.get("vocab_size") or config.get("vocab_size")
        more = (vocabulary - config["vocab_size"]) * config["hidden_size"] if vocabulary and config.get("vocab_size") else 0
        ties = config.get("tie_word_embeddings", known.architecture.class_defaults.get("tie_word_embeddings"))
        more *= 1 if ties else 2
        packed_names = {"hub", "hub_packed"} if config.get("quantization_config") else set()
        off = {
            name: row.total - value - more
            for name, value in known.figures.items()
            if name not in {"published", "if_tied", "if_untied"}
        }
        if not off:
            continue
        best = min(off, key=lambda name: (abs(off[name]), name))
        if off[best] != 0 and not 0 < off[best] < _NEAR * row.total:
            continue
        record: dict[str, Any] = {"b": known.id, "n": row.total}
        if more:
            record["v"] = vocabulary
        if row.type != config.get("model_type"):
            record["y"] = row.type
        if best in packed_names and off[best] == 0:
            record["q"] = 1  # as the entry's own files are
        elif off[best] != 0:
            record["u"] = 1
        if best.startswith("text") and known.architecture.vision and known.figures["text"] != known.figures.get("parameters"):
            record["x"] = 1  # the language model alone
        return record
    return None


def _by_total(row: Row, index: dict[tuple[Any, ...], list[Known]]) -> dict[str, Any] | None:
    """The record of a row without a shape, of which entries of its type have exactly the total."""
    alike = [known for group in index.values() for known in group if row.total in known.figures.values() and row.total > 1e8]
    alike = [known for known in alike if row.type == known.architecture.config.get("model_type")]
    shapes = {_key(row.type, dict(known.architecture.config)) for known in alike}
    if len(shapes) != 1:
        return None
    known = min(alike, key=_plainness)
    hub = {known.figures.get("hub"), known.figures.get("hub_packed")} if known.architecture.quantization else set()
    return {"b": known.id, "n": row.total, **({"q": 1} if row.total in hub else {})}


def _context(row: Row, base: str, index: dict[tuple[Any, ...], list[Known]]) -> int | None:
    """The context of a row, if it is the length that an engine derives.

    The collector multiplies what ``config.json`` states (at times its ``original_max_position_embeddings``) by the factor of
    the rotary scaling, whatever its type: Llama 3.1's 131,072 became 1,048,576 or 65,536. So a long one counts only if an
    entry of the same type, layers, widths and heads has it, and none makes it by a factor that engines do not multiply. Where
    ``config.json`` states no length the collector takes the sliding window for it.
    """
    if row.context is None:
        return None
    alike = index.get(_key(row.type, row.shape), [])
    if base:
        alike = [*alike, *(known for group in index.values() for known in group if known.id == base)]
    lengths, products, windows = set(), set(), set()
    for known in alike:
        one = known.architecture
        windows.add(one.number("sliding_window", 0))
        derived = derived_length(one, None)
        rope = one.field("rope_scaling") or one.field("rope_parameters")
        if derived is not None:
            lengths |= {derived.tokens, one.number("max_position_embeddings", 0)}
        if derived is not None and isinstance(rope, dict) and isinstance(factor := rope.get("factor"), int | float):
            made = {int(factor * length) for length in (derived.tokens, rope.get("original_max_position_embeddings") or 0)}
            products |= made - {derived.tokens}
    if row.context <= _UNSCALED:
        return row.context if row.context not in windows - lengths else None
    return row.context if row.context in lengths - products else None


def _record(row: Row, index: dict[tuple[Any, ...], list[Known]]) -> tuple[str, dict[str, Any]] | None:
    if not row.shape.get("num_hidden_layers"):
        if (twin := _by_total(row, index)) is not None:
            return "twin by its total", twin
    elif row.shape.get("hidden_size"):
        if row.type in _PLAIN:
            own = Architecture(row.id, expanded_shape(row.type, row.shape), {}, row.total, "")
            values = [row.shape.get(name, 0) for name in COLUMNS]
            while not values[-1]:
                values.pop()
            tied = _tied(own, row.total)
            if tied is not None:
                return "counted", {"s": [row.type, *values], "n": row.total, "t": int(tied)}
            if row.type in _UNTIED and row.total == _estimate(row.shape) and (size := _named_size(row.id)):
                count = _counted(own._replace(config={**own.config, "tie_word_embeddings": False}))
                if count and abs(count / size - 1) <= _ROUNDED:
                    return "named", {"s": [row.type, *values], "n": int(count), "t": 0, "r": 1}
        if _estimated(row):
            return None
        if (twin := _twin(row, index)) is not None:
            return "twin", twin
    if row.type in _SIZED and row.total % 1_000_000 and row.total > _LEAST_OF_NAME * (_named_size(row.id) or 0):
        return "size", {"y": row.type, "n": row.total}
    return None


def build(records: dict[str, dict[str, Any]], names: set[str], report: dict[str, Any]) -> bytes:
    """The bytes of ``listed.records``. ``records``: those of the catalogue, by lower-case id; ``names``: its aliases too."""
    index = _index(records)
    lines: dict[str, str] = {}
    kinds: Counter[str] = Counter()
    for row in rows():
        key = row.id.lower()
        if key in names:
            kinds["in the catalogue"] += 1
            continue
        found = _record(row, index)
        if found is None:
            kinds["dropped: nothing confirms it"] += 1
            continue
        kind, record = found
        kinds[kind] += 1
        if kind != "size" and row.context:
            if (context := _context(row, record.get("b", ""), index)) is not None:
                record["c"] = context
            else:
                kinds["context not confirmed"] += 1
        lines[key] = json.dumps({"id": row.id, **record}, separators=(",", ":"))
    report["listed"] = dict(sorted(kinds.items()))
    return "".join([f" {header()}\n", *(f"{key}\t{lines[key]}\n" for key in sorted(lines))]).encode("ascii")


# What says which layers of a model keep what, and what their tensors need beside it.
_LAYERS = ("layer_types", "layers_block_type", "layer_types_pattern", "layer_types_counts", "full_attention_interval")
_PATTERNS = ("hybrid_override_pattern", "attn_type_list", "compress_ratios", "linear_attn_config", "sliding_window_pattern")
_BESIDE = (
    "intermediate_size", "shared_intermediate_size", "conv_L_cache", "tie_word_embeddings", "linear_conv_kernel_dim",
    "linear_key_head_dim", "linear_num_key_heads", "linear_num_value_heads", "linear_value_head_dim",
    "mtp_num_hidden_layers", "mamba_n_heads", "mamba_d_head", "mamba_d_state", "mamba_n_groups", "mamba_d_conv",
    "mamba_d_ssm",
)  # fmt: skip


def with_layers(records: dict[str, dict[str, Any]], report: dict[str, Any]) -> None:
    """Entries that do not say which layers they have get those of an entry of the same type, widths, heads and exact total."""
    told: dict[tuple[Any, ...], dict[str, Any]] = {}
    for record in records.values():
        config = record.get("config") or {}
        if any(name in config for name in _LAYERS) and record.get("parameters") and not record.get("rounded"):
            for total in {record["parameters"], record.get("figures", {}).get("hub")}:
                told.setdefault((*_key(str(config.get("model_type")), config), total), record)
    count = 0
    for record in records.values():
        config = record.get("config") or {}
        total = record.get("parameters")
        if not config.get("hidden_size") or any(name in config for name in (*_LAYERS, *_PATTERNS)) or not total:
            continue
        if record["completeness"] == "full" or record.get("rounded"):
            continue
        known = told.get((*_key(str(config.get("model_type")), config), total))
        if known is not None and known["id"] != record["id"]:
            more = {
                name: known["config"][name] for name in (*_LAYERS, *_BESIDE) if name in known["config"] and name not in config
            }
            config.update(more)
            if "vision" in known:
                record.setdefault("vision", known["vision"])
            record["sources"]["layers"] = (
                f"as {known['id']}, of the same type, widths, heads and total: {known['sources']['config']}"
            )
            count += 1
    report["layers as an entry of the same total"] = count


def completed(records: dict[str, dict[str, Any]], report: dict[str, Any]) -> None:
    """Entries of which the total or the tied head was not known get what the list and the count of their shape agree on."""
    counts: Counter[str] = Counter()
    source = header()
    for row in rows():
        record = records.get(row.id.lower())
        if record is None or record.get("parameters") is not None or not record.get("config"):
            continue
        if _estimated(row):
            counts["an estimate"] += 1
            continue
        config = packed.expand(record["config"])
        if config.get("quantization_config") or not config.get("hidden_size"):
            continue
        one = Architecture(row.id, config, record.get("defaults", {}), None, "", vision=record.get("vision"))
        stated = one.field("tie_word_embeddings")
        tied = _tied(one, row.total)
        if tied is not None and stated in (None, tied):
            if stated is None:
                record["config"]["tie_word_embeddings"] = tied
                record["sources"]["tie_word_embeddings"] = (
                    f"{source}: its total is the count with{'out' if not tied else ''} a tied head"
                )
            record["check"] = "confirmed: the hub's total is the count"
            if record.get("quantization") == "unknown":
                del record["quantization"]
        elif _tower_fits(one, row.total):
            record["check"] = "published only: the language model's count leaves a tower of that size"
        else:
            counts["not confirmed"] += 1
            continue
        record.get("withheld", {}).pop("parameters", None)
        if record.get("withheld") == {}:
            del record["withheld"]
        record["parameters"] = row.total
        record["sources"]["parameters"] = source
        counts["completed"] += 1
    report["completed from the list"] = dict(sorted(counts.items()))


def _tower_fits(one: Architecture, total: int) -> bool:
    """Whether the total leaves the towers beside the language model: what their fields make, within a third, or without such
    fields 1 to 40 % of a model that sees.
    """
    text = _counted(one)
    if text is None or not vision.has_tower(one):
        return False
    made = vision.vision_parameters(one, text, 0.0, int(one.config["hidden_size"]))
    if made is not None and (one.vision or one.config.get("audio_config")) and made.mid:
        return 0.67 * made.mid < total - text < 1.5 * made.mid
    return 1.01 * text < total < 1.4 * text
