"""Text to documents: our own node tree, built from libyaml's events.

Events rather than composed nodes, because the composer follows its input with C recursion (a nesting of 10^5 ends the
process), expands aliases away and resolves scalars by YAML 1.1. Building is a loop over a stack of our own.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import yaml

from servelint.records import NamedTuple
from servelint.source.decoding import decode, encode
from servelint.source.nodes import AliasNode, Comment, Document, MappingNode, Node, ScalarNode, SequenceNode
from servelint.source.text import SourceText, Span

if TYPE_CHECKING:
    from typing import Any

    from servelint.finding import ReadError

__all__ = ["Duplicate", "ReadResult", "decode", "encode", "read_text"]

DEEPEST_NESTING = 200
MOST_BROKEN_DOCUMENTS = 50
TEMPLATE_MESSAGE = "this is a template, not YAML: render it first (`helm template … | servelint check -`)"
STANDARD_TAGS = "tag:yaml.org,2002:"
BLANKS = " \t\r\n\x85\u2028\u2029"  # YAML 1.1 breaks lines at the last three, too
# The line breaks of YAML 1.1. A set with characters beyond Latin-1 costs start-up time to compile, and few texts have any.
LINE_BREAK = "[\r\n\x85\u2028\u2029]"
BLOCK_STYLES = ("|", ">")
# What may stand before the "#" of a comment (libyaml also takes one right after an indicator or a quoted scalar).
BEFORE_COMMENT = BLANKS + ",[]{}:-?'\"|>+"

# libyaml where PyYAML was built with it; the pure-Python parser gives the same events, ten times slower.
Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Duplicate(NamedTuple):
    """A key that occurs a second time in its mapping; the last one counts."""

    document: Document
    key: Node
    first: Node


class ReadResult(NamedTuple):
    """What a text holds. A document that cannot be read is one error; those before and after it are kept.

    ``Document.index`` counts broken documents, too. ``Document.span`` runs from the document's ``---`` (the first one:
    from the beginning of the text) to where the next document begins, comments and all. ``comments`` are in the order of
    the text, without those of broken documents.
    """

    documents: tuple[Document, ...]
    comments: tuple[Comment, ...]
    errors: tuple[ReadError, ...]
    duplicates: tuple[Duplicate, ...] = ()


class BrokenDocumentError(Exception):
    """A document that parses but is not accepted; never leaves the reader."""

    def __init__(self, offset: int, message: str) -> None:
        super().__init__(message)
        self.offset = offset
        self.message = message


class Reading:
    """What has been read of a text so far. ``text``: what is read of it, each character at its offset."""

    def __init__(self, source: SourceText) -> None:
        self.source = source
        self.text = source.text
        if "kind: CustomResourceDefinition" in source.text:
            from servelint.source.definitions import without_schemas  # lazy: few files define kinds

            self.text = without_schemas(source.text)
        self.documents: list[Document] = []
        self.comments: list[Comment] = []
        self.duplicates: list[Duplicate] = []
        self.index = 0  # of the document being read, or of the next one
        self.start = 0  # where it begins; between documents: where the last one ended
        self.open_ended = False  # the last document ended without "..." and no other has begun


def read_text(source: SourceText) -> ReadResult:
    """The documents of ``source``; never raises, whatever the text holds. Read once: verifying a fix asks again and again."""
    if source.reading is not None:
        return source.reading
    reading = Reading(source)
    text = source.text
    errors: list[ReadError] = []
    broken = 0
    boundaries = [len(text)]
    begin: int | None = 1 if text.startswith("\ufeff") else 0  # a second BOM, as concatenated files have
    while begin is not None:
        state = len(reading.documents), reading.index
        try:
            read_part(reading, begin, len(text))
            break
        except (yaml.MarkedYAMLError, yaml.reader.ReaderError, UnicodeEncodeError, BrokenDocumentError) as failure:
            from servelint.source.recovery import recover  # lazy: only broken files need it

            begin, error = recover(reading, begin, state, failure, broken)
            if error is not None:
                boundaries.append(reading.start)
                broken += 1
                if error not in errors and not any(error.message == TEMPLATE_MESSAGE == other.message for other in errors):
                    errors.append(error)
    boundaries += [document.span[0] for document in reading.documents]
    boundaries.sort(reverse=True)
    for document in reading.documents:
        while boundaries[-1] <= document.span[0] and len(boundaries) > 1:
            boundaries.pop()
        document.span = Span(document.span[0], boundaries[-1])
    source.reading = ReadResult(tuple(reading.documents), tuple(reading.comments), tuple(errors), tuple(reading.duplicates))
    return source.reading


def read_part(reading: Reading, begin: int, end: int) -> None:
    """Read ``text[begin:end]``, which begins where a document may begin. Raises the parser's errors and our own."""
    text = reading.text
    part = text if begin == 0 and end == len(text) else text[begin:end]
    pure = Loader is yaml.SafeLoader
    if pure and "\t" in part and part.lstrip()[:1] in ("{", "["):
        part = part.replace("\t", " ")  # the pure-Python parser refuses tabs between tokens; JSON strings hold none
    loader = Loader(part)
    next_event = loader.get_event

    def next_checked_event() -> Any:
        event = next_event()
        try:
            getattr(event, "value", "").encode()
        except UnicodeEncodeError:  # libyaml refuses halves of surrogate pairs by itself
            message = "an escape is half of a surrogate pair; write the character itself"
            raise BrokenDocumentError(event.start_mark.index + begin, message) from None
        return event

    try:
        _build(reading, next_checked_event if pure else next_event, begin, end)
    finally:
        loader.dispose()


