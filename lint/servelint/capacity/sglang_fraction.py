"""The share of GPU memory that SGLang gives weights and KV cache where ``--mem-fraction-static`` is not stated.

``python/sglang/srt/arg_groups/memory_hook.py`` (0.5.20, 0.5.23) and ``server_args.py`` (0.4.7, 0.4.8, 0.5.2, 0.5.3, 0.5.12,
0.5.16), read from the wheels of these releases.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.capacity.limits import readings, speculates, version_of
from servelint.capacity.regimes import hull
from servelint.capacity.step import GIB
from servelint.capacity.vision import has_tower
from servelint.estimate import Estimate

if TYPE_CHECKING:
    from servelint.capacity.layout import Layout
    from servelint.deployment import Pool

# (visible memory in GiB below, chunk of a prefill, largest decode graph with fewer than four tensor ranks, with more).
_TIERS = (
    (20, 2048, 8, 8), (35, 4096, 48, 160), (60, 4096, 32, 160), (160, 8192, 256, 512), (float("inf"), 16384, 512, 512),
)  # fmt: skip
_PREFILL_GRAPHS = (0.0, 0.45, 0.6)  # GiB: 8 MiB for each size captured, from 0.5.12 on; none where they are disabled
_LATENT_GRAPHS = (0.0, 1.5, 1.5)  # of a model with latent attention


def automatic_fraction(pool: Pool, layout: Layout, device: Estimate) -> Estimate:
    """The fraction, over the releases it may be."""
    memory, version = device.mid / GIB, version_of(pool)
    if version is None:
        found = [_by_formula(pool, layout, memory, graphed=graphed) for graphed in (True, False)]
        found.append(Estimate.exact(_by_tier(pool, layout, memory)))
    elif version < (0, 4, 8):
        found = [Estimate.exact(_by_ranks(pool, layout, memory))]
    elif version < (0, 5, 3):
        found = [Estimate.exact(_by_tier(pool, layout, memory))]
    else:
        found = [_by_formula(pool, layout, memory, graphed=version >= (0, 5, 12))]
    fraction = hull(found)._replace(mid=found[0].mid)
    if has_tower(pool.architecture.value) and (version is None or version >= (0, 4, 10)):
        factor = _seeing(pool)
        fraction = Estimate(*(share * part for share, part in zip(fraction, factor, strict=True)))
    return Estimate(*(min(0.97, max(0.3, share)) for share in fraction))


def _by_ranks(pool: Pool, layout: Layout, memory: float) -> float:
    """Before 0.4.8: by the number of ranks."""
    ranks = layout.tensor * layout.pipeline
    drafts = speculates(pool)
    share = next(share for least, share in ((16, 0.79), (8, 0.81), (4, 0.85), (2, 0.87), (0, 0.88)) if ranks >= least)
    if memory > 176:
        return 0.79
    if memory > 96:
        return min(0.88 + 48 * (1 - 0.88) / memory, (memory - (20 if drafts else 18)) / memory)
    share = share if memory <= 80 else 0.88
    return share * 0.95 if drafts else share


def _by_tier(pool: Pool, layout: Layout, memory: float) -> float:
    """0.4.8 to 0.5.2: a reserve for each size of GPU."""
    ranks = layout.tensor * layout.pipeline
    if memory < 35:
        reserved = 2.8 + ranks / 10
    elif memory < 160:
        reserved = (9.5 if memory < 90 else 12) + ranks / 2
    else:
        reserved = 32
    reserved += (2 if speculates(pool) else 0) + (4 if layout.attention_data > 1 else 0)
    return 1 - reserved / memory


def _by_formula(pool: Pool, layout: Layout, memory: float, *, graphed: bool) -> Estimate:
    """From 0.5.3: a chunk of a prefill and the graphs, at least 10 GiB of a large GPU."""
    _, usual, few, many = next(tier for tier in _TIERS if memory < tier[0])
    chunks = [int(chunk) * layout.attention_data for chunk in readings(pool.max_num_batched_tokens)]
    chunks = chunks or ([usual, 2048] if memory < 35 else [usual])  # 2048 before 0.5.17
    largest = 0 if pool.enforce_eager.get(False) else few if layout.tensor < 4 else many
    latent = pool.architecture.value.is_mla
    captured = (0.0, 0.0, 0.0) if not graphed or not largest else _LATENT_GRAPHS if latent else _PREFILL_GRAPHS
    padded = largest * layout.attention_data * (4.5 if largest > 300 else 3) if layout.attention_data > 1 else 0.0
    fixed = 0.5 + layout.tensor * layout.pipeline / 8 + (2 * largest + padded) / 1024
    more = 4.0 if speculates(pool) else 0.0  # 2 to 4 GiB for a draft before 0.5.16
    more += 2.0 if layout.expert > 1 else 0.0  # the buffers of DeepEP, should it be the backend
    reserved = Estimate.spanning(*(fixed + 1.5 * max(chunk, 2048) / 1024 for chunk in chunks))
    reserved = reserved.plus(Estimate(*captured))
    if memory > 60:
        reserved = reserved.at_least(10.0)
    reserved = reserved.plus(Estimate(0.0, more / 2, more))
    return Estimate(*(1 - part / memory for part in reversed(reserved)))


def _seeing(pool: Pool) -> Estimate:
    """What image processing leaves of the share: less, the larger the vision tower is beside ViT-L/14."""
    tower = pool.architecture.value.vision
    if not tower:
        return Estimate(0.76, 0.95, 1.0)
    layers, width = tower.get("num_hidden_layers", 24), tower.get("hidden_size", 1024)
    if not isinstance(layers, int) or not isinstance(width, int):
        return Estimate(0.76, 0.95, 1.0)
    left = 0.95 * max(0.8, min(1.05, 1 - 0.1 * (layers * width**2 / (24 * 1024**2) - 1)))
    return Estimate(left, left, 1.0)  # 1: with --language-only
