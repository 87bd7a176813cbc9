"""SLO and workload rules on plans: bounds are errors, estimates are warnings, and a queue has no estimate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from servelint.finding import Certainty, Severity
from servelint.run import lint_texts
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from servelint.finding import Finding
    from servelint.run import Session

PLAN = """\
apiVersion: servelint/v1
kind: DeploymentPlan
metadata: {{name: llama-70b}}
engine: {{name: vllm, version: 0.19.1}}
model: {{id: meta-llama/Llama-3.1-70B-Instruct, dtype: bfloat16}}
accelerator: {{name: H100-SXM5-80GB, per_node: 8}}
workload: {workload}
parallelism: {{tensor: {tensor}}}
limits: {limits}
targets: {targets}
"""
SHORT = "{concurrency: 8, input_tokens: {min: 128, max: 2048}, output_tokens: {mean: 256}}"
LONG = "{concurrency: 2, input_tokens: {min: 8192, max: 32768}, output_tokens: {mean: 256}}"


def found(
    session: Session,
    code: str,
    *,
    workload: str = SHORT,
    tensor: int = 4,
    limits: str = "{max_model_len: 40960}",
    targets: str = "{ttft: 60 s}",
) -> list[Finding]:
    text = PLAN.format(workload=workload, tensor=tensor, limits=limits, targets=targets)
    return [f for f in lint_texts([SourceText("plan.yaml", text)], session).findings if f.code == code]


def test_a_target_below_the_bound_is_proven_impossible(session: Session) -> None:
    (finding,) = found(session, "SLO801", workload=LONG, targets="{ttft: 100 ms}")
    assert (finding.severity, finding.certainty) == (Severity.ERROR, Certainty.PROVEN)
    assert "FLOP for 32768 tokens" in finding.arithmetic[0]
    assert "peak" in finding.arithmetic[1]


def test_a_target_between_bound_and_estimate_is_a_warning(session: Session) -> None:
    # 2 × 70e9 × 32768 FLOP on 4 × 989 TFLOP/s take 1.2 s at the peak, about 3 s at usual efficiency.
    (finding,) = found(session, "SLO801", workload=LONG, targets="{ttft: 2 s}")
    assert (finding.severity, finding.certainty) == (Severity.WARNING, Certainty.ESTIMATED)


@pytest.mark.parametrize(("tpot", "severity"), [("10 ms", Severity.ERROR), ("11 ms", None)])
def test_a_token_takes_as_long_as_reading_the_weights(session: Session, tpot: str, severity: Severity | None) -> None:
    # 68.5e9 weights that a token uses × 2 B, and the LM head, over 4 × 3.35 TB/s: 10.4 ms, and 128 tokens of KV cache each.
    findings = found(session, "SLO803", targets=f"{{tpot: {tpot}}}")
    assert [f.severity for f in findings] == ([] if severity is None else [severity])


@pytest.mark.parametrize(("rate", "severity"), [(1.2, None), (2.4, Severity.WARNING), (40, Severity.ERROR)])
def test_a_queue_that_grows(session: Session, rate: float, severity: Severity | None) -> None:
    # Prompts of 4096 tokens take 2 × 68.5e9 × 4096 FLOP: 0.14 s at the peak of 4 × 989 TFLOP/s, 0.34 s at 42 % of it.
    load = f"{{request_rate: {rate} req/s, concurrency: 8, input_tokens: 4096, output_tokens: 256}}"
    findings = found(session, "SLO807", workload=load)
    assert [f.severity for f in findings] == ([] if severity is None else [severity])


def test_a_queue_is_no_estimate(session: Session) -> None:
    crowd = LONG.replace("concurrency: 2", "concurrency: 4096")
    assert not found(session, "SLO801", workload=crowd, targets="{ttft: 2 s}")
    assert found(session, "MEM406", workload=crowd), "that is what is said instead"


def test_more_replicas_change_no_bound(session: Session) -> None:
    assert found(session, "SLO801", workload=LONG, targets="{ttft: 100 ms}", tensor=8)


@pytest.mark.parametrize(
    ("target", "severity"),
    [
        ("8000 tokens/s", Severity.ERROR),  # 989 TFLOP/s / (2 × 69e9) = 7.2 thousand
        ("5000 tokens/s", None),
        ("{value: 5000 tokens/s, of: output}", Severity.ERROR),  # of eight requests, by memory bandwidth
        ("{value: 20 tokens/s, of: output}", None),
    ],
)
def test_a_throughput_is_held_against_what_it_counts(session: Session, target: str, severity: Severity | None) -> None:
    findings = found(session, "SLO802", targets=f"{{throughput_per_gpu: {target}}}")
    assert [f.severity for f in findings] == ([] if severity is None else [severity])
    if severity and "output" in target:
        assert "memory bandwidth" in findings[0].arithmetic[0]


def test_max_num_seqs_is_held_against_the_cache_where_lengths_are_stated(session: Session) -> None:
    lengths = "{input_tokens: {min: 8192, mean: 16384, max: 32768}, output_tokens: {mean: 256}}"
    (finding,) = found(session, "MEM406", workload=lengths, limits="{max_model_len: 40960, max_num_seqs: 512}")
    assert finding.label.startswith("512 requests at once")
    assert not found(session, "MEM406", workload=lengths, limits="{max_model_len: 40960, max_num_seqs: 8}")
    admitted = lengths.replace("{input", "{concurrency: 4096, input", 1)
    assert not found(session, "MEM406", workload=admitted, limits="{max_model_len: 40960, max_num_seqs: 8}"), (
        "no more run at once"
    )


def test_over_provisioning_needs_a_smaller_layout_that_meets_the_targets(session: Session) -> None:
    few = SHORT.replace("concurrency: 8", "concurrency: 1")
    targets = "{ttft: 60 s, memory_utilization: {min: 60 %}}"
    (finding,) = found(session, "MEM405", workload=few, tensor=8, targets=targets)
    assert "2 GPUs of 8 would do" in finding.label
    assert not found(session, "MEM405", workload=few, tensor=8, targets=targets.replace("60 s", "150 ms")), (
        "only eight are fast enough"
    )
    assert not found(session, "MEM405", workload=few, tensor=8, targets="{memory_utilization: {min: 10 %}}")


def test_a_pipeline_stays_where_a_target_would_break(session: Session) -> None:
    text = PLAN.format(
        workload=SHORT, tensor="4, pipeline: 2", limits="{max_model_len: 40960}", targets="{memory_utilization: {max: 45 %}}"
    )
    codes = [f.code for f in lint_texts([SourceText("plan.yaml", text)], session).findings]
    assert "PAR207" not in codes
    generous = text.replace("45 %", "90 %")
    assert "PAR207" in [f.code for f in lint_texts([SourceText("plan.yaml", generous)], session).findings]
