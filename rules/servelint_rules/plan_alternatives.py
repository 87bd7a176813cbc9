"""PLN911, PLN914, SLO804, SLO805: what a plan says of one workload under several layouts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.finding import Certainty, Severity
from servelint.rulebook import Scope, rule
from servelint_rules import plan_speedups

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import PlanCase
    from servelint.finding import Verdict


@rule(
    "PLN911", "flops-vary-with-parallelism", "Arithmetic of the workload changes with the layout",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.PLAN, since="0.1.0", formats=("plan",),
    inputs=("model", "workload", "claims"),
)  # fmt: skip
def flops_vary_with_parallelism(case: PlanCase) -> Iterator[Verdict]:
    """
    ## What it checks

    `claims.prefill_flops` of the plan and of its `alternatives`, which are the same workload and so the same figure (to 1 %
    or the rounding of the figures); and that it is no less than one prompt of `input_tokens.max` takes: twice the
    parameters times the tokens, and attention.

    ## Why it matters

    Parallelism shares work out, it does not make it less. Two layouts compared on different amounts of work show nothing,
    and the smaller amount makes its layout look that much faster.

    ## How to fix

    Compute the operations once, from the model and the workload, and divide them by the GPUs of each layout.

    ## Certainty

    Proven: figures of the same document, and a lower bound of the arithmetic that leaves out embeddings and LM head. Where
    stated parameters and shape disagree and the figure is below only one of them, a warning that names it.

    ## References

    - [Kaplan et al., *Scaling laws for neural language models*](https://arxiv.org/abs/2001.08361), table 1: 2 operations per
      parameter and token
    """
    yield from plan_speedups.work_verdicts(case)


@rule(
    "PLN914", "naive-speedup", "Time is divided by the product of degrees",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.PLAN, since="0.1.0", formats=("plan",),
    inputs=("claims",),
)  # fmt: skip
def naive_speedup(case: PlanCase) -> Iterator[Verdict]:
    """
    ## What it checks

    `ttft` and `tpot` of the plan and its `alternatives` in pairs: a time that is exactly that of a smaller layout divided by
    the product of the degrees that grew. Measured figures are not judged. Pairs that differ in data or pipeline
    parallelism alone are SLO804 and SLO805.

    ## Why it matters

    A quotient of degrees is a layout without communication. Two all-reduces per layer, launches and the parts that are not
    divided (norms, sampling, scheduling) are what decides whether the next GPU is worth its money: twice the tensor
    parallelism gives 1.5 to 1.9 times, not 2.

    ## How to fix

    Give the times along the critical path, exchange included.

    ## Certainty

    Proven where the quotient exceeds that of the GPUs: degrees that share GPUs were multiplied as well. Where it equals it,
    heuristic and a warning: exactly perfect scaling is what a division gives, not what a measurement does.

    ## References

    - Amdahl, *Validity of the single processor approach*, 1967
    - `rules/servelint_rules/knowledge.yaml`, principle `critical_path`
    """
    for found in plan_speedups.speedups(case):
        if found.code == "PLN914":
            yield found.verdict


@rule(
    "SLO804", "dp-claimed-to-cut-latency", "Data parallelism is claimed to make one request faster",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.PLAN, since="0.1.0", formats=("plan",),
    inputs=("claims",),
)  # fmt: skip
def dp_claimed_to_cut_latency(case: PlanCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A reasoning step that decides data parallelism and says that it `improves` a time, where the knowledge file has it improve
    throughput; and `alternatives` that differ in data parallelism alone (or with pipeline stages) whose `ttft` or `tpot`
    falls by the whole ratio of the degrees. Not where requests arrive in a burst: then the last one's time is meant, and that
    does fall.

    ## Why it matters

    A data-parallel rank is a copy: a request runs on one of them, as fast as on the only one. Copies shorten the queue, not
    the work, so a latency target missed by one copy is missed by ten.

    ## How to fix

    Tensor parallelism, a smaller or quantised model, or chunking shorten a request; more copies serve more of them.

    ## Certainty

    Proven for what the step says it improves, and for pairs where every rank serves one request at most. Under more load a
    shorter queue may give part of it, so an exact ratio is then a warning.

    ## References

    - vLLM documentation, *Data parallel deployment*: ranks handle separate batches
    - `rules/servelint_rules/knowledge.yaml`, `improves` of step `request`
    """
    yield from plan_speedups.gains(case, "data", "SLO804")
    for found in plan_speedups.speedups(case):
        if found.code == "SLO804":
            yield found.verdict


@rule(
    "SLO805", "pp-claimed-to-cut-latency", "Pipeline parallelism is claimed to make one request faster",
    severity=Severity.WARNING, certainty=Certainty.PROVEN, scope=Scope.PLAN, since="0.1.0", formats=("plan",),
    inputs=("claims",),
)  # fmt: skip
def pp_claimed_to_cut_latency(case: PlanCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A reasoning step that decides pipeline parallelism and says that it `improves` a time, where the knowledge file has it
    improve memory and throughput; and `alternatives` that differ in pipeline parallelism alone whose `ttft` or `tpot` falls
    by the whole ratio. Not where requests arrive in a burst.

    ## Why it matters

    A request passes all stages one after another and waits for each: its time is the *sum* of the stages and the hops between
    them. The maximum over the stages is the time between two results, and so the throughput.

    ## How to fix

    Claim the sum of the stages. Where the latency is what is wanted, use tensor parallelism instead.

    ## Certainty

    Proven for what the step says it improves; an exact ratio between alternatives is heuristic. A warning either way: with
    chunked prefill the stages do overlap within one long prompt.

    ## References

    - [Huang et al., *GPipe*](https://arxiv.org/abs/1811.06965): the bubble of p − 1 stages
    - docs/knowledge.md, where a public knowledge file takes the maximum
    """
    yield from plan_speedups.gains(case, "pipeline", "SLO805")
    for found in plan_speedups.speedups(case):
        if found.code == "SLO805":
            yield found.verdict
