from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from servelint.capacity.layout import Layout, layout_of
from servelint.capacity.throughput import throughput_of
from servelint.facts import Fact, UnknownFact

if TYPE_CHECKING:
    from collections.abc import Callable

    from servelint.catalogue.accelerators import Accelerator
    from servelint.deployment import Pool


def test_the_plans_claim_is_beyond_both_readings(ten_billion: Callable[..., Pool], plan_gpu: Accelerator) -> None:
    """400e12 / (2 × 10e9) = 20 000 tokens/s per GPU; of the 42 million of the shape 4.8 million; claimed are 19 million."""
    made = ten_billion(pipeline=1)
    bound = throughput_of(made, plan_gpu, layout_of(made))
    assert [reading.tokens_per_second_per_gpu for reading in bound.bounds] == [20_000, pytest.approx(4.77e6, rel=0.01)]
    assert bound.best == bound.bounds[1].tokens_per_second_per_gpu < 19e6
    assert bound.output_bound <= bound.best


def test_layout_does_not_move_the_bound(ten_billion: Callable[..., Pool], plan_gpu: Accelerator) -> None:
    made = ten_billion()
    assert (
        throughput_of(made, plan_gpu, Layout("generic", tensor=8)).bounds == throughput_of(made, plan_gpu, layout_of(made)).bounds
    )


def test_stated_active_parameters_count(pool: Callable[..., Pool], plan_gpu: Accelerator) -> None:
    made = pool(engine="generic", parameters=47e9, active_parameters=13e9, dtype="float16")
    assert throughput_of(made, plan_gpu, Layout("generic")).best == pytest.approx(400e12 / 26e9)


def test_output_is_bound_by_bandwidth_at_small_batches(pool: Callable[..., Pool], h100: Accelerator) -> None:
    made = pool(architecture="meta-llama/Llama-3.1-8B-Instruct", concurrency=1, version="0.19.0")
    one = throughput_of(made, h100, Layout("vllm"))
    # 15.0e9 bytes less the table of embeddings, at 3.35e12 B/s
    assert one.output_bound == pytest.approx(3.35e12 / 15.0e9, rel=0.02)
    assert one.best == pytest.approx(989.4e12 / (2 * 6.98e9), rel=0.02)
    many = throughput_of(pool(architecture="meta-llama/Llama-3.1-8B-Instruct", concurrency=200), h100, Layout("vllm"))
    assert many.output_bound > 50 * one.output_bound
    drafted = pool(architecture="meta-llama/Llama-3.1-8B-Instruct", concurrency=1, speculative="num_speculative_tokens 3")
    assert throughput_of(drafted, h100, Layout("vllm")).output_bound == pytest.approx(4 * one.output_bound)


def test_eight_bits_take_the_eight_bit_peak(pool: Callable[..., Pool], h100: Accelerator) -> None:
    plain = throughput_of(pool(architecture="meta-llama/Llama-3.1-8B-Instruct"), h100, Layout("vllm")).best
    eight = throughput_of(pool(architecture="meta-llama/Llama-3.1-8B-Instruct", quantization="fp8"), h100, Layout("vllm")).best
    assert eight == pytest.approx(2 * plain, rel=0.01)


def test_without_a_model_there_is_no_bound(pool: Callable[..., Pool], h100: Accelerator) -> None:
    with pytest.raises(UnknownFact) as raised:
        throughput_of(pool(architecture=Fact.unknown("model.architecture", "not in the catalogue")), h100, Layout("vllm"))
    assert raised.value.fact == "model.architecture"
