"""Comparing parsed trees: where two documents differ, and whether edits changed anything outside of themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.records import NamedTuple
from servelint.source.nodes import AliasNode, MappingNode, Node, ScalarNode, SequenceNode
from servelint.source.pointers import escape, key_name
from servelint.source.reader import read_text
from servelint.source.tokens import Token, alias_targets, aliases_agree, tokens

if TYPE_CHECKING:
    from collections.abc import Iterable

    from servelint.finding import Edit
    from servelint.source.nodes import Comment, Document
    from servelint.source.text import SourceText, Span

# Above this many comparisons two lists are compared item by item instead of being aligned.
_MOST_COMPARISONS = 4_000_000


def differences(before: Document, after: Document) -> list[str]:
    """The JSON pointers at which two documents differ in content; empty if they are equal.

    Content is what a loader would see: comments, order of keys, anchors' names and quoting styles do not count, plain
    against quoted does (``8`` is not ``"8"``). Items of lists are aligned by content, so an inserted or removed item is
    one difference; its pointer is that in ``after`` if it was inserted, else all pointers are those in ``before``. An
    alias is compared as what it stands for, and reported where it stands.
    """
    table: dict[object, int] = {}
    contents = {**_contents(before.root, table), **_contents(after.root, table)}
    found: list[str] = []
    _compare(_Side(before, before.root, ""), _Side(after, after.root, ""), contents, found)
    return list(dict.fromkeys(found))


class _Side:
    """A node, its document and its pointer."""

    __slots__ = ("document", "node", "pointer")

    def __init__(self, document: Document, node: Node | None, pointer: str) -> None:
        self.document = document
        self.node = node
        self.pointer = pointer

    def items(self, sequence: SequenceNode) -> list[_Side]:
        return [_Side(self.document, item, f"{self.pointer}/{i}") for i, item in enumerate(sequence.items)]

    def entries(self, mapping: MappingNode) -> dict[tuple[str, int], _Side]:
        """The values by key name; a repeated key is told apart by how often it came before."""
        found: dict[tuple[str, int], _Side] = {}
        times: dict[str, int] = {}
        for key, value in mapping.entries:
            name = key_name(self.document, key)
            found[name, times.get(name, 0)] = _Side(self.document, value, f"{self.pointer}/{escape(name)}")
            times[name] = times.get(name, 0) + 1
        return found


def _contents(root: Node | None, table: dict[object, int]) -> dict[int, int]:
    """A number for every node of a tree, by id: two nodes have the same one if they have the same content."""
    numbers: dict[int, int] = {}
    stack: list[tuple[Node, bool]] = [(root, False)] if root is not None else []
    while stack:
        node, children_done = stack.pop()
        content: object
        if isinstance(node, ScalarNode):
            content = ("scalar", node.text, node.style == "", node.tag)
        elif isinstance(node, AliasNode):
            target = numbers.get(id(node.resolved))
            content = ("alias", node.name)
            if target is not None:  # else it is a part of what it stands for
                numbers[id(node)] = target
                continue
        elif not children_done:
            stack.append((node, True))
            if isinstance(node, MappingNode):
                for key, value in reversed(node.entries):
                    stack += ((value, False), (key, False))
            elif isinstance(node, SequenceNode):
                stack += [(item, False) for item in reversed(node.items)]
            continue
        elif isinstance(node, MappingNode):
            pairs = [(numbers[id(key)], numbers[id(value)]) for key, value in node.entries]
            content = ("mapping", node.tag, *sorted(pairs))
        else:
            items = node.items if isinstance(node, SequenceNode) else []
            content = ("sequence", node.tag, *(numbers[id(item)] for item in items))
        numbers[id(node)] = table.setdefault(content, len(table))
    return numbers


def _compare(before: _Side, after: _Side, contents: dict[int, int], found: list[str]) -> None:
    old, new = before.node, after.node
    if old is None and new is None:
        return
    if old is not None and new is not None:
        if contents[id(old)] == contents[id(new)]:
            return
        if isinstance(old, MappingNode) and isinstance(new, MappingNode) and old.tag == new.tag:
            here, there = before.entries(old), after.entries(new)
            for name, side in here.items():
                if name in there:
                    _compare(side, there[name], contents, found)
                else:
                    found.append(side.pointer)
            found += [side.pointer for name, side in there.items() if name not in here]
            return
        if isinstance(old, SequenceNode) and isinstance(new, SequenceNode) and old.tag == new.tag:
            _compare_items(before.items(old), after.items(new), contents, found)
            return
    found.append(before.pointer)


def _compare_items(before: list[_Side], after: list[_Side], contents: dict[int, int], found: list[str]) -> None:
    old = [contents[id(item.node)] for item in before]
    new = [contents[id(item.node)] for item in after]
    start = 0
    while start < min(len(old), len(new)) and old[start] == new[start]:
        start += 1
    end = 0
    while end < min(len(old), len(new)) - start and old[-1 - end] == new[-1 - end]:
        end += 1
    for a1, a2, b1, b2 in _blocks(old[start : len(old) - end], new[start : len(new) - end]):
        here, there = before[start + a1 : start + a2], after[start + b1 : start + b2]
        pairs = min(len(here), len(there))
        for one, other in zip(here[:pairs], there[:pairs], strict=True):
            _compare(one, other, contents, found)
        found += [side.pointer for side in (*here[pairs:], *there[pairs:])]


def _blocks(old: list[int], new: list[int]) -> Iterable[tuple[int, int, int, int]]:
    """The stretches that differ, as (start, end) in ``old`` and in ``new``."""
    if len(old) * len(new) > _MOST_COMPARISONS or not old or not new:
        return [(0, len(old), 0, len(new))]
    from difflib import SequenceMatcher

    matcher = SequenceMatcher(None, old, new, autojunk=False)
    return [(a1, a2, b1, b2) for kind, a1, a2, b1, b2 in matcher.get_opcodes() if kind != "equal"]


def equal_outside(before: SourceText, after: SourceText, edits: Iterable[Edit]) -> bool:
    """Whether ``edits``, which made ``after`` of ``before``, changed nothing outside of themselves.

    Nodes within an edit may come and go. A scalar that an edit touches may change its text. All else must be the same
    before and after: every other node with its tag and anchor, plain or quoted; what aliases stand for; comments; the
    number of documents and of read errors. An edit within an anchored node that an alias elsewhere stands for changes
    what is elsewhere, and is refused.
    """
    ranges = sorted((edit.start, edit.end, len(edit.text)) for edit in edits)
    old_ranges = [(start, end) for start, end, _ in ranges]
    new_ranges = []
    shift = 0
    for start, end, length in ranges:
        new_ranges.append((start + shift, start + shift + length))
        shift += length - (end - start)
    old, new = read_text(before), read_text(after)
    if len(old.documents) != len(new.documents) or len(new.errors) > len(old.errors):
        return False
    if _kept_comments(old.comments, old_ranges) != _kept_comments(new.comments, new_ranges):
        return False
    return all(
        one.index == other.index
        and _same_tokens(_Edited(before.text, tokens(one.root), old_ranges), _Edited(after.text, tokens(other.root), new_ranges))
        for one, other in zip(old.documents, new.documents, strict=True)
    )


def _kept_comments(comments: Iterable[Comment], ranges: list[tuple[int, int]]) -> list[str]:
    return [c.text for c in comments if not any(start < c.span.end and c.span.start < end for start, end in ranges)]


def _contained(span: Span, ranges: list[tuple[int, int]]) -> bool:
    return any(start <= span.start and span.end <= end for start, end in ranges)


class _Edited(NamedTuple):
    """One side of an edit: its text, the tokens of a document in it, and where the edits are."""

    text: str
    tokens: list[Token]
    ranges: list[tuple[int, int]]

    def kept(self) -> list[Token]:
        return [token for token in self.tokens if not _contained(token.node.span, self.ranges)]

    def untouched_words(self, span: Span) -> list[str]:
        """The words of ``span`` that no edit covers."""
        pieces = []
        position = span.start
        for start, end in self.ranges:
            if start <= span.end and position <= end:
                pieces.append(self.text[position : max(start, position)])
                position = max(position, end)
        pieces.append(self.text[position : max(span.end, position)])
        return "".join(pieces).split()


def _same_tokens(before: _Edited, after: _Edited) -> bool:
    kept_before, kept_after = before.kept(), after.kept()
    if len(kept_before) != len(kept_after):
        return False
    for one, other in zip(kept_before, kept_after, strict=True):
        if one.signature == other.signature:
            continue
        if not (one.is_scalar and other.is_scalar and one.signature[2:] == other.signature[2:]):
            return False
        if not any(start <= one.node.span.end and one.node.span.start <= end for start, end in before.ranges):
            return False
        # A scalar that an edit touches may change, but not by swallowing or losing what stands beside the edit.
        if before.untouched_words(one.node.span) != after.untouched_words(other.node.span):
            return False
    shared = alias_targets(kept_before)
    if any(id(token.node) in shared and _changed_within(token.node.span, before.ranges) for token in before.tokens):
        return False
    return aliases_agree(kept_before, kept_after)


def _changed_within(span: Span, ranges: list[tuple[int, int]]) -> bool:
    """Whether an edit lies within ``span``, or covers a part of it."""
    return any((start < span.end and span.start < end) or span.start < start == end < span.end for start, end in ranges)
