"""Compare: what a change of deployment does, recomputed from both sides: the deployment optimization summary.

Nothing is taken from what either side claims of itself; every figure comes from the same estimates the rules use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.capacity.step import amount, gib
from servelint.errors import UsageError
from servelint.facts import FactState, UnknownFact
from servelint.judge import pool_cases
from servelint.records import NamedTuple
from servelint.run import lint_texts

if TYPE_CHECKING:
    from collections.abc import Callable

    from servelint.case import PoolCase
    from servelint.deployment import Deployment
    from servelint.estimate import Estimate
    from servelint.finding import Finding
    from servelint.run import Report, Session
    from servelint.source.text import SourceText

# (Pool field, letter, what the degree is for) in the mandatory order: structural, operator, request.
DEGREES = (
    ("pipeline", "PP", "pipeline stages: memory, when one GPU group cannot hold the layers"),
    ("expert", "EP", "expert parallelism: spreads the experts of a MoE model"),
    ("tensor", "TP", "tensor parallelism: shares weights, KV cache and the work of one step"),
    ("sequence", "SP", "sequence parallelism: on the TP ranks, less activation memory"),
    ("prefill_context", "CP", "context parallelism: shares a long prompt"),
    ("decode_context", "DCP", "decode context parallelism: on the TP ranks, shares the KV cache of long contexts"),
    ("data", "DP", "data parallelism: more requests at once, no request faster"),
)


class Row(NamedTuple):
    """One aspect of both sides, as text; ``change`` is "" where they are the same."""

    aspect: str
    old: str
    new: str
    change: str


class Check(NamedTuple):
    """A target or principle: ``met`` is True, False, or None where it could not be checked (``shown`` says why)."""

    name: str
    met: bool | None
    shown: str


class Comparison(NamedTuple):
    """Changes per aspect, issues of the old side that the new one no longer has and those it still has, the rationale,
    the verification of every target and principle on the new side, and the impact in GPUs (and money where known)."""

    old_name: str
    new_name: str
    rows: tuple[Row, ...]
    solved: tuple[Finding, ...]
    remaining: tuple[Finding, ...]
    introduced: tuple[Finding, ...]
    rationale: tuple[str, ...]
    targets: tuple[Check, ...]
    principles: tuple[Check, ...]
    old_gpus: int | None
    new_gpus: int | None
    old_usd_per_hour: float | None
    new_usd_per_hour: float | None


class Side(NamedTuple):
    """One side of a comparison."""

    report: Report
    deployment: Deployment
    cases: tuple[PoolCase, ...]


def _side(source: SourceText, session: Session) -> Side:
    report = lint_texts([source], session)
    for error in report.errors:
        raise UsageError(f"{error.path}:{error.line}: {error.message}")
    if not report.deployments:
        raise UsageError(f"{source.path}: there is no LLM deployment in it to compare")
    if len(report.deployments) > 1:
        names = ", ".join(d.name for d in report.deployments)
        raise UsageError(f"{source.path}: holds {len(report.deployments)} deployments ({names}); compare takes one")
    deployment = report.deployments[0]
    # Of several accelerators the first stands for the side; the rows name it.
    return Side(report, deployment, tuple(pool_cases(pool, deployment)[0] for pool in deployment.pools))


def attempt(compute: Callable[[], str]) -> str:
    """The text, or what is missing for it."""
    try:
        return compute()
    except UnknownFact as unknown:
        return f"not known ({unknown.fact}: {unknown.reason})"


def gpus_of(cases: tuple[PoolCase, ...]) -> int | None:
    """GPUs of the whole deployment at its smallest number of replicas; None where a degree or count is unknown."""
    total = 0
    for case in cases:
        try:
            total += case.layout.world_size * case.pool.replicas_min.value
        except UnknownFact:
            return None
    return total


def degrees_text(case: PoolCase) -> str:
    """``TP=2, PP=2, DP=2``: the degrees above 1 (TP always)."""
    parts = []
    usual = {"TP": 0, "PP": 1, "DP": 2, "SP": 3}
    for field, letter, _ in sorted(DEGREES, key=lambda degree: usual.get(degree[1], len(usual))):
        value = getattr(case.pool, field).get(0)
        if value > 1 or field == "tensor":
            parts.append(f"{letter}={value or '?'}")
    return ", ".join(parts)


def _percent_change(old: float, new: float, less: str = "less", more: str = "more") -> str:
    if old == new or not old:
        return ""
    change = (new - old) / old * 100
    return f"{abs(change):.0f} % {more if change > 0 else less}"


def _pool_rows(name: str, old: PoolCase, new: PoolCase) -> list[Row]:
    rows = []
    prefix = f"{name}: " if name else ""

    def add(aspect: str, of: Callable[[PoolCase], str], change: Callable[[], str] = lambda: "") -> None:
        before, after = attempt(lambda: of(old)), attempt(lambda: of(new))
        rows.append(Row(prefix + aspect, before, after, attempt(change) if before != after else ""))

    add("Configuration", degrees_text, lambda: ", ".join(_changed_degrees(old, new)))
    add("GPUs per replica", lambda c: str(c.layout.world_size))
    add("Replicas", _replicas)
    add("Accelerator", lambda c: c.accelerator.name)

    def used(case: PoolCase) -> Estimate:
        return case.memory.used_bytes

    add("Memory needed per GPU", lambda c: gib(used(c)), lambda: _percent_change(used(old).mid, used(new).mid))
    add("Memory utilization", lambda c: f"{used(c).mid / c.memory.device_bytes.mid * 100:.1f} %")
    add("TTFT (one request)", lambda c: f"{c.latency.ttft_seconds.mid:.3f} s")
    add("TPOT", lambda c: f"{c.latency.tpot_seconds.mid * 1000:.1f} ms")
    return rows


def _replicas(case: PoolCase) -> str:
    low, high = case.pool.replicas_min.value, case.pool.replicas_max.get(case.pool.replicas_min.value)
    return str(low) if low == high else f"{low} to {high}"


def _changed_degrees(old: PoolCase, new: PoolCase) -> list[str]:
    changed = []
    for field, letter, _ in DEGREES:
        before, after = getattr(old.pool, field).get(0), getattr(new.pool, field).get(0)
        if before != after:
            changed.append(f"{letter} {before or '?'} → {after or '?'}")
    return changed


def _fits(case: PoolCase) -> str:
    used, device = amount(case.memory.used_bytes.high), amount(case.memory.device_bytes.low)
    return f"All {case.architecture.layers} layers fit: {used} at most of {device} per GPU"


def _rationale(old: PoolCase, new: PoolCase) -> list[str]:
    lines = []
    for field, letter, purpose in DEGREES:
        before, after = getattr(old.pool, field).get(1), getattr(new.pool, field).get(1)
        if before != after:
            line = f"{letter} {before} → {after}: {purpose}."
            if field == "pipeline" and after < before:
                line += f" {attempt(lambda: _fits(new))}; one request no longer passes {before} stages in turn."
            lines.append(line)
        elif after > 1:
            lines.append(f"{letter}={after} stays. It is for {purpose.partition(': ')[2]}.")
    return lines


def _within(name: str, estimate: Callable[[], Estimate], target: float, unit: str, scale: float, most: bool) -> Check:
    try:
        value = estimate()
    except UnknownFact as unknown:
        return Check(name, None, f"{unknown.fact}: {unknown.reason}")
    met = value.mid <= target if most else value.mid >= target
    relation = "at most" if most else "at least"
    shown = (
        f"{value.mid * scale:.4g} {unit} ({value.low * scale:.4g} … {value.high * scale:.4g}), "
        f"{relation} {target * scale:.4g} {unit} wanted"
    )
    return Check(name, met, shown)


def _utilization(case: PoolCase) -> Estimate:
    return case.memory.used_bytes.over(case.memory.device_bytes)


def _target_checks(case: PoolCase) -> list[Check]:
    pool = case.pool
    checks = []
    if pool.target_ttft_seconds.is_known:
        checks.append(_within("TTFT", lambda: case.latency.ttft_seconds, pool.target_ttft_seconds.value, "s", 1, True))
    if pool.target_tpot_seconds.is_known:
        checks.append(_within("TPOT", lambda: case.latency.tpot_seconds, pool.target_tpot_seconds.value, "ms", 1000, True))
    if pool.target_tokens_per_second_per_gpu.is_known:
        target = pool.target_tokens_per_second_per_gpu.value
        try:
            bound = case.throughput.best
            reading = next(iter(case.throughput.bounds))
            met = None if reading.tokens_per_second_per_gpu >= target else False
            bounded = f"{reading.tokens_per_second_per_gpu:,.0f} ({reading.label})"
            text = f"{target:,.0f} tokens/s per GPU wanted; the hardware's bound is {bounded}"
            if bound != reading.tokens_per_second_per_gpu:
                text += f", {bound:,.0f} in the most favourable reading of the model"
                met = None if bound >= target else False
            checks.append(Check("Throughput per GPU", met, text))
        except UnknownFact as unknown:
            checks.append(Check("Throughput per GPU", None, f"{unknown.fact}: {unknown.reason}"))
    for fact, name, most in (
        (pool.target_memory_utilization_min, "Memory utilization, least", False),
        (pool.target_memory_utilization_max, "Memory utilization, most", True),
    ):
        if fact.is_known:
            checks.append(_within(name, lambda: _utilization(case), fact.value, "%", 100, most))
    try:
        heads, tensor = case.architecture.attention_heads, case.layout.tensor
        checks.append(Check("Heads divide by TP", heads % tensor == 0, f"{heads} heads, TP={tensor}"))
    except UnknownFact as unknown:
        checks.append(Check("Heads divide by TP", None, f"{unknown.fact}: {unknown.reason}"))
    return checks


def _kv_shown(case: PoolCase) -> str:
    return f"{case.memory.kv_bytes_per_token / 1024:.1f} KiB per token and GPU"


def _phases_shown(case: PoolCase) -> str:
    return f"TTFT {case.latency.ttft_seconds.mid:.3f} s, TPOT {case.latency.tpot_seconds.mid * 1000:.1f} ms"


def _law_shown(case: PoolCase) -> str:
    layout = case.layout
    return f"{layout.world_size} GPUs per replica by the engine's law; the product of all degrees is {layout.naive_product}"


# Principle, the rules that show it broken, and what shows it followed: a section of a plan, or figures.
PRINCIPLES: tuple[tuple[str, tuple[str, ...], str | Callable[[PoolCase], str]], ...] = (
    ("Mandatory reasoning order", ("PLN904",), "reasoning"),
    ("Critical-path analysis", ("PLN913", "PLN914"), "critical_path"),
    ("KV cache accounted for", ("PLN906", "PLN907"), _kv_shown),
    ("Prefill and decode separated", ("PLN912",), _phases_shown),
    ("No naive multiplication of degrees", ("PAR219", "PLN903"), _law_shown),
)


def _principle_checks(side: Side) -> list[Check]:
    broken = {finding.code for finding in side.report.findings}
    checks = []
    for name, codes, shown in PRINCIPLES:
        hit = [code for code in codes if code in broken]
        if hit:
            checks.append(Check(name, False, ", ".join(hit)))
        elif callable(shown):
            checks.append(_shown(name, side, shown))
        elif side.deployment.plan is None or side.deployment.document.get(shown) is None:
            checks.append(Check(name, None, f"no `{shown}` is stated"))
        else:
            checks.append(Check(name, True, f"`{shown}` is stated and no rule objects"))
    return checks


def _shown(name: str, side: Side, show: Callable[[PoolCase], str]) -> Check:
    try:
        return Check(name, True, show(side.cases[0]))
    except UnknownFact as unknown:
        return Check(name, None, f"{unknown.fact}: {unknown.reason}")


def _key(finding: Finding) -> tuple[str, str]:
    """A finding across two files of other names: its rule and its place in the document."""
    return finding.code, finding.identity.split("|")[4]


def compare_texts(old: SourceText, new: SourceText, session: Session) -> Comparison:
    """Compares the one deployment of each text. Raises :class:`UsageError` where a text does not hold exactly one."""
    before, after = _side(old, session), _side(new, session)
    rows: list[Row] = []
    old_gpus, new_gpus = gpus_of(before.cases), gpus_of(after.cases)
    if old_gpus is not None and new_gpus is not None:
        rows.append(Row("Total GPUs", str(old_gpus), str(new_gpus), _percent_change(old_gpus, new_gpus, "fewer")))
    rationale: list[str] = []
    olds = {case.pool.name if len(before.cases) > 1 else "": case for case in before.cases}
    news = {case.pool.name if len(after.cases) > 1 else "": case for case in after.cases}
    for name, case in news.items():
        if name in olds:
            rows += _pool_rows(name, olds[name], case)
            rationale += [f"{name}: {line}" if name else line for line in _rationale(olds[name], case)]
        else:
            rows.append(Row(f"Pool {name}", "-", degrees_text(case), "added"))
    rows += [Row(f"Pool {name}", degrees_text(case), "-", "removed") for name, case in olds.items() if name not in news]
    had, has = {_key(f) for f in before.report.findings}, {_key(f) for f in after.report.findings}
    targets = [check for case in after.cases for check in _target_checks(case)]
    names = [before.deployment.name, after.deployment.name]
    if names[0] == names[1] and old.path != new.path:  # one name on both sides says nothing
        names = [f"{name} ({source.path})" for name, source in zip(names, (old, new), strict=True)]
    return Comparison(
        names[0],
        names[1],
        tuple(rows),
        tuple(f for f in before.report.findings if _key(f) not in has),
        tuple(f for f in after.report.findings if _key(f) in had),
        tuple(f for f in after.report.findings if _key(f) not in had),
        tuple(rationale),
        tuple(targets),
        tuple(_principle_checks(after)),
        old_gpus,
        new_gpus,
        _cost(before, old_gpus),
        _cost(after, new_gpus),
    )


def _cost(side: Side, gpus: int | None) -> float | None:
    """USD per hour on demand, where every pool names one instance type with a known price; whole GPUs of it are counted."""
    if gpus is None or any(case.pool.accelerator.state is not FactState.KNOWN for case in side.cases):
        return None
    from servelint.catalogue import instances

    total = 0.0
    for case in side.cases:
        origin = case.pool.accelerator.origin
        instance = instances.find(origin.text) if origin is not None else None
        if instance is None or instance.usd_per_hour is None or not instance.count:
            return None
        total += instance.usd_per_hour / instance.count * case.layout.world_size * case.pool.replicas_min.value
    return total