def _build(  # noqa: C901, PLR0912, PLR0915 - one loop on locals, for speed: this is where reading spends its time
    reading: Reading, next_event: Any, begin: int, end: int
) -> None:
    text = reading.text
    scalar_event, alias_event = yaml.ScalarEvent, yaml.AliasEvent
    mapping_start, mapping_end = yaml.MappingStartEvent, yaml.MappingEndEvent
    sequence_start, sequence_end = yaml.SequenceStartEvent, yaml.SequenceEndEvent
    new_tuple = tuple.__new__
    span_type = Span
    document = Document(reading.source, reading.index, None, Span(begin, end))
    anchors: dict[str, Node] = {}
    children: list[Node] = []  # of the innermost open collection; keys and values take turns
    stack: list[tuple[list[Node], Node]] = []
    hash_at = _next_hash(text, begin, end)
    node: Node
    while True:
        event = next_event()
        kind = type(event)
        if kind is scalar_event:
            start = event.start_mark.index + begin
            stop = event.end_mark.index + begin
            anchor, tag, style = event.anchor or "", event.tag, event.style or ""
            if anchor or tag is not None:
                start = _after_properties(text, start, stop, anchor, tag)
                tag = _short(tag)
            if hash_at < start:
                hash_at = _comments(reading, hash_at, start, end)
            if start >= stop:
                if not style:
                    start = stop = start if anchor or tag else _place_of_nothing(text, start, children, stack)
            elif style in BLOCK_STYLES:
                header, stop = _block_scalar_ends(text, start, stop)
                if hash_at < header:
                    hash_at = _comments(reading, hash_at, header, end)
            if hash_at < stop:
                hash_at = _next_hash(text, stop, end)
            node = ScalarNode(new_tuple(span_type, (start, stop)), event.value, style, anchor, tag or "")
            if anchor:
                anchors[anchor] = node
            children.append(node)
        elif kind is mapping_start or kind is sequence_start:
            start = event.start_mark.index + begin
            anchor, tag = event.anchor or "", event.tag
            if anchor or tag is not None:
                start = _after_properties(text, start, end, anchor, tag)
            span = new_tuple(span_type, (start, start))
            collection = MappingNode if kind is mapping_start else SequenceNode
            node = collection(span, bool(event.flow_style), anchor, _short(tag))
            if anchor:
                anchors[anchor] = node
            if len(stack) >= DEEPEST_NESTING:
                raise BrokenDocumentError(start, f"collections are nested more than {DEEPEST_NESTING} deep here; flatten them")
            stack.append((children, node))
            children = []
        elif kind is mapping_end:
            items = children
            children, node = stack.pop()
            start = node.span[0]
            # The end mark of a block lies behind the comments that follow it, and that of a pair in a list at its comma.
            braces = node.flow and text[start] == "{"  # type: ignore[attr-defined]
            stop = event.end_mark.index + begin if braces else items[-1].span[1]
            node.span = new_tuple(span_type, (start, stop))
            keys = items[::2]
            node.entries = entries = list(zip(keys, items[1::2]))  # type: ignore[attr-defined] # noqa: B905 - no keyword, for speed
            table = {entry[0].text: entry for entry in entries if type(entry[0]) is ScalarNode}
            if len(table) == len(entries):
                if "<<" not in table:
                    node.table = table  # type: ignore[attr-defined]
            else:
                if braces and text.startswith("{{", start):  # "{{ x }}" parses as a mapping that is the key of another
                    raise BrokenDocumentError(start, TEMPLATE_MESSAGE)
                reading.duplicates += _duplicates(document, keys)
            children.append(node)
        elif kind is sequence_end:
            items = children
            children, node = stack.pop()
            stop = event.end_mark.index + begin if node.flow else items[-1].span[1]  # type: ignore[attr-defined]
            node.span = new_tuple(span_type, (node.span[0], stop))
            node.items = items  # type: ignore[attr-defined]
            children.append(node)
        elif kind is alias_event:
            start = event.start_mark.index + begin
            name = event.anchor
            target = anchors.get(name)
            if target is None:
                raise BrokenDocumentError(
                    start, f"*{name} refers to no anchor above it; define &{name} before it, or quote the value"
                )
            children.append(AliasNode(Span(start, event.end_mark.index + begin), name, target))
        elif kind is yaml.DocumentStartEvent:
            anchors = {}
            start = event.start_mark.index + begin
            reading.start = start if reading.index else 0
            reading.open_ended = False
            document = Document(reading.source, reading.index, None, Span(reading.start, end))
        elif kind is yaml.DocumentEndEvent:
            root = children.pop()
            if not (type(root) is ScalarNode and not (root.text or root.style or root.anchor or root.tag)):
                document.root = root
            reading.documents.append(document)
            reading.index += 1
            reading.start = event.end_mark.index + begin
            reading.open_ended = not event.explicit
        elif kind is yaml.StreamEndEvent:
            _comments(reading, hash_at, end, end)
            return


