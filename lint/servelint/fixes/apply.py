"""Applying verified fixes to texts, round by round until nothing more can be fixed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.fixes.verify import edited, with_fixes
from servelint.records import NamedTuple
from servelint.run import lint_again

if TYPE_CHECKING:
    from servelint.finding import Edit, Finding, Fix
    from servelint.run import Report, Session
    from servelint.source.text import SourceText

# Each round fixes at least one finding for good, so this only bounds a rule whose fix makes room for the next of its kind.
MOST_ROUNDS = 20


class Applied(NamedTuple):
    """The report after fixing, the changed texts, and what was done: (finding, fix) in order."""

    report: Report
    texts: dict[str, SourceText]
    done: tuple[tuple[Finding, Fix], ...]


def _overlaps(edits: tuple[Edit, ...], taken: list[Edit]) -> bool:
    return any(a.path == b.path and a.start <= b.end and b.start <= a.end for a in edits for b in taken)


def fix_all(report: Report, session: Session, unsafe: bool) -> Applied:
    """Applies the first admissible fix of each finding, worst first, and lints again until no fix is left.

    ``report`` must hold verified fixes. Fixes that touch the same text wait for the next round, where they are verified
    against what the first one made of it.
    """
    texts: dict[str, SourceText] = {}
    done: list[tuple[Finding, Fix]] = []
    for _ in range(MOST_ROUNDS):
        taken: list[Edit] = []
        chosen: list[tuple[Finding, Fix]] = []
        for finding in sorted(report.findings, key=lambda f: -f.severity):
            fix = next((f for f in finding.fixes if f.safe or unsafe), None)
            if fix is not None and not _overlaps(fix.edits, taken):
                taken += fix.edits
                chosen.append((finding, fix))
        if not chosen:
            break
        # Fixes verified alone may disagree together: then only the first of them is applied in this round.
        for attempt in (chosen, chosen[:1]):
            changed = edited(report.sources, [e for _, fix in attempt for e in fix.edits])
            after = lint_again(report, changed, session)
            gone = {f.identity for f, _ in attempt}
            if not gone & {f.identity for f in after.findings}:
                break
        texts.update(changed)
        done += attempt
        report = with_fixes(after, session)
    return Applied(report, texts, tuple(done))
