from __future__ import annotations

import pytest

from servelint.finding import Edit
from servelint.source import edits
from servelint.source.nodes import Document, MappingNode, ScalarNode, SequenceNode
from servelint.source.pointers import node_at
from servelint.source.reader import read_text
from servelint.source.text import SourceText
from servelint.source.treediff import equal_outside

POD = """\
spec:  # spec
  replicas: 2 # two
  containers:
  - name: a  # the name
    # above image
    image: "x:1"
    args:
    - --tp=2  # tp
    # about pp
    - --pp=2
  - name: b
    resources: {}   # none
    limits: {cpu: 1, "mem": 2}
    empty:
"""
JSON = '{\n\t"a": [\n\t\t"x",\n\t\t"y"\n\t],\n\t"b": {"c": 1, "d": [1,2]}, "e": []\n}\n'


class Case:
    """A text, and what an edit of one of its nodes makes of it (None: no edit can be proven)."""

    def __init__(self, text: str, document: int = 0, path: str = "f") -> None:
        self.text = text
        self.source = SourceText(path, text)
        self.document: Document = next(d for d in read_text(self.source).documents if d.index == document)

    def _made(self, made: tuple[Edit, ...] | None) -> str | None:
        if made is None:
            return None
        after = edits.apply(self.text, made)
        assert equal_outside(self.source, SourceText(self.source.path, after), made)
        return after

    def _scalar(self, pointer: str) -> ScalarNode:
        node = node_at(self.document, pointer)
        assert isinstance(node, ScalarNode)
        return node

    def _sequence(self, pointer: str) -> SequenceNode:
        node = node_at(self.document, pointer)
        assert isinstance(node, SequenceNode)
        return node

    def _mapping(self, pointer: str) -> MappingNode:
        node = node_at(self.document, pointer)
        assert isinstance(node, MappingNode)
        return node

    def set(self, pointer: str, value: str) -> str | None:
        return self._made(edits.set_scalar(self.document, self._scalar(pointer), value))

    def part(self, pointer: str, old: str, new: str) -> str | None:
        node = self._scalar(pointer)
        start = node.text.index(old)
        return self._made(edits.replace_value_text(self.document, node, start, start + len(old), new))

    def remove(self, pointer: str, which: int | str) -> str | None:
        if isinstance(which, int):
            return self._made(edits.remove_item(self.document, self._sequence(pointer), which))
        return self._made(edits.remove_entry(self.document, self._mapping(pointer), which))

    def insert(self, pointer: str, index: int, value: str) -> str | None:
        return self._made(edits.insert_item(self.document, self._sequence(pointer), index, value))

    def add(self, pointer: str, key: str, yaml_text: str, after: str | None = None) -> str | None:
        return self._made(edits.insert_entry(self.document, self._mapping(pointer), key, yaml_text, after))


def replaced(text: str, *pairs: str) -> str:
    for old, new in zip(pairs[::2], pairs[1::2], strict=True):
        assert text.count(old) == 1
        text = text.replace(old, new)
    return text


# Applying


def test_apply_sorts_and_keeps_the_order_of_insertions_at_one_place() -> None:
    made = [Edit("f", 3, 4, "D"), Edit("f", 1, 1, "x"), Edit("f", 1, 1, "y"), Edit("f", 1, 2, "B")]
    assert edits.apply("abcdef", made) == "axyBcDef"


@pytest.mark.parametrize(
    "made",
    [[Edit("f", 0, 2, ""), Edit("f", 1, 3, "")], [Edit("f", 1, 3, ""), Edit("f", 2, 2, "x")], [Edit("f", 2, 7, "")],
     [Edit("f", -1, 1, "")], [Edit("f", 2, 1, "")]],
)  # fmt: skip
def test_apply_refuses_what_overlaps_or_lies_outside(made: list[Edit]) -> None:
    with pytest.raises(ValueError, match="overlaps"):
        edits.apply("abcdef", made)


# Scalars


