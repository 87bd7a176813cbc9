from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from servelint.source.definitions import without_schemas
from servelint.source.reader import read_text
from servelint.source.text import SourceText

HEAD = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata:\n  name: things.example.com\n"
SCHEMA = "spec:\n  group: example.com  # a comment\n  names: {kind: Deployment}\nstatus: [\n"  # broken, if it were read
POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}  # ours\nspec:\n  nodeName: gpu-1\n"


def test_documents_around_a_definition_keep_their_place() -> None:
    text = f"{POD}---\n{HEAD}{SCHEMA}---\n{POD}"
    result = read_text(SourceText("bundle.yaml", text))
    assert not result.errors
    first, definition, last = result.documents
    assert definition.text_at("metadata", "name") == "things.example.com"
    assert definition.get("spec") is None
    assert [each.index for each in result.documents] == [0, 1, 2]
    node = last.get("spec", "nodeName")
    assert node is not None
    assert node.span.start == text.rindex("gpu-1")
    assert [comment.text for comment in result.comments] == [" ours", " ours"]
    assert first.span.end == last.span.start - len(f"---\n{HEAD}{SCHEMA}")


@pytest.mark.parametrize("ends", ["\r\n", "\n"])
def test_a_definition_may_end_a_file_of_either_line_ends(ends: str) -> None:
    text = f"---\n{HEAD}{SCHEMA}".replace("\n", ends)
    read = without_schemas(text)
    assert len(read) == len(text)
    assert read.rstrip() == f"---\n{HEAD}spec:".replace("\n", ends)


@pytest.mark.parametrize(
    "text",
    [
        POD,
        HEAD.replace("apiextensions.k8s.io/v1", "example.com/v1") + "spec:\n  group: x\n",  # a kind of somebody else
        "spec:\n  group: x\n" + HEAD,
        "apiVersion: v1\nkind: ConfigMap\ndata:\n  crd.yaml: |\n"
        + "".join(f"    {line}\n" for line in (HEAD + "spec:\n  a: b").split("\n")),
        HEAD + "spec: {group: x}\n",
    ],
    ids=["no definition", "another group", "spec first", "in a string", "flow"],
)
def test_what_is_no_such_document_is_read_whole(text: str) -> None:
    assert without_schemas(text) == text


PARTS = st.sampled_from([HEAD, HEAD + SCHEMA, POD, "---\n", "--- # next\n", "---", "spec:\n", "\n", "a: b\n", "x"])


@given(st.lists(PARTS, max_size=8).map("".join))
def test_only_schemas_become_blanks(text: str) -> None:
    read = without_schemas(text)
    assert len(read) == len(text)
    assert all(after in (before, " ") for before, after in zip(text, read, strict=True))
