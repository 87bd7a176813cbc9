"""The shape of a model: what kind each of its layers is, read from the fields of its configuration.

Two layers of one kind hold the same tensors and keep the same cache, so everything after this works on kinds and counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.facts import UnknownFact
from servelint.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Concatenate, ParamSpec, TypeVar

    from servelint.catalogue.architecture import Architecture

    P = ParamSpec("P")
    T = TypeVar("T")

FULL = "full"  # every token's keys and values
SLIDING = "sliding"  # those of the last `window` tokens
MLA = "mla"  # one compressed latent per token
LINEAR = "linear"  # gated delta net: a state of constant size
MAMBA = "mamba"  # a state-space layer: a state of constant size
CONV = "conv"  # a short convolution: a few tokens of state
DELTA = "delta"  # Kimi's delta attention: a state of constant size
SELECTIVE = "selective"  # the first Mamba: a state of constant size
LIGHTNING = "lightning"  # MiniMax's linear attention: a state of constant size
INDEXED = "indexed"  # every token's keys and values, and a key of an indexer beside them
CROSS = "cross"  # keys and values of an image
BESIDE = "full and mamba"  # attention and a state-space mixer in one layer
WINDOW_LATENT, COMPRESSED_4, COMPRESSED_128 = "latent window", "latent of 4", "latent of 128"  # DeepSeek V4
NONE = "none"
# Mixers that keep a state of constant size for each request, alone or beside keys and values.
STATES = frozenset({LINEAR, MAMBA, SELECTIVE, CONV, DELTA, LIGHTNING, BESIDE})

DENSE = "dense"
MOE = "moe"

# Families whose attention or cache no formula here describes: their parts are never guessed.
UNDESCRIBED = frozenset(
    {
        "phi3small", "rwkv", "bamba", "zamba2", "glm5_next", "deepseek_v41",
    }
)  # fmt: skip

# Families of which every member sees: without a tower's own fields the remainder of the published total is the tower.
SEEING = frozenset(
    {
        "qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe", "llama4", "mllama", "mistral3", "pixtral",
        "glm4v", "glm4v_moe", "kimi_vl", "kimi_k25", "kimi_k3", "internvl_chat", "phi4mm", "gemma3n", "minimax_m3_vl", "llava",
        "llava_next", "llava_onevision", "deepseek_vl_v2", "step3p7", "molmo", "qwen3_omni_moe",
    }
)  # fmt: skip

# Families that say in fields of their own which layer sees what.
_OWN_FIELDS = (
    "kimi_linear",
    "kimi_k3",
    "minimax_m1",
    "minimax_text_01",
    "minimax_m3",
    "deepseek_v4",
    "deepseek_ref",
    "mllama",
    "falcon_h1",
    "jamba",
)

_KIND_OF = {
    "full_attention": FULL, "attention": FULL, "global": FULL, "deepseek_sparse_attention": MLA, "hybrid": FULL,
    "sliding_attention": SLIDING, "chunked_attention": SLIDING, "local": SLIDING,
    "linear_attention": LINEAR, "mamba": MAMBA, "conv": CONV, "minimax_m3_sparse": INDEXED,
    "heavily_compressed_attention": COMPRESSED_128, "compressed_sparse_attention": COMPRESSED_4,
}  # fmt: skip


class LayerKind(NamedTuple):
    """``mixer``: how tokens see each other; ``mlp``: the feed-forward part; ``width``: of it, where layers differ, else 0."""

    mixer: str
    mlp: str
    width: int = 0


# Nemotron-H: each layer is one block, a mixer or a feed-forward.
_BLOCKS = {
    "M": LayerKind(MAMBA, NONE), "*": LayerKind(FULL, NONE), "-": LayerKind(NONE, DENSE), "E": LayerKind(NONE, MOE),
    "mamba": LayerKind(MAMBA, NONE), "attention": LayerKind(FULL, NONE), "mlp": LayerKind(NONE, DENSE),
    "moe": LayerKind(NONE, MOE),
}  # fmt: skip


_KEPT: dict[int, tuple[Architecture, dict[Any, Any]]] = {}  # by identity, with the object held so that it stays unique


def kept(function: Callable[Concatenate[Architecture, P], T]) -> Callable[Concatenate[Architecture, P], T]:
    """A function of an architecture that keeps what it gave for the architectures that were asked about last.

    The pools of a run serve few models, and each of them is asked about for several ranks and layouts.
    """

    def remembered(architecture: Architecture, /, *arguments: P.args, **named: P.kwargs) -> T:
        known = _KEPT.get(id(architecture))
        if known is None or known[0] is not architecture:
            if len(_KEPT) >= 8:
                _KEPT.clear()
            known = _KEPT[id(architecture)] = (architecture, {})
        asked = (function, arguments, *named.items())
        if asked not in known[1]:
            known[1][asked] = function(architecture, *arguments, **named)
        answer: T = known[1][asked]
        return answer

    return remembered


def family(architecture: Architecture) -> str:
    """``model_type`` of the text model, without the suffix that marks it as the text part of a multimodal one."""
    name = architecture.field("text_model_type") or architecture.field("model_type") or ""
    return str(name).removesuffix("_text").removesuffix("_text_model")


def first(architecture: Architecture, *names: str) -> Any:
    """The value of the first field that is there, else None."""
    for name in names:
        value = architecture.field(name)
        if value is not None:
            return value
    return None


def whole(architecture: Architecture, *names: str, default: int = 0) -> int:
    value = first(architecture, *names)
    if type(value) is int or value is None:  # nearly always, and an estimate asks some hundred times
        return default if value is None else value
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else default


def flag(architecture: Architecture, name: str, default: bool = False) -> bool:
    value = architecture.field(name)
    return default if value is None else bool(value)


def _count(architecture: Architecture, *names: str) -> int:
    """The first of the fields, which must be at least 1; raises :class:`UnknownFact` naming the usual one."""
    value = whole(architecture, *names) or architecture.need(names[0])
    if value < 1:
        raise UnknownFact(f"model.architecture.{names[0]}", f"{value} in the configuration of {architecture.id} makes no model")
    return value


def layer_count(architecture: Architecture) -> int:
    return _count(architecture, "num_hidden_layers", "n_layer", "num_layers", "n_layers")


def hidden_size(architecture: Architecture) -> int:
    return _count(architecture, "hidden_size", "n_embd", "d_model")


def heads(architecture: Architecture) -> int:
    return _count(architecture, "num_attention_heads", "n_head", "n_heads")


def kv_heads(architecture: Architecture) -> int:
    """KV heads of one attention layer. Configurations from before grouped queries mean one KV head per head."""
    if flag(architecture, "multi_query_attention"):
        return whole(architecture, "multi_query_group_num", default=1)
    if (
        family(architecture) == "falcon"
        and not flag(architecture, "new_decoder_architecture")
        and flag(architecture, "multi_query")
    ):
        return 1
    if family(architecture) == "nemotron-nas":
        from servelint.capacity.kinds import group_of

        return heads(architecture) // group_of(architecture)
    return whole(architecture, "num_key_value_heads", "num_kv_heads", "n_head_kv") or heads(architecture)


def head_dim(architecture: Architecture) -> int:
    stated = whole(architecture, "head_dim", "kv_channels", "attention_head_dim")
    width = stated or hidden_size(architecture) // heads(architecture)
    if width < 1:
        raise UnknownFact("model.architecture.head_dim", f"the configuration of {architecture.id} leaves {width} for a head")
    return width


def value_head_dim(architecture: Architecture) -> int:
    """Width of a value head where it differs from the key head (not for MLA, whose cache holds neither)."""
    return whole(architecture, "v_head_dim") or head_dim(architecture)


def vocabulary(architecture: Architecture) -> int:
    return _count(architecture, "vocab_size", "padded_vocab_size")


def window(architecture: Architecture) -> int:
    """Tokens that a sliding-window or chunked layer sees; 0 where the model has none."""
    return whole(architecture, "sliding_window", "attention_chunk_size")


def _mixers(architecture: Architecture, count: int) -> list[str]:
    """One mixer per layer. Names of fields and their meaning: the transformers configuration classes."""
    kind = family(architecture)
    whole_attention = MLA if architecture.is_mla else FULL
    if kind.startswith(_OWN_FIELDS):
        from servelint.capacity.kinds import own_mixers  # lazily: of single families

        return own_mixers(architecture, kind, count)
    stated = first(architecture, "layer_types", "layers_block_type")
    if not isinstance(stated, list):
        pattern = architecture.field("layer_types_pattern")
        period = pattern.get("period") if isinstance(pattern, dict) else None
        stated = [period[i % len(period)] for i in range(count)] if period else None
    if stated is None and isinstance(counts := architecture.field("layer_types_counts"), dict):
        from servelint.capacity.kinds import spread

        stated = spread(counts, count)
    if stated and len(stated) >= count:
        named = [_KIND_OF.get(str(name)) for name in stated[:count]]
        if None in named:
            raise UnknownFact(
                "model.architecture.layer_types",
                f"{architecture.id} has layers of a kind that is not described: {stated[named.index(None)]}",
            )
        return [whole_attention if name == FULL else str(name) for name in named]
    if every := whole(architecture, "full_attention_interval"):
        mixers = [whole_attention if (i + 1) % every == 0 else LINEAR for i in range(count)]
    elif isinstance(marks := architecture.field("hybrid_layer_pattern"), list) and len(marks) >= count:
        mixers = [SLIDING if mark == 1 else whole_attention for mark in marks[:count]]
    elif isinstance(every := first(architecture, "sliding_window_pattern", "_sliding_window_pattern"), int) and every > 1:
        mixers = [whole_attention if (i + 1) % every == 0 else SLIDING for i in range(count)]
    elif kind in {"gemma2", "gpt_oss"}:
        mixers = [SLIDING if i % 2 == 0 else whole_attention for i in range(count)]
    elif kind in {"gemma3", "gemma4"}:
        ends = kind == "gemma4"  # with a layer that sees everything (transformers, Gemma4TextConfig)
        mixers = [whole_attention if (i + 1) % 6 == 0 or (ends and i + 1 == count) else SLIDING for i in range(count)]
    elif kind == "gemma3n":
        mixers = [whole_attention if (i + 1) % 5 == 0 else SLIDING for i in range(count)]
    elif kind == "llama4":
        mixers = [whole_attention if (i + 1) % 4 == 0 else SLIDING for i in range(count)]
    elif kind in {"mistral", "mixtral", "starcoder2", "phi3"} and window(architecture):
        mixers = [SLIDING] * count
    else:
        mixers = [whole_attention] * count
    return mixers if window(architecture) else [whole_attention if mixer == SLIDING else mixer for mixer in mixers]


def _is_moe(architecture: Architecture, index: int) -> bool:
    if index in (first(architecture, "mlp_only_layers") or ()):
        return False
    if period := whole(architecture, "expert_layer_period"):  # Jamba
        return index % period == whole(architecture, "expert_layer_offset")
    frequency = architecture.field("moe_layer_freq")
    if isinstance(frequency, list):
        return index < len(frequency) and bool(frequency[index])
    if index < whole(architecture, "first_k_dense_replace", "moe_layer_start_index", "num_dense_layers"):
        return False
    if (step := whole(architecture, "decoder_sparse_step", "interleave_moe_layer_step")) > 1:
        return (index + 1) % step == 0
    return not isinstance(frequency, int) or frequency <= 1 or index % frequency == 0


@kept
def layer_kinds(architecture: Architecture) -> tuple[LayerKind, ...]:
    """The kind of every layer, in order. Raises :class:`UnknownFact` for families that no formula here describes."""
    kind = family(architecture)
    if kind in UNDESCRIBED:
        raise UnknownFact("model.architecture", f"the layers of {kind} models ({architecture.id}) are not described here yet")
    if kind == "nemotron-nas":
        from servelint.capacity.kinds import searched_kinds

        return searched_kinds(architecture)
    if kind == "nemotron_h":
        pattern = first(architecture, "hybrid_override_pattern", "layers_block_type")
        if not pattern or any(mark not in _BLOCKS for mark in pattern):
            raise UnknownFact(
                "model.architecture.hybrid_override_pattern", f"the block pattern of {architecture.id} is not known"
            )
        return tuple(_BLOCKS[mark] for mark in pattern)
    count = layer_count(architecture)
    if kind in {"mamba", "falcon_mamba"}:
        return (LayerKind(SELECTIVE, NONE),) * count
    experts = architecture.experts
    widths = architecture.field("intermediate_size")
    if isinstance(widths, list) and len(widths) == count and not experts:
        return tuple(LayerKind(mixer, DENSE, int(w)) for mixer, w in zip(_mixers(architecture, count), widths, strict=True))
    return tuple(
        LayerKind(mixer, MOE if experts and _is_moe(architecture, index) else DENSE)
        for index, mixer in enumerate(_mixers(architecture, count))
    )


@kept
def kind_counts(architecture: Architecture) -> dict[LayerKind, int]:
    """How many layers of each kind, in order of first appearance."""
    counts: dict[LayerKind, int] = {}
    for kind in layer_kinds(architecture):
        counts[kind] = counts.get(kind, 0) + 1
    return counts


def stage_layers(engine: str, layers: int, stages: int) -> tuple[int, ...]:
    """Layers of each pipeline stage as the engine splits them.

    vLLM (``vllm/distributed/utils.py`` ``get_pp_indices``) gives the remainder to the stages before the last; SGLang took the
    same function over. TensorRT-LLM (``tensorrt_llm/mapping.py``, ``tensor_split``) gives it to the first stages.

    Raises :class:`UnknownFact` for more stages than layers: no engine starts, and a stage without layers has no memory to tell.
    """
    if stages > layers:
        raise UnknownFact("parallelism.pipeline", f"{stages} stages for {layers} layers", "give every stage a layer")
    base, rest = divmod(layers, stages)
    counts = [base] * stages
    for i in range(rest):
        if engine == "trtllm":
            counts[i] += 1
        else:
            counts[-(i + 2)] += 1
    return tuple(counts)
