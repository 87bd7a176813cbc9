"""A comparison as the deployment optimization summary: for the terminal, for a pull request, and as JSON."""

from __future__ import annotations

import json as json_module
from typing import TYPE_CHECKING, Any

from servelint import __version__
from servelint.reports.base import message_of
from servelint.reports.markdown import escape, table
from servelint.reports.terminal import printable, width

if TYPE_CHECKING:
    from collections.abc import Sequence

    from servelint.compare import Check, Comparison
    from servelint.finding import Finding

_MARKS = {True: "met", False: "NOT MET", None: "not checked"}
_SIGNS = {True: "✅", False: "❌", None: "❔"}
_NOTHING = "none"


def impact(comparison: Comparison) -> list[str]:
    """GPUs and money, before and after."""
    old, new = comparison.old_gpus, comparison.new_gpus
    if old is None or new is None:
        lines = ["GPUs: not known on both sides (a degree or a replica count is unknown)"]
    else:
        lines = [f"GPUs: {old} → {new}" + _change(old, new, "fewer", "more")]
    before, after = comparison.old_usd_per_hour, comparison.new_usd_per_hour
    if before is not None and after is not None:
        lines.append(f"on-demand price: {before:.2f} → {after:.2f} USD/h" + _change(before, after, "less", "more"))
    return lines


def _change(old: float, new: float, less: str, more: str) -> str:
    if not old or old == new:
        return ""
    return f" ({abs(new - old) / old * 100:.0f} % {more if new > old else less})"


def _findings(comparison: Comparison) -> list[tuple[str, tuple[Finding, ...]]]:
    return [
        ("Issues of the old deployment that are gone", comparison.solved),
        ("Issues that remain", comparison.remaining),
        ("New issues", comparison.introduced),
    ]


def text(comparison: Comparison) -> str:
    """For the terminal."""
    blocks = [[f"{comparison.old_name} → {comparison.new_name}"], _columns(comparison)]
    for title, findings in _findings(comparison):
        if findings:
            blocks.append([f"{title}:", *(f"  {f.severity.label}[{f.code}]: {message_of(f)}" for f in findings)])
    if comparison.rationale:
        blocks.append(["Rationale:", *(f"  {line}" for line in comparison.rationale)])
    for title, checks in (("Targets", comparison.targets), ("Principles", comparison.principles)):
        if checks:
            blocks.append([f"{title}:", *(f"  {_MARKS[check.met]:<11}  {check.name}: {check.shown}" for check in checks)])
    blocks.append(["Impact:", *(f"  {line}" for line in impact(comparison))])
    return "\n\n".join("\n".join(map(printable, block)) for block in blocks) + "\n"


def _columns(comparison: Comparison) -> list[str]:
    rows = [("", "old", "new", "change"), *((row.aspect, row.old, row.new, row.change) for row in comparison.rows)]
    widths = [max(width(printable(row[column])) for row in rows) for column in range(3)]

    def cell(content: str, columns: int) -> str:
        return content + " " * (columns - width(printable(content)))

    return ["  ".join([*map(cell, row[:3], widths), row[3]]).rstrip() for row in rows]


def markdown(comparison: Comparison) -> str:
    """For a pull request."""
    lines = ["# Deployment optimization summary", ""]
    lines += [f"{escape(comparison.old_name)} → {escape(comparison.new_name)}", "", "## Key changes", ""]
    rows = [[f"**{escape(row.aspect)}**", *map(escape, (row.old, row.new, row.change))] for row in comparison.rows]
    lines += [*table(["Aspect", "Previous", "New", "Change"], rows), ""]
    for title, findings in _findings(comparison):
        if findings or title == "New issues":
            lines += [f"## {title}", "", *_items(findings), ""]
    if comparison.rationale:
        lines += ["## Rationale", "", *(f"- {escape(line)}" for line in comparison.rationale), ""]
    lines += ["## Verification", ""]
    for title, checks in (("Targets", comparison.targets), ("Principles", comparison.principles)):
        lines += [f"**{title}**", "", *_checks(checks), ""]
    lines += ["## Impact", "", *(f"- {escape(line)}" for line in impact(comparison))]
    return "\n".join(lines) + "\n"


def _items(findings: Sequence[Finding]) -> list[str]:
    items = [f"- **{finding.code}** ({finding.severity.label}) {escape(message_of(finding))}" for finding in findings]
    return items or [_NOTHING]


def _checks(checks: Sequence[Check]) -> list[str]:
    return [f"- {_SIGNS[check.met]} {escape(check.name)}: {escape(check.shown)}" for check in checks] or ["none stated"]


def json(comparison: Comparison) -> str:
    """For programs; ASCII only."""
    return json_module.dumps(as_object(comparison), indent=2) + "\n"


def as_object(comparison: Comparison) -> dict[str, Any]:
    return {
        "version": 1,
        "tool": {"name": "servelint", "version": __version__},
        "old": comparison.old_name,
        "new": comparison.new_name,
        "gpus": {"old": comparison.old_gpus, "new": comparison.new_gpus},
        "usd_per_hour": {"old": comparison.old_usd_per_hour, "new": comparison.new_usd_per_hour},
        "changes": [row._asdict() for row in comparison.rows],
        "issues": {
            "solved": list(map(_issue, comparison.solved)),
            "remaining": list(map(_issue, comparison.remaining)),
            "introduced": list(map(_issue, comparison.introduced)),
        },
        "rationale": list(comparison.rationale),
        "targets": [check._asdict() for check in comparison.targets],
        "principles": [check._asdict() for check in comparison.principles],
    }


def _issue(finding: Finding) -> dict[str, Any]:
    line = finding.place.document.source.position(finding.place.span.start).line
    return {
        "code": finding.code,
        "name": finding.name,
        "severity": finding.severity.label,
        "message": message_of(finding),
        "path": finding.path,
        "line": line,
    }
