"""``servelint rules`` and ``servelint explain``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from servelint.cli.main import main

PLUGIN = str(Path(__file__).parent.parent / "data" / "toy_plugin.py")


@pytest.fixture(autouse=True)
def _without_a_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_rules_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "--plugin", PLUGIN, "--format", "json"]) == 0
    rules = {rule["code"]: rule for rule in json.loads(capsys.readouterr().out)}
    assert list(rules) == sorted(rules)
    assert rules["TOY001"]["fixable"] is True
    assert rules["TOY001"]["formats"] == ["toy"]
    assert rules["TOY001"]["documentation"] == "A toy needs no more than 4 GPUs."
    assert {"PAR207", "MEM402", "DOC101"} <= rules.keys()


def test_rules_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "--plugin", PLUGIN]) == 0
    lines = capsys.readouterr().out.splitlines()
    row = next(line for line in lines if line.startswith("TOY002"))
    assert row.split() == ["TOY002", "warning", "proven", "fix", "spare-toy", "a", "spare", "toy"]
    assert (
        lines[-1]
        == f"{len(lines) - 1} rules; `servelint explain CODE` prints the page of one; advice is said under --profile strict"
    )


@pytest.mark.parametrize("word", ["TOY001", "toy001", "too-many-gpus"])
def test_explain_takes_code_and_name(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--plugin", PLUGIN, word]) == 0
    page = capsys.readouterr().out
    assert page.startswith("TOY001 too-many-gpus\n====================\n\na toy with more than 4 GPUs\n")
    assert "error, proven, stable since 1" in page
    assert "A toy needs no more than 4 GPUs." in page


def test_explain_suggests_what_was_meant(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--plugin", PLUGIN, "TOY0001"]) == 2
    assert capsys.readouterr().err.startswith("servelint: there is no rule TOY0001; did you mean TOY001 or ")


def test_every_built_in_rule_has_a_page_with_its_sections(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "--format", "json"]) == 0
    for rule in json.loads(capsys.readouterr().out):
        for section in ("What it checks", "Why it matters", "How to fix", "Certainty", "References"):
            assert section in rule["documentation"], f"{rule['code']} lacks {section!r}"
