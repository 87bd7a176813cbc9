"""The command line as a whole: commands, wrong usage, what goes wrong, and where it is said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from servelint import __version__
from servelint.cli import main as main_module, output
from servelint.cli.exits import CLEAN, ERROR, INTERRUPTED
from servelint.cli.main import COMMANDS, main

if TYPE_CHECKING:
    from pathlib import Path


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == CLEAN
    shown = capsys.readouterr().out
    assert all(f"  {command} " in shown for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        main([command, "--help"])
    assert exit_info.value.code == CLEAN
    assert capsys.readouterr().out.startswith(f"usage: servelint {command}")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == CLEAN
    assert capsys.readouterr().out == f"servelint {__version__}\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "nothing to check"),
        (["check", "--nope"], "--nope"),
        (["--format", "xml", "x.yaml"], "--format does not take xml; choose one of text, json, sarif, github"),
        (["--form", "json"], "--form"),
        (["--severity", "PAR207", "x.yaml"], "--severity takes CODE=LEVEL"),
        (["--severity", "PAR207=fatal", "x.yaml"], "a level is one of info, warning, error"),
        (["--model-config", "=x", "x.yaml"], "--model-config takes ID=PATH"),
        (["--unsafe-fixes", "x.yaml"], "--unsafe-fixes needs --fix"),
        (["--fix", "--diff", "x.yaml"], "exclude each other"),
        (["--color", "--no-color", "x.yaml"], "--no-color excludes --color"),
        (["--config", "nowhere.yaml", "x.yaml"], "nowhere.yaml"),
        (["--config", "a.yaml", "--isolated", "x.yaml"], "exclude each other"),
        (["--plugin", "nowhere.py", "--isolated", "x.yaml"], "nowhere.py"),
        (["--isolated", "x.yaml", "derive"], "the command comes first"),
        (["explain"], "CODE"),
        (["explain", "PAR999"], "there is no rule PAR999"),
        (["schema", "plam"], "no schema 'plam'"),
        (["compare", "one.yaml"], "NEW"),
        (["compare", "nowhere.yaml", "nowhere.yaml"], "nowhere.yaml: cannot be read"),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_2(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == ERROR
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("servelint: ")
    assert captured.err.count("\n") == 1
    assert said in captured.err


def _raise(error: BaseException) -> object:
    def run(words: list[str]) -> int:
        raise error

    return run


def test_a_crash_asks_for_a_report_and_hides_the_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SERVELINT_DEBUG", raising=False)
    monkeypatch.setattr(main_module, "_run", _raise(ValueError("negative\nwidth")))
    assert main(["x.yaml"]) == ERROR
    assert capsys.readouterr().err == (
        "servelint: internal error (ValueError: negative\\x0awidth); "
        "please report it with the manifest and the traceback that --debug prints\n"
    )


@pytest.mark.parametrize("how", ["option", "environment"])
def test_the_traceback_of_a_crash_is_there_for_those_who_ask(
    how: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVELINT_DEBUG", "1" if how == "environment" else "")
    monkeypatch.setattr(main_module, "_run", _raise(ValueError("negative width")))
    assert main(["--debug"] if how == "option" else []) == ERROR
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_an_interrupt_is_no_crash(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main_module, "_run", _raise(KeyboardInterrupt()))
    assert main([]) == INTERRUPTED
    assert capsys.readouterr().err == ""


def test_an_operating_system_error_names_the_file(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main_module, "_run", _raise(PermissionError(13, "Permission denied", "a.yaml")))
    assert main([]) == ERROR
    assert capsys.readouterr().err == "servelint: a.yaml: Permission denied\n"


class Stream:
    def __init__(self, tty: bool) -> None:
        self.tty = tty

    def isatty(self) -> bool:
        return self.tty


@pytest.mark.parametrize(
    ("flag", "environment", "tty", "coloured"),
    [
        (None, {}, True, True),
        (None, {}, False, False),
        (None, {"NO_COLOR": "1"}, True, False),
        (None, {"NO_COLOR": ""}, True, True),
        (None, {"FORCE_COLOR": "1"}, False, True),
        (None, {"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
        (None, {"TERM": "dumb"}, True, False),
        (True, {"NO_COLOR": "1"}, False, True),
        (False, {"FORCE_COLOR": "1"}, True, False),
    ],
)
def test_colour(flag: bool | None, environment: dict[str, str], tty: bool, coloured: bool) -> None:
    assert output.colour_wanted(flag, Stream(tty), environment) is coloured  # type: ignore[arg-type]


def test_output_survives_a_narrow_encoding() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from servelint.cli import output; output.write('4 × 2 \\udcff\\n')"],
        env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        check=True,
    )
    assert done.stdout == b"4 \\xd7 2 \\udcff\n"


def test_a_reader_that_leaves_early_is_no_crash() -> None:
    code = "import sys; from servelint.cli import output; output.write('x' * 10**6); output.write('more'); sys.exit(7)"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 7


def test_a_full_disk_is_one_sentence() -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full on this system")
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run(
            [sys.executable, "-m", "servelint", "rules"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert (done.returncode, done.stderr) == (ERROR, b"servelint: input or output: No space left on device\n")


def test_nothing_of_the_working_directory_is_imported(tmp_path: Path) -> None:
    (tmp_path / "yaml.py").write_text("raise SystemExit('imported')")
    (tmp_path / "evil.py").write_text("raise SystemExit('imported')")
    (tmp_path / "evil-1.0.dist-info").mkdir()
    (tmp_path / "evil-1.0.dist-info" / "entry_points.txt").write_text("[servelint]\nevil = evil\n")
    done = subprocess.run(
        [sys.executable, "-m", "servelint", "rules", "--format", "json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        check=True,
    )
    assert isinstance(json.loads(done.stdout), list)


def test_a_found_configuration_cannot_load_plugins(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.py").write_text("raise SystemExit('imported')")
    (tmp_path / "servelint.yaml").write_text("plugins: [evil.py]\n")
    assert main(["rules"]) == ERROR
    assert "names plugins, and code runs only if the command line says so" in capsys.readouterr().err


def test_nothing_that_was_printed_is_lost_at_the_end(tmp_path: Path) -> None:
    plugin = tmp_path / "plugin.py"
    plugin.write_text(
        "from servelint import hookimpl\nprint('from a plugin', end='')\n\n@hookimpl\ndef servelint_rules():\n    return []\n",
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "servelint", "check", "--isolated", "--plugin", str(plugin), str(tmp_path / "none.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "from a plugin" in done.stdout
    assert "none.yaml" in done.stderr
