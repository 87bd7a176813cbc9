"""What a scalar's text means: by the Kubernetes YAML library, by the YAML 1.2 core schema, as a Kubernetes quantity.

The reader resolves nothing; a format calls the function of its own dialect. PyYAML's resolver is none of them (to it
``10e9`` is a string, ``010`` is eight and ``1:30`` is ninety).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from servelint.source.nodes import ScalarNode

Value = str | int | float | bool | None

RESOLVED_TAGS = frozenset(("!!int", "!!float", "!!bool", "!!null"))
_DIGITS = frozenset("0123456789")
_NUMBER_STARTS = frozenset("0123456789+-.")
_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_CORE_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_KUBERNETES_BOOLEANS = _CORE_BOOLEANS | {
    word: truth
    for words, truth in (("y Y yes Yes YES on On ON", True), ("n N no No NO off Off OFF", False))
    for word in words.split()
}
_SPECIAL_FLOATS = {
    ".nan": "nan", ".NaN": "nan", ".NAN": "nan",
    ".inf": "inf", ".Inf": "inf", ".INF": "inf", "+.inf": "inf", "+.Inf": "inf", "+.INF": "inf",
    "-.inf": "-inf", "-.Inf": "-inf", "-.INF": "-inf",
}  # fmt: skip
# Python refuses to convert longer digit strings, and nothing anybody counts has a thousand digits.
_MOST_DIGITS = 1000
_LARGEST_UNSIGNED = 2**64 - 1


def kubernetes_value(node: ScalarNode) -> Value:
    """The value that ``sigs.k8s.io/yaml`` (kubectl, the API server, controllers) gives the scalar.

    Source: ``resolve`` of goyaml.v2/resolve.go in github.com/kubernetes-sigs/yaml (a fork of go-yaml v2). Plain scalars
    resolve by YAML 1.1 with these differences: ``0o17`` and ``017`` are both octal, base 60 is text, a float needs no
    sign in its exponent. Quoted and block scalars are text, and so is a timestamp (the decoder keeps it as a string).
    A tag decides where there is one: ``!!str 5`` is "5"; text that cannot be of its tag stays text.
    """
    tag, text = node.tag, node.text
    if node.style if not tag else tag not in RESOLVED_TAGS:
        return text
    value = _kubernetes_plain(text)
    if tag == "!!float" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


def _is_count(text: str) -> bool:
    """Digits that begin with no zero, as nearly every number is written: all dialects read them alike."""
    return text.isascii() and text.isdigit() and text[0] != "0" and len(text) < 19


def _kubernetes_plain(text: str) -> Value:
    if _is_count(text):
        return int(text)
    if text in _NULLS:
        return None
    if text in _KUBERNETES_BOOLEANS:
        return _KUBERNETES_BOOLEANS[text]
    if text in _SPECIAL_FLOATS:
        return float(_SPECIAL_FLOATS[text])
    first = text[0]
    if first == ".":
        return _go_float(text) if _is_decimal(text) else text
    if first not in _NUMBER_STARTS or _is_timestamp(text):
        return text
    plain = text.replace("_", "")
    number = _go_integer(plain)
    if number is not None:
        return number
    return _go_float(plain) if _is_decimal(plain) else text


def core_value(node: ScalarNode) -> Value:
    """The value by the core schema of YAML 1.2.2, section 10.3.2: ``10e9`` is a float, ``010`` is ten, ``on`` is text.

    Quoted and block scalars are text. A tag decides where there is one.
    """
    tag, text = node.tag, node.text
    if node.style if not tag else tag not in RESOLVED_TAGS:
        return text
    value = _core_plain(text)
    if tag == "!!float" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


def _core_plain(text: str) -> Value:
    if _is_count(text):
        return int(text)
    if text in _NULLS:
        return None
    if text in _CORE_BOOLEANS:
        return _CORE_BOOLEANS[text]
    if text in _SPECIAL_FLOATS:
        return float(_SPECIAL_FLOATS[text])
    if text[0] not in _NUMBER_STARTS:
        return text
    for prefix, base in (("0o", 8), ("0x", 16)):
        if text.startswith(prefix):
            return _digits(text[2:], base, text)
    unsigned = text[1:] if text[0] in "+-" else text
    if len(unsigned) <= _MOST_DIGITS and unsigned and _DIGITS.issuperset(unsigned):
        return int(text)
    return float(text) if _is_decimal(text) else text


def _digits(digits: str, base: int, otherwise: str) -> int | str:
    allowed = "0123456789abcdef"[:base]
    if digits and len(digits) <= _MOST_DIGITS and all(c in allowed for c in digits.lower()):
        return int(digits, base)
    return otherwise


def _is_decimal(text: str) -> bool:
    r"""``[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?``, the float of both dialects."""
    unsigned = text[1:] if text[:1] in ("+", "-") else text
    mantissa, mark, exponent = unsigned.replace("E", "e").partition("e")
    if mark:
        digits = exponent[1:] if exponent[:1] in ("+", "-") else exponent
        if not digits or not _DIGITS.issuperset(digits):
            return False
    whole, point, fraction = mantissa.partition(".")
    return _DIGITS.issuperset(whole) and _DIGITS.issuperset(fraction) and bool(whole or (point and fraction))


def _go_float(text: str) -> float | str:
    """Go's ``ParseFloat`` fails where a number overflows; Python's gives infinity."""
    value = float(text)
    return text if value in (float("inf"), float("-inf")) else value


def _go_integer(text: str) -> int | None:
    """Go's ``strconv.ParseInt(text, 0, 64)``, then ``ParseUint``, then a big integer; None where all fail."""
    sign, unsigned = ("-", text[1:]) if text[:1] == "-" else ("", text[1:] if text[:1] == "+" else text)
    base = 10
    digits = unsigned
    if unsigned[:1] == "0" and len(unsigned) > 1:
        base = {"x": 16, "o": 8, "b": 2}.get(unsigned[1].lower(), 8)
        digits = unsigned[2:] if unsigned[1].lower() in "xob" else unsigned[1:]
    value = _digits(digits, base, "")
    if isinstance(value, str):
        return None
    return -value if sign else value


def _is_timestamp(text: str) -> bool:
    """Whether ``text`` begins as the timestamps of goyaml do: a year of four digits and a dash."""
    return len(text) > 4 and text[4] == "-" and _DIGITS.issuperset(text[:4])


def integer(node: ScalarNode) -> int | None:
    """The whole number a Kubernetes integer field gets, quoted or not; None where it is none.

    Unquoted, ``8``, ``0x8`` and ``8.0`` (JSON has one number type) are all eight. Quoted, only decimal digits with an
    optional sign count, as ``strconv.Atoi`` reads them.
    """
    value = kubernetes_value(node)
    if isinstance(value, str):
        text = value.strip()
        unsigned = text[1:] if text[:1] in ("+", "-") else text
        return int(text) if unsigned and len(unsigned) <= _MOST_DIGITS and _DIGITS.issuperset(unsigned) else None
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) <= _LARGEST_UNSIGNED else None
    return value