@pytest.mark.parametrize(
    ("pointer", "value", "old", "new"),
    [
        ("/spec/replicas", "1", "2 # two", "1 # two"),
        ("/spec/replicas", "auto", "2 # two", "auto # two"),
        ("/spec/replicas", "a: b", "2 # two", '"a: b" # two'),
        ("/spec/containers/0/image", 'y"\\2', '"x:1"', '"y\\"\\\\2"'),
        ("/spec/containers/0/args/0", "--tp=4", "--tp=2", "--tp=4"),
        ("/spec/containers/0/args/0", "8", "--tp=2", '"8"'),
        ("/spec/containers/0/args/0", "yes", "--tp=2", '"yes"'),
        ("/spec/containers/0/args/0", "- x", "--tp=2", '"- x"'),
        ("/spec/containers/0/args/0", "", "--tp=2", '""'),
        ("/spec/containers/1/empty", "7", "empty:", "empty: 7"),
        ("/spec/containers/1/limits/cpu", "a,b", "cpu: 1", 'cpu: "a,b"'),
        ("/spec/containers/1/name", "tab\there", "name: b", "name: tab\there"),
        ("/spec/containers/1/name", "line\nbreak\x07", "name: b", 'name: "line\\nbreak\\u0007"'),
    ],
)
def test_set_scalar(pointer: str, value: str, old: str, new: str) -> None:
    assert Case(POD).set(pointer, value) == replaced(POD, old, new)


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("k: 'it''s'\n", "that's", "k: 'that''s'\n"),
        ("k: 'a'\n", "a\nb", 'k: "a\\nb"\n'),
        ("k: &x !!str 5 # c\nj: 1\n", "6", "k: &x !!str 6 # c\nj: 1\n"),
        ("k: |  # c\n  a\n  b\nj: 1\n", "a\nx\nb\n", "k: |  # c\n  a\n  x\n  b\nj: 1\n"),
        ("k: |  # c\n  a\n\n# d\nj: 1\n", "x\n\ny", "k: |- # c\n  x\n\n  y\n\n# d\nj: 1\n"),
        ("k: |-\n  a\nj: 1\n", "x\n\n", "k: |+\n  x\n\nj: 1\n"),
        ("k: |\nj: 1\n", "x\n", "k: |\n  x\nj: 1\n"),
        ("k: |\n  a\n", "  x\n", None),
        ("k: |\n  a\n", "", None),
        ("k: >-\n  a b\n  c\n  d\n", "a b x d", "k: >-\n  a b\n  x\n  d\n"),
        ("k: >-\n  a b\n  c\n", "a\nb c", None),
        ("k: a b\n  c\n  d\n", "a b x d", "k: a b\n  x\n  d\n"),
        ("k: a b\n  c\n", "2", 'k: "2"\n'),
        ("k: a\r\nj: 1\r\n", "b", "k: b\r\nj: 1\r\n"),
        ("k: |\r\n  a\r\nj: 1\r\n", "a\nb\n", "k: |\r\n  a\r\n  b\r\nj: 1\r\n"),
        ("k: [\U0001f600, k]\n", "x", "k: [x, k]\n"),
        ("k: null\n", "5", "k: 5\n"),
        ("k: &a 1\nj: *a\n", "2", None),
        ("k: &a 1\nj: a\n", "2", "k: &a 2\nj: a\n"),
    ],
)
def test_set_scalar_keeps_style(text: str, value: str, expected: str | None) -> None:
    assert Case(text).set("/k/0" if "[" in text else "/k", value) == expected


def test_set_scalar_to_what_it_is_changes_nothing() -> None:
    assert Case(POD).set("/spec/replicas", "2") == POD


def test_what_an_alias_stands_for_is_not_edited() -> None:
    text = "base: &b\n  args: [a, {c: 1}]\nuse:\n  <<: *b\n"
    case = Case(text)
    assert case.set("/base/args/0", "x") is None
    assert case.set("/use/args/1/c", "2") is None
    assert case.remove("/base/args", 0) is None
    assert case.insert("/base/args", 1, "x") is None
    assert case.add("/base", "k", "1") is None
    assert case.remove("/base/args/1", "c") is None
    assert case.add("/use", "k", "1") == text + "  k: 1\n"


