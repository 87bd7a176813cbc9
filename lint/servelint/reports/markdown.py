"""Markdown that shows text from manifests as text: nothing in it can become markup, a link or a mention."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.reports.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_MARKUP = frozenset("\\`*_[]<>|#~$")


def escape(text: str) -> str:
    """One line in which no character acts as markup. ``@`` becomes an entity (a comment must not notify people), and so
    does what would make a link of a bare address."""
    escaped = "".join(f"\\{c}" if c in _MARKUP else "&#64;" if c == "@" else c for c in printable(text))
    return escaped.replace("://", "&#58;//").replace("www.", "www&#46;")


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table; cells are already Markdown."""
    return [_row(header), _row(["---"] * len(header)), *map(_row, rows)]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
