"""Kinds of layers that single families state in fields of their own, and what few others say of their layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.capacity import shape
from servelint.facts import UnknownFact

if TYPE_CHECKING:
    from servelint.catalogue.architecture import Architecture


def _numbers(value: Any) -> list[int]:
    return [item for item in value if isinstance(item, int)] if isinstance(value, list) else []


def own_mixers(architecture: Architecture, kind: str, count: int) -> list[str]:
    """Mixers of the families that say it in fields of their own."""
    if kind in {"kimi_linear", "kimi_k3"}:
        own = architecture.field("linear_attn_config")
        full = _numbers(own.get("full_attn_layers")) if isinstance(own, dict) else []
        if not full:
            architecture.need("linear_attn_config")
        return [shape.MLA if i + 1 in full else shape.DELTA for i in range(count)]  # the checkpoint counts from 1
    if kind.startswith("minimax_m3"):
        own = architecture.field("sparse_attention_config")
        marks = _numbers(own.get("sparse_attention_freq")) if isinstance(own, dict) else []
        if not marks:  # released with the first dense layers unindexed
            marks = [0] * (shape.whole(architecture, "first_k_dense_replace") or 3) + [1] * count
        return [shape.INDEXED if mark else shape.FULL for mark in marks[:count]]
    if kind in {"minimax_m1", "minimax_text_01"}:
        marks = _numbers(architecture.field("attn_type_list"))
        if len(marks) < count:
            architecture.need("attn_type_list")
        return [shape.FULL if mark else shape.LIGHTNING for mark in marks[:count]]
    if kind.startswith(("deepseek_v4", "deepseek_ref")):
        ratios = _numbers(architecture.field("compress_ratios"))
        if len(ratios) < count:
            architecture.need("compress_ratios")
        return [{4: shape.COMPRESSED_4, 128: shape.COMPRESSED_128}.get(ratio, shape.WINDOW_LATENT) for ratio in ratios[:count]]
    if kind == "mllama":
        crossing = _numbers(architecture.field("cross_attention_layers"))
        return [shape.CROSS if i in crossing else shape.FULL for i in range(count)]
    if kind == "jamba":
        period, offset = architecture.need("attn_layer_period"), architecture.need("attn_layer_offset")
        return [shape.FULL if i % max(1, period) == offset else shape.SELECTIVE for i in range(count)]
    return [shape.BESIDE] * count


def indexed_share(architecture: Architecture) -> float:
    """Share of the layers of sparse latent attention that have an indexer of their own; the others take the choice of the layer
    before (``vllm/model_executor/models/deepseek_v2.py`` 0.33: ``index_topk_pattern``, ``index_topk_freq``)."""
    count = shape.layer_count(architecture)
    types = architecture.field("indexer_types")
    if isinstance(types, list) and len(types) >= count:
        return int(sum(str(kind) == "full" for kind in types[:count])) / count
    pattern = architecture.field("index_topk_pattern")
    if isinstance(pattern, (str, list)) and len(pattern) >= count:
        return int(sum(mark != "S" for mark in pattern[:count])) / count
    every, offset = architecture.number("index_topk_freq", 1), architecture.number("index_skip_topk_offset", 2)
    return sum(max(i - offset + 1, 0) % max(1, every) == 0 for i in range(count)) / count


def spread(counts: dict[str, int], layers: int) -> list[str] | None:
    """Kinds of which only the numbers are known, dealt out evenly; None where they are not those of all layers.

    What a whole model holds does not depend on the order; the stages of a pipeline may.
    """
    if sum(counts.values()) != layers or not counts:
        return None
    usual = max(counts, key=lambda kind: counts[kind])
    kinds = [usual] * layers
    for kind, number in counts.items():
        free = [i for i, own in enumerate(kinds) if own == usual]
        if kind != usual:
            for i in range(number):
                kinds[free[int((i + 0.5) * len(free) / number)]] = kind
    return kinds


def searched_kinds(architecture: Architecture) -> tuple[shape.LayerKind, ...]:
    """Models whose blocks were searched, each of a width of its own (``vllm/model_executor/models/nemotron_nas.py``)."""
    blocks = architecture.field("block_configs")
    if not isinstance(blocks, list):
        raise UnknownFact("model.architecture.block_configs", f"the configuration of {architecture.id} does not say it")
    hidden, kinds = shape.hidden_size(architecture), []
    for block in blocks:
        attention, ffn = block.get("attention") or {}, block.get("ffn") or {}
        width = 2 * float(ffn.get("ffn_mult") or 0) * hidden / 3
        rounded = -(-int(width) // 256) * 256
        skips = attention.get("no_op") or attention.get("replace_with_linear")
        kinds.append(shape.LayerKind(shape.NONE if skips else shape.FULL, shape.DENSE if rounded else shape.NONE, rounded))
    return tuple(kinds)


def group_of(architecture: Architecture) -> int:
    """Heads that share one KV head where each block says it: those blocks that attend all say the same."""
    blocks = architecture.field("block_configs")
    stated = {(block.get("attention") or {}).get("n_heads_in_group") for block in blocks} if isinstance(blocks, list) else set()
    groups = [group for group in stated if isinstance(group, int) and group > 0]
    if len(groups) != 1:
        raise UnknownFact("model.architecture.block_configs", f"the blocks of {architecture.id} state no one KV head count")
    return groups[0]
