from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from servelint.capacity.latency import draft_tokens, latency_of
from servelint.capacity.layout import Layout, layout_of
from servelint.capacity.work import attention_flops, readings_of
from servelint.facts import Fact, UnknownFact

if TYPE_CHECKING:
    from collections.abc import Callable

    from servelint.catalogue.accelerators import Accelerator
    from servelint.catalogue.architecture import Architecture
    from servelint.deployment import Pool

LLAMA_70B = "meta-llama/Llama-3.1-70B-Instruct"
quick = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def serving(pool: Callable[..., Pool], **facts: Any) -> Pool:
    stated = {
        "concurrency": 8,
        "input_tokens_max": 2048,
        "input_tokens_min": 2048,
        "output_tokens_mean": 128.0,
        "max_num_seqs": 256,
    }
    return pool(**{**stated, **facts})


def test_attention_counts_visible_pairs(architecture: Callable[..., Architecture]) -> None:
    per_pair = 2 * (64 + 64) * 16 * 8  # keys and values, heads, layers
    assert attention_flops(architecture(), 100) == per_pair * 100 * 101 / 2
    slid = architecture(layer_types=["sliding_attention"] * 8, sliding_window=10)
    assert attention_flops(slid, 100) == per_pair * 100 * 10


@pytest.mark.parametrize(
    ("model", "layers", "head"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", 6.98e9, 0.525e9),
        ("Qwen/Qwen3-30B-A3B", 2.73e9, 0.311e9),  # 3.3e9 active, the two tables taken out
        ("deepseek-ai/DeepSeek-R1", 35.7e9, 0.927e9),  # 37e9 active, the two tables taken out
    ],
)
def test_active_parameters(pool: Callable[..., Pool], model: str, layers: float, head: float) -> None:
    (work,) = readings_of(pool(architecture=model))
    assert work.layers == pytest.approx(layers, rel=0.02)
    assert work.head == pytest.approx(head, rel=0.02)


def test_two_readings_of_the_plan(ten_billion: Callable[..., Pool], plan_gpu: Accelerator) -> None:
    works = readings_of(ten_billion())
    assert [work.layers for work in works] == [10e9, pytest.approx(41.9e6, rel=0.01)]
    assert [work.label for work in works] == ["10B parameters as stated", "42M parameters of the shape"]
    assert len(readings_of(ten_billion(parameters=42e6))) == 1


def test_ttft_of_the_plan(ten_billion: Callable[..., Pool], plan_gpu: Accelerator) -> None:
    """2 × 10e9 × 10240 FLOP on two GPUs at 60 % of 400 TFLOPS is 0.43 s: pipeline stages and data-parallel ranks cut nothing."""
    made = ten_billion()
    before = latency_of(made, plan_gpu, layout_of(made))
    after = latency_of(made, plan_gpu, layout_of(made).with_(pipeline=1))
    assert 0.43 < before.ttft_seconds.mid < 1
    assert 0.43 < after.ttft_seconds.mid < 1
    assert after.ttft_bound_seconds == pytest.approx(2 * before.ttft_bound_seconds)
    assert after.tpot_seconds.mid < 0.05
    assert not after.queue_bound


def test_the_bound_takes_the_smaller_reading(ten_billion: Callable[..., Pool], plan_gpu: Accelerator) -> None:
    made = ten_billion(pipeline=1)
    both = latency_of(made, plan_gpu, layout_of(made)).ttft_bound_seconds
    large = latency_of(
        ten_billion(pipeline=1, architecture=Fact.unknown("model.architecture", "not stated")), plan_gpu, layout_of(made)
    )
    assert large.ttft_bound_seconds == pytest.approx(2 * 10e9 * 10240 / (4 * 400e12))
    assert both < large.ttft_bound_seconds / 50


def test_a_burst_is_the_time_of_its_last_request(ten_billion: Callable[..., Pool], plan_gpu: Accelerator) -> None:
    """128 × 10240 tokens × 2 × 10e9 on four GPUs at their peak is 16.4 s, at 60 % 27 s."""
    stated = {
        "pipeline": 1,
        "arrival": "burst",
        "input_tokens_min": 10240,
        "architecture": Fact.unknown("model.architecture", "not stated"),
    }
    made = ten_billion(**stated)
    latency = latency_of(made, plan_gpu, layout_of(made))
    assert latency.ttft_bound_seconds == pytest.approx(128 * 10240 * 2 * 10e9 / (4 * 400e12))
    assert latency.ttft_seconds.mid == pytest.approx(27.3, rel=0.1)
    eight = latency_of(made, plan_gpu, layout_of(made).with_(pipeline=2))
    assert eight.ttft_seconds.mid == pytest.approx(13.9, rel=0.1)


