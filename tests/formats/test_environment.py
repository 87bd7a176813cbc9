"""The environment of a container."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from servelint.facts import Fact, Origin, OriginKind, UnknownFact
from servelint.formats.environment import environment, expand
from servelint.source.reader import read_text
from servelint.source.text import SourceText

ORIGIN = Origin(OriginKind.DERIVED, "test")


def read(text: str, given: dict[str, Fact[str]] | None = None):
    document = read_text(SourceText("pod.yaml", text)).documents[0]
    assert document.root is not None
    return environment(document, document.root, given)


def test_values_and_their_places() -> None:
    text = "env:\n  - name: TP\n    value: '8'\n  - name: EMPTY\n"
    variables = read(text)
    place = variables["TP"].place
    assert variables["TP"].value == "8"
    assert variables["EMPTY"].value == ""
    assert place is not None
    assert text[place.span.start : place.span.end] == "'8'"


def test_earlier_variables_are_replaced_and_later_ones_are_not() -> None:
    variables = read("env: [{name: A, value: 'x-$(B)-$$(A)'}, {name: B, value: $(SIZE)}]", {"SIZE": Fact.known("s", "4", ORIGIN)})
    assert variables["A"].value == "x-$(B)-$(A)"
    assert variables["B"].value == "4"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{configMapKeyRef: {name: runtime, key: MODEL}}", "configMapKeyRef runtime"),
        ("{secretKeyRef: {name: token, key: t}}", "secretKeyRef token"),
        ("{fieldRef: {fieldPath: status.podIP}}", "fieldRef status.podIP"),
    ],
)
def test_values_from_elsewhere_are_unknown(source: str, said: str) -> None:
    variables = read(f"env: [{{name: MODEL, valueFrom: {source}}}, {{name: PATHNAME, value: /models/$(MODEL)}}]")
    for name in ("MODEL", "PATHNAME"):
        with pytest.raises(UnknownFact) as unknown:
            _ = variables[name].value
        assert said in unknown.value.reason


def test_env_from_makes_every_other_name_unknown() -> None:
    variables = read("envFrom: [{configMapRef: {name: runtime}}]\nenv: [{name: A, value: a}, {name: B, value: $(C)}]")
    assert variables["A"].value == "a"
    assert not variables["B"].is_known
    assert not variables["C"].is_known
    assert list(variables) == ["A", "B"]


def test_without_env_from_a_name_that_is_not_listed_does_not_exist() -> None:
    variables = read("env: [{name: A, value: a}]")
    assert "C" not in variables
    assert variables.get("C") is None


def test_names_that_a_service_may_set_are_unknown() -> None:
    with pytest.raises(UnknownFact):
        expand("$(REDIS_SERVICE_HOST)", {})


@given(st.text(alphabet="ab$() ", max_size=20))
def test_expansion_ends_and_changes_only_variables(text: str) -> None:
    result = expand(text, {"a": Fact.known("env.a", "1", ORIGIN)})
    if "$" not in text:
        assert result == text
    assert expand(text.replace("$", "$$"), {}) == text
