"""``derive``: the order of the text, the keys of the JSON, and what is said of what is not known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from servelint.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Callable

PLANS = Path(__file__).parent.parent.parent / "fixtures" / "plans"
ORDER = (
    "1. Model structure",
    "2. Structural parallelism",
    "3. Operator parallelism",
    "4. Requests",
    "5. Memory",
    "6. Prefill",
    "7. Decode",
    "8. Throughput",
)
UNKNOWN_GPU = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: somewhere}
spec:
  replicas: 2
  selector: {matchLabels: {app: x}}
  template:
    metadata: {labels: {app: x}}
    spec:
      containers:
        - name: vllm
          image: vllm/vllm-openai:v0.19.1
          args: [--model=Qwen/Qwen3-8B, --tensor-parallel-size=2]
          resources: {limits: {nvidia.com/gpu: 2}}
"""


@pytest.fixture
def derive(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def run(*words: str) -> str:
        assert main(["derive", "--isolated", *words]) == 0
        return capsys.readouterr().out

    return run


@pytest.fixture
def plan(derive: Callable[..., str]) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(derive(str(PLANS / "ten-billion.yaml"), "--format", "json"))
    (deployment,) = content["deployments"]
    (pool,) = deployment["pools"]
    assert isinstance(pool, dict)
    return pool


def test_text_keeps_the_mandatory_order(derive: Callable[..., str]) -> None:
    shown = derive(str(PLANS / "ten-billion.yaml"))
    places = [shown.index(title) for title in ORDER]
    assert places == sorted(places)


def test_text_shows_formula_inputs_and_origin(derive: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PLANS)
    shown = derive("ten-billion.yaml")
    line = next(
        number for number, text in enumerate(Path("ten-billion.yaml").read_text("utf-8").splitlines(), 1) if "pipeline: 2" in text
    )
    assert f"pipeline (PP)  2  line {line}: " in shown, "the path stands in the title alone"
    assert shown.count("ten-billion.yaml") == 1
    assert "GPUs of one replica = TP 2 × PP 2 × DP 2 = 8" in shown
    assert "[" in shown.split("weights per GPU = ")[1].split("\n")[1]


def test_markdown_has_the_same_sections(derive: Callable[..., str]) -> None:
    shown = derive(str(PLANS / "ten-billion.yaml"), "--format", "markdown")
    places = [shown.index(f"### {title}") for title in ORDER]
    assert places == sorted(places)
    assert "| Figure | Result | Formula | Inputs |" in shown


def test_json_has_the_keys_of_the_design(plan: dict[str, Any]) -> None:
    assert plan["role"] == "serve"
    assert plan["replicas"] == {"min": 1, "max": 1}
    assert {key: plan["parallelism"][key] for key in ("tensor", "pipeline", "data", "expert", "sequence", "context")} == {
        "tensor": 2,
        "pipeline": 2,
        "data": 2,
        "expert": 1,
        "sequence": 2,
        "context": 1,
    }
    assert plan["gpus"]["per_replica"] == 8
    assert plan["gpus"]["total"] == 8
    assert plan["gpus"]["naive_product"] == 16
    assert plan["engine"]["name"] == "generic"
    assert plan["limits"]["max_model_len"] == 10496
    for name in (
        "weights_gib",
        "activation_gib",
        "overhead_gib",
        "kv_cache_gib",
        "kv_cache_tokens",
        "max_concurrency",
        "utilization",
    ):
        estimate = plan["memory"][name]
        assert estimate["low"] <= estimate["mid"] <= estimate["high"], name
    assert plan["memory"]["kv_bytes_per_token"] == {"low": 8192.0, "mid": 8192.0, "high": 8192.0}


def test_json_gives_time_and_throughput_with_their_bounds(plan: dict[str, Any]) -> None:
    ttft, tpot = plan["prefill"]["ttft_s"], plan["decode"]["tpot_s"]
    rate = plan["throughput"]["output_tokens_per_s_per_gpu"]
    for estimate in (ttft, tpot):
        assert 0 < estimate["bound"] <= estimate["low"] <= estimate["mid"] <= estimate["high"]
    assert 0 < rate["low"] <= rate["mid"] <= rate["high"] <= rate["bound"]


def test_origins_and_unknowns_share_the_paths_of_the_values(plan: dict[str, Any]) -> None:
    assert "ten-billion.yaml:" in plan["origins"]["parallelism.tensor"]
    for path in {**plan["origins"], **plan["unknown"]}:
        value: Any = plan
        for step in path.removesuffix(".bound").split("."):
            value = value[step]
        if path in plan["unknown"] and not path.endswith(".bound"):
            assert value is None, path


def test_what_is_not_known_is_null_with_its_reason(derive: Callable[..., str], tmp_path: Path) -> None:
    manifest = tmp_path / "deployment.yaml"
    manifest.write_text(UNKNOWN_GPU, encoding="utf-8")
    (pool,) = json.loads(derive(str(manifest), "--format", "json"))["deployments"][0]["pools"]
    assert pool["accelerator"]["name"] is None
    assert pool["memory"]["weights_gib"] is None
    assert "default_accelerator" in pool["unknown"]["memory.weights_gib"]
    assert pool["gpus"] == {"per_replica": 2, "requested": 2, "total": 4, "naive_product": 2}
    shown = derive(str(manifest))
    assert shown.count("set default_accelerator") == 1, "a reason is given once"
    assert "not known: accelerator.name, see above" in shown


def test_several_gpu_types_are_named_and_the_first_worked_out(derive: Callable[..., str], tmp_path: Path) -> None:
    manifest = tmp_path / "deployment.yaml"
    either = """\
      affinity:
        nodeAffinity:
          requiredDuringSchedulingIgnoredDuringExecution:
            nodeSelectorTerms:
              - matchExpressions:
                  - {key: nvidia.com/gpu.product, operator: In, values: [NVIDIA-H100-80GB-HBM3, NVIDIA-H200]}
      containers:
"""
    manifest.write_text(UNKNOWN_GPU.replace("      containers:\n", either), encoding="utf-8")
    (pool,) = json.loads(derive(str(manifest), "--format", "json"))["deployments"][0]["pools"]
    assert len(pool["accelerator"]["alternatives"]) == 2
    assert pool["accelerator"]["name"] == pool["accelerator"]["alternatives"][0]
    assert pool["memory"]["weights_gib"] is not None
    assert f"worked out for {pool['accelerator']['name']}, one of " in derive(str(manifest))


def test_nothing_to_derive_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "other.yaml").write_text("a: 1\n", encoding="utf-8")
    assert main(["derive", "--isolated", str(tmp_path)]) == 0
    assert "no LLM deployment in " in capsys.readouterr().err
    assert main(["derive", "--isolated", str(tmp_path / "nowhere.yaml")]) == 2


