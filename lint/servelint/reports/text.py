"""Text for people: each finding with its code frame, its arithmetic and what to do; then what was checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.reports import summary
from servelint.reports.frame import Mark, gutter_width, render as render_frame
from servelint.reports.terminal import Palette, printable

if TYPE_CHECKING:
    from servelint.finding import Finding
    from servelint.reports.base import Options
    from servelint.run import Report
    from servelint.source.text import SourceText


def render(report: Report, options: Options) -> str:
    """Findings by file, the worst first within a file; then facts that were missing, statistics if asked for, and the summary."""
    palette = Palette(options.colour)
    blocks = [finding_text(finding, palette) for finding in sorted(report.findings, key=_order)]
    missing = summary.not_checked(report)
    if missing:
        blocks.append("\n".join(f"{palette.bold('not checked')}: {line}" for line in missing))
    if options.statistics and report.findings:
        blocks.append("\n".join(summary.statistics(report)))
    closing = [summary.summary(report)]
    fixable = summary.fixable(report)
    if fixable:
        closing.append(fixable)
    blocks.append("\n".join(closing))
    return "\n\n".join(blocks) + "\n"


def _order(finding: Finding) -> tuple[str, int, int, int, str, str]:
    return (finding.path, -finding.severity, finding.place.document.index, finding.place.span.start, finding.code, finding.label)


def finding_text(finding: Finding, palette: Palette) -> str:
    """One finding as a block of lines."""
    source = finding.place.document.source
    head = palette.severity(finding.severity, f"{finding.severity.label}[{finding.code}]")
    marks = [Mark(finding.place.span, finding.label, finding.severity)]
    elsewhere: dict[SourceText, list[Mark]] = {}
    for related in finding.related:
        mark = Mark(related.place.span, related.label)
        home = related.place.document.source
        (marks if home.path == source.path else elsewhere.setdefault(home, [])).append(mark)
    gutter = max(gutter_width(s, m) for s, m in [(source, marks), *elsewhere.items()])
    lines = [f"{head}{palette.bold(': ' + printable(finding.message))}"]
    notes = _notes(finding, palette)
    if source.text:
        lines.append(_arrow("-->", source, marks[0], gutter, palette))
        lines += render_frame(source, marks, gutter, palette)
    else:  # a file that could not be read has no line to show
        lines.append(f"{' ' * gutter}{palette.gutter('-->')} {printable(source.path)}")
        notes.insert(0, printable(finding.label))
    for other, others in elsewhere.items():
        lines.append(_arrow(":::", other, others[0], gutter, palette))
        lines += render_frame(other, others, gutter, palette)
    lines += [f"{' ' * gutter} {palette.gutter('=')} {note}" for note in notes]
    return "\n".join(lines)


def _arrow(arrow: str, source: SourceText, mark: Mark, gutter: int, palette: Palette) -> str:
    line, column = source.position(mark.span.start)
    return f"{' ' * gutter}{palette.gutter(arrow)} {printable(source.path)}:{line}:{column}"


def _notes(finding: Finding, palette: Palette) -> list[str]:
    """Arithmetic, help, verified fixes, and where to read more."""
    notes = [printable(line) for line in finding.arithmetic]
    notes += [f"{palette.bold('help:')} {printable(line)}" for line in finding.help]
    for fix in finding.fixes:
        kind = "fix:" if fix.safe else "fix (unsafe):"
        notes.append(f"{palette.bold(kind)} {printable(fix.title)}")
    notes.append(f"servelint explain {finding.code}")
    return notes
