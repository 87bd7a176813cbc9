"""Findings, fixes and edits: what the linter says, and what it would change."""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import TYPE_CHECKING

from servelint.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from servelint.facts import Place


class Severity(IntEnum):
    """Ordered: a larger one is worse."""

    INFO = 1
    WARNING = 2
    ERROR = 3

    @property
    def label(self) -> str:
        return self.name.lower()


class Certainty(Enum):
    """How a rule knows. It caps the severity: heuristic at warning, advice at info."""

    PROVEN = "proven"
    ESTIMATED = "estimated"
    HEURISTIC = "heuristic"
    ADVICE = "advice"

    @property
    def worst_severity(self) -> Severity:
        if self is Certainty.ADVICE:
            return Severity.INFO
        return Severity.WARNING if self is Certainty.HEURISTIC else Severity.ERROR


class Edit(NamedTuple):
    """Replace ``[start, end)`` (code points of the text without BOM) of the file ``path`` by ``text``."""

    path: str
    start: int
    end: int
    text: str


class Proposal:
    """A change a rule proposes; it becomes a :class:`Fix` once linting the result has verified it.

    ``edits`` of ``None`` is advice in words: no text edit could be proven right. Edits that take work are given as a function,
    called when they are first asked for: most lints, those that verify a fix among them, ask for none.
    """

    __slots__ = ("_edits", "safe", "title")

    def __init__(self, title: str, safe: bool, edits: tuple[Edit, ...] | Callable[[], tuple[Edit, ...] | None] | None) -> None:
        self.title = title
        self.safe = safe
        self._edits = edits

    @property
    def edits(self) -> tuple[Edit, ...] | None:
        if callable(self._edits):
            self._edits = self._edits()
        return self._edits


class Fix(NamedTuple):
    """A verified change. ``safe``: what is served and its limits stay as they are."""

    title: str
    safe: bool
    edits: tuple[Edit, ...]


class Related(NamedTuple):
    place: Place
    label: str


class Verdict(NamedTuple):
    """What a rule function says of its subject; the runner makes a :class:`Finding` of it.

    ``label`` is specific to the place ("one sequence needs 20.0 GiB …"). ``key`` tells apart several verdicts of one
    rule on one place and must not hold figures that change with every edit: it is part of the fingerprint.
    ``severity`` and ``certainty`` lower (or settle) the rule's own.
    """

    place: Place
    label: str
    arithmetic: tuple[str, ...] = ()
    help: tuple[str, ...] = ()
    related: tuple[Related, ...] = ()
    proposals: tuple[Proposal, ...] = ()
    severity: Severity | None = None
    certainty: Certainty | None = None
    key: str = ""


class Finding(NamedTuple):
    """A verdict with the identity of its rule and of its subject. ``message`` is the rule's title, ``label`` the case."""

    code: str
    name: str
    severity: Severity
    certainty: Certainty
    message: str
    label: str
    place: Place
    pointer: str
    deployment: str = ""
    pool: str = ""
    arithmetic: tuple[str, ...] = ()
    help: tuple[str, ...] = ()
    related: tuple[Related, ...] = ()
    proposals: tuple[Proposal, ...] = ()
    fixes: tuple[Fix, ...] = ()
    identity: str = ""

    @property
    def path(self) -> str:
        return self.place.document.source.path

    @property
    def fingerprint(self) -> str:
        """A short stable hash of ``identity``: rule, subject and pointer without list indices; no figures, no lines."""
        from hashlib import sha256  # lazy: costs 2 ms and only machine formats need it

        return sha256(self.identity.encode()).hexdigest()[:20]


class NotChecked(NamedTuple):
    """Rules that could not be evaluated on one deployment because one fact is unknown."""

    path: str
    deployment: str
    codes: tuple[str, ...]
    fact: str
    reason: str
    remedy: str


class ReadError(NamedTuple):
    """A file that could not be read; line and column are 1-based, 0 where the whole file is meant."""

    path: str
    line: int
    column: int
    message: str
