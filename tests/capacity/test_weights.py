from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, strategies as st

from servelint.capacity import shape, tensors
from servelint.capacity.buffers import charged_bytes, rotary_table_bytes
from servelint.capacity.layout import Layout, layout_of
from servelint.capacity.step import MIB
from servelint.capacity.weights import text_parameters, weights_of
from servelint.catalogue import models
from servelint.facts import UnknownFact

if TYPE_CHECKING:
    from collections.abc import Callable

    from servelint.catalogue.architecture import Architecture
    from servelint.deployment import Pool

GIB = 2**30

# "Model loading took X GiB" of rank 0, vLLM 0.10-0.19: https://github.com/llm-d-incubation/llm-d-planner/pull/205
LOGGED = [
    ("meta-llama/Llama-3.1-8B-Instruct", {}, 14.99),
    ("meta-llama/Llama-3.1-8B-Instruct", {"tensor": 2}, 7.51),
    ("meta-llama/Llama-3.1-8B-Instruct", {"tensor": 4}, 3.77),
    ("meta-llama/Llama-3.1-8B-Instruct", {"pipeline": 2}, 7.51),
    ("meta-llama/Llama-3.1-8B-Instruct", {"pipeline": 4}, 4.26),
    ("meta-llama/Llama-3.1-8B-Instruct", {"quantization": "fp8"}, 8.49),
    ("meta-llama/Llama-3.1-8B-Instruct", {"dtype": "float32"}, 29.98),
    ("RedHatAI/Llama-3.3-70B-Instruct-FP8-dynamic", {"tensor": 2}, 33.88),
    ("RedHatAI/Llama-3.3-70B-Instruct-FP8-dynamic", {"tensor": 4}, 16.96),
    ("Qwen/Qwen2.5-7B-Instruct", {}, 14.25),
    ("Qwen/Qwen2.5-7B-Instruct", {"tensor": 2}, 7.12),
    ("Qwen/Qwen2.5-72B-Instruct", {"tensor": 4}, 33.98),
    ("Qwen/Qwen3-30B-A3B", {}, 56.88),
    ("Qwen/Qwen3-30B-A3B", {"tensor": 4}, 14.25),
    ("Qwen/Qwen3-32B", {"tensor": 2}, 30.59),
    ("mistralai/Mixtral-8x7B-Instruct-v0.1", {"tensor": 2}, 43.51),
    ("google/gemma-2-27b-it", {}, 50.72),
    ("google/gemma-3-4b-it", {}, 8.58),
    ("microsoft/phi-4", {"tensor": 2}, 13.77),
]


@pytest.mark.parametrize(("model", "facts", "logged"), LOGGED)
def test_weights_are_those_of_the_log(pool: Callable[..., Pool], model: str, facts: dict[str, Any], logged: float) -> None:
    made = pool(architecture=model, **facts)
    stage = weights_of(made, layout_of(made)).stages[0]
    assert stage.mid / GIB == pytest.approx(logged, abs=0.012)
    assert stage.low <= (logged + 0.006) * GIB
    assert stage.high >= (logged - 0.006) * GIB


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", 8_030_261_248),
        ("meta-llama/Llama-3.1-70B-Instruct", 70_553_706_496),
        ("Qwen/Qwen3-30B-A3B", 30_532_122_624),
        ("deepseek-ai/DeepSeek-R1", 671_026_404_352),
        ("openai/gpt-oss-20b", 20_914_757_184),
        ("Qwen/Qwen3-Next-80B-A3B-Instruct", 79_674_391_296),
        ("nvidia/NVIDIA-Nemotron-3-Super-120B-A12B-BF16", 120_668_687_360),
        ("google/gemma-2-27b-it", 27_227_128_320),
    ],
)
def test_the_tensors_add_up_to_the_published_count(model: str, parameters: int) -> None:
    architecture = models.find(model)
    assert architecture is not None
    assert text_parameters(architecture) == pytest.approx(parameters, rel=3e-4)


