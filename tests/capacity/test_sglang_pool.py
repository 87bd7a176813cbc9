"""SGLang's static pool against start-up logs, and the cases of its source that no log shows."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from servelint.capacity import shape
from servelint.capacity.kv_cache import kv_cache_of
from servelint.capacity.layout import Layout
from servelint.capacity.memory import memory_of
from servelint.capacity.sglang_pool import before_loading, kept_for_images, kept_share, laid_out, of_tokens
from servelint.capacity.weights import weights_of
from servelint.catalogue import accelerators
from servelint.estimate import Estimate

if TYPE_CHECKING:
    from collections.abc import Callable

    from servelint.catalogue.accelerators import Accelerator
    from servelint.deployment import Pool

GIB = 2**30
HYBRID = "Qwen/Qwen3.8-27B-FP8"

# Release, device, ranks, fraction, weights and pool in GiB (None where the log says no size), tokens; fixtures/ground_truth.
LOGGED = [
    ("Qwen/QwQ-32B", "0.4.3", "L4", 4, 0.85, 15.54, 2.84, 46611, {}),
    ("Qwen/Qwen3-32B", "0.5.19", "H100-SXM5-80GB", 1, 0.90, 61.07, 9.54, 39078, {}),
    (HYBRID, "0.5.18", "H100-SXM5-80GB", 1, 0.85, 28.47, 38.08, 330323, {}),
    (HYBRID, "0.5.17", "MI355X", 1, 0.85, 28.49, None, 1543256, {}),
    (HYBRID, "0.5.17", "MI355X", 2, 0.85, 14.49, None, 3228418, {}),
    ("moonshotai/Kimi-K2.5", "0.5.8", "MI355X", 8, 0.8260405859375, 73.58, 160.63, 2454421, {}),
    ("zai-org/GLM-5-FP8", "0.5.8", "MI355X", 8, 0.908, 89.58, None, 3262823, {"kv_cache_dtype": "fp8_e4m3"}),
]


def _device(name: str) -> Accelerator:
    found = accelerators.find(name)
    assert found is not None
    return found


def _with(pool: Pool, **flags: str) -> Pool:
    """The pool of a command line with these flags."""
    stated = {
        "--" + name.replace("_", "-"): SimpleNamespace(value=value, value_is_unknown=value == "?", flag=None)
        for name, value in flags.items()
    }
    container: Any = SimpleNamespace(command=SimpleNamespace(last=stated.get), environment={})
    return pool._replace(containers=(container,))


@pytest.mark.parametrize(("model", "version", "device", "ranks", "share", "weights", "size", "tokens", "more"), LOGGED)
def test_logged(
    pool: Callable[..., Pool],
    model: str,
    version: str,
    device: str,
    ranks: int,
    share: float,
    weights: float,
    size: float | None,
    tokens: int,
    more: dict[str, Any],
) -> None:
    accelerator = _device(device)
    made = pool(
        engine="sglang", architecture=model, version=version, accelerator=accelerator, tensor=ranks,
        gpu_memory_utilization=share, **more,
    )  # fmt: skip
    budget = memory_of(made, accelerator, Layout("sglang", tensor=ranks))
    assert budget.weights_bytes.low <= weights * GIB <= budget.weights_bytes.high
    assert budget.weights_bytes.mid / GIB == pytest.approx(weights, rel=0.035)
    assert budget.kv_tokens.mid == pytest.approx(tokens, rel=0.02)
    assert budget.kv_tokens.low <= tokens <= budget.kv_tokens.high
    if size is not None:
        assert budget.kv_pool_bytes.mid / GIB == pytest.approx(size, rel=0.02)


def test_what_is_gone_before_the_weights(h100: Accelerator) -> None:
    alone, grouped = (before_loading(h100, Layout("sglang", tensor=ranks)) for ranks in (1, 8))
    assert alone.high < 1.2 * GIB < 1.9 * GIB < grouped.mid
    assert before_loading(_device("RTX 4090"), Layout("sglang", tensor=2)).mid < GIB
    assert before_loading(_device("A100-SXM4-80GB"), Layout("sglang", tensor=2)).mid < grouped.mid
    assert before_loading(_device("DGX Spark GB10"), Layout("sglang")).mid > 8 * GIB
    bridged = before_loading(_device("H100-PCIE-80GB"), Layout("sglang", tensor=2))  # or not: both are sold
    assert bridged.low < 0.7 * GIB < 2 * GIB < bridged.high
    assert before_loading(h100, Layout("sglang", data=2)) == alone


@pytest.mark.parametrize(
    ("model", "version", "facts", "flags", "share"),
    [
        ("Qwen/Qwen3-8B", "0.5.17", {}, {}, (0.85, 0.85)),
        ("Qwen/Qwen3-8B", "0.5.17", {"max_model_len": 8192}, {}, (1.0, 1.0)),
        ("Qwen/Qwen3-8B", "0.4.6", {}, {}, (1.0, 1.0)),
        ("Qwen/Qwen3-8B", None, {}, {}, (0.85, 1.0)),
        ("Qwen/Qwen3-8B", "0.5.17", {}, {"attention_backend": "triton"}, (1.0, 1.0)),
        ("Qwen/Qwen3-8B", "0.5.17", {}, {"attention_backend": "?"}, (0.85, 1.0)),
        ("deepseek-ai/DeepSeek-V3", "0.5.17", {}, {}, (0.85, 0.85)),  # 16 heads on a rank
        ("moonshotai/Kimi-K2.5", "0.5.17", {}, {}, (1.0, 1.0)),  # 8
        ("zai-org/GLM-5-FP8", "0.5.17", {}, {}, (1.0, 1.0)),  # sparse
    ],
)
def test_amd_takes_part_of_the_fraction(
    pool: Callable[..., Pool],
    model: str,
    version: str | None,
    facts: dict[str, Any],
    flags: dict[str, str],
    share: tuple[float, float],
) -> None:
    made = pool(engine="sglang", architecture=model, **facts, **({"version": version} if version else {}))
    made = _with(made, **flags) if flags else made
    found = kept_share(made, _device("MI300X"), Layout("sglang", tensor=8))
    assert (found.low, found.high) == share


@pytest.mark.parametrize(
    ("device", "version", "share"),
    [
        ("H100-SXM5-80GB", "0.4.3", (0.90, 0.95, 0.95)),
        ("H100-SXM5-80GB", "0.4.6", (0.90, 0.90, 0.90)),
        ("H100-SXM5-80GB", "0.4.10", (1.0, 1.0, 1.0)),
        ("H100-SXM5-80GB", None, (0.90, 1.0, 1.0)),
        ("MI300X", "0.4.8", (0.765, 0.765, 0.765)),  # what AMD's kernels take is taken of what is left
        ("MI300X", None, (0.765, 0.85, 1.0)),
    ],
)
def test_models_that_see_had_less_before_0_4_9(
    pool: Callable[..., Pool], device: str, version: str | None, share: tuple[float, float, float]
) -> None:
    made = pool(engine="sglang", architecture="google/gemma-3-27b-it", **({"version": version} if version else {}))
    assert kept_share(made, _device(device), Layout("sglang")) == pytest.approx(share)


def test_encoded_images_are_kept_outside_since_0_5_18(pool: Callable[..., Pool]) -> None:
    def kept(model: str, version: str) -> float:
        return kept_for_images(pool(engine="sglang", architecture=model, version=version)).mid / GIB

    assert kept("google/gemma-3-27b-it", "0.5.18") == pytest.approx(0.1)
    assert kept("google/gemma-3-27b-it", "0.5.17") == kept("Qwen/Qwen3-8B", "0.5.18") == 0


def test_states_take_their_share(pool: Callable[..., Pool]) -> None:
    made = pool(engine="sglang", architecture=HYBRID, version="0.5.15", max_num_seqs=32)
    size, state = 38 * GIB, 0.15 * GIB
    assert of_tokens(made, size, state) == Estimate(size / 1.9, size / 1.9, size - 32 * state)
    assert of_tokens(_with(made), size, state) == Estimate.exact(size / 1.9)
    assert of_tokens(_with(made, mamba_full_memory_ratio="0.5"), size, state).mid == pytest.approx(size / 1.5)
    assert of_tokens(_with(made, max_mamba_cache_size="64"), size, state).mid == pytest.approx(size - 64 * state)
    assert of_tokens(_with(made, max_mamba_cache_size="many"), size, state).mid == pytest.approx(size / 1.9)
    # DGX Spark, 0.5.15: 535124 tokens under these flags.
    assert of_tokens(_with(made, disable_radix_cache=""), size, state).mid == pytest.approx(size - 32 * state)
    assert of_tokens(made, -GIB, state) == Estimate.exact(-GIB)


@pytest.mark.parametrize(
    ("model", "version", "share"),
    [
        ("openai/gpt-oss-20b", "0.5.7", 1.0),
        ("openai/gpt-oss-20b", "0.5.8", 0.8),
        ("openai/gpt-oss-20b", None, 0.8),
        ("google/gemma-3-27b-it", "0.5.20", 1.0),
    ],
)
def test_sliding_layers_keep_every_token_or_four_fifths(
    pool: Callable[..., Pool], model: str, version: str | None, share: float
) -> None:
    made = pool(engine="sglang", architecture=model, **({"version": version} if version else {}))
    kinds = shape.layer_kinds(made.architecture.value)
    cache = kv_cache_of(made, Layout("sglang"), kinds, 8192)
    assert not any(group.window for group in cache.groups)
    each = {group.mixer: group.page_bytes / group.layers for group in cache.groups}
    assert each[shape.SLIDING] == pytest.approx(share * each[shape.FULL])
    assert cache.request_bytes(1000) == pytest.approx(1000 * cache.bytes_per_token)


@pytest.mark.parametrize(
    ("version", "speculative", "expected"),
    [("0.5.12", None, 15955.85), ("0.5.16", None, 15955.85 - 8192), ("0.5.16", "eagle", (15955.85 - 8192 + 1344) * 45 / 44)],
)
def test_deepseek_v4(pool: Callable[..., Pool], version: str, speculative: str | None, expected: float) -> None:
    """15955.85 bytes a token as 0.5.12 logged of the Flash model."""
    facts = {"speculative": speculative} if speculative else {}
    made = pool(engine="sglang", architecture="deepseek-ai/DeepSeek-V4-Flash", version=version, **facts)
    cache = kv_cache_of(made, Layout("sglang", tensor=8), shape.layer_kinds(made.architecture.value), 8192, last=True)
    assert cache.bytes_per_token == pytest.approx(expected)


def test_a_sparse_cache_in_fp8_is_larger_than_planned(pool: Callable[..., Pool]) -> None:
    left = Estimate.exact(100 * GIB)
    made = pool(engine="sglang", architecture="zai-org/GLM-5-FP8", version="0.5.8", kv_cache_dtype="fp8_e4m3")
    assert laid_out(made, left).high == pytest.approx(left.high * 788 / 708)
    assert laid_out(made._replace(version=pool(version="0.5.23").version), left) == left
    assert laid_out(pool(engine="sglang", architecture="zai-org/GLM-5-FP8", version="0.5.8"), left) == left


def test_every_rank_of_the_attention_has_the_whole_embedding(pool: Callable[..., Pool]) -> None:
    """Qwen3-30B-A3B at TP 4 with four ranks of attention and of experts: 16.39 GiB (sgl-project/sglang pull request 17392)."""
    made = pool(engine="sglang", architecture="Qwen/Qwen3-30B-A3B", dtype="bfloat16", tensor=4, attention_data=4, expert=4)
    stage = weights_of(made, Layout("sglang", tensor=4, attention_data=4, expert=4)).stages[0]
    assert stage.low < 16.39 * GIB < stage.high
    assert stage.mid / GIB == pytest.approx(16.39, rel=0.03)


def test_no_graphs_without_them(pool: Callable[..., Pool], h100: Accelerator) -> None:
    made = pool(engine="sglang", architecture="Qwen/Qwen3-8B", enforce_eager=True)
    assert memory_of(made, h100, Layout("sglang")).graphs_bytes == Estimate.exact(0.0)


def test_drafts_are_loaded_before_the_pool_is_sized_since_0_5_14(pool: Callable[..., Pool]) -> None:
    """0.5.17 logged 51.05 GiB of the model and 5.53 of its draft, which has a table and a head until the pool is there."""
    device = _device("A100-PCIE-80GB")

    def both(version: str, **facts: Any) -> tuple[float, str]:
        made = pool(engine="sglang", architecture="Qwen/Qwen3.6-27B", version=version, accelerator=device, **facts)
        found = memory_of(made, device, Layout("sglang"))
        return found.weights_bytes.mid / GIB, found.cache.formula

    assert both("0.5.17", speculative="eagle")[0] == pytest.approx(51.05 + 5.53, rel=0.01)
    assert "17 full" in both("0.5.17", speculative="eagle")[1]
    assert both("0.5.13", speculative="eagle") == both("0.5.13")


@pytest.mark.parametrize(
    ("model", "flags", "share"),
    [
        ("openai/gpt-oss-20b", {"swa_full_tokens_ratio": "0.25"}, 0.25),
        ("openai/gpt-oss-20b", {"swa_full_tokens_ratio": "?"}, 0.8),
        ("openai/gpt-oss-20b", {"swa_full_tokens_ratio": "7"}, 0.8),
        ("openai/gpt-oss-20b", {"swa_full_tokens_ratio": "0.25", "disable_hybrid_swa_memory": ""}, 1.0),
        ("google/gemma-3-27b-it", {"swa_full_tokens_ratio": "0.25"}, 1.0),
    ],
)
def test_a_flag_says_what_sliding_layers_keep(pool: Callable[..., Pool], model: str, flags: dict[str, str], share: float) -> None:
    made = _with(pool(engine="sglang", architecture=model, version="0.5.18"), **flags)
    cache = kv_cache_of(made, Layout("sglang"), shape.layer_kinds(made.architecture.value), 8192)
    each = {group.mixer: group.page_bytes / group.layers for group in cache.groups}
    assert each[shape.SLIDING] == pytest.approx(share * each[shape.FULL])


def test_a_flag_says_what_the_windows_of_deepseek_v4_keep(pool: Callable[..., Pool]) -> None:
    made = pool(engine="sglang", architecture="deepseek-ai/DeepSeek-V4-Flash", version="0.5.18")
    kinds = shape.layer_kinds(made.architecture.value)
    usual, half = (
        kv_cache_of(each, Layout("sglang", tensor=8), kinds, 8192, last=True).bytes_per_token
        for each in (made, _with(made, swa_full_tokens_ratio="0.05"))
    )
    windows = 584 * 44 + 8 / 128 * 16 * (512 + 128) * 21  # latents of every layer, states of those of ratio 4
    assert usual - half == pytest.approx(0.05 * windows, rel=0.01)
