"""PLN913: whether a critical path is one, and whether the times claimed are those of its longest path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.facts import Place
from servelint.finding import Certainty, Severity, Verdict
from servelint.formats.plan.model import stated
from servelint.formats.plan.quantities import nearest
from servelint.rulebook import Scope, rule
from servelint_rules.figures import duration
from servelint_rules.plan_claims import place_of, principles, related
from servelint_rules.plan_throughput import alternatives

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import PlanCase, PoolCase
    from servelint.formats.plan.model import Operation

# What an operation of this kind moves its bytes over is the link, not the GPU's own memory.
_OVER_THE_LINK = frozenset(("collective", "hop", "kv_transfer"))


@rule(
    "PLN913", "critical-path-not-a-path", "Critical path is none, or not what the claimed time is",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.PLAN, since="0.1.0", formats=("plan",),
    inputs=("claims", "accelerator"),
)  # fmt: skip
def critical_path_not_a_path(case: PlanCase) -> Iterator[Verdict]:
    """
    ## What it checks

    Each phase of `critical_path`: names are unique, `after` names operations that are there, and nothing waits for itself;
    `claims.ttft` is the longest path of prefill and `claims.tpot` that of decode, to 5 %; an operation with `flops` or
    `bytes` is not faster than the GPU's peak, memory or link allow; with tensor parallelism there is a collective on the path,
    with pipeline parallelism a hop between stages, with pools of their own for prefill and decode a transfer of the KV cache.
    What an operation is says its `kind`, or else its name, by the words of the knowledge file.

    ## Why it matters

    A time is the sum of what waits for one another. A path without the exchange between ranks makes every degree look free,
    and a claim below its own path contradicts itself.

    ## How to fix

    Add the operations that are missing, with their times, and claim what the longest path gives. Where a claim contains more
    than the path (queueing, sampling), put that on the path too.

    ## Certainty

    Proven for cycles, names, a claim below its own path, and operations beyond the roofline. A claim above the path, and
    operations that are missing by their names, are heuristic.

    ## References

    - `rules/servelint_rules/knowledge.yaml`, `critical_path`
    - [Megatron-LM](https://arxiv.org/abs/1909.08053), section 3: two all-reduces per layer under tensor parallelism
    - Kelley, Walker: *Critical-path planning and scheduling*, 1959
    """
    for phase, operations in case.plan.critical_path.items():
        broken = list(_broken(phase, operations))
        yield from broken
        yield from _too_fast(case, phase, operations)
        if not broken and operations:
            yield from _claimed(case, phase, operations)
            yield from _missing(case, phase, operations)


def pool_of(case: PlanCase, phase: str) -> PoolCase:
    """The pool that runs ``phase``: the one of that role, else the first."""
    return next((pool for pool in case.pools if pool.pool.role.value == phase), case.pool)


def degree_of(case: PlanCase, phase: str, key: str, field: str) -> int:
    """A degree in ``phase``: what the phase states, else that of its pool."""
    own = case.plan.phases.get(phase, {}).get(key)
    return int(own.value if own is not None else pool_of(case, phase).layout.degree(field))


def _broken(phase: str, operations: tuple[Operation, ...]) -> Iterator[Verdict]:
    names = {operation.name for operation in operations}
    seen: set[str] = set()
    for operation in operations:
        if operation.name in seen:
            label = f"`{operation.name[:40]}` stands twice: which of them others wait for is open"
            yield Verdict(operation.place, label, key=f"{phase}:twice:{operation.name[:80]}")
        seen.add(operation.name)
        for use in operation.after:
            if use.value not in names and use.place is not None:
                near = nearest(use.value, names)
                hint = f": did you mean `{near}`?" if near else ""
                label = f"`{operation.name[:40]}` waits for `{use.value[:40]}`, which is not on the path{hint}"
                yield Verdict(use.place, label, key=f"{phase}:after:{operation.name[:80]}:{use.value[:80]}")
    cycle = _cycle(operations)
    if cycle:
        first = next(operation for operation in operations if operation.name == cycle[0])
        shown = " → ".join(name[:40] for name in (*cycle, cycle[0])[:6])
        yield Verdict(first.place, f"`{cycle[0][:40]}` waits for itself: {shown}", key=f"{phase}:cycle")


def _cycle(operations: tuple[Operation, ...]) -> list[str]:
    """The names along a cycle of ``after``; empty where there is none."""
    after = {operation.name: [use.value for use in operation.after] for operation in operations}
    done: set[str] = set()
    for start, waits in after.items():
        trail = {start: iter(waits)} if start not in done else {}
        while trail:
            name = next(reversed(trail))
            use = next(trail[name], None)
            if use is None:
                del trail[name]
                done.add(name)
            elif use in trail:
                names = list(trail)
                return names[names.index(use) :]
            elif use in after and use not in done:
                trail[use] = iter(after[use])
    return []


def longest(operations: tuple[Operation, ...]) -> tuple[float, list[str]] | None:
    """Seconds of the longest path and the names along it; None where a time is missing. Without any ``after`` the operations
    follow one another. The path has no cycle."""
    if not operations or any(stated(operation.seconds) is None for operation in operations):
        return None
    if not any(operation.after for operation in operations):
        return sum(operation.seconds.value.value_si for operation in operations), [each.name for each in operations]
    by_name = {operation.name: operation for operation in operations}
    ends: dict[str, float] = {}
    before: dict[str, str | None] = {}
    waiting = list(by_name)
    while waiting:
        name = waiting.pop()
        uses = [use.value for use in by_name[name].after]
        open_ = [use for use in uses if use not in ends]
        if open_:
            waiting += [name, *open_]
        elif name not in ends:
            before[name] = max(uses, key=lambda use: ends[use], default=None)
            ends[name] = by_name[name].seconds.value.value_si + max((ends[use] for use in uses), default=0.0)
    last: str | None = max(ends, key=lambda name: ends[name])
    seconds, trail = ends[last or ""], []
    while last is not None:
        trail.append(last)
        last = before[last]
    return seconds, trail[::-1]


def _claimed(case: PlanCase, phase: str, operations: tuple[Operation, ...]) -> Iterator[Verdict]:
    claims = case.plan.claims
    fact, what = (claims.ttft, "time to first token") if phase == "prefill" else (claims.tpot, "time per output token")
    claim, path = stated(fact), longest(operations)
    if claim is None or path is None:
        return
    seconds, names = path
    allowed = principles(case).tolerances.path * seconds + claim.rounding
    if abs(claim.value_si - seconds) <= allowed:
        return
    below = claim.value_si < seconds
    shown = " + ".join(name[:24] for name in names[:5]) + (" + …" if len(names) > 5 else "")
    yield Verdict(
        place_of(case, fact),
        f"the longest path of {phase} takes {duration(seconds)} s, not {claim.text}"
        + ("" if below else ": the rest is on no path"),
        arithmetic=(f"{shown} = {duration(seconds)} s; {what} claimed: {claim.text}",),
        related=related((operations[0].seconds, "the path")),
        severity=Severity.ERROR if below else Severity.WARNING,
        certainty=Certainty.PROVEN if below else Certainty.HEURISTIC,
        key=f"{phase}:claim",
    )


def kind_of(case: PlanCase, operation: Operation) -> str:
    """What an operation is: its ``kind``, else by the words in its name; "" where neither says."""
    kind = stated(operation.kind)
    if kind is not None:
        return kind
    name = "".join(c if c.isalnum() else "_" for c in operation.name.lower())
    for kind in ("kv_transfer", "collective", "hop"):
        if any(f"_{word}_" in f"_{name}_" for word in principles(case).words.get(kind, ())):
            return kind
    return ""


def _too_fast(case: PlanCase, phase: str, operations: tuple[Operation, ...]) -> Iterator[Verdict]:
    """Operations that take less than their own figures allow."""
    for operation in operations:
        seconds = stated(operation.seconds)
        flops, size = stated(operation.flops), stated(operation.bytes)
        if seconds is None or (flops is None and size is None):
            continue
        pool = pool_of(case, phase)
        gpus = [each.accelerator for each in alternatives(pool)]  # of which the fastest counts
        if flops is not None:
            from servelint.capacity.work import peak_flops

            peak = max(peak_flops(pool.pool, gpu, True) for gpu in gpus)
            yield from _beyond(operation, phase, flops.value_si / peak, f"{flops.text} / {peak / 1e12:.4g} TFLOP/s")
        if size is not None:
            over = kind_of(case, operation) in _OVER_THE_LINK
            rates = [gpu.link_bytes_per_second if over else gpu.bandwidth_bytes_per_second for gpu in gpus]
            rate = max((each for each in rates if each), default=0.0)
            if rate and all(rates):
                where = "link" if over else "memory"
                yield from _beyond(operation, phase, size.value_si / rate, f"{size.text} / {rate / 1e9:.4g} GB/s of the {where}")


def _beyond(operation: Operation, phase: str, least: float, shown: str) -> Iterator[Verdict]:
    seconds = operation.seconds.value
    if seconds.value_si + seconds.rounding < least:
        label = f"`{operation.name[:40]}` takes at least {duration(least)} s on one GPU, not {seconds.text}"
        yield Verdict(
            operation.seconds.place or operation.place,
            label,
            arithmetic=(f"{shown} = {duration(least)} s",),
            key=f"{phase}:fast:{operation.name[:80]}:{shown.rpartition(' ')[2]}",
        )


def _missing(case: PlanCase, phase: str, operations: tuple[Operation, ...]) -> Iterator[Verdict]:
    """Exchanges that the degrees need and no operation is."""
    kinds = {kind_of(case, operation) for operation in operations}
    tensor = degree_of(case, phase, "tensor", "tensor")
    pipeline = degree_of(case, phase, "pipeline", "pipeline")
    wanted = [
        ("collective", tensor > 1, f"TP {tensor} exchanges activations twice in every layer"),
        ("hop", pipeline > 1, f"PP {pipeline} hands activations on from stage to stage"),
    ]
    if phase == "prefill":
        roles = {pool.pool.role.value for pool in case.pools}
        apart = {"prefill", "decode"} <= roles
        # Either path may hold the transfer: it ends the one and begins the other.
        everywhere = {kind_of(case, each) for path in case.plan.critical_path.values() for each in path}
        wanted.append(("kv_transfer", apart and "kv_transfer" not in everywhere, "prefill and decode run in pools of their own"))
    node = case.plan.node("critical_path", phase)
    for kind, needed, why in wanted:
        if needed and kind not in kinds and node is not None:
            words = kind.replace("kv_transfer", "transfer of the KV cache")
            yield Verdict(
                Place(case.plan.document.physical, operations[0].place.span),
                f"the {phase} path has no {words}: {why}",
                help=(f"add the operation, with `kind: {kind}` where its name does not say it",),
                severity=Severity.WARNING,
                certainty=Certainty.HEURISTIC,
                key=f"{phase}:missing:{kind}",
            )
