"""YAML in strings: places in the file that holds it, and edits that go through the string."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from servelint.facts import Place
from servelint.source import edits
from servelint.source.embedded import EmbeddedDocument, read
from servelint.source.nodes import MappingNode, ScalarNode, walk
from servelint.source.reader import read_text
from servelint.source.text import SourceText

LITERAL = """\
apiVersion: v1
data:
  engine.yaml: |
    # settings
    tensor-parallel-size: 8   # all GPUs
    model: "org/name"
    nested: {dtype: fp8, list: [1, 2]}
  after: x
"""


def opened(text: str, *path: str) -> EmbeddedDocument:
    [document] = read_text(SourceText("m.yaml", text)).documents
    node = document.get(*path)
    assert isinstance(node, ScalarNode)
    content = read(document, node)
    assert content.root is not None, content.error
    return EmbeddedDocument(document, node, content)


def text_at(document: EmbeddedDocument, *path: str | int) -> str:
    node = document.get(*path)
    assert node is not None
    return document.source.text[node.span.start : node.span.end]


def changed(document: EmbeddedDocument, made: tuple[object, ...] | None) -> str:
    assert made is not None
    return edits.apply(document.source.text, made)  # type: ignore[arg-type]


def test_nodes_stand_where_they_stand_in_the_file() -> None:
    document = opened(LITERAL, "data", "engine.yaml")
    assert text_at(document, "tensor-parallel-size") == "8"
    assert text_at(document, "model") == '"org/name"'
    assert text_at(document, "nested", "list", 1) == "2"
    node = document.get("nested", "dtype")
    assert node is not None
    place = Place.of(document, node)
    assert place.document is document.physical
    assert document.source.position(place.span.start) == (7, 21)
    assert document.pointer(place.span) == "/data/engine.yaml"


@pytest.mark.parametrize(
    "holder",
    [
        "data:\n  e: |\n    tp: 8\n    pp: 2\n",
        "data:\n  e: |-\n      tp: 8\n      pp: 2\n",
        'data:\n  e: "tp: 8\\npp: 2\\n"\n',
        "data: {e: 'tp: 8\n\n  pp: 2'}\n",
        '{"data": {"e": "{\\"tp\\": 8, \\"pp\\": 2}"}}\n',
    ],
)
def test_every_style_of_string_is_read_and_written(holder: str) -> None:
    document = opened(holder, "data", "e")
    node = document.get("tp")
    assert isinstance(node, ScalarNode)
    assert text_at(document, "tp") == "8"
    after = changed(document, edits.set_scalar(document, node, "4"))
    assert after == holder.replace("8", "4")
    assert opened(after, "data", "e").text_at("tp") == "4"


def test_an_entry_is_added_and_removed_inside_the_string() -> None:
    document = opened(LITERAL, "data", "engine.yaml")
    root = document.root
    assert isinstance(root, MappingNode)
    added = changed(document, edits.insert_entry(document, root, "max-model-len", "4096", "model"))
    assert added == LITERAL.replace('"org/name"\n', '"org/name"\n    max-model-len: 4096\n')
    removed = changed(document, edits.remove_entry(document, root, "tensor-parallel-size"))
    assert removed == LITERAL.replace("    tensor-parallel-size: 8   # all GPUs\n", "")


def test_what_cannot_be_proven_is_not_edited() -> None:
    # In a folded string a line feed of the value is a blank line of the source, which an inner plain value may not hold.
    document = opened("data:\n  e: >\n    {tp: 8,\n    pp: 2}\n", "data", "e")
    node = document.get("pp")
    assert isinstance(node, ScalarNode)
    made = edits.set_scalar(document, node, "4")
    assert made is None or opened(edits.apply(document.source.text, made), "data", "e").text_at("pp") == "4"


def test_a_part_of_a_string_is_a_document() -> None:
    text = "run: |\n  cat > c.yaml <<EOF\n  tp: 8\n  EOF\n  vllm serve\n"
    [outer] = read_text(SourceText("m.yaml", text)).documents
    node = outer.get("run")
    assert isinstance(node, ScalarNode)
    start = node.text.index("tp:")
    end = node.text.index("EOF\nvllm")
    content = read(outer, node, start, end)
    document = EmbeddedDocument(outer, node, content, start, end)
    value = document.get("tp")
    assert isinstance(value, ScalarNode)
    assert text_at(document, "tp") == "8"
    assert changed(document, edits.set_scalar(document, value, "16")) == text.replace("8", "16")


def test_broken_and_empty_texts_are_said_to_be() -> None:
    [document] = read_text(SourceText("m.yaml", "a: '{x: ['\nb: ''\n")).documents
    broken, empty = document.get("a"), document.root.get("b") if document.root else None
    assert isinstance(broken, ScalarNode)
    assert isinstance(empty, ScalarNode)
    assert read(document, broken).root is None
    assert read(document, broken).error
    assert read(document, empty).error == ""


KEYS = st.text("abcdefgh-_", min_size=1, max_size=8).filter(lambda key: key[0].isalpha())
VALUES = st.one_of(st.integers(0, 10**6).map(str), st.sampled_from(["true", "org/name", '"quoted text"', "[1, 2]", "{a: b}"]))


@given(st.dictionaries(KEYS, VALUES, min_size=1, max_size=6), st.integers(1, 9), st.sampled_from(["|", "|-", "|+"]))
def test_spans_in_a_literal_block_are_those_of_the_text(entries: dict[str, str], indent: int, style: str) -> None:
    lines = "".join(f"{' ' * indent}{key}: {value}\n" for key, value in entries.items())
    document = opened(f"e: {style}\n{lines}", "e")
    for key, value in entries.items():
        assert text_at(document, key) == value
    assert document.root is not None
    assert all(0 <= node.span.start <= node.span.end <= len(document.source.text) for node in walk(document.root))
