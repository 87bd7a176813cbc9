"""Ids outside the catalogue that plainly name a model it holds: a mirror under another owner, or a base and a quantization.

``RedHatAI/Qwen3-8B-quantized.w4a16`` → ``Qwen/Qwen3-8B`` in 4 bits. What follows is marked as derived from the name; nothing
is derived from names that say more (pruned, merged, GGUF) or that several unlike models share.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from servelint.catalogue import data_files, listed
from servelint.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from servelint.catalogue.architecture import Architecture

_FILE = "models.records"


def _tensors(kind: str, bits: int, **more: Any) -> dict[str, Any]:
    """A compressed-tensors configuration: what llm-compressor's recipes of these names write (docs.vllm.ai, "INT8 W8A8" …)."""
    weights = {"num_bits": bits, "type": "float" if kind == "float" else "int", **more}
    formats = {"float": "float-quantized", "int": "int-quantized", "pack": "pack-quantized"}
    return {"quant_method": "compressed-tensors", "format": formats[kind], "weights": weights, "ignore": ["lm_head"]}


_FP8 = {"quant_method": "fp8"}
_FP8_CHANNEL = _tensors("float", 8, strategy="channel")
_INT8 = _tensors("int", 8, strategy="channel")
_INT4 = _tensors("pack", 4, strategy="group", group_size=128, symmetric=True)
_NVFP4 = {"quant_method": "modelopt", "quant_algo": "NVFP4"}
_BNB4 = {"quant_method": "bitsandbytes", "load_in_4bit": True}
_PLAIN: dict[str, Any] = {}
_AWQ4, _AWQ8 = {"quant_method": "awq", "bits": 4}, {"quant_method": "awq", "bits": 8}
_GPTQ4, _GPTQ8 = {"quant_method": "gptq", "bits": 4}, {"quant_method": "gptq", "bits": 8}
_ROUND4 = {"quant_method": "auto-round", "bits": 4, "group_size": 128, "sym": True}

# How names end, in lower case with "-" for "_"; the longest ending counts. No quantization: {}.
_ENDINGS: dict[str, Mapping[str, Any]] = {
    "fp8": _FP8, "autofp8": _FP8, "fp8-static": _FP8, "fp8-kv": _FP8, "fp8-e4m3": _FP8, "w8a8-fp8": _FP8, "fp8-tensorwise": _FP8,
    "fp8-dynamic": _FP8_CHANNEL, "fp8-channel": _FP8_CHANNEL, "fp8-rowwise": _FP8_CHANNEL,
    "fp8-block": _tensors("float", 8, strategy="block"), "fp8-blockwise": _tensors("float", 8, strategy="block"),
    "quantized.w8a8": _INT8, "w8a8": _INT8, "int8-w8a8": _INT8, "w8a8-int8": _INT8, "int8": _INT8, "channel-int8": _INT8,
    "block-int8": _tensors("int", 8, strategy="block"),
    "quantized.w8a16": _INT8, "w8a16": _INT8, "int8-w8a16": _INT8,
    "quantized.w4a16": _INT4, "w4a16": _INT4, "w4a16-g128": _INT4, "int4-w4a16": _INT4, "int4": _INT4,
    "awq": _AWQ4, "awq-int4": _AWQ4, "awq-4bit": _AWQ4, "awq-w4a16": _AWQ4, "4bit-awq": _AWQ4, "int4-awq": _AWQ4,
    "awq-int8": _AWQ8, "awq-8bit": _AWQ8,
    "gptq": _GPTQ4, "gptq-int4": _GPTQ4, "gptq-4bit": _GPTQ4, "4bit-gptq": _GPTQ4, "int4-gptq": _GPTQ4, "gptq-w4a16": _GPTQ4,
    "int4-gptq-sym-inc": _GPTQ4, "gptq-4b-128g": _GPTQ4, "autoround-4bit-gptq": _GPTQ4, "gptq-int8": _GPTQ8, "gptq-8bit": _GPTQ8,
    "autoround": _ROUND4, "int4-autoround": _ROUND4, "autoround-int4": _ROUND4, "4bit-autoround": _ROUND4,
    "nvfp4": _NVFP4, "nvfp4a16": _NVFP4, "fp4": _NVFP4, "w4a4-nvfp4": _NVFP4,
    "mxfp4": {"quant_method": "modelopt", "quant_algo": "MXFP4"}, "mxfp8": {"quant_method": "modelopt", "quant_algo": "MXFP8"},
    "bnb-4bit": _BNB4, "unsloth-bnb-4bit": _BNB4, "bnb-nf4": _BNB4, "nf4": _BNB4,
    "bnb-8bit": {"quant_method": "bitsandbytes", "load_in_8bit": True},
    "bf16": _PLAIN, "fp16": _PLAIN,
}  # fmt: skip
_LONGEST_FIRST = sorted(_ENDINGS, key=len, reverse=True)
# One shape under two names: a family's tuned and untuned members, and the conversions of one checkpoint.
_TUNINGS = (
    "-instruct", "-it", "-pt", "-chat", "-base", "-hf", "-thinking", "-reasoning", "-captioner", "-terminus", "-speciale",
    "-zero",
)  # fmt: skip
_SHAPE = (
    "model_type", "num_hidden_layers", "hidden_size", "num_attention_heads", "num_key_value_heads", "head_dim",
    "intermediate_size", "moe_intermediate_size", "kv_lora_rank",
)  # fmt: skip


