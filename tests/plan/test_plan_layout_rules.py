"""PLN911, PLN914, PLN917, PLN919-PLN922, SLO804, SLO805: several layouts, requirements, and what is said of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from servelint.finding import Certainty, Severity
from servelint_rules import plan_alternatives, plan_bounds, plan_model, plan_words

Make = Callable[..., Any]


def verdicts(rule: Any, found: Any) -> list[Any]:
    return list(rule.check(found.case))


def pair(plan: Make, own: str, other: str, mine: str, theirs: str, load: str = "", source: str = "") -> Any:
    rest = f"{load}claims: {{ttft: {mine}{source}}}\nalternatives:\n  - {{name: a, parallelism: {other}, claims: {{ttft: {theirs}{source}}}}}\n"
    return plan(rest, parallelism=f"parallelism: {own}\n")


SPEEDUPS = (
    plan_alternatives.naive_speedup, plan_alternatives.dp_claimed_to_cut_latency, plan_alternatives.pp_claimed_to_cut_latency,
)  # fmt: skip


@pytest.mark.parametrize(
    ("own", "other", "mine", "theirs", "code", "severity"),
    [
        ("{tensor: 4}", "{tensor: 2}", "1.00 s", "2.00 s", "PLN914", Severity.WARNING),
        ("{tensor: 4}", "{tensor: 2}", "1.05 s", "2.00 s", None, None),
        ("{tensor: 4}", "{tensor: 2}", "0.90 s", "2.00 s", None, None),  # more than the degrees: no division gives that
        ("{tensor: 2}", "{tensor: 4}", "2.00 s", "1.00 s", "PLN914", Severity.WARNING),  # said of the alternative
        ("{tensor: 4, expert: 4}", "{}", "1.00 s", "16.0 s", "PLN914", Severity.ERROR),
        ("{tensor: 4, data: 2}", "{tensor: 4}", "1.00 s", "2.00 s", "SLO804", Severity.WARNING),
        ("{tensor: 4, data: 2}", "{tensor: 4}", "0.70 s", "2.00 s", "SLO804", Severity.WARNING),
        ("{tensor: 4, data: 2}", "{tensor: 4}", "1.20 s", "2.00 s", None, None),  # a shorter queue
        ("{tensor: 4, pipeline: 2}", "{tensor: 4}", "1.00 s", "2.00 s", "SLO805", Severity.WARNING),
        ("{tensor: 4, pipeline: 2, data: 2}", "{tensor: 4}", "1.00 s", "4.00 s", "SLO804", Severity.WARNING),
        ("{tensor: 4, data: 2}", "{tensor: 8}", "1.00 s", "2.00 s", None, None),  # one grew, one shrank
    ],
)
def test_a_time_that_falls_with_its_degrees(
    plan: Make, own: str, other: str, mine: str, theirs: str, code: str | None, severity: Severity | None
) -> None:
    found = pair(plan, own, other, mine, theirs)
    said = [(rule.code, verdict.severity) for rule in SPEEDUPS for verdict in verdicts(rule, found)]
    assert said == ([] if code is None else [(code, severity)])


def test_data_parallelism_for_requests_that_never_wait_is_proven(plan: Make) -> None:
    found = pair(plan, "{data: 4}", "{data: 2}", "1.00 s", "2.00 s", "workload: {concurrency: 2}\n")
    (verdict,) = verdicts(plan_alternatives.dp_claimed_to_cut_latency, found)
    assert (verdict.severity, verdict.certainty) == (Severity.ERROR, Certainty.PROVEN)


@pytest.mark.parametrize(("load", "source"), [("workload: {arrival: burst}\n", ""), ("", ", source: measured")])
def test_bursts_and_measurements_are_left_alone(plan: Make, load: str, source: str) -> None:
    found = pair(plan, "{data: 4}", "{data: 2}", "1.00 s", "2.00 s", load, source)
    assert not any(verdicts(rule, found) for rule in SPEEDUPS)


def test_a_time_is_said_once_whatever_it_is_compared_with(plan: Make) -> None:
    rest = (
        "claims: {ttft: 1.00 s}\nalternatives:\n  - {parallelism: {tensor: 2}, claims: {ttft: 2.00 s}}\n"
        "  - {parallelism: {tensor: 1}, claims: {ttft: 4.00 s}}\n"
    )
    found = plan(rest, parallelism="parallelism: {tensor: 4}\n")
    assert len(verdicts(plan_alternatives.naive_speedup, found)) == 2, "the plan's, and the alternative's of two GPUs"


@pytest.mark.parametrize(
    ("mine", "theirs", "fires"),
    [("100 TFLOP", "100.5 TFLOP", False), ("100 TFLOP", "103 TFLOP", True), ("1e14", "100 TFLOP", False)],
)
def test_the_work_is_the_same(plan: Make, mine: str, theirs: str, fires: bool) -> None:
    rest = f"claims: {{prefill_flops: {mine}}}\nalternatives:\n  - {{parallelism: {{tensor: 4}}, claims: {{prefill_flops: {theirs}}}}}\n"
    assert bool(verdicts(plan_alternatives.flops_vary_with_parallelism, plan(rest))) is fires


@pytest.mark.parametrize(("flops", "fires"), [("19.9 TFLOP", True), ("20 TFLOP", False), ("21 TFLOP", False)])
def test_the_work_is_that_of_one_prompt_at_least(plan: Make, flops: str, fires: bool) -> None:
    # 2 × 10e9 × 1000 tokens = 20 TFLOP.
    rest = f"workload: {{input_tokens: 1000}}\nclaims: {{prefill_flops: {flops}}}\n"
    assert bool(verdicts(plan_alternatives.flops_vary_with_parallelism, plan(rest))) is fires


@pytest.mark.parametrize(("ttft", "fires"), [("24 ms", True), ("25 ms", False), ("26 ms", False)])
def test_the_bound_of_a_claimed_time(plan: Make, ttft: str, fires: bool) -> None:
    # 20 TFLOP on 2 GPUs of 400 TFLOP/s take 25 ms.
    rest = f"workload: {{input_tokens: 1000}}\nclaims: {{ttft: {ttft}}}\n"
    assert bool(verdicts(plan_bounds.ttft_claim_below_bound, plan(rest))) is fires


@pytest.mark.parametrize(
    ("load", "target", "fires"),
    [
        ("request_rate: 10 req/s, input_tokens: 900, output_tokens: 100", "4999 tokens/s", False),
        ("request_rate: 10 req/s, input_tokens: 900, output_tokens: 100", "5002 tokens/s", True),
        ("request_rate: 10 req/s, input_tokens: 900, output_tokens: 100", "{value: 600 tokens/s, of: output}", True),
        ("request_rate: 10 req/s, input_tokens: 900", "9999 tokens/s", False),  # answers may be of any length
        ("input_tokens: 900, output_tokens: 100", "9999 tokens/s", False),
    ],
)
def test_a_target_above_all_that_arrives(plan: Make, load: str, target: str, fires: bool) -> None:
    rest = f"workload: {{{load}}}\ntargets: {{throughput_per_gpu: {target}}}\n"
    assert bool(verdicts(plan_bounds.target_itself_impossible, plan(rest))) is fires


@pytest.mark.parametrize(("concurrency", "fires"), [(99, False), (101, True)])
def test_times_that_only_a_rate_beyond_the_roofline_meets(plan: Make, concurrency: int, fires: bool) -> None:
    # Each request: 1 s + 20 ms × 50 = 2 s and 800 tokens; 2 GPUs compute 40,000 tokens/s, so 100 requests.
    rest = (
        f"workload: {{concurrency: {concurrency}, input_tokens: 749, output_tokens: 51}}\ntargets: {{ttft: 1 s, tpot: 20 ms}}\n"
    )
    assert bool(verdicts(plan_bounds.target_itself_impossible, plan(rest))) is fires


@pytest.mark.parametrize(("total", "fires"), [("400 tokens/s", False), ("404 tokens/s", False), ("440 tokens/s", True)])
def test_tokens_of_so_many_requests(plan: Make, total: str, fires: bool) -> None:
    rest = f"workload: {{concurrency: 10}}\nclaims: {{tpot: 25.0 ms, throughput: {{value: {total}, of: output}}}}\n"
    assert bool(verdicts(plan_words.claims_contradict_each_other, plan(rest))) is fires


def test_a_throughput_met_in_total_alone_is_shown_by_it(plan: Make) -> None:
    rest = "targets: {throughput_per_gpu: 100 tokens/s}\nclaims: {throughput: 240 tokens/s, meets: [throughput_per_gpu]}\n"
    found = plan(rest)
    assert verdicts(plan_words.claims_contradict_each_other, found) == []
    assert verdicts(plan_words.compliance_asserted_not_shown, found) == []


def test_a_mistaken_scope_is_not_said_twice(plan: Make) -> None:
    found = plan("claims: {throughput_per_gpu: 100 tokens/s, throughput: 100 tokens/s}\n")
    assert verdicts(plan_words.claims_contradict_each_other, found) == [], "PLN905 says that it is the figure of one GPU"


@pytest.mark.parametrize(
    ("given", "architecture", "words"),
    [
        ("num_local_experts: 16", "num_experts: 8", ["the task gives 16 experts a layer; the architecture has 8"]),
        ("num_local_experts: 16", "vocab_size: 9", ["the task gives 16 experts a layer; the architecture has none"]),
        ("num_layers: 16", "num_hidden_layers: 16", []),
        ("vocab_size: 100", "num_hidden_layers: 2", []),
        ("kv_lora_rank: 512", "num_hidden_layers: 2", ["the task gives 512 width of the latent KV; the architecture has none"]),
    ],
)
def test_what_the_task_gives(plan: Make, given: str, architecture: str, words: list[str]) -> None:
    model = f"model: {{given: {{{given}}}, architecture: {{{architecture}, hidden_size: 64, num_attention_heads: 2}}}}\n"
    assert [v.label for v in verdicts(plan_model.architecture_dropped, plan(model=model))] == words


def test_of_a_name_that_may_mean_several_gpus_the_fastest_counts(plan: Make) -> None:
    # 20 TFLOP on 2 GPUs take 10.1 ms at 989 TFLOP/s (SXM) and 13.2 ms at 756 (PCIe).
    for ttft, fires in (("12 ms", False), ("9 ms", True)):
        rest = f"workload: {{input_tokens: 1000}}\nclaims: {{ttft: {ttft}}}\n"
        found = plan(rest, accelerator="accelerator: {name: H100}\n")
        pool = found.deployment.pools[0]
        assert len(pool.accelerator.values) > 1
        assert bool(verdicts(plan_bounds.ttft_claim_below_bound, found)) is fires
