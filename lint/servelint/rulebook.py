"""Rules: a function with metadata. Its docstring is its documentation page."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

from servelint.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from servelint.finding import Certainty, Severity, Verdict

    RuleFunction = Callable[[Any], Iterable[Verdict]]


class Scope(Enum):
    """What one call of a rule is given.

    CONTAINER: a :class:`servelint.deployment.Container` with a recognised engine process, in a :class:`ContainerCase`.
    POOL: a :class:`servelint.case.PoolCase`. DEPLOYMENT: a :class:`servelint.case.DeploymentCase`.
    PLAN: a :class:`servelint.case.PlanCase`, for native plans. GROUP: a :class:`servelint.case.GroupCase`, the pools that
    serve one model together, of all files of a run. WORKSPACE: a :class:`servelint.case.WorkspaceCase`, everything of a run,
    once. DOCUMENT rules are said by the reader and the schemas and have no function to run.
    """

    DOCUMENT = "document"
    CONTAINER = "container"
    POOL = "pool"
    DEPLOYMENT = "deployment"
    PLAN = "plan"
    GROUP = "group"
    WORKSPACE = "workspace"

    __hash__ = object.__hash__  # a run looks a rule's scope up some hundred thousand times, and Enum's own is slow


class Status(Enum):
    STABLE = "stable"
    PREVIEW = "preview"
    DEPRECATED = "deprecated"


class Rule(NamedTuple):
    code: str
    name: str
    title: str
    severity: Severity
    certainty: Certainty
    scope: Scope
    check: RuleFunction
    since: str
    status: Status = Status.STABLE
    engines: frozenset[str] = frozenset()
    formats: frozenset[str] = frozenset()
    fixable: bool = False
    aliases: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    origin: str = ""
    advice: bool = False

    @property
    def documentation(self) -> str:
        from inspect import cleandoc

        return cleandoc(self.check.__doc__ or "")


class Theme(NamedTuple):
    """A module of rules, imported only when a run has a subject of one of its scopes in a file that contains, in any
    case, one of ``words`` (none: any file). A rule that can speak without its words would stay silent: choose them so that
    it cannot. ``advice``: all of its rules are advice, and it is imported only where that is asked for."""

    module: str
    scopes: frozenset[Scope]
    codes: tuple[str, ...]
    words: tuple[str, ...] = ()
    advice: bool = False

    def concerns(self, found: frozenset[str]) -> bool:
        """Whether a file in which these words were found may raise one of the codes."""
        return not self.words or not found.isdisjoint(self.words)


def rule(
    code: str,
    name: str,
    title: str,
    *,
    severity: Severity,
    certainty: Certainty,
    scope: Scope,
    since: str,
    status: Status = Status.STABLE,
    engines: Iterable[str] = (),
    formats: Iterable[str] = (),
    fixable: bool = False,
    aliases: tuple[str, ...] = (),
    inputs: tuple[str, ...] = (),
    advice: bool = False,
) -> Callable[[RuleFunction], Rule]:
    """Make a rule of a generator of verdicts.

    ``engines`` and ``formats`` restrict where it applies (empty: everywhere). ``inputs`` name what it needs beyond the
    manifest, for the documentation: "model", "accelerator", "image tag", "targets". ``advice``: worth knowing, but no
    fault; said under the profile ``strict`` and where the configuration selects the rule. Raises :class:`ValueError` for a
    code that no configuration could name.
    """
    if not (code.isalnum() and code.isupper()):
        raise ValueError(f"{code!r} is no code of a rule: upper-case letters and digits, such as ORG001")

    def make(check: RuleFunction) -> Rule:
        return Rule(
            code, name, title, min(severity, certainty.worst_severity), certainty, scope, check, since, status,
            frozenset(engines), frozenset(formats), fixable, aliases, inputs, check.__module__, advice,
        )  # fmt: skip

    return make
