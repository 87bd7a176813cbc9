"""SGLang's static pool: what is gone of a device before it is shared out, and how the cache is laid out in what is left.

``pool = free after loading − free before × (1 − fraction)``, "before" being after the communicators: so what they and the context
take counts by the fraction (``model_runner.py`` ``profile_max_num_token``, 0.4; ``model_runner_kv_cache_mixin.py``, 0.5.6;
``pool_configurator.py``, 0.5.23; the same to 0.03 GiB in every log that says both).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.capacity import shape, stated
from servelint.capacity.limits import readings, version_of
from servelint.capacity.step import of_gib
from servelint.capacity.vision import has_tower
from servelint.estimate import Estimate

if TYPE_CHECKING:
    from servelint.capacity.kv_cache import KvCache
    from servelint.capacity.layout import Layout
    from servelint.catalogue.accelerators import Accelerator
    from servelint.catalogue.architecture import Architecture
    from servelint.deployment import Pool

_STATES_PER_TOKENS = 0.9  # --mamba-full-memory-ratio, its default: bytes of recurrent states for each of tokens
_WINDOWED = 0.8  # --swa-full-tokens-ratio, its default
# Types of model whose sliding layers have a pool of their own, and since when (``is_hybrid_swa_model`` in
# ``configs/model_config.py`` of 0.5.8, 0.5.9, 0.5.12 and 0.5.16). In all others, and before, every layer keeps every token.
_OWN_POOL = (
    ((0, 5, 8), ("llama4", "gpt_oss", "mimo_v2")),
    ((0, 5, 9), ("step3p5",)),
    ((0, 5, 12), ("gemma4", "laguna")),
    ((0, 5, 16), ("step3p7", "mellum", "inkling")),
)  # fmt: skip


def before_loading(accelerator: Accelerator, layout: Layout) -> Estimate:
    """Context and communicators: the device's total less what ``Load weight begin. avail mem`` says, logged in GiB.

    0.3-0.7 on one GPU (H100, A100, RTX 4090, L4, MI300X, MI355X; 0.4.1 to 0.5.19). Over several: 1.5-3.0 on H100, H200 and B200,
    of which NCCL's buffers are 2.0 at TP 8; 0.4-0.7 on L4 and RTX 4090, which have no NVLink; on MI355X 4.4 at TP 8 and 8.8 at
    TP 2. A GB10 shares its memory with the host: 8-10.
    """
    if accelerator.shares_host_memory:
        return of_gib(0.5, 8.5, 20.0)
    if layout.tensor == layout.pipeline == 1:
        return of_gib(0.25, 0.6, 1.1)
    if accelerator.vendor == "AMD":
        return of_gib(0.8, 5.0, 10.0)
    if accelerator.compute_capability in {(9, 0), (10, 0), (10, 3)} and accelerator.has_nvlink:
        return of_gib(1.2, 2.2, 3.2)
    if accelerator.has_nvlink is False or (accelerator.memory_type.startswith("GDDR") and not accelerator.has_nvlink):
        return of_gib(0.35, 0.55, 1.5)
    return of_gib(0.35, 1.2, 3.0)


def _attends_by_aiter(pool: Pool, layout: Layout) -> bool | None:
    """Whether AMD's kernels compute the attention, their default but for latents of other than 16 or 128 heads on a rank and
    for sparse attention; None where that is open (``_get_default_attn_backend`` in ``server_args.py`` 0.5.17)."""
    backend, a = stated.flag(pool, "--attention-backend"), pool.architecture.value
    if backend is not None:
        return backend == "aiter" if backend else None
    if not a.is_mla:
        return True
    return not a.number("index_n_heads", 0) and shape.heads(a) / layout.attention_tensor in {16, 128}


def kept_share(pool: Pool, accelerator: Accelerator, layout: Layout) -> Estimate:
    """What SGLang makes of a fraction, stated or not: 0.85 of it on AMD with contexts of more than 8192 tokens (from 0.4.7,
    ``attention_hook.py`` in 0.5.20), before 0.4.9 0.90 and before 0.4.5 0.95 of it for models that see (``model_runner.py``).
    Both change the same argument, one after the other.

    Logged: 0.7225 of an MI355X under ``--mem-fraction-static 0.85`` with 0.5.17.
    """
    version, a = version_of(pool), pool.architecture.value
    share = Estimate.exact(1.0)
    if has_tower(a) and (version is None or version < (0, 4, 9)):
        usual = 1.0 if version is None else 0.95 if version < (0, 4, 5) else 0.90
        share = Estimate(0.90, usual, usual)
    if accelerator.vendor != "AMD" or (version is not None and version < (0, 4, 7)):
        return share
    longest = pool.max_model_len.get(0) or shape.whole(a, "max_position_embeddings")
    if longest and longest <= 8192:
        return share
    ours = _attends_by_aiter(pool, layout)
    if ours is False:
        return share
    return Estimate(0.85 * share.low, 0.85 * share.mid, (0.85 if ours and version is not None else 1.0) * share.high)


def beside_tensors(pool: Pool) -> Estimate:
    """What ``Load weight end. mem usage``, a difference of free memory, counts beside the tensors: 0.02 to 0.15 GiB of libraries
    and of the allocator on NVIDIA's GPUs; up to 2.4 on eight MI355X (GLM-5 0.6, Kimi K2.5 2.4) and 0.65 on a GB10."""
    known = pool.accelerator.value if pool.accelerator.is_known else None
    if known is not None and known.vendor == "AMD":
        return of_gib(0.0, 0.1, 2.6)
    if known is not None and known.shares_host_memory:
        return of_gib(0.0, 0.1, 1.0)
    return of_gib(0.0, 0.05, 0.25)


