"""The knowledge file: it names every degree, agrees with the engines' table, and an organization's own replaces or extends it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import yaml
from jsonschema.validators import Draft202012Validator

import servelint_rules
import servelint_schemas
from servelint import builtin
from servelint.capacity.layout import GROUP_LAWS
from servelint.config import Config, load
from servelint.errors import ConfigError, UsageError
from servelint.formats.plan.model import DEGREES
from servelint.plugins import Registry
from servelint.run import lint_texts, open_session
from servelint.source.text import SourceText
from servelint_rules import knowledge

if TYPE_CHECKING:
    from pathlib import Path

PLAN = SourceText(
    "plan.yaml",
    "apiVersion: servelint/v1\nkind: DeploymentPlan\nmodel: {parameters: 10e9}\naccelerator: {memory: 64 GB}\n"
    "parallelism: {tensor: 2}\nreasoning:\n  - {step: model_structure}\n  - {step: operator, decides: {tensor: 2}}\n",
)
OWN = (
    "order: [{step: only, decides: [tensor]}]\nphases: {}\ngroup_arithmetic: {overlays: []}\n"
    "tolerances: {arithmetic: 0.02, rounded: 0.1, utilization: 0.01, parameters: 0.2}\n"
)


def test_the_mandatory_order() -> None:
    known = knowledge.load()
    assert [step.name for step in known.order] == ["model_structure", "structural", "operator", "request"]
    assert known.position("operator") == 2
    assert known.position("operators") is None
    assert known.steps_for("pipeline") == ("structural",)
    assert known.builds_on("request", "model_structure")
    assert not known.builds_on("structural", "operator")


def test_every_degree_is_decided_somewhere_and_nothing_else_is() -> None:
    known = knowledge.load()
    assert {degree for step in known.order for degree in step.decides} == set(DEGREES)
    assert all(set(step.justify) <= set(step.decides) for step in known.order)


def test_the_overlays_it_names_are_those_of_the_engines_table() -> None:
    named = {DEGREES[key] for key in knowledge.load().overlays}
    everywhere = {name for law in GROUP_LAWS.values() for name in law.overlays}
    always = {name for name in everywhere if all(name not in law.multiplies for law in GROUP_LAWS.values())}
    assert named == always
    schema = servelint_schemas.load("knowledge")["properties"]["group_arithmetic"]["properties"]
    assert {DEGREES[key] for key in schema["overlays"]["items"]["enum"]} == always, "no file can call another degree one"


def test_the_built_in_file_keeps_its_schema() -> None:
    with open(knowledge.__file__.replace(".py", ".yaml"), encoding="utf-8") as file:
        assert Draft202012Validator(servelint_schemas.load("knowledge")).is_valid(yaml.safe_load(file))


def test_the_rules_it_names_are_there_and_what_shows_a_principle_is_a_section_of_a_plan() -> None:
    codes = {code for theme in servelint_rules.THEMES for code in theme.codes}
    plan = servelint_schemas.load("plan")
    for principle in knowledge.load().principles:
        assert set(principle.checked_by) <= codes
        for path in principle.shown_by:
            node = plan
            for step in path.split("."):
                node = plan["$defs"][node["$ref"].rpartition("/")[2]] if "$ref" in node else node
                node = node["properties"][step]


def test_another_file_replaces_it() -> None:
    known = knowledge.parse(yaml.safe_load(OWN), "k.yaml")
    assert known.order == (knowledge.Step("only", "", False, ("tensor",), ()),)
    assert known.tolerances == knowledge.Tolerances(0.02, 0.1, 0.01, 0.2, 0.05)


def test_another_file_extends_it() -> None:
    text = (
        "extends: builtin\ntolerances: {utilization: 0.02}\norder:\n  - {step: request, justify: [data]}\n"
        "  - {step: cost, after: [request], required: true}\nassumptions: {mfu: 0.5}\n"
    )
    known = knowledge.parse(yaml.safe_load(text), "k.yaml")
    assert [step.name for step in known.order] == ["model_structure", "structural", "operator", "request", "cost"]
    assert known.order[3].justify == ("data",)
    assert known.order[3].decides == ("data", "attention_data"), "what is not said again stays"
    assert known.tolerances == knowledge.load().tolerances._replace(utilization=0.02)
    assert known.assumptions == {"mfu": 0.5, "mbu": 0.9}
    assert known.principles == knowledge.load().principles


@pytest.mark.parametrize(
    "text", ["", "[]", "order: 3", "order: [{}]", "order: []\nphases: {}\n", "order: []\nphases: []\n", OWN + "assumptions: 3\n"]
)
def test_what_is_none_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"k\.yaml is not a knowledge file: "):
        knowledge.parse(yaml.safe_load(text), "k.yaml")


@pytest.mark.parametrize("after", ["nowhere", "only"])
def test_an_order_that_is_none_is_refused(after: str) -> None:
    with pytest.raises(ValueError, match="step 'only'"):
        knowledge.parse(yaml.safe_load(OWN.replace("step: only", f"step: only, after: [{after}]")), "k.yaml")


def session_of(tmp_path: Path, text: str) -> object:
    (tmp_path / "principles").mkdir(exist_ok=True)
    (tmp_path / "principles" / "k.yaml").write_text(text)
    (tmp_path / "servelint.yaml").write_text("knowledge: principles/k.yaml\n")
    return open_session(load(str(tmp_path / "servelint.yaml"), False, "."))


def test_the_configuration_names_it_relative_to_itself(tmp_path: Path) -> None:
    config = Config()
    plain = open_session(config)
    plain = plain._replace(registry=Registry([("builtin", builtin), ("rules", servelint_rules)]))
    assert "PLN904" not in {f.code for f in lint_texts([PLAN], plain).findings}
    own = session_of(tmp_path, "extends: builtin\norder: [{step: cost, after: [request], required: true}]\n")
    labels = [f.label for f in lint_texts([PLAN], own).findings if f.code == "PLN904"]  # type: ignore[arg-type]
    assert labels == ["the reasoning has no `cost` step"]


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        ("", 0, "a knowledge file is a mapping"),
        ("extends: builtin\ntolerances:\n  arithmatic: 0.1\n", 3, "did you mean 'arithmetic'"),
        (
            "extends: builtin\norder:\n  - step: a\n  - {step: b, decides: [gpus]}\n",
            4,
            "`order[1].decides[0]` is the text `gpus`; it must be",
        ),
        ("extends: builtin\ngroup_arithmetic:\n  overlays: [pipeline]\n", 3, "[0]` is the text `pipeline`; it must be one of"),
        (OWN.replace("step: only", "step: only, after: [x]"), 1, "which is no step"),
        ("extends: builtin\norder: [", 2, "k.yaml"),
    ],
)
def test_what_breaks_the_schema_is_said_with_its_line(tmp_path: Path, text: str, line: int, sentence: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(sentence)) as error:
        session_of(tmp_path, text)
    assert error.value.path.endswith("k.yaml")
    assert error.value.line == line


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    (tmp_path / "servelint.yaml").write_text("knowledge: gone.yaml\n")
    with pytest.raises(ConfigError, match=r"gone\.yaml: cannot be read"):
        open_session(load(str(tmp_path / "servelint.yaml"), False, "."))


def test_a_step_of_an_extension_that_builds_on_nothing_is_said_by_the_rule(tmp_path: Path) -> None:
    own = session_of(tmp_path, "extends: builtin\norder: [{step: cost, after: [budget]}]\n")
    with pytest.raises(UsageError, match="stands after 'budget', which is no step"):
        lint_texts([PLAN], own)  # type: ignore[arg-type]
