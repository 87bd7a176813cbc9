"""CUDA graphs: what vLLM captures, and what it sets aside for that before it sizes the KV cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.capacity import shape
from servelint.capacity.limits import speculates, version_of
from servelint.capacity.runners import FIRST, SECOND
from servelint.estimate import Estimate
from servelint.facts import UnknownFact

if TYPE_CHECKING:
    from servelint.capacity.tensors import Shards
    from servelint.catalogue.accelerators import Accelerator
    from servelint.catalogue.architecture import Architecture
    from servelint.deployment import Pool

MIB = float(1 << 20)
GIB = float(1 << 30)

# GiB a layer for the 51 default sizes: what each kind of layer launches is kept once for every size. Of dense layers; what latent
# attention (Kimi-VL, 27 layers: 1.50 GiB at TP 1, 1.26 at TP 2) and experts (Qwen3-30B-A3B, 48: 1.41 and 1.26; Mixtral, 32: 0.93)
# launch more.
_GRAPH_LAYER, _GRAPH_LATENT, _GRAPH_EXPERTS = 0.018, 0.0175, 0.0035
_DATACENTER_BLACKWELL = frozenset({(10, 0), (10, 3)})


def graph_bytes(pool: Pool, layers: int, sequences: Estimate) -> Estimate:
    """CUDA graphs that vLLM captures.

    0.51-1.85 GiB measured on H100 for the 51 default sizes (up to 512), about 0.32 + 0.018 GiB per dense layer; they share most
    of their memory, so few sizes take less than in proportion: 0.09-0.4 GiB for one to four sequences. gpt-oss takes more than
    this: 1.84 GiB, of which 0.6 are tensors of its experts.
    """
    if pool.enforce_eager.get(False):
        return Estimate.exact(0.0)
    largest = min(2 * sequences.mid, 512)
    sizes = min(largest, 256) // 8 + max(0.0, largest - 256) // 16 + 3
    each = _GRAPH_LAYER
    try:
        kinds = shape.layer_kinds(pool.architecture.value)
    except UnknownFact:
        kinds = ()
    if kinds:
        each += _GRAPH_LATENT * sum(kind.mixer == shape.MLA for kind in kinds) / len(kinds)
        each += _GRAPH_EXPERTS * sum(kind.mlp == shape.MOE for kind in kinds) / len(kinds)
    middle = (0.32 + each * layers) * max(0.15, sizes / 51)
    high = max(1.6 * middle, min(1.9, 1.9 * max(0.25, sizes / 51)))
    return Estimate(0.4 * middle * GIB, middle * GIB, high * GIB)


def _sizes(most: float) -> int:
    """How many batch sizes up to ``most`` are captured: 1, 2, 4, then every 8th and from 256 on every 16th."""
    count = sum(1 for size in (1, 2, 4) if size <= most)
    return count + int(min(most, 255) // 8) + (int((most - 256) // 16) + 1 if most >= 256 else 0)


def captured_sizes(pool: Pool, accelerator: Accelerator, tokens: float, sequences: float) -> tuple[int, int, float]:
    """Piecewise graphs, full graphs of decoding, and the largest batch (``_set_cudagraph_sizes`` in vllm/config/vllm.py)."""
    version = version_of(pool)
    modern = version is None or version >= (0, 28, 0)
    cap = 1024 if modern and accelerator.compute_capability in _DATACENTER_BLACKWELL else 512
    query = 1 + _drafted(pool)
    largest = min(2 * sequences * query, cap, tokens)
    return _sizes(largest), _sizes(min(sequences * query, largest)), largest


def _drafted(pool: Pool) -> int:
    """Tokens drafted each step, as stated; 0 without a draft, 1 where the number is not there to read."""
    if not speculates(pool):
        return 0
    digits = ""
    if pool.speculative.is_known:
        _, _, after = str(pool.speculative.value).partition("num_speculative_tokens")
        digits = "".join(c for c in after.partition(",")[0] if c.isdigit())
    return int(digits) if digits else 1


# MiB that one more graph takes, for each layer: what the driver keeps of its launches. Of the 49 start-ups of 0.19 on H100 in
# llm-d-planner pull request 205, which log both kinds: dense 0.14-0.25 and 0.11-0.19, latent attention 0.37 and 0.30.
_PIECE, _WHOLE, _LATENT_MORE, _EXPERTS_MORE, _STATES_MORE = 0.20, 0.16, 0.15, 0.04, 0.06
# The first graph takes the inputs and workspaces of the largest batch: 84-224 MiB there, more with FlashInfer's (394 MiB) or a
# model with states, whatever the batch: Qwen3.6-27B 0.36-0.47 GiB for a single one, 0.17-0.2 on two GPUs.
_FIRST, _FIRST_OF_STATES = (60.0, 120.0, 480.0), 140.0
# A graph whose turn it is to get a new segment of torch's allocator takes 20 MiB more, and is then taken for the usual one.
_SEGMENT = 20.0
_SPLITS = 32  # partial sums of FlashAttention 3, in 32 bits (flash_attn_max_num_splits_for_cuda_graph)
_HOPPER = (9, 0)


def _partial_sums(a: Architecture, accelerator: Accelerator, shards: Shards, rows: float) -> float:
    """MiB of FlashAttention 3's partial results: splits × 4 bytes × rows × query width; measured to 6 MiB (same source)."""
    if accelerator.compute_capability != _HOPPER:
        return 0.0
    width = a.need("kv_lora_rank") if a.is_mla else shape.head_dim(a)
    return _SPLITS * 4 * rows * shape.heads(a) / shards.attention * width / MIB


