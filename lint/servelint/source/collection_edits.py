"""Editing collections: inserting and removing items and entries. See ``edits`` for what the functions promise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.finding import Edit
from servelint.records import NamedTuple
from servelint.source.layout import (
    Member,
    ancestors,
    ends_line,
    indentation,
    is_blank,
    line_end,
    line_start,
    members,
    newline,
    next_line,
    skip,
    starts_line,
)
from servelint.source.nodes import MappingNode, Node, ScalarNode, SequenceNode
from servelint.source.proof import Change, first_proven
from servelint.source.quoting import is_json, is_json_literal, like_neighbours, quoted
from servelint.source.text import SourceText, Span
from servelint.source.tokens import Signature, tokens

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from servelint.source.nodes import Document

Edits = tuple[Edit, ...]


class _Site(NamedTuple):
    """A collection in its document: the text around it and its members."""

    path: str
    text: str
    collection: SequenceNode | MappingNode
    members: list[Member]
    around: list[SequenceNode | MappingNode]

    def edit(self, start: int, end: int, new: str = "") -> Edit:
        return Edit(self.path, start, end, new)

    @property
    def in_flow(self) -> bool:
        return self.collection.flow or any(each.flow for each in self.around)


def _site(document: Document, collection: SequenceNode | MappingNode) -> _Site | None:
    around = ancestors(document, collection)
    found = members(document, collection)
    if around is None or found is None:
        return None
    return _Site(document.source.path, document.source.text, collection, found, around)


def _token_range(document: Document, first: Node, last: Node) -> tuple[int, int]:
    """Where the tokens from ``first`` to ``last`` (with all of its) stand in the document's."""
    every = tokens(document.root)
    start = next(i for i, token in enumerate(every) if token.node is first)
    end = max(i for i, token in enumerate(every) if token.node is last)
    return start, end + 1


# Removing


def remove_item(document: Document, sequence: SequenceNode, index: int) -> Edits | None:
    if not 0 <= index < len(sequence.items):
        raise IndexError(f"item {index} of {len(sequence.items)}")
    item = sequence.items[index]
    return _remove(document, sequence, index, item, item)


def remove_entry(document: Document, mapping: MappingNode, key: str) -> Edits | None:
    at = [i for i, (name, _) in enumerate(mapping.entries) if _text(name) == key]
    if len(at) != 1:
        return None
    return _remove(document, mapping, at[0], *mapping.entries[at[0]])


def _text(node: Node) -> str | None:
    resolved = node.resolved
    return resolved.text if isinstance(resolved, ScalarNode) else None


def _remove(document: Document, collection: SequenceNode | MappingNode, index: int, first: Node, last: Node) -> Edits | None:
    site = _site(document, collection)
    if site is None:
        return None
    start, end = _token_range(document, first, last)
    member = site.members[index]
    candidates = _flow_removals(site, index) if collection.flow else _block_removals(site, index)
    return first_proven(document, candidates, Change(start, end, (), Span(member.start, member.end)))


def _block_removals(site: _Site, index: int) -> Iterator[Sequence[Edit]]:
    text, member = site.text, site.members[index]
    if not ends_line(text, member.end):
        return
    if len(site.members) == 1:
        yield from _emptied(site)
    elif starts_line(text, member.start):
        yield (site.edit(line_start(text, member.start), next_line(text, member.end)),)
    elif index + 1 < len(site.members):
        # The first of a collection that begins behind a dash: the second, or the comment above it, takes its place.
        yield (site.edit(member.start, site.members[index + 1].start),)
        following = next_line(text, member.end)
        while text[following : following + 1] in (" ", "\t"):
            following += 1
        yield (site.edit(member.start, following),)


def _emptied(site: _Site) -> Iterator[Sequence[Edit]]:
    """The only member gone: a block collection cannot be empty, so it becomes ``[]`` or ``{}``."""
    text, member, collection = site.text, site.members[0], site.collection
    empty = "[]" if isinstance(collection, SequenceNode) else "{}"
    begin = line_start(text, member.start)
    parent = site.around[-1] if site.around else None
    if isinstance(parent, MappingNode) and starts_line(text, member.start) and not (collection.anchor or collection.tag):
        key = next((k for k, v in parent.entries if v is collection), None)
        colon = skip(text, key.span.end, member.start) if key is not None else -1
        if colon >= 0 and text[colon] == ":":
            yield (site.edit(colon + 1, colon + 1, " " + empty), site.edit(begin, next_line(text, member.end)))
    yield (site.edit(member.start, member.end, empty),)


