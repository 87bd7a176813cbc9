"""Memory: the budget of the worst GPU as the engine will account for it, and what a workload needs."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from servelint.capacity import shape
from servelint.capacity.accounting import Terms, terms_of
from servelint.capacity.kv_cache import KvCache, kv_cache_of
from servelint.capacity.limits import device_bytes, missing, served_length, step_limits, version_of, workload_tokens
from servelint.capacity.step import Step, amount, gib
from servelint.capacity.weights import weights_of
from servelint.estimate import Estimate
from servelint.records import NamedTuple

if TYPE_CHECKING:
    from servelint.capacity.layout import Layout
    from servelint.capacity.weights import Weights
    from servelint.catalogue.accelerators import Accelerator
    from servelint.deployment import Pool


class MemoryBudget(NamedTuple):
    """Bytes per GPU of the worst rank: one of the stage whose KV pool holds the fewest blocks.

    ``device_bytes``: what the runtime reports; ``budget_bytes``: the engine's share of it; ``overhead_bytes``: memory outside
    the framework's allocator (context, communicators) that counts against the budget; ``graphs_bytes``: CUDA graphs, inside
    the budget where ``graphs_inside``; ``kv_pool_bytes``: what is left, negative where it does not fit.
    ``kv_bytes_per_token``: of one more token in every layer that keeps tokens; ``kv_tokens``: tokens of one data-parallel rank as
    the engine of that version logs them. ``used_bytes``: weights, activations, overhead, and the KV cache of the stated
    workload. ``calibrated``: measured start-ups of this regime set the intervals.
    """

    device_bytes: Estimate
    budget_bytes: Estimate
    weights_bytes: Estimate
    activation_bytes: Estimate
    overhead_bytes: Estimate
    graphs_bytes: Estimate
    graphs_inside: bool
    kv_pool_bytes: Estimate
    kv_bytes_per_token: float
    kv_tokens: Estimate
    used_bytes: Estimate
    calibrated: bool
    stage: int
    ranks: int
    cache: KvCache

    def request_bytes(self, tokens: int) -> float:
        """KV cache of one request of ``tokens`` on this rank: whole blocks, sliding layers within their window."""
        return self.cache.request_bytes(tokens)

    def max_concurrency(self, tokens: int) -> Estimate:
        """Requests of ``tokens`` whose KV cache fits into the whole replica at once."""
        return Estimate(*(self.ranks * self.cache.requests(pool, tokens) for pool in self.kv_pool_bytes))

    @property
    def fixed_bytes(self) -> Estimate:
        """All but the KV cache."""
        total = self.weights_bytes.plus(self.activation_bytes).plus(self.overhead_bytes)
        return total.plus(self.graphs_bytes) if self.graphs_inside else total


def _logged_tokens(cache: KvCache, pool: Estimate, since: bool, longest: int | None) -> Estimate:
    """Tokens of a pool as the engine logs them.

    vLLM: blocks / groups × block size until 0.20.0; ``since`` 0.20.1 the concurrency at ``max_model_len`` times that length
    (``get_max_concurrency_for_kv_cache_config`` in vllm/v1/core/kv_cache_utils.py; vllm-project/vllm issues 51041, 43308).
    Elsewhere: what a request of that length, or else a single token, takes.
    """
    values = []
    for size in pool:
        if not cache.groups or size <= 0:
            values.append(0.0)
        elif cache.paged and not (since and longest):
            values.append(float(cache.blocks(size) // len(cache.groups) * cache.block_size * cache.context_ranks))
        elif longest:
            values.append(cache.requests(size, longest) * longest)
        else:
            values.append(size / cache.bytes_per_token if cache.bytes_per_token else 0.0)
    return Estimate(*values)


class _Stage:
    __slots__ = ("cache", "number", "terms", "weights")

    def __init__(self, number: int, weights: Estimate, terms: Terms, cache: KvCache) -> None:
        self.number = number
        self.weights = weights
        self.terms = terms
        self.cache = cache


def in_flight_tokens(pool: Pool, layout: Layout, step: int) -> int:
    """Tokens for which windowed layers keep room beside their window: one step of ``step`` tokens, since 0.27 of every batch
    under way, which are two and with pipeline stages one more than they (``max_in_flight_tokens`` in vLLM 0.28
    ``vllm/config/vllm.py``; one step in 0.22.1 ``vllm/v1/kv_cache_interface.py``)."""
    version = version_of(pool)
    return step if version is not None and version < (0, 27, 0) else step * (layout.pipeline + 1)


_WHOLE_MODEL_SINCE, _WHOLE_MODEL_UNTIL = (0, 14, 0), (0, 17, 0)


def as_checked(pool: Pool, layout: Layout, budget: MemoryBudget) -> MemoryBudget:
    """``budget`` with the cache that vLLM holds against one rank's memory when it starts: that of the rank's own layers, but of
    the whole model's in 0.14 to 0.16 (``get_kv_cache_configs`` in ``vllm/v1/core/kv_cache_utils.py``; vllm-project/vllm issue
    32105, mended by pull request 33698: 0.13.0 and 0.17.0 check each rank's own, 0.14.1 and 0.16.0 do not)."""
    version = version_of(pool)
    if layout.engine != "vllm" or layout.pipeline == 1 or version is None:
        return budget
    if not _WHOLE_MODEL_SINCE <= version < _WHOLE_MODEL_UNTIL:
        return budget
    whole = kv_cache_of(pool, layout, shape.layer_kinds(pool.architecture.value), budget.cache.in_flight, last=True)
    return budget._replace(cache=whole, kv_bytes_per_token=whole.bytes_per_token)


