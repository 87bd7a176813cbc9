"""The text report: frames, clipping, harmless characters, the closing lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st

from servelint.finding import NotChecked, Severity
from servelint.reports import summary, text
from servelint.reports.base import Options
from servelint.reports.frame import MAX_WIDTH, Mark, render
from servelint.reports.terminal import Palette, printable, width
from servelint.source.text import SourceText, Span

if TYPE_CHECKING:
    from collections.abc import Callable

    from servelint.run import Report

PLAIN = Palette(colour=False)


def frame(source: str, start: int, end: int, label: str = "here") -> list[str]:
    return render(SourceText("x.yaml", source), [Mark(Span(start, end), label, Severity.ERROR)], 1, PLAIN)


def test_snapshot(report: Report, snapshot: Callable[[str, str], None]) -> None:
    snapshot("report.txt", text.render(report, Options(statistics=True)))


def test_colour_adds_nothing_but_escape_sequences(report: Report) -> None:
    import re

    coloured = text.render(report, Options(colour=True))
    assert "\x1b[1;31merror[MEM402]" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == text.render(report, Options())


def test_clean_run_says_what_was_checked(clean: Report) -> None:
    assert text.render(clean, Options()) == "3 files, 4 deployments, 96 rules: no findings\n"


def test_summary_counts_checks_not_evaluated(clean: Report, report: Report) -> None:
    missing = clean._replace(not_checked=report.not_checked[1:])
    assert summary.summary(missing) == "3 files, 4 deployments, 96 rules: no findings (2 checks not evaluated)"


def test_not_checked_is_grouped_by_the_missing_fact(report: Report) -> None:
    assert summary.not_checked(report) == [
        "GPU type unknown (no GPU type stated): 3 checks on 2 deployments in 2 files; set default_accelerator",
        "engine version unknown (the tag is latest): 1 check on 1 deployment in deploy/other.yaml",
    ]


def test_worst_first_within_a_file(report: Report) -> None:

    error = report.findings[0]
    info = error._replace(code="AAA001", severity=Severity.INFO)
    shown = text.render(report._replace(findings=(info, error)), Options())
    assert shown.index("error[MEM402]") < shown.index("info[AAA001]")


def test_underline_stands_under_the_span() -> None:
    lines = frame("a: 1\nkey: value # c\n", 10, 15)
    assert lines == ["  |", "1 | a: 1", "2 | key: value # c", "  |      ^^^^^ here", "  |"]


def test_tabs_and_wide_characters_keep_the_underline_in_place() -> None:
    lines = frame("\t百: value", 4, 9)
    assert lines[1:3] == ["1 |     百: value", "  |         ^^^^^ here"]


def test_multi_line_span_is_underlined_on_its_first_line() -> None:
    assert frame("- a: 1  \n  b: 2\n", 2, 16)[1:3] == ["1 | - a: 1", "  |   ^^^^ here"]


def test_control_characters_do_not_reach_the_terminal() -> None:
    lines = frame("a: \x1b[31mred\u202e", 3, 11, "label \x1b]8;;x\x07")
    assert lines[1:3] == ["1 | a: \\x1b[31mred\\u202e", "  |    " + "^" * 11 + " label \\x1b]8;;x\\x07"]


def test_place_at_the_end_of_the_text() -> None:
    assert frame("a: 1\n", 5, 5)[-3:-1] == ["2 |", "  | ^ here"]
    assert frame("", 0, 0)[1:3] == ["1 |", "  | ^ here"]


def test_distant_marks_share_a_frame_with_a_gap() -> None:
    source = SourceText("x.yaml", "".join(f"line{n}: {n}\n" for n in range(1, 13)))
    marks = [
        Mark(Span(0, 5), "here", Severity.WARNING),
        Mark(Span(source.line_starts[9], source.line_starts[9] + 6), "and there"),
    ]
    assert render(source, marks, 2, PLAIN) == [
        "   |",
        " 1 | line1: 1",
        "   | ^^^^^ here",
        "...",
        "10 | line10: 10",
        "   | ------ and there",
        "   |",
    ]


@pytest.mark.parametrize("start", [0, 60, 119, 500, 3990])
def test_long_lines_are_clipped_around_the_span(start: int) -> None:
    line = "0123456789" * 400
    shown, underline = frame(line, start, start + 7)[1:3]
    assert len(shown) <= MAX_WIDTH + len("1 | ……")
    at = underline.index("^")
    assert shown[at : at + 7] == line[start : start + 7]


@given(st.text(max_size=400), st.integers(0, 400), st.integers(0, 400))
def test_any_text_makes_a_frame_of_bounded_width(content: str, first: int, second: int) -> None:
    start, end = sorted((min(first, len(content)), min(second, len(content))))
    for line in frame(content, start, end):
        assert line.isprintable() or all(c.isprintable() or c.isspace() for c in line)
        # An escaped character may straddle the edge of the window, hence the few columns more.
        assert width(line) <= 2 * MAX_WIDTH


@given(st.text())
def test_printable_text_is_one_harmless_line(content: str) -> None:
    shown = printable(content)
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 or c in "\u2028\u2029\u202e" for c in shown)


def test_reasons_that_differ_in_a_name_are_one_line(report: Report) -> None:
    alike = [
        NotChecked(
            f"{n}.yaml", "llm", ("MEM401",), "model.architecture", f"org/model-{n} is not in the catalogue", f"give org/model-{n}"
        )
        for n in (1, 2, 3)
    ]
    other = NotChecked("1.yaml", "llm", ("MEM401",), "model.architecture", "the model is named elsewhere", "")
    assert summary.not_checked(report._replace(not_checked=(*alike, other))) == [
        "model architecture unknown (org/model-1 is not in the catalogue, and 2 more like it): "  # noqa: ISC004 - one line
        "3 checks on 3 deployments in 3 files; give org/model-1",
        "model architecture unknown (the model is named elsewhere): 1 check on 1 deployment in 1.yaml",
    ]


def test_facts_missing_for_one_reason_are_one_line(report: Report) -> None:
    facts = ("parallelism.tensor", "parallelism.pipeline", "limits.max_model_len")
    entries = tuple(NotChecked("a.yaml", "llm", ("MEM401",), fact, "the chart may set it", "") for fact in facts)
    assert summary.not_checked(report._replace(files=1, not_checked=entries)) == [
        "max_model_len, pipeline parallelism and tensor parallelism unknown (the chart may set it): 3 checks on 1 deployment"
    ]


def test_a_run_closes_with_ten_reasons_at_most(report: Report) -> None:
    words = "abcdefghijklm"
    entries = tuple(NotChecked("a.yaml", "llm", ("MEM401",), "nodes", f"because of {word}", "") for word in words)
    lines = summary.not_checked(report._replace(not_checked=entries))
    assert len(lines) == summary.MOST_REASONS
    assert lines[-1] == "4 checks for 4 other reasons; --format json lists them all"


def test_a_template_is_named_and_its_rendering_asked_for(report: Report) -> None:
    entry = NotChecked(
        "t.yaml", "", ("DOC101",), "rendered manifests", "this is a template, not YAML", "helm template … | servelint check -"
    )
    assert summary.not_checked(report._replace(not_checked=(entry,))) == [
        "rendered manifests needed (this is a template, not YAML): 1 check in t.yaml; helm template … | servelint check -"
    ]


def test_the_label_of_a_long_underline_stands_below_it() -> None:
    shown = frame(f"a: {'x' * 70}\n", 3, 73)
    assert shown[2:4] == [f"  |    {'^' * 70}", "  |    here"]