def whole(text: str) -> int | None:
    """The whole number that ``text`` is, in decimal digits alone; None for any other, and for one of more digits than any port
    or count has: Python refuses to read long ones, and no float holds them."""
    return int(text) if text.isdecimal() and len(text) < 19 else None


def boolean(node: ScalarNode) -> bool | None:
    """The truth value of the scalar as Kubernetes reads it; the words true and false count in quotes, too."""
    value = kubernetes_value(node)
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip().lower())
    return value if isinstance(value, bool) else None


_SUFFIXES = {
    "n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18,
    "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50, "Ei": 2.0**60,
}  # fmt: skip


def quantity(text: str) -> float | None:
    """The number a Kubernetes quantity stands for: ``64Gi``, ``500m``, ``1e3``, ``2G``; None where it is no quantity.

    Grammar: the type comment of ``Quantity`` in k8s.io/apimachinery/pkg/api/resource/quantity.go (a signed decimal, then
    a binary suffix, a decimal suffix, or an exponent). Suffixes are case-sensitive; ``1E`` is an exa, ``1E3`` an exponent.
    """
    if _is_count(text):
        return float(text)
    end = 1 if text[:1] in ("+", "-") else 0
    start = end
    while end < len(text) and (text[end] in _DIGITS or text[end] == "."):
        end += 1
    number, suffix = text[:end], text[end:]
    if not _is_decimal(number) or end == start:
        return None
    if suffix in _SUFFIXES:
        # Division keeps decimal fractions exact where it can: 500m is 0.5, 100m is 0.1.
        factor = _SUFFIXES[suffix]
        return float(number) * factor if factor >= 1 else float(number) / round(1 / factor)
    if suffix[0] in "eE" and _is_decimal(number + suffix):
        value = float(number + suffix)
        return None if value in (float("inf"), float("-inf")) else value
    return None
