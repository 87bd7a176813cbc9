"""What every rule must have: a page, examples, a fix where it promises one, and no reach into the engine's insides."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import servelint_rules
from servelint.finding import Certainty
from servelint.run import lint_texts
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from servelint.run import Session

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "fixtures" / "rules"
PACKAGE = ROOT / "rules" / "servelint_rules"
CODES = sorted(code for theme in servelint_rules.THEMES for code in theme.codes)
SECTIONS = ["What it checks", "Why it matters", "How to fix", "Certainty", "References"]

# What a plugin may rest on: the records, the facts, the results of the estimates, and edits of source text.
PUBLIC = (
    "servelint.capacity", "servelint.case", "servelint.catalogue", "servelint.deployment", "servelint.engines.arguments",
    "servelint.engines.argument_writer", "servelint.engines.command", "servelint.engines.flag", "servelint.engines.flags",
    "servelint.engines.likely_releases", "servelint.engines.model_registry", "servelint.engines.placeholders",
    "servelint.engines.versions", "servelint.errors", "servelint.estimate", "servelint.facts", "servelint.finding",
    "servelint.formats", "servelint.hooks", "servelint.records", "servelint.rulebook", "servelint.source",
)  # fmt: skip


def examples(code: str, kind: str) -> list[Path]:
    return sorted((FIXTURES / code / kind).glob("*.yaml"))


def test_the_themes_name_exactly_the_rules_of_their_modules(session: Session) -> None:
    assert sorted(session.registry.rules()) == CODES


def test_a_theme_is_advice_exactly_where_all_its_rules_are(session: Session) -> None:
    rules = session.registry.rules()
    wrong = [theme.module for theme in servelint_rules.THEMES if theme.advice != all(rules[code].advice for code in theme.codes)]
    assert not wrong


@pytest.mark.parametrize("code", CODES)
def test_a_rule_has_a_page_with_every_section(code: str, session: Session) -> None:
    rule = session.registry.rules()[code]
    assert re.findall(r"^## (.+)$", rule.documentation, re.MULTILINE) == SECTIONS
    assert all(part.strip() for part in re.split(r"^## .+$", rule.documentation, flags=re.MULTILINE)[1:])
    assert not re.search(r"^ +#", rule.documentation, re.MULTILINE), "indented headings are no headings"


@pytest.mark.parametrize("code", CODES)
def test_a_rule_has_examples(code: str) -> None:
    assert examples(code, "bad")
    assert examples(code, "good")


@pytest.mark.parametrize("code", CODES)
def test_a_rule_that_promises_a_fix_gives_one_on_an_example(code: str, session: Session) -> None:
    rule = session.registry.rules()[code]
    sources = [SourceText(p.name, p.read_text(encoding="utf-8")) for p in examples(code, "bad")]
    proposals = [p for f in lint_texts(sources, session).findings if f.code == code for p in f.proposals]
    assert any(p.edits for p in proposals) == rule.fixable


@pytest.mark.parametrize("code", CODES)
def test_a_rule_is_never_graver_than_its_certainty_allows(code: str, session: Session) -> None:
    rule = session.registry.rules()[code]
    assert rule.severity <= rule.certainty.worst_severity
    assert rule.certainty is not Certainty.ADVICE or not rule.fixable


def test_names_are_unique_and_in_kebab_case(session: Session) -> None:
    names = [rule.name for rule in session.registry.rules().values()]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) for name in names)


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*.py")), ids=lambda p: p.name)
def test_the_rules_import_only_the_public_api(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        names = [alias.name for alias in node.names]
        for module in [node.module or ""] if isinstance(node, ast.ImportFrom) else names:
            if module.split(".")[0] == "servelint":
                assert module.startswith(PUBLIC), f"{path.name} imports {module}"
                assert not any(name.startswith("_") for name in names), f"{path.name} imports a private name of {module}"


def test_loading_the_plugin_imports_no_theme() -> None:
    import subprocess
    import sys

    code = "import sys, servelint_rules; print([m for m in sys.modules if m.startswith('servelint_rules.')])"
    path = [str(ROOT / part) for part in ("lint", "rules", "schemas")]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}; {code}"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
