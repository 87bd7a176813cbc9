from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from servelint.capacity.layout import Layout, layout_of
from servelint.capacity.limits import speculates
from servelint.capacity.memory import as_checked, memory_of, need_of
from servelint.capacity.regimes import REGIMES, default_limits, regimes_of
from servelint.catalogue import accelerators
from servelint.engines.versions import Version
from servelint.estimate import Estimate
from servelint.facts import Fact, FactState, Origin, OriginKind, UnknownFact

if TYPE_CHECKING:
    from collections.abc import Callable

    from servelint.catalogue.accelerators import Accelerator
    from servelint.deployment import Pool

GIB = 2**30
LLAMA = "meta-llama/Llama-3.1-8B-Instruct"
quick = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

# Pool in GiB and tokens as logged by vLLM 0.19.0 on H100 at 0.95: https://github.com/llm-d-incubation/llm-d-planner/pull/205
LOGGED = [
    (LLAMA, {}, 58.11, 476_016),
    (LLAMA, {"tensor": 2}, 63.76, 1_044_688),
    (LLAMA, {"tensor": 4}, 67.44, 2_209_792),
    (LLAMA, {"pipeline": 2}, None, 1_075_312),
    (LLAMA, {"pipeline": 4}, None, 2_257_264),
    (LLAMA, {"dtype": "float32"}, 42.8, 175_296),
    (LLAMA, {"kv_cache_dtype": "fp8"}, 58.11, 952_032),
    ("Qwen/Qwen2.5-72B-Instruct", {"tensor": 2}, 3.04, 19_920),
    ("Qwen/Qwen3-30B-A3B", {}, 15.41, 168_288),
    ("microsoft/phi-4", {}, 46.08, 241_568),
    ("openai/gpt-oss-20b", {}, 58.47, 1_277_184),
    ("google/gemma-3-27b-it", {}, 19.53, 36_560),
]


@pytest.mark.parametrize(("model", "facts", "pool_gib", "tokens"), LOGGED)
def test_the_pool_is_that_of_the_log(
    pool: Callable[..., Pool], h100: Accelerator, model: str, facts: dict[str, Any], pool_gib: float | None, tokens: int
) -> None:
    made = pool(architecture=model, version="0.19.0", gpu_memory_utilization=0.95, max_model_len=8192, **facts)
    budget = memory_of(made, h100, layout_of(made))
    if pool_gib is not None:
        assert budget.kv_pool_bytes.mid == pytest.approx(pool_gib * GIB, rel=0.008)
        assert budget.kv_pool_bytes.low <= pool_gib * GIB <= budget.kv_pool_bytes.high
    assert budget.kv_tokens.mid == pytest.approx(tokens, rel=0.01)
    assert budget.calibrated


def test_figures_of_another_regime(pool: Callable[..., Pool], h100: Accelerator) -> None:
    """The sampler took 38 bytes per logit before 0.17: Qwen3-14B had 41.94 GiB left in 0.16, 45.34 in 0.17."""
    pools = [
        memory_of(pool(architecture="Qwen/Qwen3-14B", version=version, gpu_memory_utilization=0.95), h100, Layout("vllm"))
        for version in ("0.16.0", "0.17.0")
    ]
    assert pools[0].kv_pool_bytes.mid / GIB == pytest.approx(41.94, abs=0.1)
    assert pools[1].kv_pool_bytes.mid / GIB == pytest.approx(45.34, abs=0.2)
    assert [b.calibrated for b in pools] == [True, True]
    early = memory_of(pool(architecture="Qwen/Qwen3-14B", version="0.9.0", gpu_memory_utilization=0.95), h100, Layout("vllm"))
    assert not early.calibrated, "no log of that release was read"


def test_v0_took_a_whole_prompt_in_one_step(pool: Callable[..., Pool], h100: Accelerator) -> None:
    """vllm-project/vllm issue 10517, RTX 3090: 3.81 GiB left at 20k, 2.89 at 29k, and the latter did not fit."""
    card = h100._replace(name="RTX 3090", visible_bytes=Estimate.exact(23.58 * GIB))
    for length, left, fits in ((20_000, 3.81, True), (29_000, 2.89, False)):
        made = pool(architecture=LLAMA, version="0.6.3", max_model_len=length)
        budget = memory_of(made, card, Layout("vllm"))
        assert budget.kv_pool_bytes.mid / GIB == pytest.approx(left, rel=0.1)
        assert (budget.kv_pool_bytes.mid >= budget.request_bytes(length)) is fits


