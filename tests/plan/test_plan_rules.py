"""The figures of the plan rules: tolerances, readings, and the sentences that carry the arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from servelint.facts import UnknownFact
from servelint.finding import Certainty, Severity
from servelint.source.edits import apply
from servelint_rules import plan as rules, plan_claims, plan_throughput

Make = Callable[..., Any]
PLANS = Path(__file__).parents[2] / "fixtures" / "plans"


def verdicts(rule: Any, found: Any) -> list[Any]:
    return list(rule.check(found.case))


def labels(rule: Any, found: Any) -> list[str]:
    return [verdict.label for verdict in verdicts(rule, found)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ten-billion.yaml", {"PLN901": [69], "PLN909": [6]}),
        ("ten-billion-optimized.yaml", {"PLN901": [82], "PLN905": [72, 71], "PLN909": [7], "PLN916": [71]}),
    ],
)
def test_the_plans_of_the_source_document(recognised: Callable[[str], Any], name: str, expected: dict[str, list[int]]) -> None:
    found = recognised((PLANS / name).read_text(encoding="utf-8"))
    said: dict[str, list[int]] = {}
    for rule in vars(rules).values():
        if hasattr(rule, "check"):
            for line, _ in found.lines(rule.check(found.case)):
                said.setdefault(rule.code, []).append(line)
    assert said == expected


def test_the_utilization_of_the_previous_plan(recognised: Callable[[str], Any]) -> None:
    found = recognised((PLANS / "ten-billion.yaml").read_text(encoding="utf-8"))
    (verdict,) = verdicts(rules.utilisation_arithmetic, found)
    assert verdict.label == "23.19 GB of 64 GB is 36.2 %, not 30.2 %"
    assert verdict.arithmetic == ("23.19 GB / 64 GB = 36.2 %", "30.2 % of 64 GB would be 19.33 GB")
    (proposal,) = verdict.proposals
    assert proposal.safe
    assert apply(found.source.text, proposal.edits) == found.source.text.replace("30.2 %", "36.2 %")


def test_the_throughput_of_the_optimized_plan(recognised: Callable[[str], Any]) -> None:
    found = recognised((PLANS / "ten-billion-optimized.yaml").read_text(encoding="utf-8"))
    (beyond,) = verdicts(rules.throughput_claim_above_roofline, found)
    assert beyond.label == "19e6 tokens/s per GPU is 3.98x the most the hardware can do in either reading of the model"
    assert beyond.arithmetic == (
        "10B parameters as stated: at most 20,000 tokens/s per GPU",
        "42M parameters of the shape: at most 4,768,372 tokens/s per GPU",
        "claimed: 19,000,000 tokens/s per GPU",
    )
    total, slip = verdicts(rules.unit_scope_mismatch, found)
    assert total.label == "38e6 tokens/s is not 19e6 tokens/s on 4 GPUs: the total is the figure per GPU times DP alone"
    assert (slip.severity, slip.certainty) == (Severity.WARNING, Certainty.HEURISTIC)
    assert slip.arithmetic == (
        "19,000,000 tokens/s is 950x the bound of the stated parameters (20,000 tokens/s per GPU)",
        "read as 19,000 tokens/s it would be below it",
        "that is 0.19x the target of 100 tokens/ms, not 190x",
    )


@pytest.mark.parametrize(
    ("total", "claimed", "fires"),
    [
        ("32 GB", "50 %", False),
        ("32 GB", "50.4 %", False),  # half a point
        ("32.00 GB", "50.6 %", True),
        ("32 GB", "51 %", False),  # both are rounded: 31.5 … 32.5 GB, 50.5 … 51.5 %
        ("32.0 GB", "52 %", True),
        ("29.8 GiB", "50 %", False),
        ("32e9", "0.5", False),
        ("70 GB", "109 %", False),
    ],
)
def test_utilization_is_held_to_half_a_point_and_the_rounding(plan: Make, total: str, claimed: str, fires: bool) -> None:
    found = plan(f"claims: {{memory: {{total: {total}, utilization: {claimed}}}}}\n")
    assert bool(labels(rules.utilisation_arithmetic, found)) is fires


def test_a_utilization_without_any_memory_is_not_judged(plan: Make) -> None:
    assert labels(rules.utilisation_arithmetic, plan("claims: {memory: {utilization: 5 %}}\n")) == []
    assert labels(rules.utilisation_arithmetic, plan("claims: {memory: {weights: 5 GB, utilization: 5 %}}\n")) == []
    assert labels(rules.utilisation_arithmetic, plan()) == []


def test_a_claim_that_cannot_be_read_is_not_checked(plan: Make) -> None:
    found = plan("claims: {memory: {total: 5 GB, utilization: half}}\n")
    with pytest.raises(UnknownFact, match=r"claims\.memory\.utilization"):
        verdicts(rules.utilisation_arithmetic, found)


def test_an_unknown_accelerator_is_not_checked(plan: Make) -> None:
    found = plan("claims: {memory: {total: 5 GB, utilization: 9 %}}\n", accelerator="accelerator: {name: nothing-known}\n")
    with pytest.raises(UnknownFact, match=r"accelerator\.name"):
        verdicts(rules.utilisation_arithmetic, found)


@pytest.mark.parametrize(
    ("memory", "expected"),
    [
        ("weights: 5.00 GB, kv_cache: 10.72 GB, activations: 5.36 GB, overhead: 2.11 GB, total: 23.19 GB", []),
        ("weights: 5.00 GB, kv_cache: 10.72 GB, activations: 5.36 GB, overhead: 2.11 GB, total: 23.4 GB", []),
        (
            "weights: 5.00 GB, kv_cache: 10.72 GB, activations: 5.36 GB, overhead: 2.11 GB, total: 24.19 GB",
            ["the parts add up to 23.19 GB, not 24.19 GB"],
        ),
        ("weights: 5 GB, kv_cache: 11 GB, activations: 5 GB, overhead: 2 GB, total: 24 GB", []),  # rounding
        (
            "weights: 5 GB, kv_cache: 11 GB, activations: 5 GB, overhead: 2 GB, total: 25 GB",
            ["the parts add up to 23 GB, not 25 GB"],
        ),
        ("weights: 5 GB, kv_cache: 11 GB, total: 25 GB", []),  # the others may be the rest
        ("weights: 5 GB, kv_cache: 11 GB, total: 15 GB", ["the parts add up to 16 GB, not 15 GB"]),
        ("weights: 20 GB, total: 15 GB", []),  # one figure is no sum
        (
            "weights: 10.0 GB, kv_cache: 20.0 GiB, activations: 1.0 GB, overhead: 1.0 GB, total: 32.0 GB",
            ["GB and GiB are added as if they were one unit: the parts add up to 33.5 GB"],
        ),
        ("weights: 10.0 GB, kv_cache: 20.0 GiB, activations: 1.0 GB, overhead: 1.0 GB, total: 33.5 GB", []),
    ],
)
def test_memory_sums(plan: Make, memory: str, expected: list[str]) -> None:
    assert labels(rules.memory_sum, plan(f"claims: {{memory: {{{memory}}}}}\n")) == expected


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])  # the fixture has no state
@given(figures=st.lists(st.integers(1, 99_999), min_size=4, max_size=4))
def test_a_true_sum_is_never_reported(plan: Make, figures: list[int]) -> None:
    parts = dict(zip(("weights", "kv_cache", "activations", "overhead"), figures, strict=True))
    text = ", ".join(f"{name}: {value / 100:.2f} GB" for name, value in (*parts.items(), ("total", sum(figures))))
    assert labels(rules.memory_sum, plan(f"claims: {{memory: {{{text}}}}}\n")) == []


@pytest.mark.parametrize(
    ("parallelism", "gpus", "code", "label"),
    [
        ("tensor: 2, pipeline: 2, data: 2, sequence: 2", 8, "", ""),
        ("tensor: 2, pipeline: 2, data: 2, sequence: 2", 16, "PAR219", "16 counts SP 2, which reuses GPUs that are counted already: it is 8"),
        ("tensor: 4, expert: 8, data: 2, sequence: 4", 256, "PAR219", "256 counts SP 4 and EP 8, which reuse GPUs that are counted already: it is 8"),
        ("tensor: 4, expert: 8, data: 2, sequence: 4", 64, "PAR219", "64 counts EP 8, which reuses GPUs that are counted already: it is 8"),
        ("tensor: 2, pipeline: 2, data: 2", 4, "PLN903", "the degrees make 8 GPUs, not 4: TP 2 multiplies them"),
        ("tensor: 2, pipeline: 4, data: 3", 2, "PLN903", "the degrees make 24 GPUs, not 2: PP 4 and DP 3 multiply them"),
        ("tensor: 2, pipeline: 4", 7, "PLN903", "the degrees make 8 GPUs, not 7"),
    ],
)  # fmt: skip
def test_gpu_counts(plan: Make, parallelism: str, gpus: int, code: str, label: str) -> None:
    found = plan(f"claims: {{gpus: {gpus}}}\n", parallelism=f"parallelism: {{{parallelism}}}\n")
    said = [(r.code, v.label) for r in (rules.gpu_count_law, rules.naive_multiplication) for v in verdicts(r, found)]
    assert said == ([(code, label)] if code else [])


def test_a_count_of_pools_names_each(plan: Make) -> None:
    found = plan("pools:\n- {role: prefill, replicas: 3}\n- {role: decode, parallelism: {tensor: 8}}\nclaims: {gpus: 10}\n")
    (verdict,) = verdicts(rules.gpu_count_law, found)
    assert verdict.arithmetic == ("prefill: 3 replicas × (TP 2) = 6", "decode: TP 8", "all pools together: 14 GPUs")


@pytest.mark.parametrize(
    ("per_gpu", "total", "expected"),
    [
        ("2 tokens/ms", "8 tokens/ms", []),
        ("2.02 tokens/ms", "8 tokens/ms", []),  # 1 %
        ("2 tokens/ms", "2 tokens/ms", ["the figure per GPU is given as the total"]),
        ("2 tokens/ms", "8e6 tokens/s", ["tokens/ms and tokens/s are mixed up"]),
        ("2 tokens/ms", "8 tokens/s", ["tokens/ms and tokens/s are mixed up"]),
        ("2 tokens/ms", "4 tokens/ms", ["the total is the figure per GPU times DP alone"]),
        ("2 tokens/ms", "7 tokens/ms", []),  # wrong, but not by a scope
        ("{value: 2 tokens/ms, of: output}", "2 tokens/ms", []),
        ("0 tokens/s", "2 tokens/ms", []),
    ],
)
def test_totals_of_another_scope(plan: Make, per_gpu: str, total: str, expected: list[str]) -> None:
    found = plan(
        f"claims: {{throughput_per_gpu: {per_gpu}, throughput: {total}}}\n", parallelism="parallelism: {tensor: 2, data: 2}\n"
    )
    assert [label.rpartition(": ")[2] for label in labels(rules.unit_scope_mismatch, found)] == expected


def test_a_total_for_the_gpus_claimed_is_no_mixed_scope(plan: Make) -> None:
    found = plan("claims: {gpus: 1, throughput_per_gpu: 2 tokens/ms, throughput: 2 tokens/ms}\n")
    assert labels(rules.unit_scope_mismatch, found) == []


def test_a_claim_that_is_the_total_of_all_gpus(plan: Make) -> None:
    found = plan("claims: {throughput_per_gpu: 60000 tokens/s}\n", parallelism="parallelism: {tensor: 2, data: 2}\n")
    assert labels(rules.unit_scope_mismatch, found) == [
        "60000 tokens/s per GPU looks like 60 tokens/s: a figure per second and one per millisecond are mixed up"
    ]


def test_a_claim_at_the_bound_is_possible(plan: Make) -> None:
    assert labels(rules.throughput_claim_above_roofline, plan("claims: {throughput_per_gpu: 20000 tokens/s}\n")) == []
    assert labels(rules.throughput_claim_above_roofline, plan("claims: {throughput_per_gpu: 20100 tokens/s}\n")) == [
        "20100 tokens/s per GPU is 1x the most the hardware can do"
    ]


def test_the_claim_of_output_tokens_has_the_lower_bound_of_the_two(plan: Make) -> None:
    found = plan("workload: {concurrency: 1}\nclaims: {throughput_per_gpu: {value: 10000 tokens/s, of: output}}\n")
    (verdict,) = verdicts(rules.throughput_claim_above_roofline, found)
    assert "output tokens/s per GPU" in verdict.arithmetic[0]
    assert labels(rules.throughput_claim_above_roofline, plan("claims: {throughput_per_gpu: 10000 tokens/s}\n")) == []


def test_the_most_favourable_accelerator_of_a_name_decides(plan: Make) -> None:
    h100 = "accelerator: {name: H100}\n"
    found = plan("claims: {throughput_per_gpu: 45000 tokens/s}\n", accelerator=h100)
    assert labels(rules.throughput_claim_above_roofline, found) == []  # 989e12 / 20e9 of the SXM form
    found = plan("claims: {throughput_per_gpu: 60000 tokens/s}\n", accelerator=h100)
    assert len(verdicts(rules.throughput_claim_above_roofline, found)) == 1


@pytest.mark.parametrize(
    ("parameters", "fires"), [("42e6", False), ("46e6", False), ("1e9", False), ("1.3e9", True), ("30e6", True)]
)
def test_parameters_within_ten_percent_of_any_vocabulary(plan: Make, parameters: str, fires: bool) -> None:
    shape = "{num_hidden_layers: 16, hidden_size: 512, num_attention_heads: 16, intermediate_size: 1024}"
    found = plan(model=f"model: {{parameters: {parameters}, architecture: {shape}}}\n")
    assert bool(labels(rules.params_vs_shape, found)) is fires


def test_figures_of_people() -> None:
    assert [plan_claims.count(value) for value in (7, 1500, 41.9e6, 10e9, 1.6e12)] == ["7", "1.5k", "41.9M", "10B", "1.6T"]
    assert [plan_throughput.rate(value) for value in (0.5, 99.5, 19e6)] == ["0.5", "99.5", "19,000,000"]
