"""Weights: bytes per GPU of each pipeline stage, tensor by tensor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.capacity import shape, tensors
from servelint.capacity.buffers import charged_bytes, latent_workspace_bytes, rotary_table_bytes
from servelint.capacity.limits import missing, speculates, version_of
from servelint.capacity.quantization import Quantization, alike, dtype_bytes, quantization_of
from servelint.capacity.step import Step, gib
from servelint.estimate import Estimate
from servelint.facts import UnknownFact
from servelint.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from servelint.capacity.layout import Layout
    from servelint.capacity.shape import LayerKind
    from servelint.capacity.tensors import Part, Shards
    from servelint.catalogue.architecture import Architecture
    from servelint.deployment import Pool
    from servelint.engines.versions import Version

READINGS_AGREE = 0.10  # two statements of one parameter count further apart than this are two readings (PLN909)
_NAMED = 0.01  # what a shape that only a name gives may be off: vocabularies and towers of one family differ by less
_REST = 0.0015  # small buffers and the allocator's tail, not followed one by one: largest residual of 40 unquantized start-ups
# Modules of multi-token prediction take the table and the head of their model where all of it is on one stage: ``_maybe_share_…``
# in vllm/v1/spec_decode/eagle.py of 0.16.0 and 0.19.1, llm_base_proposer.py of 0.22.1 and 0.28.0.
_SHARES_WITH_DRAFT = (0, 16, 0)
COUNT_AGREES = 0.01  # the tensors' sum and the published count within this confirm each other


class Weights(NamedTuple):
    """``stages``: bytes per GPU of each pipeline stage; ``layers``: layers of each (empty where only a size is known).

    ``counted``: parameters of the tensors that are described, None where none are; ``draft``: of MTP modules, not in ``stages``.
    """

    stages: tuple[Estimate, ...]
    layers: tuple[int, ...]
    counted: float | None
    stated: float | None
    steps: tuple[Step, ...]

    @property
    def largest(self) -> Estimate:
        return max(self.stages, key=lambda stage: stage.mid)


@shape.kept
def text_parameters(architecture: Architecture) -> float:
    """Parameters of the text model without MTP modules, of the whole checkpoint.

    A vocabulary that is not stated counts nothing: plans give a shape without one. Raises :class:`UnknownFact` for
    anything else that is missing.
    """
    total: float = tensors.last_norm(architecture)
    for kind, layers in shape.kind_counts(architecture).items():
        total += layers * sum(part.parameters for part in tensors.layer_parts(architecture, kind))
    if shape.whole(architecture, "vocab_size", "padded_vocab_size"):
        total += sum(p.parameters for p in tensors.embedding_parts(architecture))
        if not _ties(architecture, total):
            total += tensors.head_part(architecture).parameters
    return total


def _ties(architecture: Architecture, without_head: float) -> bool:
    """Whether there is no separate LM head; where nothing says it, the published count decides, else a head is counted."""
    tied = tensors.is_tied(architecture)
    if tied is None and architecture.parameters:
        head = tensors.head_part(architecture).parameters
        return abs(architecture.parameters - without_head) < abs(architecture.parameters - without_head - head)
    return bool(tied)


class _Rank:
    """The bytes of parts on one rank, under one quantization."""

    def __init__(self, quantization: Quantization | None, plain: float, engine: str, version: Version | None = None) -> None:
        self.quantization = quantization
        self.version = version
        self.plain = plain
        self.rounds = engine in {"vllm", "sglang"}

    def bytes(self, parts: Iterable[Part], layer: int) -> Estimate:
        low = mid = high = 0.0
        for part in parts:
            count = part.parameters
            if part.role == "single":
                low, mid, high = low + 4 * count, mid + 4 * count, high + 4 * count
                continue
            per = self.quantization.bytes_of(part, layer, self.plain) if self.quantization else None
            if per is None or (per.is_exact and (per.mid == self.plain or 1 <= per.mid < 1.01)):
                exact = count * (per.mid if per else self.plain)
                charged = charged_bytes(exact) if self.rounds else exact
                low, mid, high = low + exact, mid + charged, high + charged
            else:
                # Packed words, scales and zero points are tensors of their own, charged in many small pieces.
                low, mid, high = low + count * per.low, mid + count * per.mid, high + count * per.high * 1.01
            if per is not None and per.mid < self.plain and self.rounds and part.name.endswith("kv_b_proj"):
                # MLA absorbs the up-projection into the queries: a quantized one is kept a second time in the activations'
                # dtype (vllm/v1/attention/backends/mla/common.py process_weights_after_loading).
                mid, high = mid + count * self.plain, high + count * self.plain
            if self.quantization and self.quantization.scheme.padding and part.role == "expert":
                factor = _padding(part, self.quantization.scheme.padding, self.version)
                mid += count * self.quantization.scheme.bytes.mid * (factor.mid - 1)
                high += count * self.quantization.scheme.bytes.high * (factor.high - 1)
        return Estimate(low, mid, high)


def _up(value: float, multiple: int) -> float:
    return -(-value // multiple) * multiple


def _padding(part: Part, block: int, version: Version | None) -> Estimate:
    """How much more than a checkpoint's MXFP4 experts the kernels keep.

    Marlin fills each of gate and up to the block and the model width to twice the block, FlashInfer's TensorRT-LLM kernels all
    to twice the block. Triton, which vLLM takes on Hopper from 0.11 on, fills gate and up to half the block and keeps the
    checkpoint's scales beside those it swizzles (vLLM 0.19.1 ``fused_moe/oracle/mxfp4.py``:
    ``mxfp4_round_up_hidden_size_and_intermediate_size``, ``convert_to_mxfp4_moe_kernel_format``); its kernels of 0.17 and later
    fill what is summed over to 128 values and the rows of scales to 256 (``triton_kernels`` ``hopper_value.py``,
    ``hopper_scale.py``). gpt-oss on H100 logged 65.97 GiB for 120b with Marlin in 0.10 and 64.38 with Triton, for 20b 13.47 in
    0.11 and 13.64 / 7.01 / 3.63 at TP 1 / 2 / 4 in 0.19; this gives 65.9, 64.1, 13.4 and 13.61 / 6.98 / 3.57.
    """
    gated = "gate_up" in part.name
    up = "down" not in part.name
    own, model = (part.rows / (2 if gated else 1), part.columns) if up else (part.columns, part.rows)
    marlin = _up(model, 2 * block) / model * (_up(own, block) / own)
    widest = _up(model, 2 * block) / model * (_up(own, 2 * block) / own)
    filled = _up(own, block // 2) / own
    rows, summed = (part.rows * filled, model) if up else (model, own * filled)
    swizzles = version is None or version >= (0, 17, 0)
    values = 0.5 * rows * (_up(summed, block) if swizzles else summed)
    scales = (rows + (_up(rows, 2 * block) if swizzles else rows)) * summed / 32
    triton = (values + scales) / (part.rows * part.columns * (0.5 + 1 / 32))
    middle = marlin if version is None or version < (0, 11, 0) else triton
    return Estimate(1.0, middle, max(1.02 * marlin, 1.02 * triton, widest))


def _stage_bytes(rank: _Rank, a: Architecture, kinds: Sequence[tuple[int, LayerKind]], shards: Shards) -> Estimate:
    parts = {kind: tensors.layer_parts(a, kind, shards) for kind in {kind for _, kind in kinds}}
    total = Estimate.exact(0.0)
    for layer, count, kind in alike(rank.quantization, kinds):
        total = total.plus(rank.bytes(parts[kind], layer).times(count))
    return total


def _vision(a: Architecture, text: float, draft: float) -> Estimate | None:
    if not a.vision and "audio_config" not in a.config and str(a.field("model_type")) not in shape.SEEING:
        return None
    from servelint.capacity.vision import vision_parameters  # lazily: most models have no tower

    return vision_parameters(a, text, draft, shape.hidden_size(a))


def _draft(pool: Pool, a: Architecture, rank: _Rank, shards: Shards, engine: str) -> Estimate | None:
    """Bytes of what speculative decoding loads, on the last stage; None without."""
    from servelint.capacity.drafts import draft_of  # lazily: few pools speculate

    draft = draft_of(pool)
    if draft is None:
        return None
    hidden = shape.hidden_size(a)
    joined = 2 * hidden * hidden * rank.plain  # the projection of embedding and hidden state, whole on every rank
    if draft.own:
        total = Estimate.exact(0.0)
        for kind in draft.own:
            layer = rank.bytes(tensors.layer_parts(a, kind, shards), len(shape.layer_kinds(a)))
            total = total.plus(Estimate(layer.low, layer.mid + joined, layer.high + joined))
        vocabulary = rank.bytes(tensors.embedding_parts(a, engine, shards), -1).high if shape.whole(a, "vocab_size") else 0.0
        recent = rank.version is not None and rank.version >= _SHARES_WITH_DRAFT
        if engine == "vllm" and recent and pool.pipeline.get(1) == 1:
            vocabulary = 0.0
        return Estimate(total.low, total.mid, total.high + 2 * vocabulary)  # its table and head, where it does not share them
    if draft.model is not None:
        plain = _Rank(None, rank.plain, engine)
        one = _stage_bytes(plain, draft.model, list(enumerate(shape.layer_kinds(draft.model))), shards)
        parts = [*tensors.embedding_parts(draft.model, engine, shards), tensors.head_part(draft.model, engine, shards)]
        ends = plain.bytes(parts, -1)
        return Estimate(0.25 * one.mid, one.mid + ends.mid / (2 if tensors.is_tied(draft.model) else 1), one.high + ends.high)
    kinds = shape.layer_kinds(a)
    dense = next((kind for kind in kinds if kind.mlp == shape.DENSE), None)
    layer = _Rank(None, rank.plain, engine).bytes(tensors.layer_parts(a, dense, shards), -1) if dense else Estimate.exact(joined)
    return Estimate(0.0, layer.mid + joined, 2 * layer.high + 2 * joined + 2 * hidden * 65536 * rank.plain)


@shape.kept
def _stages(
    a: Architecture, layout: Layout, plain: float, quantization: Quantization | None, version: Version | None
) -> tuple[tuple[Estimate, ...], tuple[int, ...]]:
    """Bytes of each stage from the tensors, without what is speculated with, and its layers."""
    kinds = shape.layer_kinds(a)
    engine = layout.engine
    rank = _Rank(quantization, plain, engine, version)
    shards = tensors.Shards.of(layout)
    # With SGLang's data-parallel attention each of its ranks has the whole table (``enable_tp=not is_dp_attention_enabled()``).
    whole = engine == "sglang" and layout.attention_data > 1
    cut = shards._replace(tensor=layout.attention_tensor) if whole else shards
    layers = shape.stage_layers(engine, len(kinds), layout.pipeline)
    known_vocabulary = shape.whole(a, "vocab_size", "padded_vocab_size") > 0
    text = text_parameters(a)
    tied = known_vocabulary and _ties(a, text)
    vision = _vision(a, text, tensors.draft_layer_parameters(a))
    tables = rotary_table_bytes(a, engine, plain).plus(latent_workspace_bytes(a, engine, version))
    result: list[Estimate] = []
    start = 0
    for stage, count in enumerate(layers):
        numbered = list(enumerate(kinds))[start : start + count]
        start += count
        own = _stage_bytes(rank, a, numbered, shards).plus(tables)
        first, last = stage == 0, stage == layout.pipeline - 1
        if known_vocabulary and first:
            own = own.plus(rank.bytes(tensors.embedding_parts(a, engine, cut), -1))
        if known_vocabulary and last and not (tied and first):
            # A tied head is the embedding table again, which the last stage needs as well.
            head = rank.bytes([tensors.head_part(a, engine, shards)], -1)
            if cut is not shards:  # unless --enable-dp-lm-head cuts it as the embedding
                head = head._replace(high=rank.bytes([tensors.head_part(a, engine, cut)], -1).high)
            own = own.plus(head)
        if vision is not None and first:
            from servelint.capacity.vision import tower_on_a_rank

            own = own.plus(tower_on_a_rank(a, vision, layout.tensor, shape.hidden_size(a)).times(plain))
        result.append(own.plus(tensors.last_norm(a) * plain if last else 0.0))
    return tuple(result), layers


def _described(pool: Pool, a: Architecture, layout: Layout) -> tuple[list[Estimate], tuple[int, ...]]:
    """Bytes of each stage from the tensors, with what is speculated with on the last one, and its layers."""
    shape.layer_kinds(a)  # without them nothing else of the pool matters
    plain, quantization, version = dtype_bytes(pool), quantization_of(pool, a), version_of(pool)
    described, layers = _stages(a, layout, plain, quantization, version)
    stages = list(described)
    if speculates(pool):
        rank = _Rank(quantization, plain, layout.engine, version)
        draft = _draft(pool, a, rank, tensors.Shards.of(layout), layout.engine)
        if draft is not None:
            if layout.engine == "sglang" and tensors.draft_layer_parameters(a):
                # A module lets go of its own table and head after the pool is sized: 5.53 GiB of Qwen3.6-27B's, 0.8 the layer.
                draft = draft._replace(mid=draft.high)
            stages[-1] = stages[-1].plus(draft)
    if layout.engine == "sglang":
        from servelint.capacity.sglang_pool import beside_tensors  # lazily: only of SGLang's pools

        beside = beside_tensors(pool)
        stages = [own.plus(beside) for own in stages]
    rest = _NAMED if a.by_name else _REST
    return [Estimate(own.low * (1 - rest), own.mid, own.high * (1 + rest)) for own in stages], layers


def _by_size(pool: Pool, parameters: float, layout: Layout, architecture: Architecture | None) -> list[Estimate]:
    """Stages of a model of which only the size is known.

    An even split is the least; replicated tensors, end stages with the embeddings and uneven layers make more of it.
    """
    plain = dtype_bytes(pool)
    quantization = quantization_of(pool, architecture)
    per = Estimate.exact(plain)
    if quantization is not None:
        scheme = quantization.scheme.bytes
        per = Estimate(scheme.low, 0.97 * scheme.mid + 0.03 * plain, 0.8 * scheme.high + 0.2 * plain)
    total = per.times(parameters)
    if architecture is not None and architecture.checkpoint_bytes and quantization is not None:
        total = Estimate.spanning(float(architecture.checkpoint_bytes), total.low, total.high)
    even = total.times(1 / (layout.tensor * layout.pipeline))
    more = 1 + (0.05 if layout.tensor > 1 else 0.0) + (0.25 if layout.pipeline > 1 else 0.0)
    return [Estimate(even.low, even.mid, even.high * more)] * layout.pipeline


def weights_of(pool: Pool, layout: Layout) -> Weights:
    """Bytes per GPU of every stage. Raises :class:`UnknownFact` where neither the shape nor the size of the model is known."""
    a = pool.architecture.value if pool.architecture.is_known else None
    stated = pool.parameters.value if pool.parameters.is_known else None
    if a is None:
        if stated is None:
            missing(pool.architecture)
        steps = (Step("weights", "parameters × bytes / (TP × PP)", (f"{stated:.4g} parameters", layout.formula()), ""),)
        return Weights(tuple(_by_size(pool, stated, layout, None)), (), None, stated, steps)
    published = stated if stated is not None else None if a.parameters_rounded else a.parameters
    try:
        stages, layers = _described(pool, a, layout)
        text = text_parameters(a)
    except UnknownFact as unknown:
        size = stated if stated is not None else a.parameters
        if size is None:
            raise
        step = Step("weights", "parameters × bytes / (TP × PP): the tensors are not described", (str(unknown),), "")
        return Weights(tuple(_by_size(pool, size, layout, a)), (), None, stated, (step,))
    draft = tensors.draft_layer_parameters(a)
    vision = _vision(a, text, draft)
    counted = text + (vision.mid if vision else 0.0)
    steps_list = [_count_step(a, counted, published, layers)]
    if published:
        apart = min(abs(published / counted - 1), abs(published / (counted + draft) - 1))
        if apart > (READINGS_AGREE if stated is not None else COUNT_AGREES):
            ratio = published / counted
            # A number someone states stands by itself; a published one is spread as the tensors are.
            other = _by_size(pool, published, layout, a) if stated is not None else [stage.times(ratio) for stage in stages]
            wide = [Estimate(min(b.low, s.low), b.mid, max(b.high, s.high)) for b, s in zip(other, stages, strict=True)]
            steps_list.append(
                Step(
                    "two readings",
                    "parameters stated against the sum of the shape",
                    (f"{published:.4g}", f"{counted:.4g}"),
                    "both span",
                )
            )
            stages = wide
        elif stated is not None and apart > COUNT_AGREES:
            stages = [s.times(published / counted) for s in stages]
    worst = max(range(len(stages)), key=lambda i: stages[i].mid)
    steps_list.append(
        Step(
            "weights per GPU",
            "sum over the tensors of a stage, each cut over its ranks or whole",
            (layout.formula(), f"stage {worst + 1} of {layout.pipeline}"),
            gib(stages[worst]),
        )
    )
    return Weights(tuple(stages), layers, counted, stated, tuple(steps_list))


def _count_step(a: Architecture, counted: float, published: float | None, layers: tuple[int, ...]) -> Step:
    inputs: tuple[str, ...] = (f"{sum(layers)} layers", f"hidden {shape.hidden_size(a)}")
    if published:
        inputs += (f"stated or published {published:.4g}",)
    return Step("parameters", "sum over the tensors of the shape", inputs, f"{counted:.4g}")
