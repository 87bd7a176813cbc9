"""Judge: runs the rules over the cases of a deployment and makes findings of their verdicts.

A rule that reads an unknown fact is stopped by :class:`UnknownFact` and recorded as not checked. A pool whose accelerator
is one of several is judged under each; of verdicts that say the same, the worst is kept and names its alternative.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.case import ContainerCase, DeploymentCase, GroupCase, PlanCase, PoolCase
from servelint.errors import RuleError, UsageError
from servelint.facts import FactState, UnknownFact
from servelint.finding import Finding, NotChecked, Severity, Verdict
from servelint.records import NamedTuple
from servelint.rulebook import Rule, Scope

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from servelint.case import WorkspaceCase
    from servelint.config import Config
    from servelint.deployment import Deployment, Pool
    from servelint.formats.role_groups import RoleGroup
    from servelint.source.nodes import Document
    from servelint.source.text import Span


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


class _Subject(NamedTuple):
    """What a rule of one scope is called on: the cases of one container, pool or deployment (several for several GPU types)."""

    pool: str
    engine: str
    cases: list[Any]


def _applies(rule: Rule, format_name: str, engine: str) -> bool:
    return (not rule.formats or format_name in rule.formats) and (not rule.engines or engine in rule.engines)


def _subjects(
    scope: Scope, deployment: Deployment, cases: dict[str, list[PoolCase]], knowledge: Mapping[str, Any] | None
) -> list[_Subject]:
    """One for each container, pool or deployment."""
    pools = deployment.pools
    if scope is Scope.POOL:
        return [_Subject(pool.name, pool.engine.get(""), cases[pool.name]) for pool in pools]
    if scope is Scope.CONTAINER:
        return [
            _Subject(pool.name, pool.engine.get(""), [ContainerCase(container, pool, deployment)])
            for pool in pools
            for container in pool.containers
            if container.command is not None
        ]
    first = tuple(cases[pool.name][0] for pool in pools)
    engine = pools[0].engine.get("") if pools else ""
    if scope is Scope.DEPLOYMENT:
        return [_Subject("", engine, [DeploymentCase(deployment, first)])]
    if scope is Scope.PLAN and deployment.plan is not None:
        return [_Subject("", engine, [PlanCase(deployment, first, knowledge)])]
    return []


def _worst(verdicts: list[tuple[Verdict, str]], cases: frozenset[str] = frozenset(("",))) -> list[Verdict]:
    """One verdict per place and key; where the case made the difference, the label says which case.

    ``cases``: the names of all cases, those included of which nothing was said.
    """
    groups: dict[tuple[Any, str], list[tuple[Verdict, str]]] = {}
    for verdict, name in verdicts:
        groups.setdefault((verdict.place, verdict.key), []).append((verdict, name))
    kept = []
    for group in groups.values():
        verdict, name = max(group, key=lambda item: item[0].severity or Severity.INFO)
        alike = len({each.label for each, _ in group}) == 1 and cases <= {each for _, each in group}
        if name and not alike:
            verdict = verdict._replace(label=f"{verdict.label} (on {name}, one of the GPU types allowed here)")
        kept.append(verdict)
    return kept


class _Missing:
    """Rules that an unknown fact stopped, by the fact."""

    def __init__(self) -> None:
        self._codes: dict[tuple[str, str, str], list[str]] = {}

    def add(self, unknown: UnknownFact, rule: Rule) -> None:
        codes = self._codes.setdefault((unknown.fact, unknown.reason, unknown.remedy), [])
        if rule.code not in codes:
            codes.append(rule.code)

    def not_checked(self, path: str, deployment: str) -> list[NotChecked]:
        found = self._codes.items()
        return [NotChecked(path, deployment, tuple(codes), fact, reason, remedy) for (fact, reason, remedy), codes in found]


def _verdicts(rule: Rule, case: Any, subject: str, missing: _Missing) -> list[Verdict]:
    """What the rule says of one case, up to where an unknown fact stops it."""
    found: list[Verdict] = []
    verdict: Any  # an organization's rule may yield anything
    try:
        for verdict in rule.check(case):  # what was said before an unknown fact stays said
            if not isinstance(verdict, Verdict) or verdict.place is None:
                raise TypeError(f"a rule yields Verdicts with a place, not {verdict!r:.60}")  # noqa: TRY301 - named below
            found.append(verdict)
    except UnknownFact as unknown:
        missing.add(unknown, rule)
    except UsageError:
        raise  # what is wrong with the configuration, seen by a rule: no fault of the rule
    except Exception as error:
        # An organization's rule may raise anything; without its name nobody could tell whose it is.
        sentence = f"rule {rule.code} ({rule.origin}) failed on {subject}: {type(error).__name__}: {error}"
        raise RuleError(sentence) from error
    return found


def judge(deployment: Deployment, rules: Iterable[Rule], knowledge: Mapping[str, Any] | None = None) -> Judgement:
    """Every verdict of ``rules`` on ``deployment``, and what could not be evaluated. ``knowledge``: see :class:`PlanCase`."""
    cases = {pool.name: pool_cases(pool, deployment) for pool in deployment.pools}
    subjects: dict[Scope, list[_Subject]] = {}
    said: list[Said] = []
    missing = _Missing()
    name, format_name = deployment.name, deployment.format
    for rule in rules:
        if rule.formats and format_name not in rule.formats:
            continue
        scope, engines = rule.scope, rule.engines
        if scope not in subjects:
            subjects[scope] = _subjects(scope, deployment, cases, knowledge)
        for subject in subjects[scope]:
            if engines and subject.engine not in engines:
                continue
            if len(subject.cases) == 1:
                verdicts = _verdicts(rule, subject.cases[0], name, missing)
                if len(verdicts) > 1:
                    verdicts = _worst([(verdict, "") for verdict in verdicts])
            else:
                found = [(verdict, case.accelerator.name) for case in subject.cases
                         for verdict in _verdicts(rule, case, name, missing)]  # fmt: skip
                verdicts = _worst(found, frozenset(case.accelerator.name for case in subject.cases)) if found else []
            if verdicts:
                said += [Said(rule, verdict, name, subject.pool) for verdict in verdicts]
    return Judgement(said, missing.not_checked(deployment.document.source.path, name))


TOGETHER = frozenset((Scope.GROUP, Scope.WORKSPACE))
"""The scopes that are judged once all files are read."""


def group_case(group: RoleGroup) -> GroupCase:
    return GroupCase(group, tuple(pool_cases(pool, deployment)[0] for deployment, pool in group.members))


def judge_group(group: GroupCase, rules: Iterable[Rule]) -> Judgement:
    """Every verdict of ``rules`` on pools that belong together, and what could not be evaluated."""
    said: list[Said] = []
    missing = _Missing()
    members = [case.deployment for case in group.pools]
    names = _names_by_document(members)
    for rule in rules:
        if any(_applies(rule, case.deployment.format, case.pool.engine.get("")) for case in group.pools):
            verdicts = _verdicts(rule, group, group.name, missing)
            said += [Said(rule, verdict, names.get(verdict.place.document) or group.name, "") for verdict in verdicts]
    return Judgement(said, missing.not_checked(members[0].document.source.path, group.name))


def judge_workspace(workspace: WorkspaceCase, rules: Iterable[Rule]) -> Judgement:
    """Every verdict of ``rules`` on the whole of a run, and what could not be evaluated."""
    said: list[Said] = []
    missing = _Missing()
    names = _names_by_document(workspace.deployments)
    for rule in rules:
        verdicts = _verdicts(rule, workspace, "the files of the run", missing)
        said += [Said(rule, verdict, names.get(verdict.place.document, ""), "") for verdict in verdicts]
    return Judgement(said, missing.not_checked(workspace.deployments[0].document.source.path, ""))


def _names_by_document(deployments: Iterable[Deployment]) -> dict[Document, str]:
    """The name of the deployment of each document; "" where several share it."""
    names: dict[Document, str] = {}
    for each in deployments:
        known = names.setdefault(each.document, each.name)
        names[each.document] = each.name if known == each.name else ""
    return names


def _pointer_identity(pointer: str) -> str:
    """The pointer without list indices, which move when a list is edited."""
    return "/".join("*" if step.isdigit() else step for step in pointer.split("/"))


def findings(said: Iterable[Said], config: Config) -> list[Finding]:
    """Findings with their effective severity and identity, in the order said.

    What is said alike of one place for several pools (which share a template there) is one finding.
    """
    seen: dict[str, int] = {}
    alike: set[tuple[str, str, Span, str]] = set()
    made = []
    for rule, verdict, deployment, pool in said:
        certainty = verdict.certainty or rule.certainty
        severity = min(verdict.severity or rule.severity, certainty.worst_severity)
        severity = config.severity_of(rule.code, severity)
        same = (rule.code, verdict.place.document.source.path, verdict.place.span, verdict.label)
        if same in alike or not config.reports(severity, certainty):
            continue
        alike.add(same)
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
