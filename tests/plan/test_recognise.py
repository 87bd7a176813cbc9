"""The facts of a plan: values, origins, defaults, pools, accelerators."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from servelint.deployment import Role
from servelint.facts import FactState, OriginKind, UnknownFact
from servelint.formats.plan.model import is_absent
from servelint.source.edits import apply

Make = Callable[..., Any]
FIXTURES = Path(__file__).parents[2] / "fixtures"


def test_every_statement_of_the_full_plan_is_read(recognised: Callable[[str], Any]) -> None:
    found = recognised((FIXTURES / "plans" / "ten-billion-optimized.yaml").read_text(encoding="utf-8"))
    assert found.problems == []
    (pool,) = found.deployment.pools
    assert (found.deployment.name, found.deployment.format, pool.role) == ("ten-billion", "plan", Role.SERVE)
    assert (pool.tensor.value, pool.pipeline.value, pool.data.value, pool.sequence.value, pool.expert.value) == (2, 1, 2, 2, 1)
    assert pool.parameters.value == 10e9
    assert pool.dtype.value == "float16"
    assert pool.gpus_per_node.value == 8
    assert (pool.replicas_min.value, pool.replicas_max.value) == (1, 1)
    assert (pool.concurrency.value, pool.arrival.value) == (128, "steady")
    assert (pool.input_tokens_min.value, pool.input_tokens_max.value, pool.output_tokens_mean.value) == (128, 10240, 256)
    assert (pool.max_model_len.value, pool.max_num_seqs.value) == (10496, 64)
    assert (pool.target_ttft_seconds.value, pool.target_tokens_per_second_per_gpu.value) == (10, 100e3)
    assert (pool.target_memory_utilization_min.value, pool.target_memory_utilization_max.value) == (0.5, 0.9)
    assert pool.target_throughput_of.value == "total"
    architecture = pool.architecture.value
    assert (architecture.layers, architecture.hidden_size, architecture.kv_heads, architecture.head_dim) == (16, 512, 16, 32)
    plan = found.deployment.plan
    assert plan.claims.gpus.value == 4
    assert [part.value.value_si for part in plan.claims.memory.parts] == [10e9, 21.44e9, 5.36e9, 1.89e9]
    assert plan.claims.memory.total.value.value_si == 38.69e9
    assert plan.claims.memory.utilization.value.value_si == pytest.approx(0.604)
    assert plan.claims.ttft.value.value_si == 0.041
    assert plan.claims.throughput_per_gpu.value.rate.value_si == 19e6
    assert plan.claims.throughput.value.rate.value_si == 38e6
    assert is_absent(plan.claims.latency)
    assert plan.claims.prefill_flops.value.value_si == 17.87e12
    assert [target.value for target in plan.claims.meets] == ["ttft", "throughput_per_gpu", "memory_utilization"]
    assert [each.name for each in plan.alternatives] == ["previous", "one GPU"]
    assert [(plan.alternatives[i].degrees["pipeline"].value, plan.alternatives[i].claims.gpus.value) for i in (0, 1)] == [
        (2, 8), (1, 1),
    ]  # fmt: skip
    assert plan.alternatives[0].claims.memory.utilization.value.value_si == pytest.approx(0.302)
    assert [step.step for step in plan.reasoning] == ["model_structure", "structural", "operator", "request"]
    assert plan.reasoning[1].because == "all 16 layers fit on one GPU"
    assert plan.reasoning[2].decides["sequence"].value == 2
    assert [use.value for use in plan.reasoning[3].uses] == ["operator"]
    assert [(o.name, o.seconds.value.value_si, [a.value for a in o.after]) for o in plan.critical_path["prefill"]] == [
        ("tp_compute", 0.037, []), ("tp_comm", 0.004, ["tp_compute"]),
    ]  # fmt: skip


def test_an_inline_accelerator_is_exactly_what_is_stated(plan: Make) -> None:
    accelerator = plan().deployment.pools[0].accelerator.value
    assert accelerator.visible_bytes == (64e9, 64e9, 64e9)
    assert accelerator.bandwidth_bytes_per_second == 1.8e12
    assert accelerator.peak_flops == accelerator.peak_flops_highest == {"fp16": 400e12}
    assert (accelerator.mfu, accelerator.mbu, accelerator.devices_per_node) == (0.6, 0.8, 8)
    assert accelerator.name == "64 GB accelerator"


def test_a_name_is_looked_up_and_figures_override_it(plan: Make) -> None:
    pool = plan(
        accelerator="accelerator: {name: H100-SXM5-80GB, bandwidth: 3 TB/s, compute: {bfloat16: 900 TFLOPS}}\n"
    ).deployment.pools[0]
    accelerator = pool.accelerator.value
    assert accelerator.bandwidth_bytes_per_second == 3e12
    assert accelerator.peak_flops["bf16"] == 900e12
    assert accelerator.peak_flops["fp8"] > 1e15
    assert 79e9 < accelerator.memory().mid < 86e9
    assert pool.accelerator.origin is not None
    assert pool.accelerator.origin.kind is OriginKind.FILE


def test_a_name_of_several_accelerators_leaves_the_alternatives(plan: Make) -> None:
    fact = plan(accelerator="accelerator: {name: H100}\n").deployment.pools[0].accelerator
    assert fact.state is FactState.ALTERNATIVES
    assert len({each.name for each in fact.values}) > 1


def test_an_unknown_accelerator_is_unknown_with_a_suggestion(plan: Make) -> None:
    found = plan(accelerator="accelerator: {name: H100-SXM5-80G8}\n")
    assert found.problems == []
    with pytest.raises(UnknownFact) as unknown:
        _ = found.deployment.pools[0].accelerator.value
    assert unknown.value.reason == "`H100-SXM5-80G8` is not in the catalogue"
    assert unknown.value.remedy.startswith("did you mean H100")


def test_an_unknown_name_with_figures_is_those_figures(plan: Make) -> None:
    accelerator = plan(accelerator="accelerator: {name: in-house, memory: 96 GiB}\n").deployment.pools[0].accelerator.value
    assert (accelerator.name, accelerator.visible_bytes.mid) == ("in-house", 96 * 2**30)


def test_a_figure_that_cannot_be_read_makes_the_accelerator_unknown(plan: Make) -> None:
    found = plan(accelerator="accelerator: {memory: 64 GB, bandwidth: fast}\n")
    assert [p.text for p in found.problems] == ["`accelerator.bandwidth`: `fast` is not a bandwidth: write 1.8 TB/s or 400 Gb/s"]
    with pytest.raises(UnknownFact, match=r"accelerator\.bandwidth"):
        _ = found.deployment.pools[0].accelerator.value


def test_defaults_say_that_they_are(plan: Make) -> None:
    pool = plan().deployment.pools[0]
    for fact, value in (
        (pool.engine, "generic"),
        (pool.pipeline, 1),
        (pool.data, 1),
        (pool.replicas_min, 1),
        (pool.arrival, "steady"),
    ):
        assert fact.value == value
        assert fact.origin.kind is OriginKind.DEFAULT
        assert not fact.is_stated
    assert pool.tensor.is_stated


def test_what_is_not_stated_is_left_for_the_catalogue_and_the_engine(plan: Make) -> None:
    pool = plan(model="model: {id: meta-llama/Llama-3.1-8B-Instruct}\n").deployment.pools[0]
    for fact in (pool.architecture, pool.max_model_len, pool.gpu_memory_utilization, pool.version, pool.parameters):
        assert (fact.state, fact.reason) == (FactState.UNKNOWN, "not stated")
    assert pool.model.value == "meta-llama/Llama-3.1-8B-Instruct"


def test_without_id_or_architecture_the_shape_is_unknown(plan: Make) -> None:
    with pytest.raises(UnknownFact, match=r"neither model\.id nor model\.architecture"):
        _ = plan().deployment.pools[0].architecture.value


def test_number_formats_have_one_name(plan: Make) -> None:
    pool = plan("limits: {kv_cache_dtype: bf16}\n", model="model: {id: a, dtype: half}\n").deployment.pools[0]
    assert (pool.dtype.value, pool.kv_cache_dtype.value) == ("float16", "bfloat16")


def test_quantities_and_counts_of_every_form(plan: Make) -> None:
    found = plan(
        "workload: {input_tokens: 2048, output_tokens: {mean: 256.5, max: 1e3}, request_rate: 240 req/min, arrival: burst}\n"
        "limits: {gpu_memory_utilization: 90 %, kv_cache_memory_bytes: 10 GiB, max_num_seqs: 0x10, enforce_eager: true}\n"
        "targets: {tpot: 0.05, throughput_per_gpu: {value: 2 tokens/ms, of: output}}\n",
        model="model: {parameters: 10B, active_parameters: 1.3e9}\n",
    )
    assert found.problems == []
    pool = found.deployment.pools[0]
    assert (pool.input_tokens_min.value, pool.input_tokens_mean.value, pool.input_tokens_max.value) == (2048, 2048, 2048)
    assert (pool.output_tokens_mean.value, pool.output_tokens_max.value, pool.request_rate.value) == (256.5, 1000, 4)
    assert (pool.gpu_memory_utilization.value, pool.kv_cache_memory_bytes.value, pool.max_num_seqs.value) == (0.9, 10 * 2**30, 16)
    assert pool.enforce_eager.value is True
    assert (pool.target_tpot_seconds.value, pool.target_tokens_per_second_per_gpu.value) == (0.05, 2000)
    assert pool.target_throughput_of.value == "output"
    assert (pool.parameters.value, pool.active_parameters.value) == (10e9, 1.3e9)


POOLS = """pools:
  - {role: prefill, replicas: 2}
  - role: decode
    name: long
    parallelism: {tensor: 8, pipeline: 1}
    accelerator: {name: H200-SXM-141GB}
    limits: {max_num_seqs: 64}
