"""One option of an engine over its releases: when it exists, what it takes, and what its values are.

It is made of a line of a table, whose form ``servelint.engines.flags`` describes.

The releases were scanned one patch release per minor version. What holds in a release between two scanned ones is known
only where both agree; otherwise both readings apply. Beyond the newest scanned release the presence of a flag is never
certain (but its post releases have what it has), while kinds, arities and defaults are taken from the newest one (and said
to be).
"""

from __future__ import annotations

from enum import Enum
from functools import cache

from servelint.engines.versions import Version, around, mends_newest
from servelint.records import NamedTuple


class Presence(Enum):
    PRESENT = "present"
    ABSENT = "absent"
    UNCERTAIN = "uncertain"


class Interval(NamedTuple):
    """``[start, end)`` of releases; None is open."""

    start: Version | None
    end: Version | None

    def __contains__(self, version: object) -> bool:
        if not isinstance(version, Version):
            return False
        return (self.start is None or version >= self.start) and (self.end is None or version < self.end)


def _intervals(text: str) -> tuple[Interval, ...]:
    found = []
    for part in text.split():
        start, _, end = part.partition("..")
        found.append(Interval(Version.of(start) if start else None, Version.of(end) if end else None))
    return tuple(found)


_ALWAYS = (Interval(None, None),)


class Spelling(NamedTuple):
    """One way to write a flag. ``negative``: it switches off. ``accepted``: releases, within those of the flag."""

    text: str
    negative: bool
    accepted: tuple[Interval, ...]


