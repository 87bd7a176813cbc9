from __future__ import annotations

import pytest
import yaml

from servelint.source import reader, recovery
from servelint.source.reader import MOST_BROKEN_DOCUMENTS, TEMPLATE_MESSAGE, ReadResult, read_text
from servelint.source.text import SourceText


@pytest.fixture(params=["CSafeLoader", "SafeLoader"], autouse=True)
def loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if not hasattr(yaml, request.param):
        pytest.skip("PyYAML was built without libyaml")
    monkeypatch.setattr(reader, "Loader", getattr(yaml, request.param))
    monkeypatch.setattr(recovery, "Loader", getattr(yaml, request.param))
    return str(request.param)


def read(text: str) -> ReadResult:
    return read_text(SourceText("f.yaml", text))


BROKEN = {
    "a: b: c": (1, 5, "second ': '"),
    "a: 1\n b: 2": (2, 3, "correct its indentation"),
    "\ta: b": (1, 1, "use spaces"),
    "a:\n\tb: c": (2, 1, "use spaces"),
    "a: @x": (1, 4, "put it in quotes"),
    "a: 'x": (1, 6, "begins on line 1 is never closed"),
    'a: "x\\q"': (1, None, "\\q is no escape"),
    "- a\nb: c": (2, 1, "does not fit the list that begins on line 1"),
    "a:\n  b: 1\n c: 2": (3, 2, "does not fit the mapping"),
    "a: [1, 2\nb: 3\n": (2, None, "closing ']' is missing"),
    "a: {b: 1\n": (2, 1, "closing '}' is missing"),
    "a: [": (1, None, "closing bracket is missing"),
    "a: *nobody": (1, 4, "refers to no anchor"),
    "a: *\n": (1, 5, "refers to an anchor; put"),
    "a: &\n": (1, 5, "names an anchor"),
    "a: |x\n  b": (1, 5, "may follow the indicator"),
    "a: !h!x b": (1, None, "handle is not declared"),
    'a: "\\ud83d\\ude00"': (1, None, "surrogate pair"),
    "a: b\x01": (1, 5, "U+0001"),
    "a: \ud800": (1, 4, "U+D800"),
}


@pytest.mark.parametrize("text", BROKEN)
def test_an_error_has_a_place_and_says_what_to_do(text: str) -> None:
    line, column, words = BROKEN[text]
    (error,) = read(text).errors
    assert error.line == line
    assert column is None or error.column == column
    assert words in error.message
    assert "\n" not in error.message
    assert not error.message.endswith(".")


@pytest.mark.parametrize("text", BROKEN)
def test_the_documents_around_a_broken_one_are_kept(text: str) -> None:
    before, after = "first: 1 # one\n---\nsecond: \U0001f600\n---\n", "\n---\nlast: [3] # three\n"
    whole = before + text + after
    result = read(whole)
    assert [d.index for d in result.documents] == [0, 1, 3]
    last = result.documents[-1].root
    assert last is not None
    assert whole[last.span.start : last.span.end] == "last: [3]"
    assert [c.text for c in result.comments] == [" one", " three"]
    assert [whole[d.span.start : d.span.end] for d in result.documents] == [before[:15], before[15:-4], after[1:]]
    (error,) = result.errors
    assert BROKEN[text][0] <= error.line - 4 <= BROKEN[text][0] + 2


def test_a_bad_character_far_behind_spoils_only_its_own_document() -> None:
    text = "a: 1\n---\nb: 2\n---\nc: '" + "x" * 100_000 + "\x07'\n---\nd: 4\n"
    result = read(text)
    assert [d.index for d in result.documents] == [0, 1, 3]
    assert [(e.line, e.column) for e in result.errors] == [(5, 100_005)]


def test_a_syntax_error_before_a_bad_character_is_an_error_of_its_own() -> None:
    result = read("a: [\n---\nb: 1\n---\nc: \x07\n---\nd: 1\n")
    assert [d.index for d in result.documents] == [1, 3]
    assert [e.line for e in result.errors] == [2, 5]


@pytest.mark.parametrize(
    "text",
    [
        "{{- if .Values.gpu }}\nkind: Pod\n{{- end }}\n",
        'kind: Pod\n{{- include "x" . | nindent 2 }}\nspec: 1\n',
        "a: {{ .Values.a }}-x\n",
        "a: {% if x %}1{% endif %}\n",
        "{{ x }}\na: b\n",
        "spec:\n  {{- toYaml . | nindent 4 }}\n  b: 2\n",
        "spec:\n  b: 2\n${MORE_OF_IT}\n  c: 3\n",
    ],
)
def test_a_template_is_said_to_be_one_and_once(text: str) -> None:
    result = read(text + "---\n" + text + "---\nok: 1\n")
    assert [e.message for e in result.errors] == [TEMPLATE_MESSAGE]
    assert [d.index for d in result.documents] == [2]


@pytest.mark.parametrize("head", ["# a licence\n\n---\n", "%YAML 1.2\n# a licence\r\n---\n", "\n---\n", "---\n"])
@pytest.mark.parametrize(
    ("text", "message"),
    [("metadata:\n  {{- if .Values.gpu }}\n  name: x\n  {{- end }}\n", TEMPLATE_MESSAGE), ("a: [1\nb: 2\n", "")],
)
def test_a_broken_document_behind_comments_is_one(head: str, text: str, message: str) -> None:
    result = read(head + text + "---\nok: 1\n")
    [error] = result.errors
    assert (error.message == TEMPLATE_MESSAGE) == bool(message)
    assert [document.text_at("ok") for document in result.documents] == ["1"]


def test_braces_in_text_do_not_make_a_template_of_another_fault() -> None:
    text = 'template: "{{ messages }}"\nblock: |\n  {% for m in messages %}\n  {{ m }}\n  {% endfor %}\nbad: [1\nc: 2\n'
    (error,) = read(text).errors
    assert "closing ']' is missing" in error.message


def test_a_variable_on_a_line_of_its_own_hides_no_other_fault() -> None:
    (error,) = read("# head\n---\nspec:\n${MORE}\n  bad: [1\nc: 2\n").errors
    assert error.message != TEMPLATE_MESSAGE
    assert [e.message for e in read("# head\n---\nspec:\n  a: 1\n${MORE}\n  c: 2\n").errors] == [TEMPLATE_MESSAGE]


def test_reading_gives_up_after_many_broken_documents_and_says_so() -> None:
    result = read("--- [\n" * (MOST_BROKEN_DOCUMENTS + 10))
    assert len(result.errors) == MOST_BROKEN_DOCUMENTS
    assert "not read" in result.errors[-1].message


def test_directives_and_document_ends() -> None:
    text = "%TAG !e! tag:e,2000:\n---\na: !e!x 1\n...\n%bad\nq\n---\nb: 2\n"
    result = read(text)
    assert [d.root is not None for d in result.documents][:1] == [True]
    assert result.documents[-1].text_at("b") == "2"


@pytest.mark.parametrize(
    "text",
    [
        "spec:\n  replicas: {{ .Values.replicas }}\n",
        "{{- /* one\n  two */}}\n{{- if .Values.on }}\na: b\n{{- end }}\n",
        "metadata:\n  {{- /* a comment\n     over two lines */}}\n  name: {{ .Release.Name }}\n",
        "# head\n{% if x %}\na: b\n{% endif %}\n",
    ],
)
def test_templates_are_said_to_be_templates(text: str) -> None:
    result = read(text)
    assert [error.message for error in result.errors][:1] == [TEMPLATE_MESSAGE]
