"""BrokenDocumentError documents: where reading goes on after one, and what to say about it in one sentence."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from servelint.finding import ReadError
from servelint.source.reader import MOST_BROKEN_DOCUMENTS, TEMPLATE_MESSAGE, BrokenDocumentError, Loader, Reading, read_part

if TYPE_CHECKING:
    from servelint.source.text import SourceText

# What YAML 1.1 forbids in a stream (production [1] c-printable), and lone surrogates with it.
FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
MARKER = re.compile(r"^---(?=[ \t\r\n]|$)", re.MULTILINE)
# Comments and directives, which stand before the line that begins a document.
HEADING = re.compile(r"(?:(?:[ \t]*#|%)[^\r\n]*(?:\r\n?|\n)|[ \t]*(?:\r\n?|\n))+")
LONGEST_EXPRESSION = 500  # a bound, so that "{{" a million times takes no time by the square
LONGEST_TEMPLATE = 200_000
TEMPLATE = re.compile(rf"\{{\{{.{{0,{LONGEST_EXPRESSION}}}?\}}\}}|\{{%.{{0,{LONGEST_EXPRESSION}}}?%\}}", re.DOTALL)
TEMPLATE_LINE = re.compile(r"^[ \t]*(?:-[ \t]+)?(?:\{\{.*\}\}|\{%.*%\})[ \t]*\r?$", re.MULTILINE)


def recover(
    reading: Reading, begin: int, state: tuple[int, int], failure: Exception, failures: int
) -> tuple[int | None, ReadError | None]:
    """After ``failure`` of a read that began at ``begin``: (where to read on, the error).

    No error: what stands before an unreadable character was read, and reading goes on at the document that holds it.
    No offset: nothing is left to read. ``state``: the documents and the index at ``begin``. Sets ``reading.start`` to
    where the broken document begins.
    """
    source, text = reading.source, reading.text
    if isinstance(failure, (yaml.reader.ReaderError, UnicodeEncodeError)):
        # The parser reads ahead: it may fail here while it is still busy with a document further up.
        found = FORBIDDEN.search(text, begin)
        offset = found.start() if found else begin
        marker = _last_marker(text, begin, offset)
        _forget(reading, state, begin)
        if marker > begin:
            try:
                read_part(reading, begin, marker)
            except (yaml.MarkedYAMLError, BrokenDocumentError) as nearer:
                return _broken(reading, begin, nearer, failures)
            return marker, None
        reading.start = begin if state[1] else 0
        character = f"U+{ord(text[offset]):04X}" if offset < len(text) else "a character"
        message = f"the character {character} is not allowed in YAML; remove it, or write it as an escape in double quotes"
        return _resume(reading, source, offset, message, failures)
    return _broken(reading, begin, failure, failures)


def _broken(reading: Reading, begin: int, failure: Exception, failures: int) -> tuple[int | None, ReadError | None]:
    source = reading.source
    if isinstance(failure, BrokenDocumentError):
        offset, message, problem = failure.offset, failure.message, ""
    else:
        mark = getattr(failure, "problem_mark", None) or getattr(failure, "context_mark", None)
        problem = getattr(failure, "problem", None) or str(failure)
        offset = min(begin + (mark.index if mark is not None else 0), len(source.text))
        message = _sentence(failure, problem, source, begin, offset)
    if "<document start>" in problem and reading.open_ended and reading.documents:
        # What was taken for a whole document is the beginning of this broken one.
        last = reading.documents.pop()
        reading.start = last.span[0]
        reading.index = last.index
    reading.start = _behind_heading(source.text, reading.start)
    reading.comments = [comment for comment in reading.comments if comment.span[0] < reading.start]
    reading.duplicates = [duplicate for duplicate in reading.duplicates if duplicate.document.index < reading.index]
    if not isinstance(failure, BrokenDocumentError) and _is_template(source.text, reading.start, offset):
        message = TEMPLATE_MESSAGE
    return _resume(reading, source, offset, message, failures)


def _resume(
    reading: Reading, source: SourceText, offset: int, message: str, failures: int
) -> tuple[int | None, ReadError | None]:
    """The next document after the broken one at ``reading.start``: no document holds a line that begins with ``---``."""
    reading.index += 1
    reading.open_ended = False
    following = MARKER.search(source.text, reading.start + 1)
    place = source.position(offset)
    if failures + 1 >= MOST_BROKEN_DOCUMENTS and following is not None:
        message += f" ({failures + 1} documents of this file are broken: what follows is not read)"
        following = None
    return following.start() if following else None, ReadError(source.path, place.line, place.column, message)


def _forget(reading: Reading, state: tuple[int, int], begin: int) -> None:
    """Undo what was read from ``begin`` on."""
    documents, reading.index = state
    del reading.documents[documents:]
    reading.comments = [comment for comment in reading.comments if comment.span[0] < begin]
    reading.duplicates = [duplicate for duplicate in reading.duplicates if duplicate.document.index < reading.index]


def _last_marker(text: str, begin: int, offset: int) -> int:
    """The last line from ``begin`` to ``offset`` that begins with ``---``; ``begin`` if there is none."""
    marker = begin
    for match in MARKER.finditer(text, begin, min(offset + 4, len(text))):
        if match.start() <= offset:
            marker = max(marker, match.start())
    return marker


def _behind_heading(text: str, start: int) -> int:
    """The ``---`` behind the comments and directives that begin at ``start``; ``start`` where none follows them."""
    heading = HEADING.match(text, start)
    return heading.end() if heading is not None and MARKER.match(text, heading.end()) else start


def _is_template(text: str, start: int, offset: int) -> bool:
    """Whether template expressions are what breaks the document: on the line itself, or it parses without them."""
    following = MARKER.search(text, max(start + 1, offset))  # comments may stand in front of a first `---`
    part = text[start : following.start() if following else len(text)]
    if "{{" not in part and "{%" not in part:
        # A line that is one variable stands for lines that envsubst puts there.
        filled = re.sub(r"(?m)^[ \t]*\$\{\w+\}[ \t]*$", "", part) if "\n${" in part or "  ${" in part else part
        return filled != part and len(part) <= LONGEST_TEMPLATE and _is_yaml(filled)
    if _begins_as_template(part):
        return True
    begin = max(text.rfind("\n", 0, offset), text.rfind("\r", 0, offset), offset - LONGEST_TEMPLATE) + 1
    stop = text.find("\n", offset, offset + LONGEST_EXPRESSION)
    if TEMPLATE.search(text, begin, stop if stop >= 0 else min(offset + LONGEST_EXPRESSION, len(text))):
        return True
    if re.search(r"\{\{-?[ ]?/\*", text[begin : stop if stop >= 0 else offset + LONGEST_EXPRESSION]):
        return True  # the comment goes on on the next lines
    if len(part) > LONGEST_TEMPLATE:
        return False
    return _is_yaml(TEMPLATE.sub("x", TEMPLATE_LINE.sub("", part)))


def _is_yaml(text: str) -> bool:
    try:
        for _ in yaml.parse(text, Loader=Loader):
            pass
    except (yaml.YAMLError, UnicodeEncodeError):
        return False
    return True


def _begins_as_template(part: str) -> bool:
    """Its first content is an expression, as of no YAML: often a comment over several lines, or a condition."""
    for line in part.splitlines():
        text = line.strip()
        if text and not text.startswith(("#", "---")):
            return text.startswith(("{{", "{%"))
    return False


def _sentence(failure: Any, problem: str, source: SourceText, begin: int, offset: int) -> str:
    """What is wrong and what to do, for the messages of libyaml and of PyYAML's own parser (which word some differently)."""
    context = getattr(failure, "context", None) or ""
    mark = getattr(failure, "context_mark", None)
    opened = f" that begins on line {source.position(min(begin + mark.index, len(source.text))).line}" if mark is not None else ""
    character = source.text[offset : offset + 1]
    if "mapping values are not allowed" in problem:
        before = source.text[source.line_starts[source.position(offset).line - 1] : offset]
        if ": " in before or before.count(":") > before.count("://"):
            return "a second ': ' on this line; put the value in quotes, or correct the indentation"
        return "this key continues the value above it; correct its indentation, or add the ':' missing above"
    if "unknown escape character" in problem:  # the mark is on the backslash, or behind it in PyYAML's own parser
        character = source.text[offset : offset + 2] if character == "\\" else "\\" + character
    for pattern, sentence in _SENTENCES:
        if pattern in problem or (pattern in context and pattern.startswith("while")):
            return sentence.format(opened=opened, character=character)
    if "cannot start any token" in problem:
        if character == "\t":
            return "a tab cannot indent YAML; use spaces"
        return f"a plain value cannot begin with {character!r}; put it in quotes"
    if "<block end>" in problem or "did not find expected key" in problem or "'-' indicator" in problem:
        kind = "list" if "collection" in context or "sequence" in context else "mapping"
        return f"this does not fit the {kind}{opened}; check the indentation here, and for a missing quote or comma above"
    return f"YAML syntax error: {problem}{opened and f' (in what{opened[5:]})'}; correct it here"


