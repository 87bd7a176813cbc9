"""Nothing in the README is untried: its set-up lines, its output, its commands, its example rule, its links."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from servelint.cli.main import COMMANDS, main

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = sorted(path for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_there_are_exactly_two_set_up_lines() -> None:
    lines = [line for line in README.splitlines() if line.startswith("python3 -m venv")]
    assert len(lines) == 2
    run, test = lines
    assert "servelint check" in run
    assert "-m pytest" in test
    for path in re.findall(r"fixtures/\S+", run):
        assert (ROOT / path).is_dir()


def test_the_output_shown_is_what_the_command_prints() -> None:
    assert tool("readme").renewed(README) == README


def test_the_output_shown_tells_the_story() -> None:
    shown = README.split("```text\n")[1].split("```")[0]
    assert "[PAR207]" in shown
    assert "servelint explain" in shown


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\((?!https?://|#)([^)#\s]+)", document.read_text(encoding="utf-8")):
        assert (document.parent / target).exists(), f"{document.name} links to {target}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_and_options_named_exist(document: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = document.read_text(encoding="utf-8")
    if document.name == "CHANGELOG.md":
        pytest.skip("it may name what is gone")
    options: set[str] = set()
    for command in COMMANDS:
        with pytest.raises(SystemExit):
            main([command, "--help"])
        options |= set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out))
    for line in re.findall(r"servelint [^`\n]*", text):
        for option in re.findall(r"(?<=\s)--[a-z][a-z-]+", line):
            assert option in options, f"{document.name}: {line}"
        word = line.split()[1]
        if re.fullmatch(r"[a-z]+", word) and f"`{line}" in text:
            assert word in COMMANDS, f"{document.name}: {line}"


def test_the_example_rule_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rules.py").write_text(re.findall(r"```python\n(.*?)```", README, re.DOTALL)[0], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    manifest = ROOT / "tests" / "data" / "two_hosts.yaml"
    assert main([str(manifest), "--plugin", "rules.py", "--select", "ORG", "--fail-on", "warning"]) == 1
    assert "2 hosts in one replica" in capsys.readouterr().out


def test_the_tests_run_on_a_supported_python() -> None:
    assert sys.version_info >= (3, 11)
