"""The table of kinds that custom resources have: each names a reader, and its group alone tells them apart."""

from __future__ import annotations

import pytest

from format_reading import Reading
from servelint.builtin import FORMATS, Kinds
from servelint.formats.kind_shapes import _OWN, _PLAIN
from servelint.source.reader import read_text
from servelint.source.text import SourceText

TABLE = [(each, kind) for each in FORMATS if isinstance(each, Kinds) for kind in each.readers]


def read(each: Kinds, api_version: str, kind: str) -> list[str]:
    documents = read_text(SourceText("x.yaml", f"apiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: x}}\n")).documents
    return [deployment.format for document in documents for deployment in each.recognise(document, Reading(documents))]


@pytest.mark.parametrize(("each", "kind"), TABLE, ids=lambda value: value if isinstance(value, str) else value.name)
def test_every_kind_is_read_by_its_reader(each: Kinds, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, _, function = each.readers[kind].partition(".")
    asked: list[str] = []
    monkeypatch.setattr(f"servelint.formats.{module}.{function}", lambda _d, item, _s: asked.append(item.text_at("kind")) or ())
    assert read(each, f"{each.group}/v1", kind) == []
    assert asked == [kind]


@pytest.mark.parametrize(("each", "kind"), TABLE, ids=lambda value: value if isinstance(value, str) else value.name)
def test_an_empty_object_and_one_of_another_group_are_no_deployment(each: Kinds, kind: str) -> None:
    assert read(each, f"{each.group}/v1", kind) == []
    assert read(each, "example.com/v1", kind) == []


def test_the_shapes_of_all_kinds_are_known() -> None:
    assert {(each.group, kind) for each, kind in TABLE} <= {*_OWN, *_PLAIN}
