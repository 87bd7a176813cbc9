"""Bytes per parameter: what a checkpoint's quantization makes of each tensor, scales included, and what it leaves alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.capacity.limits import missing, version_of
from servelint.estimate import Estimate
from servelint.facts import FactState, UnknownFact
from servelint.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from servelint.capacity.ignored import Ignored
    from servelint.capacity.shape import LayerKind
    from servelint.capacity.tensors import Part
    from servelint.catalogue.architecture import Architecture
    from servelint.deployment import Pool

_DTYPE_BYTES = {
    "float16": 2.0, "fp16": 2.0, "half": 2.0, "bfloat16": 2.0, "bf16": 2.0, "float32": 4.0, "fp32": 4.0, "float": 4.0,
    "float8": 1.0, "fp8": 1.0, "float8_e4m3fn": 1.0, "fp8_e4m3": 1.0, "fp8_e5m2": 1.0, "int8": 1.0, "int4": 0.5, "fp4": 0.5,
    "nvfp4": 0.5625,
}  # fmt: skip
_TWO_BYTE_ENGINES = frozenset({"vllm", "sglang", "tgi", "trtllm"})


def element_bytes(pool: Pool) -> float:
    """Bytes of one activation: of the dtype, and no less than one. Raises :class:`UnknownFact`."""
    return max(dtype_bytes(pool), 1.0)


def dtype_bytes(pool: Pool) -> float:
    """Bytes of one unquantized parameter. Raises :class:`UnknownFact`.

    ``auto`` in the serving engines takes 16 bits whatever the checkpoint says (``vllm/config/model.py``: float32 checkpoints
    are served in float16); a generic engine takes what the configuration says.
    """
    stated = pool.dtype
    name = str(stated.value).lower().removeprefix("torch.") if stated.state is FactState.KNOWN else "auto"
    if name != "auto":
        if name not in _DTYPE_BYTES:
            raise UnknownFact(stated.name, f"{stated.value} is no dtype known here")
        return _DTYPE_BYTES[name]
    if stated.state is FactState.ALTERNATIVES or stated.state is FactState.CONFLICT:
        missing(stated)  # several dtypes
    if pool.engine.get("") in _TWO_BYTE_ENGINES:
        return 2.0
    if pool.architecture.is_known:
        name = str(pool.architecture.value.field("torch_dtype") or pool.architecture.value.field("dtype") or "")
        if name.removeprefix("torch.") in _DTYPE_BYTES:
            return _DTYPE_BYTES[name.removeprefix("torch.")]
    raise UnknownFact(stated.name, "neither the manifest nor the model's configuration states a dtype", "state the dtype")


class Scheme(NamedTuple):
    """Bytes per parameter with the scales of groups; ``row_bytes``: of one more scale per output channel; ``padding``: rows and
    columns that some kernels fill up to a multiple of it."""

    label: str
    bytes: Estimate
    padding: int = 0
    row_bytes: float = 0.0

    def of(self, part: Part) -> Estimate:
        """Bytes per parameter of ``part``."""
        return self.bytes.plus(self.row_bytes / part.columns) if self.row_bytes else self.bytes


def _integer(bits: int, group: int, symmetric: bool | None) -> Scheme:
    """Packed integers with a 16-bit scale per group, and zero points of the same width unless symmetric."""
    scale = 2 / group if group > 0 else 0.0
    zero = bits / 8 / group if group > 0 else 0.0
    base = bits / 8 + scale
    if symmetric is None:
        return Scheme(f"int{bits}, groups of {group}", Estimate(base, base + zero, base + zero))
    return Scheme(f"int{bits}, groups of {group}", Estimate.exact(base if symmetric else base + zero))


FP8 = Scheme("fp8", Estimate.exact(1.0))
NVFP4 = Scheme("nvfp4, one fp8 scale per 16", Estimate.exact(0.5 + 1 / 16))
MXFP4 = Scheme("mxfp4, one 8-bit scale per 32", Estimate.exact(0.5 + 1 / 32), padding=128)
MXFP8 = Scheme("mxfp8, one 8-bit scale per 32", Estimate.exact(1 + 1 / 32))
INT8 = Scheme("int8", Estimate.exact(1.0))
BNB4 = Scheme("bitsandbytes 4 bit, one scale per 64", Estimate(0.5 + 1 / 64, 0.5 + 4 / 64, 0.5 + 4 / 64))
_BNB4_TWICE = Scheme("bitsandbytes 4 bit, its scales quantized too", Estimate.exact(0.5 + 1 / 64 + 4 / 64 / 256))
_MIXED = Scheme("mixed fp8 and nvfp4", Estimate(0.5625, 0.78, 1.0))
_BY_ALGORITHM = {
    "FP8": FP8, "NVFP4": NVFP4, "W4A16_NVFP4": NVFP4, "MXFP4": MXFP4, "MXFP8": MXFP8, "W4A16": _integer(4, 128, True),
    "W8A8": INT8, "INT8": INT8, "INT4": _integer(4, 128, None), "W4A8": _integer(4, 128, True), "MIXED_PRECISION": _MIXED,
}  # fmt: skip


class Exact(dict[str, Scheme]):
    """The schemes of a mixed checkpoint by layer and the name below it; of one reading of it, and told apart by that."""

    __hash__ = object.__hash__  # type: ignore[assignment]


class Quantization(NamedTuple):
    """How a model is quantized. ``ignored``: names and patterns left alone; ``exact``: names with a scheme of their own;
    ``certain``: read from the checkpoint rather than inferred from its name; ``experts``: the routed ones' own scheme."""

    label: str
    scheme: Scheme
    ignored: Ignored | None = None
    exact: Exact | None = None
    experts_only: bool = False
    certain: bool = True
    head: bool = False
    experts: Scheme | None = None
    more: float = 1.1  # how much more a module may take where nothing but a name says how it is quantized

    def told_apart_by(self, layer: int) -> object:
        """What is said of ``layer`` itself: equal tensors of layers of which the same is said are treated alike."""
        if self.exact is not None:
            return layer
        return self.ignored.told_apart_by(layer) if self.ignored is not None else None

    def bytes_of(self, part: Part, layer: int, plain: float) -> Estimate:
        """Bytes per parameter of ``part`` in ``layer`` where an unquantized one takes ``plain``."""
        role = part.role
        if role != "expert" and (self.experts_only or (role != "linear" and not (role == "head" and self.head))):
            return Estimate(plain, plain, plain)
        names = _hf_names(part.name)
        if self.exact is not None and (found := _lookup(self.exact, names, layer)) is not None:
            return found.of(part)
        if self.ignored is not None and self.ignored.has_any(layer, names):
            return Estimate(plain, plain, plain)
        if self.experts is not None and role == "expert":
            return self.experts.of(part)
        if self.certain:
            return self.scheme.of(part)
        low, mid, high = self.scheme.of(part)
        # Inferred from a name: some checkpoints of that name leave attention alone, which nobody has looked at; those in four
        # bits of a floating type often do.
        four = self.scheme in {NVFP4, MXFP4}
        if self.scheme is NVFP4:
            from servelint.capacity.ignored import kept_by_nvfp4  # lazily: few checkpoints are known by name alone

            mid = max(mid, kept_by_nvfp4(part.name, plain))
        more = high * 1.02 if role == "expert" or (four and part.name.startswith("mlp.")) else min(plain, high * self.more)
        return Estimate(low, mid, max(high, plain if four and not part.name.startswith("mlp.") else more))


