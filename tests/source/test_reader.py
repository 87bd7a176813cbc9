from __future__ import annotations

import pytest
import yaml

from servelint.source import reader, recovery
from servelint.source.nodes import AliasNode, MappingNode, Node, ScalarNode, SequenceNode, walk
from servelint.source.reader import ReadResult, read_text
from servelint.source.text import SourceText


@pytest.fixture(params=["CSafeLoader", "SafeLoader"], autouse=True)
def _loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything here holds with libyaml and with PyYAML's own parser."""
    if not hasattr(yaml, request.param):
        pytest.skip("PyYAML was built without libyaml")
    monkeypatch.setattr(reader, "Loader", getattr(yaml, request.param))
    monkeypatch.setattr(recovery, "Loader", getattr(yaml, request.param))


def read(text: str) -> ReadResult:
    return read_text(SourceText("f.yaml", text))


def root(text: str) -> Node:
    result = read(text)
    assert not result.errors
    node = result.documents[0].root
    assert node is not None
    return node


def pieces(text: str) -> list[str]:
    """The source of every node of the first document, in order."""
    return [text[node.span.start : node.span.end] for node in walk(root(text))]


def scalars(text: str) -> dict[str, str]:
    """Value → source of every scalar."""
    return {n.text: text[n.span.start : n.span.end] for n in walk(root(text)) if isinstance(n, ScalarNode)}


def test_a_span_ends_at_the_last_character_of_content() -> None:
    text = "a:\n  - 1  # one\n  - 2\n\n# between\nb: {x: [y, z]}  # flow\n# end\n"
    assert pieces(text) == [
        "a:\n  - 1  # one\n  - 2\n\n# between\nb: {x: [y, z]}",
        "a", "- 1  # one\n  - 2", "1", "2", "b", "{x: [y, z]}", "x", "[y, z]", "y", "z",
    ]  # fmt: skip


def test_a_block_scalar_ends_with_its_last_content_line() -> None:
    text = "a: |\n  one\n\n  # no comment\n\n# comment\nb: >+  # header\n  two  \n\nc: |-\nd: 1\n"
    assert scalars(text) == {
        "a": "a", "b": "b", "c": "c", "d": "d", "1": "1",
        "one\n\n# no comment\n": "|\n  one\n\n  # no comment",
        "two  \n\n": ">+  # header\n  two  ",
        "": "|-",
    }  # fmt: skip
    assert [c.text for c in read(text).comments] == [" comment", " header"]


def test_anchors_and_tags_are_not_part_of_a_span() -> None:
    text = (
        "a: &x !!str b\nc: !<tag:yaml.org,2002:int> &y 8\nd: &m # why\n  e: f\ng: !local\n  - &k h\ni: ! j\nl: [&q m, !!str n]\n"
    )
    found = {text[n.span.start : n.span.end]: (n.anchor, n.tag) for n in walk(root(text)) if n.anchor or n.tag}
    assert found == {
        "b": ("x", "!!str"), "8": ("y", "!!int"), "e: f": ("m", ""), "- &k h": ("", "!local"), "h": ("k", ""),
        "j": ("", "!"), "m": ("q", ""), "n": ("", "!!str"),
    }  # fmt: skip


def test_nothing_stands_behind_its_indicator() -> None:
    text = "a:\nb:  # nothing\nc:\n  -\n  - &n\n  - x\nd: {e: , f}\n? g\n# end\n"
    nothing = [n.span for n in walk(root(text)) if isinstance(n, ScalarNode) and not n.text]
    assert [text[: s.start].splitlines()[-1] for s in nothing] == ["a:", "b:", "  -", "  - &n", "d: {e:", "d: {e: , f", "? g"]
    assert all(s.start == s.end for s in nothing)


def test_an_alias_keeps_its_own_span_and_knows_its_target() -> None:
    text = "a: &x [1]\nb: *x\nc: &x 2\nd: [*x]\n"
    aliases = [n for n in walk(root(text)) if isinstance(n, AliasNode)]
    assert [text[n.span.start : n.span.end] for n in aliases] == ["*x", "*x"]
    assert isinstance(aliases[0].resolved, SequenceNode)
    assert isinstance(aliases[1].resolved, ScalarNode)


def test_an_alias_may_stand_for_what_it_is_in() -> None:
    node = root("&x [*x]")
    assert isinstance(node, SequenceNode)
    assert node.items[0].resolved is node
    assert node.get(0, 0, 0) is node


def test_merge_keys() -> None:
    node = root("b: &b {x: 1, y: 1}\nc: &c {y: 2, z: 2}\nd:\n  <<: [*b, *c]\n  x: 0\n  v: {<<: *c}\n")
    assert [node.text_at("d", key) for key in "xyz"] == ["0", "1", "2"]
    assert node.text_at("d", "v", "z") == "2"


def test_merged_mappings_come_depth_first_each_once() -> None:
    text = "e: &e {k: e, m: e}\nc: &c {k: c, l: c}\nb: &b {<<: [*c, *e]}\na: {<<: [*b, *c]}\n"
    node = root(text)
    assert [node.text_at("a", key) for key in "klm"] == ["c", "c", "e"]


