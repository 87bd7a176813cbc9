"""What the tests of the memory score share: a measured row, and where the shipped ones are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "fixtures" / "ground_truth" / "startup_memory.jsonl"

ROW: dict[str, Any] = {
    "id": "one", "engine": "vllm", "engine_version": "0.19.0", "model": "meta-llama/Llama-3.1-8B-Instruct", "gpu": "NVIDIA H100 80GB",
    "gpu_total_gib": 79.19, "tp": 1, "pp": 1, "dp": 1, "gpu_memory_utilization": 0.95, "max_model_len": 8192, "weights_gib": 14.99,
    "peak_activation_gib": 1.89, "non_torch_gib": 0.25, "available_kv_gib": 58.11, "kv_tokens": 476016, "outcome": "started",
    "score_use": "yes",
}  # fmt: skip
