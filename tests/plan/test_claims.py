"""Changing a degree of a plan rewrites what follows from it, and nothing else; where that cannot be said there is no edit."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings, strategies as st

from servelint.formats.plan.claims import capacities, change_degrees, degree_edits, gpus_of
from servelint.source.edits import apply

if TYPE_CHECKING:
    from servelint.case import PlanCase

Make = Callable[..., Any]
PREVIOUS = (Path(__file__).parents[2] / "fixtures" / "plans" / "ten-billion.yaml").read_text(encoding="utf-8")
SHAPE = (
    "model: {parameters: 8e9, architecture: {num_hidden_layers: 32, hidden_size: 4096, num_attention_heads: 32, "
    "num_key_value_heads: 8, intermediate_size: 14336, vocab_size: 128256}}\n"
)


def changed(found: Any, **degrees: int) -> list[str] | None:
    """The lines that the change of degrees writes anew, stripped; None where it is refused."""
    edits = change_degrees(found.case, **degrees)
    if edits is None:
        return None
    old, new = found.source.text.splitlines(), apply(found.source.text, edits).splitlines()
    return [line[1:].strip() for line in difflib.ndiff(old, new) if line.startswith("+")]


def test_dropping_the_pipeline_rewrites_degree_decision_and_claims(recognised: Callable[[str], Any]) -> None:
    # weights 5.00 and cache 10.72 GB are of 8 of 16 layers; 10.00 + 21.44 + 5.36 + 2.11 = 38.91; / 64 = 60.8 %
    assert changed(recognised(PREVIOUS), pipeline=1) == [
        "parallelism: {tensor: 2, pipeline: 1, data: 2, sequence: 2}",
        "decides: {pipeline: 1}",
        "gpus: 4",
        "weights: 10.00 GB",
        "kv_cache: 21.44 GB",
        "total: 38.91 GB",
        "utilization: 60.8 %",
    ]


def test_the_reason_given_is_left_alone(recognised: Callable[[str], Any]) -> None:
    edits = change_degrees(recognised(PREVIOUS).case, pipeline=1)
    assert edits is not None
    assert "because: half of the layers on each stage leaves room for the KV cache" in apply(PREVIOUS, edits)


def test_an_uneven_pipeline_counts_the_largest_stage(recognised: Callable[[str], Any]) -> None:
    # 16 layers over 3 stages: 6 in the largest, of 8 before
    lines = changed(recognised(PREVIOUS), pipeline=3)
    assert lines is not None
    assert "weights: 3.75 GB" in lines
    assert "gpus: 12" in lines


def test_the_writer_of_a_degree_does_the_same(recognised: Callable[[str], Any]) -> None:
    found = recognised(PREVIOUS)
    pool = found.deployment.pools[0]
    assert (
        pool.pipeline.writer.write(1)
        == change_degrees(found.case, pipeline=1)
        == degree_edits(found.deployment.document, {"pipeline": 1})
    )


def test_phases_that_share_the_degree_change_with_it(plan: Make) -> None:
    found = plan("phases:\n  prefill: {pipeline: 2}\n  decode: {pipeline: 1}\n", parallelism="parallelism: {pipeline: 2}\n")
    assert changed(found, pipeline=4) == ["parallelism: {pipeline: 4}", "prefill: {pipeline: 4}"]


def test_an_overlay_changes_no_claim(plan: Make) -> None:
    found = plan("claims: {gpus: 2, memory: {weights: 10 GB, kv_cache: 1 GB, total: 99 GB, utilization: 1 %}}\n")
    assert changed(found, sequence=2) == ["parallelism: {tensor: 2, sequence: 2}"]


def test_tensor_parallelism_shards_weights_and_kv_heads(plan: Make) -> None:
    found = plan("claims: {memory: {weights: 8 GB, kv_cache: 4 GB}}\n", model=SHAPE)
    assert changed(found, tensor=8) == ["parallelism: {tensor: 8}", "claims: {memory: {weights: 2 GB, kv_cache: 1 GB}}"]
    # 8 KV heads: beyond TP 8 each rank still holds one whole head
    assert changed(found, tensor=16) == ["parallelism: {tensor: 16}", "claims: {memory: {weights: 1 GB, kv_cache: 1 GB}}"]


def test_the_total_throughput_follows_the_gpus(plan: Make) -> None:
    found = plan("claims: {throughput_per_gpu: 2 tokens/ms, throughput: 4000 tokens/s}\n")
    assert changed(found, data=3) == [
        "parallelism: {tensor: 2, data: 3}", "claims: {throughput_per_gpu: 2 tokens/ms, throughput: 12000 tokens/s}",
    ]  # fmt: skip


def test_degrees_may_be_named_as_in_the_pool(plan: Make) -> None:
    assert changed(plan("claims: {gpus: 2}\n"), prefill_context=2) == [
        "parallelism: {tensor: 2, context: 2}",
        "claims: {gpus: 4}",
    ]


@pytest.mark.parametrize(
    ("rest", "degrees"),
    [
        ("claims: {memory: {total: 20 GB}}\n", {"pipeline": 2}),  # how much of it is weights is not said
        ("claims: {memory: {weights: 5 GB, kv_cache: 1 GB, utilization: 9 %}}\n", {"pipeline": 2}),  # nor what else there is
        ("claims: {memory: {activations: 5 GB}}\n", {"tensor": 4}),
        ("claims: {memory: {kv_cache: 5 GB}}\n", {"data": 2}),  # whose requests it holds
        ("claims: {memory: {weights: 5 GB}}\n", {"tensor": 4}),  # experts or not
        ("claims: {memory: {kv_cache: soon}}\n", {"pipeline": 2}),
        ("pools: [{role: prefill}, {role: decode}]\n", {"pipeline": 2}),
        ("", {"colour": 2}),
    ],
)
def test_what_cannot_be_recomputed_is_not_written(plan: Make, rest: str, degrees: dict[str, int]) -> None:
    assert change_degrees(plan(rest).case, **degrees) is None


def test_an_aliased_degree_is_not_written(plan: Make) -> None:
    found = plan("phases: {prefill: {pipeline: *p}}\n", parallelism="parallelism: {pipeline: &p 2}\n")
    assert change_degrees(found.case, pipeline=1) is None


@settings(max_examples=25, deadline=None)
@given(st.sampled_from([1, 2, 4, 8]), st.sampled_from([1, 2, 4, 8]))
def test_changing_there_and_back_is_the_same_plan(first: int, second: int) -> None:
    from servelint.source.reader import read_text
    from servelint.source.text import SourceText

    def rewritten(text: str, pipeline: int) -> str:
        document = read_text(SourceText("plan.yaml", text)).documents[0]
        edits = degree_edits(document, {"pipeline": pipeline})
        assert edits is not None
        return apply(text, edits)

    # 5.00 GB of 8 layers: powers of two keep every figure exact to its decimals, down to 1/8 of 10.00
    start = rewritten(PREVIOUS, 1)
    assert rewritten(rewritten(start, first), 1) == start
    assert rewritten(rewritten(start, first), second) == rewritten(start, second)


def readings(case: PlanCase) -> list[str]:
    return [capacity.label for capacity in capacities(case)]


def test_a_stated_memory_is_the_one_reading(plan: Make) -> None:
    assert readings(plan().case) == ["64 GB"]
    assert readings(plan("limits: {gpu_memory_utilization: 0.9}\n").case) == ["64 GB", "90 % of 64 GB"]


def test_a_catalogue_accelerator_has_every_reading(plan: Make) -> None:
    found = readings(plan(accelerator="accelerator: {name: H100-SXM5-80GB}\n").case)
    assert found[:2] == ["80 GB", "80 GiB"]
    assert all(label.startswith("79.") for label in found[2:])


def test_gpus_are_summed_over_pools_and_replicas(plan: Make) -> None:
    found = plan("pools:\n- {role: prefill, replicas: 3}\n- {role: decode, parallelism: {tensor: 8, sequence: 8}}\n")
    assert gpus_of(found.case) == 3 * 2 + 8


def test_a_fix_changes_several_degrees_in_one_patch(plan: Make) -> None:
    from servelint_rules.changes import resized

    found = plan("claims: {gpus: 16}\n", model=SHAPE, parallelism="parallelism: {tensor: 4, pipeline: 2, data: 2}\n")
    pool = found.case.pool
    edits = resized(pool, pool.layout.with_(tensor=2, pipeline=1), {"tensor": 2, "pipeline": 1})
    assert edits is not None
    text = apply(found.source.text, edits)
    assert "parallelism: {tensor: 2, pipeline: 1, data: 2}" in text
    assert "claims: {gpus: 4}" in text
