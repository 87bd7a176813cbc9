"""The words of a service's ``entrypoint`` and ``command``, as lists or as strings that Compose splits itself.

Source: Compose specification, ``command``: a string is split as a shell would, but no shell runs it;
github.com/mattn/go-shellwords, with which compose-go splits it, knows quotes and backslashes and stops at operators.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from servelint.engines.command import Word
from servelint.engines.mapped_text import MappedText, Piece
from servelint.formats.compose.interpolation import interpolate
from servelint.source.nodes import ScalarNode, SequenceNode

if TYPE_CHECKING:
    from servelint.formats.compose.interpolation import Interpolated
    from servelint.source.nodes import Document, Node

_STOPS = frozenset(";&|<>")
_PLAIN = re.compile(r"[^\s'\"\\;&|<>]+")


class WordList:
    """Words with the texts they were made of, for a shell among them to read on. ``unset``: variables without a value."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._texts: dict[int, MappedText] = {}
        self.words: list[Word] = []
        self.unset: list[str] = []

    def text_of(self, word: Word) -> MappedText:
        return self._texts.get(id(word), MappedText(word.text))

    def extend(self, node: Node | None) -> None:
        """Adds the words of ``node``: a list's items, or those of a string."""
        if isinstance(node, SequenceNode):
            for item in node.items:
                scalar = item.resolved
                if isinstance(scalar, ScalarNode) and not scalar.is_null:
                    self._item(scalar)
        elif isinstance(node, ScalarNode):
            self._string(node)

    def _item(self, node: ScalarNode) -> None:
        value = interpolate(node.text)
        text = value.text.text
        if not value.changed:
            word = Word(text, node.span, node, True, _unknown(value), False, 0, len(node.text))
        elif text:
            word = self._placed(node, value, 0, len(text), text)
        else:
            return  # an argument that is there only where the variable is set
        self._add(word, value.text, value)

    def _string(self, node: ScalarNode) -> None:
        value = interpolate(node.text)
        self.unset += value.unset
        for pieces in _split(value.text.text):
            start, end = pieces[0].start, pieces[-1].end
            text = "".join(piece.text for piece in pieces)
            word = self._placed(node, value, start, end, text)
            located = [value.text.located(piece) for piece in pieces]
            self._add(word, MappedText.of(located), None)

    def _placed(self, node: ScalarNode, value: Interpolated, start: int, end: int, text: str) -> Word:
        begin, stop, literal = value.text.locate(start, end)
        if not literal and "}" in node.text[stop:]:
            stop = _closed(node.text, begin, stop)
        span = node.source_span(self._document.source, begin, stop)
        unset = next((name for name in value.unset if f"${name}" in text or f"${{{name}" in text), "")
        return Word(text, span, node, False, unset, not literal, begin, stop)

    def _add(self, word: Word, text: MappedText, value: Interpolated | None) -> None:
        self.words.append(word)
        self._texts[id(word)] = text
        if value is not None:
            self.unset += value.unset


def _closed(text: str, begin: int, stop: int) -> int:
    """``stop``, behind the braces of the variables that begin in ``text[begin:stop]`` and whose default ends there."""
    depth = text.count("${", begin, stop) - text.count("}", begin, stop)
    while depth > 0 and text[stop : stop + 1] == "}":
        stop, depth = stop + 1, depth - 1
    return stop


def _unknown(value: Interpolated) -> str:
    return value.unset[0] if value.unset else ""


def _split(text: str) -> list[list[Piece]]:
    """The words of ``text``, each in pieces with their place in it. Quoted empty words count."""
    words: list[list[Piece]] = []
    current: list[Piece] | None = None
    quote = ""
    position = 0
    while position < len(text):
        plain = _PLAIN.match(text, position)
        if plain is not None:
            current = _joined(current or [], Piece(plain.group(), position, plain.end(), True))
            position = plain.end()
            continue
        character = text[position]
        piece: Piece | None = None
        step = 1
        if character == "\\" and quote != "'" and position + 1 < len(text):
            following = text[position + 1]
            step = 2
            if quote or not following.isspace():  # before a blank it was to continue the line
                piece = Piece(following, position, position + 2, False)
        elif quote:
            if character == quote:
                piece = Piece("", position, position + 1, True)
                quote = ""
            else:
                piece = Piece(character, position, position + 1, True)
        elif character in "'\"":
            quote = character
            piece = Piece("", position, position + 1, True)
        elif character.isspace():
            if current is not None:
                words.append(current)
            current = None
        elif character in _STOPS:
            break
        else:
            piece = Piece(character, position, position + 1, True)
        if piece is not None:
            current = _joined(current or [], piece)
        position += step
    if current is not None:
        words.append(current)
    return words


def _joined(pieces: list[Piece], piece: Piece) -> list[Piece]:
    """``piece`` behind ``pieces``, as one with the last where both stand there as they are."""
    last = pieces[-1] if pieces else None
    if last is not None and last.literal and piece.literal and last.text and piece.text and last.end == piece.start:
        pieces[-1] = Piece(last.text + piece.text, last.start, piece.end, True)
    else:
        pieces.append(piece)
    return pieces
