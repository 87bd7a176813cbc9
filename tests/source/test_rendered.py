"""The parts of a rendered chart: each under its template's path, every place where it is in the whole."""

from __future__ import annotations

from servelint.source.reader import read_text
from servelint.source.rendered import parts
from servelint.source.text import SourceText

TEXT = (
    "kind: First\n---\n# Source: chart/a.yaml\nkind: A\nscript: |\n  one\n  two\n---\n# Source: chart/b.yaml\nkind: B\n"
    "---\n# Source: chart/a.yaml\nkind: C\n"
)


def test_each_path_has_its_documents_at_their_places() -> None:
    found = parts(SourceText("<stdin>", TEXT))
    assert [part.path for part in found] == ["<stdin>", "chart/a.yaml", "chart/b.yaml"]
    kinds = {}
    for part in found:
        assert len(part.text) == len(TEXT)
        for document in read_text(part).documents:
            node = document.get("kind")
            if node is not None:
                kinds[part.path, document.text_at("kind")] = TEXT[node.span[0] : node.span[1]]
                assert part.position(node.span[0]) == SourceText("", TEXT).position(node.span[0])
    assert kinds == {
        ("<stdin>", "First"): "First",
        ("chart/a.yaml", "A"): "A",
        ("chart/b.yaml", "B"): "B",
        ("chart/a.yaml", "C"): "C",
    }


def test_a_block_at_the_end_of_a_part_keeps_its_text() -> None:
    part = parts(SourceText("<stdin>", TEXT))[1]
    [script] = [text for d in read_text(part).documents if (text := d.text_at("script"))]
    assert script == "one\ntwo\n"


def test_text_without_sources_stays_whole() -> None:
    source = SourceText("<stdin>", "kind: A\n---\nkind: B\n")
    assert parts(source) == [source]
