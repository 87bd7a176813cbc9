"""The figures of one workload under several layouts: its arithmetic, and how times fall as degrees grow."""

from __future__ import annotations

from itertools import permutations
from math import prod
from typing import TYPE_CHECKING

from servelint.finding import Certainty, Related, Severity, Verdict
from servelint.formats.plan.model import DEGREES, LETTERS, is_absent, stated
from servelint.records import NamedTuple
from servelint_rules.plan_claims import place_of, principles, related

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.capacity.layout import Layout
    from servelint.case import PlanCase
    from servelint.facts import Fact, Place
    from servelint.formats.plan.model import Claims
    from servelint.formats.plan.quantities import Quantity

# Pairs are compared: more alternatives than this no plan weighs.
_MOST_LAYOUTS = 30


class _Entry(NamedTuple):
    """The plan itself or one of its alternatives."""

    name: str
    layout: Layout
    claims: Claims
    place: Place


class Speedup(NamedTuple):
    """A time that falls as only a division lets it: the code of the rule whose fault it is, and the verdict."""

    code: str
    verdict: Verdict


def _entries(case: PlanCase) -> list[_Entry]:
    own = case.pool.layout
    entries = [_Entry("the plan", own, case.plan.claims, case.pool.pool.place)]
    for each in case.plan.alternatives[:_MOST_LAYOUTS]:
        layout = own.with_(**{DEGREES[key]: fact.value for key, fact in each.degrees.items()})
        entries.append(_Entry(f"`{each.name[:40]}`", layout, each.claims, each.place))
    return entries


# PLN911


def work_verdicts(case: PlanCase) -> Iterator[Verdict]:
    """Operations of the prefill that differ between layouts, or are fewer than one prompt takes."""
    stated_ = [(each, stated(each.claims.prefill_flops)) for each in _entries(case)]
    claimed = [(each, flops) for each, flops in stated_ if flops is not None and flops.value_si > 0]
    tolerance = principles(case).tolerances.arithmetic
    for index, (entry, flops) in enumerate(claimed):
        if index:
            first, reference = claimed[0]
            apart = abs(flops.value_si - reference.value_si)
            if apart > tolerance * reference.value_si + flops.rounding + reference.rounding:
                yield _varies(case, first, reference, entry, flops)
        elif (verdict := _too_few(case, entry.claims.prefill_flops, flops)) is not None:
            yield verdict


def _varies(case: PlanCase, first: _Entry, reference: Quantity, entry: _Entry, flops: Quantity) -> Verdict:
    place = first.claims.prefill_flops.place or case.pool.pool.place
    other = entry.claims.prefill_flops.place
    ratio = max(flops.value_si, reference.value_si) / min(flops.value_si, reference.value_si)
    return Verdict(
        place,
        f"{reference.text} here and {flops.text} in {entry.name} for the same prompts: {ratio:.3g} times apart",
        arithmetic=(f"{first.layout.formula()}: {reference.text}; {entry.layout.formula()}: {flops.text}",),
        help=("the layout shares the work out; how much it is follows from the model and the prompts",),
        related=(Related(other, f"of {entry.name}"),) if other is not None else (),
        key=f"varies:{entry.name}",
    )


def _too_few(case: PlanCase, fact: Fact[Quantity], flops: Quantity) -> Verdict | None:
    pool = case.pool.pool
    if is_absent(pool.input_tokens_max):
        return None
    from servelint.capacity.work import prompt_flops, readings_of

    tokens = pool.input_tokens_max.value
    needs = [(prompt_flops(pool, work, tokens), work.label) for work in readings_of(pool)]
    short = [(need, label) for need, label in needs if flops.value_si + flops.rounding < need]
    if not short:
        return None
    certain = len(short) == len(needs)
    need, label = min(short)
    return Verdict(
        place_of(case, fact),
        f"one prompt of {tokens} tokens takes at least {need / 1e12:.4g} TFLOP"
        + ("" if certain else f" with {label}")
        + f", not {flops.text}",
        arithmetic=tuple(f"2 × {label} × {tokens} tokens, and attention: {need / 1e12:.4g} TFLOP" for need, label in needs),
        related=related((pool.input_tokens_max, "the longest prompt"), (case.plan.parameters, "the parameters")),
        severity=Severity.ERROR if certain else Severity.WARNING,
        certainty=Certainty.PROVEN if certain else Certainty.ESTIMATED,
        key="few",
    )


# PLN914, SLO804, SLO805


