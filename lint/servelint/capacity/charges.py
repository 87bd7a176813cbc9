"""Charges: what vLLM takes beside weights, activations and graphs, and what its sampler does with logits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.capacity.runners import SECOND
from servelint.capacity.step import GIB, of_gib
from servelint.estimate import Estimate

if TYPE_CHECKING:
    from servelint.capacity.layout import Layout
    from servelint.capacity.regimes import Regime
    from servelint.catalogue.accelerators import Accelerator
    from servelint.engines.versions import Version

# Devices for which vLLM keeps workspaces of FlashInfer's fused all-reduce (vllm/distributed/device_communicators/
# all_reduce_utils.py, flashinfer_all_reduce.py): H100 and H200, B200, B300. Others have NCCL's and the custom all-reduce's only.
_FUSED_REDUCE = frozenset({(9, 0), (10, 0), (10, 3)})
_RCCL = 10.0  # GiB at most: SGLang found 4.4 gone at TP 8 and 8.8 at TP 2 on MI355X; no log of vLLM says


def non_torch(regime: Regime, layout: Layout, accelerator: Accelerator, version: Version | None) -> Estimate:
    """Memory outside torch's allocator that is there when the cache is sized: the driver's context, communicators."""
    grouped = layout.tensor > 1 or layout.prefill_context > 1 or (layout.data > 1 and layout.expert > 1)
    if grouped and regime.name != "V0" and accelerator.compute_capability not in _FUSED_REDUCE:
        # 0.55 GiB in vLLM 0.11; 0.75 with 0.27 on two RTX 5090 (noonghunna/club-3090 issue 1087).
        middle = 0.75 if regime.graphs_inside else 0.6
        high = min(max(1.8 * GIB, regime.grouped.low), regime.grouped.high)
        if accelerator.vendor == "AMD":
            high = _RCCL * GIB
        return Estimate(regime.grouped.low, middle * GIB, high)
    if grouped:
        return regime.grouped
    if layout.pipeline > 1:
        return regime.staged
    if regime.name == "0.17-0.19" and version is not None and version < (0, 18, 0):
        return of_gib(0.05, 0.13, 0.48)  # as before 0.17; 0.25 from 0.18 on
    return regime.alone


# Bytes that the sampler of runner 2 keeps for each request and token of the vocabulary: a count in 32 bits and a mask of one
# (vllm/v1/worker/gpu/sample/penalties.py). Counted only where all of the memory gone is, since 0.27.
KEPT_COUNTS = 4.125
# From this release on blocks of the allocator are not split while memory is profiled; before, what a small tensor is cut out of
# is not given back (``_scoped_allocator_max_split`` in vllm/v1/worker/gpu_worker.py 0.31).
_UNSPLIT_FROM = (0, 31, 0)


def of_free_memory(regime: Regime, accelerator: Accelerator, kept: Estimate | None) -> Estimate:
    """What counts where memory that is gone does: what a sampler ``kept``, and on devices that share the host's, the host's:
    Qwen3-0.6B took 2.2 GiB beside its weights, Qwen3.6-27B 8.4 (GB10, vLLM 0.27)."""
    total = Estimate.exact(0.0)
    if regime.graphs_inside and accelerator.shares_host_memory:
        total = total.plus(of_gib(0.0, 2.5, 12.0))
    return total.plus(kept) if kept is not None and regime.by_free_memory else total


def unreleased(regime: Regime, version: Version | None) -> float:
    """Share of the activations that may stay reserved and count as gone: Qwen3-32B at 8192 tokens some 1.4 of 1.5 GiB."""
    return 0.5 if regime.by_free_memory and (version is None or version < _UNSPLIT_FROM) else 0.0


def sampler_bytes(regime: Regime, runner: int, version: Version | None) -> Estimate:
    """Bytes per logit beside one copy in the model's dtype: runner 2 makes a 32-bit copy, from 0.28 on only where a request
    wants its logits changed (``apply_sampling_params`` in vllm/v1/worker/gpu/sample/sampler.py; its dummies want nothing)."""
    if runner != SECOND:
        return regime.sampler
    if version is not None and version < (0, 26, 0):
        return Estimate.exact(4.0)
    if version is not None and (0, 27, 0) <= version < (0, 28, 0):
        return Estimate(0.0, 4.0, 5.0)  # 0.25 GiB for 256 rows of 151936 (Qwen2.5-0.5B)
    return Estimate(0.0, 0.0, 4.0)
