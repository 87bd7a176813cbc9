from __future__ import annotations

import pytest

from servelint.source.nodes import Document, MappingNode, ScalarNode
from servelint.source.reader import read_text
from servelint.source.text import SourceText

TEXT = "a: {b: [c, ~, {d: e}]}\nf:\ng: 'null'\nh: &h [1]\ni: *h\n"


def document() -> Document:
    return read_text(SourceText("f", TEXT)).documents[0]


@pytest.mark.parametrize(
    ("path", "text"),
    [(("a", "b", 0), "c"), (("a", "b", -1, "d"), "e"), (("g",), "null"), (("i", 0), "1"), (("a", "b", 3), None), (("a", "b", "c"), None),
     (("a", 0), None), (("x",), None), (("a", "b", 1), None), (("f",), None), (("f", "x"), None)],
)  # fmt: skip
def test_routes(path: tuple[str | int, ...], text: str | None) -> None:
    assert document().text_at(*path) == text


def test_elements_and_entries() -> None:
    here = document()
    assert [type(n).__name__ for n in here.elements_at("a", "b")] == ["ScalarNode", "ScalarNode", "MappingNode"]
    assert [(name, key.span.start) for name, key, _ in here.entries_at("a")] == [("b", 4)]
    assert here.elements_at("a") == []
    assert here.entries_at("g") == []


def test_an_empty_document_has_nothing() -> None:
    empty = read_text(SourceText("f", "---\n")).documents[0]
    assert empty.root is None
    assert empty.get("a") is None
    assert empty.elements_at() == []


def test_positions_count_code_points_and_only_real_line_breaks() -> None:
    source = SourceText("f", "a\U0001f600b\r\nc\x0b\x85\u2028d\re\nf")
    assert source.line_starts == [0, 5, 11, 13]
    assert [source.line(n) for n in range(1, 5)] == ["a\U0001f600b", "c\x0b\x85\u2028d", "e", "f"]
    assert source.position(2) == (1, 3)
    assert source.position(len(source.text)) == (4, 2)


def test_a_mapping_finds_its_own_entries_before_merged_ones() -> None:
    root = read_text(SourceText("f", "a: &a {x: 1, y: 1}\nb: {x: 2, <<: *a}\n")).documents[0].get("b")
    assert isinstance(root, MappingNode)
    assert [(name, value.text) for name, _, value in root.pairs() if isinstance(value, ScalarNode)] == [("x", "2"), ("y", "1")]
    assert root.entry("z") is None
