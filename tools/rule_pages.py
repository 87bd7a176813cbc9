"""Writes docs/rules: a page for each rule from its docstring and its examples, and an index.

python tools/rule_pages.py            # write them anew
python tools/rule_pages.py --check    # exit 1 if any is not what the rules say today
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from servelint.config import Config
from servelint.plugins import registry
from servelint.reports import text as text_report
from servelint.reports.base import Options
from servelint.run import lint_texts, open_session
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from collections.abc import Iterable

    from servelint.rulebook import Rule
    from servelint.run import Session

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "docs" / "rules"
EXAMPLES = ROOT / "fixtures" / "rules"
FAMILIES = {
    "CLI": "flags, arguments, environment variables",
    "PAR": "parallel degrees and what they divide",
    "LIM": "limits of sequences and of the scheduler",
    "MEM": "memory of GPUs and hosts",
    "HWQ": "GPUs, number formats, quantization",
    "K8S": "pods and cluster objects",
    "DIS": "several hosts, disaggregation, KV transfer",
    "SLO": "targets, latency, throughput",
    "PLN": "native plans and the principles of the knowledge file",
    "SEC": "supply chain and exposure",
    "DOC": "documents that cannot be read or break their schema",
}

# What tells the tests where the finding starts; nothing for readers.
MARK = re.compile(r"[ \t]*# expect: [A-Z0-9]+(?: @ \S+)?[ \t]*$", re.MULTILINE)
_HEAD = ("| code | name | what it finds | severity | certainty | |", "|---|---|---|---|---|---|")


def pages(rules: Iterable[Rule], session: Session) -> dict[str, str]:
    """File name → content, of every page and of the index."""
    every = sorted(rules, key=lambda rule: rule.code)
    return {"README.md": index(every), **{f"{rule.code}.md": page(rule, session) for rule in every}}


def index(rules: list[Rule]) -> str:
    """The rules by family."""
    lines = [
        "# Rules",
        "",
        f"{len(rules)} rules. `servelint explain CODE` prints a page, `servelint rules` this list. *Fix*: servelint can write",
        "the fix, verified. *Advice*: said under the profile `strict` only. How grave a finding may be, and which rules are not",
        "built and why: [about these rules](../about-the-rules.md).",
    ]
    for family, about in FAMILIES.items():
        own = [rule for rule in rules if rule.code.startswith(family)]
        if own:
            lines += [
                "",
                f"## {family}: {about}",
                "",
                "| code | name | what it finds | severity | certainty | |",
                "|---|---|---|---|---|---|",
            ]
            lines += [_row(rule) for rule in own]
    return "\n".join(lines) + "\n"


def _row(rule: Rule) -> str:
    marks = ", ".join(word for word, holds in (("fix", rule.fixable), ("advice", rule.advice)) if holds)
    cells = (f"[{rule.code}]({rule.code}.md)", rule.name, rule.title, rule.severity.label, rule.certainty.value, marks)
    return f"| {' | '.join(cells)} |"


def page(rule: Rule, session: Session) -> str:
    """One rule: its metadata, its docstring, and an example of each kind with what servelint says of the bad one."""
    facts = [f"{rule.severity.label}, {rule.certainty.value}, {rule.status.value} since {rule.since}"]
    if rule.advice:
        facts.append("advice: said under `--profile strict`, or where the configuration selects it by its whole code")
    where = ", ".join((*sorted(rule.engines), *sorted(rule.formats)))
    facts.append(f"looks at: {rule.scope.value}" + (f" of {where}" if where else ""))
    if rule.inputs:
        facts.append(f"needs: {', '.join(rule.inputs)}")
    if rule.fixable:
        facts.append("can be fixed: `servelint check --fix` (with `--unsafe-fixes` where it changes what is served)")
    head = [f"# {rule.code} {rule.name}", "", f"{rule.title}.", "", *(f"- {fact}" for fact in facts), ""]
    what, _, rest = rule.documentation.partition("\n## How to fix")
    examples = [*_example(rule, session, "bad"), *_example(rule, session, "good")]
    return "\n".join([*head, what.strip(), "", *examples, f"## How to fix{rest.rstrip()}", ""])


def _example(rule: Rule, session: Session, kind: str) -> list[str]:
    path = min((EXAMPLES / rule.code / kind).glob("*.yaml"))
    text = MARK.sub("", path.read_text(encoding="utf-8"))
    lines = [f"## {kind.capitalize()} example", "", "```yaml", text.rstrip(), "```", ""]
    if kind == "bad":
        report = lint_texts([SourceText(path.name, text)], session)
        said = report._replace(findings=tuple(f for f in report.findings if f.code == rule.code), not_checked=())
        printed = text_report.render(said, Options(colour=False)).rpartition("\n\n")[0]
        lines += ["servelint says:", "", "```text", printed.rstrip(), "```", ""]
    return lines


def main() -> int:
    """Writes the pages, or with ``--check`` only says whether they are current."""
    session = open_session(Config(profile="strict"))
    wanted = pages(registry().rules().values(), session)
    have = {path.name: path.read_text(encoding="utf-8") for path in PAGES.glob("*.md")} if PAGES.is_dir() else {}
    stale = sorted(name for name in wanted.keys() | have.keys() if wanted.get(name) != have.get(name))
    if "--check" in sys.argv[1:]:
        if stale:
            print(f"docs/rules is not current ({', '.join(stale)}); run: python tools/rule_pages.py")
        return int(bool(stale))
    PAGES.mkdir(exist_ok=True)
    for name in stale:
        if name in wanted:
            (PAGES / name).write_text(wanted[name], encoding="utf-8")
        else:
            (PAGES / name).unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
