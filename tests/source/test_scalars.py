from __future__ import annotations

import math

import pytest
from hypothesis import given, settings, strategies as st

from servelint.source.nodes import ScalarNode
from servelint.source.scalars import Value, boolean, core_value, integer, kubernetes_value, quantity
from servelint.source.text import Span


def plain(text: str, tag: str = "", style: str = "") -> ScalarNode:
    return ScalarNode(Span(0, 0), text, style, tag=tag)


# text: (Kubernetes, YAML 1.2 core)
VALUES: dict[str, tuple[Value, Value]] = {
    "": (None, None),
    "~": (None, None),
    "Null": (None, None),
    "true": (True, True),
    "FALSE": (False, False),
    "yes": (True, "yes"),
    "On": (True, "On"),
    "n": (False, "n"),
    "oFF": ("oFF", "oFF"),
    "8": (8, 8),
    "-8": (-8, -8),
    "+8": (8, 8),
    "010": (8, 10),
    "-010": (-8, -10),
    "08": (8.0, 8),
    "0o17": (15, 15),
    "0O17": (15, "0O17"),
    "0x1F": (31, 31),
    "-0x1f": (-31, "-0x1f"),
    "0b101": (5, "0b101"),
    "-0b101": (-5, "-0b101"),
    "0x": ("0x", "0x"),
    "1_000": (1000, "1_000"),
    "0_10": (8, "0_10"),
    "1:30": ("1:30", "1:30"),
    "1.5": (1.5, 1.5),
    "1.": (1.0, 1.0),
    ".5": (0.5, 0.5),
    "-.5": (-0.5, -0.5),
    ".": (".", "."),
    "-": ("-", "-"),
    "+": ("+", "+"),
    "10e9": (1e10, 1e10),
    "1e-3": (0.001, 0.001),
    "1.5E+3": (1500.0, 1500.0),
    "e9": ("e9", "e9"),
    "1e": ("1e", "1e"),
    "1e9x": ("1e9x", "1e9x"),
    "1e400": ("1e400", math.inf),
    "-.inf": (-math.inf, -math.inf),
    ".Inf": (math.inf, math.inf),
    "inf": ("inf", "inf"),
    "nan": ("nan", "nan"),
    "2024-01-31": ("2024-01-31", "2024-01-31"),
    "v1": ("v1", "v1"),
    "64Gi": ("64Gi", "64Gi"),
    "1.2.3": ("1.2.3", "1.2.3"),
    "٣": ("٣", "٣"),
    "18446744073709551616": (2**64, 2**64),
}


@pytest.mark.parametrize("text", VALUES)
def test_plain_scalars(text: str) -> None:
    kubernetes, core = VALUES[text]
    for found, expected in ((kubernetes_value(plain(text)), kubernetes), (core_value(plain(text)), core)):
        assert found == expected
        assert type(found) is type(expected)


def test_not_a_number() -> None:
    for found in (kubernetes_value(plain(".nan")), core_value(plain(".NaN"))):
        assert isinstance(found, float)
        assert math.isnan(found)


@pytest.mark.parametrize("text", VALUES)
@pytest.mark.parametrize("style", ["'", '"', "|", ">"])
def test_quoted_scalars_are_text(text: str, style: str) -> None:
    assert kubernetes_value(plain(text, style=style)) == core_value(plain(text, style=style)) == text


@pytest.mark.parametrize(
    ("text", "tag", "style", "value"),
    [
        ("5", "!!str", "", "5"),
        ("5", "!", "", "5"),
        ("5", "!!int", '"', 5),
        ("5", "!!float", "", 5.0),
        ("true", "!!bool", "'", True),
        ("x", "!!null", "", "x"),
        ("5", "!local", "", "5"),
        ("5", "!!binary", "", "5"),
    ],
)
def test_a_tag_decides(text: str, tag: str, style: str, value: Value) -> None:
    for found in (kubernetes_value(plain(text, tag, style)), core_value(plain(text, tag, style))):
        assert found == value
        assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "style", "value"),
    [
        ("8", "", 8), ("8", '"', 8), (" 8 ", "'", 8), ("+8", '"', 8), ("010", "", 8), ("010", '"', 10), ("8.0", "", 8), ("1e3", "", 1000),
        ("8.5", "", None), ("8.0", '"', None), ("true", "", None), ("", "", None), ("x", "", None), ("8k", "", None), ("٣", '"', None),
        ("1_0", '"', None), ("1" * 5000, "", None), ("1" * 5000, '"', None), (".inf", "", None), (".nan", "", None),
    ],
)  # fmt: skip
def test_integers(text: str, style: str, value: int | None) -> None:
    assert integer(plain(text, style=style)) == value


@pytest.mark.parametrize(
    ("text", "style", "value"),
    [
        ("yes", "", True),
        ("off", "", False),
        ("True", "'", True),
        ("yes", '"', None),
        ("1", "", None),
        ("", "", None),
        ("x", "", None),
    ],
)
def test_booleans(text: str, style: str, value: bool | None) -> None:
    assert boolean(plain(text, style=style)) is value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("64Gi", 64 * 2**30), ("500m", 0.5), ("100m", 0.1), ("1e3", 1000.0), ("2G", 2e9), ("1E", 1e18), ("1E3", 1000.0), ("1.5Ki", 1536.0),
        (".5", 0.5), ("5.", 5.0), ("-1", -1.0), ("+1Mi", 2.0**20), ("250u", 0.00025), ("3n", 3e-9), ("0", 0.0), ("1e-3", 0.001),
        ("", None), ("Gi", None), (".", None), ("1 Gi", None), (" 1", None), ("1gi", None), ("1K", None), ("1KB", None), ("1e", None),
        ("1e1.5", None), ("1.2.3", None), ("0x1", None), ("1e999", None), ("٣", None), ("1i", None), ("--1", None),
    ],
)  # fmt: skip
def test_quantities(text: str, value: float | None) -> None:
    assert quantity(text) == value


@settings(deadline=None)
@given(st.text(alphabet="0123456789+-._eExXobBnaifINGMK: ", max_size=12))
def test_no_text_is_an_error(text: str) -> None:
    for read in (kubernetes_value, core_value, integer, boolean):
        read(plain(text))
        read(plain(text, style='"'))
    quantity(text)


@settings(deadline=None)
@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans() | st.none())
def test_json_values_are_what_they_are_in_both_dialects(value: Value) -> None:
    text = {None: "null", True: "true", False: "false"}.get(value) if value is None or isinstance(value, bool) else repr(value)
    assert text is not None
    assert kubernetes_value(plain(text)) == core_value(plain(text)) == value
