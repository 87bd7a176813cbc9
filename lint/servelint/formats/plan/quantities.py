"""Quantities: numbers with units in the text (``64 GB``, ``100 tokens/ms``, ``60.4 %``) or bare SI numbers.

A quantity remembers how it was written, so that a corrected figure can be written in the same unit and with the same
number of decimals, and so that arithmetic on rounded figures can allow for their rounding.
"""

from __future__ import annotations

import re
from enum import Enum
from functools import cache
from math import isfinite
from typing import TYPE_CHECKING

from servelint.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Dimension(Enum):
    """What a quantity measures; the value is what people call it."""

    MEMORY = "memory"
    BANDWIDTH = "bandwidth"
    COMPUTE = "compute rate"
    OPERATIONS = "number of operations"
    TIME = "time"
    TOKEN_RATE = "token rate"  # noqa: S105 (a rate of tokens is no password)
    REQUEST_RATE = "request rate"
    RATIO = "ratio"
    COUNT = "number"


class QuantityError(ValueError):
    """One sentence for people: what was written, what is wrong with it, what to write."""


class Quantity(NamedTuple):
    """``value_si``: bytes, bytes/s, FLOP/s, FLOP, seconds, tokens/s, requests/s, a ratio (1 is 100 %) or a pure number.

    ``unit`` is as written ("" for a bare SI number), ``text`` the whole text.
    """

    value_si: float
    unit: str
    dimension: Dimension
    text: str

    @property
    def rounding(self) -> float:
        """Half a unit of the last digit written, in SI: how far the figure may be from the one it was rounded from."""
        match = _form(self)
        if match is None:
            return 0.0
        decimals, exponent = _precision(match["number"])
        return float(0.5 * 10.0 ** (exponent - decimals) * units(self.dimension).get(_squeezed(self.unit), 1.0))


