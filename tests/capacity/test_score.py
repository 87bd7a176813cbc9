"""The score command, and what it says of measured start-ups where they are at hand."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
MEASURED = ROOT.parent / "shared" / "ground-truth" / "startup_memory.jsonl"

ROW: dict[str, Any] = {
    "id": "one", "engine": "vllm", "engine_version": "0.19.0", "model": "meta-llama/Llama-3.1-8B-Instruct", "gpu": "NVIDIA H100 80GB",
    "gpu_total_gib": 79.19, "tp": 1, "pp": 1, "dp": 1, "gpu_memory_utilization": 0.95, "max_model_len": 8192, "weights_gib": 14.99,
    "peak_activation_gib": 1.89, "non_torch_gib": 0.25, "available_kv_gib": 58.11, "kv_tokens": 476016, "outcome": "started",
    "score_use": "yes",
}  # fmt: skip


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])
    from tools.score import __main__

    return __main__


def test_a_row_is_compared_term_by_term(tool: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [ROW, {**ROW, "id": "two"}, {**ROW, "model": "no/such"}, {**ROW, "score_use": "no"}]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert tool.main(["memory", str(path), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["rows"], said["skipped"], said["false_errors"]) == (2, 1, 0)
    assert said["0.17-0.19"]["weights"]["votes"] == 1, "the same configuration twice is one vote"
    assert said["0.17-0.19"]["kv_pool"]["median_error"] < 0.01
    assert tool.main(["memory", str(path), "--rows"]) == 0
    assert "weights 14.99/14.99" in capsys.readouterr().out


def test_a_started_row_that_could_not_start_is_a_false_error(
    tool: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({**ROW, "gpu_memory_utilization": 0.2}), encoding="utf-8")
    assert tool.main(["memory", str(path)]) == 0
    assert "favourable end fails): 1" in capsys.readouterr().out


def test_a_file_that_is_no_data(tool: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("{", encoding="utf-8")
    assert tool.main(["memory", str(path)]) == 2
    assert tool.main(["memory", str(tmp_path / "none")]) == 2
    assert "line 1" in capsys.readouterr().err


@pytest.mark.skipif(not MEASURED.is_file(), reason=f"the measured start-ups are not at hand ({MEASURED})")
def test_floors(tool: Any) -> None:
    from tools.score.memory import score
    from tools.score.rows import read

    summary = score(read(MEASURED.read_text(encoding="utf-8"))).summary()
    campaign = summary["0.17-0.19"]
    assert campaign["weights"]["median_error"] < 0.002
    assert campaign["kv_pool"]["median_error"] < 0.003
    assert campaign["kv_pool"]["p90_error"] < 0.01
    assert campaign["kv_pool"]["inside"] == 1.0
    assert summary["V1 before 0.17"]["weights"]["median_error"] < 0.002
    assert summary["false_errors"] == 0
