"""The order of a plan's reasoning (PLN904): what each step may decide, use and must justify."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.facts import Place
from servelint.finding import Proposal, Related, Verdict
from servelint.formats.plan.model import DEGREES, LETTERS
from servelint.formats.plan.quantities import nearest
from servelint_rules.plan_claims import principles

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import PlanCase
    from servelint.facts import Fact
    from servelint.formats.plan.model import Plan, ReasoningStep
    from servelint_rules.knowledge import Knowledge


def order_verdicts(case: PlanCase) -> Iterator[Verdict]:
    """Everything that breaks the mandatory order; nothing where the plan has no ``reasoning``."""
    plan: Plan = case.plan
    if plan.reasoning is None:
        return
    known = principles(case)
    yield from _names_and_order(plan, known)
    yield from _uses(plan)
    yield from _decisions(case, known)
    yield from _undecided(case, known)


def _sequence(known: Knowledge) -> str:
    return "the order is " + " → ".join(step.name for step in known.order)


def _names_and_order(plan: Plan, known: Knowledge) -> Iterator[Verdict]:
    steps = plan.reasoning or ()
    names = [step.name for step in known.order]
    above: list[ReasoningStep] = []
    for step in steps:
        if step.step not in names:
            near = nearest(step.step, names)
            hint = f"did you mean `{near}`?" if near else f"the steps are {', '.join(names)}"
            label = f"`{step.step[:40]}` is not a step of the mandatory order: {hint}"
            yield Verdict(step.place, label, key=f"name:{step.step[:80]}")
            continue
        early = next((other for other in reversed(above) if known.builds_on(other.step, step.step)), None)
        if early is not None:
            yield Verdict(
                step.place,
                f"`{step.step}` stands after `{early.step}`, which builds on it",
                help=(_sequence(known),),
                related=(Related(early.place, "stands above it"),),
                key=f"order:{step.step}",
            )
        above.append(step)
    there = {step.step for step in steps}
    for wanted in known.order:
        if wanted.required and wanted.name not in there:
            node = plan.node("reasoning")
            place = steps[0].place if steps else Place.of(plan.document, node) if node is not None else None
            if place is not None:
                label = f"the reasoning has no `{wanted.name}` step" + (f" ({wanted.purpose})" if wanted.purpose else "")
                yield Verdict(place, label, help=(_sequence(known),), key=f"missing:{wanted.name}")


def _uses(plan: Plan) -> Iterator[Verdict]:
    steps = plan.reasoning or ()
    above: set[str] = set()
    for index, step in enumerate(steps):
        below = {other.step for other in steps[index:]}
        for use in step.uses:
            name = use.value
            if name in above or use.place is None:
                continue
            if name == step.step:
                label = f"`{step.step}` uses itself"
            elif name in below:
                label = f"`{step.step}` uses `{name}`, which stands below it: a step uses only what stands above it"
            else:
                label = f"`{step.step}` uses `{name[:40]}`, which no step above it is or establishes"
            yield Verdict(use.place, label, key=f"uses:{step.step[:80]}:{name[:80]}")
        above.add(step.step)
        above.update(step.facts)


def _decisions(case: PlanCase, known: Knowledge) -> Iterator[Verdict]:
    plan: Plan = case.plan
    for step in plan.reasoning or ():
        rule = next((each for each in known.order if each.name == step.step), None)
        for key, fact in step.decides.items():
            value, place, letters = fact.value, fact.place or step.place, LETTERS[key]
            if rule is not None and key not in rule.decides:
                proper = " or ".join(f"`{name}`" for name in known.steps_for(key)) or "no step"
                label = f"`{step.step}` decides {letters}, which is decided in {proper}"
                yield Verdict(place, label, help=(_sequence(known),), key=f"kind:{step.step}:{key}")
            elif rule is not None and key in rule.justify and value > 1 and not step.because.strip():
                label = f"`{step.step}` decides {letters} {value} without a `because`"
                yield Verdict(place, label, help=(f"say what needs {letters} here",), key=f"because:{step.step}:{key}")
            yield from _contradiction(case, step, key, fact)


def _contradiction(case: PlanCase, step: ReasoningStep, key: str, fact: Fact[int]) -> Iterator[Verdict]:
    plan: Plan = case.plan
    value, place = fact.value, fact.place
    used = {getattr(pool.pool, DEGREES[key]).value for pool in case.pools}
    used |= {own[key].value for own in plan.phases.values() if key in own}
    if value in used or place is None:
        return
    stated = plan.parallelism[key]
    edits = fact.writer.write(stated.value) if fact.writer is not None and len(used) == 1 else None
    deployed = " and ".join(map(str, sorted(used)))
    yield Verdict(
        place,
        f"`{step.step}` decides {LETTERS[key]} {value}, but the plan deploys {LETTERS[key]} {deployed}",
        related=(Related(stated.place, "deployed"),) if stated.is_stated and stated.place is not None else (),
        proposals=(Proposal(f"write what is deployed: {stated.value}", False, edits),) if edits else (),
        key=f"contradicts:{step.step}:{key}",
    )


def _undecided(case: PlanCase, known: Knowledge) -> Iterator[Verdict]:
    """Degrees above 1 that no step decides, each at the first place where it is deployed."""
    plan: Plan = case.plan
    decided = {key for step in plan.reasoning or () for key in step.decides}
    for key, field in DEGREES.items():
        if key in decided:
            continue
        for pool in case.pools:
            fact = getattr(pool.pool, field)
            if fact.value > 1 and fact.place is not None:
                steps = " or ".join(f"`{name}`" for name in known.steps_for(key)) or "a step"
                label = f"no step decides {LETTERS[key]} {fact.value}: it belongs in {steps}"
                yield Verdict(fact.place, label, key=f"undecided:{key}")
                break