# What a correct example looks like, for error sentences.
_EXAMPLES: dict[Dimension, str] = {
    Dimension.MEMORY: "64 GB or 80 GiB",
    Dimension.BANDWIDTH: "1.8 TB/s or 400 Gb/s",
    Dimension.COMPUTE: "400 TFLOPS",
    Dimension.OPERATIONS: "17.87 TFLOP",
    Dimension.TIME: "10 s or 50 ms",
    Dimension.TOKEN_RATE: "100 tokens/ms or 20000 tokens/s",
    Dimension.REQUEST_RATE: "4 req/s",
    Dimension.RATIO: "60.4 % or 0.604",
    Dimension.COUNT: "10e9 or 70B",
}
_BARE: dict[Dimension, str] = {Dimension.MEMORY: "bytes", Dimension.BANDWIDTH: "bytes/s", Dimension.COMPUTE: "FLOP/s"}
_PREFIXES = (("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15))
_BINARY = (("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50))
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0, "min": 60.0, "h": 3600.0}
_SHAPE = r"\s*(?P<number>[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)(?P<gap>\s*)(?P<unit>\S(?:.*\S)?)?\s*"


@cache
def units(dimension: Dimension) -> Mapping[str, float]:
    """Unit (without spaces) → its size in SI. ``B`` is a byte in memory and a billion in a count; ``b`` is a bit."""
    table: dict[str, float] = {"": 1.0}
    if dimension in (Dimension.MEMORY, Dimension.BANDWIDTH):
        rate = "/s" if dimension is Dimension.BANDWIDTH else ""
        table[f"B{rate}"] = 1.0
        table |= {f"{prefix}B{rate}": 10.0**power for prefix, power in _PREFIXES}
        table[f"KB{rate}"] = 1e3
        table |= {f"{prefix}B{rate}": 2.0**power for prefix, power in _BINARY}
        if rate:
            for prefix, power in _PREFIXES[1:4]:
                table |= dict.fromkeys((f"{prefix}b/s", f"{prefix}bit/s", f"{prefix}bps"), 10.0**power / 8)
    elif dimension is Dimension.COMPUTE:
        for prefix, power in (("", 0), *_PREFIXES[1:]):
            table |= dict.fromkeys((f"{prefix}FLOPS", f"{prefix}FLOP/s"), 10.0**power)
        table |= {"TOPS": 1e12, "POPS": 1e15}
    elif dimension is Dimension.OPERATIONS:
        for prefix, power in (("", 0), *_PREFIXES, ("E", 18)):
            table |= dict.fromkeys((f"{prefix}FLOP", f"{prefix}FLOPs"), 10.0**power)
    elif dimension is Dimension.TIME:
        table |= _SECONDS
    elif dimension is Dimension.TOKEN_RATE:
        for prefix, power in (("", 0), *_PREFIXES[:2]):
            for noun in ("tokens", "token", "tok"):
                table |= {f"{prefix}{noun}/{unit}": 10.0**power / _SECONDS[unit] for unit in ("ms", "s", "min", "h")}
    elif dimension is Dimension.REQUEST_RATE:
        for noun in ("requests", "request", "req"):
            table |= {f"{noun}/{unit}": 1 / _SECONDS[unit] for unit in ("ms", "s", "min", "h")}
        table["rps"] = 1.0
    elif dimension is Dimension.RATIO:
        table["%"] = 0.01
    else:
        table |= {"k": 1e3, "K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}
    return table


def parse(text: str, dimension: Dimension) -> Quantity:
    """The quantity ``text`` states; raises :class:`QuantityError` with one sentence if it states none of ``dimension``."""
    match = _split(text)
    if match is None:
        raise QuantityError(f"`{_short(text)}` is not a {dimension.value}: write {_EXAMPLES[dimension]}")
    unit = match["unit"] or ""
    size = units(dimension).get(_squeezed(unit))
    if size is None:
        raise QuantityError(_wrong_unit(text.strip(), unit, dimension))
    return checked(Quantity(float(match["number"]) * size, unit, dimension, text.strip()))


def bare(number: float, dimension: Dimension, text: str) -> Quantity:
    """A number that stands without a unit: it is in SI. Raises :class:`QuantityError` where that cannot be meant."""
    return checked(Quantity(float(number), "", dimension, text))


def checked(quantity: Quantity) -> Quantity:
    """``quantity`` itself; raises :class:`QuantityError` where the number cannot be what was meant."""
    value, unit, dimension, text = quantity
    text = _short(text)
    if not isfinite(value):
        raise QuantityError(f"`{text}` is not a finite {dimension.value}: write {_EXAMPLES[dimension]}")
    if value < 0:
        raise QuantityError(f"`{text}` is negative: a {dimension.value} is zero or more, such as {_EXAMPLES[dimension]}")
    if not unit and dimension is Dimension.RATIO and value > 1:
        raise QuantityError(f"`{text}` without a unit is a ratio, and so {value * 100:g} %: write {text} % or {value / 100:g}")
    if not unit and dimension in _BARE and 0 < value < 1e5:  # nobody means 64 bytes, nor 400 FLOP/s
        suggestion = _EXAMPLES[dimension].split(" or ", maxsplit=1)[0].split()[1]
        raise QuantityError(f"`{text}` without a unit means {_BARE[dimension]}: write the unit, such as {text} {suggestion}")
    return quantity


def rewritten(old: Quantity, value_si: float) -> str:
    """``value_si`` in the unit, spacing and decimals of ``old`` (more decimals where rounding would move it by 0.2 %)."""
    match = _form(old)
    if match is None:  # a number that only YAML knows how to read, such as 0x10
        return f"{value_si:g}"
    decimals, exponent = _precision(match["number"])
    target = value_si / units(old.dimension)[_squeezed(match["unit"] or "")] / 10.0**exponent
    while decimals < 18 and abs(round(target, decimals) - target) > 0.002 * abs(target):
        decimals += 1
    number = f"{target:.{decimals}f}"
    _, marker, power = match["number"].replace("E", "e").partition("e")
    if marker:
        number += ("E" if "E" in match["number"] else "e") + power
    return number + (match["gap"] + match["unit"] if match["unit"] else "")


def example(dimension: Dimension) -> str:
    """How a quantity of ``dimension`` may be written."""
    return _EXAMPLES[dimension]


def nearest(word: str, known: Iterable[object]) -> str | None:
    """The entry of ``known`` that ``word`` was probably meant to be; None if none is near."""
    from difflib import get_close_matches

    folded = {name.lower(): name for name in map(str, known)}
    if word.lower() in folded:
        return folded[word.lower()]
    close: list[str] = get_close_matches(word.lower(), folded, n=1, cutoff=0.6)
    return folded[close[0]] if close else None


def _wrong_unit(text: str, unit: str, dimension: Dimension) -> str:
    squeezed = _squeezed(unit)
    for suffix in ("/gpu", "pergpu", "/card", "percard"):
        if squeezed.lower().endswith(suffix):
            return f"`{_short(text)}` gives a scope: the key says whether it is per GPU; write {_EXAMPLES[dimension]}"
    for other in Dimension:
        if other is not dimension and squeezed in units(other):
            return f"`{_short(text)}` is a {other.value}; here a {dimension.value} is wanted, such as {_EXAMPLES[dimension]}"
    if dimension is Dimension.MEMORY and len(squeezed) == 2 and squeezed.endswith("b") and squeezed[0] in "kKMGTP":
        return f"`{_short(text)}` is in bits: memory is in {squeezed[0]}B or {squeezed[0]}iB"
    guess = nearest(squeezed, [name for name in units(dimension) if name])
    hint = f"did you mean {guess}?" if guess else f"write {_EXAMPLES[dimension]}"
    return f"`{_short(text)}` has an unknown unit `{_short(unit)}`: {hint}"


def _split(text: str) -> re.Match[str] | None:
    return re.fullmatch(_SHAPE, text) if len(text) <= 100 else None


def _form(quantity: Quantity) -> re.Match[str] | None:
    """Number, gap and unit as written; None for a number in a form that only YAML knows, such as 0x10."""
    match = _split(quantity.text)
    return match if match is not None and (match["unit"] or "") == quantity.unit else None


def _squeezed(unit: str) -> str:
    return "".join(unit.split()).replace("\u03bc", "\u00b5")


def _precision(number: str) -> tuple[int, int]:
    """(decimals of the mantissa, decimal exponent) of a number as written."""
    mantissa, _, power = number.lower().partition("e")
    return len(mantissa.partition(".")[2]), int(power or 0)


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."