def test_merges_in_a_circle_and_in_a_long_chain_end() -> None:
    assert root("a: &a {<<: *a, x: 1}").text_at("a", "x") == "1"
    chain = "m0: &m0 {deep: 1}\n" + "".join(f"m{i}: &m{i} {{<<: *m{i - 1}, k{i}: 1}}\n" for i in range(1, 3000))
    assert root(chain).text_at("m2999", "deep") == "1"


def test_line_breaks_of_yaml_1_1_do_not_shift_offsets() -> None:
    text = "a: \U0001f600x\r\nb: y\x85c: z\u2028 w\r\nd: v\rf: g\n"
    assert scalars(text) == {"a": "a", "\U0001f600x": "\U0001f600x", "b": "b", "y": "y", "c": "c", "z\u2028w": "z\u2028 w", "d": "d",
                             "v": "v", "f": "f", "g": "g"}  # fmt: skip
    source = SourceText("f", text)
    assert [source.position(text.index(name)) for name in ("c:", "d:", "f:")] == [(2, 6), (3, 1), (4, 1)]


def test_a_second_byte_order_mark_is_skipped() -> None:
    text = "\ufeffa: b\n"
    assert pieces(text) == ["a: b", "a", "b"]


def test_json_indented_with_tabs() -> None:
    text = '{\n\t"a":1,\n\t"b": [\n\t\t"x\\ty",\n\t\tnull\n\t]\n}\n'
    assert pieces(text)[1:] == ['"a"', "1", '"b"', '[\n\t\t"x\\ty",\n\t\tnull\n\t]', '"x\\ty"', "null"]


def test_documents_tile_the_text_with_their_comments() -> None:
    text = "# head\n---\na: 1\n# tail\n---\n---\n# only\n--- b\n...\n# last\n"
    result = read(text)
    assert [text[d.span.start : d.span.end] for d in result.documents] == ["# head\n---\na: 1\n# tail\n", "---\n", "---\n# only\n",
                                                                            "--- b\n...\n# last\n"]  # fmt: skip
    assert [d.index for d in result.documents] == [0, 1, 2, 3]
    assert [d.root is None for d in result.documents] == [False, True, True, False]
    assert [c.text for c in result.comments] == [" head", " tail", " only", " last"]


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n", "   "])
def test_a_text_without_documents(text: str) -> None:
    result = read(text)
    assert result.documents == ()
    assert result.errors == ()


def test_comments_are_found_outside_of_scalars_only() -> None:
    text = (
        "%YAML 1.1\n# a\n---\nk: v#w  # b\nq: 'x # y'  # c\nd: \"x # y\n  # z\"\np: one # d\nl: |  # e\n  # content\n"
        "f: [1, # g\n  '#', 2] # h\n&a m: n # i\n#j"
    )
    result = read(text)
    assert not result.errors
    assert [(c.text.strip(), c.own_line) for c in result.comments] == [
        ("a", True), ("b", False), ("c", False), ("d", False), ("e", False), ("g", False), ("h", False), ("i", False), ("j", True),
    ]  # fmt: skip
    assert all(text[c.span.start : c.span.end] == "#" + c.text for c in result.comments)


def test_duplicate_keys_are_legal_recorded_and_the_last_wins() -> None:
    text = "a: 1\nb: {x: 1, 'x': 2}\na: 2\n? [c]\n: 1\n<<: {}\n<<: {}\n"
    result = read(text)
    assert not result.errors
    assert [(text[d.key.span.start : d.key.span.end], d.first.span.start < d.key.span.start) for d in result.duplicates] == [
        ("'x'", True),
        ("a", True),
    ]
    assert result.documents[0].text_at("a") == "2"
    assert result.duplicates[0].document is result.documents[0]


def test_a_key_that_is_an_alias_doubles_what_it_stands_for() -> None:
    text = "name: &key image\n*key : a\nimage: b\nother: {<<: *key, <<: *key}\n"
    assert [text[d.key.span.start : d.key.span.end] for d in read_text(SourceText("x.yaml", text)).duplicates] == ["image"]


def test_collections_may_be_keys() -> None:
    node = root("? {a: b}\n: - c\n? [d]\n: e\n")
    assert isinstance(node, MappingNode)
    assert [type(key) for key, _ in node.entries] == [MappingNode, SequenceNode]
    assert node.pairs() == []


def test_a_pair_in_a_list_is_a_mapping_without_braces() -> None:
    text = "[a: b, ? c : d, {e: f} , g]"
    node = root(text)
    assert isinstance(node, SequenceNode)
    assert [text[i.span.start : i.span.end] for i in node.items] == ["a: b", "? c : d", "{e: f}", "g"]


def test_depth_is_capped_at_the_documented_number() -> None:
    deepest = reader.DEEPEST_NESTING
    assert not read("[" * deepest + "]" * deepest).errors
    result = read("a: 1\n---\n" + "[" * (deepest + 1) + "]" * (deepest + 1) + "\n---\nb: 2\n")
    assert [(e.line, e.column) for e in result.errors] == [(3, deepest + 1)]
    assert "200 deep" in result.errors[0].message
    assert [d.index for d in result.documents] == [0, 2]
