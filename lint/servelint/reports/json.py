"""The JSON output of ``check``: one object, version 1, described by ``servelint schema output``.

Lines and columns are 1-based code points with exclusive ends; offsets of edits are code points of the text without BOM.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from servelint import __version__
from servelint.reports.base import message_of, not_evaluated, rule_url
from servelint.reports.summary import by_severity

if TYPE_CHECKING:
    from servelint.facts import Place
    from servelint.finding import Finding
    from servelint.reports.base import Options
    from servelint.run import Report

FORMAT_VERSION = 1


def render(report: Report, options: Options) -> str:  # noqa: ARG001 - the signature of all formats
    """The whole report as JSON, ASCII only, so that no terminal's or pipe's encoding can spoil it."""
    return json.dumps(as_object(report), indent=2) + "\n"


def as_object(report: Report) -> dict[str, Any]:
    return {
        "version": FORMAT_VERSION,
        "tool": {"name": "servelint", "version": __version__},
        "summary": {
            "files": report.files,
            "deployments": len(report.deployments),
            "rules": report.rules,
            "findings": {severity.label: number for severity, number in by_severity(report).items()},
            "not_checked": not_evaluated(report),
        },
        "findings": [_finding(finding) for finding in report.findings],
        "not_checked": [{**entry._asdict(), "codes": list(entry.codes)} for entry in report.not_checked],
        "errors": [{"path": error.path, "line": error.line, "message": error.message} for error in report.errors],
    }


def region(place: Place) -> dict[str, Any]:
    """``path``, ``document`` and the four coordinates of a place."""
    source = place.document.source
    start, end = source.position(place.span.start), source.position(place.span.end)
    return {
        "path": source.path,
        "document": place.document.index,
        "line": start.line,
        "column": start.column,
        "end_line": end.line,
        "end_column": end.column,
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "code": finding.code,
        "name": finding.name,
        "severity": finding.severity.label,
        "certainty": finding.certainty.value,
        "message": message_of(finding),
        **region(finding.place),
        "pointer": finding.pointer,
        "deployment": finding.deployment,
        "pool": finding.pool,
        "arithmetic": list(finding.arithmetic),
        "help": list(finding.help),
        "related": [
            {**region(related.place), "pointer": related.place.document.pointer(related.place.span), "label": related.label}
            for related in finding.related
        ],
        "fixes": [
            {"safe": fix.safe, "title": fix.title, "edits": [edit._asdict() for edit in fix.edits]} for fix in finding.fixes
        ],
        "fingerprint": finding.fingerprint,
        "url": rule_url(finding.code),
    }
