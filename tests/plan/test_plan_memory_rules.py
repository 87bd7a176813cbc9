"""PLN906-PLN908: the figures of a KV cache, and that only exact mistakes are named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from servelint.facts import UnknownFact
from servelint.finding import Certainty, Severity
from servelint_rules import plan_kv, plan_kv_claims

Make = Callable[..., Any]
# 2 × 32 layers × 8 KV heads × 128 × 2 B = 128 KiB a token, 64 KiB over TP 2.
MODEL = (
    "model:\n  dtype: float16\n  architecture: {num_hidden_layers: 32, hidden_size: 4096, num_attention_heads: 32,"
    " num_key_value_heads: 8, head_dim: 128, intermediate_size: 14336, vocab_size: 128256}\n"
)
LOAD = "workload: {concurrency: 32, input_tokens: {min: 900, max: 4096}, output_tokens: {mean: 100}}\n"
RIGHT = 32 * 4096 * 65536


def found(plan: Make, kv: str, *, parallelism: str = "{tensor: 2}", load: str = LOAD, model: str = MODEL) -> Any:
    rest = f"{load}claims: {{memory: {{kv_cache: {kv}}}}}\n"
    case = plan(rest, model=model, parallelism=f"parallelism: {parallelism}\n").case
    return plan_kv_claims.kv_claim(case)


@pytest.mark.parametrize("factor", [1.0, 0.995, 1.005, 4196 / 4096, 2498 / 4096, 900 / 4096, 3.3, 1.7])
def test_what_is_right_for_some_length_or_fits_no_mistake_is_left_alone(plan: Make, factor: float) -> None:
    assert found(plan, f"{RIGHT * factor:.0f}") is None


@pytest.mark.parametrize(
    ("kv", "code", "words"),
    [
        (RIGHT * 2, "PLN907", "it is not divided by TP 2"),
        (RIGHT / 2, "PLN906", "it has keys or values, not both"),
        (RIGHT * 4, "PLN906", "it counts 32 attention heads; the cache has 8 KV heads"),
        (RIGHT / 32, "PLN906", "it is that of one request, of 32"),
        (RIGHT / 50, "PLN906", "the requests do not fit into it even at their shortest"),
    ],
)
def test_a_mistake_is_named(plan: Make, kv: float, code: str, words: str) -> None:
    fault = found(plan, f"{kv:.0f}")
    assert fault.code == code
    assert words in fault.verdict.label
    too_small = "shortest" in words
    assert fault.verdict.severity is (Severity.WARNING if too_small else Severity.ERROR)
    assert fault.verdict.certainty is (Certainty.HEURISTIC if too_small else Certainty.PROVEN)


@pytest.mark.parametrize(
    ("parallelism", "kv", "words"),
    [
        ("{tensor: 2, data: 4}", RIGHT, "DP 4"),
        ("{tensor: 2, pipeline: 4}", RIGHT, "PP 4"),
        ("{tensor: 2, data: 4, pipeline: 4}", RIGHT, "DP 4 and PP 4"),
        ("{tensor: 16}", RIGHT / 8, "there are only 8 KV heads to share out"),
        ("{tensor: 2, sequence: 4}", RIGHT / 4, "SP 4, which divides no KV cache"),
        ("{tensor: 2, decode_context: 2}", RIGHT, "DCP 2"),
    ],
)
def test_the_degrees_that_explain_it_are_named(plan: Make, parallelism: str, kv: float, words: str) -> None:
    fault = found(plan, f"{kv:.0f}", parallelism=parallelism)
    assert fault.code == "PLN907"
    assert words in fault.verdict.label


def test_an_uneven_stage_and_its_mean_are_both_right(plan: Make) -> None:
    for share in (9 / 32, 8 / 32):  # 30 layers over 4 stages: 8, 8, 7, 7
        model = MODEL.replace("num_hidden_layers: 32", "num_hidden_layers: 30")
        kv = RIGHT * 30 / 32 * (7.5 / 30 if share == 8 / 32 else 8 / 30)
        assert found(plan, f"{kv:.0f}", parallelism="{tensor: 2, pipeline: 4}", model=model) is None


def test_a_rounded_figure_that_nearly_fits_is_a_warning(plan: Make) -> None:
    fault = found(plan, "17 GB")  # 17.18 GB: not divided by TP 2, to half a GB
    assert (fault.verdict.severity, fault.verdict.certainty) == (Severity.WARNING, Certainty.HEURISTIC)


def test_a_latent_cache_is_divided_by_no_tensor_parallelism(plan: Make) -> None:
    model = (
        "model:\n  dtype: float16\n  architecture: {model_type: deepseek_v2, num_hidden_layers: 27, hidden_size: 2048,"
        " num_attention_heads: 16, num_key_value_heads: 16, kv_lora_rank: 512, qk_rope_head_dim: 64, qk_nope_head_dim: 128,"
        " v_head_dim: 128, intermediate_size: 10944, vocab_size: 102400}\n"
    )
    right = 32 * 4096 * 27 * 576 * 2
    assert found(plan, f"{right}", model=model) is None
    fault = found(plan, f"{right / 2:.0f}", model=model)
    assert fault.code == "PLN907"
    assert "a latent that every rank holds" in fault.verdict.label


@pytest.mark.parametrize("load", ["", "workload: {concurrency: 32}\n", "workload: {input_tokens: 512}\n"])
def test_without_a_workload_no_figure_is_wrong(plan: Make, load: str) -> None:
    assert found(plan, "1 GB", load=load) is None


def test_without_a_shape_it_is_not_checked(plan: Make) -> None:
    with pytest.raises(UnknownFact):
        found(plan, "1 GB", model="model: {parameters: 8e9}\n")


@pytest.mark.parametrize(
    ("memory", "fires"),
    [
        ("{weights: 8 GB, total: 8 GB}", True),
        ("{weights: 8.0 GB, activations: 1.0 GB, total: 9.0 GB}", True),
        ("{weights: 8.0 GB, activations: 1.0 GB, total: 9.2 GB}", False),  # 0.2 GB more: it may be the cache
        ("{weights: 8 GB}", False),
        ("{total: 8 GB}", False),
        ("{weights: 8.0 GB, kv_cache: 0 GB, total: 8.0 GB}", False),  # stated, and the figure is judged instead
    ],
)
def test_a_total_without_a_cache(plan: Make, memory: str, fires: bool) -> None:
    case = plan(f"claims: {{memory: {memory}}}\n").case
    assert bool(list(plan_kv.kv_not_accounted.check(case))) is fires


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    tensor=st.sampled_from([1, 2, 4, 8, 16]), pipeline=st.sampled_from([1, 2, 4]), data=st.sampled_from([1, 2, 3, 8]),
    requests=st.integers(1, 500), tokens=st.integers(64, 100_000),
)  # fmt: skip
def test_the_right_figure_is_never_a_fault(plan: Make, tensor: int, pipeline: int, data: int, requests: int, tokens: int) -> None:
    load = f"workload: {{concurrency: {requests}, input_tokens: {tokens}}}\n"
    each = 2 * 32 // pipeline * max(1, 8 // tensor) * 128 * 2
    for share in (-(-requests // data), requests / data):
        parallelism = f"{{tensor: {tensor}, pipeline: {pipeline}, data: {data}}}"
        assert found(plan, f"{share * tokens * each:.0f} B", parallelism=parallelism, load=load) is None


@pytest.mark.parametrize(
    ("activations", "fires"),
    [("34.36 GB", True), ("17.18 GB", True), ("33.4 GB", False), ("1.07 GB", False), ("0.5 GB", False)],
)
def test_activations_of_all_layers(plan: Make, activations: str, fires: bool) -> None:
    # 32 × 4096 tokens × 4096 × 2 B = 1.07 GB in a layer, × 32 layers = 34.36 GB, over TP 2 17.18 GB.
    case = plan(f"{LOAD}claims: {{memory: {{activations: {activations}}}}}\n", model=MODEL).case
    assert bool(list(plan_kv.activation_over_layers.check(case))) is fires
