"""Editing scalars: the whole value, or a part of it. See ``edits`` for what the functions promise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.finding import Edit
from servelint.source.layout import ancestors, indentation, line_end, line_start, newline
from servelint.source.offsets import source_span
from servelint.source.proof import Change, first_proven
from servelint.source.quoting import can_be_plain, double_quoted, is_json, is_json_literal, is_text, quoted
from servelint.source.tokens import tokens

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from servelint.source.nodes import Document, ScalarNode


def set_scalar(document: Document, node: ScalarNode, value: str) -> tuple[Edit, ...] | None:
    around = ancestors(document, node)
    if around is None:
        return None
    if value == node.text:
        return ()
    flow = any(collection.flow for collection in around)
    source, start, end = document.source, node.span.start, node.span.end
    multiline = "\n" in source.text[start:end] or "\r" in source.text[start:end]
    if multiline and not _changes_kind(node, value):
        made = _first(document, node, value, node.style == "", _smallest(document, node, value))
        if made is not None:
            return made
    if node.style == "|":
        return _first(document, node, value, False, [_literal(document, node, value)])
    if node.style == ">":
        return None
    plain = node.style == "" and can_be_plain(value, flow) and (is_text(value) or not is_text(node.text))
    if is_json(source.path):
        plain = plain and is_json_literal(value)
    written = value if plain else quoted(value, node.style or '"')
    if start == end and start and source.text[start - 1] not in " \t":
        written = " " + written
    return _first(document, node, value, plain, [(Edit(source.path, start, end, written),)])


def replace_value_text(document: Document, node: ScalarNode, start: int, end: int, new: str) -> tuple[Edit, ...] | None:
    value = node.text[:start] + new + node.text[end:]
    if value == node.text:
        return ()
    if _changes_kind(node, value):
        return set_scalar(document, node, value)
    made = _first(document, node, value, node.style == "", _replacements(document, node, start, end, new))
    if made is None and node.style not in ("|", ">"):
        return set_scalar(document, node, value)
    return made


def _changes_kind(node: ScalarNode, value: str) -> bool:
    """Whether ``value`` in place of a plain scalar's text would be something else than text, or nothing."""
    return node.style == "" and (not value or (is_text(node.text) and not is_text(value)))


def _first(
    document: Document,
    node: ScalarNode,
    value: str,
    plain: bool,
    candidates: Sequence[Sequence[Edit] | None] | Iterator[Sequence[Edit]],
) -> tuple[Edit, ...] | None:
    every = tokens(document.root)
    at = next((i for i, token in enumerate(every) if token.node is node), None)
    if at is None:
        return None
    signature = ("scalar", value, plain, node.anchor, node.tag)
    return first_proven(document, candidates, Change(at, at + 1, [signature], node.span))


def _smallest(document: Document, node: ScalarNode, value: str) -> Iterator[Sequence[Edit]]:
    """Replacing only what differs between the old and the new value."""
    old = node.text
    shorter = min(len(old), len(value))
    start = 0
    while start < shorter and old[start] == value[start]:
        start += 1
    tail = 0
    while tail < shorter - start and old[-1 - tail] == value[-1 - tail]:
        tail += 1
    yield from _replacements(document, node, start, len(old) - tail, value[start : len(value) - tail])


def _replacements(document: Document, node: ScalarNode, start: int, end: int, new: str) -> Iterator[Sequence[Edit]]:
    """Ways to write ``new`` in place of ``node.text[start:end]``."""
    source, text = document.source, node.text
    is_block = node.style in ("|", ">")
    if is_block and not (text[:start] + new + text[end:]).strip("\n"):
        return  # a block scalar of nothing has no lines to keep
    while is_block and start < end and new.endswith("\n") and text[end - 1] == "\n":
        end, new = end - 1, new[:-1]
    stretches = [(start, end)]
    if not new and start and is_block and text[start - 1] == "\n" and text[start:end].endswith("\n"):
        stretches.insert(0, (start - 1, end - 1))  # whole lines: rather with the break before than with the one behind
    written = _written(document, node, new)
    if written is None:
        return
    for first, last in stretches:
        span = source_span(node, source, first, last)
        if span is not None:
            yield (Edit(source.path, span.start, span.end, written),)


def _written(document: Document, node: ScalarNode, new: str) -> str | None:
    """``new`` as a part of the scalar's source; None where its style cannot hold it."""
    if node.style == '"':
        return double_quoted(new)[1:-1]
    if "\n" not in new:
        return new.replace("'", "''") if node.style == "'" else new
    if node.style != "|":
        return None
    indent = _content_indentation(document, node)
    if indent is None:
        return None
    first, *inner, last = new.split("\n")
    lines = [first, *(indent + line if line else "" for line in inner), indent + last]
    return newline(document.source.text, node.span.start).join(lines)


def _content_indentation(document: Document, node: ScalarNode) -> str | None:
    """What stands before the content of a block scalar's lines."""
    text = document.source.text
    offset = next((i for i, character in enumerate(node.text) if character != "\n"), None)
    if offset is None:
        return None
    span = source_span(node, document.source, offset, offset)
    return indentation(text, span.start) if span is not None else None


def _literal(document: Document, node: ScalarNode, value: str) -> tuple[Edit, ...] | None:
    """A literal block scalar written anew, with the chomping its value needs."""
    text = document.source.text
    content = value.rstrip("\n")
    first_line = content.lstrip("\n")[:1]
    if not content or first_line in (" ", "\t", ""):
        return None  # needs an indentation indicator
    indent = _content_indentation(document, node)
    if indent is None:
        begin = line_start(text, node.span.start)
        line = text[begin : node.span.start]
        indent = " " * (len(line) - len(line.lstrip(" -")) + 2)
    break_ = newline(text, node.span.start)
    header = text[node.span.start : line_end(text, node.span.start)]
    mark = header.find("#")
    comment = " " + header[mark:] if mark >= 0 else ""
    ending = value[len(content) :]
    chomping = {0: "-", 1: ""}.get(len(ending), "+")
    lines = [indent + line if line else "" for line in (content + ending[1:]).split("\n")]
    written = "|" + chomping + comment + break_ + break_.join(lines)
    return (Edit(document.source.path, node.span.start, node.span.end, written),)
