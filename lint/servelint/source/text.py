"""Source text: code points, lines and columns."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from servelint.records import NamedTuple
from servelint.source.needles import Words

if TYPE_CHECKING:
    from servelint.source.reader import ReadResult


class Span(NamedTuple):
    """``[start, end)`` in code points of the text without BOM."""

    start: int
    end: int


class Position(NamedTuple):
    """1-based line and column, in code points."""

    line: int
    column: int


class SourceText:
    """One file's text as read: without BOM, line breaks as they are. ``path`` is what people see.

    ``encoding`` is the codec of the file's bytes, without BOM: "utf-8", or "utf-16-le" … where a BOM said so.
    """

    __slots__ = ("_starts", "_words", "encoding", "had_bom", "path", "reading", "text")

    def __init__(self, path: str, text: str, *, had_bom: bool = False, encoding: str = "utf-8") -> None:
        self.path = path
        self.text = text
        self.had_bom = had_bom
        self.encoding = encoding
        self._starts: list[int] | None = None
        self._words: Words | None = None
        self.reading: ReadResult | None = None  # what the reader made of it, once it has

    def with_text(self, text: str) -> SourceText:
        """The same file with other content."""
        return SourceText(self.path, text, had_bom=self.had_bom, encoding=self.encoding)

    @property
    def words(self) -> Words:
        """What the text says, in lower case."""
        if self._words is None:
            self._words = Words(self.text.lower())
        return self._words

    @property
    def line_starts(self) -> list[int]:
        """Offsets at which lines begin. Lines end at CR, LF and CRLF only (not at NEL, LS, PS, FF or VT)."""
        if self._starts is None:
            starts = [0]
            text = self.text
            if "\r" in text:
                position = 0
                while position < len(text):
                    character = text[position]
                    position += 1
                    if character == "\r":
                        if position < len(text) and text[position] == "\n":
                            position += 1
                        starts.append(position)
                    elif character == "\n":
                        starts.append(position)
            else:
                position = text.find("\n")
                while position >= 0:
                    starts.append(position + 1)
                    position = text.find("\n", position + 1)
            self._starts = starts
        return self._starts

    def position(self, offset: int) -> Position:
        line = bisect_right(self.line_starts, offset)
        return Position(line, offset - self.line_starts[line - 1] + 1)

    def line(self, number: int) -> str:
        """The text of the 1-based line ``number`` without its line break."""
        starts = self.line_starts
        end = starts[number] if number < len(starts) else len(self.text)
        return self.text[starts[number - 1] : end].rstrip("\r\n")
