"""The published schemas: valid, complete, and in step with what the program reads and prints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema.validators import Draft202012Validator

import servelint_schemas
from servelint.capacity.layout import GROUP_LAWS
from servelint.config import Config
from servelint.deployment import Pool, Role
from servelint.formats.plan import quantities
from servelint.formats.plan.accelerator import PEAK_KEYS
from servelint.formats.plan.model import DEGREES, LETTERS, most_of
from servelint.formats.plan.schema_check import plain
from servelint.source.reader import read_text
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from collections.abc import Iterator

FIXTURES = Path(__file__).parents[2] / "fixtures"
PLAN = servelint_schemas.load("plan")


def test_the_names() -> None:
    assert {"config", "knowledge", "output", "plan"} <= set(servelint_schemas.names())
    with pytest.raises(LookupError, match="there are config, "):
        servelint_schemas.load("plans")


@pytest.mark.parametrize("name", servelint_schemas.names())
def test_a_schema_is_valid_and_published(name: str) -> None:
    schema = servelint_schemas.load(name)
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"].endswith(f"/servelint_schemas/{name}.schema.json")
    assert schema["title"]


def subschemas(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from subschemas(value)
    elif isinstance(node, list):
        for value in node:
            yield from subschemas(value)


@pytest.mark.parametrize("name", ["plan", "config", "knowledge"])
def test_what_people_write_is_closed_and_described(name: str) -> None:
    for node in subschemas(servelint_schemas.load(name)):
        if node.get("type") == "object" and "properties" in node and "owner" not in node["properties"]:
            assert "additionalProperties" in node
        if "$ref" in node:
            assert node["$ref"].startswith("#/$defs/"), "nothing is fetched"


def test_the_degrees_are_those_that_are_read() -> None:
    assert set(PLAN["$defs"]["degrees"]["properties"]) == set(DEGREES) == set(LETTERS)
    assert set(DEGREES.values()) <= set(Pool._fields)
    assert {k: v["maximum"] for k, v in PLAN["$defs"]["degrees"]["properties"].items()} == {key: most_of(key) for key in DEGREES}


def test_a_phase_has_the_degrees_of_a_plan_and_what_limits_it() -> None:
    phase = dict(PLAN["$defs"]["phase"]["properties"])
    assert set(phase.pop("bound")["enum"]) == {"compute", "memory"}
    assert phase == PLAN["$defs"]["degrees"]["properties"]


def test_engines_roles_and_number_formats_are_those_that_are_read() -> None:
    assert set(PLAN["properties"]["engine"]["properties"]["name"]["enum"]) == set(GROUP_LAWS)
    assert set(PLAN["properties"]["pools"]["items"]["properties"]["role"]["enum"]) == {role.value for role in Role}
    assert set(PLAN["$defs"]["accelerator"]["properties"]["compute"]["properties"]) == set(PEAK_KEYS)
    assert {s["x-dimension"] for s in subschemas(PLAN) if isinstance(s.get("x-dimension"), str)} == {
        d.value for d in quantities.Dimension
    }


def test_the_config_schema_has_what_the_config_has() -> None:
    assert set(servelint_schemas.load("config")["properties"]) == set(Config._fields) - {"path"}


@pytest.mark.parametrize(
    ("config", "valid"),
    [
        ({}, True),
        ({"select": ["PLN", "PAR207"], "ignore": ["K8S6"], "severity": {"PLN901": "warning"}, "fail_on": "warning"}, True),
        (
            {"default_accelerator": "H100-SXM5-80GB", "engine_versions": {"vllm": "0.19"}, "model_configs": {"a/b": "c.json"}},
            True,
        ),
        (
            {
                "exclude": ["charts/**"],
                "plugins": ["rules.py"],
                "complete": True,
                "strict": False,
                "hf_cache": "x",
                "knowledge": "k.yaml",
            },
            True,
        ),
        ({"severity": {"PLN901": "fatal"}}, False),
        ({"select": "PLN"}, False),
        ({"select": ["pln"]}, False),
        ({"engine_versions": {"vllm": 0.2}}, False),  # 0.20 without quotes
        ({"selct": []}, False),
    ],
)
def test_configurations(config: dict[str, Any], valid: bool) -> None:
    assert Draft202012Validator(servelint_schemas.load("config")).is_valid(config) is valid


def plans() -> list[Path]:
    """The plans that are meant to be valid: the hostile folder and the schema rules have others."""
    found = [*(FIXTURES / "plans").glob("*.yaml"), *(FIXTURES / "rules").glob("P*/*/*.yaml")]
    return [path for path in sorted(found) if "kind: DeploymentPlan" in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("path", plans(), ids=lambda path: str(path.relative_to(FIXTURES)))
def test_the_plans_that_ship_are_valid(path: Path) -> None:
    (document,) = read_text(SourceText(path.name, path.read_text(encoding="utf-8"))).documents
    assert document.root is not None
    assert [e.message for e in Draft202012Validator(PLAN).iter_errors(plain(document.root))] == []


def test_the_json_output_is_what_its_schema_says() -> None:
    import servelint_rules
    from servelint import builtin
    from servelint.fixes.verify import with_fixes
    from servelint.plugins import Registry
    from servelint.reports.json import as_object
    from servelint.run import Session, lint_texts, model_lookup

    config = Config()
    session = Session(config, Registry([("builtin", builtin), ("rules", servelint_rules)]), model_lookup(config))
    texts = [SourceText(p.name, p.read_text(encoding="utf-8")) for p in sorted((FIXTURES / "plans").glob("*.yaml"))]
    texts.append(SourceText("broken.yaml", "kind: DeploymentPlan\napiVersion: servelint/v1\nmodel: {id: [\n"))
    texts.append(SourceText("gpu.yaml", texts[0].text.replace("memory: 64 GB", "name: unknown-gpu")))
    report = with_fixes(lint_texts(texts, session), session)
    shown = as_object(report, None) if as_object.__code__.co_argcount > 1 else as_object(report)  # type: ignore[call-arg]
    assert shown["findings"]
    assert shown["not_checked"]
    assert shown["errors"]
    validator = Draft202012Validator(servelint_schemas.load("output"))
    assert [f"{e.json_path}: {e.message}" for e in validator.iter_errors(shown)] == []
