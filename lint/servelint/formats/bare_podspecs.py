"""Pod specs of custom resources: bare, without the template around them, or a single container beside the rest of a pod.

The nodes made here stand for what a controller makes of the object; everything in them stands where it stands in the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.source.nodes import MappingNode, ScalarNode, SequenceNode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from servelint.source.nodes import Node
    from servelint.source.text import Span


def template_of(pod_spec: Node) -> MappingNode:
    """A pod template that holds ``pod_spec`` (any mapping that would stand under a ``spec``)."""
    return mapping_of(pod_spec.span, {"spec": pod_spec})


def template_with(pod_spec: MappingNode, container: Node) -> MappingNode:
    """A pod template of the fields of ``pod_spec``, whose one container is ``container``."""
    containers = SequenceNode(container.span, False)
    containers.items = [container]
    spec = mapping_of(pod_spec.span, {key: value for key, _, value in pod_spec.pairs() if key != "containers"})
    spec.entries.append((ScalarNode(container.span, "containers", ""), containers))
    return template_of(spec)


def named_container(label: Node, name: str, **entries: Node) -> MappingNode:
    """A container that a controller adds; findings about it point at ``label``. ``entries``: what the object says of it."""
    return mapping_of(label.span, {"name": ScalarNode(label.span, name, ""), **entries})


def mapping_of(span: Span, entries: Mapping[str, Node]) -> MappingNode:
    """A mapping that no file has, at the place of what it is made of."""
    node = MappingNode(span, False)
    node.entries = [(ScalarNode(value.span, key, ""), value) for key, value in entries.items()]
    return node