class _Named(NamedTuple):
    base: str
    ending: str  # "" where the name says nothing of a quantization


def _split(tail: str) -> _Named | None:
    """The name without what says how it is quantized; None where it says two things."""
    text = tail.lower().replace("_", "-")
    for ending in _LONGEST_FIRST:
        if text.endswith("-" + ending) and len(text) > len(ending) + 1:
            base = tail[: -len(ending) - 1]
            again = base.lower().replace("_", "-")
            other = next((e for e in _LONGEST_FIRST if again.endswith("-" + e)), None)
            return None if other is not None else _Named(base, ending)
    return _Named(tail, "")


def ending(model_id: str) -> str | None:
    """What the end of a name says of a quantization, in lower case: "" for nothing, None for two things at once."""
    found = _split(model_id.strip().rpartition("/")[2])
    return found.ending if found is not None else None


def _spellings(base: str) -> Iterator[str]:
    """The base's name, then what else it may be called, the surest first."""
    text = base.lower()
    yield text
    yield text.removeprefix("meta-") if text.startswith("meta-") else "meta-" + text
    if (written := _written_out(text)) != text:  # as NIM names its models
        yield from (written, "meta-" + written)
    yield text + "-bf16"
    yield from _siblings(text)
    stem, _, release = text.rpartition("-")
    if stem and len(release) == 4 and release.isdigit():  # a later release of one model: DeepSeek-V3-0324
        yield from (f"{sibling}-{release}" for sibling in _siblings(stem))
        yield stem
        yield from _siblings(stem)


def _written_out(text: str) -> str:
    """``llama3-8b-instruct`` → ``llama-3-8b-instruct``, ``…-v03`` → ``…-v0.3``."""
    if text.startswith("llama") and text[5:6].isdigit():
        text = f"llama-{text[5:]}"
    return f"{text[:-1]}.{text[-1]}" if text[-4:-1] == "-v0" and text[-1].isdigit() else text


def _siblings(text: str) -> Iterator[str]:
    """Names of the same model tuned otherwise."""
    own = next((tuning for tuning in _TUNINGS if text.endswith(tuning)), "")
    stem = text.removesuffix(own)
    if own:
        yield stem
        yield "meta-" + stem
    for tuning in _TUNINGS:
        yield stem + tuning
    if own and own != "-hf":
        yield text + "-hf"