def test_a_node_of_another_document_is_not_edited() -> None:
    other = Case("a: 1\n")
    node = node_at(Case("a: 1\n").document, "/a")
    assert isinstance(node, ScalarNode)
    assert edits.set_scalar(other.document, node, "2") is None


# Parts of scalars

COMMAND = "k: |\n  serve --tp 2 \\\n    --pp=2 \\\n    --x\n  done\nj: 1"


@pytest.mark.parametrize(
    ("text", "old", "new", "expected"),
    [
        (COMMAND, "--tp 2", "--tp 4", COMMAND.replace("--tp 2", "--tp 4")),
        (COMMAND, "  --pp=2 \\\n", "", "k: |\n  serve --tp 2 \\\n    --x\n  done\nj: 1"),
        (COMMAND, "done\n", "", "k: |\n  serve --tp 2 \\\n    --pp=2 \\\n    --x\nj: 1"),
        (COMMAND, "done\n", "a\n\nb\n", COMMAND.replace("  done", "  a\n\n  b")),
        (COMMAND, "serve --tp 2 \\\n", "", None),
        ("k: >-\n  a --tp 2\n  --pp=2\n  b\n", " --pp=2", "", "k: >-\n  a --tp 2\n  b\n"),
        ("k: >-\n  a --tp 2\n  --pp=2\n  b\n", "--pp=2", "x\ny", None),
        ("k: 'it''s --pp 2'\n", "2", "'3'", "k: 'it''s --pp ''3'''\n"),
        ("k: 'a\n  b'\n", "b", "c\nd", 'k: "a c\\nd"\n'),
        ('k: "a\\t--pp 2"\n', "2", '"3"\n', 'k: "a\\t--pp \\"3\\"\\n"\n'),
        ("k: --a 2\n", "2", "3: 4", 'k: "--a 3: 4"\n'),
        ("k: --a 2 # c\n", "--a ", "", 'k: "2" # c\n'),
        ("k: 12\n", "2", "0", "k: 10\n"),
        ("k: 1\n", "1", "", 'k: ""\n'),
        ("k: a\n  b\n", "a b", "", 'k: ""\n'),
        ("k: a\n", "a", "a", "k: a\n"),
    ],
)
def test_replace_value_text(text: str, old: str, new: str, expected: str | None) -> None:
    assert Case(text).part("/k", old, new) == expected


# Items


