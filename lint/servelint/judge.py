"""Judge: runs the rules over the cases of a deployment and makes findings of their verdicts.

A rule that reads an unknown fact is stopped by :class:`UnknownFact` and recorded as not checked. A pool whose accelerator
is one of several is judged under each; of verdicts that say the same, the worst is kept and names its alternative.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.case import ContainerCase, DeploymentCase, PlanCase, PoolCase
from servelint.errors import RuleError
from servelint.facts import FactState, UnknownFact
from servelint.finding import Finding, NotChecked, Severity, Verdict
from servelint.records import NamedTuple
from servelint.rulebook import Rule, Scope

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from servelint.config import Config
    from servelint.deployment import Deployment, Pool


class Said(NamedTuple):
    """One verdict with what it is about."""

    rule: Rule
    verdict: Verdict
    deployment: str
    pool: str


class Judgement(NamedTuple):
    said: list[Said]
    not_checked: list[NotChecked]


def pool_cases(pool: Pool, deployment: Deployment) -> list[PoolCase]:
    """A case for each accelerator the pool may run on."""
    fact = pool.accelerator
    if fact.state is FactState.ALTERNATIVES:
        return [PoolCase(pool, deployment, accelerator) for accelerator in fact.values]
    return [PoolCase(pool, deployment, None)]


def scopes_of(deployment: Deployment) -> frozenset[Scope]:
    """The scopes for which this deployment has a subject."""
    scopes = {Scope.DEPLOYMENT, Scope.POOL}
    if any(c.command is not None for p in deployment.pools for c in p.containers):
        scopes.add(Scope.CONTAINER)
    if deployment.plan is not None:
        scopes.add(Scope.PLAN)
    return frozenset(scopes)


def _applies(rule: Rule, deployment: Deployment, pool: Pool | None) -> bool:
    if rule.formats and deployment.format not in rule.formats:
        return False
    engine = pool.engine.get("") if pool is not None else ""
    return not rule.engines or engine in rule.engines


def _subjects(rule: Rule, deployment: Deployment, cases: dict[str, list[PoolCase]]) -> Iterator[tuple[str, list[Any]]]:
    """(pool name, the cases of one subject): one per container, pool or deployment that the rule applies to."""
    if rule.scope in (Scope.POOL, Scope.CONTAINER):
        for pool in deployment.pools:
            if not _applies(rule, deployment, pool):
                continue
            if rule.scope is Scope.POOL:
                yield pool.name, cases[pool.name]
            else:
                for container in pool.containers:
                    if container.command is not None:
                        yield pool.name, [ContainerCase(container, pool, deployment)]
        return
    if not _applies(rule, deployment, deployment.pools[0] if deployment.pools else None):
        return
    first = tuple(cases[pool.name][0] for pool in deployment.pools)
    if rule.scope is Scope.DEPLOYMENT:
        yield "", [DeploymentCase(deployment, first)]
    elif rule.scope is Scope.PLAN and deployment.plan is not None:
        yield "", [PlanCase(deployment, first)]


def _worst(verdicts: list[tuple[Verdict, str]]) -> list[Verdict]:
    """One verdict per place and key; where the case made the difference, the label says which case."""
    groups: dict[tuple[Any, str], list[tuple[Verdict, str]]] = {}
    for verdict, name in verdicts:
        groups.setdefault((verdict.place, verdict.key), []).append((verdict, name))
    kept = []
    for group in groups.values():
        verdict, name = max(group, key=lambda item: item[0].severity or Severity.INFO)
        if name:
            verdict = verdict._replace(label=f"{verdict.label} (on {name}, one of the GPU types allowed here)")
        kept.append(verdict)
    return kept


def judge(deployment: Deployment, rules: Iterable[Rule]) -> Judgement:
    """Every verdict of ``rules`` on ``deployment``, and what could not be evaluated."""
    cases = {pool.name: pool_cases(pool, deployment) for pool in deployment.pools}
    said: list[Said] = []
    missing: dict[tuple[str, str, str], list[str]] = {}
    for rule in rules:
        for pool_name, subjects in _subjects(rule, deployment, cases):
            verdicts: list[tuple[Verdict, str]] = []
            for case in subjects:
                name = case.accelerator.name if len(subjects) > 1 else ""
                try:
                    verdicts += [(verdict, name) for verdict in rule.check(case)]
                except UnknownFact as unknown:
                    codes = missing.setdefault((unknown.fact, unknown.reason, unknown.remedy), [])
                    if rule.code not in codes:
                        codes.append(rule.code)
                except Exception as error:
                    # An organization's rule may raise anything; without its name nobody could tell whose it is.
                    sentence = f"rule {rule.code} ({rule.origin}) failed on {deployment.name}: {type(error).__name__}: {error}"
                    raise RuleError(sentence) from error
            said += [Said(rule, verdict, deployment.name, pool_name) for verdict in _worst(verdicts)]
    path = deployment.document.source.path
    unevaluated = [
        NotChecked(path, deployment.name, tuple(codes), fact, reason, remedy) for (fact, reason, remedy), codes in missing.items()
    ]
    return Judgement(said, unevaluated)


def _pointer_identity(pointer: str) -> str:
    """The pointer without list indices, which move when a list is edited."""
    return "/".join("*" if step.isdigit() else step for step in pointer.split("/"))


def findings(said: Iterable[Said], config: Config) -> list[Finding]:
    """Findings with their effective severity and identity, in the order said."""
    seen: dict[str, int] = {}
    made = []
    for rule, verdict, deployment, pool in said:
        certainty = verdict.certainty or rule.certainty
        severity = min(verdict.severity or rule.severity, certainty.worst_severity)
        severity = config.severity_of(rule.code, severity)
        if not config.reports(severity, certainty):
            continue
        pointer = verdict.place.document.pointer(verdict.place.span)
        identity = "|".join(
            (
                rule.code,
                verdict.place.document.source.path,
                deployment,
                pool,
                _pointer_identity(pointer),
                verdict.key,
                str(verdict.place.document.index or ""),
            )
        )
        count = seen[identity] = seen.get(identity, 0) + 1
        made.append(
            Finding(
                code=rule.code,
                name=rule.name,
                severity=severity,
                certainty=certainty,
                message=rule.title,
                label=verdict.label,
                place=verdict.place,
                pointer=pointer,
                deployment=deployment,
                pool=pool,
                arithmetic=verdict.arithmetic,
                help=verdict.help,
                related=verdict.related,
                proposals=verdict.proposals,
                identity=identity if count == 1 else f"{identity}|{count}",
            )
        )
    return made
