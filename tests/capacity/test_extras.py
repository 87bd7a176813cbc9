"""What flags and variables of a deployment take beside the model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from servelint.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LLAMA = "meta-llama/Llama-3.1-8B-Instruct"
MANIFEST = """\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: served}}
spec:
  template:
    spec:
      nodeSelector: {{nvidia.com/gpu.product: NVIDIA-H100-80GB-HBM3}}
      containers:
        - name: vllm
          image: vllm/vllm-openai:{image}
          args: [--model={model}{flags}]
          env: [{env}]
          resources: {{limits: {{nvidia.com/gpu: 1}}}}
"""


@pytest.fixture
def memory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    def make(flags: str = "", env: str = "", image: str = "v0.19.1", model: str = LLAMA) -> dict[str, Any]:
        file = tmp_path / "served.yaml"
        file.write_text(MANIFEST.format(flags=flags, env=env, image=image, model=model), encoding="utf-8")
        assert main(["derive", "--isolated", str(file), "--format", "json"]) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)["deployments"][0]["pools"][0]["memory"]
        return found

    return make


def test_adapters(memory: Callable[..., dict[str, Any]]) -> None:
    """Llama-3.1-8B: an adapter of rank 16 has 42 million elements, 80 MiB."""
    plain = memory()
    served = memory(", --enable-lora, --max-loras=8, --max-lora-rank=16")
    assert served["overhead_gib"]["mid"] - plain["overhead_gib"]["mid"] == pytest.approx(8 * 41.9e6 * 2 / 2**30, rel=0.02)
    assert served["kv_cache_gib"]["mid"] < plain["kv_cache_gib"]["mid"]
    more = memory(", --enable-lora, --max-loras=8, --max-lora-rank=64")
    assert more["overhead_gib"]["mid"] - plain["overhead_gib"]["mid"] == pytest.approx(4 * 8 * 41.9e6 * 2 / 2**30, rel=0.02)
    assert memory(", --no-enable-lora, --max-loras=8") == plain
    assert memory(", --max-loras=8") == plain, "without the switch there are no buffers"


def test_a_rank_that_cannot_be_read_is_an_interval(memory: Callable[..., dict[str, Any]]) -> None:
    open_ = memory(", --enable-lora, --max-lora-rank=$(RANK)")
    assert open_["overhead_gib"]["high"] > open_["overhead_gib"]["mid"] + 1


def test_a_heap_that_may_grow(memory: Callable[..., dict[str, Any]]) -> None:
    plain, heap = memory(), memory(env='{name: NVSHMEM_SYMMETRIC_SIZE, value: "16G"}')
    assert heap["overhead_gib"]["high"] - plain["overhead_gib"]["high"] > 15
    assert heap["overhead_gib"]["mid"] == plain["overhead_gib"]["mid"], "it need not be there when the engine measures"
    assert heap["kv_cache_gib"]["low"] < plain["kv_cache_gib"]["low"] - 15
    assert memory(env='{name: NVSHMEM_SYMMETRIC_SIZE, value: "much"}') == plain


def test_a_variable_chooses_the_sampler(memory: Callable[..., dict[str, Any]]) -> None:
    """Llama-3.1-8B took 4.76 GiB with 1024 requests where its logits were sorted, 1.89 where not."""

    def activation(value: str, image: str) -> tuple[float, float, float]:
        found = memory("", f"{{name: VLLM_USE_FLASHINFER_SAMPLER, value: {value}}}" if value else "", image)["activation_gib"]
        return found["low"], found["mid"], found["high"]

    native, flashinfer, either = (activation(value, "v0.11.0") for value in ("'0'", "'1'", ""))
    assert native[1] == pytest.approx(4.76, abs=0.1)
    assert native[0] > 4.5
    assert flashinfer[1] == pytest.approx(1.89, abs=0.1)
    assert flashinfer[2] < 2.5
    assert either[0] < flashinfer[1] < native[1] == either[1], "what nobody states may be either"
    assert activation("'0'", "v0.19.1") == activation("", "v0.19.1")


def test_a_limit_on_images_leaves_open_whether_they_are_profiled(memory: Callable[..., dict[str, Any]]) -> None:
    """The result of an encoder stays beside the forward pass, as its run comes before: both or neither."""

    def activation(flags: str) -> tuple[float, float, float]:
        found = memory(flags, "", "v0.23.0", "Qwen/Qwen3-VL-8B-Instruct")["activation_gib"]
        return found["low"], found["mid"], found["high"]

    plain, limited, without = (activation(flags) for flags in ("", ", --limit-mm-per-prompt=image=1", ", --language-model-only"))
    assert limited[1:] == plain[1:]
    assert limited[0] == without[0] < plain[0]


@pytest.mark.parametrize("image", ["v0.19.1", "v0.21.0"])
def test_flags_say_which_sizes_are_captured(memory: Callable[..., dict[str, Any]], image: str) -> None:
    def graphs(flags: str) -> tuple[float, float, float]:
        found = memory(flags, "", image)["graphs_gib"]
        return found["low"], found["mid"], found["high"]

    usual, few, many = (graphs(f"{', --max-cudagraph-capture-size=' if size else ''}{size}") for size in ("", "16", "2048"))
    assert few[1] < 0.4 * usual[1] < usual[1] < 0.7 * many[1]
    assert graphs(", --max-cudagraph-capture-size=512") == usual
    stated = graphs(", '--compilation-config={\"max_cudagraph_capture_size\": 2048}'")
    assert stated == (0.0, *many[1:]), "and it may say that there are none"
    for flag in ("--compilation-config=$(SETTINGS)", "--cudagraph-capture-sizes=8", "-O0"):
        assert graphs(f", {flag}") == (0.0, *usual[1:]), flag


@pytest.mark.parametrize(
    ("image", "flags"),
    [("v0.6.3", ""), ("v0.6.3", ", --enable-chunked-prefill=false"), ("v0.19.1", ", --no-enable-chunked-prefill")],
)
def test_a_prompt_that_is_one_step_may_be_as_long_as_the_model_says(
    memory: Callable[..., dict[str, Any]], image: str, flags: str
) -> None:
    model = "mistralai/Mistral-7B-Instruct-v0.2"
    derived = memory(flags, "", image, model)["activation_gib"]
    assert derived == memory(f"{flags}, --max-model-len=32768", "", image, model)["activation_gib"]
    assert derived["mid"] > 1.5 * memory(f"{flags}, --max-model-len=8192", "", image, model)["activation_gib"]["mid"]


def test_early_releases_of_v1_split_prompts_whatever_they_are_told(memory: Callable[..., dict[str, Any]]) -> None:
    model = "mistralai/Mistral-7B-Instruct-v0.2"

    def activation(flags: str, image: str) -> tuple[float, float, float]:
        found = memory(flags, "", image, model)["activation_gib"]
        return found["low"], found["mid"], found["high"]

    flag = ", --no-enable-chunked-prefill"
    for length in ("", ", --max-model-len=32768"):
        assert activation(flag + length, "v0.9.2") == activation(length, "v0.9.2")
        small, open_, whole = (activation(f + length, v) for f, v in (("", "v0.14.0"), (flag, "v0.14.0"), (flag, "v0.19.1")))
        assert open_[0] == small[0]
        assert open_[1] > 3
        assert whole[0] > 3