def alike(quantization: Quantization | None, kinds: Iterable[tuple[int, LayerKind]]) -> list[tuple[int, int, LayerKind]]:
    """(one layer, how many are like it, their kind) of the numbered layers: what holds of the one holds of all of them."""
    groups: dict[tuple[LayerKind, object], list[int]] = {}
    for layer, kind in kinds:
        apart = quantization.told_apart_by(layer) if quantization is not None else None
        groups.setdefault((kind, apart), []).append(layer)
    return [(layers[0], len(layers), kind) for (kind, _), layers in groups.items()]


_SEPARATE = {
    "self_attn.qkv_proj": ("self_attn.q_proj",),
    "linear_attn.in_proj_qkvz": ("linear_attn.in_proj_qkv", "linear_attn.in_proj_qkvz"),
    "mlp.gate_up_proj": ("mlp.gate_proj",),
    "mlp.experts.gate_up_proj": ("mlp.experts.0.gate_proj", "mlp.experts.0.w1", "mlp.experts"),
    "mlp.experts.up_proj": ("mlp.experts.0.up_proj", "mlp.experts.0.w1", "mlp.experts"),
    "mlp.experts.down_proj": ("mlp.experts.0.down_proj", "mlp.experts.0.w2", "mlp.experts"),
    "experts.gate_up_proj": ("experts.0.gate_proj", "experts"),
    "experts.down_proj": ("experts.0.down_proj", "experts"),
    "mlp.shared_experts.gate_up_proj": ("mlp.shared_experts.gate_proj", "mlp.shared_expert.gate_proj"),
    "mlp.shared_experts.down_proj": ("mlp.shared_experts.down_proj", "mlp.shared_expert.down_proj"),
}


