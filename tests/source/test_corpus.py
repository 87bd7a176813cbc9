"""Real manifests, where a collection of them lies beside the project; it is not part of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from servelint.source import discovery
from servelint.source.nodes import MappingNode, ScalarNode, walk
from servelint.source.offsets import offset_map
from servelint.source.pointers import node_at
from servelint.source.reader import decode, read_text
from servelint.source.text import SourceText
from servelint.source.treediff import differences

FOLDERS = [Path(__file__).parents[3] / "shared" / name for name in ("corpus", "corpus-other")]
FILES = [path for folder in FOLDERS for path in sorted(folder.rglob("*")) if path.suffix in discovery.EXTENSIONS]

pytestmark = pytest.mark.skipif(not FILES, reason="no ../shared/corpus beside the project: real manifests are not read")


def sources() -> list[SourceText]:
    found = [decode(str(path), path.read_bytes()) for path in FILES]
    assert all(isinstance(source, SourceText) for source in found)
    return [source for source in found if isinstance(source, SourceText)]


def test_every_file_is_read() -> None:
    for source in sources():
        result = read_text(source)
        assert not result.errors, source.path
        assert all("\n" not in comment.text for comment in result.comments)
        assert all(a.span.end <= b.span.start for a, b in zip(result.documents, result.documents[1:], strict=False))


def test_every_scalar_has_a_proven_map_and_every_value_a_pointer() -> None:
    for source in sources():
        result = read_text(source)
        twice = {duplicate.document.index for duplicate in result.duplicates}  # a pointer leads to the last of them
        for document in result.documents:
            for node in walk(document.root) if document.root is not None else ():
                if isinstance(node, ScalarNode):
                    proven = offset_map(node, source)
                    assert proven is not None, (source.path, source.position(node.span.start))
                    assert proven.length == len(node.text)
                if isinstance(node, MappingNode) and document.index not in twice:
                    for _, value in node.entries[:3]:
                        if value.span.start < value.span.end:
                            assert node_at(document, document.pointer(value.span)) is value


def test_a_document_does_not_differ_from_itself() -> None:
    for source in sources()[::10]:
        for one, other in zip(read_text(source).documents, read_text(source).documents, strict=True):
            assert differences(one, other) == []