def test_deepseek_r1_on_eight_gpus(pool: Callable[..., Pool]) -> None:
    made = pool(architecture="deepseek-ai/DeepSeek-R1", tensor=8)
    # 671.03e9 bytes in fp8 but for the embeddings, over 8, and what every rank holds whole: the MLA down-projections.
    assert weights_of(made, layout_of(made)).stages[0].mid / GIB == pytest.approx(79.5, abs=0.3)


def test_the_catalogues_text_models_are_counted() -> None:
    """All but a few: checkpoints without a head, vision towers that the record does not hold, widths that are not stated."""
    apart: list[str] = []
    counted = 0
    for name in models.names():
        architecture = models.find(name)
        if architecture is None or not architecture.config or architecture.vision or architecture.parameters_rounded:
            continue
        if not architecture.parameters:
            continue
        try:
            total = text_parameters(architecture)
        except UnknownFact:
            continue
        counted += 1
        draft = tensors.draft_layer_parameters(architecture)
        if min(abs(architecture.parameters / total - 1), abs(architecture.parameters / (total + draft) - 1)) > 0.01:
            apart.append(name)
    assert counted > 400
    assert len(apart) < 0.09 * counted, apart


def test_layers_are_split_as_the_engine_splits_them() -> None:
    assert shape.stage_layers("vllm", 61, 4) == (15, 15, 16, 15)
    assert shape.stage_layers("vllm", 30, 4) == (7, 8, 8, 7)
    assert shape.stage_layers("trtllm", 61, 4) == (16, 15, 15, 15)


@given(layers=st.integers(16, 200), stages=st.integers(1, 16), engine=st.sampled_from(["vllm", "trtllm", "sglang", "generic"]))
def test_no_layer_is_lost(layers: int, stages: int, engine: str) -> None:
    split = shape.stage_layers(engine, layers, stages)
    assert sum(split) == layers
    assert max(split) - min(split) <= 1


def test_kv_heads_are_replicated_beyond_their_number(architecture: Callable[..., Architecture]) -> None:
    made = architecture(num_key_value_heads=2)
    kind = shape.layer_kinds(made)[0]

    def qkv(ranks: int) -> float:
        return next(p for p in tensors.layer_parts(made, kind, tensors.Shards(ranks, ranks)) if "qkv" in p.name).rows

    assert qkv(1) == 16 * 64 + 2 * 2 * 64
    assert qkv(2) == 8 * 64 + 2 * 64
    assert qkv(8) == 2 * 64 + 2 * 64  # two heads' worth of K and V on eight ranks: one each, four times over


def test_a_tied_head_stands_on_both_end_stages(pool: Callable[..., Pool], architecture: Callable[..., Architecture]) -> None:
    made = architecture(tie_word_embeddings=True)
    table = 32000 * 1024 * 2
    single = weights_of(pool(engine="generic", architecture=made, dtype="bfloat16"), Layout("generic"))
    first, last = weights_of(pool(engine="generic", architecture=made, dtype="bfloat16"), Layout("generic", pipeline=2)).stages
    assert first.mid + last.mid == pytest.approx(single.stages[0].mid + table, rel=1e-6)


def test_experts_without_expert_parallelism_are_cut_over_tensor_and_data(pool: Callable[..., Pool]) -> None:
    made = pool(architecture="Qwen/Qwen3-30B-A3B")
    sizes = [
        weights_of(made, layout).stages[0].mid
        for layout in (Layout("vllm", tensor=8), Layout("vllm", tensor=4, data=2), Layout("vllm", tensor=4, data=2, expert=8))
    ]
    assert sizes[0] < sizes[1]  # attention is cut over TP alone
    assert sizes[1] == pytest.approx(sizes[2], rel=0.002)  # eighths of every expert, or every eighth expert
    copied = weights_of(
        pool(engine="generic", architecture="Qwen/Qwen3-30B-A3B", dtype="bfloat16"), Layout("generic", tensor=4, data=2)
    )
    assert copied.stages[0].mid > 1.5 * sizes[1]  # Megatron's data parallelism copies them


