"""Accounting: what each engine takes from a device before the KV cache gets the rest, on one rank of one stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.capacity import shape
from servelint.capacity.activation import forward_peak, profiled_peak
from servelint.capacity.charges import KEPT_COUNTS, non_torch, of_free_memory, sampler_bytes, unreleased
from servelint.capacity.graph_estimate import graph_estimate, set_aside
from servelint.capacity.graphs import graph_bytes
from servelint.capacity.limits import readings, served_length, speculates, step_limits, version_of
from servelint.capacity.margins import MARGINS
from servelint.capacity.quantization import element_bytes
from servelint.capacity.regimes import hull, regimes_of
from servelint.capacity.runners import FIRST, SECOND, runners_of
from servelint.capacity.step import GIB, of_gib
from servelint.capacity.tensors import Shards
from servelint.estimate import Estimate
from servelint.records import NamedTuple

if TYPE_CHECKING:
    from servelint.capacity.layout import Layout
    from servelint.capacity.regimes import Regime
    from servelint.catalogue.accelerators import Accelerator
    from servelint.deployment import Pool


class Terms:
    """What stands against the device of one rank, and the KV pool that is left, in bytes.

    ``formulas``: how the budget, the activations and the pool come about. A plain class: it is made where start-up counts.
    """

    __slots__ = (
        "activation",
        "budget",
        "calibrated",
        "formulas",
        "graphs",
        "graphs_inside",
        "inputs",
        "overhead",
        "pool",
        "regime",
    )

    def __init__(
        self,
        *,
        budget: Estimate,
        activation: Estimate,
        overhead: Estimate,
        graphs: Estimate,
        pool: Estimate,
        regime: str,
        formulas: tuple[str, str, str],
        inputs: tuple[str, ...],
        graphs_inside: bool = False,
        calibrated: bool = False,
    ) -> None:
        self.budget = budget
        self.activation = activation
        self.overhead = overhead
        self.graphs = graphs
        self.pool = pool
        self.regime = regime
        self.formulas = formulas
        self.inputs = inputs
        self.graphs_inside = graphs_inside
        self.calibrated = calibrated


def _share(device: Estimate, shares: tuple[float, ...]) -> Estimate:
    """A share of the device, over all readings of the share; the first is the middle."""
    return hull([device.times(share) for share in shares])


def _extra(pool: Pool, layout: Layout, element: float) -> Estimate | None:
    """Adapters and exchange buffers of this deployment; None where it has none."""
    if not pool.containers:
        return None
    from servelint.capacity.extras import adapter_bytes, heap_bytes  # lazily: only of what a container runs

    found = [size for size in (adapter_bytes(pool, layout, element), heap_bytes(pool)) if size is not None]
    return found[0].plus(found[1]) if len(found) == 2 else found[0] if found else None


_LOGGED_FROM = (0, 10, 0)  # the first release of which a start-up log was read


def is_measured_device(accelerator: Accelerator, device: Estimate) -> bool:
    """Whether the start-ups that set the margins ran on this device: H100 with 80 GB."""
    return "h100" in accelerator.name.lower() and 78 * GIB < device.mid < 81 * GIB


def _off(estimate: Estimate, margin: tuple[float, float]) -> Estimate:
    """An interval with what measurements are off it, in GiB below and above."""
    low, high = margin
    return Estimate(min(estimate.low + low * GIB, estimate.mid), estimate.mid, max(estimate.high + high * GIB, estimate.mid))


class _Case(NamedTuple):
    """What vLLM takes under one reading of its release: a regime of accounting and a model runner."""

    budget: Estimate
    activation: Estimate
    overhead: Estimate
    pool: Estimate
    formula: str


class _Profile(NamedTuple):
    """What every reading of a release is applied to.

    ``element``: bytes of one activation; ``tokens`` and ``sequences``: of one step; ``longest``: the longest request; ``aside``:
    what is set aside for graphs where a release does so.
    """

    pool: Pool
    accelerator: Accelerator
    layout: Layout
    device: Estimate
    weights: Estimate
    stage: int
    element: float
    tokens: Estimate
    sequences: Estimate
    longest: int | None
    aside: Estimate

    def read(self, regime: Regime, runner: int, *, calibrated: bool, extra: Estimate | None) -> _Case:
        pool, layout, element, tokens, sequences = self.pool, self.layout, self.element, self.tokens, self.sequences
        a, version, shards = pool.architecture.value, version_of(pool), Shards.of(layout)
        first, last = self.stage == 0, self.stage == layout.pipeline - 1
        known = regime.logged or (regime.graphs_inside and not a.experts)
        spread = (1.0, 1.0) if calibrated else (0.8, 1.25) if known else (0.6, 1.7)
        encoder = None
        # Runner 2 profiles no images before 0.27 (vllm-project/vllm pull request 48469).
        if a.vision and first and regime.name != "V0" and not (runner == SECOND and not regime.by_free_memory):
            from servelint.capacity.encoder import encoder_memory  # lazily: of models that see

            encoder = encoder_memory(pool, shards.tensor, element, tokens.mid)
        peak, formula = profiled_peak(
            a, regime, shards, tokens=tokens, sequences=sequences, element=element, first=first, last=last,
            longest=self.longest, spread=spread, encoder=encoder,
            sampler=sampler_bytes(regime, runner, version), attention=runner != SECOND,
        )  # fmt: skip
        budget = _share(self.device, readings(pool.gpu_memory_utilization) or (regime.utilization,))
        overhead = non_torch(regime, layout, self.accelerator, version)
        if extra is not None:
            overhead = overhead.plus(extra)
        kept = sequences.times(KEPT_COUNTS * shape.vocabulary(a)) if last and runner == SECOND else None
        overhead = overhead.plus(of_free_memory(regime, self.accelerator, kept))
        if calibrated:
            off = MARGINS[regime.name]
            left = _off(budget.minus(self.weights).minus(peak).minus(overhead.mid), off.pool)
            return _Case(budget, _off(peak, off.activation), _off(Estimate.exact(overhead.mid), off.overhead), left, formula)
        overhead = overhead.plus(Estimate(0.0, 0.0, unreleased(regime, version) * peak.high))
        more = 0.12 * peak.mid if a.vision and encoder is None else 0.0  # the encoder is profiled too
        peak = Estimate(0.95 * peak.low, peak.mid, 1.05 * peak.high + more + 0.03 * GIB)
        taken = [self.weights, peak, overhead]
        if regime.graphs_inside and set_aside(pool, runner):
            taken.append(self.aside if version is not None else self.aside._replace(low=0.0))  # some releases set nothing aside
        return _Case(budget, peak, overhead, _left(budget, taken, apart=regime.graphs_inside), formula)


def _aside(pool: Pool, accelerator: Accelerator, layout: Layout, layers: int, tokens: Estimate, sequences: Estimate) -> Estimate:
    """What is set aside for graphs, over all readings of a step."""
    shards = Shards.of(layout)
    steps = dict.fromkeys(((tokens.mid, sequences.mid), (tokens.low, sequences.low), (tokens.high, sequences.high)))
    return hull([graph_estimate(pool, accelerator, shards, layers, step) for step in steps])


def _left(budget: Estimate, taken: list[Estimate], *, apart: bool) -> Estimate:
    """What the terms leave of a budget. ``apart``: the worst cases of the terms have nothing to do with each other (a segment of
    the allocator, a driver's context, a kernel's workspace), so that the least that is left is as far from the middle as their
    distances are in quadrature; the most, which decides errors, is still what all favourable cases leave together."""
    left = budget
    for term in taken:
        left = left.minus(term)
    if not apart:
        return left
    away = sum((term.high - term.mid) ** 2 for term in taken) ** 0.5
    return Estimate(left.mid - (budget.mid - budget.low) - away, left.mid, left.high)


def _vllm(
    pool: Pool, accelerator: Accelerator, layout: Layout, device: Estimate, weights: Estimate, stage: int, layers: int
) -> Terms:
    """V1: ``requested = utilization × total``, ``KV = requested − weights − peak activation − non-torch`` and, since 0.20,
    ``− CUDA-graph estimate`` (``vllm/v1/worker/gpu_worker.py`` ``determine_available_memory``; identity to 0.02 GiB in 60 of 61
    logged start-ups of 0.19)."""
    version = version_of(pool)
    regimes = regimes_of(version)
    if pool.containers:
        from servelint.capacity.extras import stated_sampler  # lazily: only of what a container runs

        regimes = tuple(stated_sampler(pool, regime) for regime in regimes)
    runners = runners_of(pool, accelerator.vendor)
    element = element_bytes(pool)
    extra = _extra(pool, layout, element)
    plain_case = extra is None and not speculates(pool) and layout.tensor <= 4 and layout.data == 1 and layout.expert == 1
    measured = is_measured_device(accelerator, device) and plain_case
    logged = version is not None and version >= _LOGGED_FROM
    calibrated = measured and logged and all(r.name in MARGINS for r in regimes)
    tokens, sequences = step_limits(pool, accelerator)
    aside = Estimate.exact(0.0)
    if any(regime.graphs_inside for regime in regimes):
        aside = _aside(pool, accelerator, layout, layers, tokens, sequences)
    longest = served_length(pool)
    profile = _Profile(pool, accelerator, layout, device, weights, stage, element, tokens, sequences, longest, aside)
    cases = [
        profile.read(regime, runner, calibrated=calibrated, extra=extra)
        for regime in regimes
        for runner in (runners if regime.graphs_inside else (FIRST,))
    ]
    inside = regimes[0].graphs_inside and set_aside(pool, runners[0])
    graphs = aside if inside else graph_bytes(pool, accelerator, layout, layers)
    left, pool_formula = hull([case.pool for case in cases]), "budget − weights − activations − overhead"
    pool_formula += " − graphs" if inside else ""
    if pool.kv_cache_memory_bytes.is_known:
        left, pool_formula = Estimate.exact(float(pool.kv_cache_memory_bytes.value)), "kv_cache_memory_bytes as stated"
    stated = readings(pool.gpu_memory_utilization)
    share = ", ".join(map(str, stated)) if stated else f"{regimes[0].utilization} by default"
    return Terms(
        budget=hull([case.budget for case in cases]),
        activation=hull([case.activation for case in cases]),
        overhead=hull([case.overhead for case in cases]),
        graphs=graphs,
        pool=left,
        regime=" or ".join(regime.name for regime in regimes),
        formulas=("gpu_memory_utilization × device", cases[0].formula, pool_formula),
        inputs=(f"utilization {share}",),
        graphs_inside=inside,
        calibrated=calibrated,
    )


def _forward(pool: Pool, accelerator: Accelerator, layout: Layout) -> Estimate:
    """Activations of one step; sequence parallelism spreads what tensor parallelism does not."""
    a, shards, element = pool.architecture.value, Shards.of(layout), element_bytes(pool)
    tokens, _ = step_limits(pool, accelerator)
    spread = layout.sequence if layout.engine == "generic" else 1
    peak = forward_peak(a, shards, tokens.mid / layout.prefill_context, element)
    low = forward_peak(a, shards, tokens.low / layout.prefill_context, element)
    return Estimate(0.5 * low / spread, peak, 2.5 * peak * tokens.high / tokens.mid)


def _sglang(pool: Pool, accelerator: Accelerator, layout: Layout, device: Estimate, weights: Estimate) -> Terms:
    """``mem_fraction_static × memory`` holds weights and the KV pool; activations and graphs live in the rest
    (``sglang/srt/model_executor/model_runner_kv_cache_mixin.py``; aisimulate pull request 263).

    Without a fraction SGLang works one out of the device, the ranks and the chunk of a prefill (``sglang_fraction``).
    """
    from servelint.capacity import sglang_pool  # lazily: only of SGLang's pools, as the fraction
    from servelint.capacity.sglang_fraction import automatic_fraction

    stated = readings(pool.gpu_memory_utilization)
    automatic = automatic_fraction(pool, layout, device)
    share = Estimate.spanning(*map(float, stated)) if stated else automatic
    kept = sglang_pool.kept_share(pool, accelerator, layout)
    share = Estimate(*(s * k for s, k in zip(share, kept, strict=True)))
    budget = Estimate(*(d * s for d, s in zip(device, share, strict=True)))
    before = sglang_pool.before_loading(accelerator, layout)
    overhead = Estimate(*(c * s for c, s in zip(before, share, strict=True))).plus(sglang_pool.kept_for_images(pool))
    left = budget.minus(weights).minus(overhead)
    fraction = ", ".join(map(str, stated)) if stated else f"{automatic.mid:.2f}, automatic"
    if kept.mid < 1:
        fraction += f", of which SGLang takes {kept.mid:g}"
    return Terms(
        budget=budget,
        activation=_forward(pool, accelerator, layout),
        overhead=overhead,
        # 0.1 GiB for few sizes to 1.9 for 160 requests and more; 2.8 more of prefills (0.5.19).
        graphs=Estimate.exact(0.0) if pool.enforce_eager.get(False) else of_gib(0.05, 1.5, 4.8),
        pool=sglang_pool.laid_out(pool, left),
        regime="SGLang",
        formulas=("mem_fraction_static × device", "one step, outside the static pool", "budget − weights − fraction × context"),
        inputs=(f"fraction {fraction}",),
    )


def _trtllm(pool: Pool, accelerator: Accelerator, layout: Layout, device: Estimate, weights: Estimate) -> Terms:
    """``free_gpu_memory_fraction`` (0.9) of what weights and a step at its peak leave free is the KV pool: the PyTorch backend
    runs steps with a small cache first, ``(total − peak + small cache) × fraction`` (``_torch/pyexecutor/_util.py``
    ``KvCacheCreator``, 0.17 to 1.2), the peak with what is outside torch. 68.7 GiB for Qwen3's 0.6B on H100 with 1.2.1."""
    stated = readings(pool.gpu_memory_utilization)
    share = Estimate.spanning(*map(float, stated or (0.9,)))
    activation, overhead = _forward(pool, accelerator, layout), of_gib(0.4, 1.5, 4.0)
    free = device.minus(weights).minus(activation).minus(overhead)
    pool_bytes = Estimate(*(f * s if f > 0 else f for f, s in zip(free, share, strict=True)))
    kept = Estimate(*(max(0.0, f) * (1 - s) for f, s in zip(free, reversed(share), strict=True)))  # free of the pool
    budget = device.minus(kept)
    left = "fraction × (device − weights − activations − overhead)"
    return Terms(
        budget=budget,
        activation=activation,
        overhead=overhead,
        graphs=of_gib(0.2, 1.0, 3.0),
        pool=pool_bytes,
        regime="TensorRT-LLM",
        formulas=("device − (1 − fraction) × free", "one step", left),
        inputs=(f"fraction {share.mid}",),
    )