def test_what_does_not_fit(pool: Callable[..., Pool], h100: Accelerator) -> None:
    made = pool(architecture="meta-llama/Llama-3.1-70B-Instruct", version="0.19.0", gpu_memory_utilization=0.9)
    assert memory_of(made, h100, Layout("vllm")).kv_pool_bytes.high < 0
    assert memory_of(made, h100, Layout("vllm")).max_concurrency(8192).high == 0
    assert memory_of(made, h100, Layout("vllm", tensor=4)).kv_pool_bytes.low > 0


def test_an_unknown_version_is_an_interval_over_all(pool: Callable[..., Pool], h100: Accelerator) -> None:
    unknown = memory_of(pool(architecture=LLAMA), h100, Layout("vllm"))
    assert not unknown.calibrated
    for version in ("0.11.0", "0.19.1", "0.24.0", "0.33.0"):
        known = memory_of(pool(architecture=LLAMA, version=version), h100, Layout("vllm"))
        assert unknown.kv_pool_bytes.low <= known.kv_pool_bytes.low
        assert known.kv_pool_bytes.high <= unknown.kv_pool_bytes.high


def test_versions_between_two_scanned_ones_may_follow_either() -> None:
    assert [r.name for r in regimes_of(Version(0, 19, 1))] == ["0.17-0.19"]
    assert [r.name for r in regimes_of(Version(0, 20, 0))] == ["0.20-0.26", "0.17-0.19"]
    assert [r.name for r in regimes_of(Version(0, 27, 0))] == ["from 0.27", "0.20-0.26"]
    assert [r.name for r in regimes_of(Version(0, 40, 0))] == ["Model Runner V2"]
    assert len(regimes_of(None)) == len(REGIMES) - 1


def test_the_default_utilization_changed(pool: Callable[..., Pool], h100: Accelerator) -> None:
    def share(version: str) -> Estimate:
        return memory_of(pool(architecture=LLAMA, version=version), h100, Layout("vllm")).budget_bytes.times(1 / (79.19 * GIB))

    assert share("0.19.1").mid == pytest.approx(0.90)
    assert share("0.20.2").mid == pytest.approx(0.92)
    assert share("0.20.0").low == pytest.approx(0.90)
    assert share("0.20.0").high == pytest.approx(0.92)


@pytest.mark.parametrize(
    ("version", "gib", "name", "first"),
    [
        ((0, 19, 0), 79.2, "H100", (8192, 1024)),
        ((0, 19, 0), 79.2, "A100-SXM4-80GB", (2048, 256)),
        ((0, 19, 0), 22.0, "L4", (2048, 256)),
        ((0, 27, 1), 178.0, "B200", (8192, 1024)),
        ((0, 28, 0), 178.0, "B200", (16384, 1024)),
    ],
)
def test_default_tiers(version: tuple[int, int, int], gib: float, name: str, first: tuple[int, int]) -> None:
    assert default_limits(Version(*version), gib, name)[0] == first


def test_graphs_stand_inside_the_budget_since_0_20(pool: Callable[..., Pool], h100: Accelerator) -> None:
    before = memory_of(pool(architecture=LLAMA, version="0.19.0"), h100, Layout("vllm"))
    since = memory_of(pool(architecture=LLAMA, version="0.21.0"), h100, Layout("vllm"))
    assert (before.graphs_inside, since.graphs_inside) == (False, True)
    rest = since.budget_bytes.mid - since.weights_bytes.mid - since.activation_bytes.mid - since.overhead_bytes.mid
    assert since.kv_pool_bytes.mid == pytest.approx(rest - since.graphs_bytes.mid)
    eager = memory_of(pool(architecture=LLAMA, version="0.21.0", enforce_eager=True), h100, Layout("vllm"))
    assert eager.graphs_bytes.high == 0


def test_stated_bytes_of_the_cache_stand_above_the_budget(pool: Callable[..., Pool], h100: Accelerator) -> None:
    made = pool(architecture=LLAMA, kv_cache_memory_bytes=10 * GIB)
    assert memory_of(made, h100, Layout("vllm")).kv_pool_bytes == Estimate.exact(10 * GIB)