def test_of_a_size_alone_the_interval_is_honest(pool: Callable[..., Pool]) -> None:
    made = pool(engine="generic", parameters=10e9, dtype="float16")
    weights = weights_of(made, Layout("generic", tensor=2, pipeline=2))
    stage = weights.stages[0]
    assert stage.low == stage.mid == 5e9
    assert 5e9 < stage.high < 10e9
    assert weights.counted is None
    with pytest.raises(UnknownFact, match="architecture"):
        weights_of(pool(), Layout("vllm"))


def test_two_readings_of_one_model_are_both_in_the_interval(ten_billion: Callable[..., Pool]) -> None:
    made = ten_billion()
    weights = weights_of(made, layout_of(made))
    stage = weights.stages[0]
    assert weights.counted == pytest.approx(41.96e6, rel=0.01)
    assert stage.mid == 5e9
    assert stage.low == pytest.approx(41.96e6 * 2 / 4, rel=0.02)
    assert any(step.title == "two readings" for step in weights.steps)


def test_a_count_near_the_stated_one_is_no_second_reading(pool: Callable[..., Pool]) -> None:
    made = pool(architecture="meta-llama/Llama-3.1-8B-Instruct", parameters=8e9)
    stage = weights_of(made, Layout("vllm")).stages[0]
    assert stage.high / stage.low < 1.01


def test_a_missing_field_is_named(pool: Callable[..., Pool], architecture: Callable[..., Architecture]) -> None:
    made = pool(architecture=architecture(intermediate_size=None))
    with pytest.raises(UnknownFact) as raised:
        weights_of(made, Layout("vllm"))
    assert raised.value.fact == "model.architecture.intermediate_size"
    with pytest.raises(UnknownFact, match="num_attention_heads"):
        weights_of(pool(architecture=architecture(num_attention_heads=0)), Layout("vllm"))


@pytest.mark.parametrize("model", ["meta-llama/Llama-3.1-8B-Instruct", "deepseek-ai/DeepSeek-R1", "google/gemma-3-27b-it"])
@pytest.mark.parametrize("pipeline", [1, 2, 5])
def test_more_ranks_never_hold_more(pool: Callable[..., Pool], model: str, pipeline: int) -> None:
    made = pool(architecture=model)
    sizes = [weights_of(made, Layout("vllm", tensor=tensor, pipeline=pipeline)).largest for tensor in (1, 2, 4, 8, 16)]
    for here, more in pairwise(sizes):
        assert here.low <= here.mid <= here.high
        assert more.low <= here.low
        assert more.mid <= here.mid


def test_what_the_allocator_charges() -> None:
    assert charged_bytes(100) == 512
    assert charged_bytes(24 * MIB) == 24 * MIB
    assert charged_bytes(31.5 * MIB) == 32 * MIB  # half a MiB is not split off
    assert charged_bytes(24.5 * MIB) == 24.5 * MIB  # one and a half is


def test_rotary_tables_of_stretched_contexts(architecture: Callable[..., Architecture]) -> None:
    plain = rotary_table_bytes(architecture(), "vllm", 2).mid
    assert plain == 4096 * 64 * 2
    stretched = architecture(rope_scaling={"rope_type": "linear", "factor": 8.0})
    assert rotary_table_bytes(stretched, "vllm", 2).mid == 8 * plain
    assert rotary_table_bytes(architecture(max_position_embeddings=None), "vllm", 2).low == 0


def test_more_stages_than_layers_are_refused_at_once() -> None:
    with pytest.raises(UnknownFact, match="999999 stages for 36 layers"):
        shape.stage_layers("vllm", 36, 999_999)


@pytest.mark.parametrize(("model", "width"), [("deepseek-ai/DeepSeek-V3", 18432), ("Qwen/Qwen3-32B", 25600 / 16)])
def test_dense_layers_of_a_mixture_stay_whole_where_sglang_is_told(model: str, width: float) -> None:
    """``--moe-dense-tp-size 1``; models without experts are cut all the same."""
    found = models.find(model)
    assert found is not None
    parts = tensors.layer_parts(found, shape.layer_kinds(found)[0], tensors.Shards(16, 16, dense_whole=True))
    assert next(part for part in parts if part.name == "mlp.down_proj").columns == width
    assert next(part for part in parts if part.name.endswith("o_proj")).columns < 25600 / 16
