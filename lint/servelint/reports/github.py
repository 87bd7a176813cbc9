"""Annotations of GitHub Actions: workflow commands on standard output, one a finding, the worst first.

GitHub shows only the first ten of a kind per step, hence the order. https://docs.github.com/actions/reference/workflow-commands-for-github-actions
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.finding import Severity
from servelint.reports import summary
from servelint.reports.base import from_here, message_of, worst_first

if TYPE_CHECKING:
    from servelint.finding import Finding
    from servelint.reports.base import Options
    from servelint.run import Report

_COMMANDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}


def render(report: Report, options: Options) -> str:  # noqa: ARG001 - the signature of all formats
    """The annotations, then (as plain log lines) what could not be checked and the summary."""
    lines = [_annotation(finding) for finding in sorted(report.findings, key=worst_first)]
    lines += [f"not checked: {line}" for line in summary.not_checked(report)]
    lines.append(summary.summary(report))
    return "\n".join(lines) + "\n"


def _data(text: str) -> str:
    """Escape the message of a command."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    """Escape a property's value."""
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _annotation(finding: Finding) -> str:
    source = finding.place.document.source
    start, end = source.position(finding.place.span.start), source.position(finding.place.span.end)
    properties = {"title": f"{finding.code} {finding.name}", "file": from_here(source.path), "line": str(start.line)}
    properties["endLine"] = str(end.line)
    if start.line == end.line:  # GitHub rejects columns on an annotation of several lines
        properties |= {"col": str(start.column), "endColumn": str(end.column)}
    written = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    message = "\n".join((message_of(finding), *finding.arithmetic, *finding.help))
    return f"::{_COMMANDS[finding.severity]} {written}::{_data(message)}"