def test_alternatives_widen(pool: Callable[..., Pool], h100: Accelerator) -> None:
    either = Fact("limits.max_num_seqs", FactState.ALTERNATIVES, (256, 1024))
    wide = memory_of(pool(architecture=LLAMA, version="0.19.0", max_num_seqs=either), h100, Layout("vllm")).activation_bytes
    few = memory_of(pool(architecture=LLAMA, version="0.19.0", max_num_seqs=256), h100, Layout("vllm")).activation_bytes
    many = memory_of(pool(architecture=LLAMA, version="0.19.0", max_num_seqs=1024), h100, Layout("vllm")).activation_bytes
    assert wide.low <= few.low
    assert wide.high >= many.high


@pytest.mark.parametrize("engine", ["sglang", "trtllm", "tgi"])
def test_other_engines_leave_something(pool: Callable[..., Pool], h100: Accelerator, engine: str) -> None:
    budget = memory_of(pool(engine=engine, architecture=LLAMA), h100, Layout(engine))
    assert not budget.calibrated
    assert 30 * GIB < budget.kv_pool_bytes.low <= budget.kv_pool_bytes.mid <= budget.kv_pool_bytes.high < 65 * GIB


def test_activations_of_sglang_stand_outside_its_static_pool(pool: Callable[..., Pool], h100: Accelerator) -> None:
    made = pool(engine="sglang", architecture=LLAMA, gpu_memory_utilization=0.88, max_num_batched_tokens=8192)
    budget = memory_of(made, h100, Layout("sglang"))
    assert budget.kv_pool_bytes.mid == pytest.approx(0.88 * 79.19 * GIB - budget.weights_bytes.mid - budget.overhead_bytes.mid)


def test_data_parallel_ranks_each_have_a_pool(pool: Callable[..., Pool], h100: Accelerator) -> None:
    made = pool(architecture=LLAMA, version="0.19.0")
    one, two = (memory_of(made, h100, Layout("vllm", data=data)).max_concurrency(8192).mid for data in (1, 2))
    assert two == 2 * one


def test_without_a_shape_the_cache_is_unknown(pool: Callable[..., Pool], h100: Accelerator) -> None:
    with pytest.raises(UnknownFact, match="architecture"):
        memory_of(pool(parameters=8e9), h100, Layout("vllm"))
    with pytest.raises(UnknownFact, match=r"accelerator\.memory"):
        memory_of(pool(architecture=LLAMA), h100._replace(visible_bytes=None), Layout("vllm"))


class TestThePlan:
    """The source document's plan: 10e9 parameters stated, 42 million in its shape, 64 GB per GPU."""

    def test_before(self, ten_billion: Callable[..., Pool], plan_gpu: Accelerator) -> None:
        made = ten_billion()
        layout = layout_of(made)
        assert (layout.world_size, layout.naive_product) == (8, 16)
        budget = memory_of(made, plan_gpu, layout)
        assert budget.weights_bytes.mid == pytest.approx(5.00e9)
        # 64 sequences per data-parallel rank × 10240 tokens × 2 × 8 layers × 8 heads × 32 × 2 B
        assert 64 * budget.request_bytes(10240) == pytest.approx(5.37e9, rel=1e-3)
        assert budget.used_bytes.mid == pytest.approx(11.1e9, rel=0.03)
        assert budget.budget_bytes == Estimate.exact(64e9)

    def test_after(self, ten_billion: Callable[..., Pool], plan_gpu: Accelerator) -> None:
        made = ten_billion(pipeline=1)
        layout = layout_of(made)
        assert layout.world_size == 4
        need = need_of(made, plan_gpu, layout, 128, 10240)
        assert need.mid == pytest.approx(21.4e9, rel=0.03)
        assert need.high < 0.9 * 64e9, "pipeline parallelism is not needed for memory"
        assert need == memory_of(made, plan_gpu, layout).used_bytes

    def test_smaller_ones(self, ten_billion: Callable[..., Pool], plan_gpu: Accelerator) -> None:
        made = ten_billion()
        two = need_of(made, plan_gpu, Layout("generic", data=2), 128, 10240)
        assert two.mid == pytest.approx(42.2e9, rel=0.03)
        one = need_of(made, plan_gpu, Layout("generic"), 128, 10240)
        assert one.mid > 0.97 * 64e9


