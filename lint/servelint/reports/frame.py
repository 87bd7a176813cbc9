"""Code frames: the lines a finding points at, with what it points at underlined and labelled.

Lines are clipped around the underlined part; tabs, wide and control characters keep the underline where it belongs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.records import NamedTuple
from servelint.reports.terminal import printable, shown, width

if TYPE_CHECKING:
    from collections.abc import Sequence

    from servelint.finding import Severity
    from servelint.reports.terminal import Palette
    from servelint.source.text import SourceText, Span

MAX_WIDTH = 120  # columns of source text in a frame: about what fits beside the gutter in a wide terminal or a CI log
LONG_UNDERLINE = 60  # columns; beside a longer one a label would end far outside of a terminal
LEAD = 40  # of them, columns kept to the left of the underlined part when a line is clipped


class Mark(NamedTuple):
    """Something to underline: the finding's own place (with a severity) or a related one (None)."""

    span: Span
    label: str
    severity: Severity | None = None


class _Located(NamedTuple):
    line: int
    start: int  # code points from the start of the line
    end: int
    mark: Mark


def _locate(source: SourceText, mark: Mark) -> _Located:
    """The part of the mark on its first line, without trailing blanks; at least one column."""
    line, column = source.position(mark.span.start)
    start = column - 1
    text = source.line(line)
    begin = source.line_starts[line - 1]
    end = min(mark.span.end - begin, len(text))
    end = start + len(text[start:end].rstrip())
    return _Located(line, start, max(end, start + 1), mark)


def _clip(text: str, first: int) -> tuple[str, int]:
    """The window of a line shown around code point ``first``, and how many code points are cut off on the left."""
    if len(text) <= MAX_WIDTH and (text.isascii() or width(text) <= MAX_WIDTH):
        return text, 0
    left = 0 if first < MAX_WIDTH - LEAD else first - LEAD
    used, right = 0, left
    while right < len(text):
        used += width(shown(text[right]))
        if used > MAX_WIDTH:
            break
        right += 1
    return text[left:right], left


def _shown_line(source: SourceText, number: int, first: int, gutter: int, palette: Palette) -> str:
    """A line with its number, clipped around code point ``first``."""
    text = source.line(number)
    window, left = _clip(text, first)
    before = "…" if left else ""
    after = "…" if left + len(window) < len(text) else ""
    return f"{palette.gutter(f'{number:>{gutter}} |')} {before}{printable(window)}{after}".rstrip()


def _underline(window: str, left: int, located: _Located, palette: Palette) -> list[str]:
    """The underline with its label; a label for which a long underline leaves no room stands below it."""
    start, end = located.start - left, located.end - left
    blank = (1 if left else 0) + width(printable(window[:start]))
    if start > len(window):
        return []  # to the right of the window: another mark of the line decided what is shown
    carets = max(1, width(printable(window[start : min(end, len(window))])))
    label = printable(located.mark.label)
    severity = located.mark.severity
    line = ("-" if severity is None else "^") * carets
    below = bool(label) and carets > LONG_UNDERLINE
    lines = [line, label] if below else [f"{line} {label}" if label else line]
    return [" " * blank + (palette.related(text) if severity is None else palette.severity(severity, text)) for text in lines]


def gutter_width(source: SourceText, marks: Sequence[Mark]) -> int:
    return max(len(str(_locate(source, mark).line)) for mark in marks)


def render(source: SourceText, marks: Sequence[Mark], gutter: int, palette: Palette) -> list[str]:
    """The frame's lines, from the bar above to the bar below. The line before the first primary mark is shown too."""
    located = [_locate(source, mark) for mark in marks]
    by_line: dict[int, list[_Located]] = {}
    for each in located:
        by_line.setdefault(each.line, []).append(each)
    for each in located:
        if each.mark.severity is not None and each.line > 1 and source.line(each.line - 1).strip():
            by_line.setdefault(each.line - 1, [])
    bar = palette.gutter(" " * gutter + " |")
    lines = [bar]
    previous = 0
    for number in sorted(by_line):
        if previous and number == previous + 2:  # a gap mark would take as much room as the line itself
            lines.append(_shown_line(source, number - 1, 0, gutter, palette))
        elif previous and number > previous + 1:
            lines.append(palette.gutter("..."))
        previous = number
        here = sorted(by_line[number], key=lambda each: (each.mark.severity is None, each.start))
        first = here[0].start if here else 0
        window, left = _clip(source.line(number), first)
        lines.append(_shown_line(source, number, first, gutter, palette))
        for each in here:
            lines += [f"{bar} {underline}" for underline in _underline(window, left, each, palette)]
    lines.append(bar)
    return lines
