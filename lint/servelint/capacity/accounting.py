"""Accounting: what each engine takes from a device before the KV cache gets the rest, on one rank of one stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.capacity import shape
from servelint.capacity.activation import forward_peak, profiled_peak
from servelint.capacity.limits import readings, served_length, speculates, step_limits, version_of
from servelint.capacity.margins import MARGINS
from servelint.capacity.quantization import dtype_bytes
from servelint.capacity.regimes import hull, regimes_of
from servelint.capacity.step import GIB
from servelint.capacity.tensors import Shards
from servelint.estimate import Estimate
from servelint.facts import UnknownFact

if TYPE_CHECKING:
    from servelint.capacity.layout import Layout
    from servelint.capacity.regimes import Regime
    from servelint.catalogue.accelerators import Accelerator
    from servelint.deployment import Pool
    from servelint.engines.versions import Version


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


def _gib(low: float, mid: float, high: float) -> Estimate:
    return Estimate(low * GIB, mid * GIB, high * GIB)


def _share(device: Estimate, shares: tuple[float, ...]) -> Estimate:
    """A share of the device, over all readings of the share; the first is the middle."""
    return hull([device.times(share) for share in shares])


# GiB a layer for the 51 default sizes: what each kind of layer launches is kept once for every size. Of dense layers; what latent
# attention (Kimi-VL, 27 layers: 1.50 GiB at TP 1, 1.26 at TP 2) and experts (Qwen3-30B-A3B, 48: 1.41 and 1.26; Mixtral, 32: 0.93)
# launch more.
_GRAPH_LAYER, _GRAPH_LATENT, _GRAPH_EXPERTS = 0.018, 0.0175, 0.0035


def graph_bytes(pool: Pool, layers: int, sequences: Estimate) -> Estimate:
    """CUDA graphs that vLLM captures.

    0.51-1.85 GiB measured on H100 for the 51 default sizes (up to 512), about 0.32 + 0.018 GiB per dense layer; they share most
    of their memory, so few sizes take less than in proportion: 0.09-0.4 GiB for one to four sequences. vLLM's own estimate is
    the first capture and at least 1 MiB for each further one (``profile_cudagraph_memory`` of 0.19.1). gpt-oss takes more than
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
    return _gib(0.4 * middle, middle, max(1.6 * middle, min(1.9, 1.9 * max(0.25, sizes / 51))))


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


# Devices for which vLLM keeps workspaces of FlashInfer's fused all-reduce (vllm/distributed/device_communicators/
# all_reduce_utils.py, flashinfer_all_reduce.py): H100 and H200, B200, B300. Others have NCCL's and the custom all-reduce's only.
_FUSED_REDUCE = frozenset({(9, 0), (10, 0), (10, 3)})


def _non_torch(regime: Regime, layout: Layout, accelerator: Accelerator, version: Version | None) -> Estimate:
    grouped = layout.tensor > 1 or layout.prefill_context > 1 or (layout.data > 1 and layout.expert > 1)
    if grouped and regime.name != "V0" and accelerator.compute_capability not in _FUSED_REDUCE:
        # 0.55 GiB in vLLM 0.11; 0.75 with 0.27 on two RTX 5090 (noonghunna/club-3090 issue 1087).
        return Estimate(regime.grouped.low, 0.6 * GIB, min(max(1.8 * GIB, regime.grouped.low), regime.grouped.high))
    if layout.tensor > 1 or layout.prefill_context > 1 or (layout.data > 1 and layout.expert > 1):
        return regime.grouped
    if layout.pipeline > 1:
        return regime.staged
    if regime.name == "0.17-0.19" and version is not None and version < (0, 18, 0):
        return _gib(0.05, 0.13, 0.48)  # as before 0.17; 0.25 from 0.18 on
    return regime.alone