@pytest.mark.parametrize(
    ("text", "pointer", "index", "expected"),
    [
        (POD, "/spec/containers/0/args", 0, replaced(POD, "    - --tp=2  # tp\n", "")),
        (POD, "/spec/containers/0/args", 1, replaced(POD, "    - --pp=2\n", "")),
        (POD, "/spec/containers", 1, POD[: POD.index("  - name: b")]),
        ("a:\n- |+\n  x\n\n- y\n", "/a", 1, "a:\n- |+\n  x\n\n"),
        ("a:\n- x\n- |\n  y\n  z\n\nb: 1\n", "/a", 1, "a:\n- x\n\nb: 1\n"),
        ("a: # c\n  - x # d\nb: 1\n", "/a", 0, "a: [] # c\nb: 1\n"),
        ("a:\n- x", "/a", 0, "a: []\n"),
        ("a: &x\n  - y\n", "/a", 0, "a: &x\n  []\n"),
        ("- - a\n  - b\n", "/0", 0, "- - b\n"),
        ("- - a\n  - b\n", "/0", 1, "- - a\n"),
        ("- - a\n- b\n", "/0", 0, "- []\n- b\n"),
        ("- a\n", "", 0, "[]\n"),
        (JSON, "/a", 0, replaced(JSON, '\t\t"x",\n', "")),
        (JSON, "/a", 1, replaced(JSON, ',\n\t\t"y"', "")),
        (JSON, "/b/d", 0, replaced(JSON, "[1,2]", "[2]")),
        (JSON, "/b/d", 1, replaced(JSON, "[1,2]", "[1]")),
        ("a: [ x ]\n", "/a", 0, "a: [  ]\n"),
        ("a: [x,]\n", "/a", 0, "a: []\n"),
        ("a: [1, 2,\n 3]\n", "/a", 1, "a: [1,\n 3]\n"),
        ("a: [\n  1, # one\n  2 # two\n] # x\n", "/a", 1, "a: [\n  1 # one\n] # x\n"),
        ("a: [\n  1, # one\n  2, # two\n] # x\n", "/a", 0, "a: [\n  2, # two\n] # x\n"),
        ("a: [\n  1, # one\n  2] # x\n", "/a", 1, None),
        ("a: [b: c, d]\n", "/a", 0, "a: [d]\n"),
        ("a: [&x b, *x]\n", "/a", 0, None),
        ("a: [&x b, *x]\n", "/a", 1, "a: [&x b]\n"),
        ("a:\n- &x !!str b\n- c\n", "/a", 0, "a:\n- c\n"),
        ("a:\r\n- b # c\r\n- d\r\n", "/a", 0, "a:\r\n- d\r\n"),
        ("a:\n-\n- x\n-\n", "/a", 0, "a:\n- x\n-\n"),
        ("a:\n-\n- x\n-\n", "/a", 2, "a:\n-\n- x\n"),
    ],
)
def test_remove_item(text: str, pointer: str, index: int, expected: str | None) -> None:
    assert Case(text).remove(pointer, index) == expected


@pytest.mark.parametrize(
    ("text", "pointer", "index", "value", "expected"),
    [
        (POD, "/spec/containers/0/args", 0, "--x=1", replaced(POD, "    - --tp", "    - --x=1\n    - --tp")),
        (POD, "/spec/containers/0/args", 1, "8", replaced(POD, "# tp\n", '# tp\n    - "8"\n')),
        (POD, "/spec/containers/0/args", 2, "--x: 1", replaced(POD, "--pp=2\n", '--pp=2\n    - "--x: 1"\n')),
        ("a:\n-   'x'\n", "/a", 1, "it's", "a:\n-   'x'\n-   'it''s'\n"),
        ('a:\n- "x"\n', "/a", 0, "y", 'a:\n- "y"\n- "x"\n'),
        ("a:\n- x", "/a", 1, "w", "a:\n- x\n- w"),
        ("a:\n- x\n", "/a", 1, "y", 'a:\n- x\n- "y"\n'),
        ("a:\r\n- x\r\n", "/a", 1, "w", "a:\r\n- x\r\n- w\r\n"),
        ("- - a\n- b\n", "/0", 0, "q", "- - q\n  - a\n- b\n"),
        ("- - a\n- b\n", "/0", 1, "q", "- - a\n  - q\n- b\n"),
        ("a:\n- |+\n  x\n\n- y\n", "/a", 1, "q", "a:\n- |+\n  x\n\n- q\n- y\n"),
        ("sizes:\n- 1\n- 2\n", "/sizes", 2, "4", "sizes:\n- 1\n- 2\n- 4\n"),
        ("sizes: [1, 2]\n", "/sizes", 1, "8", "sizes: [1, 8, 2]\n"),
        (JSON, "/a", 2, "z", replaced(JSON, '\t\t"y"', '\t\t"y",\n\t\t"z"')),
        (JSON, "/a", 0, "z", replaced(JSON, '\t\t"x"', '\t\t"z",\n\t\t"x"')),
        (JSON, "/e", 0, "7", replaced(JSON, "[]", '["7"]')),
        (JSON, "/b/d", 2, "7", replaced(JSON, "[1,2]", "[1,2,7]")),
        ("a: [ ]\n", "/a", 0, "x", "a: [x]\n"),
        ("a: [ 1 , ] # x\n", "/a", 1, "7", "a: [ 1, 7 , ] # x\n"),
        ("a: [\n  b, # one\n  c # two\n]\n", "/a", 2, "d", "a: [\n  b, # one\n  c, # two\n  d\n]\n"),
        ("a: [\n  b,\n  c, # two\n]\n", "/a", 2, "d", "a: [\n  b,\n  c, # two\n  d,\n]\n"),
        ("a: [b]\n", "/a", 1, "x:y", 'a: [b, "x:y"]\n'),
    ],
)
def test_insert_item(text: str, pointer: str, index: int, value: str, expected: str) -> None:
    assert Case(text).insert(pointer, index, value) == expected