def _hf_names(name: str) -> tuple[str, ...]:
    """What a checkpoint calls the tensors that the engine stores as one."""
    return _SEPARATE.get(name, (name,))


def _lookup(exact: Mapping[str, Scheme], names: Iterable[str], layer: int) -> Scheme | None:
    for name in names:
        if (found := exact.get(f"{layer}.{name}")) is not None:
            return found
    return None


def _group_scheme(weights: Mapping[str, Any]) -> Scheme | None:
    bits, kind = weights.get("num_bits"), weights.get("type")
    group = weights.get("group_size") or 0
    if bits == 8:
        scheme = FP8 if kind == "float" else INT8 if not group else _integer(8, group, True)
        return scheme._replace(row_bytes=4.0) if weights.get("strategy") == "channel" else scheme
    if bits == 4 and kind == "float":
        return NVFP4 if group in {0, 16} else MXFP4
    if bits in {2, 3, 4, 5, 6} and isinstance(bits, int):
        symmetric = weights.get("symmetric", True) is not False
        if not group:  # not said: 128 is usual, 32 is in use (Kimi K2)
            usual, fine = _integer(bits, 128, symmetric), _integer(bits, 32, symmetric)
            return Scheme(f"int{bits}, groups not stated", Estimate(usual.bytes.low, usual.bytes.mid, fine.bytes.high))
        return _integer(bits, group, symmetric)
    return None


def _unknown(method: object) -> Scheme:
    return Scheme(f"{method}: not described, between 4 and 16 bits", Estimate(0.5, 1.0, 2.0))


def _layered(entries: Mapping[str, Any]) -> Exact:
    """``quantized_layers`` of a mixed-precision checkpoint, keyed by layer and the name below it."""
    from servelint.capacity.ignored import usual_name

    result = Exact()
    for name, value in entries.items():
        _, found, tail = usual_name(name).partition("layers.")
        algorithm = str(value.get("quant_algo", "")) if isinstance(value, dict) else ""
        if found and algorithm in _BY_ALGORITHM:
            result[tail] = _BY_ALGORITHM[algorithm]
    return result


def _ignored(listed: object) -> Ignored | None:
    if not isinstance(listed, list | tuple) or not listed:
        return None
    from servelint.capacity.ignored import Ignored  # lazily: most checkpoints have no such list

    return Ignored(str(entry) for entry in listed)


def _whole(value: object) -> int | None:
    """The whole number that is written as a number or a text; None for anything else."""
    try:
        return int(value) if isinstance(value, int | float | str) else None
    except (ValueError, OverflowError):
        return None


