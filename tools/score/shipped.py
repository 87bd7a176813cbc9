"""The part of the measured start-ups that ships with the project: what was told and said, with where it was read."""

from __future__ import annotations

import json
from typing import Any

# Facts only: what others wrote about a row stays where it was written.
_FIELDS = (
    "id", "source", "date", "engine", "engine_version", "model", "gpu", "gpu_total_gib", "n_gpus", "tp", "pp", "dp", "ep",
    "dtype", "quantization", "kv_cache_dtype", "gpu_memory_utilization", "max_model_len", "max_num_seqs",
    "max_num_batched_tokens", "enforce_eager", "block_size", "other_flags", "weights_gib", "peak_activation_gib",
    "non_torch_gib", "cudagraph_gib", "cudagraph_estimate_gib",
    "available_kv_gib", "kv_tokens", "max_concurrency", "kv_needed_gib", "est_max_len", "outcome", "error_text", "confidence",
)  # fmt: skip
_LONGEST = 160


def shipped(text: str) -> str:
    """The lines of a collection that are to be scored and say where they were read, cut to the fields that the score uses."""
    lines = []
    for line in text.splitlines():
        if not line.strip():
            continue
        row: dict[str, Any] = json.loads(line)
        if row.get("score_use", "yes") != "yes" or not str(row.get("source") or "").startswith("https://"):
            continue
        kept = {name: row[name] for name in _FIELDS if row.get(name) not in (None, [], "")}
        if "error_text" in kept:
            kept["error_text"] = str(kept["error_text"])[:_LONGEST]
        kept["other_flags"] = [flag for flag in kept.get("other_flags", ()) if not flag.startswith("{")]
        lines.append(json.dumps(kept, ensure_ascii=True))
    return "\n".join(lines) + "\n"