def test_a_length_that_nobody_states_is_the_one_the_engine_derives(derive: Callable[..., str], tmp_path: Path) -> None:
    manifest = tmp_path / "unstated.yaml"
    manifest.write_text(
        UNKNOWN_GPU.replace("      containers:", "      nodeSelector: {nvidia.com/gpu.product: NVIDIA-L4}\n      containers:")
    )
    ((pool,),) = [deployment["pools"] for deployment in json.loads(derive(str(manifest), "--format", "json"))["deployments"]]
    assert pool["limits"]["max_model_len"] == 40960
    assert pool["origins"]["limits.max_model_len"] == "the model's own length: max_position_embeddings = 40960"
    tokens = pool["memory"]["kv_cache_tokens"]["mid"]
    assert pool["memory"]["max_concurrency"]["mid"] == pytest.approx(tokens / 40960, rel=0.01)
    assert "requests of 40960 tokens" in derive(str(manifest))


def test_a_length_that_may_be_in_an_unread_part_of_the_command_stays_unknown(derive: Callable[..., str], tmp_path: Path) -> None:
    manifest = tmp_path / "unread.yaml"
    manifest.write_text(
        UNKNOWN_GPU.replace(
            "args: [--model=Qwen/Qwen3-8B, --tensor-parallel-size=2]", 'command: [sh, -c, "vllm serve Qwen/Qwen3-8B $MORE"]'
        )
    )
    ((pool,),) = [deployment["pools"] for deployment in json.loads(derive(str(manifest), "--format", "json"))["deployments"]]
    assert pool["limits"]["max_model_len"] is None
    assert pool["unknown"]["limits.max_model_len"]


def test_the_quantization_of_the_checkpoint_is_shown(derive: Callable[..., str], tmp_path: Path) -> None:
    manifest = tmp_path / "quantized.yaml"
    manifest.write_text(UNKNOWN_GPU.replace("Qwen/Qwen3-8B", "Qwen/Qwen3-8B-FP8"))
    rows = [line.split() for line in derive(str(manifest)).splitlines()]
    assert ["quantization", "of", "the", "checkpoint", "fp8"] in [row[:5] for row in rows]
