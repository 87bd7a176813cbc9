"""Where the parts of a text stand in the scalar it was made of: needed because expansion and quoting change the text."""

from __future__ import annotations

from bisect import bisect_right

from servelint.records import NamedTuple


class Piece(NamedTuple):
    """A stretch of a text and ``[start, end)``, its place in the scalar's value. ``literal``: it stands there as it is."""

    text: str
    start: int
    end: int
    literal: bool


class MappedText:
    """A text with the place of each stretch of it."""

    __slots__ = ("_pieces", "_starts", "text")

    def __init__(self, text: str, pieces: tuple[Piece, ...] = ()) -> None:
        """Without ``pieces``, the text is the scalar's value itself."""
        self.text = text
        self._pieces = pieces
        self._starts: list[int] = []
        position = 0
        for piece in pieces:
            self._starts.append(position)
            position += len(piece.text)

    @classmethod
    def of(cls, pieces: list[Piece]) -> MappedText:
        kept = tuple(piece for piece in pieces if piece.text)
        return cls("".join(piece.text for piece in kept), kept or (Piece("", 0, 0, False),))

    def locate(self, start: int, end: int) -> tuple[int, int, bool]:
        """(start, end, literal) of ``text[start:end]`` in the scalar's value; ``literal``: it stands there as it is."""
        if not self._pieces:
            return start, end, True
        first = max(0, bisect_right(self._starts, start) - 1)
        last = max(first, bisect_right(self._starts, max(start, end - 1)) - 1)
        literal = all(self._pieces[i].literal for i in range(first, last + 1))
        head, tail = self._pieces[first], self._pieces[last]
        begin = head.start + (start - self._starts[first] if head.literal else 0)
        stop = tail.start + (end - self._starts[last]) if tail.literal else tail.end
        if literal and last > first:  # pieces with something between them (quotes, escapes) are not one stretch
            literal = all(self._pieces[i].end == self._pieces[i + 1].start for i in range(first, last))
        return begin, max(begin, stop), literal

    def located(self, piece: Piece) -> Piece:
        """A piece of this text, with its place in the scalar's value."""
        start, end, literal = self.locate(piece.start, piece.end)
        return Piece(piece.text, start, end, literal and piece.literal and end - start == len(piece.text))
