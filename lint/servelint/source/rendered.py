"""Rendered charts: the parts of ``helm template``'s output, each under the path that its ``# Source:`` comment names.

Lines, columns and offsets stay those of the whole text, since that is what people have before them: what belongs to other
templates stands in a part as empty comments of the same length.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from servelint.source.text import SourceText

if TYPE_CHECKING:
    from collections.abc import Iterator

_SOURCE = r"^# Source:[ \t]*(\S.*?)[ \t]*\r?$"
_MOST = 30_000_000  # characters of all parts together: beyond it the text stays whole


def parts(source: SourceText) -> list[SourceText]:
    """One text for each path, in the order of the text; ``source`` itself where no comment names a path.

    What stands in front of the first such comment keeps the path of ``source``.
    """
    text = source.text
    if "# Source:" not in text:
        return [source]
    segments = list(_segments(source.path, text))
    paths = dict.fromkeys(path for path, begin, end in segments if text[begin:end].strip("- \t\r\n"))
    if len(paths) * len(text) > _MOST or not paths:
        return [source]
    empty = re.sub(r"[^\r\n]+", lambda line: "#" + " " * (len(line.group()) - 1), text)
    found = []
    for path in paths:
        own = (text[begin:end] if of == path else empty[begin:end] for of, begin, end in segments)
        found.append(SourceText(path, "".join(own)))
    return found


def _segments(path: str, text: str) -> Iterator[tuple[str, int, int]]:
    """(path, begin, end) of every stretch; one begins at the ``---`` above its comment, where there is one."""
    begin = 0
    for match in re.finditer(_SOURCE, text, re.MULTILINE):
        start = match.start()
        above = text.rfind("\n", 0, max(start - 1, 0)) + 1
        if text[above:start].strip() == "---":
            start = above
        if start > begin:
            yield path, begin, start
        path, begin = match.group(1), start
    yield path, begin, len(text)
