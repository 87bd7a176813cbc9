"""What must hold for every YAML text, on generated ones: values written in many styles, with comments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml
from hypothesis import HealthCheck, assume, given, settings, strategies as st

from servelint.source import edits
from servelint.source.nodes import AliasNode, Document, MappingNode, Node, ScalarNode, SequenceNode, walk
from servelint.source.offsets import offset_map
from servelint.source.reader import ReadResult, read_text
from servelint.source.text import SourceText
from servelint.source.treediff import differences, equal_outside

if TYPE_CHECKING:
    from servelint.finding import Edit

# A loaded machine is no failure.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])

WORDS = st.sampled_from(
    ["a", "8", "--tp=2", "x: y", "it's", 'say "hi"', "# no", "a #b", "\U0001f600", "ä\xa0ö", "yes", "null", "[", "a,b", "- x", "&a", "*a",
     "{{ x }}", "tab\there", "\\", "two  spaces", " lead", "trail ", "line\nbreak", "\n", "a\n\nb\n", "  more\nindented\n", "1:30", "!t",
     "%d", "@x", "`", "key:", "?", "-", "---", "...", "=", "<<", "~", "0x1F", "x" * 90 + " y"]
)  # fmt: skip
TEXTS = WORDS | st.lists(WORDS, min_size=2, max_size=6).map(" ".join) | st.text(max_size=6) | st.just("")
KEYS = st.sampled_from(["a", "b", "nvidia.com/gpu", "key with space", "8", "it's", "true", "ä", "#", "x: y", "-"])
VALUES = st.recursive(TEXTS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12)


class _AnyStyle(yaml.SafeDumper):
    """Writes the same value in whichever styles ``choice`` says."""

    choice: Any = None

    def ignore_aliases(self, data: object) -> bool:
        return True


def _represent(dumper: Any, value: str) -> yaml.Node:
    return yaml.ScalarNode("tag:yaml.org,2002:str", value, style=dumper.choice(["'", '"', "|", ">", None, None]))


_AnyStyle.add_representer(str, _represent)


@st.composite
def yaml_texts(draw: st.DrawFn) -> tuple[str, list[Any]]:
    """A text of one to three documents, and their values."""
    values = draw(st.lists(VALUES, min_size=1, max_size=3))
    dumper = type("Dumper", (_AnyStyle,), {"choice": staticmethod(lambda styles: draw(st.sampled_from(styles)))})
    text = yaml.dump_all(
        values,
        Dumper=dumper,
        default_flow_style=draw(st.sampled_from([False, False, True, None])),
        indent=draw(st.sampled_from([2, 3, 4])),
        width=draw(st.sampled_from([8, 30, 100])),
        allow_unicode=draw(st.booleans()),
        explicit_start=len(values) > 1 or draw(st.booleans()),
        sort_keys=False,
    )
    text = draw(st.sampled_from(["\n", "\n", "\r\n"])).join(text.split("\n"))
    ends = [n.span.end for n in nodes(read(text)) if isinstance(n, ScalarNode) and n.style not in ("|", ">")]
    for end in reversed([end for end in ends if text[end : end + 1] in ("\r", "\n")]):
        text = text[:end] + draw(st.sampled_from(["", "", "  # why: 'x", "\t#"])) + text[end:]
    return text, values


def value_of(node: Node | None) -> Any:
    """What BaseLoader makes of a tree: text, lists and dictionaries."""
    if node is None:
        return ""
    node = node.resolved
    if isinstance(node, ScalarNode):
        return node.text
    if isinstance(node, SequenceNode):
        return [value_of(item) for item in node.items]
    assert isinstance(node, MappingNode)
    return {value_of(key): value_of(value) for key, value in node.entries}


def read(text: str) -> ReadResult:
    result = read_text(SourceText("f", text))
    assert not result.errors
    return result


def nodes(result: ReadResult) -> list[Node]:
    return [node for document in result.documents if document.root is not None for node in walk(document.root)]


def loaded(text: str) -> Any:
    return yaml.load(text, Loader=yaml.CBaseLoader)


@unhurried
@given(yaml_texts())
def test_a_tree_says_what_the_parser_says(case: tuple[str, list[Any]]) -> None:
    text, _ = case
    assert [value_of(d.root) for d in read(text).documents] == list(yaml.load_all(text, Loader=yaml.CBaseLoader))


@unhurried
@given(yaml_texts())
def test_the_source_of_a_node_is_that_node(case: tuple[str, list[Any]]) -> None:
    text, _ = case
    result = read(text)
    source = SourceText("f", text)
    for node in nodes(result):
        start, end = node.span
        assert 0 <= start <= end <= len(text)
        piece = text[start:end]
        if not piece:
            assert value_of(node) == ""
            continue
        assert piece[0] not in " \t\r\n"
        if isinstance(node, ScalarNode) and node.style in ("|", ">"):
            if not piece[1:2].isdigit():
                assert loaded(f"k:\n {piece}\n")["k"].rstrip("\n") == node.text.rstrip("\n")
            continue
        last = [inner for inner in walk(node) if isinstance(inner, ScalarNode)][-1:]
        if last and last[0].style in ("|", ">"):
            continue  # the line breaks behind it are not part of the span
        column = source.position(start).column - 1
        wrapped = f"[{piece}]" if isinstance(node, MappingNode) and node.flow and piece[0] != "{" else " " * column + piece
        found = loaded(wrapped)
        assert (found[0] if wrapped[0] == "[" and piece[0] != "[" else found) == value_of(node)


@unhurried
@given(yaml_texts())
def test_spans_nest_and_follow_one_another(case: tuple[str, list[Any]]) -> None:
    for node in nodes(read(case[0])):
        children: list[Node] = []
        if isinstance(node, SequenceNode):
            children = node.items
        elif isinstance(node, MappingNode):
            children = [child for entry in node.entries for child in entry]
        position = node.span.start
        for child in children:
            assert position <= child.span.start
            position = child.span.end
        assert position <= node.span.end


@unhurried
@given(yaml_texts(), st.data())
def test_parts_of_values_have_spans(case: tuple[str, list[Any]], data: st.DataObject) -> None:
    text, _ = case
    source = SourceText("f", text)
    for node in nodes(read(text)):
        if not isinstance(node, ScalarNode):
            continue
        proven = offset_map(node, source)
        if proven is None:
            assert node.style in ("|", ">") or not text.isascii(), "flow scalars of ASCII can always be proven"
            continue
        size = len(node.text)
        start = data.draw(st.integers(0, size))
        end = data.draw(st.integers(start, size))
        span = node.source_span(source, start, end)
        assert span is not None
        assert node.span.start <= span.start <= span.end
        piece, part = text[span.start : span.end], node.text[start:end]
        if node.style in ("", "|") and "\n" not in part and "\n" not in piece:
            assert piece == part
        elif node.style == '"' and "\n" not in piece:
            assert loaded(f'"{piece}"') == part
        elif node.style == "'" and "\n" not in piece:
            assert loaded(f"'{piece}'") == part
        # The parts before, within and behind are the whole, in order.
        before, behind = node.source_span(source, 0, start), node.source_span(source, end, size)
        assert before is not None
        assert behind is not None
        assert before.end <= span.start or not part
        assert span.end <= behind.start or end == size


def _expect(document: Document, text: str, made: tuple[Edit, ...] | None, expected: Any) -> bool:
    """Whether an edit was made; that it makes ``expected`` of the document and nothing of the others."""
    if made is None:
        return False
    after = edits.apply(text, made)
    values = list(yaml.load_all(text, Loader=yaml.CBaseLoader))
    values[document.index] = expected
    assert list(yaml.load_all(after, Loader=yaml.CBaseLoader)) == values
    assert equal_outside(document.source, SourceText("f", after), made)
    if "\r\n" in text:
        assert after.count("\n") == after.count("\r\n")
    return True


def _pick(data: st.DataObject, document: Document, kind: type) -> Any:
    found = [node for node in walk(document.root) if type(node) is kind] if document.root is not None else []
    assume(found)
    return data.draw(st.sampled_from(found))


def _with(root: Node | None, changed: Node, value: Any) -> Any:
    """The value of a tree with ``value`` in place of the node ``changed``."""
    if root is changed:
        return value
    if isinstance(root, SequenceNode):
        return [_with(item, changed, value) for item in root.items]
    if isinstance(root, MappingNode):
        return {_with(k, changed, value): _with(v, changed, value) for k, v in root.entries}
    return value_of(root)


@unhurried
@given(yaml_texts(), TEXTS, st.data())
def test_setting_a_scalar(case: tuple[str, list[Any]], value: str, data: st.DataObject) -> None:
    text, _ = case
    document = data.draw(st.sampled_from(read(text).documents))
    node = _pick(data, document, ScalarNode)
    made = edits.set_scalar(document, node, value)
    done = _expect(document, text, made, _with(document.root, node, value))
    assert done or node.style in ("|", ">") or any(strange in text for strange in "\x85\u2028\u2029")


@unhurried
@given(yaml_texts(), WORDS, st.data())
def test_replacing_a_part(case: tuple[str, list[Any]], new: str, data: st.DataObject) -> None:
    text, _ = case
    document = data.draw(st.sampled_from(read(text).documents))
    node = _pick(data, document, ScalarNode)
    start = data.draw(st.integers(0, len(node.text)))
    end = data.draw(st.integers(start, len(node.text)))
    value = node.text[:start] + new + node.text[end:]
    made = edits.replace_value_text(document, node, start, end, new)
    done = _expect(document, text, made, _with(document.root, node, value))
    assert done or node.style in ("|", ">") or any(strange in text for strange in "\x85\u2028\u2029")


@unhurried
@given(yaml_texts(), st.data())
def test_removing_an_item(case: tuple[str, list[Any]], data: st.DataObject) -> None:
    text, _ = case
    document = data.draw(st.sampled_from(read(text).documents))
    node = _pick(data, document, SequenceNode)
    assume(node.items)
    index = data.draw(st.integers(0, len(node.items) - 1))
    before = value_of(node)
    made = edits.remove_item(document, node, index)
    _expect(document, text, made, _with(document.root, node, before[:index] + before[index + 1 :]))


@unhurried
@given(yaml_texts(), WORDS, st.data())
def test_inserting_an_item(case: tuple[str, list[Any]], value: str, data: st.DataObject) -> None:
    text, _ = case
    document = data.draw(st.sampled_from(read(text).documents))
    node = _pick(data, document, SequenceNode)
    index = data.draw(st.integers(0, len(node.items)))
    before = value_of(node)
    made = edits.insert_item(document, node, index, value)
    _expect(document, text, made, _with(document.root, node, [*before[:index], value, *before[index:]]))


@unhurried
@given(yaml_texts(), st.data())
def test_removing_an_entry(case: tuple[str, list[Any]], data: st.DataObject) -> None:
    text, _ = case
    document = data.draw(st.sampled_from(read(text).documents))
    node = _pick(data, document, MappingNode)
    before = value_of(node)
    assume(before)
    key = data.draw(st.sampled_from(list(before)))
    made = edits.remove_entry(document, node, key)
    _expect(document, text, made, _with(document.root, node, {k: v for k, v in before.items() if k != key}))


SNIPPETS = {
    "8": "8",
    '"8"': "8",
    "{}": {},
    "- x\n- y: z": ["x", {"y": "z"}],
    "c: d\ne:\n  - f": {"c": "d", "e": ["f"]},
    "|\n  g\n   h": "g\n h\n",
}


@unhurried
@given(yaml_texts(), st.sampled_from(sorted(SNIPPETS)), st.data())
def test_inserting_an_entry(case: tuple[str, list[Any]], snippet: str, data: st.DataObject) -> None:
    text, _ = case
    document = data.draw(st.sampled_from(read(text).documents))
    node = _pick(data, document, MappingNode)
    before = value_of(node)
    after = data.draw(st.sampled_from([None, *before]))
    made = edits.insert_entry(document, node, "new", snippet, after)
    done = _expect(document, text, made, _with(document.root, node, {**before, "new": SNIPPETS[snippet]}))
    if made is not None and after is not None:
        keys = list(
            value_of(read(edits.apply(text, made)).documents[document.index].get(*_path(document, node)) or document.root)
        )
        assert not done or keys.index("new") == keys.index(after) + 1


def _path(document: Document, node: Node) -> list[str | int]:
    """The route to a node that is reached without aliases."""
    stack: list[tuple[Node | None, list[str | int]]] = [(document.root, [])]
    while stack:
        current, path = stack.pop()
        if current is node:
            return path
        if isinstance(current, SequenceNode):
            stack += [(item, [*path, i]) for i, item in enumerate(current.items)]
        elif isinstance(current, MappingNode):
            stack += [(value, [*path, value_of(key)]) for key, value in current.entries]
    raise LookupError(node)


@unhurried
@given(VALUES, VALUES)
def test_documents_differ_where_their_values_do(one: Any, other: Any) -> None:
    first, second = (read(yaml.safe_dump(value, allow_unicode=True)).documents[0] for value in (one, other))
    assert differences(first, first) == []
    assert bool(differences(first, second)) == (loaded(first.source.text) != loaded(second.source.text))


@settings(unhurried, max_examples=300)
@given(st.text(alphabet="ab:-?[]{},#&*!|>'\"%@ \t\r\n\\\x85\u2028\U0001f600\x00.1<", max_size=40))
def test_no_text_is_too_strange(text: str) -> None:
    source = SourceText("f", text)
    result = read_text(source)
    for error in result.errors:
        assert 1 <= error.line <= len(source.line_starts)
        assert error.column >= 1
    for node in nodes(result):
        assert 0 <= node.span.start <= node.span.end <= len(text)
        if isinstance(node, ScalarNode):
            node.source_span(source, 0, len(node.text))
        if isinstance(node, AliasNode):
            assert text[node.span.start] == "*"
    for comment in result.comments:
        assert text[comment.span.start : comment.span.end] == "#" + comment.text
