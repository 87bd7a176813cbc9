"""Variables of Compose files, and the words Compose makes of a string."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from servelint.formats.compose.interpolation import interpolate, refused
from servelint.formats.compose.words import WordList
from servelint.source.nodes import Document, ScalarNode
from servelint.source.reader import read_text
from servelint.source.text import SourceText

EXPANDED = [
    ("plain", "plain", ()),
    ("${TP:-2}", "2", ()),
    ("${TP-2}", "2", ()),
    ("${A:-${B:-${C:-deep}}}", "deep", ()),
    ("${REGISTRY:-opea}/vllm:${TAG:-latest}", "opea/vllm:latest", ()),
    ("${EMPTY:-}", "", ()),
    ("${SWITCH:+--enforce-eager}", "", ()),
    ("$$HOME and $${X:-1}", "$HOME and ${X:-1}", ()),
    ('"$@" $(date) $1 $?', '"$@" $(date) $1 $?', ()),
    ("${MODEL}", "${MODEL}", ("MODEL",)),
    ("$MODEL/x", "$MODEL/x", ("MODEL",)),
    ("${KEY:?is needed}", "${KEY:?is needed}", ("KEY",)),
    ("tag-${VERSION:-v${SHA}}", "tag-v${SHA}", ("SHA",)),
    ('{"a":${A:-1},"b":"${B:-x}"}', '{"a":1,"b":"x"}', ()),
    ("${UNCLOSED:-1", "${UNCLOSED:-1", ()),
    ("${not a name}", "${not a name}", ()),
    ("$", "$", ()),
]


@pytest.mark.parametrize(("written", "text", "unset"), EXPANDED, ids=str)
def test_a_variable_is_expanded_with_its_default(written: str, text: str, unset: tuple[str, ...]) -> None:
    value = interpolate(written)
    assert (value.text.text, value.unset) == (text, unset)
    assert value.changed is (text != written)


def test_a_default_stands_where_it_is_written() -> None:
    written = "--tp=${TP:-16}"
    value = interpolate(written)
    start, end, literal = value.text.locate(5, 7)
    assert (written[start:end], literal) == ("16", True)
    assert value.defaults == ("TP",)


@given(st.text(alphabet="ab${}:-?+ \"'\\\n", max_size=40))
def test_any_text_can_be_expanded(text: str) -> None:
    value = interpolate(text)
    for position in range(len(value.text.text)):
        start, end, literal = value.text.locate(position, position + 1)
        assert 0 <= start <= end <= len(text)
        if literal:
            assert text[start:end] == value.text.text[position]


def words(written: str) -> WordList:
    document: Document = read_text(SourceText("compose.yaml", written)).documents[0]
    made = WordList(document)
    made.extend(document.get("command"))
    return made


STRINGS = [
    ("command: vllm serve a/b --port 8000", ["vllm", "serve", "a/b", "--port", "8000"]),
    ("command: >\n  --model a/b\n  --max-model-len 4096\n", ["--model", "a/b", "--max-model-len", "4096"]),
    ("command: |\n  --model a/b \\\n  --port 1\n", ["--model", "a/b", "--port", "1"]),
    ("command: --name 'two words' --json \"{\\\"a\\\":1}\"", ["--name", "two words", "--json", '{"a":1}']),
    ("command: serve && echo done", ["serve"]),
    ('command: --a "" ${EXTRA:-}', ["--a", ""]),
    ("command: [--port, 8000, '${EXTRA:-}', null, \"${TP:-2}\"]", ["--port", "8000", "2"]),
    ("command:", []),
]  # fmt: skip


@pytest.mark.parametrize(("written", "expected"), STRINGS, ids=str)
def test_a_string_is_split_as_compose_splits_it(written: str, expected: list[str]) -> None:
    assert [word.text for word in words(written).words] == expected


def test_words_know_their_place_and_what_is_missing() -> None:
    written = "command: >\n  --model ${MODEL} --tensor-parallel-size ${TP:-4}\n  --served-model-name 'my model'\n"
    made = words(written)
    source = SourceText("compose.yaml", written)
    shown = [source.text[w.span.start : w.span.end] for w in made.words if w.span is not None]
    assert shown == ["--model", "${MODEL}", "--tensor-parallel-size", "4", "--served-model-name", "'my model'"]
    assert [w.variable for w in made.words] == ["", "MODEL", "", "", "", ""]
    assert made.unset == ["MODEL"]
    assert all(isinstance(w.node, ScalarNode) for w in made.words)


@pytest.mark.parametrize("shown", ["--tp=${TP:-4}", "--tp=${TP:-${X:-4}}", "--tp=$${TP", "--json={a}", "--tp=${TP:-4}5"])
def test_a_word_ends_behind_the_braces_of_its_defaults(shown: str) -> None:
    written = f"command: --port 8000 {shown} --seed 1\n"
    word = words(written).words[2]
    assert word.span is not None
    assert written[word.span.start : word.span.end] == shown


@given(st.text(alphabet="ab -'\"\\${}:;|\n", max_size=40))
def test_any_string_can_be_split(text: str) -> None:
    import json

    made = words("command: " + json.dumps(text))
    for word in made.words:
        assert 0 <= word.start <= word.end <= len(text)


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ("${A}", ""), ("${A:-b}", ""), ("${A-{b}}", ""), ("${A:?b c}", ""), ("${A:+${B}}", ""), ("$A $$ $", ""), ("$@ $* $1 $(b)", ""),
        ("$${1}", ""), ("$$${A}", ""), ("${A:-b} ${B:-c}", ""), ("${A:-${B:-{}}} x }", ""),
        ("${", "${"), ("${}", "${}"), ("a ${1} b", "${1}"), ("${A }", "${A }"), ("${ A}", "${ A}"), ("${A!}", "${A!}"), ("${#A}", "${#A}"),
        ("${A%%.*}", "${A%%.*}"), ("$$${1}", "${1}"), ("${A:-b} ${@}", "${@}"), ("${A:-b\nc}", "${"), ("${A:=b}", "${A:=b}"),
    ],
)  # fmt: skip
def test_what_compose_refuses(value: str, part: str) -> None:
    found = refused(value)
    assert (value[found[0] : found[1]] if found else "") == part


@given(st.text(alphabet="${}AB:-+?1 \n", max_size=30))
def test_a_refused_part_begins_with_a_brace(value: str) -> None:
    found = refused(value)
    if found is not None:
        assert value.startswith("${", found[0])
        assert found[0] < found[1] <= len(value)
