"""What every format of ``check`` is given, and the table of the formats."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from servelint.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from servelint.finding import Finding
    from servelint.rulebook import Rule
    from servelint.run import Report

# format → module with ``render(report, options) -> str``; only the one asked for is imported.
FORMATS = {
    "text": "servelint.reports.text",
    "json": "servelint.reports.json",
    "sarif": "servelint.reports.sarif",
    "github": "servelint.reports.github",
}

# Where the documentation is published.
DOCUMENTATION = "https://github.com/servelint/servelint/blob/main/docs"

# Formats whose renderer lists the rules: importing all of them costs start-up time, so others are given none.
NEEDS_RULES = frozenset({"sarif"})


class Options(NamedTuple):
    """``rules``: the rules that ran, by code. ``colour`` and ``statistics`` concern the text format alone."""

    colour: bool = False
    statistics: bool = False
    rules: Mapping[str, Rule] = {}


def rule_url(code: str) -> str:
    """Where the page of rule ``code`` is published."""
    return f"{DOCUMENTATION}/rules/{code}.md"


def count(number: int, noun: str) -> str:
    """``1 file``, ``2 files``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def not_evaluated(report: Report) -> int:
    """How many checks (a rule on a deployment) could not be evaluated."""
    return sum(len(entry.codes) for entry in report.not_checked)


def message_of(finding: Finding) -> str:
    """The finding in one line: the rule's constant title and what is specific to the place."""
    return f"{finding.message}: {finding.label}" if finding.label else finding.message


def from_here(path: str) -> str:
    """``path`` as CI services want it: relative to the working directory (which is the repository there) if it lies below it."""
    shown = path
    if os.path.isabs(path):
        try:
            relative = os.path.relpath(path)
        except (OSError, ValueError):  # no working directory any more, or another drive
            return path
        if relative.split(os.sep)[0] == os.pardir:
            return path
        shown = relative
    return os.path.normpath(shown).replace(os.sep, "/")


def worst_first(finding: Finding) -> tuple[int, str, int, str]:
    """Sort key across files."""
    return (-finding.severity, finding.path, finding.place.span.start, finding.code)
