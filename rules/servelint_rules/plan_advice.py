"""PLN923, SLO808: what a plan should state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.facts import Place
from servelint.finding import Certainty, Severity, Verdict
from servelint.rulebook import Scope, rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import PlanCase


@rule(
    "PLN923", "alternatives-missing", "No alternative is weighed",
    severity=Severity.INFO, certainty=Certainty.ADVICE, scope=Scope.PLAN, since="0.1.0", formats=("plan",), advice=True,
)  # fmt: skip
def alternatives_missing(case: PlanCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A plan with `reasoning` and degrees above 1 whose `alternatives` are empty or claim no figure.

    ## Why it matters

    A decision is a choice. Without the layout that was not taken and its figures nobody can see what the GPUs were spent on,
    and the next reviewer starts from nothing.

    ## How to fix

    State at least one smaller layout under `alternatives`, with its `claims` and `because`; `servelint derive` and `servelint
    compare` compute them.

    ## Certainty

    Advice.

    ## References

    - Nygard, *Documenting architecture decisions*, 2011: context, decision, consequences
    """
    plan = case.plan
    node = plan.node("reasoning")
    if node is None or not plan.reasoning or all(fact.get(1) <= 1 for fact in plan.parallelism.values()):
        return
    if any(plan.node("alternatives", index, "claims") is not None for index in range(len(plan.alternatives))):
        return
    figures = "none is stated" if not plan.alternatives else "those stated claim no figure"
    yield Verdict(Place.of(plan.document, node), f"the layout is decided without an alternative to compare it with: {figures}")


@rule(
    "SLO808", "targets-missing", "No target says what the deployment must meet",
    severity=Severity.INFO, certainty=Certainty.ADVICE, scope=Scope.PLAN, since="0.1.0", formats=("plan",), advice=True,
)  # fmt: skip
def targets_missing(case: PlanCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A plan that states none of `targets.ttft`, `targets.tpot` and `targets.throughput_per_gpu`.

    ## Why it matters

    Whether GPUs are enough, or too many, is a question of what they must meet. Without a target only memory can be judged, and
    the rules on time and size stay silent.

    ## How to fix

    State what users are promised: the time to the first token of the longest prompt, the time per token, or a throughput.

    ## Certainty

    Advice.

    ## References

    - MLPerf Inference: the server scenario's limits on TTFT and TPOT
    """
    targets = case.plan.targets
    if any(case.plan.node("targets", name) is not None for name in targets._fields):
        return
    node = case.plan.node("targets") or case.plan.node("workload") or case.plan.node("kind")
    if node is not None:
        yield Verdict(
            Place.of(case.plan.document, node), "no time and no throughput is a target: whether the GPUs are enough stays open"
        )
