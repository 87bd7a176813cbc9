"""The node tree of a YAML document. Scalars keep their text; what it means is for a format to say."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.source.offsets import OffsetMap
    from servelint.source.text import SourceText, Span


NULLS = frozenset(("", "~", "null", "Null", "NULL"))  # as plain scalars


class Node:
    """A node with its span (anchor and tag not included). ``tag`` is as written, "" if none."""

    __slots__ = ("anchor", "span", "tag")

    def __init__(self, span: Span, anchor: str = "", tag: str = "") -> None:
        self.span = span
        self.anchor = anchor
        self.tag = tag

    @property
    def resolved(self) -> Node:
        """The node itself, or what an alias stands for."""
        return self

    def get(self, *path: str | int) -> Node | None:
        """The (resolved) node at ``path`` below this one: keys of mappings (merge keys honoured), indices of sequences.

        None where any step is missing or of another kind, and where the value is an empty plain scalar or ``null``.
        """
        node: Node = self
        for step in path:
            if type(node) is AliasNode:
                node = node.resolved
            if type(node) is MappingNode:
                table = node.table
                entry = (node.tabulated() if table is None else table).get(step)  # type: ignore[arg-type] # an index is no key
                if entry is None:
                    return None
                node = entry[1]
            elif type(node) is SequenceNode and isinstance(step, int) and -len(node.items) <= step < len(node.items):
                node = node.items[step]
            else:
                return None
        if type(node) is AliasNode:
            node = node.resolved
        if type(node) is ScalarNode and node.text in NULLS and node.is_null:
            return None
        return node

    def text_at(self, *path: str | int) -> str | None:
        """The text of the scalar at ``path``; None if there is none."""
        node = self.get(*path)
        return node.text if isinstance(node, ScalarNode) else None

    def elements_at(self, *path: str | int) -> list[Node]:
        """The resolved items of the sequence at ``path``; empty if there is none."""
        node = self.get(*path)
        return (
            [item.resolved if type(item) is AliasNode else item for item in node.items] if isinstance(node, SequenceNode) else []
        )

    def entries_at(self, *path: str | int) -> list[tuple[str, Node, Node]]:
        """(key, key node, resolved value) of the mapping at ``path``, merge keys honoured; empty if there is none."""
        node = self.get(*path)
        return node.pairs() if isinstance(node, MappingNode) else []


class ScalarNode(Node):
    """``style`` is "" (plain), "'", '"', "|" or ">". ``text`` is the value after YAML's own unescaping and folding."""

    __slots__ = ("offset_cache", "style", "text")

    # Not through super().__init__: scalars are most of a file, and the second call is a fifth of the time of reading it.
    def __init__(self, span: Span, text: str, style: str, anchor: str = "", tag: str = "") -> None:
        self.span = span
        self.anchor = anchor
        self.tag = tag
        self.text = text
        self.style = style
        self.offset_cache: OffsetMap | bool | None = False  # of `offsets.offset_map`; False: not built yet

    @property
    def is_null(self) -> bool:
        return self.style == "" and self.tag in ("", "!!null") and self.text in NULLS

    def source_span(self, source: SourceText, start: int, end: int) -> Span | None:
        """Where ``text[start:end]`` stands in the source; None where the offset map cannot be proven."""
        from servelint.source.offsets import source_span

        return source_span(self, source, start, end)


class SequenceNode(Node):
    __slots__ = ("flow", "items")

    def __init__(self, span: Span, flow: bool, anchor: str = "", tag: str = "") -> None:
        super().__init__(span, anchor, tag)
        self.flow = flow
        self.items: list[Node] = []


