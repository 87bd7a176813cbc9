"""Words that a chart or controller makes of single values of its object, so that they can be set there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.engines.command import Word
from servelint.engines.placeholders import placeholder
from servelint.source.nodes import ScalarNode
from servelint.source.scalars import core_value

if TYPE_CHECKING:
    from collections.abc import Iterable

    from servelint.source.nodes import Node


def flag(name: str, holder: Node, key: str) -> list[Word]:
    """``name`` and the value of ``holder[key]``; none where that is absent or no scalar. A finding points at the value."""
    node = holder.get(key)
    if not isinstance(node, ScalarNode):
        return []
    return [Word(name, node.span, node, False, "", True), value(node)]


def flags(holder: Node | None, table: Iterable[tuple[str, str]]) -> list[Word]:
    """The words of every (key, flag) of ``table`` that ``holder`` states."""
    return [word for key, name in table for word in flag(name, holder, key)] if holder is not None else []


def value(node: ScalarNode) -> Word:
    """The value as the program receives it. One that is filled in later is a variable."""
    plain = core_value(node)
    text = str(plain).lower() if isinstance(plain, bool) else node.text
    return Word(text, node.span, node, True, _filled_in(node.text), False, 0, len(node.text))


def part(node: ScalarNode, start: int) -> Word:
    """``node.text[start:]`` as a word: what stands behind a scheme."""
    return Word(node.text[start:], node.span, node, False, _filled_in(node.text), True)


def is_true(holder: Node | None, key: str) -> bool:
    """What Go's templates take for true: neither false, nor 0, nor empty, nor absent."""
    node = holder.get(key) if holder is not None else None
    if node is None:
        return False
    if not isinstance(node, ScalarNode):
        return bool(getattr(node, "items", None) or getattr(node, "entries", None))
    return bool(core_value(node))


def is_false(holder: Node, key: str) -> bool:
    """``key`` is written and is false."""
    node = holder.get(key)
    return isinstance(node, ScalarNode) and core_value(node) is False


def _filled_in(text: str) -> str:
    return f"<{text}>" if "${" in text else placeholder(text)