def _from_config(config: Mapping[str, Any], certain: bool) -> Quantization:
    inner = config.get("quantization") if isinstance(config.get("quantization"), dict) else None
    if inner is not None:
        config = {**config, **inner}
    method = str(config.get("quant_method") or "").lower()
    algorithm = str(config.get("quant_algo") or "").upper()
    listed = config.get("ignore") or config.get("modules_to_not_convert") or config.get("exclude_modules") or ()
    ignored = _ignored(listed)
    groups = config.get("config_groups")
    if method in {"awq", "gptq", "auto-round", "auto_round", "intel/auto-round"}:
        bits = _whole(config.get("bits") or config.get("w_bit"))
        group = _whole(config.get("group_size") or config.get("q_group_size")) or 128
        if not bits:  # a name of two widths, or of none
            four, eight = _integer(4, group, None).bytes, _integer(8, group, None).bytes
            scheme = Scheme(f"{method}, bits not stated", Estimate(four.low, four.mid, eight.high))
            return Quantization(method, scheme, ignored, certain=False)
        symmetric = None if config.get("sym") is None and config.get("zero_point") is None else bool(config.get("sym", False))
        certain = certain and "group_size" in config
        return Quantization(f"{method} {bits} bit", _integer(bits, group, symmetric), ignored, certain=certain)
    if method == "mxfp4":
        return Quantization("mxfp4 experts", MXFP4, ignored, experts_only=True, certain=certain)
    if method in {"fp8", "fbgemm_fp8", "ptpc_fp8"} and not config.get("moe_quant_algo"):
        return Quantization(method, FP8, ignored, certain=certain)
    if method == "bitsandbytes":
        scheme = INT8 if config.get("load_in_8bit") else BNB4
        return Quantization("bitsandbytes", scheme, ignored, certain=certain)
    layered = config.get("quantized_layers")
    if algorithm in _BY_ALGORITHM:
        exact = _layered(layered) if isinstance(layered, dict) else None
        scheme = _MIXED if algorithm == "MIXED_PRECISION" else _BY_ALGORITHM[algorithm]
        return Quantization(
            f"modelopt {algorithm}",
            scheme,
            ignored,
            exact,
            certain=certain,
            head=ignored is not None and not ignored.has_any(-1, ("lm_head",)),
        )
    weights: list[Mapping[str, Any]] = []
    if isinstance(groups, dict):
        weights = [g["weights"] for g in groups.values() if isinstance(g, dict) and isinstance(g.get("weights"), dict)]
    elif isinstance(config.get("weights"), dict):
        weights, certain = [config["weights"]], False
    schemes = [found for w in weights if (found := _group_scheme(w)) is not None]
    if schemes:
        low, high = min(s.bytes.low for s in schemes), max(s.bytes.high for s in schemes)
        mid = sum(s.bytes.mid for s in schemes) / len(schemes)
        one = schemes[0] if len(schemes) == 1 else Scheme("several groups", Estimate(low, mid, high))
        experts_only = ignored is not None and ignored.mentions("self_attn") and ignored.mentions("shared_experts")
        return Quantization(f"compressed-tensors {one.label}", one, ignored, certain=certain, experts_only=experts_only)
    by_name = {"float-quantized": FP8, "nvfp4-pack-quantized": NVFP4, "mxfp4-pack-quantized": MXFP4,
               "pack-quantized": _integer(4, 128, None), "int-quantized": INT8}  # fmt: skip
    for key in (method, str(config.get("format") or "")):
        if key in by_name:
            return Quantization(key, by_name[key], ignored, certain=False)
    return Quantization(method or algorithm, _unknown(method or algorithm or "this method"), ignored, certain=False)


# Families that are released quantized without saying so in their names: there, silence about it says nothing.
_QUANTIZED_AT_RELEASE = (
    "deepseek_v3",
    "deepseek_v4",
    "kimi_k",
    "minimax_m2",
    "minimax_m3",
    "gpt_oss",
    "ministral3",
    "bailing",
    "hunyuan_v1_moe",
)
# A checkpoint of which nobody has said whether it is quantized: unquantized is the middle, four bits the favourable end.
_OPEN = Quantization("not known to be unquantized", Scheme("4 to 16 bits", Estimate(0.53, 2.0, 2.0)))
_INT4 = _integer(4, 128, None)
_READ: dict[int, tuple[Mapping[str, Any], bool, Quantization]] = {}  # by identity, with the object held so that it stays unique


def _read(config: Mapping[str, Any], certain: bool) -> Quantization:
    """:func:`_from_config`, once per configuration: an ignore list may have hundreds of entries."""
    known = _READ.get(id(config))
    if known is None or known[0] is not config or known[1] is not certain:
        if len(_READ) >= 8:
            _READ.clear()
        known = _READ[id(config)] = (config, certain, _from_config(config, certain))
    return known[2]


def _says_nothing(model_id: str) -> bool:
    """Whether a name says nothing of a quantization; quantized copies of plain checkpoints say so."""
    from servelint.catalogue.named import ending  # lazily: few checkpoints leave this open

    return ending(model_id) == ""