def _vllm(
    pool: Pool, accelerator: Accelerator, layout: Layout, device: Estimate, weights: Estimate, stage: int, layers: int
) -> Terms:
    """V1: ``requested = utilization × total``, ``KV = requested − weights − peak activation − non-torch`` and, since 0.20,
    ``− CUDA-graph estimate`` (``vllm/v1/worker/gpu_worker.py`` ``determine_available_memory``; identity to 0.02 GiB in 60 of 61
    logged start-ups of 0.19)."""
    a = pool.architecture.value
    element = max(dtype_bytes(pool), 1.0)
    shards = Shards.of(layout)
    tokens, sequences = step_limits(pool, accelerator)
    version = version_of(pool)
    graphs = graph_bytes(pool, layers, sequences)
    first, last = stage == 0, stage == layout.pipeline - 1
    stated = readings(pool.gpu_memory_utilization)
    regimes = regimes_of(version)
    extra = _extra(pool, layout, element)
    plain_case = extra is None and not speculates(pool) and layout.tensor <= 4 and layout.data == 1 and layout.expert == 1
    measured = is_measured_device(accelerator, device) and plain_case
    logged = version is not None and version >= _LOGGED_FROM
    calibrated = measured and logged and all(r.name in MARGINS for r in regimes)
    longest = served_length(pool)
    budgets, peaks, overheads, pools, formula = [], [], [], [], ""
    for regime in regimes:
        spread = (1.0, 1.0) if calibrated else (0.8, 1.25) if regime.logged else (0.6, 1.7)
        peak, decided = profiled_peak(
            a, regime, shards, tokens=tokens, sequences=sequences, element=element, first=first, last=last, longest=longest,
            spread=spread,
        )  # fmt: skip
        formula = formula or decided
        budget = _share(device, stated or (regime.utilization,))
        overhead = _non_torch(regime, layout, accelerator, version)
        if extra is not None:
            overhead = overhead.plus(extra)
        if last:  # what the sampler keeps for each request and token of the vocabulary
            kept = regime.sampler_state
            overhead = overhead.plus(Estimate(*(k * r * shape.vocabulary(a) for k, r in zip(kept, sequences, strict=True))))
        if calibrated:
            off = MARGINS[regime.name]
            left = budget.minus(weights).minus(peak).minus(overhead.mid)
            pools.append(_off(left, off.pool))
            peak, overhead = _off(peak, off.activation), _off(Estimate.exact(overhead.mid), off.overhead)
        else:
            more = 0.12 * peak.mid if a.vision else 0.0  # the encoder is profiled too
            peak = Estimate(0.95 * peak.low, peak.mid, 1.05 * peak.high + more + 0.03 * GIB)
            left = budget.minus(weights).minus(peak).minus(overhead)
            pools.append(left.minus(graphs) if regime.graphs_inside else left)
        budgets.append(budget)
        peaks.append(peak)
        overheads.append(overhead)
    inside = regimes[0].graphs_inside
    pool_formula = "budget − weights − activations − overhead" + (" − graphs" if inside else "")
    left = hull(pools)
    if pool.kv_cache_memory_bytes.is_known:
        left, pool_formula = Estimate.exact(float(pool.kv_cache_memory_bytes.value)), "kv_cache_memory_bytes as stated"
    share = ", ".join(map(str, stated)) if stated else f"{regimes[0].utilization} by default"
    return Terms(
        budget=hull(budgets),
        activation=hull(peaks),
        overhead=hull(overheads),
        graphs=graphs,
        pool=left,
        regime=" or ".join(regime.name for regime in regimes),
        formulas=("gpu_memory_utilization × device", formula, pool_formula),
        inputs=(f"utilization {share}",),
        graphs_inside=inside,
        calibrated=calibrated,
    )


def _forward(pool: Pool, accelerator: Accelerator, layout: Layout) -> Estimate:
    """Activations of one step; sequence parallelism spreads what tensor parallelism does not."""
    a = pool.architecture.value
    tokens, _ = step_limits(pool, accelerator)
    spread = layout.sequence if layout.engine == "generic" else 1
    peak = forward_peak(a, Shards.of(layout), tokens.mid / layout.prefill_context, max(dtype_bytes(pool), 1.0))
    low = forward_peak(a, Shards.of(layout), tokens.low / layout.prefill_context, max(dtype_bytes(pool), 1.0))
    return Estimate(0.5 * low / spread, peak, 2.5 * peak * tokens.high / tokens.mid)