@quick
@given(utilization=st.floats(0.3, 0.99), more=st.floats(0.0, 0.3), tensor=st.sampled_from([1, 2, 4]))
def test_a_larger_share_never_leaves_less(
    pool: Callable[..., Pool], h100: Accelerator, utilization: float, more: float, tensor: int
) -> None:
    def left(share: float) -> Estimate:
        made = pool(architecture=LLAMA, version="0.19.0", gpu_memory_utilization=share)
        return memory_of(made, h100, Layout("vllm", tensor=tensor)).kv_pool_bytes

    small, large = left(utilization), left(min(1.0, utilization + more))
    assert small.low <= small.mid <= small.high
    assert all(a <= b for a, b in zip(small, large, strict=True))


@quick
@given(
    sequences=st.integers(1, 512),
    tokens=st.integers(1, 100_000),
    engine=st.sampled_from(["vllm", "sglang", "trtllm", "tgi", "generic"]),
    degrees=st.fixed_dictionaries(
        {"tensor": st.sampled_from([1, 2, 4]), "pipeline": st.integers(1, 3), "data": st.integers(1, 3)}
    ),
)
def test_more_load_never_needs_less(
    pool: Callable[..., Pool], h100: Accelerator, sequences: int, tokens: int, engine: str, degrees: dict[str, int]
) -> None:
    made = pool(engine=engine, architecture="Qwen/Qwen3-30B-A3B", dtype="bfloat16")
    layout = Layout(engine, **degrees)
    need = need_of(made, h100, layout, sequences, tokens)
    assert need.low <= need.mid <= need.high
    assert need.mid <= need_of(made, h100, layout, sequences + 7, tokens).mid
    assert need.mid <= need_of(made, h100, layout, sequences, tokens + 100).mid


@pytest.mark.parametrize(("state", "expected"), [("none", False), ("", False), ('{"method": "ngram"}', True)])
def test_no_speculation_by_default_is_no_speculation(state: str, expected: bool) -> None:
    stated = Fact.known("limits.speculative_config", state, Origin(OriginKind.DEFAULT, "default"))
    assert speculates(SimpleNamespace(speculative=stated)) is expected


def test_speculation_that_cannot_be_read_may_be_on() -> None:
    unread = Fact.unknown("limits.speculative_config", "$SPEC is not set")
    assert speculates(SimpleNamespace(speculative=unread)) is True


@pytest.mark.parametrize(
    ("version", "stages", "whole"),
    [
        ("0.13.0", 8, False),
        ("0.14.1", 8, True),
        ("0.16.0", 8, True),
        ("0.17.0", 8, False),
        ("0.15.1", 1, False),
        (None, 8, False),
    ],
)
def test_some_releases_hold_every_stage_against_one_rank(
    pool: Callable[..., Pool], h100: Accelerator, version: str | None, stages: int, whole: bool
) -> None:
    """Logged by 0.15: 71.16 GiB for 202752 tokens of GLM-4.7 over eight stages (vllm-project/vllm issue 32105)."""
    facts = {"version": version} if version else {}
    made = pool(architecture="zai-org/GLM-4.7-FP8", pipeline=stages, max_model_len=202752, **facts)
    budget = memory_of(made, h100, layout_of(made))
    checked = as_checked(made, layout_of(made), budget)
    need = checked.request_bytes(202752)
    assert (need == pytest.approx(71.16 * GIB, rel=0.001)) is (whole or stages == 1)
    assert (checked is budget) is not whole


def test_what_communicators_take_on_amds_devices_is_open(pool: Callable[..., Pool]) -> None:
    """SGLang's logs of MI355X: 4.4 GiB gone at TP 8, 8.8 at TP 2; 0.5 on one."""
    device = accelerators.find("MI355X")
    assert device is not None
    alone, grouped = (
        memory_of(pool(architecture="Qwen/Qwen3-32B", version=version, tensor=ranks), device, Layout("vllm", tensor=ranks))
        for version, ranks in (("0.24.0", 1), ("0.24.0", 2))
    )
    assert alone.overhead_bytes.high < 2 * GIB
    assert grouped.overhead_bytes.low < GIB
    assert grouped.overhead_bytes.high > 8.8 * GIB
