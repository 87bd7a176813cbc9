"""The closing lines of a run: what was checked, what was found, and what could not be checked and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.finding import Severity
from servelint.reports.base import count, not_evaluated
from servelint.reports.terminal import printable

if TYPE_CHECKING:
    from servelint.run import Report


def summary(report: Report) -> str:
    """``3 files, 4 deployments, 96 rules: no findings (2 checks not evaluated)``."""
    scope = f"{count(report.files, 'file')}, {count(len(report.deployments), 'deployment')}, {count(report.rules, 'rule')}"
    counts = by_severity(report)
    found = ", ".join(count(number, _PLAIN[severity]) for severity, number in counts.items() if number) or "no findings"
    missing = not_evaluated(report)
    return f"{scope}: {found}" + (f" ({count(missing, 'check')} not evaluated)" if missing else "")


_PLAIN = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}


def by_severity(report: Report) -> dict[Severity, int]:
    """How many findings of each severity, the worst first."""
    counts = dict.fromkeys(sorted(Severity, reverse=True), 0)
    for finding in report.findings:
        counts[finding.severity] += 1
    return counts


def fixable(report: Report) -> str:
    """How many findings ``--fix`` would settle; "" where there are none."""
    safe = sum(any(fix.safe for fix in finding.fixes) for finding in report.findings)
    unsafe = sum(bool(finding.fixes) and not any(fix.safe for fix in finding.fixes) for finding in report.findings)
    if safe and unsafe:
        return f"{safe} fixable with --fix, {unsafe} more with --fix --unsafe-fixes"
    if safe:
        return f"{safe} fixable with --fix"
    return f"{unsafe} fixable with --fix --unsafe-fixes" if unsafe else ""


def not_checked(report: Report) -> list[str]:
    """One line per missing fact, the one that stops most checks first."""
    groups: dict[tuple[str, str, str], tuple[int, set[tuple[str, str]]]] = {}
    for entry in report.not_checked:
        key = (entry.fact, entry.reason, entry.remedy)
        checks, deployments = groups.get(key, (0, set()))
        deployments.add((entry.path, entry.deployment))
        groups[key] = (checks + len(entry.codes), deployments)
    lines = []
    for (fact, reason, remedy), (checks, deployments) in sorted(groups.items(), key=lambda item: (-item[1][0], item[0])):
        line = f"{fact} unknown ({reason}): {count(checks, 'check')} on {count(len(deployments), 'deployment')}"
        lines.append(printable(line + (f"; {remedy}" if remedy else "")))
    return lines


def statistics(report: Report) -> list[str]:
    """One line per rule with findings: how many, how severe, which."""
    counts: dict[tuple[int, str, str, str], int] = {}
    for finding in report.findings:
        key = (-finding.severity, finding.code, finding.severity.label, finding.name)
        counts[key] = counts.get(key, 0) + 1
    digits = max((len(str(number)) for number in counts.values()), default=1)
    rows = sorted(counts.items(), key=lambda item: (item[0][0], -item[1], item[0][1]))
    return [f"{number:>{digits}}  {label:<7}  {code}  {name}" for (_, code, label, name), number in rows]