def test_decode_of_a_large_model(pool: Callable[..., Pool], h100: Accelerator) -> None:
    """Llama-70B fp8 on two H100: 15-20 ms measured by vLLM at concurrency up to 4; the bytes alone take 10.1."""
    made = serving(pool, architecture=LLAMA_70B, quantization="fp8", concurrency=1)
    latency = latency_of(made, h100, Layout("vllm", tensor=2))
    assert 0.0100 < latency.tpot_bound_seconds < 0.0110
    assert 0.013 < latency.tpot_seconds.mid < 0.022


def test_more_requests_than_the_cache_admits(pool: Callable[..., Pool], h100: Accelerator) -> None:
    made = serving(pool, architecture=LLAMA_70B, quantization="fp8", concurrency=250, input_tokens_max=5000, version="0.19.0")
    assert latency_of(made, h100, Layout("vllm", tensor=2)).queue_bound
    few = serving(pool, architecture=LLAMA_70B, quantization="fp8", concurrency=10, input_tokens_max=5000, version="0.19.0")
    assert not latency_of(few, h100, Layout("vllm", tensor=2)).queue_bound


@pytest.mark.parametrize(
    ("text", "tokens"),
    [('{"method": "eagle3", "num_speculative_tokens": 3}', 3), ("none", 0), ("method=mtp, num_speculative_tokens=2", 2)],
)
def test_tokens_drafted(pool: Callable[..., Pool], text: str, tokens: int) -> None:
    assert draft_tokens(pool(speculative=text)) == tokens
    assert draft_tokens(pool()) == 0


def test_speculation_that_is_not_readable_leaves_no_bound(pool: Callable[..., Pool], h100: Accelerator) -> None:
    with pytest.raises(UnknownFact, match="speculative"):
        latency_of(serving(pool, architecture=LLAMA_70B, speculative='{"method": "eagle"}'), h100, Layout("vllm", tensor=4))
    one = latency_of(serving(pool, architecture=LLAMA_70B), h100, Layout("vllm", tensor=4))
    four = latency_of(
        serving(pool, architecture=LLAMA_70B, speculative="num_speculative_tokens: 3"), h100, Layout("vllm", tensor=4)
    )
    assert four.tpot_bound_seconds == pytest.approx(one.tpot_bound_seconds / 4)


@pytest.mark.parametrize(
    ("facts", "fact"),
    [
        ({"input_tokens_max": Fact.unknown("workload.input_tokens.max", "not stated")}, "workload.input_tokens.max"),
        ({"architecture": Fact.unknown("model.architecture", "not in the catalogue")}, "model.architecture"),
    ],
)
def test_what_it_needs_is_named(pool: Callable[..., Pool], h100: Accelerator, facts: dict[str, Any], fact: str) -> None:
    with pytest.raises(UnknownFact) as raised:
        latency_of(serving(pool, **{"architecture": LLAMA_70B, **facts}), h100, Layout("vllm", tensor=4))
    assert raised.value.fact == fact


def test_an_accelerator_without_a_peak(pool: Callable[..., Pool], h100: Accelerator) -> None:
    with pytest.raises(UnknownFact, match="compute"):
        latency_of(
            serving(pool, architecture=LLAMA_70B), h100._replace(peak_flops={}, peak_flops_highest={}), Layout("vllm", tensor=4)
        )
    with pytest.raises(UnknownFact, match="bandwidth"):
        latency_of(
            serving(pool, architecture=LLAMA_70B), h100._replace(bandwidth_bytes_per_second=None), Layout("vllm", tensor=4)
        )


@quick
@given(
    model=st.sampled_from(
        [LLAMA_70B, "Qwen/Qwen3-30B-A3B", "deepseek-ai/DeepSeek-R1", "google/gemma-3-27b-it", "Qwen/Qwen3.5-27B"]
    ),
    tokens=st.integers(1, 30_000),
    concurrency=st.integers(1, 300),
    arrival=st.sampled_from(["steady", "burst"]),
    degrees=st.fixed_dictionaries(
        {"tensor": st.sampled_from([1, 4, 8]), "pipeline": st.integers(1, 2), "data": st.integers(1, 3)}
    ),
)
def test_a_bound_is_below_every_estimate_and_grows_with_the_prompt(
    pool: Callable[..., Pool], h100: Accelerator, model: str, tokens: int, concurrency: int, arrival: str, degrees: dict[str, int]
) -> None:
    facts = {"architecture": model, "concurrency": concurrency, "arrival": arrival, "input_tokens_min": 1}
    layout = Layout("vllm", **degrees)
    latency = latency_of(serving(pool, input_tokens_max=tokens, **facts), h100, layout)
    longer = latency_of(serving(pool, input_tokens_max=2 * tokens, **facts), h100, layout)
    assert latency.ttft_bound_seconds <= latency.ttft_seconds.low <= latency.ttft_seconds.mid <= latency.ttft_seconds.high
    assert latency.tpot_bound_seconds <= latency.tpot_seconds.low <= latency.tpot_seconds.mid <= latency.tpot_seconds.high
    assert latency.ttft_bound_seconds <= longer.ttft_bound_seconds
    assert latency.ttft_seconds.low <= longer.ttft_seconds.low
