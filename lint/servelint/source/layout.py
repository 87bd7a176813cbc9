"""Where the parts of a collection stand in its source: lines, indentation, indicators, members."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.records import NamedTuple
from servelint.source.nodes import MappingNode, Node, SequenceNode
from servelint.source.offsets import LINE_BREAK

if TYPE_CHECKING:
    from servelint.source.nodes import Document


class Member(NamedTuple):
    """An item or an entry: ``start`` is its dash, its key, or (in flow style) where its text begins, properties included.

    ``end`` is behind its last character, without a comma or comment.
    """

    start: int
    end: int


def line_start(text: str, position: int) -> int:
    begin = text.rfind("\n", 0, position) + 1
    return max(begin, text.rfind("\r", begin, position) + 1)


def line_end(text: str, position: int) -> int:
    """Where the line ends, its break not included."""
    found = LINE_BREAK.search(text, position)
    return found.start() if found else len(text)


def next_line(text: str, position: int) -> int:
    """Where the next line begins; the end of the text after the last one."""
    end = line_end(text, position)
    return end + (2 if text.startswith("\r\n", end) else 1 if end < len(text) else 0)


def newline(text: str, position: int) -> str:
    """The line break to write at ``position``: that of its line, else of the text's first line, else LF."""
    for at in (position, 0):
        end = line_end(text, at)
        if end < len(text):
            return text[end : next_line(text, at)]
    return "\n"


def is_blank(text: str) -> bool:
    return not text.strip(" \t")


def indentation(text: str, position: int) -> str:
    """What a line needs before it to begin in the column of ``position``."""
    begin = line_start(text, position)
    before = text[begin:position]
    return before if is_blank(before) else " " * len(before)


def starts_line(text: str, position: int) -> bool:
    return is_blank(text[line_start(text, position) : position])


def ends_line(text: str, position: int) -> bool:
    """Whether nothing but blanks and a comment follows on the line."""
    rest = text[position : line_end(text, position)].strip(" \t")
    return not rest or rest.startswith("#")


def skip(text: str, position: int, end: int) -> int:
    """The first offset that is neither blank nor in a comment, at most ``end``."""
    while position < end:
        if text[position] == "#":
            position = line_end(text, position)
        elif text[position] in " \t\r\n":
            position += 1
        else:
            break
    return min(position, end)


def members(document: Document, collection: SequenceNode | MappingNode) -> list[Member] | None:
    """The members of a collection; None where they are not where they should be."""
    text = document.source.text
    if isinstance(collection, SequenceNode):
        spans = [(item.span.start, item.span.end) for item in collection.items]
    else:
        spans = [(key.span.start, max(key.span.end, value.span.end)) for key, value in collection.entries]
    separator = "," if collection.flow else "-" if isinstance(collection, SequenceNode) else ""
    found: list[Member] = []
    position = collection.span.start + (1 if collection.flow else 0)
    for i, (start, end) in enumerate(spans):
        begin = skip(text, position, len(text)) if i or collection.flow else position
        if separator and (i or not collection.flow):
            if text[begin : begin + 1] != separator:
                return None
            if collection.flow:
                begin = skip(text, begin + 1, len(text))
        if begin > start:
            return None
        found.append(Member(begin, end))
        position = end
    return found


def ancestors(document: Document, node: Node) -> list[SequenceNode | MappingNode] | None:
    """The collections around ``node``, outermost first; None if it is not in the document."""
    path: list[SequenceNode | MappingNode] = []
    current: Node | None = document.root
    while current is not None and current is not node:
        children: list[Node] = []
        if isinstance(current, MappingNode):
            children = [child for entry in current.entries for child in entry]
        elif isinstance(current, SequenceNode):
            children = current.items
        inside = [child for child in children if child is node] or [
            child for child in children if child.span.start <= node.span.start and node.span.end <= child.span.end
        ]
        if isinstance(current, (MappingNode, SequenceNode)):
            path.append(current)
        current = inside[-1] if inside else None
    return path if current is node else None