def _flow_removals(site: _Site, index: int) -> Iterator[Sequence[Edit]]:
    text, member, every = site.text, site.members[index], site.members
    comma = skip(text, member.end, len(text))
    behind = comma + 1 if text[comma : comma + 1] == "," else member.end
    is_last = index == len(every) - 1
    alone = starts_line(text, member.start) and ends_line(text, behind)
    if alone and not (is_last and behind == member.end and index):
        yield (site.edit(line_start(text, member.start), next_line(text, behind)),)
    elif alone:
        separator = skip(text, every[index - 1].end, member.start)
        if text[separator] == ",":
            lines = site.edit(line_start(text, member.start), next_line(text, member.end))
            yield (site.edit(separator, separator + 1), lines)
    if len(every) == 1:
        yield (site.edit(member.start, behind),)
    elif not is_last and (index == 0 or starts_line(text, member.start)):
        yield (site.edit(member.start, every[index + 1].start),)
    else:
        yield (site.edit(every[index - 1].end, member.end),)


# Inserting


def insert_item(document: Document, sequence: SequenceNode, index: int, value: str) -> Edits | None:
    if not 0 <= index <= len(sequence.items):
        raise IndexError(f"place {index} in a list of {len(sequence.items)}")
    site = _site(document, sequence)
    if site is None:
        return None
    # The nearest ones last: their style decides.
    neighbours = sequence.items[index : index + 1] + sequence.items[max(index - 1, 0) : index]
    written, plain = like_neighbours(value, neighbours, site.in_flow, json=is_json(site.path))
    at = _place_of(document, sequence, index)
    change = Change(at, at, [("scalar", value, plain, "", "")], _around(site, index))
    if sequence.flow:
        return first_proven(document, _flow_insertions(site, index, written), change)
    first = site.members[0]
    dash = site.text[first.start + 1 : sequence.items[0].span.start]
    spacing = dash if dash and not dash.strip(" ") else " "
    return first_proven(document, _block_insertions(site, index, ["-" + spacing + written]), change)


def insert_entry(document: Document, mapping: MappingNode, key: str, yaml_text: str, after: str | None) -> Edits | None:
    keys = [name for name, _ in mapping.entries]
    names = [_text(name) for name in keys]
    site = _site(document, mapping)
    entry = _entry(key, yaml_text.rstrip("\n"), keys)
    if site is None or entry is None or key in names:
        return None
    index = names.index(after) + 1 if after in names else len(names)
    at = _place_of(document, mapping, index)
    place = _around(site, index)
    change = Change(at, at, _signatures(entry.key, entry.value), place)
    if not mapping.flow:
        return first_proven(document, _block_insertions(site, index, _entry_lines(site, entry)), change)
    if "\n" not in entry.text and (isinstance(entry.value, ScalarNode) or entry.value.flow):  # type: ignore[attr-defined]
        written, plain = like_neighbours(key, keys, True, json=is_json(site.path), key=True)
        signatures: list[Signature] = [("scalar", key, plain, "", ""), *_signatures(entry.value)]
        text = f"{written}: {entry.text[entry.value.span.start : entry.value.span.end]}"
        if is_json(site.path) and isinstance(entry.value, ScalarNode) and not is_json_literal(entry.value.text):
            text = f"{written}: {quoted(entry.value.text, '')}"
            signatures[1:] = [("scalar", entry.value.text, False, "", "")]
        made = first_proven(document, _flow_insertions(site, index, text), Change(at, at, signatures, place))
        if made is not None:
            return made
    return first_proven(document, _opened(site, _entry_lines(site, entry)), change)


class _Entry(NamedTuple):
    """An entry to be inserted: its text as block YAML at indentation 0, and the nodes in that text."""

    text: str
    key: Node
    value: Node


def _entry(key: str, snippet: str, keys: Sequence[Node]) -> _Entry | None:
    """The entry ``key`` of a snippet that is its value or, already, the entry itself."""
    whole = _parsed(snippet)
    if not (isinstance(whole, MappingNode) and not whole.flow and [_text(name) for name, _ in whole.entries] == [key]):
        name, _ = like_neighbours(key, keys, False, json=False, key=True)
        if isinstance(whole, (MappingNode, SequenceNode)) and not whole.flow:
            snippet = "\n".join([f"{name}:", *("  " + line if line else "" for line in snippet.split("\n"))])
        else:
            first, *rest = snippet.split("\n")
            step = "" if isinstance(whole, ScalarNode) and whole.style in ("|", ">") else "  "
            snippet = "\n".join([f"{name}: {first}", *(step + line if line else "" for line in rest)])
        whole = _parsed(snippet)
    if not isinstance(whole, MappingNode) or whole.flow or len(whole.entries) != 1:
        return None
    name_node, value = whole.entries[0]
    return _Entry(snippet, name_node, value) if _text(name_node) == key else None


def _parsed(snippet: str) -> Node | None:
    from servelint.source.reader import read_text

    result = read_text(SourceText("", snippet + "\n"))  # a block scalar without a last line break is another one
    return result.documents[0].root if len(result.documents) == 1 and not result.errors else None


def _signatures(*nodes: Node) -> list[Signature]:
    return [token.signature for node in nodes for token in tokens(node)]


