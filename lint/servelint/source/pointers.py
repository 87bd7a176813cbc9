"""JSON pointers (RFC 6901) into documents, from spans and back."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from servelint.source.nodes import MappingNode, Node, ScalarNode, SequenceNode

if TYPE_CHECKING:
    from servelint.source.nodes import Document
    from servelint.source.text import Span


def escape(step: str) -> str:
    return step.replace("~", "~0").replace("/", "~1")


def unescape(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~")


def key_name(document: Document, key: Node) -> str:
    """The name of a key in a pointer: its text, or its source where it is a collection."""
    resolved = key.resolved
    return resolved.text if isinstance(resolved, ScalarNode) else document.source.text[key.span.start : key.span.end]


def pointer_of(document: Document, span: Span) -> str:
    """The pointer of the smallest node that covers ``span``; "" is the root.

    A key counts as its value (it has no pointer of its own), and so does what stands between the two. Aliases are not
    followed: a pointer says where something stands.
    """
    start, end = span
    pointer = ""
    node = document.root
    while node is not None and node.span != span:
        if isinstance(node, MappingNode):
            at = bisect_right(node.entries, start, key=lambda entry: entry[0].span[0]) - 1
            if at < 0:
                break
            key, value = node.entries[at]
            if max(key.span[1], value.span[1]) < end:
                break
            pointer += "/" + escape(key_name(document, key))
            if not (value.span[0] <= start and end <= value.span[1]):
                break
            node = value
        elif isinstance(node, SequenceNode):
            at = bisect_right(node.items, start, key=lambda item: item.span[0]) - 1
            if at < 0 or not (node.items[at].span[0] <= start and end <= node.items[at].span[1]):
                break
            pointer += f"/{at}"
            node = node.items[at]
        else:
            break
    return pointer


def node_at(document: Document, pointer: str) -> Node | None:
    """The node ``pointer`` leads to, as written (it may be an alias); aliases and merges on the way are followed.

    None where it leads nowhere. Raises ValueError for what is no JSON pointer.
    """
    if pointer and not pointer.startswith("/"):
        raise ValueError(f"{pointer!r} is no JSON pointer: it must be empty or begin with '/'")
    node = document.root
    for step in pointer.split("/")[1:]:
        if node is None:
            return None
        node = node.resolved
        name = unescape(step)
        if isinstance(node, MappingNode):
            # Keys as pointers name them first: collections and "<<" are no entries of a mapping's table.
            own = [value for key, value in node.entries if key_name(document, key) == name]
            entry = node.entry(name)
            node = own[-1] if own else entry[1] if entry is not None else None
        elif isinstance(node, SequenceNode):
            known = name.isascii() and name.isdigit() and len(name) < 10 and int(name) < len(node.items)
            node = node.items[int(name)] if known else None
        else:
            return None
    return node
