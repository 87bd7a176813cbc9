"""Text for a terminal: what each character shows as and how wide it is, and colours that can be switched off."""

from __future__ import annotations

from typing import ClassVar

from servelint.finding import Severity

TAB_WIDTH = 4


def shown(character: str) -> str:
    """What stands for one character on a terminal.

    Control and format characters (escape sequences, bidirectional overrides) of a manifest must not act on the reader's
    terminal, so they are shown escaped; a tab is shown as spaces.
    """
    if character.isprintable():
        return character
    if character == "\t":
        return " " * TAB_WIDTH
    code = ord(character)
    if character.isspace() and code >= 0xA0 and code not in (0x2028, 0x2029):
        return character  # no-break and other Unicode spaces: not printable by Python's definition, harmless
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def printable(text: str) -> str:
    """``text`` on one line, harmless to a terminal."""
    return text if text.isprintable() else "".join(map(shown, text))


def width(text: str) -> int:
    """Columns of ``text`` (already printable) on a terminal."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def _columns(character: str) -> int:
    from unicodedata import combining, east_asian_width  # lazy: most manifests are ASCII

    if combining(character) or character in "\u200d\ufe0e\ufe0f":
        return 0
    return 2 if east_asian_width(character) in "WF" else 1


class Palette:
    """ANSI styles, or nothing where ``colour`` is off."""

    __slots__ = ("_colour",)

    _SEVERITY: ClassVar = {Severity.ERROR: "1;31", Severity.WARNING: "1;33", Severity.INFO: "1;36"}

    def __init__(self, colour: bool) -> None:
        self._colour = colour

    def _style(self, codes: str, text: str) -> str:
        return f"\x1b[{codes}m{text}\x1b[0m" if self._colour and text else text

    def severity(self, severity: Severity, text: str) -> str:
        return self._style(self._SEVERITY[severity], text)

    def bold(self, text: str) -> str:
        return self._style("1", text)

    def gutter(self, text: str) -> str:
        return self._style("1;34", text)

    def related(self, text: str) -> str:
        return self._style("34", text)

    def added(self, text: str) -> str:
        return self._style("32", text)

    def removed(self, text: str) -> str:
        return self._style("31", text)