class Flag:
    """One option of an engine. ``name`` is its canonical spelling; two flags of one table are equal if they are the same."""

    __slots__ = (
        "_constraints", "_ever", "_fields", "_intervals", "_presences", "_scanned", "_values_of", "name", "spellings",
    )  # fmt: skip

    def __init__(self, line: str, scanned: tuple[Version, ...]) -> None:
        fields = line.split("\t")
        self._fields = fields + [""] * (9 - len(fields))
        self._scanned = scanned
        self._intervals: tuple[Interval, ...] | None = None
        # What was asked before: by field, by field and version, by version and spelling.
        self._ever: dict[int, tuple[str, ...]] = {}
        self._values_of: dict[tuple[int, Version | None], tuple[str, ...]] = {}
        self._presences: dict[tuple[Version, str], Presence] = {}
        self._constraints: dict[str, float] | None = None
        spellings = []
        for part in self._fields[0].split(","):
            text, at, span = part.partition("@")
            spellings.append(Spelling(text.removeprefix("!"), text[0] == "!", _intervals(span) if at else _ALWAYS))
        self.spellings = tuple(spellings)
        self.name = spellings[0].text

    def __repr__(self) -> str:
        return f"<Flag {self.name}>"

    @property
    def aliases(self) -> tuple[str, ...]:
        """The other spellings, negative ones included."""
        return tuple(s.text for s in self.spellings[1:])

    def negates(self, written: str) -> bool:
        """True if ``written`` (a spelling, or the beginning of one) switches the flag off (``--no-…``)."""
        spellings = self._meant(written)
        return bool(spellings) and all(s.negative for s in spellings)

    def _meant(self, written: str) -> list[Spelling]:
        """The spellings that ``written`` may be: the one it is, else those it begins."""
        name = written.partition("=")[0]
        name = name.replace("_", "-") if name.startswith("--") else name
        exact = [s for s in self.spellings if s.text in {name, written}]
        return exact or [s for s in self.spellings if s.text.startswith(name)]

    @property
    def negative_spelling(self) -> str | None:
        """The spelling that switches it off, None if there is none."""
        return next((s.text for s in self.spellings if s.negative), None)

    # -- what it takes

    def kinds_at(self, version: Version | None) -> tuple[str, ...]:
        """``bool``, ``int``, ``size`` (an integer, or human-readable: 32k, 1M), ``float``, ``text`` or ``json``.

        Several in a gap between scanned releases where it changed; the newest release's where the version is unknown.
        """
        return self._values(1, version or self._newest)

    def kind_at(self, version: Version | None) -> str:
        """The kind; the newer one in a gap."""
        return self.kinds_at(version)[-1]

    def kinds_ever(self) -> tuple[str, ...]:
        """Every kind it had, oldest first."""
        return self._all_values(1)

    def arity_at(self, version: Version | None) -> str:
        """How many values follow: ``0``, ``1``, ``?`` (none or one), ``+`` (one or more); the newer answer in a gap."""
        return self._values(2, version or self._newest)[-1]

    def is_switch_at(self, version: Version | None) -> bool:
        """It takes no value in any release that ``version`` may be (all releases scanned where it is unknown)."""
        values = self._all_values(2) if version is None else self._values(2, version)
        return values == ("0",)

    # -- when it exists

    @property
    def intervals(self) -> tuple[Interval, ...]:
        """The releases that have it, as half-open intervals of scanned releases."""
        if self._intervals is None:
            self._intervals = _intervals(self._fields[3])
        return self._intervals

    def presence(self, version: Version, written: str = "") -> Presence:
        """Whether ``version`` accepts the flag (in the spelling ``written``, if given)."""
        found = self._presences.get((version, written))
        if found is None:
            found = self._presences[version, written] = self._presence_in(version, written)
        return found

    def _presence_in(self, version: Version, written: str) -> Presence:
        if mends_newest(self._scanned, version):
            return Presence.PRESENT if self.in_newest(written) else Presence.UNCERTAIN
        states = {self._accepted(release, written) for release in around(self._scanned, version)}
        if len(states) != 1:
            return Presence.UNCERTAIN
        return Presence.PRESENT if states.pop() else Presence.ABSENT

    def in_newest(self, written: str = "") -> bool:
        """Whether the newest release scanned accepts it."""
        return self._newest is None or self._accepted(self._newest, written)

    def removed_before(self, version: Version) -> bool:
        """``version`` surely lacks it, and an older scanned release had it."""
        return self.presence(version) is Presence.ABSENT and any(
            self._accepted(release, "") for release in self._scanned if release < version
        )

    def removal(self, version: Version | None = None) -> tuple[Version, Version] | None:
        """(last scanned release with it, first without it) of its latest removal up to ``version``; None if there is none."""
        for interval in reversed(self.intervals):
            end = interval.end
            if end is None or end not in self._scanned or interval.start == end:
                continue
            if version is None or end <= version:
                return self._scanned[self._scanned.index(end) - 1], end
        return None

    @property
    def was_removed(self) -> bool:
        """Some release went without it after others had it."""
        return any(interval.end is not None for interval in self.intervals)

    @property
    def introduced(self) -> Version | None:
        """The first scanned release that has it; None if that is the oldest one scanned."""
        return self.intervals[0].start if self.intervals else None

    def first_with(self, written: str, version: Version) -> Version | None:
        """The first scanned release that accepts ``written``, where ``version`` surely does not and no earlier one did."""
        if self.presence(version, written) is not Presence.ABSENT:
            return None
        first = next((release for release in self._scanned if self._accepted(release, written)), None)
        return first if first is not None and first > version else None

    @property
    def deprecated_since(self) -> Version | None:
        return Version.of(self._fields[7]) if self._fields[7] else None

    def without_history(self) -> Flag:
        """The flag as the newest release has it, in a program whose releases are not known: whether one has it is uncertain."""
        fields = list(self._fields)
        fields[0] = ",".join(part.partition("@")[0] for part in fields[0].split(","))
        for field in (1, 2, 4, 5):
            newest = fields[field].rpartition("|")[2]
            fields[field] = newest.partition(":")[2] if newest[:1] == "@" else newest
        fields[3], fields[7] = "..", ""
        return Flag("\t".join(fields), ())

    # -- its values

    def defaults_at(self, version: Version | None) -> tuple[str, ...]:
        """The defaults that may hold: one, or several in a gap; every one of the history where the version is unknown.

        As text; ``None`` for Python's None, ``?`` for one the source computes.
        """
        return self._all_values(4) if version is None else self._values(4, version)

    def default_at(self, version: Version | None) -> str | None:
        """The default as text; None where it is computed, or several may hold."""
        values = self.defaults_at(version)
        return values[0] if len(values) == 1 and values[0] != "?" else None

    @property
    def has_choices(self) -> bool:
        """Some release has a list of the values it accepts."""
        return bool(self._fields[5])

    def choices_at(self, version: Version | None) -> tuple[str, ...] | None:
        """The values it accepts in ``version`` (the newest release where unknown); None where any text goes or it is unknown."""
        return None if self._is_open(version) else _choices(self._values(5, version or self._newest))

    def choices_ever(self) -> tuple[str, ...] | None:
        """The values that any release accepts; None where any text goes, or it is unknown, in one of them."""
        return None if self._fields[6] else _choices(self._all_values(5))

    def _is_open(self, version: Version | None) -> bool:
        """Values beside the choices may be accepted in ``version``."""
        mark = self._fields[6]
        if not mark or mark == "open" or version is None:
            return bool(mark)
        since = Version.of(mark)
        return any(release >= since for release in around(self._scanned, version) or (version,))

    @property
    def constraints(self) -> dict[str, float]:
        """Bounds of a number by comparison: ``{"ge": 1.0}``."""
        if self._constraints is None:
            pairs = (part.split("=") for part in self._fields[8].split())
            self._constraints = {name: float(value) for name, value in pairs}
        return self._constraints

    @property
    def _newest(self) -> Version | None:
        return self._scanned[-1] if self._scanned else None

    def _accepted(self, release: Version, written: str) -> bool:
        if not any(release in interval for interval in self.intervals):
            return False
        if not written:
            return True
        return any(release in interval for spelling in self._meant(written) for interval in spelling.accepted)

    def _all_values(self, field: int) -> tuple[str, ...]:
        found = self._ever.get(field)
        if found is None:
            values = [part.split(":", 1)[1] if part[:1] == "@" else part for part in self._fields[field].split("|")]
            found = self._ever[field] = tuple(dict.fromkeys(values))
        return found

    def _values(self, field: int, version: Version | None) -> tuple[str, ...]:
        """The values of a history that may hold in ``version``, oldest first."""
        found = self._values_of.get((field, version))
        if found is None:
            found = self._values_of[field, version] = self._values_in(field, version)
        return found

    def _values_in(self, field: int, version: Version | None) -> tuple[str, ...]:
        text = self._fields[field]
        if "|" not in text or version is None:
            return self._all_values(field)[-1:]
        epochs: list[tuple[Version | None, str]] = []
        for part in text.split("|"):
            start, colon, value = part[1:].partition(":") if part[:1] == "@" else ("", "", part)
            epochs.append((Version.of(start) if colon else None, value))
        releases = around(self._scanned, version) or (self._scanned[0 if version < self._scanned[0] else -1],)
        found = ([value for start, value in epochs if start is None or start <= release][-1] for release in releases)
        return tuple(dict.fromkeys(found))


@cache
def _choices(values: tuple[str, ...]) -> tuple[str, ...] | None:
    """The choices of several epochs together; None where one of them accepts any text or is unknown."""
    if not all(values) or any(value in {"-", "?"} for value in values):
        return None
    return tuple(dict.fromkeys(choice for value in values for choice in value.split(",")))
