from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from servelint.finding import Edit
from servelint.source.edits import apply
from servelint.source.reader import read_text
from servelint.source.text import SourceText
from servelint.source.treediff import differences, equal_outside

if TYPE_CHECKING:
    from servelint.source.nodes import Document


def document(text: str) -> Document:
    return read_text(SourceText("f", text)).documents[0]


@pytest.mark.parametrize(
    ("before", "after", "pointers"),
    [
        ("a: 1 # c\nb: 2\n", "{b: 2, a: 1}", []),
        ("a: 'x'\n", "a: |-\n  x\n", []),
        ("a: x\n", "a: 'x'\n", ["/a"]),
        ("a: 8\n", 'a: "8"\n', ["/a"]),
        ("a: 8\n", "a: !!str 8\n", ["/a"]),
        ("a: 1\nb: 2\n", "a: 1\nc: 2\n", ["/b", "/c"]),
        ("a: [1, 2, 3]\n", "a: [1, 3]\n", ["/a/1"]),
        ("a: [1, 3]\n", "a: [1, 2, 3]\n", ["/a/1"]),
        ("a: [1, 2, 3, 4]\n", "a: [1, 9, 3, 4, 5]\n", ["/a/1", "/a/4"]),
        ("a: [{x: 1, y: 1}, {x: 2}]\n", "a: [{x: 0}, {x: 1, y: 2}, {x: 2}]\n", ["/a/0/x", "/a/0/y", "/a/1"]),
        ("a: [x, x, x]\n", "a: [x, x]\n", ["/a/2"]),
        ("a: {b/c: {d~e: 1}}\n", "a: {b/c: {d~e: 2}}\n", ["/a/b~1c/d~0e"]),
        ("a: [1]\n", "a: {b: 1}\n", ["/a"]),
        ("a: &x [1]\nb: *x\n", "a: &x [2]\nb: *x\n", ["/a/0", "/b"]),
        ("a: &x [1]\nb: *x\n", "a: [1]\nb: [1]\n", []),
        ("a: &x {k: 1}\nb: {<<: *x}\n", "a: &x {k: 2}\nb: {<<: *x}\n", ["/a/k", "/b/<<"]),
        ("&x [*x, 1]\n", "&x [*x, 2]\n", ["/1"]),
        ("a: 1\na: 2\n", "a: 1\na: 3\n", ["/a"]),
        ("---\n", "---\n", []),
        ("---\n", "a", [""]),
        ("a", "---\n", [""]),
        ("? [k]\n: 1\n", "? [k]\n: 2\n", ["/[k]"]),
    ],
)
def test_differences(before: str, after: str, pointers: list[str]) -> None:
    assert differences(document(before), document(after)) == pointers


def test_long_lists_are_compared_in_time() -> None:
    before, after = ("\n".join(f"- {(i * step) % 5000}" for i in range(5000)) for step in (7, 11))
    assert len(differences(document(before), document(after))) > 4000


TEXT = "a: 1 # one\nb: [x, y]\nc: &c |\n  one\n  two\nd: *c\ne:\n"


def check(text: str, *made: tuple[str, str, str]) -> bool:
    """Whether replacing (context, old, new) changes nothing else; ``old`` is the end of ``context``."""
    found = []
    for context, old, new in made:
        end = text.index(context) + len(context)
        found.append(Edit("f", end - len(old), end, new))
    return equal_outside(SourceText("f", text), SourceText("f", apply(text, found)), found)


@pytest.mark.parametrize(
    ("made", "equal"),
    [
        ([("a: 1", "1", "2")], True),
        ([("a: 1", "1", "2"), ("[x, ", "x, ", "")], True),
        ([("a: 1", "", "0")], True),
        ([("a: 1", "1", "2\nz: 3")], True),  # new nodes may come within an edit
        ([("e:", "", " 5")], True),
        ([("b: [x, y]\n", "b: [x, y]\n", "")], True),
        ([("a: 1", "a: 1", "a: {")], False),  # no longer YAML
        ([("a: 1", "1", "'")], False),
        ([("b: [x, y]", "]", "")], False),
        ([("a: 1 # one\n", "# one\n", "")], False),  # the next line joins this one
        ([("a: 1 ", " ", "\n")], True),
        ([("  one", "one", "uno")], False),  # an alias elsewhere stands for it
        ([("c: &c", "&c", "&b")], False),
        ([("d: *c", "*c", "1")], True),
        ([("e:\n", "", "---\n")], False),
    ],
)
def test_equal_outside(made: list[tuple[str, str, str]], equal: bool) -> None:
    assert check(TEXT, *made) is equal


def test_a_scalar_must_not_swallow_what_stands_beside_an_edit() -> None:
    assert not check("a: b\n# c\n  d: e\n".replace("# c", "x:"), ("x:\n", "\nx:\n", "\n"))
    assert check("k: |\n  a\n  b\n  c\n", ("  b\n", "  b\n", ""))
    assert not check("k: |\n  a\nj: b\n", ("  a\n", "\n", "\n  "))


def test_comments_outside_must_stay() -> None:
    assert check("a: 1 # one\n# two\n", ("a: 1 # one\n", "a: 1 # one\n", "b: 2\n"))
    assert not check("a: 1 # one\n", ("a: 1 ", " ", " x"))


def test_other_documents_and_errors_must_stay() -> None:
    assert check("a: 1\n---\nb: [\n---\nc: 2\n", ("c: 2", "2", "3"))
    assert not check("a: 1\n---\nb: 2\n", ("b: 2", "2", "["))
    assert not check("a: 1\n---\nb: 2\n", ("---\n", "---\n", ""))
