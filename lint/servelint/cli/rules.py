"""``servelint rules``: what can be found, by code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.cli import output
from servelint.cli.exits import CLEAN
from servelint.cli.options import Parser, add_fact_options, configuration
from servelint.plugins import registry
from servelint.reports.base import count, rule_url
from servelint.reports.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from servelint.rulebook import Rule


def run(arguments: list[str]) -> int:
    """Runs ``rules`` and returns the exit code."""
    parser = Parser("rules", "List the rules: the built-in ones and those of plugins.")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="what to print (default: text)")
    add_fact_options(parser)
    options = parser.parse_args(arguments)
    rules = registry(configuration(options).plugins).rules().values()
    output.write(as_json(rules) if options.format == "json" else as_text(rules))
    return CLEAN


def as_text(rules: Iterable[Rule]) -> str:
    """One line per rule."""
    rows = [(r.code, r.severity.label, r.certainty.value, "advice" * r.advice, "fix" * r.fixable, r.name, r.title) for r in rules]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(6)]
    lines = ["  ".join([*map(str.ljust, row[:6], widths), printable(row[6])]) for row in rows]
    closing = f"{count(len(rows), 'rule')}; `servelint explain CODE` prints the page of one"
    if any(row[3] for row in rows):
        closing += "; advice is said under --profile strict"
    return "\n".join([*lines, closing]) + "\n"


def as_json(rules: Iterable[Rule]) -> str:
    """An array of objects, by code."""
    import json

    return json.dumps([metadata(rule) for rule in rules], indent=2) + "\n"


def metadata(rule: Rule) -> dict[str, Any]:
    """What is known of a rule, for machines."""
    return {
        "code": rule.code,
        "name": rule.name,
        "title": rule.title,
        "severity": rule.severity.label,
        "certainty": rule.certainty.value,
        "scope": rule.scope.value,
        "status": rule.status.value,
        "since": rule.since,
        "engines": sorted(rule.engines),
        "formats": sorted(rule.formats),
        "fixable": rule.fixable,
        "advice": rule.advice,
        "aliases": list(rule.aliases),
        "inputs": list(rule.inputs),
        "url": rule_url(rule.code),
        "documentation": rule.documentation,
    }
