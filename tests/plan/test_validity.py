"""The check without jsonschema never calls a plan valid that jsonschema would not."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from jsonschema.validators import Draft202012Validator

import servelint_schemas
from servelint.formats.plan.schema_check import plain
from servelint.formats.plan.validity import surely_valid
from servelint.source.reader import read_text
from servelint.source.text import SourceText

SCHEMA = servelint_schemas.load("plan")
VALIDATOR = Draft202012Validator(SCHEMA)
PLANS = sorted((Path(__file__).parents[2] / "fixtures").glob("**/*.yaml"))


def contents() -> list[Any]:
    found = []
    for path in PLANS:
        text = path.read_text(encoding="utf-8", errors="replace")
        if "kind: DeploymentPlan" in text and "hostile" not in path.parts:
            found += [plain(d.root) for d in read_text(SourceText(path.name, text)).documents if d.root is not None]
    return found


CONTENTS = contents()
VALUES: list[Any] = [
    None, True, 0, 1, -1, 2.0, 0.5, 1e30, "", "x", "64 GB", "30 %", "4 req/s", "generic", [], ["ttft"], {}, {"a": 1},
    {"value": 3}, float("inf"), "servelint/v1",
]  # fmt: skip


def test_every_plan_that_ships_is_decided_alike() -> None:
    assert len(CONTENTS) > 50
    for content in CONTENTS:
        assert surely_valid(content, SCHEMA) is VALIDATOR.is_valid(content)


def paths(node: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [here, *(path for key, value in inner for path in paths(value, (*here, key)))]


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_plan_with_something_changed_is_decided_alike(data: st.DataObject) -> None:
    content = copy.deepcopy(data.draw(st.sampled_from(CONTENTS)))
    path = data.draw(st.sampled_from(paths(content)))
    value = copy.deepcopy(data.draw(st.sampled_from(VALUES)))
    if not path:
        content = value
    else:
        node = content
        for step in path[:-1]:
            node = node[step]
        what = data.draw(st.sampled_from(["set", "remove", "add"]))
        if what == "set":
            node[path[-1]] = value
        elif what == "remove":
            del node[path[-1]]
        elif isinstance(node, dict):
            node["surprise"] = value
    assert surely_valid(content, SCHEMA) is VALIDATOR.is_valid(content)


@pytest.mark.parametrize("schema", [{"if": {}}, {"additionalProperties": {}}, {"items": {"$ref": "#/$defs/none"}}, {"not": {}}])
def test_what_it_does_not_know_is_not_sure(schema: dict[str, Any]) -> None:
    assert surely_valid([1], schema) is False
