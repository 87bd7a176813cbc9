"""Verification: a proposal becomes a fix only if linting the edited text proves it.

Accepted only if (a) its finding is gone, (b) no finding of the same or higher severity is new, and (c) the parsed trees
before and after are equal except at the named places.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.finding import Fix
from servelint.run import lint_again
from servelint.source.edits import apply

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from servelint.finding import Edit, Finding, Proposal
    from servelint.run import Report, Session
    from servelint.source.text import SourceText


def edited(sources: Mapping[str, SourceText], edits: Iterable[Edit]) -> dict[str, SourceText]:
    """The texts that ``edits`` change, after the change. Raises ValueError where edits overlap."""
    by_path: dict[str, list[Edit]] = {}
    for edit in edits:
        by_path.setdefault(edit.path, []).append(edit)
    return {path: sources[path].with_text(apply(sources[path].text, group)) for path, group in by_path.items()}


def _unchanged_elsewhere(before: SourceText, after: SourceText, edits: Iterable[Edit]) -> bool:
    from servelint.source.treediff import equal_outside  # lazy: only runs with proposals verify any

    return equal_outside(before, after, [e for e in edits if e.path == before.path])


def verify(finding: Finding, proposal: Proposal, report: Report, session: Session) -> Fix | None:
    """The fix, or None where the proposal has no edits or does not hold what it promises."""
    if not proposal.edits:
        return None
    try:
        changed = edited(report.sources, proposal.edits)
    except ValueError:
        return None  # overlapping edits: nothing that can be proven
    if not all(_unchanged_elsewhere(report.sources[path], text, proposal.edits) for path, text in changed.items()):
        return None
    after = lint_again(report, changed, session)
    before = {f.identity: f.severity for f in report.findings}
    for other in after.findings:
        if other.identity == finding.identity:
            return None
        if other.identity not in before and other.severity >= finding.severity:
            return None
    return Fix(proposal.title, proposal.safe, proposal.edits)


def with_fixes(report: Report, session: Session) -> Report:
    """The report with every finding's verified fixes; a proposal in words stays among its help lines."""
    findings = []
    for finding in report.findings:
        fixes = tuple(f for p in finding.proposals if (f := verify(finding, p, report, session)) is not None)
        words = tuple(p.title for p in finding.proposals if p.edits is None)
        findings.append(finding._replace(fixes=fixes, help=finding.help + words) if finding.proposals else finding)
    return report._replace(findings=tuple(findings))
