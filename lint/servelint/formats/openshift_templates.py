"""Objects of an OpenShift Template, with its parameters where they have a value.

``${NAME}`` stands for a parameter in a text, ``${{NAME}}`` for one that is not to be quoted; a parameter without a value is asked
for when the template is processed, and stays as it is written (OpenShift, ``pkg/template/templateprocessing``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.source.nodes import MappingNode, ScalarNode, SequenceNode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from servelint.source.nodes import Node


def objects(root: Node) -> list[Node]:
    """What the Template ``root`` makes."""
    found = root.elements_at("objects")
    values = {name: text for name, text in map(_parameter, root.elements_at("parameters")) if name and text}
    return [_filled(item, values) for item in found] if values else found


def _parameter(node: Node) -> tuple[str, str]:
    return node.text_at("name") or "", node.text_at("value") or ""


def _filled(node: Node, values: Mapping[str, str]) -> Node:
    """``node`` itself, or a copy at the same place where a parameter stands in it."""
    if isinstance(node, ScalarNode):
        text = _replaced(node.text, values) if "${" in node.text else node.text
        if text == node.text:
            return node
        style = "" if node.style in {"", "'", '"'} and node.text.startswith("${{") else node.style
        made = ScalarNode(node.span, text, style, node.anchor, node.tag)
        made.offset_cache = None  # no part of the text stands in the file
        return made
    if isinstance(node, SequenceNode):
        items = [_filled(item, values) for item in node.items]
        if all(new is old for new, old in zip(items, node.items, strict=True)):
            return node
        sequence = SequenceNode(node.span, node.flow, node.anchor, node.tag)
        sequence.items = items
        return sequence
    if isinstance(node, MappingNode):
        entries = [(key, _filled(value, values)) for key, value in node.entries]
        if all(new is old for (_, new), (_, old) in zip(entries, node.entries, strict=True)):
            return node
        mapping = MappingNode(node.span, node.flow, node.anchor, node.tag)
        mapping.entries = entries
        return mapping
    return node


def _replaced(text: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        text = text.replace("${{" + name + "}}", value).replace("${" + name + "}", value)
    return text
