"""Numbers with units: what is read, what is refused and how, and that a rewritten figure keeps its form."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, strategies as st

from servelint.formats.plan import quantities
from servelint.formats.plan.quantities import Dimension, Quantity, QuantityError, bare, parse, rewritten
from servelint_schemas import load


@pytest.mark.parametrize(
    ("text", "dimension", "value"),
    [
        ("64 GB", Dimension.MEMORY, 64e9),
        ("80GiB", Dimension.MEMORY, 80 * 2**30),
        ("512 MiB", Dimension.MEMORY, 512 * 2**20),
        ("64000000000", Dimension.MEMORY, 64e9),
        ("1.8 TB/s", Dimension.BANDWIDTH, 1.8e12),
        ("400 Gb/s", Dimension.BANDWIDTH, 50e9),
        ("400 Gbps", Dimension.BANDWIDTH, 50e9),
        ("400 TFLOPS", Dimension.COMPUTE, 400e12),
        ("1.979 PFLOP/s", Dimension.COMPUTE, 1.979e15),
        ("10 s", Dimension.TIME, 10.0),
        ("50 ms", Dimension.TIME, 0.05),
        ("41000 us", Dimension.TIME, 0.041),
        ("41000 \u03bcs", Dimension.TIME, 0.041),
        ("41000 \u00b5s", Dimension.TIME, 0.041),
        ("100 tokens/ms", Dimension.TOKEN_RATE, 100e3),
        ("100 tokens / ms", Dimension.TOKEN_RATE, 100e3),
        ("19e6 tokens/s", Dimension.TOKEN_RATE, 19e6),
        ("1.2 ktok/s", Dimension.TOKEN_RATE, 1200.0),
        ("4 req/s", Dimension.REQUEST_RATE, 4.0),
        ("240 requests/min", Dimension.REQUEST_RATE, 4.0),
        ("60.4 %", Dimension.RATIO, 0.604),
        ("0.604", Dimension.RATIO, 0.604),
        ("132 %", Dimension.RATIO, 1.32),
        ("10e9", Dimension.COUNT, 10e9),
        ("70B", Dimension.COUNT, 70e9),
        ("+.5e1", Dimension.COUNT, 5.0),
    ],
)
def test_what_is_read(text: str, dimension: Dimension, value: float) -> None:
    assert parse(text, dimension).value_si == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "dimension", "sentence"),
    [
        ("64 Gb", Dimension.MEMORY, "`64 Gb` is in bits: memory is in GB or GiB"),
        ("64 gb", Dimension.MEMORY, "`64 gb` has an unknown unit `gb`: did you mean GB?"),
        ("64", Dimension.MEMORY, "`64` without a unit means bytes: write the unit, such as 64 GB"),
        ("64 GB/s", Dimension.MEMORY, "`64 GB/s` is a bandwidth; here a memory is wanted, such as 64 GB or 80 GiB"),
        ("10 ms", Dimension.MEMORY, "`10 ms` is a time; here a memory is wanted, such as 64 GB or 80 GiB"),
        ("400 TFLOP", Dimension.COMPUTE, "`400 TFLOP` is a number of operations; here a compute rate is wanted, such as 400 TFLOPS"),
        ("fast", Dimension.TIME, "`fast` is not a time: write 10 s or 50 ms"),
        ("-1 s", Dimension.TIME, "`-1 s` is negative: a time is zero or more, such as 10 s or 50 ms"),
        ("1e400 s", Dimension.TIME, "`1e400 s` is not a finite time: write 10 s or 50 ms"),
        ("30.2", Dimension.RATIO, "`30.2` without a unit is a ratio, and so 3020 %: write 30.2 % or 0.302"),
        (
            "100 tokens/ms/GPU", Dimension.TOKEN_RATE,
            "`100 tokens/ms/GPU` gives a scope: the key says whether it is per GPU; write 100 tokens/ms or 20000 tokens/s",
        ),
        ("10,5 s", Dimension.TIME, "`10,5 s` has an unknown unit `,5 s`: write 10 s or 50 ms"),
        ("1" * 200, Dimension.COUNT, "`" + "1" * 37 + "...` is not a number: write 10e9 or 70B"),
        ("", Dimension.TIME, "`` is not a time: write 10 s or 50 ms"),
    ],
)  # fmt: skip
def test_what_is_refused_and_how(text: str, dimension: Dimension, sentence: str) -> None:
    with pytest.raises(QuantityError) as error:
        parse(text, dimension)
    assert str(error.value) == sentence


@pytest.mark.parametrize(
    ("old", "dimension", "value", "new"),
    [
        ("30.2 %", Dimension.RATIO, 23.19 / 64, "36.2 %"),
        ("30.2%", Dimension.RATIO, 0.36234, "36.2%"),
        ("0.302", Dimension.RATIO, 0.36234, "0.362"),
        ("30 %", Dimension.RATIO, 0.36234, "36.2 %"),
        ("5.00 GB", Dimension.MEMORY, 10e9, "10.00 GB"),
        ("23.19 GB", Dimension.MEMORY, 38.91e9, "38.91 GB"),
        ("64 GB", Dimension.MEMORY, 38.69e9, "38.7 GB"),
        ("19e6 tokens/s", Dimension.TOKEN_RATE, 76e6, "76e6 tokens/s"),
        ("1E3 tokens/s", Dimension.TOKEN_RATE, 2500.0, "2.5E3 tokens/s"),
        ("100 tokens/ms", Dimension.TOKEN_RATE, 400e3, "400 tokens/ms"),
        ("5000000000", Dimension.MEMORY, 10e9, "10000000000"),
        ("0 GB", Dimension.MEMORY, 2.5e9, "2.5 GB"),
        ("2.0 GB", Dimension.MEMORY, 0.0, "0.0 GB"),
    ],
)
def test_a_figure_is_rewritten_in_its_own_form(old: str, dimension: Dimension, value: float, new: str) -> None:
    assert rewritten(parse(old, dimension), value) == new


def test_a_number_only_yaml_can_read_is_rewritten_as_a_number() -> None:
    assert rewritten(bare(16e9, Dimension.MEMORY, "0x3b9aca000"), 32e9) == "3.2e+10"


def test_rounding_is_half_a_unit_of_the_last_digit() -> None:
    assert parse("23.19 GB", Dimension.MEMORY).rounding == pytest.approx(0.005e9)
    assert parse("19e6 tokens/s", Dimension.TOKEN_RATE).rounding == pytest.approx(0.5e6)
    assert parse("30.2 %", Dimension.RATIO).rounding == pytest.approx(0.0005)
    assert bare(16, Dimension.COUNT, "0x10").rounding == 0.0


DIMENSIONS = st.sampled_from(list(Dimension))
NUMBERS = st.one_of(
    st.decimals(0, 10**6, places=2).map(str),
    st.integers(0, 10**6).map(str),
    st.builds(lambda m, e: f"{m}e{e}", st.integers(1, 999), st.integers(0, 9)),
)


@st.composite
def written(draw: st.DrawFn) -> Quantity:
    dimension = draw(DIMENSIONS)
    unit = draw(st.sampled_from([u for u in quantities.units(dimension) if u]))
    return parse(f"{draw(NUMBERS)}{draw(st.sampled_from(['', ' ']))}{unit}", dimension)


@given(written())
def test_rewriting_what_is_there_changes_nothing(quantity: Quantity) -> None:
    assert rewritten(quantity, quantity.value_si) == quantity.text


@given(written(), st.floats(1e-6, 1e6))
def test_a_rewritten_figure_reads_as_the_value_to_its_decimals(quantity: Quantity, factor: float) -> None:
    size = quantities.units(quantity.dimension)["".join(quantity.unit.split())]
    value = (quantity.value_si or size) * factor
    again = parse(rewritten(quantity, value), quantity.dimension)
    assert again.unit == quantity.unit
    assert again.value_si == pytest.approx(value, rel=0.0021)


@given(written())
def test_what_is_read_the_schema_takes_as_well(quantity: Quantity) -> None:
    assert re.search(_pattern(quantity.dimension), quantity.text)


@given(st.text("0123456789.eE+- GMKTiBbps/%tokenrqmhFLOPSu", max_size=16), DIMENSIONS)
def test_text_the_schema_takes_is_read_or_refused_for_its_value(text: str, dimension: Dimension) -> None:
    refusal = ""
    try:
        parse(text, dimension)
    except QuantityError as error:
        refusal = str(error)
    if refusal and re.search(_pattern(dimension), text):
        assert any(word in refusal for word in ("negative", "finite", "without a unit"))


def _pattern(dimension: Dimension) -> str:
    schemas = load("plan")["$defs"].values()
    return next(str(s["pattern"]) for s in schemas if s.get("x-dimension") == dimension.value and "properties" not in s)


def test_every_dimension_has_units_and_an_example_that_is_read() -> None:
    for dimension in Dimension:
        for example in quantities.example(dimension).split(" or "):
            assert parse(example, dimension).value_si > 0
