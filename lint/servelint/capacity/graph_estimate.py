"""What vLLM since 0.20 sets aside for CUDA graphs before it sizes the KV cache: an estimate of its own, of the first captures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.capacity import shape
from servelint.capacity.graphs import LATENT_MIXERS, captured, is_open, kept_bytes, split_bytes
from servelint.capacity.limits import version_of
from servelint.capacity.runners import FIRST, SECOND
from servelint.capacity.step import MIB
from servelint.estimate import Estimate

if TYPE_CHECKING:
    from servelint.capacity.tensors import Shards
    from servelint.catalogue.accelerators import Accelerator
    from servelint.deployment import Pool

# MiB a layer and graph that layers with states take beside what others do.
_STATES_MORE = 0.06
# The first graph takes the inputs and workspaces of the largest batch: 84-224 MiB on H100 (vLLM 0.19), more with FlashInfer's
# (394 MiB) or a model with states, whatever the batch: Qwen3.6-27B 0.36-0.47 GiB for a single one, 0.17-0.2 on two GPUs.
_FIRST, _FIRST_OF_STATES = (60.0, 120.0, 480.0), 140.0
# A graph whose turn it is to get a new segment of torch's allocator takes 20 MiB more, and is then taken for the usual one.
_SEGMENT = 20.0


def graph_estimate(pool: Pool, accelerator: Accelerator, shards: Shards, layers: int, step: tuple[float, float]) -> Estimate:
    """What ``profile_cudagraph_memory`` sets aside, given (tokens, sequences) of a ``step``.

    The first graph of a kind and as often the second as there are more of them: Llama-3.1-8B on H100 260 + 50 × 6 + 50 × 6 MiB.
    Runner 2 counts all piecewise graphs instead (vllm/v1/worker/gpu/cudagraph_utils.py 0.29).
    """
    if pool.enforce_eager.get(False):
        return Estimate.exact(0.0)
    a = pool.architecture.value
    tokens, sequences = step
    sizes = captured(pool, accelerator, tokens, sequences)
    kinds = shape.kind_counts(a)
    latent = any(kind.mixer in LATENT_MIXERS for kind in kinds)
    states = sum(count for kind, count in kinds.items() if kind.mixer in shape.STATES)
    grown = 2.0 if latent and (a.number("index_n_heads", 0) or not a.is_mla) else 1.0  # indexers launch as much again
    graphs = sizes.pieces + sizes.wholes - 2
    per = layers * graphs * (kept_bytes(a) / MIB + _STATES_MORE * states / sum(kinds.values()))
    share = 0.3 + 0.7 * min(1.0, sizes.largest / 512)
    sums = split_bytes(pool, accelerator, shards, sizes.rows) / MIB
    first = _FIRST[1] * share + (_FIRST_OF_STATES if states else 0.0)
    low = _FIRST[0] * share + 0.6 * per
    middle = max(first, sums) + per * (1 + grown) / 2
    high = max(_FIRST[2], 1.1 * sums) + 1.3 * per * grown + _SEGMENT * (sizes.pieces - 1)
    return Estimate(0.0 if is_open(pool) else low * MIB, middle * MIB, high * MIB)


def set_aside(pool: Pool, runner: int) -> bool:
    """Whether an estimate for graphs is taken from the KV cache: since 0.20 by runner 1, by runner 2 since 0.29 (before, its
    ``profile_cudagraph_memory`` gave nothing)."""
    version = version_of(pool)
    if version is None:
        return True
    return runner == FIRST or (runner == SECOND and version >= (0, 29, 0))
