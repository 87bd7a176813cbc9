"""Writing scalars: what can stand plain, and how text is quoted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.source.nodes import ScalarNode
from servelint.source.scalars import core_value, kubernetes_value
from servelint.source.text import Span

if TYPE_CHECKING:
    from collections.abc import Iterable

INDICATORS = frozenset("-?:,[]{}#&*!|>'\"%@`")
ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}
# Resolved by YAML 1.1 parsers though not by the two dialects here: written plain, it would be read differently elsewhere.
_YAML_1_1 = frozenset("0123456789:._+-")


def is_text(value: str) -> bool:
    """Whether ``value``, written plain, is text to every loader rather than a number, a truth value or null."""
    node = ScalarNode(Span(0, 0), value, "")
    if not isinstance(kubernetes_value(node), str) or not isinstance(core_value(node), str):
        return False
    return not (value[:1].isdigit() and _YAML_1_1.issuperset(value))


def can_be_plain(value: str, flow: bool) -> bool:
    """Whether ``value`` can stand without quotes, on one line; rather no than wrong."""
    if not value or value != value.strip() or not is_printable(value):
        return False
    if value[:3] in ("---", "...") and value[3:4] in ("", " ", "\t"):
        return False  # a document marker, where the line begins with it
    if value[0] in INDICATORS and not (value[0] == "-" and value[1:2] not in ("", " ", "\t")):
        return False  # "--flag" is the commonest plain value of all
    if any(separator in value for separator in (": ", ":\t", " #", "\t#")) or value.endswith(":"):
        return False
    # In flow style a colon is fine to libyaml, but not to go-yaml.
    return not flow or not any(character in ",[]{}:" for character in value)


def is_printable(value: str) -> bool:
    """Whether every character may stand in YAML outside double quotes, without line breaks."""
    return all(" " <= c <= "~" or c == "\t" or (c >= "\xa0" and c not in "\u2028\u2029\ufeff" and c.isprintable()) for c in value)


def double_quoted(value: str) -> str:
    """``value`` in double quotes, with escapes that JSON shares (but for characters beyond its four digits)."""
    written = []
    for character in value:
        if character in ESCAPES:
            written.append(ESCAPES[character])
        elif is_printable(character):
            written.append(character)
        else:
            code = ord(character)
            written.append(f"\\u{code:04X}" if code <= 0xFFFF else f"\\U{code:08X}")
    return '"' + "".join(written) + '"'


def quoted(value: str, style: str) -> str:
    """``value`` in quotes, in single ones if ``style`` asks for them and they can hold it."""
    if style == "'" and is_printable(value):
        return "'" + value.replace("'", "''") + "'"
    return double_quoted(value)


def is_json(path: str) -> bool:
    """Whether what is written to ``path`` must be JSON, in which text has double quotes."""
    return path.lower().endswith(".json")


def is_json_literal(value: str) -> bool:
    """Whether ``value`` may stand in JSON without quotes."""
    return value in ("true", "false", "null") or (not is_text(value) and value[-1:].isdigit() and value.lstrip("-")[:1].isdigit())


def like_neighbours(value: str, neighbours: Iterable[object], flow: bool, *, json: bool, key: bool = False) -> tuple[str, bool]:
    """(``value`` as a scalar in the style of its neighbours, whether that is plain).

    Quoted where they are quoted and where it must be. Text stays text: ``8`` is written plain only among plain numbers.
    """
    scalars = [node for node in neighbours if isinstance(node, ScalarNode)]
    styles = [node.style for node in scalars if node.style in ("'", '"')]
    is_plain = not styles if not scalars else scalars[-1].style not in ("'", '"')
    among_values = bool(scalars) and all(node.style == "" and not is_text(node.text) for node in scalars)
    if json:
        is_plain = among_values and is_json_literal(value)
    if is_plain and can_be_plain(value, flow) and (key or is_text(value) or among_values):
        return value, True
    return quoted(value, '"' if json else styles[-1] if styles else '"'), False
