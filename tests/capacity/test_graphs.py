"""CUDA graphs: how many there are, and what is kept of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, strategies as st

from servelint.capacity.graphs import capture_sizes, largest_size
from servelint.capacity.layout import layout_of
from servelint.capacity.memory import memory_of
from servelint.catalogue import accelerators
from servelint.engines.versions import Version

if TYPE_CHECKING:
    from collections.abc import Callable

    from servelint.catalogue.accelerators import Accelerator
    from servelint.catalogue.architecture import Architecture
    from servelint.deployment import Pool

GIB, MIB = 2**30, 2**20
LLAMA, GPT_OSS, KIMI = "meta-llama/Llama-3.1-8B-Instruct", "openai/gpt-oss-20b", "moonshotai/Kimi-VL-A3B-Instruct"

# What capturing took, as logged by vLLM 0.19.0 on H100: https://github.com/llm-d-incubation/llm-d-planner/pull/205
LOGGED = [
    (LLAMA, {}, 0.91),
    (LLAMA, {"tensor": 2}, 0.76),
    (LLAMA, {"tensor": 4}, 0.67),
    ("RedHatAI/Llama-3.3-70B-Instruct-fp8-dynamic", {"tensor": 2}, 1.79),
    ("google/gemma-3-4b-it", {}, 0.67),
    ("Qwen/Qwen3-30B-A3B", {}, 1.41),
    (KIMI, {}, 1.50),
    (KIMI, {"tensor": 2}, 1.26),
    (GPT_OSS, {}, 1.84),
    (GPT_OSS, {"tensor": 2}, 1.55),
]


@pytest.mark.parametrize(("model", "facts", "logged"), LOGGED)
def test_the_graphs_are_those_of_the_log(
    pool: Callable[..., Pool], h100: Accelerator, model: str, facts: dict[str, Any], logged: float
) -> None:
    made = pool(architecture=model, version="0.19.0", gpu_memory_utilization=0.95, max_model_len=8192, **facts)
    graphs = memory_of(made, h100, layout_of(made)).graphs_bytes
    assert graphs.mid == pytest.approx(logged * GIB, rel=0.08)
    assert graphs.low < logged * GIB < graphs.high


@pytest.mark.parametrize(
    ("largest", "version", "sizes"),
    [
        (512, "0.19.0", 51),
        (1024, "0.19.0", 83),
        (512, "0.11.0", 67),
        (992, "0.11.0", 81),
        (256, None, 35),
        (2, None, 2),
        (8, None, 4),
    ],
)
def test_sizes_are_those_of_the_code(largest: int, version: str | None, sizes: int) -> None:
    assert capture_sizes(largest, Version.of(version) if version else None) == sizes


@given(st.integers(1, 2048))
def test_more_sizes_with_a_larger_batch(largest: int) -> None:
    listed = [1, 2, 4, *range(8, 256, 8), *range(256, 4096, 16)]
    assert capture_sizes(largest) == sum(size <= largest for size in listed)


def test_gpt_oss_captures_larger_batches(architecture: Callable[..., Architecture]) -> None:
    plain, own = architecture(), architecture(model_type="gpt_oss")
    assert [largest_size(plain, rows) for rows in (1024, 100, 1)] == [512, 200, 2]
    assert [largest_size(own, 1024, Version.of(v)) for v in ("0.19.0", "0.11.0", "0.10.1")] == [1024, 992, 512]


def _graphs(pool: Callable[..., Pool], accelerator: Accelerator, **facts: Any) -> float:
    made = pool(version="0.19.0", max_num_seqs=1024, max_num_batched_tokens=8192, max_model_len=8192, **facts)
    return memory_of(made, accelerator, layout_of(made)).graphs_bytes.mid


def test_only_hopper_splits_the_keys(pool: Callable[..., Pool], h100: Accelerator) -> None:
    a100 = accelerators.find("A100-SXM4-80GB")
    assert a100 is not None
    assert _graphs(pool, h100, architecture=LLAMA) - _graphs(pool, a100, architecture=LLAMA) == pytest.approx(256 * MIB)


def test_a_float8_cache_of_latent_attention_has_kernels_of_its_own(pool: Callable[..., Pool], h100: Accelerator) -> None:
    plain, fp8 = (_graphs(pool, h100, architecture=KIMI, kv_cache_dtype=dtype) for dtype in ("auto", "fp8"))
    assert plain - fp8 == pytest.approx(512 * MIB)  # 16 heads × 512 wide


def test_fewer_sequences_have_fewer_graphs_of_decoding(pool: Callable[..., Pool], h100: Accelerator) -> None:
    taken = [
        memory_of(made, h100, layout_of(made)).graphs_bytes.mid
        for rows in (1, 4, 64, 256, 1024)
        for made in (pool(architecture=LLAMA, version="0.19.0", max_num_seqs=rows),)
    ]
    assert taken == sorted(taken)
    assert taken[0] < 0.1 * GIB < 0.6 * GIB < taken[-1]