class MappingNode(Node):
    """``table`` is what :meth:`tabulated` gives; None until that is asked for, unless the reader knows it already."""

    __slots__ = ("entries", "flow", "table")

    def __init__(self, span: Span, flow: bool, anchor: str = "", tag: str = "") -> None:
        super().__init__(span, anchor, tag)
        self.flow = flow
        self.entries: list[tuple[Node, Node]] = []
        self.table: dict[str, tuple[Node, Node]] | None = None

    def tabulated(self) -> dict[str, tuple[Node, Node]]:
        """Name → (key, value as written): own entries before merged ones, the first of merged ones before the next.

        Without recursion and with each mapping visited once: merges may be chained a thousand deep, or in a circle.
        """
        if self.table is None:
            table: dict[str, tuple[Node, Node]] = {}
            seen: set[int] = set()
            pending: list[MappingNode] = [self]
            while pending:
                mapping = pending.pop()
                if id(mapping) in seen:
                    continue
                seen.add(id(mapping))
                own: dict[str, tuple[Node, Node]] = {}
                merged: list[MappingNode] = []
                for key, value in mapping.entries:
                    name = key.resolved
                    if not isinstance(name, ScalarNode):
                        continue
                    if name.text == "<<" and name.style == "":
                        target = value.resolved
                        sources = [s.resolved for s in target.items] if isinstance(target, SequenceNode) else [target]
                        merged += [s for s in sources if isinstance(s, MappingNode)]
                    else:
                        own[name.text] = (key, value)  # the last of duplicate keys, as most loaders do
                for text, entry in own.items():
                    table.setdefault(text, entry)
                pending.extend(reversed(merged))
            self.table = table
        return self.table

    def entry(self, key: str) -> tuple[Node, Node] | None:
        """(key node, value node as written) of ``key``, own or merged."""
        return self.tabulated().get(key)

    def pairs(self) -> list[tuple[str, Node, Node]]:
        """(key, key node, resolved value) of every entry, own or merged."""
        return [
            (name, key, value.resolved if type(value) is AliasNode else value) for name, (key, value) in self.tabulated().items()
        ]


class AliasNode(Node):
    """``*name``: its span is its own, its meaning is ``target``'s."""

    __slots__ = ("name", "target")

    def __init__(self, span: Span, name: str, target: Node) -> None:
        super().__init__(span)
        self.name = name
        self.target = target

    @property
    def resolved(self) -> Node:
        node = self.target
        while isinstance(node, AliasNode):
            node = node.target
        return node


class Comment:
    """A comment outside scalars: ``text`` without the ``#``, its span from the ``#`` to the end of the line."""

    __slots__ = ("own_line", "span", "text")

    def __init__(self, span: Span, text: str, own_line: bool) -> None:
        self.span = span
        self.text = text
        self.own_line = own_line


class Document:
    """One YAML document. ``index`` is 0-based in its file; ``root`` is None for an empty document.

    ``physical``: the document of the file, which is itself, or the one whose string holds this one.
    """

    __slots__ = ("index", "physical", "root", "source", "span")

    def __init__(self, source: SourceText, index: int, root: Node | None, span: Span) -> None:
        self.physical: Document = self
        self.source = source
        self.index = index
        self.root = root
        self.span = span

    def get(self, *path: str | int) -> Node | None:
        return self.root.get(*path) if self.root is not None else None

    def text_at(self, *path: str | int) -> str | None:
        return self.root.text_at(*path) if self.root is not None else None

    def elements_at(self, *path: str | int) -> list[Node]:
        return self.root.elements_at(*path) if self.root is not None else []

    def entries_at(self, *path: str | int) -> list[tuple[str, Node, Node]]:
        return self.root.entries_at(*path) if self.root is not None else []

    def pointer(self, span: Span) -> str:
        """The JSON pointer (RFC 6901) of the smallest node that covers ``span``; "" is the root."""
        from servelint.source.pointers import pointer_of

        return pointer_of(self, span)


def walk(node: Node) -> Iterator[Node]:
    """Every node below and including ``node`` in document order, aliases not followed, without recursion."""
    stack = [node]
    while stack:
        current = stack.pop()
        yield current
        if type(current) is MappingNode:
            for key, value in reversed(current.entries):
                stack.append(value)
                stack.append(key)
        elif type(current) is SequenceNode:
            stack += reversed(current.items)