def graph_estimate(pool: Pool, accelerator: Accelerator, shards: Shards, layers: int, step: tuple[float, float]) -> Estimate:
    """What ``profile_cudagraph_memory`` sets aside, given (tokens, sequences) of a ``step``.

    The first graph of a kind and as often the second as there are more of them: Llama-3.1-8B on H100 260 + 50 × 6 + 50 × 6 MiB.
    Runner 2 counts all piecewise graphs instead (vllm/v1/worker/gpu/cudagraph_utils.py 0.29).
    """
    if pool.enforce_eager.get(False):
        return Estimate.exact(0.0)
    a = pool.architecture.value
    tokens, sequences = step
    pieces, wholes, largest = captured_sizes(pool, accelerator, tokens, sequences)
    kinds = shape.layer_kinds(a)
    latent = sum(kind.mixer in {shape.MLA, shape.WINDOW_LATENT, shape.COMPRESSED_4, shape.COMPRESSED_128} for kind in kinds)
    experts = sum(kind.mlp == shape.MOE for kind in kinds)
    states = sum(kind.mixer in {shape.LINEAR, shape.MAMBA, shape.DELTA} for kind in kinds)
    more = (_LATENT_MORE * latent + _EXPERTS_MORE * experts + _STATES_MORE * states) / len(kinds)
    grown = 2.0 if latent and (a.number("index_n_heads", 0) or not a.is_mla) else 1.0  # indexers launch as much again
    per = layers * ((pieces - 1) * (_PIECE + more) + (wholes - 1) * (_WHOLE + more))
    share = 0.3 + 0.7 * min(1.0, largest / 512)
    sums = _partial_sums(a, accelerator, shards, largest)
    first = _FIRST[1] * share + (_FIRST_OF_STATES if states else 0.0)
    low = _FIRST[0] * share + 0.6 * per
    middle = max(first, sums) + per * (1 + grown) / 2
    high = max(_FIRST[2], 1.1 * sums) + 1.3 * per * grown + _SEGMENT * (pieces - 1)
    return Estimate(low * MIB, middle * MIB, high * MIB)


def set_aside(pool: Pool, runner: int) -> bool:
    """Whether an estimate for graphs is taken from the KV cache: since 0.20 by runner 1, by runner 2 since 0.29 (before, its
    ``profile_cudagraph_memory`` gave nothing)."""
    version = version_of(pool)
    if version is None:
        return True
    return runner == FIRST or (runner == SECOND and version >= (0, 29, 0))
