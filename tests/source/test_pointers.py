from __future__ import annotations

import pytest

from servelint.source.nodes import AliasNode, Document, walk
from servelint.source.pointers import node_at, pointer_of
from servelint.source.reader import read_text
from servelint.source.text import SourceText, Span

TEXT = """\
a/b: &x
  - m~n: 1  # one
    o: [p, {q: r}]
  - null
c: *x
d: {<<: &y {e: f}, g: }
? [h]
: i
"""


def document(text: str = TEXT) -> Document:
    return read_text(SourceText("f", text)).documents[0]


def at(text: str, occurrence: int = 0) -> str:
    start = -1
    for _ in range(occurrence + 1):
        start = TEXT.index(text, start + 1)
    return pointer_of(document(), Span(start, start + len(text)))


@pytest.mark.parametrize(
    ("text", "pointer"),
    [
        ("a/b", "/a~1b"),
        ("m~n", "/a~1b/0/m~0n"),
        ("1", "/a~1b/0/m~0n"),
        ("m~n: 1", "/a~1b/0/m~0n"),
        ("o: [p", "/a~1b/0/o"),
        ("p", "/a~1b/0/o/0"),
        ("{q: r}", "/a~1b/0/o/1"),
        ("r", "/a~1b/0/o/1/q"),
        ("p, {q: r}", "/a~1b/0/o"),
        ("null", "/a~1b/1"),
        ("*x", "/c"),
        ("f", "/d/<</e"),
        ("i", "/[h]"),
        ("m~n: 1  # one\n    o", "/a~1b/0"),
        ("d: {<<: &y {e: f}, g: }\n?", ""),
        (TEXT, ""),
        ("", ""),
    ],
)
def test_the_smallest_node_that_covers_a_span(text: str, pointer: str) -> None:
    assert at(text) == (pointer if text else "/a~1b")


def test_every_value_has_a_pointer_that_leads_back_to_it() -> None:
    here = document("a: 1\nb: [c, [d, {e: f, g: }], {}]\nh:\n  - - i\n    - j: |\n        k\n  - l\n'': m\n")
    assert here.root is not None
    pointers = {}
    for node in walk(here.root):
        pointer = here.pointer(node.span)
        found = node_at(here, pointer)
        assert found is not None
        assert found.span.end >= node.span.end
        pointers[pointer] = found
    assert list(pointers) == ["", "/a", "/b", "/b/0", "/b/1", "/b/1/0", "/b/1/1", "/b/1/1/e", "/b/1/1/g", "/b/2", "/h", "/h/0",
                              "/h/0/0", "/h/0/1", "/h/0/1/j", "/h/1", "/"]  # fmt: skip


def test_a_pointer_follows_aliases_and_merges() -> None:
    here = document()
    assert isinstance(node_at(here, "/c"), AliasNode)
    assert node_at(here, "/c/0/o/0") is node_at(here, "/a~1b/0/o/0") is not None
    assert node_at(here, "/d/e") is node_at(here, "/d/<</e") is not None


@pytest.mark.parametrize("pointer", ["/x", "/a~1b/2", "/a~1b/-1", "/a~1b/x", "/a~1b/0/m~0n/z", "/a~1b/²", "/a~1b/" + "9" * 5000])
def test_a_pointer_that_leads_nowhere(pointer: str) -> None:
    assert node_at(document(), pointer) is None


def test_what_is_no_pointer_is_refused() -> None:
    with pytest.raises(ValueError, match="no JSON pointer"):
        node_at(document(), "a/b")


def test_an_empty_document_has_only_its_root() -> None:
    empty = document("---\n")
    assert pointer_of(empty, Span(0, 3)) == ""
    assert node_at(empty, "/a") is None
