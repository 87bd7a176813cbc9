"""``servelint explain CODE``: the page of a rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.cli import output
from servelint.cli.exits import CLEAN
from servelint.cli.options import Parser, add_fact_options, configuration
from servelint.errors import UsageError
from servelint.plugins import registry
from servelint.reports.base import rule_url

if TYPE_CHECKING:
    from servelint.plugins import Registry
    from servelint.rulebook import Rule


def run(arguments: list[str]) -> int:
    """Runs ``explain`` and returns the exit code."""
    parser = Parser("explain", "Print the page of a rule: what it checks, why, how to fix it, how sure it is.")
    parser.add_argument("codes", metavar="CODE", nargs="+", help="a rule's code, alias or name")
    add_fact_options(parser)
    options = parser.parse_args(arguments)
    plugins = registry(configuration(options).plugins)
    output.write("\n\n".join(page(find(code, plugins)) for code in options.codes) + "\n")
    return CLEAN


def find(word: str, plugins: Registry) -> Rule:
    """The rule with this code, alias or name, in any case; raises :class:`UsageError` with the nearest ones."""
    rule = plugins.rule(word.upper())
    if rule is not None:
        return rule
    every = plugins.rules()
    for candidate in every.values():
        if candidate.name == word.lower():
            return candidate
    from difflib import get_close_matches

    near = get_close_matches(word.upper(), every, 3) or get_close_matches(word.lower(), [r.name for r in every.values()], 3)
    hint = f"did you mean {' or '.join(near)}?" if near else "`servelint rules` lists them"
    raise UsageError(f"there is no rule {word}; {hint}")


def page(rule: Rule) -> str:
    """A rule's metadata and its documentation."""
    facts = [f"{rule.severity.label}, {rule.certainty.value}, {rule.status.value} since {rule.since}"]
    where = _listed(" of engines ", tuple(sorted(rule.engines))) + _listed(" in formats ", tuple(sorted(rule.formats)))
    facts.append(f"looks at: {rule.scope.value}" + where)
    if rule.advice:
        facts.append("advice: said under --profile strict, or where its whole code is selected")
    if rule.inputs:
        facts.append(f"needs: {', '.join(rule.inputs)}")
    if rule.fixable:
        facts.append("can be fixed: servelint check --fix (or --fix --unsafe-fixes)")
    if rule.aliases:
        facts.append(f"also known as: {', '.join(rule.aliases)}")
    heading = f"{rule.code} {rule.name}"
    lines = [heading, "=" * len(heading), "", rule.title, "", *(f"  {fact}" for fact in facts), ""]
    return "\n".join([*lines, rule.documentation, "", rule_url(rule.code)])


def _listed(before: str, names: tuple[str, ...]) -> str:
    return before + ", ".join(names) if names else ""
