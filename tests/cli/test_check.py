"""``servelint check`` on toy manifests (see tests/data/toy_plugin.py): exit codes, selection, formats, fixes, files."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from servelint.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Callable

    Check = Callable[..., tuple[int, str, str]]

PLUGIN = Path(__file__).parent.parent / "data" / "toy_plugin.py"
BOTH = "kind: Toy\nname: bear\ngpus: 8 # too many\nspare: true\n"
WARNED = "kind: Toy\nname: duck\ngpus: 2\nspare: true\n"
CLEAN = "kind: Toy\nname: ball\ngpus: 2\n"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for variable in ("NO_COLOR", "FORCE_COLOR", "SERVELINT_DEBUG"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str]) -> Check:
    """Runs check with the toy plugin (and, unless told otherwise, its rules); gives exit code, standard output and error."""

    def run(*words: str) -> tuple[int, str, str]:
        selection = [] if "--select" in words else ["--select", "TOY,DOC101"]
        code = main(["check", "--plugin", str(PLUGIN), *selection, *words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def write(name: str, text: str) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "words", "code"),
    [
        (CLEAN, [], 0),
        (WARNED, [], 0),
        (WARNED, ["--fail-on", "warning"], 1),
        (BOTH, [], 1),
        (BOTH, ["--exit-zero"], 0),
        (BOTH, ["--ignore", "TOY001"], 0),
        (BOTH, ["--ignore", "toy001", "--fail-on=info"], 1),
        (BOTH, ["--select", "TOY002,TOY003"], 0),
        (BOTH, ["--severity", "TOY001=info"], 0),
        (WARNED, ["--severity", "TOY002=error"], 1),
        (CLEAN, ["--strict"], 1),
        (CLEAN, ["--strict", "--ignore", "TOY003"], 0),
    ],
)
def test_exit_codes(check: Check, text: str, words: list[str], code: int) -> None:
    write("toy.yaml", text)
    assert check("toy.yaml", *words)[0] == code


def test_text(check: Check) -> None:
    write("toys/bear.yaml", BOTH)
    code, out, err = check("toys", "--ignore", "TOY003")
    assert (code, err) == (1, "")
    assert out == (
        "error[TOY001]: a toy with more than 4 GPUs\n"
        " --> toys/bear.yaml:3:7\n"
        "  |\n"
        "2 | name: bear\n"
        "3 | gpus: 8 # too many\n"
        "  |       ^ 8 GPUs\n"
        "  |\n"
        "  = 8 > 4\n"
        "  = fix (unsafe): gpus: 4\n"
        "  = servelint explain TOY001\n"
        "\n"
        "warning[TOY002]: a spare toy\n"
        " --> toys/bear.yaml:4:8\n"
        "  |\n"
        "3 | gpus: 8 # too many\n"
        "4 | spare: true\n"
        "  |        ^^^^ spare\n"
        "  |\n"
        "  = fix: spare: false\n"
        "  = servelint explain TOY002\n"
        "\n"
        "1 file, 1 deployment, 2 rules: 1 error, 1 warning\n"
        "1 fixable with --fix, 1 more with --fix --unsafe-fixes\n"
    )


def test_what_was_not_checked_is_said(check: Check) -> None:
    write("ball.yaml", CLEAN)
    code, out, _ = check("ball.yaml")
    assert code == 0
    assert out.startswith("not checked: GPU type unknown (")
    assert out.endswith("1 file, 1 deployment, 3 rules: no findings (1 check not evaluated)\n")


def test_statistics(check: Check) -> None:
    write("a.yaml", BOTH)
    write("b.yaml", WARNED)
    assert "1  error    TOY001  too-many-gpus\n2  warning  TOY002  spare-toy\n" in check("--statistics", "a.yaml", "b.yaml")[1]


def test_the_command_may_be_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    write("toy.yaml", BOTH)
    assert main(["toy.yaml", "--plugin", str(PLUGIN)]) == 1
    assert main(["--plugin", str(PLUGIN), "toy.yaml", "--fail-on", "error"]) == 1
    assert "TOY001" in capsys.readouterr().out


def test_command_names_win_over_files_of_that_name(check: Check, capsys: pytest.CaptureFixture[str]) -> None:
    write("rules/toy.yaml", BOTH)
    assert main(["rules", "--plugin", str(PLUGIN)]) == 0
    assert "too-many-gpus" in capsys.readouterr().out
    assert check("rules")[0] == 1
    assert main(["./rules", "--plugin", str(PLUGIN)]) == 1


def test_names_that_look_like_options(check: Check) -> None:
    write("--odd.yaml", BOTH)
    code, out, _ = check("--", "--odd.yaml")
    assert code == 1
    assert "--odd.yaml:3:7" in out


def test_no_path_means_the_working_directory(check: Check) -> None:
    write("a/b/toy.yaml", BOTH)
    assert "a/b/toy.yaml:3:7" in check()[1]


@pytest.mark.parametrize("form", ["text", "json", "sarif", "github"])
def test_output_file_holds_what_would_be_printed(check: Check, form: str) -> None:
    write("toy.yaml", BOTH)
    code, printed, _ = check("toy.yaml", "--format", form)
    assert check("toy.yaml", "--format", form, "--output-file", "report") == (code, "", "")
    assert Path("report").read_text(encoding="utf-8") == printed


def test_output_file_that_cannot_be_written(check: Check) -> None:
    write("toy.yaml", BOTH)
    code, out, err = check("toy.yaml", "--output-file", "no/such/folder")
    assert (code, out, err) == (2, "", "servelint: --output-file no/such/folder cannot be written: No such file or directory\n")


def test_json(check: Check) -> None:
    write("toy.yaml", BOTH)
    code, out, _ = check("toy.yaml", "--format", "json", "--color")
    report = json.loads(out)
    assert code == 1
    assert [finding["code"] for finding in report["findings"]] == ["TOY001", "TOY002"]
    assert report["summary"] == {
        "files": 1,
        "deployments": 1,
        "rules": 3,
        "findings": {"error": 1, "warning": 1, "info": 0},
        "not_checked": 1,
    }
    assert report["findings"][0]["pointer"] == "/gpus"
    assert report["findings"][0]["fixes"] == [
        {"safe": False, "title": "gpus: 4", "edits": [{"path": "toy.yaml", "start": 27, "end": 28, "text": "4"}]}
    ]
    assert report["not_checked"][0]["codes"] == ["TOY003"]


def test_sarif_lists_the_selected_rules(check: Check) -> None:
    write("toy.yaml", BOTH)
    log = json.loads(check("toy.yaml", "--format", "sarif", "--select", "TOY", "--ignore", "TOY003")[1])
    assert [rule["id"] for rule in log["runs"][0]["tool"]["driver"]["rules"]] == ["TOY001", "TOY002"]


def test_colour_is_for_text_on_standard_output(check: Check) -> None:
    write("toy.yaml", BOTH)
    assert "\x1b[" in check("toy.yaml", "--color")[1]
    assert "\x1b[" not in check("toy.yaml")[1]
    assert "\x1b[" not in check("toy.yaml", "--color", "--format", "github")[1]
    check("toy.yaml", "--color", "--output-file", "report")
    assert "\x1b[" not in Path("report").read_text(encoding="utf-8")


def test_fix_applies_the_safe_fixes_and_reports_the_rest(check: Check) -> None:
    path = write("toy.yaml", BOTH)
    code, out, err = check("toy.yaml", "--fix")
    assert (code, err) == (1, "servelint: fixed 1 finding in 1 file\n")
    assert "TOY001" in out
    assert "TOY002" not in out
    assert path.read_text(encoding="utf-8") == BOTH.replace("true", "false")


def test_unsafe_fixes_too(check: Check) -> None:
    path = write("toy.yaml", BOTH)
    code, out, err = check("toy.yaml", "--fix", "--unsafe-fixes", "--ignore", "TOY003")
    assert (code, err) == (0, "servelint: fixed 2 findings in 1 file\n")
    assert out == "1 file, 1 deployment, 2 rules: no findings\n"
    assert path.read_text(encoding="utf-8") == BOTH.replace("true", "false").replace("8", "4")


def test_nothing_to_fix_writes_nothing(check: Check) -> None:
    path = write("toy.yaml", CLEAN)
    before = path.stat()
    assert check("toy.yaml", "--fix")[2] == ""
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize(
    ("encoding", "newline"), [("utf-8", "\r\n"), ("utf-8-sig", "\n"), ("utf-16", "\n"), ("utf-8-sig", "\r\n")]
)
def test_a_fix_keeps_encoding_byte_order_mark_and_line_breaks(check: Check, encoding: str, newline: str) -> None:
    text = WARNED.replace("duck", "canard à l'orange").replace("\n", newline)
    path = Path("toy.yaml")
    path.write_bytes(text.encode(encoding))
    assert check("toy.yaml", "--fix")[0] == 0
    assert path.read_bytes() == text.replace("true", "false").encode(encoding)


def test_a_fix_keeps_mode_and_link(check: Check) -> None:
    target = write("real/toy.yaml", WARNED)
    target.chmod(0o640)
    Path("link.yaml").symlink_to(target.resolve())
    check("link.yaml", "--fix")
    assert Path("link.yaml").is_symlink()
    assert target.stat().st_mode & 0o777 == 0o640
    assert "spare: false" in target.read_text(encoding="utf-8")
    assert os.listdir("real") == ["toy.yaml"]


def test_a_file_that_cannot_be_written_is_one_sentence(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    write("toy.yaml", WARNED)

    def refuse(source: str, target: str) -> None:
        raise PermissionError(13, "Permission denied", target)

    monkeypatch.setattr(os, "replace", refuse)
    assert check("toy.yaml", "--fix") == (2, "", "servelint: toy.yaml: cannot be written: Permission denied\n")
    assert os.listdir() == ["toy.yaml"]


@pytest.mark.parametrize("text", [BOTH, BOTH.rstrip("\n"), BOTH.replace("\n", "\r\n")])
def test_diff_is_a_patch_and_changes_nothing(check: Check, text: str) -> None:
    path = Path("toy.yaml")
    path.write_bytes(text.encode())
    code, out, err = check("toy.yaml", "--diff", "--unsafe-fixes")
    assert (code, err) == (1, "servelint: would fix 2 findings in 1 file\n")
    assert path.read_bytes() == text.encode()
    done = subprocess.run(["git", "apply", "-p1"], input=out.encode(), capture_output=True, check=False)
    assert done.stderr == b""
    assert path.read_bytes() == text.replace("true", "false").replace("8", "4").encode()


def feed(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_standard_input(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    feed(monkeypatch, BOTH.encode())
    code, out, _ = check("-", "--stdin-filename", "deploy/toy.yaml")
    assert code == 1
    assert "--> deploy/toy.yaml:3:7" in out


def test_fixing_standard_input_prints_the_text_and_reports_beside_it(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    feed(monkeypatch, BOTH.encode())
    code, out, err = check("-", "--fix")
    assert (code, out) == (1, BOTH.replace("true", "false"))
    assert "error[TOY001]" in err


def test_fixing_standard_input_that_needs_no_fix_hands_it_back(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    feed(monkeypatch, b"just: text\r\n")
    assert check("-", "--fix")[1] == "just: text\r\n"


def test_missing_files_are_one_sentence_each(check: Check) -> None:
    code, out, err = check("no.yaml", "nor/this.yaml")
    assert (code, out) == (2, "")
    assert [line.split(":")[1].strip() for line in err.splitlines()] == ["no.yaml", "nor/this.yaml"]


def test_a_missing_file_does_not_hide_the_others(check: Check) -> None:
    write("toy.yaml", BOTH)
    code, out, _ = check("no.yaml", "toy.yaml")
    assert code == 1
    assert "TOY001" in out
    assert "no.yaml" in out


def test_unreadable_text_is_a_finding_and_the_others_are_linted(check: Check) -> None:
    write("bad.yaml", "kind: Toy\nname: [unclosed\n")
    Path("binary.yaml").write_bytes(b"kind: Toy\nname: \xff\n")
    write("toy.yaml", BOTH)
    code, out, _ = check("bad.yaml", "binary.yaml", "toy.yaml")
    assert code == 1
    assert out.count("error[DOC101]") == 2
    assert "TOY001" in out


def test_a_folder_without_manifests_says_so(check: Check) -> None:
    Path("empty").mkdir()
    code, out, err = check("empty")
    assert (code, out) == (0, "0 files, 0 deployments, 0 rules: no findings\n")
    assert err == "servelint: nothing was checked: no .yaml, .yml or .json file in empty\n"


def test_files_without_a_deployment_say_so(check: Check) -> None:
    write("other/thing.yaml", "a: 1\n")
    code, out, err = check("other")
    assert (code, out) == (0, "1 file, 0 deployments, 0 rules: no findings\n")
    assert err == "servelint: nothing was checked: no LLM deployment in other\n"


def test_excludes(check: Check) -> None:
    write("keep/toy.yaml", WARNED)
    write("vendor/toy.yaml", BOTH)
    assert "TOY001" not in check(".", "--exclude", "vendor/")[1]
    assert "TOY001" in check("vendor/toy.yaml", "--exclude", "vendor/")[1]
    assert "TOY001" not in check("vendor/toy.yaml", "--exclude", "vendor/", "--force-exclude")[1]


def test_configuration_file(check: Check) -> None:
    write("toy.yaml", BOTH)
    write("servelint.yaml", "ignore: [TOY001]\nfail_on: warning\nseverity: {TOY002: info}\n")
    assert check("toy.yaml")[0] == 0
    assert check("toy.yaml", "--isolated")[0] == 1
    assert check("toy.yaml", "--fail-on", "info")[0] == 1
    write("other.yaml", "strict: true\n")
    assert check("toy.yaml", "--config", "other.yaml", "--select", "TOY003")[0] == 1


def test_a_broken_configuration_is_one_sentence_with_its_line(check: Check) -> None:
    write("toy.yaml", CLEAN)
    write("servelint.yaml", "ignore: [TOY001]\nfail-on: warning\n")
    code, out, err = check("toy.yaml")
    assert (code, out) == (2, "")
    assert "servelint.yaml:2: unknown key 'fail-on'; did you mean 'fail_on'?" in err


def test_an_unknown_code_is_an_error(check: Check) -> None:
    write("toy.yaml", CLEAN)
    for option in (["--select", "TOX"], ["--ignore", "TOX"], ["--severity", "TOX=info"]):
        code, _, err = check("toy.yaml", *option)
        assert code == 2
        assert "'TOX'" in err


def test_same_input_same_bytes() -> None:
    write("a.yaml", BOTH)
    write("b.yaml", WARNED)
    outputs = set()
    for seed in ("0", "1", "77"):
        done = subprocess.run(
            [sys.executable, "-m", "servelint", "--plugin", str(PLUGIN), "--format", "sarif", "."],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            capture_output=True,
            check=False,
        )
        assert done.returncode == 1
        outputs.add(done.stdout)
    assert len(outputs) == 1
