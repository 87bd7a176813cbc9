from __future__ import annotations

import pytest

from servelint.source.nodes import ScalarNode
from servelint.source.reader import read_text
from servelint.source.text import SourceText


def scalar(text: str) -> tuple[SourceText, ScalarNode]:
    """The value of the key ``k``."""
    source = SourceText("f", text)
    result = read_text(source)
    assert not result.errors
    node = result.documents[0].get("k")
    assert isinstance(node, ScalarNode)
    return source, node


def piece(text: str, value: str) -> str | None:
    """What stands in the source for the first occurrence of ``value`` in the value of ``k``."""
    source, node = scalar(text)
    start = node.text.index(value)
    span = node.source_span(source, start, start + len(value))
    return None if span is None else source.text[span.start : span.end]


@pytest.mark.parametrize(
    ("text", "value", "written"),
    [
        ("k: a --b=1 c", "--b=1", "--b=1"),
        ("k: a\n  --b=1\n  c", "--b=1", "--b=1"),
        ("k: a\n  --b\n  1 c", "--b 1", "--b\n  1"),
        ("k: 'a ''--b'' c'", "'--b'", "''--b''"),
        ("k: 'a\n\n  b'", "a\nb", "a\n\n  b"),
        ('k: "a\\t--b\\u00e4\\x41 c"', "--b\u00e4A", "--b\\u00e4\\x41"),
        ('k: "a \\\n   b\n  c"', "a b c", "a \\\n   b\n  c"),
        ('k: "a \\\n   b\n  c"', "b c", "b\n  c"),
        ('k: "a\\ \n  b"', "  b", "\\ \n  b"),
        ("k: |\n  a\n    --b=1 \\\n  c\n", "--b=1", "--b=1"),
        ("k: |\n  a\n    --b=1 \\\n  c\n", "  --b=1 \\\nc", "  --b=1 \\\n  c"),
        ("k: |+  # why\n\n\n  a\n  b\n\n", "b", "b"),
        ("k: |2-\n    a\n   b\n", "  a\n b", "  a\n   b"),
        ("x:\n  k: |1\n     a\nk: |\n  b", "b", "b"),
        ("k: >-\n  a\n  --b\n  1\n\n  c\n", "--b 1", "--b\n  1"),
        ("k: >-\n  a\n  --b\n  1\n\n  c\n", "1\nc", "1\n\n  c"),
        ("k: >\n  a\n\n    more\n    indented\n\n  b\n", "  more\n  indented\n\n", "  more\n    indented\n\n  "),
        ("k: >\r\n  a\r\n  --b\r\n", "a --b", "a\r\n  --b"),
        ("k: |\r\n  a\r\n  --b\r\n", "a\n--b\n", "a\r\n  --b\r\n"),
        ("k: &x !!str |\n  a\n  --b", "--b", "--b"),
        ("- k: [\"a\", 'b']\nk: 1".replace("- k", "j"), "1", "1"),
    ],
)
def test_a_part_of_a_value_has_its_own_span(text: str, value: str, written: str) -> None:
    assert piece(text, value) == written


def test_an_empty_stretch_stands_before_the_character_it_precedes() -> None:
    source, node = scalar('k: "a\\tb"\n')
    assert [node.source_span(source, i, i) for i in range(4)] == [(4, 4), (5, 5), (7, 7), (8, 8)]
    for text, at in (("k: ''", 4), ('k: ""', 4), ("k: |\n", 4), ("k: >-\nj: 1", 5)):
        source, node = scalar(text)
        assert node.source_span(source, 0, 0) == (at, at), text


def test_a_part_outside_of_the_value_is_refused() -> None:
    source, node = scalar("k: abc")
    for start, end in ((-1, 1), (2, 1), (0, 4)):
        with pytest.raises(ValueError, match="does not lie within"):
            node.source_span(source, start, end)


@pytest.mark.parametrize("text", ["k: 'a\x85  b'", "k: |\n  a\u2028  b\n  c\x85\n"])
def test_what_cannot_be_proven_has_no_map(text: str) -> None:
    source, node = scalar(text)
    assert node.source_span(source, 0, 1) is None


def test_a_value_that_is_not_what_the_source_says_has_no_map() -> None:
    source, node = scalar("k: abc")
    node.text = "abd"
    assert node.source_span(source, 0, 1) is None
