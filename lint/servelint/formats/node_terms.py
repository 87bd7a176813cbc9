"""Placement of a chart's or operator's own keys as the pod template they become."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.formats.bare_podspecs import template_of
from servelint.source.nodes import MappingNode, ScalarNode, SequenceNode

if TYPE_CHECKING:
    from servelint.source.nodes import Node

_PATH = ("nodeSelectorTerms", "requiredDuringSchedulingIgnoredDuringExecution", "nodeAffinity")


def with_terms(holder: Node) -> MappingNode:
    """A pod template placed by ``nodeSelectorTerms``, ``affinity`` and ``nodeSelector`` of ``holder``, where it has them.

    ``affinity`` wins over ``nodeSelectorTerms``.
    """
    spec = MappingNode(holder.span, False)
    terms, affinity, selector = (holder.get(key) for key in ("nodeSelectorTerms", "affinity", "nodeSelector"))
    if isinstance(affinity, MappingNode) and affinity.entries:
        spec.entries.append(_entry("affinity", affinity))
    elif isinstance(terms, SequenceNode):
        spec.entries.append(_entry("affinity", _nested(terms)))
    if isinstance(selector, MappingNode):
        spec.entries.append(_entry("nodeSelector", selector))
    return template_of(spec)


def one_of(holder: Node, key: str, values: SequenceNode) -> MappingNode:
    """A pod template whose node has the label ``key`` with one of ``values``."""
    expression = MappingNode(holder.span, False)
    expression.entries = [
        _entry("key", ScalarNode(holder.span, key, "")),
        _entry("operator", ScalarNode(holder.span, "In", "")),
        _entry("values", values),
    ]
    term = MappingNode(holder.span, False)
    term.entries = [_entry("matchExpressions", _list(expression))]
    spec = MappingNode(holder.span, False)
    spec.entries = [_entry("affinity", _nested(_list(term)))]
    return template_of(spec)


def labelled(label: str, value: Node) -> MappingNode:
    """A pod template whose node has ``label`` with the value of ``value``."""
    selector = MappingNode(value.span, False)
    selector.entries = [_entry(label, value)]
    spec = MappingNode(value.span, False)
    spec.entries = [_entry("nodeSelector", selector)]
    return template_of(spec)


def _nested(terms: SequenceNode) -> MappingNode:
    node: Node = terms
    for key in _PATH:
        outer = MappingNode(terms.span, False)
        outer.entries = [_entry(key, node)]
        node = outer
    assert isinstance(node, MappingNode)
    return node


def _list(item: Node) -> SequenceNode:
    node = SequenceNode(item.span, False)
    node.items = [item]
    return node


def _entry(key: str, value: Node) -> tuple[Node, Node]:
    return ScalarNode(value.span, key, ""), value
