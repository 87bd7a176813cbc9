"""Hostile and odd input: one clear error each, or none, and never more than that."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

import pytest

from servelint.finding import ReadError
from servelint.source.nodes import AliasNode, ScalarNode, walk
from servelint.source.reader import ReadResult, decode, read_text
from servelint.source.text import SourceText

FOLDER = Path(__file__).parents[2] / "fixtures" / "hostile"

# name: (documents that can be read, (line, column, words) of each error)
EXPECTED: dict[str, tuple[list[int], list[tuple[int, int, str]]]] = {
    "alias-bomb.yaml": ([0], []),
    "anchors-and-merges.yaml": ([0], []),
    "astral.yaml": ([0], []),
    "binary.yaml": ([], [(3, 115, "0x80")]),
    "bom.yaml": ([0], []),
    "broken-in-the-middle.yaml": ([0, 2], [(30, 1, "never closed")]),
    "control-character.yaml": ([1], [(4, 12, "U+001B")]),
    "cr.yaml": ([0], []),
    "crlf.yaml": ([0], []),
    "duplicate-keys.yaml": ([0], []),
    "empty-documents.yaml": ([0, 1, 2, 3, 4], []),
    "empty.yaml": ([], []),
    "invalid-utf8.yaml": ([], [(4, 11, "0xE4")]),
    "merge-bomb.yaml": ([0], []),
    "nul.yaml": ([], [(6, 6, "NUL")]),
    "only-comments.yaml": ([], []),
    "recursive-alias.yaml": ([0], []),
    "scalar.yaml": ([0], []),
    "tabs.json": ([0], []),
    "tabs.yaml": ([], [(9, 1, "use spaces")]),
    "template.yaml": ([], [(1, 3, "render it first")]),
    "two-boms.yaml": ([0], []),
    "unclosed-everything.yaml": ([], [(2, 1, "never closed")]),
    "undefined-alias.yaml": ([0, 2], [(19, 9, "no anchor")]),
    "utf-16-without-bom.yaml": ([], [(1, 2, "NUL")]),
    "utf-16.yaml": ([0], []),
    "yaml-1.1-line-breaks.yaml": ([0], []),
}


def load(name: str) -> ReadResult:
    source = decode(name, (FOLDER / name).read_bytes())
    return ReadResult((), (), (source,)) if isinstance(source, ReadError) else read_text(source)


def test_every_file_of_the_folder_is_expected() -> None:
    assert sorted(path.name for path in FOLDER.iterdir() if path.name != ".gitattributes") == sorted(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_hostile_file_is_read_or_is_one_error(name: str) -> None:
    indices, errors = EXPECTED[name]
    result = load(name)
    assert [d.index for d in result.documents] == indices
    assert [(e.path, e.line, e.column) for e in result.errors] == [(name, line, column) for line, column, _ in errors]
    for error, (_, _, words) in zip(result.errors, errors, strict=True):
        assert words in error.message
        assert "\n" not in error.message


@pytest.mark.parametrize("name", [name for name, (indices, _) in EXPECTED.items() if indices])
def test_the_places_of_a_hostile_file_are_right(name: str) -> None:
    for document in load(name).documents:
        source = document.source
        for node in walk(document.root) if document.root is not None else ():
            piece = source.text[node.span.start : node.span.end]
            line, column = source.position(node.span.start)
            assert source.line(line)[column - 1 :].startswith(piece.splitlines()[0] if piece else "")
            if isinstance(node, ScalarNode) and node.style == "" and piece.isascii():
                assert piece == node.text


def test_the_last_of_duplicate_keys_counts() -> None:
    result = load("duplicate-keys.yaml")
    assert result.documents[0].text_at("spec", "containers", 0, "resources", "limits", "nvidia.com/gpu") == "4"
    assert [d.key.resolved.text for d in result.duplicates if isinstance(d.key.resolved, ScalarNode)] == ["resources"]


def test_aliases_are_not_expanded() -> None:
    root = load("alias-bomb.yaml").documents[0].root
    assert root is not None
    assert sum(1 for _ in walk(root)) < 200
    assert sum(isinstance(node, AliasNode) for node in walk(root)) == 80
    assert root.text_at("i", 0, 0, 0, 0, 0, 0, 0, 0, 0) == "vllm"


def test_anchors_and_merges_mean_what_they_say() -> None:
    (document,) = load("anchors-and-merges.yaml").documents
    assert [document.text_at("spec", "containers", i, "image") for i in range(3)] == ["vllm/vllm-openai:v0.11.0"] * 3
    assert document.text_at("spec", "containers", 1, "args", 0) == "--model=meta-llama/Llama-3.1-8B-Instruct"
    assert document.text_at("spec", "containers", 0, "name") == "first"


def test_merging_the_same_mapping_again_and_again_costs_nothing() -> None:
    (document,) = load("merge-bomb.yaml").documents
    begin = perf_counter()
    assert document.text_at("m11", "image") == "vllm/vllm-openai"
    assert perf_counter() - begin < 0.1


DEEP = {
    "flow lists": "[" * 100_000,
    "flow lists, a line each": "[\n" * 100_000,
    "flow mappings": "{a: " * 100_000,
    "block lists": "- " * 100_000,
    "block mappings": "".join(" " * i + "a:\n" for i in range(3000)),
    "complex keys": "? " * 100_000,
    "mixed": "[{a: " * 100_000,
    "closed": "[" * 100_000 + "]" * 100_000,
}


@pytest.mark.parametrize("kind", DEEP)
def test_deep_nesting_is_one_error_at_once(kind: str) -> None:
    begin = perf_counter()
    result = read_text(SourceText("f", "first: 1\n---\n" + DEEP[kind] + "\n---\nlast: 1\n"))
    assert perf_counter() - begin < 2
    assert [d.index for d in result.documents] == [0, 2]
    (error,) = result.errors
    assert "deep" in error.message


LONG = {
    "plain": "k: " + "vllm " * 400_000 + "\n",
    "double-quoted": 'k: "' + "a\\t" * 200_000 + '"\n',
    "single-quoted": "k: '" + "it''s\n " * 100_000 + "'\n",
    "literal": "k: |\n" + "  a line of text\n" * 100_000,
    "folded": "k: >\n" + "  a line of text\n" * 100_000,
    "comment": "# " + "x" * 5_000_000 + "\nk: v\n",
    "comments": "# x\n" * 100_000 + "k: v\n",
    "old line breaks": "# x\r" * 100_000 + "k: |\r" + "  x\r" * 100_000,
    "blank lines": "k: v\n" + "\n" * 5_000_000,
}


@pytest.mark.parametrize("kind", LONG)
def test_long_text_takes_time_in_proportion(kind: str) -> None:
    # Half a second or less where nothing else runs; what took time by the square of the length would take minutes.
    text = LONG[kind]
    source = SourceText("f", text)
    begin = perf_counter()
    result = read_text(source)
    node = result.documents[0].get("k")
    assert isinstance(node, ScalarNode)
    span = node.source_span(source, len(node.text) // 2, len(node.text) // 2 + 1)
    assert perf_counter() - begin < 5
    assert span is not None
    assert not result.errors


MANY = {
    "documents": ("---\na: 1\n" * 20_000, 20_000, 0),
    "empty documents": ("---\n" * 50_000, 50_000, 0),
    "broken documents": ("--- [\n" * 50_000, 0, 50),
    "bad characters": ("--- \x07\n" * 50_000, 0, 50),
    "aliases": ("a: &a 1\nb: [" + "*a, " * 50_000 + "]\n", 1, 0),
    "duplicates": ("a: 1\n" * 20_000, 1, 0),
    "template openings": ("a: '}}\n" + "{{ " * 60_000, 0, 1),
    "template openings, a line each": ("a: '}}\n" + "{{\n" * 60_000, 0, 1),
    "quotes": ("'" * 100_001, 0, 1),
}


@pytest.mark.parametrize("kind", MANY)
def test_many_of_anything_takes_time_in_proportion(kind: str) -> None:
    text, documents, errors = MANY[kind]
    begin = perf_counter()
    result = read_text(SourceText("f", text))
    assert perf_counter() - begin < 5
    assert (len(result.documents), len(result.errors)) == (documents, errors)
