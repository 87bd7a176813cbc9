"""Verification: a proposal becomes a fix only if linting the edited text proves it.

Accepted only if (a) its finding is gone, (b) no finding of the same or higher severity is new, and (c) the parsed trees
before and after are equal except at the named places.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from servelint.finding import Fix
from servelint.run import lint_again
from servelint.source.edits import apply

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from servelint.finding import Edit, Finding, Proposal
    from servelint.run import Report, Session
    from servelint.source.text import SourceText


# Each proof lints its file again. In a file of very many deployments (a rendered platform) the first fixes are proven, up to so
# many deployments in all, and the others are said in words: proving one for each of a hundred deployments would take minutes.
_MOST_DEPLOYMENTS = 600


def edited(sources: Mapping[str, SourceText], edits: Iterable[Edit]) -> dict[str, SourceText]:
    """The texts that ``edits`` change, after the change. Raises ValueError where edits overlap."""
    by_path: dict[str, list[Edit]] = {}
    for edit in edits:
        by_path.setdefault(edit.path, []).append(edit)
    return {path: sources[path].with_text(apply(sources[path].text, group)) for path, group in by_path.items()}


def _unchanged_elsewhere(before: SourceText, after: SourceText, edits: Iterable[Edit]) -> bool:
    from servelint.source.treediff import equal_outside  # lazy: only runs with proposals verify any

    return equal_outside(before, after, [e for e in edits if e.path == before.path])


def verify(finding: Finding, proposal: Proposal, report: Report, session: Session, before: set[str] | None = None) -> Fix | None:
    """The fix, or None where the proposal has no edits or does not hold what it promises.

    ``before``: the identities of the report's findings, where they are at hand.
    """
    if not proposal.edits:
        return None
    try:
        changed = edited(report.sources, proposal.edits)
    except ValueError:
        return None  # overlapping edits: nothing that can be proven
    if not all(_unchanged_elsewhere(report.sources[path], text, proposal.edits) for path, text in changed.items()):
        return None
    after = lint_again(report, changed, session, near=True)
    for text in changed.values():
        text.reading = None  # a text and its documents hold each other; thousands of fixes would wait for the collector
    known = _identities(report) if before is None else before
    for other in after.findings:
        if other.identity == finding.identity or (other.identity not in known and other.severity >= finding.severity):
            return None
    return Fix(proposal.title, proposal.safe, proposal.edits)


def _identities(report: Report) -> set[str]:
    return {finding.identity for finding in report.findings}


def with_fixes(report: Report, session: Session) -> Report:
    """The report with every finding's verified fixes; a proposal in words stays among its help lines."""
    findings = []
    before = _identities(report)
    each = Counter(deployment.document.source.path for deployment in report.deployments)
    spent: Counter[str] = Counter()
    for finding in report.findings:
        if not finding.proposals:
            findings.append(finding)
            continue
        fixes: list[Fix] = []
        words: list[str] = []
        for proposal in finding.proposals:
            # The edits are made when they are asked for, which takes time as well.
            if spent[finding.path] >= _MOST_DEPLOYMENTS or proposal.edits is None:
                words.append(proposal.title)
                continue
            spent[finding.path] += each[finding.path]
            fix = verify(finding, proposal, report, session, before)
            if fix is not None:
                fixes.append(fix)
        findings.append(finding._replace(fixes=tuple(fixes), help=(*finding.help, *words)))
    return report._replace(findings=tuple(findings))
