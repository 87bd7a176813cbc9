"""Edits of a document's text that keep its comments, quoting, indentation and line breaks.

Every function here proposes text edits and has them proven: the result is read again and must be the same tree but for
the change asked for. Where that fails the answer is None, and nobody guesses. Offsets are of the whole text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from servelint.source.nodes import Node

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from servelint.finding import Edit
    from servelint.source.nodes import Document, MappingNode, ScalarNode, SequenceNode

N = TypeVar("N", bound=Node)


def apply(text: str, edits: Iterable[Edit]) -> str:
    """``text`` with all ``edits`` made. Insertions at one place keep their order.

    Raises ValueError where edits overlap or lie outside of the text.
    """
    pieces: list[str] = []
    position = 0
    for edit in sorted(edits, key=lambda e: (e.start, e.end)):
        if not position <= edit.start <= edit.end <= len(text):
            raise ValueError(f"the edit of [{edit.start}, {edit.end}) overlaps another, or lies outside of the text")
        pieces += (text[position : edit.start], edit.text)
        position = edit.end
    pieces.append(text[position:])
    return "".join(pieces)


def _made(document: Document, node: N, edit: Callable[[Document, N], tuple[Edit, ...] | None]) -> tuple[Edit, ...] | None:
    """What ``edit`` does, where ``document`` is one of its own or stands in a string of another."""
    if document.physical is document:
        return edit(document, node)
    from servelint.source.embedded_edits import through

    return through(document, node, edit)


def set_scalar(document: Document, node: ScalarNode, value: str) -> tuple[Edit, ...] | None:
    """Make the text of ``node`` ``value``, in the style it has.

    A plain text that would turn into a number, truth value or null is quoted; a plain number may become anything. None
    also where an alias elsewhere stands for the node or for what it is in: the edit would change that, too.
    """
    from servelint.source.scalar_edits import set_scalar as edit  # lazy, here and below: only fixes need the editors

    return _made(document, node, lambda where, what: edit(where, what, value))


def replace_value_text(document: Document, node: ScalarNode, start: int, end: int, new: str) -> tuple[Edit, ...] | None:
    """Make ``node.text[start:end]`` ``new``, where it stands; the rest of the scalar keeps its lines and escapes.

    Raises ValueError unless ``0 <= start <= end <= len(node.text)``.
    """
    from servelint.source.scalar_edits import replace_value_text as edit

    return _made(document, node, lambda where, what: edit(where, what, start, end, new))


def remove_item(document: Document, sequence: SequenceNode, index: int) -> tuple[Edit, ...] | None:
    """Remove an item with its line and the comment behind it. The last one leaves ``[]``. Raises IndexError."""
    from servelint.source.collection_edits import remove_item as edit

    return _made(document, sequence, lambda where, what: edit(where, what, index))


def insert_item(document: Document, sequence: SequenceNode, index: int, value: str) -> tuple[Edit, ...] | None:
    """Insert the text ``value`` as an item before item ``index`` (their number: at the end), in its neighbours' style.

    It is quoted where it would not be text otherwise, unless its neighbours are plain numbers. Raises IndexError.
    """
    from servelint.source.collection_edits import insert_item as edit

    return _made(document, sequence, lambda where, what: edit(where, what, index, value))


def remove_entry(document: Document, mapping: MappingNode, key: str) -> tuple[Edit, ...] | None:
    """Remove an entry with its lines and the comment behind it. The last one leaves ``{}``.

    None where the mapping has no such entry of its own (a merged one is not), or has it twice.
    """
    from servelint.source.collection_edits import remove_entry as edit

    return _made(document, mapping, lambda where, what: edit(where, what, key))


def insert_entry(
    document: Document, mapping: MappingNode, key: str, yaml_text: str, after: str | None
) -> tuple[Edit, ...] | None:
    """Insert an entry after the entry ``after`` (None, or not there: at the end).

    ``yaml_text`` is the value as YAML at indentation 0, lines ending in LF: ``8``, ``"8"``, ``{}``, or several lines of a
    mapping or list, which are put on the lines below the key, indented. (The entry itself, ``key: value``, is taken as
    well.) In a flow mapping it is written in flow style, which takes a value on one line; an empty ``{}`` behind a key is
    opened into a block for more. None where the mapping has ``key`` of its own already.
    """
    from servelint.source.collection_edits import insert_entry as edit

    return _made(document, mapping, lambda where, what: edit(where, what, key, yaml_text, after))
