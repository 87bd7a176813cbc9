"""Proving edits: the text they make is read again, and its tree must be the old one but for the change intended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.records import NamedTuple
from servelint.source.edits import apply
from servelint.source.layout import line_end
from servelint.source.nodes import AliasNode
from servelint.source.quoting import is_json
from servelint.source.reader import read_text
from servelint.source.text import SourceText, Span
from servelint.source.tokens import Signature, Token, alias_targets, aliases_agree, tokens

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from servelint.finding import Edit
    from servelint.source.nodes import Document


class Change(NamedTuple):
    """What is intended: ``tokens(root)[start:end]`` become ``signatures``. ``place``: the stretch of the text it is about."""

    start: int
    end: int
    signatures: Sequence[Signature]
    place: Span


def first_proven(document: Document, candidates: Iterable[Sequence[Edit] | None], change: Change) -> tuple[Edit, ...] | None:
    """The first of the candidates that makes exactly ``change``, and leaves every comment outside of it; None if none does."""
    for edits in candidates:
        if edits is not None and _makes(document, edits, change):
            return tuple(edits)
    return None


def _makes(document: Document, edits: Sequence[Edit], change: Change) -> bool:
    base, end = document.span
    text = document.source.text[base:end]
    try:
        after_text = apply(text, [edit._replace(start=edit.start - base, end=edit.end - base) for edit in edits])
    except ValueError:
        return False
    if end < len(document.source.text) and not after_text.endswith(("\n", "\r")):
        return False  # the next document's marker would no longer begin a line
    if is_json(document.source.path) and _loads(text) and not _loads(after_text):
        return False
    after = read_text(SourceText(document.source.path, after_text))
    if after.errors or len(after.documents) != 1:
        return False
    old, new = tokens(document.root), tokens(after.documents[0].root)
    if _is_shared(old, change):
        return False
    expected: list[Token | None] = [*old[: change.start], *([None] * len(change.signatures)), *old[change.end :]]
    signatures = [t.signature for t in old[: change.start]] + list(change.signatures) + [t.signature for t in old[change.end :]]
    if [token.signature for token in new] != signatures or not aliases_agree(expected, new):
        return False
    deleted = [(edit.start - base, edit.end - base) for edit in edits]
    first, last = change.place.start - base, line_end(text, change.place.end - base)
    kept = []
    for comment in read_text(document.source).comments:
        start, stop = comment.span.start - base, comment.span.end - base
        if start < 0 or stop > len(text):
            continue  # another document's
        if not any(begin < stop and start < finish for begin, finish in deleted):
            kept.append(comment.text)
        elif not first <= start <= last:
            return False  # it is not about what is changed
    return kept == _old_comments(after.comments, edits, base)


def _loads(text: str) -> bool:
    from json import loads

    try:
        loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _old_comments(comments: Iterable[object], edits: Sequence[Edit], base: int) -> list[str]:
    """The texts of the comments that were not written by the edits."""
    written = []
    shift = -base
    for edit in sorted(edits, key=lambda e: (e.start, e.end)):
        written.append((edit.start + shift, edit.start + shift + len(edit.text)))
        shift += len(edit.text) - (edit.end - edit.start)
    return [c.text for c in comments if not any(first <= c.span[0] and c.span[1] <= last for first, last in written)]  # type: ignore[attr-defined]


def _is_shared(old: list[Token], change: Change) -> bool:
    """Whether the change lies in an anchored node that an alias stands for: then it would change what is elsewhere, too."""
    shared = alias_targets(old)
    return any(
        id(token.node) in shared
        and not isinstance(token.node, AliasNode)
        and token.node.span.start <= change.place.start
        and change.place.end <= token.node.span.end
        for token in old
    )
