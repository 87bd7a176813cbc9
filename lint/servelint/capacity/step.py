"""Units of memory; steps, one line of a derivation each; and how amounts are written for people."""

from __future__ import annotations

from servelint.estimate import Estimate
from servelint.records import NamedTuple

MIB, GIB = float(1 << 20), float(1 << 30)


class Step(NamedTuple):
    """One line of a derivation: what, how, from what, and the result with its unit."""

    title: str
    formula: str
    inputs: tuple[str, ...]
    result: str


def of_gib(low: float, mid: float, high: float) -> Estimate:
    """Bytes, of an interval that is written in GiB."""
    return Estimate(low * GIB, mid * GIB, high * GIB)


def amount(value: float) -> str:
    """A number of bytes for people: ``79.2 GiB``, ``160 KiB``."""
    for unit, size in (("GiB", GIB), ("MiB", GIB / 1024), ("KiB", 1024.0)):
        if abs(value) >= size or unit == "KiB":
            number = value / size
            return f"{number:.1f} {unit}" if abs(number) < 100 and unit != "KiB" else f"{number:.0f} {unit}"
    raise AssertionError


def gib(estimate: Estimate) -> str:
    """An estimate of bytes for people: ``65.7 GiB (65.6 … 66.0)``, or one number where it is exact."""
    if f"{estimate.low / GIB:.1f}" == f"{estimate.high / GIB:.1f}":
        return f"{estimate.mid / GIB:.1f} GiB"
    return f"{estimate.mid / GIB:.1f} GiB ({estimate.low / GIB:.1f} … {estimate.high / GIB:.1f})"