_ONLINE = {
    "fp8": FP8, "ptpc_fp8": FP8, "w8a8_fp8": FP8, "modelopt": FP8,
    "experts_int8": INT8, "int8": INT8, "w8a8_int8": INT8, "eetq": INT8,
    "mxfp8": MXFP8, "nvfp4": NVFP4, "modelopt_fp4": NVFP4, "fp4": NVFP4, "mxfp4": MXFP4, "bitsandbytes": BNB4,
    "int4": _INT4, "awq": _INT4, "awq_marlin": _INT4, "gptq": _INT4, "gptq_marlin": _INT4,
    # As TGI's launcher, SGLang's server arguments and TensorRT-LLM's QuantAlgo name them:
    "bitsandbytes-nf4": _BNB4_TWICE, "bitsandbytes-fp4": _BNB4_TWICE, "marlin": _INT4, "modelopt_fp8": FP8, "nvfp4_online": NVFP4,
    "moe_wna16": _INT4, "w4afp8": _INT4, "fp8_block_scales": FP8, "w4a16_awq": _INT4, "w4a8_awq": _INT4,
}  # fmt: skip


def _experts_in_four_bits(pool: Pool) -> Scheme:
    """MXFP4 beside fp8. Up to 0.5.15 SGLang's Marlin path, Hopper's, kept the checkpoint's scales in 32 bits beside those it
    made of them (``mxfp4_marlin_moe.py``; 0.5.16 ``marlin_utils_fp4.py`` lets go of the stale ones). So do the images built for
    the model before a release knew it: 125.65 GiB of V4-Pro on an H200 at TP 8 (SemiAnalysisAI/InferenceX issue 2128)."""
    version = version_of(pool)
    if pool.engine.get("") != "sglang" or (version is not None and version >= (0, 5, 16)):
        return MXFP4._replace(padding=0)
    once, both = 0.5 + 1 / 32, 0.5 + (1 + 4) / 32
    hopper = pool.accelerator.is_known and pool.accelerator.value.compute_capability == (9, 0)
    early = version is not None or any(":deepseek-v4" in str(c.image.get("")) for c in pool.containers)
    return Scheme(MXFP4.label, Estimate(once, both if hopper and early else once, both))


# Who publishes checkpoints in 8 bits by one recipe: every linear layer but the head. 12 of theirs in llm-d-planner pull request
# 205 and its table for 0.11, and Qwen3.8-27B-FP8 in vllm-project/recipes, are within 0.1 % of it.
_ONE_RECIPE = frozenset({"redhatai", "neuralmagic", "qwen"})


def quantization_of(pool: Pool, architecture: Architecture | None) -> Quantization | None:
    """How the model of ``pool`` is quantized; None for not at all. Raises :class:`UnknownFact` where the flag is unreadable.

    A checkpoint's own ``quantization_config`` decides; the engine's flag matters for checkpoints that have none.
    """
    stated = pool.quantization
    if stated.state not in {FactState.KNOWN, FactState.UNKNOWN} or (
        stated.state is FactState.UNKNOWN and stated.reason != "not stated"
    ):
        missing(stated)
    name = str(stated.get("") or "").lower()
    if architecture is not None:
        config = architecture.quantization
        if config is None or (set(config) <= {"quant_algo"} and isinstance(architecture.config.get("hf_quant_config"), dict)):
            better = architecture.config.get("hf_quant_config")
            config = better if isinstance(better, dict) else config
        if config is not None:
            found = _read(config, not architecture.quantization_inferred)
            if not found.certain and found.scheme.bytes.low >= 1 and architecture.id.partition("/")[0].lower() in _ONE_RECIPE:
                found = found._replace(more=1.02)
            if architecture.config.get("expert_dtype") == "fp4" and found.experts is None and found.scheme is FP8:
                # DeepSeek V4: fp8 says what the rest is; the experts are in 4 bits with a scale per 32.
                return found._replace(label=f"{found.label}, experts mxfp4", experts=_experts_in_four_bits(pool))
            return found
    if name in {"", "none", "null", "auto"}:
        if architecture is not None and architecture.quantization_unknown and name == "":
            size, count = architecture.checkpoint_bytes, architecture.parameters
            if size and count:
                return None if size > 1.9 * count else _OPEN
            kind = str(architecture.field("model_type") or "")
            return None if kind and not kind.startswith(_QUANTIZED_AT_RELEASE) and _says_nothing(architecture.id) else _OPEN
        return None
    if name == "bitsandbytes" and pool.engine.get("") == "tgi":
        return Quantization("bitsandbytes 8 bit", INT8, certain=False)  # LLM.int8; four bits are bitsandbytes-nf4 there
    if name in _ONLINE:
        return Quantization(
            name, _ONLINE[name], experts_only=name in {"experts_int8", "mxfp4"}, certain=name in {"fp8", "ptpc_fp8"}
        )
    return Quantization(name, _unknown(name), certain=False)