def test_an_item_that_is_not_there_is_a_mistake_of_the_caller() -> None:
    case = Case("a: [1]\n")
    for index in (-1, 1):
        with pytest.raises(IndexError):
            case.remove("/a", index)
    for index in (-1, 2):
        with pytest.raises(IndexError):
            case.insert("/a", index, "x")


# Entries


@pytest.mark.parametrize(
    ("text", "pointer", "key", "expected"),
    [
        (POD, "/spec", "replicas", replaced(POD, "  replicas: 2 # two\n", "")),
        (POD, "/spec/containers/0", "image", replaced(POD, '    image: "x:1"\n', "")),
        (POD, "/spec/containers/0", "args", POD[: POD.index("    args")] + POD[POD.index("  - name: b") :]),
        (POD, "/spec/containers/0", "name", replaced(POD, "- name: a  # the name\n    # above", "- # above")),
        (POD, "/spec/containers/1", "name", replaced(POD, "name: b\n    ", "")),
        (POD, "/spec/containers/1", "empty", replaced(POD, "    empty:\n", "")),
        (POD, "/spec/containers/1/limits", "cpu", replaced(POD, "cpu: 1, ", "")),
        (POD, "/spec/containers/1/limits", "mem", replaced(POD, ', "mem": 2', "")),
        (POD, "/spec", "none", None),
        ("a: # c\n  x: 1\nb: 1\n", "/a", "x", "a: {} # c\nb: 1\n"),
        ("- x: 1\n- y\n", "/0", "x", "- {}\n- y\n"),
        ("x: 1\n", "", "x", "{}\n"),
        ("x: 1\nx: 2\n", "", "x", None),
        ("a: &a {x: 1}\nb: {<<: *a, y: 2}\n", "/b", "x", None),
        ("? a\n: b\n? c\n: d\n", "", "a", "? c\n: d\n"),
        (JSON, "/b", "c", replaced(JSON, '"c": 1, ', "")),
        (JSON, "", "b", replaced(JSON, '"b": {"c": 1, "d": [1,2]}, ', "")),
        (JSON, "", "e", replaced(JSON, ', "e": []', "")),
        ("a: 1 # one\r\nb: 2\r\n", "", "a", "b: 2\r\n"),
    ],
)
def test_remove_entry(text: str, pointer: str, key: str, expected: str | None) -> None:
    assert Case(text).remove(pointer, key) == expected


