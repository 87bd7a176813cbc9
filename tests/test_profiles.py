"""Profiles: what a run says by default, with advice, and as a gate."""

from __future__ import annotations

from typing import Any

import pytest

from servelint.config import Config, load
from servelint.errors import ConfigError, UsageError
from servelint.facts import Place
from servelint.finding import Certainty, Severity, Verdict
from servelint.hooks import hookimpl
from servelint.judge import Said, findings
from servelint.plugins import Registry
from servelint.rulebook import Rule, Scope, Theme, rule
from servelint.source.needles import Words
from servelint.source.nodes import Document
from servelint.source.text import SourceText, Span


def made(code: str, *, severity: Severity, certainty: Certainty, advice: bool = False) -> Rule:
    @rule(code, code.lower(), "title", severity=severity, certainty=certainty, scope=Scope.POOL, since="0.1.0", advice=advice)
    def check(case: Any) -> list[Verdict]:
        return [case]

    return check


PROVEN = made("TOY101", severity=Severity.ERROR, certainty=Certainty.PROVEN)
ESTIMATED = made("TOY102", severity=Severity.ERROR, certainty=Certainty.ESTIMATED)
WARNING = made("TOY103", severity=Severity.WARNING, certainty=Certainty.PROVEN)
ADVICE = made("TOY104", severity=Severity.INFO, certainty=Certainty.HEURISTIC, advice=True)
POOL = frozenset((Scope.POOL,))
EVERY = (PROVEN, ESTIMATED, WARNING, ADVICE)


def registry_of(theme: Theme) -> Registry:
    class Plugin:
        @hookimpl
        def servelint_rules(self) -> tuple[Theme, ...]:
            return (theme,)

    return Registry([("toy", Plugin())])


def reported(config: Config) -> list[str]:
    """The codes that one finding of every rule leaves."""
    source = SourceText("a.yaml", "a: 1")
    place = Place(Document(source, 0, None, Span(0, 4)), Span(0, 1))
    said = [Said(each, Verdict(place, "label"), "", "") for each in EVERY if config.runs(each)]
    return [finding.code for finding in findings(said, config)]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (Config(), ["TOY101", "TOY102", "TOY103"]),
        (Config(profile="strict"), ["TOY101", "TOY102", "TOY103", "TOY104"]),
        (Config(profile="gate"), ["TOY101"]),
        (Config(select=("TOY",)), ["TOY101", "TOY102", "TOY103"]),
        (Config(select=("TOY104",)), ["TOY104"]),
        (Config(profile="strict", ignore=("TOY104",)), ["TOY101", "TOY102", "TOY103"]),
        (Config(profile="gate", severity={"TOY101": Severity.WARNING}), []),
    ],
)
def test_what_a_profile_reports(config: Config, expected: list[str]) -> None:
    assert reported(config) == expected


def test_advice_is_not_even_imported_by_default() -> None:
    registry = registry_of(Theme("no.such.module", POOL, ("TOY104",), advice=True))
    assert registry.rules_for(POOL, Words(""), Config()) == []
    with pytest.raises(UsageError, match=r"no\.such\.module failed to load"):
        registry.rules_for(POOL, Words(""), Config(profile="strict"))


def test_a_theme_of_which_nothing_is_selected_is_not_imported() -> None:
    registry = registry_of(Theme("no.such.module", POOL, ("TOY104",)))
    assert registry.rules_for(POOL, Words(""), Config(select=("CLI",))) == []


def test_a_theme_runs_on_files_with_its_words_only() -> None:
    registry = registry_of(Theme("servelint_rules.tool_calls", frozenset((Scope.CONTAINER,)), ("CLI117",), ("tool-choice",)))
    config = Config()
    assert registry.rules_for(frozenset((Scope.CONTAINER,)), Words("--model m"), config) == []
    assert [r.code for r in registry.rules_for(frozenset((Scope.CONTAINER,)), Words("--enable-auto-tool-choice"), config)] == [
        "CLI117"
    ]
    # though it is imported now
    assert registry.rules_for(frozenset((Scope.CONTAINER,)), Words("--model m"), config) == []


def test_an_unknown_profile_is_a_configuration_error(tmp_path: Any) -> None:
    path = tmp_path / "servelint.yaml"
    path.write_text("select: [PAR]\nprofile: loud\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load(str(path), False, str(tmp_path))
    assert caught.value.line == 2
