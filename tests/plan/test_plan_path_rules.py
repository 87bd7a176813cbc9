"""PLN912, PLN913: critical paths as graphs, and the phases that they are of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from servelint.finding import Certainty, Severity
from servelint_rules import plan_path, plan_phases

Make = Callable[..., Any]


def labels(plan: Make, rest: str, *, rule: Any = plan_path.critical_path_not_a_path, **parts: str) -> list[str]:
    return [verdict.label for verdict in rule.check(plan(rest, **parts).case)]


def path(*operations: str, phase: str = "prefill", claims: str = "") -> str:
    items = "".join(f"    - {{{operation}}}\n" for operation in operations)
    return f"critical_path:\n  {phase}:\n{items}" + (f"claims: {{{claims}}}\n" if claims else "")


ALONE = {"parallelism": "parallelism: {tensor: 1}\n"}


def test_a_cycle_of_three_is_shown_as_it_goes_round(plan: Make) -> None:
    rest = path("name: a, after: [c]", "name: b, after: [a]", "name: c, after: [b]", "name: d, after: [a]")
    assert labels(plan, rest, **ALONE) == ["`a` waits for itself: a → c → b → a"]


def test_one_that_waits_for_itself(plan: Make) -> None:
    assert labels(plan, path("name: a, after: [a]"), **ALONE) == ["`a` waits for itself: a → a"]


def test_a_cycle_behind_a_tail_is_found(plan: Make) -> None:
    rest = path("name: a, after: [b]", "name: b, after: [c]", "name: c, after: [b]")
    assert labels(plan, rest, **ALONE) == ["`b` waits for itself: b → c → b"]


@pytest.mark.parametrize(
    ("claim", "severity"),
    [("0.50 s", None), ("0.52 s", None), ("0.48 s", None), ("0.46 s", Severity.ERROR), ("0.60 s", Severity.WARNING)],
)
def test_a_time_is_the_longest_path_to_five_percent(plan: Make, claim: str, severity: Severity | None) -> None:
    operations = ("name: a, seconds: 0.2", "name: b, seconds: 0.3, after: [a]", "name: c, seconds: 0.25, after: [a]")
    case = plan(path(*operations, claims=f"ttft: {claim}"), **ALONE).case
    found = list(plan_path.critical_path_not_a_path.check(case))
    assert [verdict.severity for verdict in found] == ([] if severity is None else [severity])
    assert not found or found[0].certainty is (Certainty.PROVEN if severity is Severity.ERROR else Certainty.HEURISTIC)


def test_without_a_time_for_each_there_is_no_sum(plan: Make) -> None:
    assert labels(plan, path("name: a, seconds: 0.2", "name: b, after: [a]", claims="ttft: 9 s"), **ALONE) == []


@pytest.mark.parametrize(
    ("name", "fires"),
    [
        ("all_reduce", False), ("AllReduce", False), ("nccl-all-reduce", False), ("tp comm", False), ("reduce", True),
        ("commit", True), ("gemm", True), ("x, kind: collective", False), ("all_reduce, kind: compute", True),
    ],
)  # fmt: skip
def test_a_collective_is_known_by_its_kind_or_its_words(plan: Make, name: str, fires: bool) -> None:
    said = labels(plan, path(f"name: {name}"))
    assert said == (["the prefill path has no collective: TP 2 exchanges activations twice in every layer"] if fires else [])


def test_the_degrees_of_the_phase_decide(plan: Make) -> None:
    rest = path("name: gemm", phase="decode") + "phases: {decode: {tensor: 1}}\n"
    assert labels(plan, rest) == []


@pytest.mark.parametrize(("kind", "fires"), [("memory", False), ("collective", True)])
def test_bytes_pass_the_memory_or_the_link(plan: Make, kind: str, fires: bool) -> None:
    accelerator = "accelerator: {memory: 64 GB, bandwidth: 1.8 TB/s, link: 400 GB/s}\n"
    rest = path(f"name: x, kind: {kind}, seconds: 10 ms, bytes: 10 GB")  # 5.6 ms of memory, 25 ms of the link
    assert any("takes at least" in label for label in labels(plan, rest, accelerator=accelerator, **ALONE)) is fires


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(1, 50), st.sets(st.integers(0, 11))), min_size=1, max_size=12))
def test_the_longest_path_is_that_of_a_search_through_all(plan: Make, drawn: list[tuple[int, set[int]]]) -> None:
    nodes = [(seconds, sorted(use for use in uses if use < index)) for index, (seconds, uses) in enumerate(drawn)]
    texts = [f"name: n{i}, seconds: {s}, after: [{', '.join(f'n{u}' for u in uses)}]" for i, (s, uses) in enumerate(nodes)]

    def until(index: int) -> int:
        seconds, uses = nodes[index]
        return seconds + max((until(use) for use in uses), default=0)

    operations = plan(path(*texts)).deployment.plan.critical_path["prefill"]
    expected = max(until(i) for i in range(len(nodes))) if any(uses for _, uses in nodes) else sum(s for s, _ in nodes)
    seconds, names = plan_path.longest(operations)  # type: ignore[misc]
    assert seconds == expected
    assert sum(nodes[int(name[1:])][0] for name in names) == expected


def test_a_long_chain_takes_no_time_to_speak_of(plan: Make) -> None:
    texts = ["name: n0, seconds: 1", *(f"name: n{i}, seconds: 1, after: [n{i - 1}]" for i in range(1, 2000))]
    assert labels(plan, path(*texts, claims="ttft: 2000 s"), **ALONE) == []


@pytest.mark.parametrize(
    ("latency", "fires"), [("6.0 s", False), ("6.2 s", False), ("6.6 s", True), ("5.0 s", True), ("6 s", False)]
)
def test_a_latency_is_the_sum_of_its_phases(plan: Make, latency: str, fires: bool) -> None:
    rest = f"workload: {{output_tokens: 101}}\nclaims: {{ttft: 1.00 s, tpot: 50.0 ms, latency: {latency}}}\n"
    assert bool(labels(plan, rest, rule=plan_phases.phases_not_separated)) is fires


def test_a_decode_of_a_huge_batch_may_be_bound_by_arithmetic(plan: Make) -> None:
    # 10e9 × 2 B / 1.8e12 = 11 ms of reading; 2 × 10e9 × batch / 400e12 = 11 ms at a batch of 222.
    for batch, fires in ((200, True), (250, False)):
        rest = f"workload: {{concurrency: {batch}, input_tokens: 1}}\nphases: {{decode: {{bound: compute}}}}\n"
        assert bool(labels(plan, rest, rule=plan_phases.phases_not_separated)) is fires
