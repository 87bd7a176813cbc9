"""Estimates: an interval with a middle, in one unit; arithmetic keeps the interval sound."""

from __future__ import annotations

from servelint.records import NamedTuple


class Estimate(NamedTuple):
    """``low ≤ mid ≤ high``, all in the same unit (the name of whatever holds it says which)."""

    low: float
    mid: float
    high: float

    @classmethod
    def exact(cls, value: float) -> Estimate:
        return cls(value, value, value)

    @classmethod
    def spanning(cls, first: float, *others: float) -> Estimate:
        """The interval over several readings of one quantity; the first is the middle."""
        values = (first, *others)
        return cls(min(values), first, max(values))

    @property
    def is_exact(self) -> bool:
        return self.low == self.high

    def plus(self, other: Estimate | float) -> Estimate:
        o = other if isinstance(other, Estimate) else Estimate.exact(other)
        return Estimate(self.low + o.low, self.mid + o.mid, self.high + o.high)

    def minus(self, other: Estimate | float) -> Estimate:
        o = other if isinstance(other, Estimate) else Estimate.exact(other)
        return Estimate(self.low - o.high, self.mid - o.mid, self.high - o.low)

    def times(self, factor: float) -> Estimate:
        """``factor`` must not be negative."""
        return Estimate(self.low * factor, self.mid * factor, self.high * factor)

    def over(self, other: Estimate | float) -> Estimate:
        """Quotient of positive quantities."""
        o = other if isinstance(other, Estimate) else Estimate.exact(other)
        return Estimate(self.low / o.high, self.mid / o.mid, self.high / o.low)

    def at_least(self, floor: float) -> Estimate:
        return Estimate(max(self.low, floor), max(self.mid, floor), max(self.high, floor))


def largest(first: Estimate, *others: Estimate) -> Estimate:
    """The interval of the maximum of several quantities."""
    every = (first, *others)
    return Estimate(max(e.low for e in every), max(e.mid for e in every), max(e.high for e in every))
