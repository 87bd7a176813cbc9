"""Offsets of a scalar's value to offsets of its source, so that one flag inside a block scalar has a span of its own.

A map is built by reading the scalar's source once more, here, with a note of where each part of the value comes from. It
is accepted only if the value so rebuilt is the one libyaml gave; otherwise there is no map, and nobody guesses.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import TYPE_CHECKING

from servelint.records import NamedTuple
from servelint.source.text import Span

if TYPE_CHECKING:
    from servelint.source.nodes import ScalarNode
    from servelint.source.text import SourceText

LINE_BREAK = re.compile("[\r\n]")
SINGLE_ESCAPES = {
    "0": "\0", "a": "\a", "b": "\b", "t": "\t", "\t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r", "e": "\x1b",
    " ": " ", '"': '"', "/": "/", "\\": "\\", "N": "\x85", "_": "\xa0", "L": "\u2028", "P": "\u2029",
}  # fmt: skip
CODE_LENGTHS = {"x": 2, "u": 4, "U": 8}


class UnprovableError(Exception):
    """The source is not what this module understands; never leaves it."""


class _Line(NamedTuple):
    """A line of a block scalar: where its content begins and ends (a blank line has none), and where the next line begins."""

    content: int
    end: int
    after: int


class OffsetMap:
    """The pieces a value is made of, in order.

    A verbatim piece is the same text in value and source. Any other piece is one character of the value that the source
    writes otherwise: an escape, or a line break with the indentation behind it.
    """

    __slots__ = ("_lengths", "_sources", "_starts", "_verbatim", "end", "length")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._sources: list[int] = []
        self._lengths: list[int] = []  # in the source
        self._verbatim: list[bool] = []
        self.length = 0  # of the value
        self.end = 0  # where an empty stretch behind the last character stands

    def copy(self, start: int, stop: int) -> None:
        """``source[start:stop]`` stands in the value as it is."""
        if stop > start:
            self._add(start, stop, stop - start, True)

    def replace(self, start: int, stop: int) -> None:
        """``source[start:stop]`` stands for one character of the value."""
        self._add(start, stop, 1, False)

    def _add(self, start: int, stop: int, length: int, verbatim: bool) -> None:
        self._starts.append(self.length)
        self._sources.append(start)
        self._lengths.append(stop - start)
        self._verbatim.append(verbatim)
        self.length += length
        self.end = stop

    def span(self, start: int, end: int) -> Span:
        """Where ``value[start:end]`` stands; an empty stretch stands before the character it precedes."""
        starts, sources = self._starts, self._sources
        if start >= self.length:
            return Span(self.end, self.end)
        piece = bisect_right(starts, start) - 1
        begin = sources[piece] + (start - starts[piece] if self._verbatim[piece] else 0)
        if start == end:
            return Span(begin, begin)
        piece = bisect_right(starts, end - 1, piece) - 1
        return Span(begin, sources[piece] + (end - starts[piece] if self._verbatim[piece] else self._lengths[piece]))


def source_span(node: ScalarNode, source: SourceText, start: int, end: int) -> Span | None:
    """Where ``node.text[start:end]`` stands in ``source``; None where the map cannot be proven.

    Offsets are code points, ``0 <= start <= end <= len(node.text)``; anything else raises ValueError.
    """
    if not 0 <= start <= end <= len(node.text):
        raise ValueError(f"[{start}, {end}) does not lie within a value of {len(node.text)} characters")
    offsets = offset_map(node, source)
    return offsets.span(start, end) if offsets is not None else None


def offset_map(node: ScalarNode, source: SourceText) -> OffsetMap | None:
    """The proven map of ``node``, built at the first call; None if there is none."""
    known = node.offset_cache
    if isinstance(known, bool):
        known = node.offset_cache = _build(node, source.text)
    return known


def _build(node: ScalarNode, text: str) -> OffsetMap | None:
    offsets = OffsetMap()
    start, stop = node.span
    try:
        if node.style == "":
            rebuilt = _flow(text, start, stop, offsets, "")
        elif node.style in ("'", '"'):
            if stop - start < 2 or text[start] != node.style or text[stop - 1] != node.style:
                return None
            offsets.end = start + 1
            rebuilt = _flow(text, start + 1, stop - 1, offsets, node.style)
        else:
            offsets.end = stop
            rebuilt = _block(text, start, offsets, node.text)
    except UnprovableError:
        return None
    if rebuilt != node.text or offsets.length != len(rebuilt):
        return None
    if not offsets.length and node.style == "":
        offsets.end = start
    return offsets


def _break_end(text: str, position: int) -> int:
    """The end of the line break at ``position``. NEL, LS and PS are not understood here: nobody writes them."""
    if text[position] == "\r":
        return position + (2 if text.startswith("\r\n", position) else 1)
    if text[position] != "\n":
        raise UnprovableError
    return position + 1


def _next_break(text: str, position: int, stop: int) -> int:
    """The first line break of ``text[position:stop]``, or ``stop``."""
    found = LINE_BREAK.search(text, position, stop)
    return found.start() if found else stop


def _flow(text: str, start: int, stop: int, offsets: OffsetMap, style: str) -> str:
    """Plain and quoted scalars: escapes by ``style``, then line folding (YAML 1.1, 7.3.3 of 1.2: the same for all three)."""
    value: list[str] = []
    position = start
    while position < stop:
        line_end = _next_break(text, position, stop)
        folded = line_end < stop
        # Blanks before a line break are dropped, except those behind a backslash.
        content_end = line_end
        if folded:
            while content_end > position and text[content_end - 1] in " \t":
                content_end -= 1
            if style == '"' and _trailing_backslashes(text, position, content_end) % 2:
                if content_end < line_end:
                    content_end += 1  # "\ " is an escaped space
                else:
                    _pieces(text, position, content_end - 1, offsets, style, value)
                    position = _fold(text, content_end, stop, offsets, value, content_end - 1, joined=True)
                    continue
        _pieces(text, position, content_end, offsets, style, value)
        if not folded:
            break
        position = _fold(text, line_end, stop, offsets, value, content_end, joined=False)
    return "".join(value)


def _trailing_backslashes(text: str, start: int, end: int) -> int:
    position = end
    while position > start and text[position - 1] == "\\":
        position -= 1
    return end - position


def _fold(text: str, line_end: int, stop: int, offsets: OffsetMap, value: list[str], begin: int, *, joined: bool) -> int:
    """The line break at ``line_end`` and the blank lines behind it; where content goes on.

    A single break stands for a space (for nothing if it was escaped), and each blank line for a line feed. ``begin`` is
    where the content before the break ends.
    """
    breaks: list[int] = []  # where the blanks behind each break end
    position = line_end
    while True:
        position = _break_end(text, position)
        while position < stop and text[position] in " \t":
            position += 1
        breaks.append(position)
        if position >= stop or text[position] not in "\r\n":
            break
    if len(breaks) == 1:
        if not joined:
            offsets.replace(begin, position)
            value.append(" ")
        return position
    begin = breaks[0] if joined else begin
    for at, end in enumerate(breaks[1:]):
        offsets.replace(begin if at == 0 else breaks[at], end)
        value.append("\n")
    return position


def _pieces(text: str, start: int, stop: int, offsets: OffsetMap, style: str, value: list[str]) -> None:
    """One line's content: escapes resolved, the rest verbatim."""
    position = start
    if style == "":
        offsets.copy(start, stop)
        value.append(text[start:stop])
        return
    special = "\\" if style == '"' else "'"
    while position < stop:
        found = text.find(special, position, stop)
        if found < 0:
            found = stop
        offsets.copy(position, found)
        value.append(text[position:found])
        if found == stop:
            return
        if style == "'":
            if text[found : found + 2] != "''" or found + 2 > stop:
                raise UnprovableError
            character, end = "'", found + 2
        else:
            character, end = _escape(text, found, stop)
        offsets.replace(found, end)
        value.append(character)
        position = end


