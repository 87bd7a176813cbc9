"""The score of speed: what it measures and prints."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from tools.score import speed  # noqa: E402
from tools.score.__main__ import main  # noqa: E402


def test_the_times_are_of_the_files_and_their_ratios_printed(capsys: pytest.CaptureFixture[str]) -> None:
    measured = speed.measure(ROOT / "fixtures" / "plans", rounds=1)
    assert measured.files == len(list((ROOT / "fixtures" / "plans").glob("*.yaml")))
    assert min(measured.composing, measured.first_rules, measured.default, measured.every_rule) > 0
    assert measured.summary()["of_composing"] == measured.every_rule / measured.composing
    assert measured.summary()["default_of_first_rules"] == measured.default / measured.first_rules
    assert main(["speed", str(ROOT / "fixtures" / "plans")]) == 0
    printed = capsys.readouterr().out
    assert printed.count("times the composing (at most 4.0)") == 2
    assert printed.count("times the first rules (at most 1.5)") == 2


def test_a_folder_without_manifests_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["speed", str(tmp_path)]) == 2
    assert "no .yaml, .yml or .json file" in capsys.readouterr().err
