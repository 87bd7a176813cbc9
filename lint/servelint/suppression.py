"""Suppression comments: ``# servelint: ignore[CODE, CODE] reason``.

A comment covers the smallest YAML entry or list item that starts on its line, or, standing alone, on the next line that
holds anything. Comments are those the reader found outside scalars.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.records import NamedTuple
from servelint.source.nodes import MappingNode, SequenceNode, walk
from servelint.source.text import Span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from servelint.finding import Finding
    from servelint.source.nodes import Comment, Document
    from servelint.source.text import SourceText

MARKER = "servelint:"


class Suppression(NamedTuple):
    """One comment: its codes, the reason given, and what it covers (None: nothing starts there)."""

    comment: Comment
    codes: tuple[str, ...]
    reason: str
    document: Document | None
    region: Span | None
    problem: str = ""

    def covers(self, finding: Finding) -> bool:
        if self.region is None or finding.place.document is not self.document:
            return False
        start = finding.place.span.start
        return finding.code in self.codes and self.region.start <= start < max(self.region.end, self.region.start + 1)


def _parse(text: str) -> tuple[tuple[str, ...], str, str] | None:
    """(codes, reason, problem) of a comment's text; None if it is not ours."""
    body = text.strip()
    if not body.startswith(MARKER):
        return None
    body = body[len(MARKER) :].strip()
    if not body.startswith("ignore"):
        return None
    body = body[len("ignore") :].strip()
    if not body.startswith("[") or "]" not in body:
        return (), "", "it names no rule: write `# servelint: ignore[CODE] reason`"
    inner, _, reason = body[1:].partition("]")
    codes = tuple(c.strip() for c in inner.split(",") if c.strip())
    return codes, reason.strip(" :-\t"), "" if codes else "it names no rule: write `# servelint: ignore[CODE] reason`"


def _region(document: Document, first: int, last: int) -> Span | None:
    """The smallest entry or item that starts in ``[first, last)``; of several that start there, the innermost first one."""
    best: Span | None = None
    if document.root is None:
        return None
    for node in walk(document.root):
        if isinstance(node, MappingNode):
            spans = [Span(key.span.start, max(key.span.end, value.span.end)) for key, value in node.entries]
        elif isinstance(node, SequenceNode):
            spans = [item.span for item in node.items]
        else:
            continue
        for span in spans:
            if first <= span.start < last and (best is None or span.end - span.start < best.end - best.start):
                best = span
    if best is None:
        return None
    # Whatever else starts on that line is meant too (the item `- name: x` is both an item and an entry).
    return Span(first, max(best.end, best.start + 1))


def _covered_line(source: SourceText, comment: Comment) -> int:
    line = source.position(comment.span.start).line
    if not comment.own_line:
        return line
    total = len(source.line_starts)
    line += 1
    while line < total and (not source.line(line).strip() or source.line(line).lstrip().startswith("#")):
        line += 1
    return line


def suppressions(source: SourceText, documents: Sequence[Document], comments: Sequence[Comment]) -> list[Suppression]:
    """The suppressions of one file, in order."""
    found = []
    for comment in comments:
        if MARKER not in comment.text:
            continue
        parsed = _parse(comment.text)
        if parsed is None:
            continue
        codes, reason, problem = parsed
        line = _covered_line(source, comment)
        starts = source.line_starts
        first = starts[line - 1] if line <= len(starts) else len(source.text)
        last = starts[line] if line < len(starts) else len(source.text)
        owner = next((d for d in documents if d.span.start <= first <= d.span.end), None)
        region = _region(owner, first, last) if owner is not None else None
        found.append(Suppression(comment, codes, reason, owner, region, problem))
    return found
