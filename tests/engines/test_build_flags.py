from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]


def _tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_flags", ROOT / "tools" / "build_flags.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TOOL = _tool()
SCANNED = ["0.1.0", "0.2.0", "0.3.1.post1", "0.4.0"]


def line(**row: Any) -> list[str]:
    rows = [{"engine": "sglang", "since": "<=0.1.0", "last_seen": "0.4.0", **row}]
    text: str = TOOL.table(rows, "sglang", SCANNED, "flags")
    return text.splitlines()[-1].split("\t")


def test_the_header() -> None:
    text = TOOL.table([], "vllm", SCANNED, "flags")
    assert text.splitlines()[1:][:3] == ["engine\tvllm", "parser\tflexible", "scanned\t0.1.0 0.2.0 0.3.1 0.4.0"]


def test_presence_and_gaps() -> None:
    assert line(flag="--a", type="int")[:4] == ["--a", "int", "1", ".."]
    assert line(flag="--a", type="int", since="0.2.0", removed_in="0.4.0")[3] == "0.2.0..0.4.0"
    assert line(flag="--a", type="int", absent_in=["0.2.0"])[3] == "..0.2.0 0.3.1.."


def test_histories() -> None:
    epochs = [{"from": "0.1.0", "default": "'a'"}, {"from": "0.2.0", "default": "'a'"}, {"from": "0.3.1.post1", "default": "f()"}]
    assert line(flag="--a", type="str", default="f()", default_history=epochs)[4] == "a|@0.3.1:?"
    assert line(flag="--a", type="str", default="None", choices=["x", "y"])[4:6] == ["None", "x,y"]
    assert line(flag="--a", type="str", default="None", choices=["x", None])[4:6] == ["None", "?"], "a part nobody could read"


def test_spellings() -> None:
    found = line(
        flag="--enable-a", type="bool", aliases=["--no-enable-a", "-a", "--disable-a"],
        alias_versions={"--no-enable-a": {"since": "0.2.0"}, "-a": {"removed_in": "0.3.1.post1"}},
        alias_notes={"--disable-a": "accepted since 0.4.0 (EnableDisableAction inverse pair)"},
    )  # fmt: skip
    assert found[0] == "--enable-a,!--no-enable-a@0.2.0..,-a@..0.3.1,!--disable-a@0.4.0.."
    assert found[1:3] == ["bool", "0"]


@pytest.mark.parametrize(
    ("type_", "expected"),
    [
        ("bool | None", ("bool", "0")), ("int | None", ("int", "1")), ("list[int] | None", ("int", "+")), ("set[str]", ("text", "+")),
        ("dict[str, Any]", ("json", "1")), ("EPLBConfig", ("json", "1")), ("RunnerOption", ("text", "1")), ("float", ("float", "1")),
        ("str | list[str] | None", ("text", "+")), ("Optional[List[str]]", ("text", "+")), ("Option<usize>", ("int", "1")),
    ],
)  # fmt: skip
def test_kinds(type_: str, expected: tuple[str, str]) -> None:
    assert tuple(line(flag="--a", type=type_)[1:3]) == expected


@pytest.mark.skipif(not TOOL.FACTS.is_file(), reason="the scan of the releases (../shared/facts) is not here")
def test_the_shipped_tables_are_what_the_tool_builds(capsys: pytest.CaptureFixture[str]) -> None:
    assert TOOL.main(["--check"]) == 0
    assert "nothing" in capsys.readouterr().out


def test_without_the_scan_the_tool_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert TOOL.main([str(tmp_path / "none.jsonl")]) == 2
    assert "give the path" in capsys.readouterr().err


def test_a_scan_is_built_into_files(tmp_path: Path) -> None:
    facts = tmp_path / "facts.jsonl"
    row = {"engine": "trtllm-serve", "kind": "flag", "flag": "--tp_size", "type": "int", "last_seen": "commit 0"}
    facts.write_text(json.dumps(row) + "\n", encoding="utf-8")
    files = TOOL.build(facts)
    assert list(files) == ["trtllm.flags.tsv"]
    assert "\n--tp_size\tint\t1\t..\t" in files["trtllm.flags.tsv"]
