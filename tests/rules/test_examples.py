"""The examples of the rules: each bad one raises its code at the marked place, each good one does not, fixes hold.

``fixtures/rules/<CODE>/{bad,good}/*.yaml`` are found, not listed. A mark is a comment at the end of a line:
``# expect: CODE`` where the finding starts on that line, ``# expect: CODE @ TEXT`` where it starts at the first TEXT after it
(for places inside a block scalar, which cannot hold a comment).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from servelint.fixes.verify import edited, verify
from servelint.run import lint_texts
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from servelint.finding import Finding
    from servelint.run import Report, Session

FIXTURES = Path(__file__).parents[2] / "fixtures" / "rules"
MARK = re.compile(r"# expect: ([A-Z0-9]+)(?: @ (\S+))?[ \t]*$", re.MULTILINE)


class Example(NamedTuple):
    code: str
    path: Path

    @property
    def name(self) -> str:
        return str(self.path.relative_to(FIXTURES))

    @property
    def source(self) -> SourceText:
        return SourceText(self.name, self.path.read_text(encoding="utf-8"))


def examples(kind: str) -> list[Example]:
    return [Example(path.parts[-3], path) for path in sorted(FIXTURES.glob(f"*/{kind}/*.yaml"))]


def expected(source: SourceText) -> list[tuple[str, int]]:
    """(code, line) of every mark; for a mark with a text, the line on which that text first stands after it."""
    found = []
    for mark in MARK.finditer(source.text):
        code, text = mark.groups()
        at = source.text.index(text, mark.end()) if text else mark.start()
        found.append((code, source.position(at).line))
    return found


def line_of(finding: Finding) -> int:
    return finding.place.document.source.position(finding.place.span.start).line


def lint(example: Example, session: Session) -> Report:
    return lint_texts([example.source], session)


BAD, GOOD = examples("bad"), examples("good")


@pytest.mark.parametrize("example", BAD, ids=lambda e: e.name)
def test_a_bad_example_raises_its_code_at_the_marked_place(example: Example, session: Session) -> None:
    marks = [mark for mark in expected(example.source) if mark[0] == example.code]
    assert marks, f"{example.name} has no `# expect: {example.code}`"
    found = [(f.code, line_of(f)) for f in lint(example, session).findings if f.code == example.code]
    assert sorted(found) == sorted(marks)


@pytest.mark.parametrize("example", BAD, ids=lambda e: e.name)
def test_every_mark_of_a_bad_example_is_found(example: Example, session: Session) -> None:
    found = {(f.code, line_of(f)) for f in lint(example, session).findings}
    assert set(expected(example.source)) <= found


@pytest.mark.parametrize("example", GOOD, ids=lambda e: e.name)
def test_a_good_example_is_silent(example: Example, session: Session) -> None:
    report = lint(example, session)
    assert [f for f in report.findings if f.code == example.code] == []
    assert not [n for n in report.not_checked if example.code in n.codes], "not checked is not silent"


@pytest.mark.parametrize("example", GOOD, ids=lambda e: e.name)
def test_a_good_example_is_recognised(example: Example, session: Session) -> None:
    assert lint(example, session).deployments


@pytest.mark.parametrize("example", BAD, ids=lambda e: e.name)
def test_proposed_edits_are_accepted_and_remove_the_finding(example: Example, session: Session) -> None:
    report = lint(example, session)
    for finding in report.findings:
        for proposal in finding.proposals if finding.code == example.code else ():
            if proposal.edits is None:
                continue
            after = lint_texts(edited(report.sources, proposal.edits).values(), session)
            assert finding.identity not in {f.identity for f in after.findings}, proposal.title
            assert verify(finding, proposal, report, session) is not None, proposal.title


@pytest.mark.parametrize("example", BAD, ids=lambda e: e.name)
def test_findings_say_what_they_rest_on(example: Example, session: Session) -> None:
    for finding in lint(example, session).findings:
        if finding.code == example.code:
            assert finding.label
            assert not finding.label.endswith("."), "a label is no sentence with a full stop"
            assert len(finding.arithmetic) <= 3, "two or three lines of arithmetic"
            assert all(line == line.strip() and "\n" not in line for line in (finding.label, *finding.arithmetic, *finding.help))