def _stages(pool: Pool, accelerator: Accelerator, layout: Layout, weights: Weights) -> list[_Stage]:
    kinds = shape.layer_kinds(pool.architecture.value)
    device = device_bytes(accelerator)
    tokens, _ = step_limits(pool, accelerator)
    stages: list[_Stage] = []
    start = 0
    for index, own in enumerate(weights.stages):
        count = shape.stage_layers(layout.engine, len(kinds), layout.pipeline)[index]
        last = index == layout.pipeline - 1
        flight = in_flight_tokens(pool, layout, int(tokens.mid))
        cache = kv_cache_of(pool, layout, kinds[start : start + count], flight, last=last)
        start += count
        terms = terms_of(pool, accelerator, layout, device, own, index, count)
        stages.append(_Stage(index, own, terms, cache))
    return stages


def _blocks(stage: _Stage) -> float:
    """How much a stage's pool holds: blocks, which is what the engine takes the minimum of over its stages."""
    if not stage.cache.groups:
        return float("inf")
    size = stage.cache.groups[0].page_bytes if stage.cache.paged else stage.cache.bytes_per_token
    return stage.terms.pool.mid / max(size, 1e-9)


def memory_of(pool: Pool, accelerator: Accelerator, layout: Layout) -> MemoryBudget:
    """The budget of ``pool`` on ``accelerator`` under ``layout``. Raises :class:`UnknownFact` naming what is missing."""
    return _budget(pool, accelerator, layout, _worst_stage(pool, accelerator, layout, _weights(pool, layout)))


def memory_steps(pool: Pool, accelerator: Accelerator, layout: Layout) -> tuple[Step, ...]:
    """How the budget comes about. Raises :class:`UnknownFact` as :func:`memory_of`."""
    weights = _weights(pool, layout)
    worst = _worst_stage(pool, accelerator, layout, weights)
    budget = _budget(pool, accelerator, layout, worst)
    return (*weights.steps, *_steps(budget, worst.terms, layout, accelerator, pool))


def _weights(pool: Pool, layout: Layout) -> Weights:
    if not pool.architecture.is_known:
        missing(pool.architecture)  # without a shape there is no KV cache
    return weights_of(pool, layout)


def _worst_stage(pool: Pool, accelerator: Accelerator, layout: Layout, weights: Weights) -> _Stage:
    return min(_stages(pool, accelerator, layout, weights), key=_blocks)