def kept_for_images(pool: Pool) -> Estimate:
    """Encoded images that 0.5.18 and later hold outside the cache: SGLANG_VLM_CACHE_SIZE_MB, 100, and a GiB more where they are
    handed over within the GPU (``mm_runtime_reservation_gb``)."""
    version = version_of(pool)
    if not has_tower(pool.architecture.value) or (version is not None and version < (0, 5, 18)):
        return Estimate.exact(0.0)
    return of_gib(0.0 if version is None else 0.09, 0.0 if version is None else 0.1, 1.1)


def laid_out(pool: Pool, left: Estimate) -> Estimate:
    """The cache that is allocated in what is left. Sparse attention's fp8 latents take 656 bytes a token of which the sizing
    counted 576 up to 0.5.20, beside 132 of the index: the cache is that much larger than planned (GLM-5 on MI355X with
    0.5.8.post1: 186.8 GiB in 167.8)."""
    a, version = pool.architecture.value, version_of(pool)
    dtype = str(pool.kv_cache_dtype.get("") or "").lower()
    if not a.is_mla or not a.number("index_n_heads", 0) or "fp8" not in dtype or (version is not None and version > (0, 5, 20)):
        return left
    return Estimate(left.low, left.mid, max(left.high, left.high * (656 + 132) / (576 + 132)))


def windowed_share(pool: Pool, architecture: Architecture) -> float:
    """Tokens of a sliding layer for each of a full one; the fewest where the release is not known."""
    kind, version = str(architecture.field("model_type") or ""), version_of(pool)
    own = any(kind.startswith(kinds) and (version is None or version >= since) for since, kinds in _OWN_POOL)
    return tokens_ratio(pool, _WINDOWED) if own and not stated.is_on(pool, "--disable-hybrid-swa-memory") else 1.0


def tokens_ratio(pool: Pool, default: float) -> float:
    """``--swa-full-tokens-ratio``: tokens that windows keep for each of a full layer."""
    ratio = stated.number(pool, "--swa-full-tokens-ratio")
    return ratio if ratio is not None and 0 < ratio <= 1 else default


def of_tokens(pool: Pool, size: float, state: float) -> Estimate:
    """What tokens get of a pool of ``size`` bytes where each request has recurrent states of ``state`` bytes.

    States take their share of the pool, or stated slots, or one slot for each request where prefixes are not kept
    (``handle_max_mamba_cache``, from 0.5.4; before, 512 slots or one for each request).
    """
    if size <= 0 or state <= 0:
        return Estimate.exact(size)
    ratio = stated.number(pool, "--mamba-full-memory-ratio") or _STATES_PER_TOKENS
    shared, least = size / (1 + ratio), max(0.0, size - state * max(readings(pool.max_num_seqs) or (1,)))
    slots, version = stated.number(pool, "--max-mamba-cache-size"), version_of(pool)
    if slots is not None:
        return Estimate.exact(max(0.0, size - slots * state))
    if pool.containers and version is not None and version >= (0, 5, 4):
        own = stated.flag(pool, "--disable-radix-cache") is not None and pool.max_num_seqs.is_known
        return Estimate.exact(least if own else shared)
    return Estimate(min(shared, least), shared, max(shared, least))


def logged_tokens(pool: Pool, cache: KvCache, size: Estimate) -> Estimate:
    """``max_total_num_tokens``: what each further token takes in every layer that keeps tokens, whatever the longest request."""
    if not cache.bytes_per_token:
        return Estimate.exact(0.0)
    state = sum(group.page_bytes for group in cache.groups if group.constant)
    low, mid, high = (of_tokens(pool, part, state) for part in size)
    return Estimate(*(max(0.0, part) / cache.bytes_per_token for part in (low.low, mid.mid, high.high)))
