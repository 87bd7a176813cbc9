"""No figure that the schema admits makes a rule fail: zeros, giants and nonsense are judged, or not checked, never a crash."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

import servelint_rules
from servelint import builtin
from servelint.config import Config
from servelint.plugins import Registry
from servelint.run import Session, lint_texts, model_lookup
from servelint.source.nodes import ScalarNode
from servelint.source.reader import read_text
from servelint.source.text import SourceText

FIXTURES = Path(__file__).parents[2] / "fixtures"
TEXTS = [
    path.read_text(encoding="utf-8")
    for path in sorted([*(FIXTURES / "plans").glob("*.yaml"), *(FIXTURES / "rules").glob("[PS]L[NO]*/*/*.yaml")])
    if "kind: DeploymentPlan" in path.read_text(encoding="utf-8")
]
FIGURES = [
    "0", "1", "2", "3", "7", "64", "1000", "65536", "1000000", "0.0", "0.5", "1e-300", "1e15", "0 s", "1e-9 s", "1e9 s", "0 B", "1 B",
    "1e30 GB", "0 %", "100 %", "0 tokens/s", "1e20 tokens/s", "0 req/s", "1e9 req/s", "0 TFLOP", "1e9 PFLOP", "-1", "x",
]  # fmt: skip


@pytest.fixture(scope="module")
def strict() -> Session:
    config = Config(profile="strict")
    return Session(config, Registry([("builtin", builtin), ("rules", servelint_rules)]), model_lookup(config))


def spans(text: str) -> list[tuple[int, int]]:
    """Where the values of the plan stand that are figures."""
    found = []
    (document,) = read_text(SourceText("plan.yaml", text)).documents
    stack = [document.root]
    while stack:
        node = stack.pop()
        if isinstance(node, ScalarNode):
            if node.text[:1].isdigit():
                found.append((node.span.start, node.span.end))
        elif node is not None:
            stack += [inner for _, _, inner in node.entries_at()] or node.elements_at()
    return sorted(found)


def test_the_figures_are_found() -> None:
    assert len(TEXTS) > 60
    assert all(len(spans(text)) >= 2 for text in TEXTS)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.data())
def test_no_figure_makes_a_rule_fail(strict: Session, data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(TEXTS))
    for _ in range(data.draw(st.integers(1, 4))):
        where = spans(text)
        if not where:
            break
        start, end = data.draw(st.sampled_from(where))
        text = text[:start] + data.draw(st.sampled_from(FIGURES)) + text[end:]
    lint_texts([SourceText("plan.yaml", text)], strict)
