"""``servelint compare``: where its two texts come from, and its three renderings."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from servelint.cli import compare as command
from servelint.compare import Check, Comparison, Row
from servelint.errors import UsageError
from servelint.reports import comparison as renderings


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for variable in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(variable, raising=False)
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy" / "a.yaml").write_text("old: 1\n")
    git = [
        "git",
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@example.com",
        "-c",
        "init.defaultBranch=main",
        "-c",
        "commit.gpgsign=false",
    ]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "first"], check=True)
    (tmp_path / "deploy" / "a.yaml").write_text("new: 1\n")
    return tmp_path


def test_reads_files_and_revisions(repository: Path) -> None:
    assert command.read("deploy/a.yaml").text == "new: 1\n"
    assert command.read("main:deploy/a.yaml").text == "old: 1\n"
    assert command.read("HEAD:./deploy/a.yaml").text == "old: 1\n"


def test_a_path_in_a_revision_is_meant_from_the_working_directory(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository / "deploy")
    assert command.read("main:a.yaml").text == "old: 1\n"


def test_a_file_with_a_colon_wins_over_a_revision(repository: Path) -> None:
    Path("main:b.yaml").write_text("file: 1\n")
    assert command.read("main:b.yaml").text == "file: 1\n"


@pytest.mark.parametrize("name", ["nowhere.yaml", "main:nowhere.yaml", "nobranch:deploy/a.yaml", "--output=x:a"])
def test_what_cannot_be_read_is_one_sentence(repository: Path, name: str) -> None:
    with pytest.raises(UsageError) as error_info:
        command.read(name)
    assert str(error_info.value).startswith(name)
    assert "\n" not in str(error_info.value)
    assert not Path("x").exists()


COMPARISON = Comparison(
    old_name="ten-billion",
    new_name="ten-billion | @all <b>",
    rows=(
        Row("Total GPUs", "8", "4", "50 % fewer"),
        Row("Configuration", "TP=2, PP=2", "TP=2", "PP 2 → 1"),
        Row("Replicas", "1", "1", ""),
    ),
    solved=(),
    remaining=(),
    introduced=(),
    rationale=("PP 2 → 1: pipeline stages.",),
    targets=(Check("TTFT", True, "0.041 s"), Check("TPOT", None, "output tokens unknown")),
    principles=(Check("Mandatory reasoning order", False, "PLN904"),),
    old_gpus=8,
    new_gpus=4,
    old_usd_per_hour=24.0,
    new_usd_per_hour=12.0,
)


def test_text() -> None:
    assert renderings.text(COMPARISON) == (
        "ten-billion → ten-billion | @all <b>\n"
        "\n"
        "               old         new   change\n"
        "Total GPUs     8           4     50 % fewer\n"
        "Configuration  TP=2, PP=2  TP=2  PP 2 → 1\n"
        "Replicas       1           1\n"
        "\n"
        "Rationale:\n"
        "  PP 2 → 1: pipeline stages.\n"
        "\n"
        "Targets:\n"
        "  met          TTFT: 0.041 s\n"
        "  not checked  TPOT: output tokens unknown\n"
        "\n"
        "Principles:\n"
        "  NOT MET      Mandatory reasoning order: PLN904\n"
        "\n"
        "Impact:\n"
        "  GPUs: 8 → 4 (50 % fewer)\n"
        "  on-demand price: 24.00 → 12.00 USD/h (50 % less)\n"
    )


def test_markdown() -> None:
    shown = renderings.markdown(COMPARISON)
    assert "ten-billion → ten-billion \\| &#64;all \\<b\\>" in shown
    assert "| **Total GPUs** | 8 | 4 | 50 % fewer |" in shown
    assert "- ✅ TTFT: 0.041 s" in shown
    assert "- ❌ Mandatory reasoning order: PLN904" in shown
    assert "- GPUs: 8 → 4 (50 % fewer)" in shown


def test_json() -> None:
    content = json.loads(renderings.json(COMPARISON))
    assert content["gpus"] == {"old": 8, "new": 4}
    assert content["changes"][0] == {"aspect": "Total GPUs", "old": "8", "new": "4", "change": "50 % fewer"}
    assert content["targets"][1] == {"name": "TPOT", "met": None, "shown": "output tokens unknown"}


def test_unknown_gpus_are_said_to_be_unknown() -> None:
    assert renderings.impact(COMPARISON._replace(new_gpus=None))[0].startswith("GPUs: not known on both sides")
