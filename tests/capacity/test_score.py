"""The score command, and what it says of measured start-ups where they are at hand."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from measured_rows import ROOT, ROW, SHIPPED

if TYPE_CHECKING:
    from pathlib import Path

MEASURED = ROOT.parent / "shared" / "ground-truth" / "startup_memory.jsonl"
COLLECTED = SHIPPED.with_name("collected_memory.jsonl")
GIB = float(1 << 30)


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


def test_a_number_before_the_device_is_no_part_of_its_name(tool: Any) -> None:
    from tools.score.rows import read

    (row,) = read(json.dumps({**ROW, "gpu": "8x H100 (thread)", "gpu_total_gib": None}))
    assert row.accelerator is not None
    assert "H100" in row.accelerator.name


def test_small_pools_are_reported_apart(tool: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({**ROW, "gpu_memory_utilization": 0.3, "available_kv_gib": 6.63}), encoding="utf-8")
    assert tool.main(["memory", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[lines.index("  of these, pools under 10 GiB") + 1].split()[0] == "kv_pool"


def test_a_started_row_that_could_not_start_is_a_false_error(
    tool: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({**ROW, "gpu_memory_utilization": 0.2}), encoding="utf-8")
    assert tool.main(["memory", str(path)]) == 0
    assert "false errors (an error on a row that started): 1" in capsys.readouterr().out


def test_a_file_that_is_no_data(tool: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("{", encoding="utf-8")
    assert tool.main(["memory", str(path)]) == 2
    assert tool.main(["memory", str(tmp_path / "none")]) == 2
    assert "line 1" in capsys.readouterr().err


def test_floors(tool: Any) -> None:
    """What the estimates reach on the rows that ship; intervals come from the margins of all other models."""
    from tools.score.memory import score
    from tools.score.rows import read

    floors = json.loads((SHIPPED.parent / "floors.json").read_text(encoding="utf-8"))
    summary = score(read(SHIPPED.read_text(encoding="utf-8"))).summary()
    for regime, terms in floors.items():
        if not isinstance(terms, dict) or regime == "collected":
            continue
        for term, limits in terms.items():
            figures = summary[regime][term] | {"median_width_gib": summary[regime][term]["median_width"] / GIB}
            for name, limit in limits.items():
                reached = figures[name] >= limit if name == "inside" else figures[name] <= limit
                assert reached, f"{regime}, {term}: {name} is {figures[name]}, the floor is {limit}"
    assert summary["rows"] >= floors["rows"]
    assert summary["false_errors"] <= floors["false_errors"]
    assert summary["failures_found"] >= floors["failures_found"] * summary["failures"]
    requests = summary["requests"]
    assert requests["median_need_error"] <= floors["need_error"]
    assert requests["bracketed"] >= floors["lengths_bracketed"] * requests["lengths"]


def test_floors_of_what_was_collected_since(tool: Any) -> None:
    """Releases from 0.20 on, gathered one by one: too few for margins, so the code's worst cases must hold the truth."""
    from tools.score.memory import score
    from tools.score.rows import read

    floors = json.loads((SHIPPED.parent / "floors.json").read_text(encoding="utf-8"))["collected"]
    result = score(read(COLLECTED.read_text(encoding="utf-8")))
    complete = [one for one in result.scored if one.complete]
    assert len(complete) >= floors["complete"]
    assert not result.false_errors()
    off = [abs(one.terms["kv_pool"].error) for one in complete if "kv_pool" in one.terms]
    assert all(one.terms["kv_pool"].inside for one in complete if "kv_pool" in one.terms)
    assert sorted(off)[len(off) // 2] <= floors["median_error"]


def test_margins_are_what_the_rows_give(tool: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert tool.main(["memory", str(SHIPPED), "--margins", "check"]) == 0, capsys.readouterr().out


def test_a_margin_that_the_rows_do_not_give_is_told(
    tool: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(ROW), encoding="utf-8")
    assert tool.main(["memory", str(path), "--margins", "check"]) == 1, "one configuration is not enough for a regime"
    assert "margins.py is not what the rows give" in capsys.readouterr().out


@pytest.mark.skipif(not MEASURED.is_file(), reason=f"the collected start-ups are not at hand ({MEASURED})")
def test_the_shipped_rows_are_those_of_the_collection(tool: Any, tmp_path: Path) -> None:
    out = tmp_path / "shipped.jsonl"
    assert tool.main(["memory", str(MEASURED), "--ship", str(out)]) == 0
    assert out.read_text(encoding="utf-8") == SHIPPED.read_text(encoding="utf-8")


def test_every_shipped_row_says_where_it_was_read() -> None:
    rows = [json.loads(line) for file in (SHIPPED, COLLECTED) for line in file.read_text(encoding="utf-8").splitlines()]
    assert len({row["id"] for row in rows}) == len(rows)
    assert all(row["source"].startswith("https://") and "notes" not in row for row in rows)


class TestRows:
    """What makes a row count, and what keeps it out."""

    @pytest.fixture
    def row(self, tool: Any) -> Any:
        from tools.score.rows import read

        return lambda **changes: read(json.dumps({**ROW, **changes}))[0]

    def test_a_row_whose_figures_do_not_add_up_does_not_count(self, row: Any) -> None:
        assert row().complete
        assert "do not add up" in row(gpu_memory_utilization=0.9).doubt

    @pytest.mark.parametrize(
        ("changes", "doubt"),
        [
            ({"gpu_memory_utilization": None}, "utilization"),
            ({"engine_version": "0.1.dev19262"}, "version"),
            ({"gpu": "NVIDIA A100", "gpu_total_gib": None}, "device"),
            ({"model": "Qwen/Qwen3-8B (a local copy of org/other)"}, "not named"),
        ],
    )
    def test_what_is_open_is_said(self, row: Any, changes: dict[str, Any], doubt: str) -> None:
        assert doubt in row(**changes).doubt

    def test_a_remark_may_mean_another_checkpoint(self, row: Any) -> None:
        assert row(model="Qwen/Qwen3-8B (int4)").skip == "model not in the catalogue"

    def test_flags_are_read(self, row: Any) -> None:
        pool = row(other_flags=["--decode-context-parallel-size 8", "mtp 3 spec tokens"]).pool
        assert pool.decode_context.value == 8
        assert pool.speculative.value == "mtp"


def test_the_verdict_is_that_of_the_rules_on_a_manifest(tool: Any) -> None:
    from tools.score.rows import read
    from tools.score.verdicts import Judge, manifest

    row = read(json.dumps({**ROW, "model": "Qwen/Qwen2-57B-A14B-Instruct", "tp": 8, "n_gpus": 8}))[0]
    assert "--tensor-parallel-size=8" in manifest(row)
    assert Judge().verdict(row).errors[:1] == ("PAR202",), "28 heads over 8 GPUs"


class _Planner:
    """Formulas of the names that llm-d-planner has, simple enough to say what they give."""

    model_memory_req: Any

    def allocatable_kv_cache_memory(
        self, _model: str, config: Any, gpu: float, share: float, *, tp: int, pp: int, dp: int, **_: Any
    ) -> float:
        assert config.num_hidden_layers == 32
        return gpu * share * tp * pp * dp - float(self.model_memory_req())

    def per_gpu_model_memory_required(self, _model: str, _config: Any, tp: int, pp: int) -> float:
        return float(self.model_memory_req()) / (tp * pp)


def test_a_peer_is_given_the_same_rows(tool: Any) -> None:
    from tools.score import peer
    from tools.score.memory import score
    from tools.score.rows import read

    rows = read("\n".join(json.dumps(row) for row in (ROW, {**ROW, "tp": 2, "weights_gib": 7.51, "available_kv_gib": 63.76})))
    predicted: Any = peer.predict(_Planner(), rows[1])  # type: ignore[arg-type]
    assert predicted["weights"] / GIB == pytest.approx(14.96 / 2, abs=0.01)
    assert predicted["kv_pool"] / GIB == pytest.approx(79.19 * 0.95 - 14.96 / 2, abs=0.01)
    assert peer.predict(_Planner(), rows[0]._replace(said={**ROW, "gpu_total_gib": None})) is None  # type: ignore[arg-type]
    lines = peer.report(_Planner(), score(rows)).splitlines()  # type: ignore[arg-type]
    assert [line.split()[:2] for line in lines[1:]] == [["0.17-0.19", "weights"], ["0.17-0.19", "kv_pool"]]


def test_a_peer_that_is_not_installed_is_said(
    tool: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(ROW), encoding="utf-8")
    monkeypatch.setitem(sys.modules, "planner", None)
    assert tool.main(["memory", str(path), "--peer"]) == 2
    assert "pip install llm-d-planner" in capsys.readouterr().err