def _escape(text: str, position: int, stop: int) -> tuple[str, int]:
    """(character, end) of the escape at ``position``."""
    letter = text[position + 1 : position + 2]
    if letter in SINGLE_ESCAPES and position + 2 <= stop:
        return SINGLE_ESCAPES[letter], position + 2
    length = CODE_LENGTHS.get(letter, 0)
    digits = text[position + 2 : position + 2 + length]
    if not length or position + 2 + length > stop or not all(c in "0123456789abcdefABCDEF" for c in digits):
        raise UnprovableError
    code = int(digits, 16)
    if code > 0x10FFFF:
        raise UnprovableError
    return chr(code), position + 2 + length


def _block(text: str, start: int, offsets: OffsetMap, expected: str) -> str:
    """Block scalars, literal and folded: indentation (detected or given), chomping, more-indented lines."""
    size = len(text)
    header_end = _next_break(text, start, size)
    header = text[start + 1 : header_end].partition("#")[0].strip(" \t")
    folded = text[start] == ">"
    chomping = header.strip("0123456789")
    if chomping not in ("", "+", "-"):
        raise UnprovableError
    if header_end >= size:
        return ""
    begin = _break_end(text, header_end)
    indent = _indentation(text, begin, header.strip("+-") != "", expected)
    lines = _block_lines(text, begin, indent)
    value: list[str] = []
    upcoming = [-1] * len(lines)  # of each line, the next one with content
    for i in range(len(lines) - 1, 0, -1):
        upcoming[i - 1] = i if lines[i].end > lines[i].content else upcoming[i]
    for i, line in enumerate(lines):
        has_content = line.end > line.content
        more_follows = upcoming[i] >= 0
        if has_content:
            offsets.copy(line.content, line.end)
            value.append(text[line.content : line.end])
        if line.after == line.end:
            break  # the text ends without a line break
        if not more_follows and chomping != "+" and not (has_content and chomping == ""):
            break
        following = lines[i + 1].content if i + 1 < len(lines) else line.after
        if folded and has_content and more_follows and not _is_blank(text, line) and not _is_blank(text, lines[upcoming[i]]):
            # Between two lines that begin with content, a single break is a space; blank lines count instead of it.
            if upcoming[i] == i + 1:
                offsets.replace(line.end, following)
                value.append(" ")
            continue
        offsets.replace(line.end, following)
        value.append("\n")
    return "".join(value)