def _budget(pool: Pool, accelerator: Accelerator, layout: Layout, worst: _Stage) -> MemoryBudget:
    terms, cache = worst.terms, worst.cache
    longest = served_length(pool)
    version = version_of(pool)
    since = version is None or version >= (0, 20, 1)
    logged = longest or (shape.whole(pool.architecture.value, "max_position_embeddings") if since else None)
    fixed = worst.weights.plus(terms.activation).plus(terms.overhead)
    used = fixed.plus(terms.graphs) if terms.graphs_inside else fixed
    context = workload_tokens(pool)
    if context is not None and pool.concurrency.is_known:
        used = used.plus(ceil(pool.concurrency.value / layout.attention_ranks) * cache.request_bytes(context))
    tokens = _logged_tokens(cache, terms.pool, since, logged)
    if layout.engine == "sglang":
        from servelint.capacity.sglang_pool import logged_tokens  # lazily: only of SGLang's pools

        tokens = logged_tokens(pool, cache, terms.pool)
    return MemoryBudget(
        device_bytes(accelerator), terms.budget, worst.weights, terms.activation, terms.overhead, terms.graphs,
        terms.graphs_inside, terms.pool, cache.bytes_per_token, tokens, used,
        terms.calibrated,
        worst.number, layout.attention_ranks, cache,
    )  # fmt: skip


def _steps(b: MemoryBudget, terms: Terms, layout: Layout, accelerator: Accelerator, pool: Pool) -> tuple[Step, ...]:
    version = version_of(pool)
    engine = layout.engine + (f" {version}" if version else "")
    steps = [
        Step("device", "memory that the runtime reports", (accelerator.name,), gib(b.device_bytes)),
        Step("budget", terms.formulas[0], terms.inputs, gib(b.budget_bytes)),
        Step("activations", terms.formulas[1], (engine, terms.regime), gib(b.activation_bytes)),
        Step("overhead", "memory outside the allocator: context, communicators", (engine, terms.regime), gib(b.overhead_bytes)),
        Step("CUDA graphs", "inside the budget" if b.graphs_inside else "outside the budget", (), gib(b.graphs_bytes)),
        Step("KV cache", terms.formulas[2], (f"stage {b.stage + 1} of {layout.pipeline}",), gib(b.kv_pool_bytes)),
        Step("KV cache of one token", b.cache.formula, (layout.formula(),), amount(b.kv_bytes_per_token)),
    ]
    if b.cache.paged:
        tokens = f"{b.kv_tokens.mid:.0f} ({b.kv_tokens.low:.0f} … {b.kv_tokens.high:.0f})"
        steps.append(Step("KV cache tokens", "as the engine logs them", (f"blocks of {b.cache.block_size}",), tokens))
    longest = served_length(pool)
    if longest is not None:
        most = b.max_concurrency(longest)
        steps.append(
            Step(
                f"requests of {longest} tokens",
                "blocks of the pool / blocks of one request × data-parallel ranks",
                (amount(b.request_bytes(longest)) + " each",),
                f"{most.mid:.1f} ({most.low:.1f} … {most.high:.1f})",
            )
        )
    return tuple(steps)


def need_of(pool: Pool, accelerator: Accelerator, layout: Layout, sequences: int, tokens: int) -> Estimate:
    """Bytes per GPU of the fullest rank for weights, activations, overhead and the KV cache of ``sequences`` concurrent
    requests of ``tokens`` tokens, spread evenly over the replica's data-parallel ranks. Raises :class:`UnknownFact`."""
    each = ceil(sequences / layout.attention_ranks)
    needs = []
    for stage in _stages(pool, accelerator, layout, _weights(pool, layout)):
        need = (
            stage.weights.plus(stage.terms.activation).plus(stage.terms.overhead).plus(each * stage.cache.request_bytes(tokens))
        )
        needs.append(need.plus(stage.terms.graphs) if stage.terms.graphs_inside else need)
    return max(needs, key=lambda need: need.mid)
