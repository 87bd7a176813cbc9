"""YAML in a string of a YAML document, read into nodes that stand where they stand in the file.

Manifests carry engine configurations and whole application specifications as text (ConfigMap data, ``serveConfigV2``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.records import NamedTuple
from servelint.source.nodes import Document, walk
from servelint.source.text import SourceText, Span

if TYPE_CHECKING:
    from servelint.source.nodes import Node, ScalarNode


class Embedded(NamedTuple):
    """``root``: of the first document in the text, None where it is empty or broken; ``error`` then says why ("" if empty).

    ``exact``: every span is that of the node itself. Otherwise the offsets of the text cannot be proven, every node has the
    span of the whole string, and nothing in it may be written.
    """

    root: Node | None
    exact: bool
    error: str = ""


class EmbeddedDocument(Document):
    """The YAML in ``text[start:]`` of a document as a document of its own: places are those of the file, and what is edited
    in it is edited in the string that holds it (``servelint.source.embedded_edits``)."""

    __slots__ = ("end", "exact", "start", "text")

    def __init__(self, document: Document, text: ScalarNode, embedded: Embedded, start: int = 0, end: int | None = None) -> None:
        super().__init__(document.source, document.index, embedded.root, document.span)
        self.physical = document
        self.text = text
        self.exact = embedded.exact
        self.start = start
        self.end = len(text.text) if end is None else end

    def pointer(self, span: Span) -> str:
        return self.physical.pointer(span)


def read(document: Document, node: ScalarNode, start: int = 0, end: int | None = None) -> Embedded:
    """The YAML (or JSON) that the value of ``node`` (or ``node.text[start:end]``, whole lines) is; never raises."""
    from servelint.source.reader import read_text  # lazy: the reader imports the parser, and few files carry YAML in strings

    result = read_text(SourceText(document.source.path, node.text[start:end]))
    root = result.documents[0].root if result.documents else None
    if result.errors:
        return Embedded(None, False, result.errors[0].message)
    if root is None:
        return Embedded(None, True)
    exact = _relocate(document, node, root, start)
    return Embedded(root, exact)


def _relocate(document: Document, text: ScalarNode, root: Node, offset: int) -> bool:
    """Gives every node below ``root`` its span in the document; False where that cannot be proven for one of them."""
    nodes = list(walk(root))
    spans: list[Span] = []
    for node in nodes:
        span = text.source_span(document.source, node.span.start + offset, node.span.end + offset)
        if span is None:
            break
        spans.append(span)
    exact = len(spans) == len(nodes)
    for position, node in enumerate(nodes):
        node.span = spans[position] if exact else text.span
    return exact