limits: {max_num_seqs: 8, max_model_len: 4096}
"""


def test_pools_state_what_differs(plan: Make) -> None:
    found = plan(POOLS, parallelism="parallelism: {tensor: 4, pipeline: 2}\n")
    assert found.problems == []
    prefill, decode = found.deployment.pools
    assert (prefill.name, prefill.role, decode.name, decode.role) == ("prefill", Role.PREFILL, "long", Role.DECODE)
    assert (prefill.tensor.value, prefill.pipeline.value, prefill.replicas_min.value) == (4, 2, 2)
    assert (decode.tensor.value, decode.pipeline.value, decode.replicas_min.value) == (8, 1, 1)
    assert (prefill.max_num_seqs.value, decode.max_num_seqs.value, decode.max_model_len.value) == (8, 64, 4096)
    assert prefill.accelerator.value.name != decode.accelerator.value.name
    assert found.source.position(decode.place.span.start).line == 8


@pytest.mark.parametrize(
    ("field", "value", "written"),
    [
        ("max_model_len", 8192, "max_model_len: 8192 # tokens"),
        ("gpu_memory_utilization", 0.85, "gpu_memory_utilization: 85 %"),
        ("enforce_eager", False, "enforce_eager: false"),
        ("target_ttft_seconds", 2.5, "ttft: 2.5 s"),
        ("target_tokens_per_second_per_gpu", 50e3, "throughput_per_gpu: {value: 50 tokens/ms}"),
    ],
)
def test_a_writer_keeps_unit_and_comment(plan: Make, field: str, value: object, written: str) -> None:
    found = plan(
        "limits:\n  max_model_len: 4096 # tokens\n  gpu_memory_utilization: 90 %\n  enforce_eager: true\n"
        "targets:\n  ttft: 10 s\n  throughput_per_gpu: {value: 100 tokens/ms}\n"
    )
    fact = getattr(found.deployment.pools[0], field)
    text = apply(found.source.text, fact.writer.write(value))
    assert f"  {written}\n" in text
    assert len(text.splitlines()) == len(found.source.text.splitlines())


def test_a_degree_that_is_not_stated_can_be_written(plan: Make) -> None:
    found = plan()
    edits = found.deployment.pools[0].pipeline.writer.write(2)
    assert "parallelism: {tensor: 2, pipeline: 2}\n" in apply(found.source.text, edits)
