"""SARIF 2.1.0, for code scanning: all rules that ran (so that a clean run says what was checked), findings with their
fixes and related places, and notifications for what could not be read or not be checked.

https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from servelint import __version__
from servelint.finding import Severity
from servelint.reports.base import DOCUMENTATION, from_here, message_of, rule_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from servelint.facts import Place
    from servelint.finding import Edit, Finding, Fix
    from servelint.reports.base import Options
    from servelint.rulebook import Rule
    from servelint.run import Report
    from servelint.source.text import SourceText, Span

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
FINGERPRINT = "servelint/v1"
_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}


def render(report: Report, options: Options) -> str:
    """One SARIF log with one run, ASCII only."""
    return json.dumps(as_object(report, options.rules), indent=2) + "\n"


def as_object(report: Report, rules: Mapping[str, Rule]) -> dict[str, Any]:
    """``rules`` are those that ran; a finding of any other (there should be none) is listed by its own words."""
    described = {code: _rule(rule) for code, rule in rules.items()}
    for finding in report.findings:
        described.setdefault(finding.code, _bare_rule(finding))
    codes = sorted(described)
    index = {code: position for position, code in enumerate(codes)}
    driver = {
        "name": "servelint",
        "semanticVersion": __version__,
        "informationUri": DOCUMENTATION,
        "rules": [described[code] for code in codes],
    }
    run: dict[str, Any] = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {"%SRCROOT%": {"description": {"text": "The folder in which servelint ran."}}},
        "invocations": [{"executionSuccessful": not report.fatal, "toolExecutionNotifications": list(_notifications(report))}],
        "results": [_result(finding, index, report.sources) for finding in report.findings],
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(rule: Rule) -> dict[str, Any]:
    text = rule.documentation or rule.title
    return {
        "id": rule.code,
        "name": rule.name,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": _first_paragraph(text) or rule.title},
        "help": {"text": text, "markdown": text},
        "helpUri": rule_url(rule.code),
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
        "properties": {"certainty": rule.certainty.value, "status": rule.status.value, "since": rule.since},
    }


def _first_paragraph(markdown: str) -> str:
    """The first paragraph that is no heading, on one line."""
    paragraphs = (part.strip() for part in markdown.split("\n\n"))
    return next((" ".join(part.split()) for part in paragraphs if part and not part.startswith("#")), "")


def _bare_rule(finding: Finding) -> dict[str, Any]:
    return {
        "id": finding.code,
        "name": finding.name,
        "shortDescription": {"text": finding.message},
        "helpUri": rule_url(finding.code),
        "defaultConfiguration": {"level": _LEVELS[finding.severity]},
    }


def _result(finding: Finding, index: Mapping[str, int], sources: Mapping[str, SourceText]) -> dict[str, Any]:
    lines = (message_of(finding), *finding.arithmetic, *finding.help)
    result: dict[str, Any] = {
        "ruleId": finding.code,
        "ruleIndex": index[finding.code],
        "level": _LEVELS[finding.severity],
        "message": {"text": "\n".join(lines)},
        "locations": [{**_location(finding.place), "logicalLocations": [_logical(finding)]}],
        "partialFingerprints": {FINGERPRINT: finding.fingerprint},
        "properties": {"certainty": finding.certainty.value},
    }
    if finding.related:
        result["relatedLocations"] = [
            {"id": number, **_location(related.place), "message": {"text": related.label}}
            for number, related in enumerate(finding.related, 1)
        ]
    if finding.fixes:
        result["fixes"] = [_fix(fix, sources) for fix in finding.fixes]
    return result


def _logical(finding: Finding) -> dict[str, str]:
    names = [finding.deployment] if finding.deployment else []
    if finding.pool:
        names.append(finding.pool)
    return {"name": "/".join(names) or finding.path, "fullyQualifiedName": finding.pointer or "/", "kind": "member"}


def _location(place: Place) -> dict[str, Any]:
    source = place.document.source
    region = _region(source, place.span)
    region["snippet"] = {"text": source.text[place.span.start : place.span.end]}
    region["sourceLanguage"] = "json" if source.path.endswith(".json") else "yaml"
    return {"physicalLocation": {"artifactLocation": _artifact(source.path), "region": region}}


def _region(source: SourceText, span: Span | Edit) -> dict[str, Any]:
    start, end = source.position(span.start), source.position(span.end)
    return {"startLine": start.line, "startColumn": start.column, "endLine": end.line, "endColumn": end.column}


def _artifact(path: str) -> dict[str, str]:
    """Relative to the folder servelint ran in; absolute only for files outside of it."""
    from urllib.parse import quote  # lazy: only this format needs it

    path = from_here(path)
    uri = quote(os.fsencode(path))
    return {"uri": "file://" + uri} if os.path.isabs(path) else {"uri": uri, "uriBaseId": "%SRCROOT%"}


def _fix(fix: Fix, sources: Mapping[str, SourceText]) -> dict[str, Any]:
    by_path: dict[str, list[Edit]] = {}
    for edit in fix.edits:
        by_path.setdefault(edit.path, []).append(edit)
    return {
        "description": {"text": fix.title if fix.safe else f"{fix.title} (unsafe: it changes what is served or its limits)"},
        "artifactChanges": [
            {
                "artifactLocation": _artifact(path),
                "replacements": [
                    {"deletedRegion": _region(sources[path], edit), "insertedContent": {"text": edit.text}} for edit in edits
                ],
            }
            for path, edits in by_path.items()
        ],
    }


def _notifications(report: Report) -> Iterable[dict[str, Any]]:
    for error in report.errors:
        location: dict[str, Any] = {"artifactLocation": _artifact(error.path)}
        if error.line:
            location["region"] = {"startLine": error.line, "startColumn": max(error.column, 1)}
        yield {"level": "error", "message": {"text": error.message}, "locations": [{"physicalLocation": location}]}
    for sentence in report.fatal:
        yield {"level": "error", "message": {"text": sentence}}
    for entry in report.not_checked:
        text = f"not checked on {entry.deployment}: {', '.join(entry.codes)}: {entry.fact} unknown ({entry.reason})"
        yield {
            "level": "note",
            "message": {"text": text + (f"; {entry.remedy}" if entry.remedy else "")},
            "locations": [{"physicalLocation": {"artifactLocation": _artifact(entry.path)}}],
        }
