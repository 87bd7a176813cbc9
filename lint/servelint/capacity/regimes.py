"""Regimes of vLLM's memory accounting: which figures and which arithmetic hold for which releases.

Boundaries are half-open ranges of released sources that were read; a version between two of them may follow either, and both
then count. Figures of 0.10-0.19 are the middles of start-up logs (llm-d-planner pull request 205 and its table for 0.11); where
no log was at hand the interval is the worst case of the code. Before 0.17 PyTorch's sampler sorted the logits for top-k and
top-p, which profiling always applies (36.4 bytes a logit). FlashInfer's, which 0.11.0 takes where it can be imported and later
releases where ``VLLM_USE_FLASHINFER_SAMPLER`` asks for it, does not (12.95, as Triton's from 0.17 on): of one image 2.49 and 4.00
GiB were left for the KV cache without and with it (flashinfer-ai/flashinfer issue 1180).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.capacity.step import GIB, of_gib
from servelint.estimate import Estimate
from servelint.records import NamedTuple

if TYPE_CHECKING:
    from servelint.engines.versions import Version


class Regime(NamedTuple):
    """One way in which vLLM accounts for memory.

    ``first`` and ``last``: releases known to follow it (last None: still does). ``sampler``: bytes per logit of the dummy
    sampler run beside one copy in the model's dtype. ``alone``, ``staged``, ``grouped``: memory outside torch with one GPU,
    with pipeline stages only, with a tensor-parallel group. ``graphs_inside``: an estimate for CUDA graphs is taken from the
    KV pool. ``by_free_memory``: all memory gone since the start counts, not weights and what is outside torch. ``copies``: hidden
    states beside the widest point of a layer where it is not compiled, 0 where it is. ``logged``: start-up logs of it were seen
    in numbers; where enough were, :data:`servelint.capacity.margins.MARGINS` has how far they are off.
    """

    name: str
    first: tuple[int, int, int]
    last: tuple[int, int, int] | None
    utilization: float
    sampler: Estimate
    alone: Estimate
    staged: Estimate
    grouped: Estimate
    graphs_inside: bool
    logged: bool
    by_free_memory: bool = False
    copies: float = 0.0


REGIMES: tuple[Regime, ...] = (
    # Three copies of the hidden states: Llama-3.1-8B on a 3090 took 2.07 GiB for 20000 tokens and 2.99 for 29000 (vllm issue
    # 10517). Only the driver samples, sorted as V1 before 0.17: Llama-3-8B on H100 1.26 GiB for 256 rows (pull request
    # 10511), Qwen-14B at TP 2 1.4 on the driver by its blocks and 0.19 on the other rank (issue 13061).
    Regime(
        "V0", (0, 0, 0), (0, 7, 99), 0.90, Estimate(0.0, 36.4, 36.4),
        of_gib(0.03, 0.3, 1.9), of_gib(0.03, 0.3, 1.9), of_gib(0.03, 0.25, 3.7), False, False, copies=3.0,
    ),
    Regime(
        "V1 before 0.17", (0, 8, 0), (0, 16, 99), 0.90, Estimate(12.95, 36.4, 36.4),
        of_gib(0.05, 0.13, 0.5), of_gib(0.05, 0.13, 0.6), of_gib(0.2, 0.55, 2.3), False, True,
    ),
    Regime(
        "0.17-0.19", (0, 17, 0), (0, 19, 1), 0.90, Estimate(12.95, 12.95, 12.95),
        of_gib(0.12, 0.25, 0.48), of_gib(0.05, 0.07, 0.5), of_gib(0.3, 2.1, 2.5), False, True,
    ),
    # Runner 1 warms FlashInfer's sampler and torch's, one after the other (gpu_model_runner.py 0.26 ``_dummy_sampler_run``):
    # 32-bit logits, their probabilities and one or two copies.
    Regime(
        "0.20-0.26", (0, 20, 2), (0, 26, 0), 0.92, Estimate(12.0, 12.95, 14.5),
        of_gib(0.1, 0.35, 1.1), of_gib(0.05, 0.35, 1.3), of_gib(0.3, 1.6, 3.0), True, False,
    ),
    Regime(
        "from 0.27", (0, 27, 1), (0, 28, 99), 0.92, Estimate(12.0, 12.95, 14.5),
        of_gib(0.1, 0.35, 1.3), of_gib(0.05, 0.35, 1.5), of_gib(0.3, 1.6, 3.3), True, False, True,
    ),
    Regime(
        "Model Runner V2", (0, 29, 0), None, 0.92, Estimate(12.0, 12.95, 14.5),
        of_gib(0.1, 0.35, 1.3), of_gib(0.05, 0.35, 1.5), of_gib(0.3, 1.6, 3.3), True, False, True,
    ),
)  # fmt: skip


def regimes_of(version: Version | None) -> tuple[Regime, ...]:
    """The regimes a version may follow, the likeliest first: all of them, newest first, where the version is unknown."""
    if version is None:
        return tuple(reversed(REGIMES[1:]))
    exact = [r for r in REGIMES if r.first <= version and (r.last is None or version <= r.last)]
    if exact:
        return tuple(exact)
    before = [r for r in REGIMES if r.last is not None and r.last < version]
    after = [r for r in REGIMES if r.first > version]
    return (*after[:1], *before[-1:])


def hull(estimates: list[Estimate]) -> Estimate:
    """The interval over all; the first one's middle."""
    return Estimate(min(e.low for e in estimates), estimates[0].mid, max(e.high for e in estimates))


def default_limits(version: Version | None, device_gib: float, name: str) -> tuple[tuple[int, int], ...]:
    """Default (batched tokens, sequences) of the API server that a version may use on a device, likeliest first.

    As :mod:`servelint.engines.vllm_batch` has them from 0.8 on; V0 took 256 sequences everywhere. An unknown version may be
    any recent one.
    """
    big = device_gib >= 70 and "a100" not in name.lower()
    if version is None:
        newest = ((16384, 1024),) if device_gib >= 160 else ()
        return (*newest, (8192, 1024) if big else (2048, 256))
    if version < (0, 8, 0):
        return (2048, 256), (512, 256)
    from servelint.engines.vllm_batch import Device, batch_defaults  # lazily: a resolved pool has its limits already

    found = batch_defaults(version, Device(device_gib * GIB, name.lower()))
    tiers = [(found.tokens, found.sequences)]
    if (0, 27, 2) <= version < (0, 28, 0) and device_gib >= 160:
        tiers.append((16384, 1024))  # between the releases that were read
    return tuple(tiers)