def _is_blank(text: str, line: _Line) -> bool:
    """Whether the line is more indented than its scalar (or begins with a tab): such lines are not folded."""
    return text[line.content] in " \t"


def _block_lines(text: str, begin: int, indent: int) -> list[_Line]:
    lines = []
    position = begin
    size = len(text)
    while position < size:
        end = _next_break(text, position, size)
        margin = text[position : min(position + indent, end)]
        content = position + len(margin) - len(margin.lstrip(" "))
        if content - position < indent and content < end:
            break  # less indented: no longer ours
        after = _break_end(text, end) if end < size else end
        lines.append(_Line(content, end, after))
        if after == end:
            break
        position = after
    return lines


def _indentation(text: str, begin: int, explicit: bool, expected: str) -> int:
    """The indentation of the content: of the first line that is not blank, less what the value begins with if a digit says so."""
    size = len(text)
    position = begin
    longest = 0
    while position < size:
        end = _next_break(text, position, size)
        content = position
        while content < end and text[content] == " ":
            content += 1
        if content < end:
            spaces = content - position
            if explicit:
                line = expected.lstrip("\n")
                spaces -= len(line) - len(line.lstrip(" "))
            return max(spaces, 1)
        longest = max(longest, end - position)
        position = _break_end(text, end) if end < size else size
    return max(longest, 1)
