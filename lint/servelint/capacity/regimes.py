"""Regimes of vLLM's memory accounting: which figures and which arithmetic hold for which releases.

Boundaries are half-open ranges of released sources that were read; a version between two of them may follow either, and both
then count. Figures of 0.10-0.19 are fitted to start-up logs (llm-d-planner pull request 205 and its table for 0.11); where no
log was at hand the interval is the worst case of the code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.capacity.step import GIB
from servelint.estimate import Estimate
from servelint.records import NamedTuple

if TYPE_CHECKING:
    from servelint.engines.versions import Version


def _gib(low: float, mid: float, high: float) -> Estimate:
    return Estimate(low * GIB, mid * GIB, high * GIB)


class Regime(NamedTuple):
    """One way in which vLLM accounts for memory.

    ``first`` and ``last``: releases known to follow it (last None: still does). ``sampler``: bytes per logit of the dummy
    sampler run beside one copy in the model's dtype. ``alone``, ``staged``, ``grouped``: memory outside torch with one GPU,
    with pipeline stages only, with a tensor-parallel group. ``graphs_inside``: an estimate for CUDA graphs is taken from the
    KV pool. ``logged``: start-up logs of it were seen; ``fitted``: enough of them to set its intervals.
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
    fitted: bool


REGIMES: tuple[Regime, ...] = (
    Regime(
        "V0", (0, 0, 0), (0, 7, 99), 0.90, Estimate(0.0, 8.0, 24.0),
        _gib(0.03, 0.3, 1.9), _gib(0.03, 0.3, 1.9), _gib(0.03, 0.6, 3.7), False, False, False,
    ),
    Regime(
        "V1 before 0.17", (0, 8, 0), (0, 16, 99), 0.90, Estimate(11.0, 36.4, 38.0),
        _gib(0.05, 0.13, 0.5), _gib(0.05, 0.13, 0.6), _gib(0.2, 0.55, 2.3), False, True, False,
    ),
    Regime(
        "0.17-0.19", (0, 17, 0), (0, 19, 1), 0.90, Estimate(12.6, 12.95, 13.4),
        _gib(0.12, 0.25, 0.48), _gib(0.05, 0.07, 0.5), _gib(1.9, 2.1, 2.3), False, True, True,
    ),
    Regime(
        "0.20-0.26", (0, 20, 2), (0, 26, 0), 0.92, Estimate(8.0, 12.95, 30.0),
        _gib(0.05, 0.3, 1.0), _gib(0.05, 0.3, 1.2), _gib(0.3, 2.1, 3.5), True, False, False,
    ),
    Regime(
        "from 0.27", (0, 27, 1), None, 0.92, Estimate(8.0, 16.0, 38.0),
        _gib(0.05, 0.6, 2.0), _gib(0.05, 0.6, 2.0), _gib(0.3, 2.3, 4.5), True, False, False,
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

    ``vllm/engine/arg_utils.py`` ``get_batch_defaults``: 16384 and 1024 from 160 GiB (since 0.28), 8192 and 1024 from 70 GiB
    except on A100, else 2048 and 256; V0 took 256 sequences everywhere, the first V1 releases 1024.
    """
    big = device_gib >= 70 and "a100" not in name.lower()
    tiers: list[tuple[int, int]] = []
    if version is None or version >= (0, 28, 0):
        if device_gib >= 160:
            tiers.append((16384, 1024))
        if device_gib < 160 or version is None:
            tiers.append((8192, 1024) if big else (2048, 256))
    elif version >= (0, 8, 3):
        tiers.append((8192, 1024) if big else (2048, 256))
        if version >= (0, 27, 2) and device_gib >= 160:
            tiers.append((16384, 1024))
    elif version >= (0, 8, 0):
        tiers += [(8192, 1024) if big else (2048, 256), (2048, 1024)]
    else:
        tiers += [(2048, 256), (512, 256)]
    return tuple(tiers)