def speedups(case: PlanCase) -> Iterator[Speedup]:
    """Times of two layouts whose quotient is that of their degrees; each claimed time is said once."""
    if not case.plan.alternatives or case.pool.pool.arrival.get("steady") == "burst":
        return
    entries = [each for each in _entries(case) if stated(each.claims.source) != "measured"]
    said: set[Place] = set()
    for slow, fast in permutations(entries, 2):
        grew = [name for name in DEGREES.values() if fast.layout.degree(name) > slow.layout.degree(name)]
        shrank = [name for name in DEGREES.values() if fast.layout.degree(name) < slow.layout.degree(name)]
        if not grew or shrank:
            continue
        for name in ("ttft", "tpot"):
            fact: Fact[Quantity] = getattr(fast.claims, name)
            before, after = stated(getattr(slow.claims, name)), stated(fact)
            if before is None or after is None or fact.place is None or fact.place in said or not after.value_si:
                continue
            found = _speedup(case, slow, fast, grew, name, before, after)
            if found is not None:
                said.add(fact.place)
                yield found


def _speedup(
    case: PlanCase, slow: _Entry, fast: _Entry, grew: list[str], name: str, before: Quantity, after: Quantity
) -> Speedup | None:
    fact: Fact[Quantity] = getattr(fast.claims, name)
    naive = prod(fast.layout.degree(each) / slow.layout.degree(each) for each in grew)
    gpus = fast.layout.world_size / slow.layout.world_size
    ratio = before.value_si / after.value_si
    tolerances = principles(case).tolerances
    rounding = before.rounding / before.value_si + after.rounding / after.value_si if before.value_si else 0.0
    allowed = max(tolerances.arithmetic, min(rounding, tolerances.rounded))
    copies = set(grew) <= {"data", "pipeline"}
    if ratio < naive * (1 - allowed) or (not copies and ratio > naive * (1 + allowed)):
        return None
    keys = {field: key for key, field in DEGREES.items()}
    letters = " and ".join(f"{LETTERS[keys[each]]} {slow.layout.degree(each)} → {fast.layout.degree(each)}" for each in grew)
    shown = f"{before.text} / {after.text} = {ratio:.3g}"
    other: Fact[Quantity] = getattr(slow.claims, name)
    severity, certainty = Severity.WARNING, Certainty.HEURISTIC
    if copies:
        code = "SLO804" if "data" in grew else "SLO805"
        requests = case.pool.pool.concurrency
        # Where every rank has one request at most, nothing waits and nothing shares a batch.
        if code == "SLO804" and requests.is_known and requests.value <= slow.layout.attention_ranks:
            severity, certainty = Severity.ERROR, Certainty.PROVEN
        what = "copies do not make a request faster" if code == "SLO804" else "a request passes all stages in turn"
        label = f"{letters} is claimed to cut {name} {ratio:.3g} times: {what}"
    else:
        code = "PLN914"
        if naive > gpus * (1 + tolerances.rounded):
            severity, certainty = Severity.ERROR, Certainty.PROVEN
            label = f"{name} falls {ratio:.3g} times on {gpus:.3g} times the GPUs: {letters} were multiplied"
        else:
            label = f"{name} falls by exactly the degrees ({letters}): that leaves no time for communication"
    verdict = Verdict(
        place_of(case, fact),
        label,
        arithmetic=(f"{slow.name}, {slow.layout.formula()}: {before.text}", f"{shown}; degrees: {naive:g}; GPUs: {gpus:g}"),
        related=related((other, f"{slow.name}")),
        severity=severity,
        certainty=certainty,
        key=f"{slow.name}:{fast.name}:{name}",
    )
    return Speedup(code, verdict)


def gains(case: PlanCase, degree: str, code: str) -> Iterator[Verdict]:
    """Steps that decide ``degree`` above 1 and say that it improves what the knowledge file does not have it improve."""
    known = principles(case)
    burst = case.pool.pool.arrival.get("steady") == "burst"
    for step in case.plan.reasoning or ():
        decided = step.decides.get(degree)
        if decided is None or decided.value <= 1 or burst:
            continue
        others = {key for key, fact in step.decides.items() if key != degree and fact.value > 1}
        allowed = [each.improves for each in known.order if degree in each.decides]
        for gain in step.improves:
            if others or gain.place is None or not allowed or any(not some or gain.value in some for some in allowed):
                continue  # of several degrees another may be meant
            if gain.value in ("ttft", "tpot"):
                wanted = " or ".join(dict.fromkeys(name for some in allowed for name in some))
                yield Verdict(
                    gain.place,
                    f"{LETTERS[degree]} {decided.value} does not improve {gain.value}: it is for {wanted}",
                    related=related((decided, "decided here")),
                    key=f"{code}:{step.step[:80]}:{gain.value}",
                )
