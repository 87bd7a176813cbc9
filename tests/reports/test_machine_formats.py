"""JSON, SARIF and GitHub annotations on the fixed report."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from servelint.finding import Severity
from servelint.reports import github, json as json_report, sarif
from servelint.reports.base import Options
from servelint.rulebook import Scope, rule

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from servelint.rulebook import Rule
    from servelint.run import Report

from servelint.finding import Certainty


def _silent(case: Any) -> list[Any]:
    """## What it checks

    Nothing: there is
    nothing to find.

    ## Why it matters

    It does not.
    """
    return []


RULES: dict[str, Rule] = {
    code: rule(code, name, title, severity=severity, certainty=Certainty.PROVEN, scope=Scope.POOL, since="0.1.0")(_silent)
    for code, name, title, severity in (
        ("MEM402", "kv-cache-below-one-sequence", "KV cache below one sequence of max_model_len", Severity.ERROR),
        ("PAR207", "pipeline-parallel-not-needed", "pipeline parallelism that nothing needs", Severity.WARNING),
        ("SLO802", "never-found-here", "a rule that found nothing", Severity.INFO),
    )
}


def sarif_log(report: Report) -> dict[str, Any]:
    log: dict[str, Any] = json.loads(sarif.render(report, Options(rules=RULES)))
    return log


@pytest.fixture(scope="module")
def sarif_schema() -> dict[str, Any]:
    from pathlib import Path

    path: Path = Path(__file__).parent.parent / "data" / "sarif-schema-2.1.0.json"
    schema: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return schema


def test_json_snapshot(report: Report, snapshot: Callable[[str, str], None]) -> None:
    snapshot("report.json", json_report.render(report, Options()))


def test_json_matches_its_published_schema(report: Report, clean: Report) -> None:
    schemas = pytest.importorskip("servelint_schemas")
    validator = jsonschema.Draft202012Validator(schemas.load("output"))
    for each in (report, clean):
        assert [e.message for e in validator.iter_errors(json_report.as_object(each))] == []


def test_json_positions_are_code_points_with_exclusive_ends(report: Report) -> None:
    finding = json_report.as_object(report)["findings"][1]
    assert (finding["line"], finding["column"], finding["end_line"], finding["end_column"]) == (4, 26, 4, 37)
    source = report.sources[finding["path"]].text
    edit = finding["fixes"][0]["edits"][0]
    assert source[edit["start"] : edit["end"]] == "2"


def test_sarif_snapshot(report: Report, snapshot: Callable[[str, str], None]) -> None:
    snapshot("report.sarif", sarif.render(report, Options(rules=RULES)))


def test_sarif_is_valid(report: Report, clean: Report, sarif_schema: dict[str, Any]) -> None:
    validator = jsonschema.Draft4Validator(sarif_schema)
    for each in (report, clean, report._replace(fatal=("nowhere.yaml: no such file",))):
        assert [e.message for e in validator.iter_errors(sarif_log(each))] == []


def test_the_vendored_schema_rejects_what_is_wrong(report: Report, sarif_schema: dict[str, Any]) -> None:
    log = sarif_log(report)
    log["runs"][0]["results"][0]["level"] = "fatal"
    assert not jsonschema.Draft4Validator(sarif_schema).is_valid(log)


def test_sarif_lists_every_rule_that_ran_and_points_at_it(report: Report) -> None:
    run = sarif_log(report)["runs"][0]
    rules = run["tool"]["driver"]["rules"]
    assert [each["id"] for each in rules] == ["MEM402", "PAR207", "SLO802"]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
    assert run["columnKind"] == "unicodeCodePoints"


def test_sarif_describes_rules_by_their_pages(report: Report) -> None:
    described = sarif_log(report)["runs"][0]["tool"]["driver"]["rules"][0]
    assert described["fullDescription"] == {"text": "Nothing: there is nothing to find."}
    assert described["help"]["markdown"].startswith("## What it checks\n\nNothing: there is\n")


def test_sarif_fixes_and_fingerprints(report: Report) -> None:
    first, second = sarif_log(report)["runs"][0]["results"]
    assert first["partialFingerprints"] == {"servelint/v1": report.findings[0].fingerprint}
    replacement = first["fixes"][0]["artifactChanges"][0]["replacements"][0]
    assert replacement["insertedContent"] == {"text": "23584"}
    assert replacement["deletedRegion"] == {"startLine": 11, "startColumn": 31, "endLine": 11, "endColumn": 37}
    assert [each["message"]["text"] for each in second["relatedLocations"]] == ["ask them"]


def test_sarif_locations_are_relative_and_encoded(report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    location = sarif_log(report)["runs"][0]["results"][1]["locations"][0]["physicalLocation"]["artifactLocation"]
    assert location == {"uri": "plans/%E7%99%BE%E5%84%84%2C%20v2.yaml", "uriBaseId": "%SRCROOT%"}
    monkeypatch.chdir(tmp_path)
    assert sarif._artifact(str(tmp_path / "a" / "b.yaml"))["uri"] == "a/b.yaml"
    assert sarif._artifact("/elsewhere/b.yaml") == {"uri": "file:///elsewhere/b.yaml"}
    assert sarif._artifact("./a/../b.yaml")["uri"] == "b.yaml"


def test_sarif_says_what_was_not_read_or_not_checked(report: Report) -> None:
    notes = sarif_log(report)["runs"][0]["invocations"][0]["toolExecutionNotifications"]
    assert [note["level"] for note in notes] == ["error", "note", "note", "note"]
    assert notes[0]["locations"][0]["physicalLocation"]["region"]["startLine"] == 3


def test_github_snapshot(report: Report, snapshot: Callable[[str, str], None]) -> None:
    snapshot("report.github.txt", github.render(report, Options()))


def test_github_escapes_what_would_end_a_command(report: Report) -> None:

    finding = report.findings[1]._replace(label="100 %\n::error::injected\r")
    line = github.render(report._replace(findings=(finding,)), Options()).splitlines()[0]
    assert "100 %25%0A::error::injected%0D" in line
    assert "file=plans/百億%2C v2.yaml" in line


def test_github_gives_no_columns_over_several_lines(report: Report) -> None:

    place = report.findings[0].place
    wide = report.findings[0]._replace(place=place._replace(span=place.span._replace(start=0)))
    line = github.render(report._replace(findings=(wide,)), Options()).splitlines()[0]
    assert ",line=1,endLine=11::" in line


def test_github_paths_are_relative_to_the_working_directory(
    report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    report.findings[0].place.document.source.path = str(tmp_path / "deploy" / "a.yaml")
    assert ",file=deploy/a.yaml,line=11," in github.render(report, Options())


def test_github_prints_the_worst_first(report: Report) -> None:
    shown = github.render(report._replace(findings=report.findings[::-1]), Options()).splitlines()
    assert [line.split(" ")[0] for line in shown[:2]] == ["::error", "::warning"]
