"""Editing YAML that stands in a string: edits of the inner text, proven there, then written into the string and proven again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from servelint.source.edits import apply, replace_value_text
from servelint.source.embedded import EmbeddedDocument
from servelint.source.nodes import Document, Node, walk
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from collections.abc import Callable

    from servelint.finding import Edit

Edits = tuple["Edit", ...]
N = TypeVar("N", bound=Node)


def through(document: Document, node: N, edit: Callable[[Document, N], Edits | None]) -> Edits | None:
    """The edits of the file that do what ``edit`` does to ``node`` of the embedded document; None where unprovable."""
    if not isinstance(document, EmbeddedDocument) or not document.exact:
        return None
    from servelint.source.reader import read_text  # lazy: only fixes read a string again

    text = document.text.text[document.start : document.end]
    inner = read_text(SourceText(document.source.path, text)).documents[0]
    twin = _twin(document, inner, node)
    made = edit(inner, twin) if twin is not None else None
    if made is None or not made:
        return made
    start, end = min(e.start for e in made), max(e.end for e in made)
    new = apply(text[start:end], [e._replace(start=e.start - start, end=e.end - start) for e in made])
    return replace_value_text(document.physical, document.text, document.start + start, document.start + end, new)


def _twin(document: Document, inner: Document, node: N) -> N | None:
    """The node of ``inner`` that stands where ``node`` does: the two trees are read from the same text."""
    if document.root is None or inner.root is None:
        return None
    pairs: Any = zip(walk(document.root), walk(inner.root), strict=True)
    found: N | None = next((twin for ours, twin in pairs if ours is node), None)
    return found