_SENTENCES = (
    ("tab character", "a tab cannot indent YAML; use spaces"),
    ("block sequence entries are not allowed", "a list item cannot begin here; put it on a line of its own, like its neighbours"),
    ("unexpected end of stream", "the quoted value{opened} is never closed; add the closing quote"),
    ("unexpected document indicator", "the quoted value{opened} is never closed; add the closing quote before this line"),
    ("unexpected document separator", "the quoted value{opened} is never closed; add the closing quote before this line"),
    ("unknown escape character", "{character} is no escape in double quotes; write \\\\ for a backslash, or use single quotes"),
    ("invalid Unicode character escape", "this escape is half of a surrogate pair or out of range; write the character itself"),
    ("undefined tag handle", "the tag's handle is not declared; use a standard tag such as !!str, or remove it"),
    ("maximum nesting depth", "collections are nested more deeply than the parser allows; flatten them"),
    ("could not find expected ':'", "the key{opened} has no ':' after it; add it, or indent the line as part of the value above"),
    ("expected ',' or ']'", "the list{opened} goes on wrongly here; a comma or the closing ']' is missing"),
    ("expected ',' or '}'", "the mapping{opened} goes on wrongly here; a comma or the closing '}}' is missing"),
    ("while parsing a flow node", "a value or a closing bracket is missing before this; add it"),
    ("<document start>", "the document ended above this line; separate documents by a line `---`, or correct the indentation"),
    ("while scanning a directive", "a line beginning with '%' is a directive; indent or quote it if it is content"),
    ("while scanning an anchor", "an '&' at the beginning of a value names an anchor; put the value in quotes"),
    ("while scanning an alias", "a '*' at the beginning of a value refers to an anchor; put the value in quotes"),
    ("while scanning a tag", "a '!' at the beginning of a value is a tag; put the value in quotes"),
    ("while parsing a tag", "a '!' at the beginning of a value is a tag; put the value in quotes"),
    ("while scanning a block scalar", "only a digit and + or - may follow the indicator of a block scalar; quote the value"),
)  # fmt: skip
