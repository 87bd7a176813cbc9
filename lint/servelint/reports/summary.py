"""The closing lines of a run: what was checked, what was found, and what could not be checked and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.finding import Severity
from servelint.reports.base import count, not_evaluated
from servelint.reports.terminal import printable

if TYPE_CHECKING:
    from servelint.finding import NotChecked
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


# Facts by the words people have for them; the others are shown as the JSON output names them, without their group.
_FACTS = {
    "accelerator.name": "GPU type", "gpus.per_node": "GPUs per node", "engine.name": "engine", "engine.version": "engine version",
    "parallelism.tensor": "tensor parallelism", "parallelism.pipeline": "pipeline parallelism",
    "parallelism.data": "data parallelism", "parallelism.expert": "expert parallelism", "model.id": "model",
    "model.architecture": "model architecture", "replicas.min": "replicas", "replicas.max": "replicas at most",
}  # fmt: skip
_RENDERED = "rendered manifests"
MOST_REASONS = 10
"""Lines that a run closes with at most; a reader of a hundred repositories' worth of reasons reads none of them."""


class _Group:
    """What could not be checked for one reason, or for reasons that differ in a name or a number alone."""

    def __init__(self) -> None:
        self.checks = 0
        self.facts: dict[str, int] = {}
        self.deployments: set[tuple[str, str]] = set()
        self.reasons: dict[tuple[str, str], int] = {}

    def add(self, entry: NotChecked) -> None:
        checks = len(entry.codes)
        self.checks += checks
        self.facts[entry.fact] = self.facts.get(entry.fact, 0) + checks
        self.deployments.add((entry.path, entry.deployment))
        reason = (entry.reason, entry.remedy)
        self.reasons[reason] = self.reasons.get(reason, 0) + checks


def not_checked(report: Report) -> list[str]:
    """One line per reason, the one that stops most checks first; those beyond ``MOST_REASONS`` are only counted."""
    groups: dict[tuple[str, str], _Group] = {}
    for entry in report.not_checked:
        groups.setdefault((_shape(entry.reason), _shape(entry.remedy)), _Group()).add(entry)
    ranked = sorted(groups.items(), key=lambda item: (-item[1].checks, item[0]))
    kept = ranked if len(ranked) <= MOST_REASONS else ranked[: MOST_REASONS - 1]
    lines = [printable(_line(group, report.files > 1)) for _, group in kept]
    rest = ranked[len(kept) :]
    if rest:
        checks = count(sum(group.checks for _, group in rest), "check")
        lines.append(f"{checks} for {len(rest)} other reasons; --format json lists them all")
    return lines


def _shape(text: str) -> str:
    """``text`` without what looks like a name, a path, a variable or a number: reasons of one shape are shown as one."""
    return " ".join("…" if any(c in "/$<=_" or c.isdigit() for c in word) else word for word in text.split())


def _line(group: _Group, several_files: bool) -> str:
    facts = sorted(group.facts, key=lambda fact: (-group.facts[fact], fact))
    names = list(dict.fromkeys(_FACTS.get(fact, fact.rpartition(".")[2]) for fact in facts))
    (reason, remedy), *others = sorted(group.reasons, key=lambda each: (-group.reasons[each], each))
    alike = f", and {len(others)} more like it" if others else ""
    what = f"{_RENDERED} needed" if facts == [_RENDERED] else f"{_listed(names)} unknown"
    line = f"{what} ({reason}{alike}): {count(group.checks, 'check')}"
    if all(name for _, name in group.deployments):
        line += f" on {count(len(group.deployments), 'deployment')}"
    if several_files:
        paths = {path for path, _ in group.deployments}
        line += f" in {min(paths)}" if len(paths) == 1 else f" in {len(paths)} files"
    advice = remedy or ("state it in the manifest" if reason == "not stated" else "")
    return line + (f"; {advice}" if advice else "")


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def statistics(report: Report) -> list[str]:
    """One line per rule with findings: how many, how severe, which."""
    counts: dict[tuple[int, str, str, str], int] = {}
    for finding in report.findings:
        key = (-finding.severity, finding.code, finding.severity.label, finding.name)
        counts[key] = counts.get(key, 0) + 1
    digits = max((len(str(number)) for number in counts.values()), default=1)
    rows = sorted(counts.items(), key=lambda item: (item[0][0], -item[1], item[0][1]))
    return [f"{number:>{digits}}  {label:<7}  {code}  {name}" for (_, code, label, name), number in rows]