def _plain(pool: Pool, accelerator: Accelerator, layout: Layout, device: Estimate, weights: Estimate) -> Terms:
    """An engine of which nothing is known but physics: weights, KV cache, one step's activations, a small overhead.

    The budget is the stated utilization of the memory, or all of it. What TGI takes of it differs by release (``tgi_pool``).
    """
    shares = readings(pool.gpu_memory_utilization) or (1.0,)
    forward = _forward(pool, accelerator, layout)
    overhead = of_gib(0.1, 0.6, 2.5) if layout.world_size > 1 else of_gib(0.1, 0.4, 1.0)
    if layout.engine == "tgi":
        from servelint.capacity.tgi_pool import accounted  # lazily: only of TGI's pools

        budget, activation, left, formula = accounted(pool, device, weights, forward, overhead, element_bytes(pool))
    else:
        budget, activation, formula = _share(device, shares), forward, "budget − weights − activations − overhead"
        left = budget.minus(weights).minus(activation).minus(overhead)
    return Terms(
        budget=budget,
        activation=activation,
        overhead=overhead,
        graphs=Estimate.exact(0.0),
        pool=left,
        regime=layout.engine,
        formulas=("utilization × memory", "widest layer of one step", formula),
        inputs=(f"utilization {shares[0]}",),
    )


def terms_of(
    pool: Pool, accelerator: Accelerator, layout: Layout, device: Estimate, weights: Estimate, stage: int, layers: int
) -> Terms:
    """What the pool's engine takes on one rank of stage ``stage`` with ``layers`` layers and ``weights`` bytes of them."""
    if layout.engine == "vllm":
        return _vllm(pool, accelerator, layout, device, weights, stage, layers)
    if layout.engine == "sglang":
        return _sglang(pool, accelerator, layout, device, weights)
    if layout.engine == "trtllm":
        return _trtllm(pool, accelerator, layout, device, weights)
    return _plain(pool, accelerator, layout, device, weights)
