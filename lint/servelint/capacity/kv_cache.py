"""KV cache: bytes per token, per request and per block on one rank of one stage, as the engine lays its cache out."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from servelint.capacity import shape, tensors
from servelint.capacity.limits import speculates, version_of
from servelint.capacity.quantization import element_bytes
from servelint.facts import FactState, UnknownFact
from servelint.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from servelint.capacity.layout import Layout
    from servelint.capacity.shape import LayerKind
    from servelint.catalogue.architecture import Architecture
    from servelint.deployment import Pool
    from servelint.engines.versions import Version

DEFAULT_BLOCK = 16  # vllm/config/cache.py on CUDA
_INDEXER_TOKEN_BYTES = 132  # DeepSeek sparse attention: 128 fp8 index values and a 32-bit scale per token and layer
_SPARSE_FP8_TOKEN_BYTES = 656  # vLLM's fp8_ds_mla: 512 fp8 latents, four 32-bit scales, 64 16-bit rope values
_STATE = shape.STATES - {shape.BESIDE}  # alone
_BYTES = {
    "bfloat16": 2.0, "bf16": 2.0, "float16": 2.0, "fp16": 2.0, "half": 2.0, "float32": 4.0, "fp32": 4.0, "fp8": 1.0,
    "fp8_e4m3": 1.0, "fp8_e5m2": 1.0, "fp8_inc": 1.0, "fp8_ds_mla": 1.0, "int8": 1.0,
    "nvfp4": 0.5625, "fp4": 0.5625, "int4": 0.5625,
}  # fmt: skip


class Group(NamedTuple):
    """``layers`` layers (padding included) that share a block table. ``page_bytes``: bytes of one block in all of them;
    ``window``: tokens kept per request besides those in flight, 0 for all; ``constant``: one block whatever the length."""

    mixer: str
    layers: int
    block_size: int
    page_bytes: float
    window: int = 0
    constant: bool = False


class KvCache(NamedTuple):
    """The cache of one rank of one stage.

    ``bytes_per_token``: of one more token in every layer that keeps tokens, sliding ones included; ``context_ranks``: ranks
    over which a request's tokens are spread; ``in_flight``: tokens of one step, which sliding layers keep beside their window;
    ``paged``: the groups share one pool of equal blocks (vLLM); otherwise every layer counts to the byte.
    """

    groups: tuple[Group, ...]
    bytes_per_token: float
    context_ranks: int
    in_flight: int
    paged: bool
    formula: str

    @property
    def block_size(self) -> int:
        return min((g.block_size for g in self.groups if not g.constant), default=1)

    def _blocks(self, group: Group, tokens: int) -> int:
        if group.constant:
            return 1
        if group.window:
            # vllm/v1/kv_cache_interface.py SlidingWindowSpec: the window may begin within a block, hence one more.
            kept = min(group.window - 1 + self.in_flight, tokens)
            return ceil(kept / group.block_size) + (1 if self.paged else 0)
        return ceil(ceil(tokens / self.context_ranks) / group.block_size)

    def request_blocks(self, tokens: int) -> int:
        """Blocks one request of ``tokens`` holds, over all groups."""
        return sum(self._blocks(group, tokens) for group in self.groups)

    def request_bytes(self, tokens: int) -> float:
        """Bytes one request of ``tokens`` holds: whole blocks, padding of unequal groups included."""
        return sum(self._blocks(group, tokens) * group.page_bytes for group in self.groups)

    def requests(self, pool_bytes: float, tokens: int) -> float:
        """How many requests of ``tokens`` a pool holds; infinite where nothing is cached."""
        if not self.groups or pool_bytes <= 0:
            return 0.0 if self.groups else float("inf")
        if self.paged:
            return self.blocks(pool_bytes) / max(1, self.request_blocks(tokens))
        return pool_bytes / self.request_bytes(tokens)

    def blocks(self, pool_bytes: float) -> int:
        """Blocks in a pool; 0 where it is none."""
        return max(0, int(pool_bytes // self.groups[0].page_bytes)) if self.groups else 0


def kv_dtype_bytes(pool: Pool) -> float:
    """Bytes of one cached element; ``auto`` is the dtype of the activations. Raises :class:`UnknownFact`."""
    stated = pool.kv_cache_dtype
    if stated.state is FactState.UNKNOWN and stated.reason == "not stated":
        return element_bytes(pool)
    name = str(stated.value).lower().removeprefix("torch.")
    if name == "auto":
        return element_bytes(pool)
    if name not in _BYTES:
        raise UnknownFact(stated.name, f"bytes of a KV cache of {stated.value} are not known here")
    return _BYTES[name]


class _Spec(NamedTuple):
    """What one layer keeps: bytes per token, or bytes of a constant state, and its window."""

    mixer: str
    token_bytes: float
    state_bytes: float = 0.0
    window: int = 0


def _state_bytes(a: Architecture, mixer: str, ranks: int, plain: float) -> float:
    """Bytes of the state of one layer of one request (``vllm/model_executor/layers/mamba/mamba_utils.py``)."""
    stated = str(shape.first(a, "mamba_ssm_dtype", "mamba_ssm_cache_dtype") or "")
    recurrent = 4.0 if stated == "float32" else plain
    if mixer == shape.LINEAR:
        keys = a.need("linear_num_key_heads") * a.need("linear_key_head_dim")
        heads, width = a.need("linear_num_value_heads"), a.need("linear_value_head_dim")
        conv = (a.need("linear_conv_kernel_dim") - 1) * (2 * keys + heads * width) / ranks
        return conv * plain + heads / ranks * a.need("linear_key_head_dim") * width * recurrent
    from servelint.capacity.mixers import delta_dims, mamba_dims, selective_dims  # lazily: of few families

    if mixer == shape.DELTA:
        heads, width, kernel = delta_dims(a)
        return (kernel - 1) * 3 * heads * width / ranks * plain + heads / ranks * width * width * 4.0
    if mixer == shape.LIGHTNING:
        return shape.heads(a) / ranks * shape.head_dim(a) ** 2 * 4.0
    if mixer == shape.SELECTIVE:
        inner, state, _, kernel = selective_dims(a)
        return (kernel - 1) * inner / ranks * plain + inner / ranks * state * recurrent
    if mixer == shape.MAMBA:
        heads, width, groups, state, kernel = mamba_dims(a)
        local = groups / ranks if groups % ranks == 0 else groups
        return (kernel - 1) * (heads * width / ranks + 2 * local * state) * plain + heads / ranks * width * state * recurrent
    return shape.whole(a, "conv_L_cache", default=3) * shape.hidden_size(a) / ranks * plain


def _specs(a: Architecture, mixer: str, layout: Layout, element: float, plain: float) -> tuple[_Spec, ...]:
    """What one layer keeps, in one cache or in several."""
    if mixer == shape.BESIDE:
        return tuple(_spec(a, part, layout, element, plain) for part in (shape.FULL, shape.MAMBA))
    if mixer == shape.INDEXED:
        from servelint.capacity.mixers import index_dims  # lazily: of one family

        _, width = index_dims(a)  # its keys take the dtype of the cache (vllm/models/minimax_m3/common/indexer.py)
        full = _spec(a, shape.FULL, layout, element, plain)
        return (full._replace(mixer=mixer, token_bytes=full.token_bytes + width * max(1.0, element)),)
    if mixer == shape.CROSS:
        mixer = shape.FULL  # served by V0 engines only, which gave every layer the same cache
    return (_spec(a, mixer, layout, element, plain),)


def _spec(a: Architecture, mixer: str, layout: Layout, element: float, plain: float) -> _Spec:
    ranks = layout.attention_tensor
    if mixer in _STATE:
        return _Spec(mixer, 0.0, _state_bytes(a, mixer, ranks, plain))
    if mixer == shape.MLA:
        width = (a.need("kv_lora_rank") + a.need("qk_rope_head_dim")) * element
        if a.number("index_n_heads", 0):
            from servelint.capacity.kinds import indexed_share  # lazily: of sparse attention only

            # SGLang keeps vLLM's format for FlashMLA only, TensorRT-LLM has no other than the plain one: the least is taken.
            wide = element < plain and layout.engine == "vllm"
            width = (_SPARSE_FP8_TOKEN_BYTES if wide else width) + _INDEXER_TOKEN_BYTES * indexed_share(a)
        return _Spec(mixer, width)
    _, kv, key, value = tensors.attention_dims(a, mixer)
    window = shape.window(a) if mixer == shape.SLIDING else 0
    if mixer == shape.SLIDING and not window:
        a.need("sliding_window")
    return _Spec(mixer, tensors.kv_heads_per_rank(kv, ranks) * (key + value) * element, 0.0, window)


def _paged(specs: Sequence[tuple[_Spec, int]], block: int, grouping: float) -> tuple[Group, ...]:
    """vLLM's groups (``vllm/v1/core/kv_cache_utils.py`` ``_get_kv_cache_groups_uniform_page_size``).

    All groups have as many layers and pages of one size: layers that keep less per token get longer blocks, and where states
    of constant size are among them the attention block grows until its page holds one (``vllm/platforms/interface.py``).
    """
    state = max(spec.state_bytes for spec, _ in specs)
    widest = max(spec.token_bytes for spec, _ in specs)
    if not state and len({spec.window for spec, _ in specs}) == 1:
        # Every layer needs blocks for the same tokens: one group, each layer with its own bytes (UniformTypeKVCacheSpecs).
        total = sum(spec.token_bytes * count for spec, count in specs)
        return (Group(specs[0][0].mixer, sum(n for _, n in specs), block, block * total, specs[0][0].window),)
    if state and widest:
        block = 16 * ceil(state / (16 * widest))
    page = max(block * widest, state)
    counts = [count for _, count in specs]
    size = max(counts) if max(counts) < grouping * min(counts) else min(counts)
    groups: list[Group] = []
    for spec, count in specs:
        times, rest = divmod(page, block * spec.token_bytes) if spec.token_bytes else (1, 0)
        length = block if rest else int(times) * block  # where blocks of more tokens do not fill the page it is padded
        groups += [Group(spec.mixer, size, length, page * size, spec.window, spec.mixer in _STATE)] * ceil(count / size)
    return tuple(groups)


_LATENT_FROM, _PADDED_UNTIL = (0, 7, 1), (0, 6, 0)


def _before_latent(a: Architecture, layout: Layout, version: Version | None, element: float) -> tuple[_Spec, ...] | None:
    """What a layer of latent attention kept in releases of vLLM without a backend for it: keys and values of every head, each as
    wide as a query head, padded to 256 in the first of them (``ModelConfig.get_head_size`` of 0.6.0, 0.7.0 and 0.7.1)."""
    if layout.engine != "vllm" or version is None or version >= _LATENT_FROM:
        return None
    width = 256 if version <= _PADDED_UNTIL else a.need("qk_nope_head_dim") + a.need("qk_rope_head_dim")
    return (_Spec(shape.MLA, tensors.kv_heads_per_rank(shape.heads(a), layout.attention_tensor) * 2 * width * element),)


def _hybrid_manager(version: Version | None) -> bool:
    """Sliding layers keep only their window since vLLM 0.10; before, every layer kept every token."""
    return version is None or (version.major, version.minor) >= (0, 10)


def _of_draft(pool: Pool, layout: Layout, element: float, plain: float) -> list[tuple[_Spec, int]]:
    """What the layers of a draft keep."""
    if not speculates(pool):
        return []
    from servelint.capacity.drafts import draft_of  # lazily: few pools speculate

    draft = draft_of(pool)
    if draft is None:
        return []
    if draft.model is not None:
        return [
            (spec, 1)
            for kind in shape.layer_kinds(draft.model)
            if kind.mixer != shape.NONE
            for spec in _specs(draft.model, kind.mixer, layout, element, plain)
        ]
    a = pool.architecture.value
    kinds = draft.own or [kind for kind in shape.layer_kinds(a) if kind.mixer in {shape.FULL, shape.MLA}][:1]
    return [(spec, 1) for kind in kinds for spec in _specs(a, kind.mixer, layout, element, plain)]


def kv_cache_of(pool: Pool, layout: Layout, kinds: Sequence[LayerKind], in_flight: int, *, last: bool = False) -> KvCache:
    """The cache of one rank that holds the layers ``kinds``. ``in_flight``: tokens of one step; ``last``: it is the last stage,
    which holds what is speculated with. Raises :class:`UnknownFact`.

    GQA keeps ``2 × max(1, KV heads / TP) × head_dim`` elements per layer and token; MLA one latent that TP does not divide
    (arXiv 2405.04434); context parallelism spreads the tokens of full-attention layers over its ranks.
    """
    a = pool.architecture.value
    element, plain = kv_dtype_bytes(pool), element_bytes(pool)
    ranks = max(layout.decode_context, layout.prefill_context)
    cached = [kind.mixer for kind in kinds if kind.mixer != shape.NONE]
    if cached and cached[0] in {shape.WINDOW_LATENT, shape.COMPRESSED_4, shape.COMPRESSED_128}:
        from servelint.capacity.compressed_cache import compressed_cache  # lazily: of one family

        return compressed_cache(pool, layout, cached, in_flight, element < plain)
    own = max(1, len(cached) - shape.whole(a, "num_kv_shared_layers"))  # the last layers of some models reuse others' cache
    of = {mixer: _specs(a, mixer, layout, element, plain) for mixer in dict.fromkeys(cached[:own])}
    if shape.MLA in of:
        of[shape.MLA] = _before_latent(a, layout, version_of(pool), element) or of[shape.MLA]
    counts: dict[_Spec, int] = {}
    for mixer in cached[:own]:
        for spec in of[mixer]:
            counts[spec] = counts.get(spec, 0) + 1
    for spec, number in _of_draft(pool, layout, element, plain) if last else ():
        counts[spec] = counts.get(spec, 0) + number
    formula = " + ".join(
        f"{n} {spec.mixer} layers × {spec.token_bytes:.0f} B"
        if spec.token_bytes
        else f"{n} {spec.mixer} states of {spec.state_bytes:.0f} B"
        for spec, n in counts.items()
    )
    specs = list(counts.items())
    if layout.engine == "sglang" and any(spec.window for spec in counts):
        from servelint.capacity.sglang_pool import windowed_share  # lazily: only of SGLang's pools

        share = windowed_share(pool, a)  # it does not let go of what is out of the window as far as its pools' sizes go
        specs = [(s._replace(token_bytes=s.token_bytes * share, window=0) if s.window else s, n) for s, n in specs]
    per_token = sum(spec.token_bytes * count for spec, count in specs)
    if layout.engine == "vllm" and specs:
        version = version_of(pool)
        if not _hybrid_manager(version) and any(s.window for s, _ in specs) and any(not s.window for s, _ in specs):
            merged: dict[_Spec, int] = {}
            for spec, n in specs:
                key = spec._replace(mixer=shape.FULL, window=0) if spec.window else spec
                merged[key] = merged.get(key, 0) + n
            specs = list(merged.items())
        grouping = 1.5 if version is None or (version.major, version.minor) >= (0, 20) else 1.25
        groups = _paged(specs, pool.block_size.get(DEFAULT_BLOCK) or DEFAULT_BLOCK, grouping)
    else:
        groups = tuple(Group(s.mixer, n, 1, n * (s.token_bytes or s.state_bytes), s.window, s.mixer in _STATE) for s, n in specs)
    return KvCache(groups, per_token, ranks, in_flight if layout.engine == "vllm" else 1, layout.engine == "vllm", formula)
