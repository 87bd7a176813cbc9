"""Margins: how far measured terms are off their estimate, and whether those of all other models cover a model's own.

A regime gets margins from eight independent configurations on. They are the extremes of what was measured less what was
estimated, a quarter wider. The coverage that the score reports is that of margins without the model that is scored.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tools.score.rows import GIB

from servelint.capacity import accounting, margins
from servelint.capacity.margins import Margins

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tools.score.memory import Scored

LEAST = 8
_WIDER = 1.25
_TERMS = {"activation": "activation", "non_torch": "overhead", "kv_pool": "pool"}


def fit(scored: Iterable[Scored], without: str = "") -> dict[str, Margins]:
    """The margins of every regime with enough configurations, ``without`` one model."""
    off: dict[str, dict[str, list[float]]] = {}
    groups: dict[str, set[tuple[object, ...]]] = {}
    for one in scored:
        if not one.row.complete or not one.measured_device or one.row.model == without:
            continue
        for term, name in _TERMS.items():
            if (compared := one.terms.get(term)) is not None:
                gap = (compared.measured - compared.predicted.mid) / GIB
                off.setdefault(one.regime, {}).setdefault(name, []).append(gap)
                if name == "pool":
                    groups.setdefault(one.regime, set()).add(one.row.vote)
    result = {}
    for regime in sorted(off):
        if len(groups.get(regime, ())) < LEAST or len(off[regime]) < len(_TERMS):
            continue
        spans = {name: _span(values, one_sided=_code_explains(regime, name)) for name, values in off[regime].items()}
        result[regime] = Margins(len(groups[regime]), spans["activation"], spans["overhead"], spans["pool"])
    return result


def _code_explains(regime: str, name: str) -> tuple[float, float]:
    """Gaps that the estimate's own interval spans already, in GiB: before 0.17 a sampler that does not sort leaves more."""
    return (-math.inf, math.inf) if regime != "V1 before 0.17" or name == "overhead" else (-1.0, 1.0)


def _span(values: list[float], one_sided: tuple[float, float]) -> tuple[float, float]:
    low, high = one_sided
    own = [value for value in values if low <= value <= high]
    least, most = min(own, default=0.0), max(own, default=0.0)
    return _outwards(min(0.0, least) * _WIDER - 0.01, down=True), _outwards(max(0.0, most) * _WIDER + 0.01, down=False)


def _outwards(value: float, *, down: bool) -> float:
    return math.floor(value * 100) / 100 if down else math.ceil(value * 100) / 100


@contextmanager
def applied(which: Mapping[str, Margins]) -> Iterator[None]:
    """Estimates within the block use ``which`` in place of the shipped margins."""
    before = accounting.MARGINS
    accounting.MARGINS = which
    try:
        yield
    finally:
        accounting.MARGINS = before


def module(which: Mapping[str, Margins]) -> str:
    """The text of ``servelint/capacity/margins.py`` with these margins."""
    with open(margins.__file__, encoding="utf-8") as file:
        head = file.read().partition("MARGINS: Mapping")[0]
    lines = ["MARGINS: Mapping[str, Margins] = {"]
    for regime, own in which.items():
        lines.append(f'    "{regime}": Margins({own.groups}, {own.activation}, {own.overhead}, {own.pool}),')
    return head + "\n".join([*lines, "}"]) + "\n"
