"""What people get wrong in a manifest, a configuration or a command: one sentence with its place, and never a traceback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from servelint.cli.main import main

ROOT = Path(__file__).parent.parent.parent
MANIFEST = (ROOT / "fixtures" / "kubernetes" / "deployment-ten-billion-like.yaml").read_text(encoding="utf-8")
PLAN = (ROOT / "fixtures" / "plans" / "ten-billion.yaml").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def said(text: str | bytes, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[str], str]:
    """Exit code, ``CODE:line message`` of each finding of the document rules, standard error."""
    Path("a.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    code = main(["check", "--isolated", "--format", "json", *words, "a.yaml"])
    captured = capsys.readouterr()
    findings = json.loads(captured.out)["findings"]
    return code, [f"{f['code']}:{f['line']} {f['message'].partition(': ')[2]}" for f in findings], captured.err


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("    spec:\n", "\tspec:\n", "a tab cannot indent YAML; use spaces"),
        ("- --model=Qwen/Qwen3-8B", '- "--model=Qwen/Qwen3-8B', "check the indentation here, and for a missing quote"),
        ("    spec:\n", "    spec:\n      affinity: *nope\n", "*nope refers to no anchor above it; define &nope before it"),
    ],
)
def test_a_manifest_that_breaks_before_its_engine_is_no_clean_manifest(
    capsys: pytest.CaptureFixture[str], old: str, new: str, expected: str
) -> None:
    assert old in MANIFEST
    code, (finding,), _ = said(MANIFEST.replace(old, new, 1), capsys)
    assert code == 1
    assert finding.startswith("DOC101:")
    assert expected in finding


def test_what_is_broken_and_names_no_engine_is_not_ours(capsys: pytest.CaptureFixture[str]) -> None:
    text = "apiVersion: apps/v1\nkind: Deployment\n---\nkind: Deployment\n\tspec: 1\n"
    code, findings, err = said(text, capsys)
    assert (code, findings) == (0, [])
    assert "nothing was checked" in err


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0", "`parallelism.tensor` is 0; it must be at least 1"),
        ("-1", "`parallelism.tensor` is -1; it must be at least 1"),
        ("1000000000000", "`parallelism.tensor` is 1000000000000; it must be at most 65536"),
        ("two", "`parallelism.tensor` is the text `two`; it must be a whole number"),
        ("1.5", "`parallelism.tensor` is 1.5; it must be a whole number"),
        (".inf", "`parallelism.tensor` is inf; it must be a whole number"),
        ("", "`parallelism.tensor` has no value: give one or remove the key"),
        ("'2'", "`parallelism.tensor` is the text `2`; it must be a whole number: write 2 without quotes"),
    ],
)
def test_a_degree_that_is_none_is_said_once(capsys: pytest.CaptureFixture[str], value: str, expected: str) -> None:
    text = PLAN.replace("parallelism: {tensor: 2", f"parallelism: {{tensor: {value}", 1)
    code, findings, _ = said(text, capsys, "--select", "DOC")
    assert (code, findings) == (1, [f"DOC102:28 {expected}"])


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ("select: PAR\n", 1, "`select` is the text `PAR`; it must be a list"),
        ("- a\n", 1, "the configuration is a list; it must be a mapping"),
        ("fail_on: never\n", 1, "`fail_on` is the text `never`; it must be one of info, warning, error"),
        ("strict: false\nengine_versions: {vllm: 0.19}\n", 2, "`engine_versions.vllm` is 0.19; it must be text: quote it"),
        ("select: [PAR]\nselect: [MEM]\n", 2, "`select` is given twice in one mapping: keep one of them"),
        ("labels: &a {x: *a}\n", 1, "an alias stands inside the node that it means: write out what is meant"),
    ],
)
def test_a_configuration_is_answered_in_its_own_words(
    capsys: pytest.CaptureFixture[str], text: str, line: int, expected: str
) -> None:
    Path("servelint.yaml").write_text(text, encoding="utf-8")
    Path("a.yaml").write_text(MANIFEST, encoding="utf-8")
    assert main(["check", "--config", "servelint.yaml", "a.yaml"]) == 2
    assert capsys.readouterr().err == f"servelint: servelint.yaml:{line}: {expected}\n"


def test_a_version_for_an_engine_that_there_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    Path("servelint.yaml").write_text("engine_versions: {vlm: '0.19.1'}\n", encoding="utf-8")
    assert main(["check", "--config", "servelint.yaml", "."]) == 2
    assert "there is no engine 'vlm'; the known ones are" in capsys.readouterr().err


def test_a_default_gpu_with_a_slip_is_said_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    text = "\n".join(line for line in MANIFEST.splitlines() if "gpu.product" not in line and "nodeSelector" not in line) + "\n"
    Path("servelint.yaml").write_text("default_accelerator: H1000-SXM5-80GB\n", encoding="utf-8")
    Path("a.yaml").write_text(text, encoding="utf-8")
    main(["check", "--config", "servelint.yaml", "a.yaml"])
    assert "did you mean H100-SXM5-80GB?" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["chek", "a.yaml"], "there is no command and no file chek; did you mean `servelint check`?"),
        (["check", ""], "a path is empty: name a manifest or a folder"),
        (["check", "--profil", "strict", "a.yaml"], "there is no option --profil; did you mean --profile?"),
        (["check", "--profile", "best", "a.yaml"], "--profile does not take best; choose one of default, strict, gate"),
        (["check", "--format"], "--format needs a value"),
        (["check", "--fix=yes", "a.yaml"], "--fix takes no value"),
        (["check", "--hf-cache", "nowhere", "a.yaml"], "--hf-cache nowhere: there is no such folder"),
        (["rules", "extra"], "extra is one word too many"),
        (["compare", "a.yaml"], "NEW is missing"),
    ],
)
def test_a_slip_on_the_command_line(capsys: pytest.CaptureFixture[str], words: list[str], expected: str) -> None:
    Path("a.yaml").write_text(MANIFEST, encoding="utf-8")
    assert main(words) == 2
    assert capsys.readouterr().err.startswith(f"servelint: {expected}")


def test_a_side_of_a_comparison_that_cannot_be_read_is_said_with_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    Path("old.yaml").write_text(MANIFEST, encoding="utf-8")
    Path("new.yaml").write_text(MANIFEST.replace("    spec:\n", "\tspec:\n", 1), encoding="utf-8")
    assert main(["compare", "old.yaml", "new.yaml"]) == 2
    assert capsys.readouterr().err == "servelint: new.yaml:20: a tab cannot indent YAML; use spaces\n"


def test_two_sides_of_one_name_are_told_apart_by_their_paths(capsys: pytest.CaptureFixture[str]) -> None:
    Path("old.yaml").write_text(MANIFEST, encoding="utf-8")
    Path("new.yaml").write_text(MANIFEST, encoding="utf-8")
    assert main(["compare", "old.yaml", "new.yaml"]) == 0
    assert capsys.readouterr().out.startswith("ten-billion (old.yaml) → ten-billion (new.yaml)\n")
