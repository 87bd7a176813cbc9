"""The score of the start-ups of other engines than vLLM, which are started, and judged, their own way."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from measured_rows import ROW, SHIPPED

if TYPE_CHECKING:
    from pathlib import Path

COLLECTED = sorted(SHIPPED.parent.glob("collected_*.jsonl"))
OF_OTHER_ENGINES = [SHIPPED.parent / f"collected_{engine}.jsonl" for engine in ("sglang", "trtllm", "tgi")]


def test_floors_of_other_engines(tool: Any) -> None:
    """What the estimates reach on the start-ups of SGLang, TensorRT-LLM and TGI."""
    from tools.score.memory import score
    from tools.score.rows import read

    floors = json.loads((SHIPPED.parent / "floors_sglang.json").read_text(encoding="utf-8"))
    summary = score([row for path in OF_OTHER_ENGINES for row in read(path.read_text(encoding="utf-8"))]).summary()
    for term, limits in floors["sglang"].items():
        for name, limit in limits.items():
            found = summary["sglang"][term][name]
            assert found >= limit if name in {"inside", "votes"} else found <= limit, f"{term}: {name} is {found}"
    assert summary["rows"] >= floors["rows"]
    assert summary["false_errors"] <= floors["false_errors"]


@pytest.mark.parametrize("path", COLLECTED, ids=lambda path: path.stem)
def test_collected_rows_say_where_they_were_read(path: Path) -> None:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert len({row["id"] for row in rows}) == len(rows)
    assert all(row["source"].startswith("https://") and "notes" not in row for row in rows)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"engine": "sglang", "engine_version": "0.5.17", "gpu": "AMD Instinct MI355X", "gpu_total_gib": None, "tp": 2, "n_gpus": 2,
             "gpu_memory_utilization": None, "other_flags": ["--mem-fraction-static 0.85", "disable-radix-cache", "MTP/EAGLE"]},
            ("image: lmsysorg/sglang:v0.5.17", "[python3, -m, sglang.launch_server]", "--model-path=meta-llama", "--tp-size=2",
             "--mem-fraction-static=0.85", "--context-length=8192", "- --disable-radix-cache\n", "amd.com/gpu: 2"),
        ),
        (
            {"engine": "sglang", "engine_version": "deepseek-v4-hopper image"},
            ("image: lmsysorg/sglang:deepseek-v4-hopper",),
        ),
        (
            {"engine": "trtllm", "engine_version": "1.2.1", "enforce_eager": True},
            ("release:1.2.1", "[trtllm-serve]", "- meta-llama/Llama", "--kv_cache_free_gpu_memory_fraction=0.95"),
        ),
        (
            {"engine": "tgi", "engine_version": "2.2.0", "max_num_batched_tokens": 4145},
            ("text-generation-inference:2.2.0", "--model-id=", "--num-shard=1", "--max-batch-prefill-tokens=4145"),
        ),
    ],
)  # fmt: skip
def test_other_engines_are_started_their_own_way(tool: Any, changes: dict[str, Any], expected: tuple[str, ...]) -> None:
    from tools.score.rows import read
    from tools.score.verdicts import Judge, manifest

    row = read(json.dumps({**ROW, **changes}))[0]
    text = manifest(row)
    assert not [part for part in expected if part not in text], text
    assert "MTP" not in text
    assert not Judge().verdict(row).errors


def test_a_rank_of_sglang_samples(tool: Any) -> None:
    """What old vLLM logged of ranks that do not sample is no matter of SGLang's, whose numbers are lower."""
    from tools.score.memory import score
    from tools.score.rows import read

    changes = {"engine": "sglang", "engine_version": "0.5.17", "available_kv_gib": 56.0, "kv_tokens": 440000}
    assert "kv_pool" in score(read(json.dumps({**ROW, **changes}))).scored[0].terms