@pytest.mark.parametrize(
    ("text", "pointer", "key", "yaml_text", "after", "expected"),
    [
        (POD, "/spec", "paused", "true", "replicas", replaced(POD, "# two\n", "# two\n  paused: true\n")),
        (POD, "/spec", "paused", "paused: true", "replicas", replaced(POD, "# two\n", "# two\n  paused: true\n")),
        (POD, "/spec", "paused", "true", None, POD + "  paused: true\n"),
        (POD, "/spec", "paused", "true", "not there", POD + "  paused: true\n"),
        (POD, "/spec", "replicas", "3", None, None),
        (POD, "/spec", "x", "[", None, None),
        (POD, "/spec", "x", "a: 1\n---\nb: 2", None, None),
        (POD, "/spec/containers/0", "env", "- name: X\n  value: y", "image",
         replaced(POD, '"x:1"\n', '"x:1"\n    env:\n    - name: X\n      value: y\n')),
        (POD, "/spec/containers/0", "cmd", "|\n  a\n\n  b", "image", replaced(POD, '"x:1"\n', '"x:1"\n    cmd: |\n      a\n\n      b\n')),
        (POD, "/spec/containers/1/resources", "limits", 'gpu: "1"', None,
         replaced(POD, "resources: {}   # none\n", 'resources:   # none\n      limits:\n        gpu: "1"\n')),
        (POD, "/spec/containers/1/resources", "limits", "{}", None, replaced(POD, "{}", "{limits: {}}")),
        (POD, "/spec/containers/1/limits", "x", '"8"', "cpu", replaced(POD, "1, ", '1, "x": "8", ')),
        ("a:\n  - 1\n", "", "b", "- x", None, "a:\n  - 1\nb:\n  - x\n"),
        ("a: 1", "", "b", "c: d", None, "a: 1\nb:\n  c: d"),
        ("a: 1\r\n", "", "b", "c: d\ne: f", None, "a: 1\r\nb:\r\n  c: d\r\n  e: f\r\n"),
        ("- a: 1\n- b\n", "/0", "c", "2", None, "- a: 1\n  c: 2\n- b\n"),
        (JSON, "/b", "k", '"v"', None, replaced(JSON, "[1,2]}", '[1,2], "k": "v"}')),
        (JSON, "", "k", "5", "a", replaced(JSON, '],\n\t"b"', '],\n\t"k": 5,\n\t"b"')),
        (JSON, "", "k", "x: 1", None, None),
        ("a: {b: {}}\n", "/a/b", "c", "1", None, "a: {b: {c: 1}}\n"),
        ("a: {b: {}}\n", "/a/b", "c", "- 1\n- 2", None, None),
        ("x: 1\n---\na: 1\n---\nb: 1\n", "", "c", "2", None, "x: 1\n---\na: 1\nc: 2\n---\nb: 1\n"),
    ],
)  # fmt: skip
def test_insert_entry(text: str, pointer: str, key: str, yaml_text: str, after: str | None, expected: str | None) -> None:
    assert Case(text, 1 if "---" in text else 0).add(pointer, key, yaml_text, after) == expected


def test_json_stays_json() -> None:
    case = Case(JSON, path="f.json")
    assert case.set("/b/c", "auto") == replaced(JSON, '"c": 1', '"c": "auto"')
    assert case.set("/b/c", "0.5") == replaced(JSON, '"c": 1', '"c": 0.5')
    assert case.set("/b/c", "yes") == replaced(JSON, '"c": 1', '"c": "yes"')
    assert case.set("/a/0", "it's") == replaced(JSON, '"x"', '"it\'s"')
    assert case.insert("/e", 0, "x") == replaced(JSON, "[]", '["x"]')
    assert case.insert("/b/d", 2, "4") == replaced(JSON, "[1,2]", "[1,2,4]")
    assert case.insert("/b/d", 2, "x") == replaced(JSON, "[1,2]", '[1,2,"x"]')
    assert case.add("/b", "k", "v") == replaced(JSON, "[1,2]}", '[1,2], "k": "v"}')
    assert case.add("/b", "k", "true") == replaced(JSON, "[1,2]}", '[1,2], "k": true}')
    assert case.add("/b", "k", "[v]") is None
    assert Case('{"a": {}}', path="f.json").add("/a", "k", "3") == '{"a": {"k": 3}}'
    assert case.part("/a/0", "x", 'y"') == replaced(JSON, '"x"', '"y\\""')
    assert case.set("/a/0", "bell\x07") == replaced(JSON, '"x"', '"bell\\u0007"')


def test_a_broken_document_beside_does_not_stand_in_the_way() -> None:
    text = "a: [\n---\nb: [1, 2]  # c\n---\nc: [\n"
    assert Case(text, 1).remove("/b", 0) == "a: [\n---\nb: [2]  # c\n---\nc: [\n"