def _short(tag: str | None) -> str:
    """A tag as people write it: ``!!str`` for the long name of a standard tag."""
    if tag is None:
        return ""
    return "!!" + tag[len(STANDARD_TAGS) :] if tag.startswith(STANDARD_TAGS) else tag


def _after_properties(text: str, start: int, end: int, anchor: str, tag: str | None) -> int:
    """Where the node itself begins: behind its anchor and its tag, in whichever order, and what separates them."""
    position = start
    after = start
    for _ in range(bool(anchor) + (tag is not None)):
        if text[position : position + 1] not in ("&", "!"):
            break
        close = ">" if text.startswith("!<", position) else ""
        while position < end and text[position] not in BLANKS:
            if not close and text[position] in ",[]{}" and position > start:
                break
            position += 1
            if close and text[position - 1] == close:
                break
        after = position
        position = _skip_blanks(text, position, end)
    return position if position < end else after


def _skip_blanks(text: str, position: int, end: int) -> int:
    """The next offset that is neither blank nor in a comment."""
    while position < end:
        character = text[position]
        if character == "#":
            position = _line_end(text, position, end)
        elif character in BLANKS:
            position += 1
        else:
            break
    return position


def _line_end(text: str, position: int, end: int) -> int:
    """Where the line of ``position`` ends (its break not included), by YAML 1.1's line breaks."""
    if text.isascii():
        stop = text.find("\n", position, end)
        stop = end if stop < 0 else stop
        before = text.find("\r", position, stop)
        return stop if before < 0 else before
    found = re.compile(LINE_BREAK).search(text, position, end)
    return found.start() if found else end


def _block_scalar_ends(text: str, start: int, end: int) -> tuple[int, int]:
    """(end of the header line, end of the last content line) of a block scalar whose end mark is ``end``."""
    header = _line_end(text, start, end)
    stop = end
    while stop > header and text[stop - 1] in BLANKS:
        stop -= 1
    if stop > header:
        return header, _line_end(text, stop, end)
    comment = text.find("#", start, header)
    return header, start + len(text[start : comment if comment > 0 else header].rstrip())


def _place_of_nothing(text: str, position: int, children: list[Node], stack: list[tuple[list[Node], Node]]) -> int:
    """Where an empty node stands: right behind its indicator. Without one, the parser puts it at the next token."""
    before = position
    while before and text[before - 1] in BLANKS:
        before -= 1
    if before and text[before - 1] in ":-?":
        return before
    if children and children[-1].span[1] == before:
        return before
    if not stack or stack[-1][1].flow:  # type: ignore[attr-defined]
        return position
    return children[-1].span[1] if children else stack[-1][1].span[0]


def _next_hash(text: str, position: int, end: int) -> int:
    """The offset of the next ``#``; ``end`` if there is none."""
    found = text.find("#", position, end)
    return found if found >= 0 else end


def _comments(reading: Reading, first: int, gap_end: int, end: int) -> int:
    """Record the comments in a gap between scalars, from the ``#`` at ``first``; the offset of the next ``#``, or ``end``."""
    text = reading.text
    position = first
    while position < gap_end:
        if position == 0 or text[position - 1] in BEFORE_COMMENT:
            stop = _line_end(text, position, end)
            before = position
            while before and text[before - 1] in " \t":
                before -= 1
            own_line = before == 0 or text[before - 1] in BLANKS
            reading.comments.append(Comment(Span(position, stop), text[position + 1 : stop], own_line))
            position = _next_hash(text, stop, end)
        else:  # in an anchor, a tag or a directive
            position = _next_hash(text, position + 1, end)
    return position


def _duplicates(document: Document, keys: list[Node]) -> list[Duplicate]:
    found = []
    first: dict[str, Node] = {}
    for key in keys:
        name = key.resolved
        if isinstance(name, ScalarNode) and not (name.text == "<<" and not name.style):
            if name.text in first:
                found.append(Duplicate(document, key, first[name.text]))
            else:
                first[name.text] = key
    return found
