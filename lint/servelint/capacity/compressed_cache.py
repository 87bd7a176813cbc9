"""DeepSeek V4's cache: a window of latents in every layer, one latent per 4 or 128 tokens in most, and the compressors' states.

Pages are bytes of one block: 448 fp8 values, 64 16-bit rope values and 8 bytes of scales are 584 a latent, an index key takes
132, a compressor's state ``2 × width`` 32-bit numbers, doubled where windows overlap (ratio 4). Pages are rounded up to 576
bytes (``vllm/models/deepseek_v4/attention.py``, ``compressor.py``, ``vllm/v1/attention/backends/mla/sparse_swa.py``).
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from servelint.capacity import shape
from servelint.capacity.kv_cache import Group, KvCache
from servelint.capacity.limits import speculates, version_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from servelint.capacity.layout import Layout
    from servelint.deployment import Pool

_BLOCK, _WINDOW_BLOCK = 256, 64
_ROPE_BYTES, _SCALE_BYTES = 64, 8  # beyond one byte a value: 64 rope values take two
_SHARE_OF_WINDOWS = 0.1  # SGLang's --swa-full-tokens-ratio, its default for this family
_STATES = {shape.COMPRESSED_4: (4, 8), shape.COMPRESSED_128: (8, 128)}  # block and window of a compressor's states


def _page(size: float, packed: bool) -> int:
    step = 576 if packed else 512
    return ceil(size / step) * step


def _repeats(counts: list[int], least: int) -> int:
    """Layers of a group: the number that pads the groups least (``_approximate_gcd`` of ``vllm/v1/core``)."""
    best, padding = least, None
    for size in range(least, max(counts) + 1):
        own = sum(-count % size for count in counts)
        if padding is None or own <= padding:
            best, padding = size, own
    return best


def _of_sglang(pool: Pool, mixers: Sequence[str], width: int, index: int, fours: int, many: int) -> KvCache:
    """SGLang sizes one pool for each kind by the tokens of the whole: windows and the states of ratio 4 for a tenth of them
    (``swa_full_tokens_ratio``), up to 0.5.14 those of ratio 128, too; always in 8 bits (``pool_configurator.py`` of 0.5.12 to
    0.5.23; 15955.85 bytes a token logged of V4-Flash, of which this gives all)."""
    from servelint.capacity.sglang_pool import tokens_ratio  # lazily: only of SGLang's pools

    version, drafts = version_of(pool), speculates(pool)
    latent, beside = width + _ROPE_BYTES + _SCALE_BYTES, index + 4
    layers = len(mixers) + shape.whole(pool.architecture.value, "num_nextn_predict_layers", default=1)
    rings = 2 if drafts else 1
    states = rings * 8 / 128 * 4 * 4 * (width + index) * fours
    if version is not None and version < (0, 5, 15):
        states += rings * 2 * 4 * width * many
    near = tokens_ratio(pool, _SHARE_OF_WINDOWS) * (latent * layers + states)
    per_token = (fours * (latent + beside) / 4 + many * latent / 128 + near) * (1 + (1 / layers if drafts else 0))
    formula = f"{fours} layers × {latent + beside} B / 4 + {many} layers × {latent} B / 128 + {near:.0f} B of windows and states"
    return KvCache((Group("latents", len(mixers), 1, per_token),), per_token, 1, 1, False, formula)


def compressed_cache(pool: Pool, layout: Layout, mixers: Sequence[str], in_flight: int, packed: bool) -> KvCache:
    """The cache of one rank with layers of ``mixers``; every rank of a tensor-parallel group holds all of it.

    Groups share blocks of one size: until 0.26 the full pages of one repeat of the pattern times the repeats
    (``_pool_bytes_per_block``), since then the widest group (``_get_packed_kv_cache_groups``).
    """
    a = pool.architecture.value
    width, index = shape.head_dim(a), a.need("index_head_dim")
    latent = width + _ROPE_BYTES + _SCALE_BYTES if packed else 2 * width
    index_bytes = index + 4 if packed else 2 * index
    count = {mixer: mixers.count(mixer) for mixer in (shape.WINDOW_LATENT, shape.COMPRESSED_4, shape.COMPRESSED_128)}
    fours, many = count[shape.COMPRESSED_4], count[shape.COMPRESSED_128]
    full = {
        "latent of 4": (_page(_BLOCK / 4 * latent, packed), fours),
        "index": (_page(_BLOCK / 4 * index_bytes, packed), fours),
        "latent of 128": (_page(_BLOCK / 128 * latent, packed), many),
    }
    per_token = sum(page * layers for page, layers in full.values()) / _BLOCK
    window = max(1, shape.window(a))
    formula = f"{fours} layers × {latent + index_bytes} B / 4 + {many} layers × {latent} B / 128, beside windows and states"
    if layout.engine == "sglang":
        return _of_sglang(pool, mixers, width, index, fours, many)
    if layout.engine != "vllm":
        keep = Group("latents", len(mixers), 1, (fours * (latent + index_bytes) / 4 + many * latent / 128))
        near = Group("window", len(mixers), 1, len(mixers) * float(latent), window)
        return KvCache((keep, near), keep.page_bytes, 1, 1, False, formula)
    repeats = _repeats([n for n in (len(mixers), fours, many) if n], max(1, fours))
    window_page = _page(_WINDOW_BLOCK * latent, packed)
    states = [
        (_page(4 * 4 * width * 4, packed) + _page(4 * 4 * index * 4, packed)) * fours,
        _page(8 * 2 * width * 4, packed) * many,
    ]
    version = pool.version.value if pool.version.is_known else None
    if version is not None and (version.major, version.minor) < (0, 27):
        block_bytes = float(sum(page for page, layers in full.values() if layers) * repeats)
    else:
        widest = (sum(page * layers for page, layers in full.values()), min(repeats, len(mixers)) * window_page, *states)
        block_bytes = float(max(widest))
    groups = [Group("latents", len(mixers), _BLOCK, block_bytes)]
    groups += [Group("window", repeats, _WINDOW_BLOCK, block_bytes, window)] * ceil(len(mixers) / repeats)
    for mixer, (block, kept) in _STATES.items():
        if count[mixer]:
            groups.append(Group(f"states of {mixer}", count[mixer], block, block_bytes, kept))
    return KvCache(tuple(groups), per_token, 1, in_flight, True, formula)