@cache
def _keys(file: str) -> bytes:
    """The ids and aliases of a file in lower case, one a line."""
    return b"\n".join([b"", *(line[: line.index(b"\t")] for line in data_files.contents(file).split(b"\n")[1:-1]), b""])


def _ending_in(file: str, tail: bytes) -> list[str]:
    """Those whose part after the owner is ``tail``, in the file's order. Looking each up is faster than an index of all."""
    keys = _keys(file)
    found: list[str] = []
    if tail + b"\n" not in keys:
        return found
    for before in (b"/", b"\n"):
        at = keys.find(before + tail + b"\n")
        while at >= 0:
            start = keys.rindex(b"\n", 0, at + 1) + 1
            found.append(keys[start : at + 1 + len(tail)].decode())
            at = keys.find(before + tail + b"\n", at + 1)
    return found


def _ids(tail: str) -> Iterator[list[str]]:
    """Those of the catalogue, then those of the list."""
    for file in (_FILE, listed.FILE):
        yield _ending_in(file, tail.encode("ascii"))


def _alike(one: Architecture, other: Architecture) -> bool:
    """Whether no field of the shape that both state differs."""
    pairs = ((one.field(name), other.field(name)) for name in _SHAPE)
    return all(left == right for left, right in pairs if left is not None and right is not None)


def _base(tail: str, find: Callable[[str], Architecture | None], asked: str) -> Architecture | None:
    """The model that all ids of this tail are; None where there is none or they are not of one shape.

    Where the catalogue has such ids of its own, those of the list do not count: anyone may upload under a known name.
    """
    for keys in _ids(tail):
        known = [a for key in keys if key != asked and (a := find(key)) is not None]
        shaped = [a for a in known if a.config.get("hidden_size")] or known
        if shaped:
            if not all(_alike(a, shaped[0]) for a in shaped):
                return None
            return min(shaped, key=lambda a: (a.quantization_inferred, a.quantization_unknown, -len(a.config)))
    return None


def derive(model_id: str, find: Callable[[str], Architecture | None]) -> Architecture | None:
    """What ``model_id`` plainly names, with facts marked as derived from the name. ``find``: the catalogue's exact lookup."""
    asked = model_id.strip().lower()
    tail = model_id.strip().rpartition("/")[2]
    if len(tail) < 4 or not tail.isascii():
        return None
    named = _split(tail)
    # What an NVFP4 checkpoint leaves alone is its maker's choice; another's list says nothing of this one.
    recipes_differ = named is not None and _ENDINGS.get(named.ending) is _NVFP4
    if not recipes_differ and (same := _base(tail.lower(), find, asked)) is not None:
        return _marked(same, model_id, f"the model of the same name, {same.id}")
    if named is None:
        return None
    for spelling in _spellings(named.base):
        base = _base(spelling, find, asked)
        if base is None:
            continue
        if not named.ending:
            guessed = base._replace(quantization_inferred=base.quantization_inferred or base.quantization is not None)
            return _marked(guessed, model_id, f"shaped like {base.id}")
        config = {key: value for key, value in base.config.items() if key not in {"quantization_config", "hf_quant_config"}}
        if quantization := _ENDINGS[named.ending]:
            config["quantization_config"] = dict(quantization)
        shaped = base._replace(config=config, quantization_inferred=bool(quantization), quantization_unknown=False)
        return _marked(shaped, model_id, f"{base.id} in {named.ending}")._replace(checkpoint_bytes=None)
    return None


def is_of_size(architecture: Architecture, total: float | None) -> bool:
    """Whether a published total is that of a shape which only the name gives, within 1 %."""
    own = architecture.parameters
    return bool(total and own and not architecture.quantization and abs(own / total - 1) < 0.01)


def _marked(architecture: Architecture, model_id: str, how: str) -> Architecture:
    return architecture._replace(id=model_id, by_name=True, origin=f"derived from the name: {how}; {architecture.origin}")
