"""Whatever stands in a plan, reading and judging it ends, without a traceback; and one bad value costs only its own facts."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings, strategies as st

from servelint.facts import UnknownFact
from servelint.formats.plan.claims import change_degrees
from servelint.source.nodes import MappingNode, ScalarNode, SequenceNode, walk
from servelint.source.reader import read_text
from servelint.source.text import SourceText
from servelint_rules import plan as rules

if TYPE_CHECKING:
    from collections.abc import Callable

PLANS = [path.read_text(encoding="utf-8") for path in sorted((Path(__file__).parents[2] / "fixtures" / "plans").glob("*.yaml"))]
JUNK = st.one_of(
    st.sampled_from(
        ["", "~", "0", "-1", "1e400", "-0.0", ".inf", ".nan", "0x10", "0o17", "1e3", "2.5", "true", "'2'", "[]", "{}", "[[1]]", "{a: b}",
         "64 GB", "64 Gb", "10 s", "1 %", "99999999999999999999", "servelint/v1", "*x", "!!int 3", "!x 3", "|", "\u00e9", "'\\'"]
    ),
    st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), max_size=12),
)  # fmt: skip
CHECKS = [rule for rule in vars(rules).values() if hasattr(rule, "check")]


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])  # the fixture has no state
@given(text=st.sampled_from(PLANS), data=st.data())
def test_any_value_anywhere(recognised: Callable[[str], Any], text: str, data: st.DataObject) -> None:
    document = read_text(SourceText("plan.yaml", text)).documents[0]
    assert document.root is not None
    nodes = [n for n in walk(document.root) if isinstance(n, ScalarNode | MappingNode | SequenceNode) and n is not document.root]
    for node in data.draw(st.lists(st.sampled_from(nodes), min_size=1, max_size=3)):
        if text[node.span.start : node.span.end]:
            text = text[: node.span.start] + data.draw(JUNK) + text[node.span.end :]
            break  # spans are of the first text
    found = recognised(text)
    for problem in found.problems:
        assert problem.text == problem.text.strip()
        assert "\n" not in problem.text.replace("\u0085", "\n") or len(problem.text) < 200
        assert len(problem.text) < 400
    for deployment in found.deployments:
        assert deployment.plan.document.root is not None
        for rule in CHECKS:
            with suppress(UnknownFact):
                for verdict in rule.check(found.case):
                    assert verdict.label
        change_degrees(found.case, pipeline=1)