def _place_of(document: Document, collection: SequenceNode | MappingNode, index: int) -> int:
    """Where the tokens of a new member ``index`` go among the document's."""
    every = tokens(document.root)
    firsts: list[Node] = collection.items if isinstance(collection, SequenceNode) else [k for k, _ in collection.entries]
    if index < len(firsts):
        return next(i for i, token in enumerate(every) if token.node is firsts[index])
    return max(i for i, token in enumerate(every) if token.node is collection)


def _around(site: _Site, index: int) -> Span:
    """The place an insertion is about: within the collection, so that what is shared of it is noticed."""
    start = site.members[index - 1].end if index else site.collection.span.start
    return Span(start, start)


def _entry_lines(site: _Site, entry: _Entry) -> list[str]:
    """The lines of an entry, to be indented like its siblings; a list in its key's column where the file writes them so."""
    first, *rest = entry.text.split("\n")
    is_list = isinstance(entry.value, SequenceNode) and not entry.value.flow
    if is_list and _has_flush_lists(site) and all(line.startswith("  ") or not line for line in rest):
        rest = [line[2:] for line in rest]
    return [first, *rest]


def _has_flush_lists(site: _Site) -> bool:
    """Whether lists stand in their key's own column here, as kubectl writes them: by the first list of the collections around."""
    for mapping in (site.collection, *reversed(site.around)):
        if isinstance(mapping, MappingNode) and not mapping.flow:
            for key, value in mapping.entries:
                if isinstance(value, SequenceNode) and not value.flow:
                    begin, dash = key.span.start, value.span.start
                    return dash - line_start(site.text, dash) == begin - line_start(site.text, begin)
    return False


def _block_insertions(site: _Site, index: int, lines: list[str]) -> Iterator[Sequence[Edit]]:
    text, every = site.text, site.members
    first = every[0]
    indent = indentation(text, first.start)
    break_ = newline(text, first.start)
    block = [indent + line if line else "" for line in lines]
    if index == 0:
        if starts_line(text, first.start):
            at = line_start(text, first.start)
            yield (site.edit(at, at, break_.join(block) + break_),)
        else:
            yield (site.edit(first.start, first.start, break_.join(block)[len(indent) :] + break_ + indent),)
        return
    at = next_line(text, every[index - 1].end)
    if at == line_end(text, every[index - 1].end):  # the text ends without a line break
        yield (site.edit(at, at, break_ + break_.join(block)),)
        return
    yield (site.edit(at, at, break_.join(block) + break_),)
    if index < len(every):
        at = line_start(text, every[index].start)
        yield (site.edit(at, at, break_.join(block) + break_),)


def _flow_insertions(site: _Site, index: int, written: str) -> Iterator[Sequence[Edit]]:
    text, every = site.text, site.members
    if not every:
        inside = site.collection.span.start + 1, site.collection.span.end - 1
        if is_blank(text[inside[0] : inside[1]]):
            yield (site.edit(*inside, written),)
        return
    if index < len(every):
        member = every[index]
        if starts_line(text, member.start):
            at = line_start(text, member.start)
            yield (site.edit(at, at, text[at : member.start] + written + "," + newline(text, at)),)
        yield (site.edit(member.start, member.start, written + _separator(site)),)
        return
    last = every[-1]
    comma = skip(text, last.end, len(text))
    trailing = text[comma] == ","
    behind = comma + 1 if trailing else last.end
    if starts_line(text, last.start) and ends_line(text, behind):
        at = line_end(text, behind)
        line = newline(text, last.end) + indentation(text, last.start) + written
        if trailing:
            yield (site.edit(at, at, line + ","),)
        else:
            yield (site.edit(last.end, last.end, ","), site.edit(at, at, line))
    yield (site.edit(last.end, last.end, _separator(site) + written),)


def _separator(site: _Site) -> str:
    """What stands between the members of a flow collection, as far as it is a comma and blanks."""
    if len(site.members) > 1:
        between = site.text[site.members[0].end : site.members[1].start]
        if between.startswith(",") and is_blank(between[1:]):
            return between
    return ", "


def _opened(site: _Site, lines: list[str]) -> Iterator[Sequence[Edit]]:
    """An empty ``{}`` behind a key in block style becomes a block with the new entry below the key."""
    text, mapping = site.text, site.collection
    parent = site.around[-1] if site.around else None
    if site.members or not isinstance(parent, MappingNode) or parent.flow:
        return
    key = next((k for k, v in parent.entries if v is mapping), None)
    start, end = mapping.span
    if key is None or not ends_line(text, end):
        return
    begin = start
    while text[begin - 1] == " ":
        begin -= 1
    indent = indentation(text, key.span.start) + "  "
    break_ = newline(text, start)
    block = [indent + line if line else "" for line in lines]
    at = line_end(text, end)
    yield (site.edit(begin, end), site.edit(at, at, break_ + break_.join(block)))
