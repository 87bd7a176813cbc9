"""SLO811: shares of the peak that a plan assumes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.finding import Certainty, Severity, Verdict
from servelint.formats.plan.model import stated
from servelint.formats.plan.quantities import Dimension
from servelint.formats.plan.statements import Statements
from servelint.rulebook import Scope, rule
from servelint_rules.plan_claims import principles, related

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import PlanCase


@rule(
    "SLO811", "mfu-mbu-assumption-out-of-range", "Assumed share of the peak is more than engines reach",
    severity=Severity.WARNING, certainty=Certainty.HEURISTIC, scope=Scope.PLAN, since="0.1.0", formats=("plan",),
    inputs=("accelerator",),
)  # fmt: skip
def assumption_out_of_range(case: PlanCase) -> Iterator[Verdict]:
    """
    ## What it checks

    `accelerator.mfu` above 65 % and `accelerator.mbu` above 90 %, the limits of the knowledge file, where the claims are not
    said to be measured.

    ## Why it matters

    All times of the plan are divided by these shares. Published prefill reaches 23 to 57 % of the peak arithmetic and decode
    44 to 86 % of the memory bandwidth, communication counted apart; a plan at 80 % and 95 % is late by the difference.

    ## How to fix

    Take 40 to 60 % for prefill and 60 to 80 % for decode, or measure and say so (`claims.source: measured`).

    ## Certainty

    Heuristic: what engines were seen to reach.

    ## References

    - NVIDIA TensorRT-LLM, *Performance overview*
    - [Chowdhery et al., *PaLM*](https://arxiv.org/abs/2204.02311), appendix B, for the definition of MFU
    - `rules/servelint_rules/knowledge.yaml`, `assumptions`
    """
    plan = case.plan
    if stated(plan.claims.source) == "measured":
        return
    statements = Statements(plan.document)
    for name, words in (("mfu", "peak arithmetic"), ("mbu", "memory bandwidth")):
        most = principles(case).assumptions.get(name)
        assumed = statements.quantity(f"accelerator.{name}", Dimension.RATIO, plan.node("accelerator"), name)
        share = stated(assumed)
        if most is None or share is None or share.value_si <= most or assumed.place is None:
            continue
        yield Verdict(
            assumed.place,
            f"{share.value_si * 100:.4g} % of the {words} is assumed; more than {most * 100:.4g} % has to be measured",
            related=related((plan.claims.ttft if name == "mfu" else plan.claims.tpot, "rests on it")),
            key=name,
        )
