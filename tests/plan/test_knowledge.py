"""The knowledge file: it names every degree, agrees with the engines' table, and is refused in one sentence where it is not one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from servelint.capacity.layout import GROUP_LAWS
from servelint.formats.plan.model import DEGREES
from servelint_rules import knowledge

if TYPE_CHECKING:
    from pathlib import Path


def test_the_mandatory_order() -> None:
    known = knowledge.load()
    assert [step.name for step in known.order] == ["model_structure", "structural", "operator", "request"]
    assert known.position("operator") == 2
    assert known.position("operators") is None
    assert known.steps_for("pipeline") == ("structural",)


def test_every_degree_is_decided_somewhere_and_nothing_else_is() -> None:
    known = knowledge.load()
    assert {degree for step in known.order for degree in step.decides} == set(DEGREES)
    assert all(set(step.justify) <= set(step.decides) for step in known.order)


def test_the_overlays_it_names_are_those_of_the_engines_table() -> None:
    named = {DEGREES[key] for key in knowledge.load().overlays}
    everywhere = {name for law in GROUP_LAWS.values() for name in law.overlays}
    always = {name for name in everywhere if all(name not in law.multiplies for law in GROUP_LAWS.values())}
    assert named == always


def test_another_file_replaces_it(tmp_path: Path) -> None:
    path = tmp_path / "knowledge.yaml"
    path.write_text(
        "order: [{step: only, decides: [tensor]}]\nphases: {}\ngroup_arithmetic: {overlays: []}\n"
        "tolerances: {arithmetic: 0.02, rounded: 0.1, utilization: 0.01, parameters: 0.2}\n"
    )
    known = knowledge.load(str(path))
    assert known.order == (knowledge.Step("only", "", False, ("tensor",), ()),)
    assert known.tolerances.arithmetic == 0.02


@pytest.mark.parametrize(
    "text", ["", "[]", "order: 3", "order: [{}]", "order: [", "order: []\nphases: {}\n", "order: []\nphases: []\n"]
)
def test_what_is_none_is_refused_in_one_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "knowledge.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"knowledge\.yaml is not a knowledge file: "):
        knowledge.load(str(path))
