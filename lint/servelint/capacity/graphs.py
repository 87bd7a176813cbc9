"""CUDA graphs that vLLM captures: what the driver keeps of each, and the buffers that all of them share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.capacity import shape, stated
from servelint.capacity.activation import forward_peak
from servelint.capacity.limits import speculates, step_limits, version_of
from servelint.capacity.quantization import element_bytes
from servelint.capacity.step import GIB, MIB
from servelint.capacity.tensors import Shards, attention_dims
from servelint.engines.versions import VLLM_V1
from servelint.estimate import Estimate
from servelint.facts import UnknownFact
from servelint.records import NamedTuple

if TYPE_CHECKING:
    from servelint.capacity.layout import Layout
    from servelint.catalogue.accelerators import Accelerator
    from servelint.catalogue.architecture import Architecture
    from servelint.deployment import Pool
    from servelint.engines.versions import Version

# What the driver keeps of one layer in one graph, outside torch. 0.155-0.215 MiB of 17 dense models at TP 1 to 4 (vLLM 0.18 and
# 0.19 on H100); experts launch more (Qwen3-30B-A3B, Mixtral 0.233-0.269), latent attention, too (Kimi-VL 0.35), and MXFP4 experts
# in Triton most (gpt-oss-20b: memory outside torch grew by 1.19 GiB at TP 1 and 1.17 at TP 2 over 166 graphs of 24 layers).
_LAYER, _EXPERTS, _MXFP4_EXPERTS, _LATENT = 0.185 * MIB, 0.055 * MIB, 0.115 * MIB, 0.11 * MIB
LATENT_MIXERS = frozenset({shape.MLA, shape.WINDOW_LATENT, shape.COMPRESSED_4, shape.COMPRESSED_128})
# From this release decoding has graphs of its own beside the piecewise ones (vllm-project/vllm pull request 25444).
_TWO_KINDS_FROM = (0, 11, 0)
_ESTIMATED_FROM = (0, 20, 0)  # what counts is the engine's own estimate from here on
_FEWER_SIZES_FROM = (0, 12, 0)  # 0.11.0 has the former, 0.19 the latter; the middle is a guess within the interval
_LARGER_FROM, _DATACENTER_BLACKWELL = (0, 28, 0), frozenset({(10, 0), (10, 3)})
_LARGEST = 512
_OTHERWISE = ("--compilation-config", "--optimization-level", "--cudagraph-capture-sizes", "--cuda-graph-sizes")
_SPLITS, _HOPPER, _WIDEST_HEAD = 32, 9, 256


class Captured(NamedTuple):
    """What is captured: sizes up to ``largest`` piecewise, and up to ``rows`` tokens of decoding in graphs of their own."""

    pieces: int
    wholes: int
    largest: int
    rows: int


def capture_sizes(largest: int, version: Version | None = None) -> int:
    """How many batch sizes up to ``largest`` are captured: 1, 2, 4, by 8 to 256, by 16 beyond (``vllm/config/vllm.py`` of 0.19
    ``_set_cudagraph_sizes``: 51 up to 512, 83 up to 1024); up to 512 by 8 throughout in 0.11 and before (67)."""
    small = sum(size <= largest for size in (1, 2, 4))
    if version is not None and version < _FEWER_SIZES_FROM and largest <= _LARGEST:
        return small + largest // 8
    return small + min(largest, 255) // 8 + (max(0, largest - 256) // 16 + 1 if largest >= 256 else 0)


def largest_size(
    architecture: Architecture, decoding: float, version: Version | None = None, capability: tuple[int, int] | None = None
) -> int:
    """The largest batch that is captured by default: twice the tokens of a ``decoding`` step, ``max_num_seqs`` without a draft,
    and at most 512 (1024 on B200 and B300 from 0.28); for gpt-oss 1024 (992 in 0.11), whatever ``max_num_seqs`` is
    (``vllm/model_executor/models/config.py`` ``GptOssForCausalLMConfig``); V0: 256 at most."""
    if shape.family(architecture) == "gpt_oss" and (version is None or version >= _TWO_KINDS_FROM):
        return 992 if version is not None and version < _FEWER_SIZES_FROM else 1024
    if version is not None and version < VLLM_V1:
        return min(int(decoding), 256)
    recent = version is None or version >= _LARGER_FROM
    return min(2 * int(decoding), 1024 if recent and capability in _DATACENTER_BLACKWELL else _LARGEST)


def _number_after(text: str, name: str) -> int:
    """The number of a field in the text of a JSON object; 0 where none is there to read."""
    digits = "".join(c for c in text.partition(name)[2].partition(",")[0] if c.isdecimal())
    return int(digits) if 0 < len(digits) < 19 else 0


def _drafted(pool: Pool) -> int:
    """Tokens drafted each step, as stated; 0 without a draft, 1 where the number is not there to read."""
    if not speculates(pool):
        return 0
    text = str(pool.speculative.value) if pool.speculative.is_known else ""
    return _number_after(text, "num_speculative_tokens") or 1


def _largest_stated(pool: Pool) -> int:
    """The largest batch that a flag says is captured; 0 where none does."""
    number = stated.number(pool, "--max-cudagraph-capture-size") or 0
    return int(number) or _number_after(stated.flag(pool, "--compilation-config") or "", "max_cudagraph_capture_size")


def is_open(pool: Pool) -> bool:
    """Whether flags may say that there are fewer graphs, or none."""
    return any(stated.flag(pool, name) is not None for name in _OTHERWISE)


def captured(pool: Pool, accelerator: Accelerator, tokens: float, sequences: float) -> Captured:
    """The sizes for steps of ``tokens`` and ``sequences``: the default ones up to the largest, which a flag may state."""
    version = version_of(pool)
    decoding = sequences * (1 + _drafted(pool)) if version is None or version >= _FEWER_SIZES_FROM else sequences
    usual = largest_size(pool.architecture.value, decoding, version, accelerator.compute_capability)
    largest = min(_largest_stated(pool) or usual, int(tokens))
    rows = min(largest, int(decoding))
    early = version is not None and version < _TWO_KINDS_FROM
    return Captured(capture_sizes(largest, version), 0 if early else capture_sizes(rows, version), largest, rows)


def _is_split(pool: Pool, accelerator: Accelerator) -> bool:
    """Whether FlashAttention 3 attends, and splits the keys in graphs: on Hopper, in 16 bits, heads of 256 at most, not in models
    that look ahead within images (``is_mm_prefix_lm`` in ``vllm/config/model.py``: Gemma 3). Latent attention with an FP8 cache
    or an indexer has kernels of its own (``_get_backend_priorities`` in ``vllm/platforms/cuda.py``)."""
    a, capability, version = pool.architecture.value, accelerator.compute_capability, version_of(pool)
    early = version is not None and version < _TWO_KINDS_FROM
    if capability is None or capability[0] != _HOPPER or element_bytes(pool) != 2 or early:
        return False
    if a.is_mla:
        return not shape.whole(a, "index_topk") and not str(pool.kv_cache_dtype.get("auto")).startswith("fp8")
    return shape.family(a) not in {"gemma3", "paligemma"} and shape.head_dim(a) <= _WIDEST_HEAD


def split_bytes(pool: Pool, accelerator: Accelerator, shards: Shards, rows: float) -> float:
    """Buffers of FlashAttention 3 in graphs of ``rows`` tokens: 32 splits × heads of a rank × rows × width × 4 bytes
    (``vllm/v1/attention/backends/flash_attn.py`` and ``mla/flashattn_mla.py``; ``flash_attn_max_num_splits_for_cuda_graph``);
    0 where something else attends.

    256 MiB for 512 rows of 32 heads of 128, halved by each doubling of TP: Llama-3.1-8B 0.91, 0.76 and 0.67 GiB of graphs at
    TP 1, 2 and 4. gpt-oss-20b had 626 MiB in private pools at TP 1 and 318 at TP 2, of which this is 512 and 256.
    """
    a, widest = pool.architecture.value, 0.0
    try:
        kinds = shape.kind_counts(a) if _is_split(pool, accelerator) else {}
    except UnknownFact:
        kinds = {}
    for kind in kinds:
        if kind.mixer == shape.MLA:
            widest = max(widest, shape.heads(a) / shards.attention * shape.whole(a, "kv_lora_rank"))
        elif kind.mixer in {shape.FULL, shape.SLIDING}:
            heads, _, _, value = attention_dims(a, kind.mixer)
            widest = max(widest, max(1.0, heads / shards.attention) * value)
    return _SPLITS * rows * widest * 4


@shape.kept
def kept_bytes(a: Architecture) -> float:
    """What the driver keeps of one layer in one graph, on the average of the layers."""
    try:
        kinds = shape.layer_kinds(a)
    except UnknownFact:
        return _LAYER
    experts = _MXFP4_EXPERTS if (a.quantization or {}).get("quant_method") == "mxfp4" else _EXPERTS
    latent = sum(kind.mixer in LATENT_MIXERS for kind in kinds)
    return _LAYER + (_LATENT * latent + experts * sum(kind.mlp == shape.MOE for kind in kinds)) / len(kinds)


def graph_bytes(pool: Pool, accelerator: Accelerator, layout: Layout, layers: int) -> Estimate:
    """CUDA graphs of one rank with ``layers`` layers, as the engine logs what capturing took.

    ``graphs × layers × what the driver keeps + split buffers + activations of the largest size``: 0.51-1.85 GiB logged on H100
    for the default sizes.
    """
    if pool.enforce_eager.get(False):
        return Estimate.exact(0.0)
    version, a = version_of(pool), pool.architecture.value
    tokens, sequences = step_limits(pool, accelerator)
    sizes = captured(pool, accelerator, tokens.mid, sequences.mid)
    graphs = sizes.pieces + sizes.wholes
    shards, element = Shards.of(layout), element_bytes(pool)
    shared = forward_peak(a, shards, sizes.largest, element) + split_bytes(pool, accelerator, shards, sizes.rows)
    middle = graphs * layers * kept_bytes(a) + shared
    if version is not None and _TWO_KINDS_FROM <= version < _ESTIMATED_FROM and accelerator.compute_capability == (_HOPPER, 0):
        low, high = 0.65 * middle, 1.5 * middle  # 44 measured configurations: 0.76 to 1.15 of the middle
    else:
        few = max(0.25, graphs / 102)  # of the 51 default sizes of either kind, for which 1.9 GiB is the most that was seen
        low, high = 0.4 * middle, max(1.6 * middle, min(1.9 * GIB, 1.9 * GIB * few))
    return Estimate(0.0 if is_open(pool) else low, middle, high)
