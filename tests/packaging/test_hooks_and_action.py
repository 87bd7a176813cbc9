"""The pre-commit hooks and the GitHub action."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from servelint.cli.check import parse

ROOT = Path(__file__).parent.parent.parent
HOOKS: list[dict[str, Any]] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: str(hook["id"]))
def test_hooks(hook: dict[str, Any]) -> None:
    assert hook["require_serial"] is True
    assert hook["types_or"] == ["yaml", "json"]
    assert hook["language"] == "python"
    program, command, *options = hook["entry"].split()
    assert (program, command) == ("servelint", "check")
    parsed = parse([*options, "a.yaml", "b.json"])
    assert parsed.fix is (hook["id"] == "servelint-fix")
    assert parsed.paths == ["a.yaml", "b.json"]


def test_pre_commit_takes_the_manifest() -> None:
    clientlib = pytest.importorskip("pre_commit.clientlib", reason="pre-commit is not installed (extra: dev)")
    assert [hook["id"] for hook in clientlib.load_manifest(str(ROOT / ".pre-commit-hooks.yaml"))] == [
        "servelint",
        "servelint-fix",
    ]


@pytest.mark.slow
def test_both_hooks_in_a_real_repository(tmp_path: Path) -> None:
    """Installs this checkout with pre-commit into a repository with a manifest and a plan, and runs both hooks."""
    pytest.importorskip("pre_commit", reason="pre-commit is not installed (extra: dev)")
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"PRE_COMMIT_HOME": str(tmp_path / "cache")}
    environment.pop("PYTHONPATH", None)
    settings = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]

    def git(folder: Path, *words: str) -> None:
        subprocess.run(["git", *settings, *words], cwd=folder, env=environment, check=True, capture_output=True)

    hooks = tmp_path / "servelint"
    leave = shutil.ignore_patterns(".git", ".venv", ".*cache*", ".hypothesis", "__pycache__", "build", "dist")
    shutil.copytree(ROOT, hooks, ignore=leave)
    user = tmp_path / "user"
    user.mkdir()
    plan = user / "plan.yaml"
    (user / "other.yaml").write_text("a: 1\n", encoding="utf-8")
    shutil.copy(ROOT / "fixtures" / "plans" / "ten-billion.yaml", plan)
    for folder in (hooks, user):
        git(folder, "init", "-q")
        git(folder, "add", ".")
        git(folder, "commit", "-q", "-m", "first")

    def run(hook: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pre_commit", "try-repo", str(hooks), hook, "--all-files", "--verbose"]
        return subprocess.run(command, cwd=user, env=environment, capture_output=True, text=True, check=False)

    before = plan.read_text(encoding="utf-8")
    linted = run("servelint")
    assert linted.returncode == 1, linted.stdout + linted.stderr
    assert "error[PLN901]" in linted.stdout
    assert plan.read_text(encoding="utf-8") == before
    fixed = run("servelint-fix")
    assert fixed.returncode == 1, fixed.stdout + fixed.stderr
    assert "files were modified by this hook" in fixed.stdout
    assert plan.read_text(encoding="utf-8") == before.replace("utilization: 30.2 %", "utilization: 36.2 %")
    git(user, "rm", "-q", "-f", "plan.yaml")
    clean = run("servelint")
    assert clean.returncode == 0, clean.stdout + clean.stderr


def _script(name: str) -> str:
    (step,) = [step for step in ACTION["runs"]["steps"] if step.get("name") == name]
    return str(step["run"])


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.parametrize("sarif", ["", "out file.sarif"])
def test_the_action_hands_inputs_on_as_they_are(tmp_path: Path, sarif: str) -> None:
    stub = tmp_path / "bin" / "servelint"
    stub.parent.mkdir()
    stub.write_text(f'#!{shutil.which("bash")}\nprintf "<%s>" "$@" >> calls\necho >> calls\n', encoding="utf-8")
    stub.chmod(0o755)
    subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", _script("Lint")],
        cwd=tmp_path,
        env={
            **os.environ,
            "VENV": str(tmp_path),
            "PATHS": "deploy\n$(touch pwned)\n\n",
            "ARGS": "--strict\n",
            "SARIF_FILE": sarif,
        },
        check=True,
    )
    calls = (tmp_path / "calls").read_text(encoding="utf-8").splitlines()
    assert calls[-1] == "<check><--format><github><--strict><--><deploy><$(touch pwned)>"
    assert calls[:-1] == (
        ["<check><--format><sarif><--output-file><out file.sarif><--exit-zero><--strict><--><deploy><$(touch pwned)>"]
        if sarif
        else []
    )
    assert not (tmp_path / "pwned").exists()


def test_no_input_is_pasted_into_a_script() -> None:
    for step in ACTION["runs"]["steps"]:
        assert "${{" not in step.get("run", "")