def _sglang(pool: Pool, accelerator: Accelerator, layout: Layout, device: Estimate, weights: Estimate) -> Terms:
    """``mem_fraction_static × memory`` holds weights and the KV pool; activations and graphs live in the rest
    (``sglang/srt/model_executor/model_runner_kv_cache_mixin.py``; aisimulate pull request 263).

    Without a fraction SGLang works one out of the device, the ranks and the chunk of a prefill (``sglang_fraction``).
    """
    from servelint.capacity.sglang_fraction import automatic_fraction  # lazily: only of SGLang's pools

    stated = readings(pool.gpu_memory_utilization)
    automatic = automatic_fraction(pool, layout, device)
    budget = _share(device, stated) if stated else Estimate(*(d * s for d, s in zip(device, automatic, strict=True)))
    # Gone before the weights load: 1.9 GiB of an H200 at TP8 (SemiAnalysisAI/InferenceX issue 2128), 2.1 of an H100 at TP4
    # (vllm-project/vllm issue 21348).
    overhead = _gib(0.6, 1.9, 3.0) if layout.world_size > 1 else _gib(0.2, 0.5, 1.2)
    fraction = ", ".join(map(str, stated)) if stated else f"{automatic.mid:.2f}, automatic"
    return Terms(
        budget=budget,
        activation=_forward(pool, accelerator, layout),
        overhead=overhead,
        graphs=_gib(0.3, 1.5, 4.0),
        pool=budget.minus(weights).minus(overhead),
        regime="SGLang",
        formulas=("mem_fraction_static × device", "one step, outside the static pool", "budget − weights − context"),
        inputs=(f"fraction {fraction}",),
    )


def _trtllm(pool: Pool, accelerator: Accelerator, layout: Layout, device: Estimate, weights: Estimate) -> Terms:
    """``free_gpu_memory_fraction`` (0.9) of what weights and activations leave free is the KV pool (``KvCacheConfig``)."""
    stated = readings(pool.gpu_memory_utilization)
    share = Estimate.spanning(*map(float, stated or (0.9,)))
    activation, overhead = _forward(pool, accelerator, layout), _gib(0.4, 1.5, 4.0)
    free = device.minus(weights).minus(activation).minus(overhead)
    pool_bytes = Estimate(*(f * s if f > 0 else f for f, s in zip(free, share, strict=True)))
    budget = Estimate(*(d - max(0.0, f) * (1 - s) for d, f, s in zip(device, free, share, strict=True)))
    left = "fraction × (device − weights − activations − overhead)"
    return Terms(
        budget=budget,
        activation=activation,
        overhead=overhead,
        graphs=_gib(0.2, 1.0, 3.0),
        pool=pool_bytes,
        regime="TensorRT-LLM",
        formulas=("device − (1 − fraction) × free", "one step", left),
        inputs=(f"fraction {share.mid}",),
    )


def _plain(pool: Pool, accelerator: Accelerator, layout: Layout, device: Estimate, weights: Estimate) -> Terms:
    """An engine of which nothing is known but physics: weights, KV cache, one step's activations, a small overhead.

    The budget is the stated utilization of the memory, or all of it. TGI keeps a margin of that share: TGI_WIGGLE_ROOM, 0.90
    or 0.95 by release (server/text_generation_server/models/globals.py).
    """
    shares = readings(pool.gpu_memory_utilization) or (1.0,)
    if layout.engine == "tgi":
        shares = tuple(share * margin for share in shares for margin in (0.95, 0.85, 1.0))
    budget = _share(device, shares)
    activation = _forward(pool, accelerator, layout)
    overhead = _gib(0.1, 0.6, 2.5) if layout.world_size > 1 else _gib(0.1, 0.4, 1.0)
    return Terms(
        budget=budget,
        activation=activation,
        overhead=overhead,
        graphs=Estimate.exact(0.0),
        pool=budget.minus(weights).minus(activation).minus(overhead),
        regime=layout.engine,
        formulas=("utilization × memory", "widest layer of one step", "budget − weights − activations − overhead"),
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
