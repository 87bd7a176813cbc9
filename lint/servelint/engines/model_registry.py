"""What the releases of vLLM and SGLang know of models: their registries, pipelines, and the GPUs their quantization needs.

``data/<engine>.models.tsv`` (made by ``tools/build_engine_models.py``) has one line a model class, tab-separated::

    class  presence  pipelines

- *presence*: half-open intervals of releases, separated by blanks, whose registry has it; ``..`` is every release scanned.
- *pipelines*: ``RELEASE:+`` (it can be split into pipeline stages), ``RELEASE:-`` (it cannot) or ``RELEASE:?`` from there on.

``data/vllm.quantization.tsv`` has one line a method: the least compute capability from each release on.

One patch release per minor version was scanned. What holds in a release between two scanned ones is known only where both
agree, and nothing is known beyond the newest. One record is found by a search over the text; no more is parsed.
"""

from __future__ import annotations

from servelint.engines.flag import Presence
from servelint.engines.versions import Version, around, mends_newest

ENGINES = ("vllm", "sglang")
_TABLES: dict[str, _Table] = {}


class _Table:
    """The text of one data file."""

    __slots__ = ("_text", "scanned")

    def __init__(self, name: str) -> None:
        path = __file__.rpartition("model_registry.py")[0] + f"data/{name}.tsv"
        with open(path, encoding="utf-8", newline="\n") as file:
            self._text = file.read()
        self.scanned = self.releases("scanned")

    def releases(self, line: str) -> tuple[Version, ...]:
        start = self._text.find(f"\n{line}\t") + len(line) + 2
        return tuple(map(Version.of, self._text[start : self._text.find("\n", start)].split()))

    def fields(self, key: str) -> list[str] | None:
        start = self._text.find(f"\n{key}\t") if key and "\n" not in key and "\t" not in key else -1
        if start < 0:
            return None
        fields = self._text[start + 1 : self._text.find("\n", start + 1)].split("\t")
        return fields + [""] * (3 - len(fields))


def _table(name: str) -> _Table:
    found = _TABLES.get(name)
    if found is None:
        found = _TABLES[name] = _Table(name)
    return found


def _within(intervals: str, release: Version) -> bool:
    for part in intervals.split():
        start, _, end = part.partition("..")
        if (not start or Version.of(start) <= release) and (not end or release < Version.of(end)):
            return True
    return False


def _in_history(history: str, release: Version) -> str:
    """The value that holds in a scanned release; ``?`` before the first."""
    value = "?"
    for part in history.split():
        start, _, text = part.partition(":")
        if Version.of(start) > release:
            break
        value = text
    return value


def presence(engine: str, architecture: str, version: Version) -> Presence:
    """Whether the registry of ``version`` has the model class; uncertain outside what was scanned.

    What the newest release has, its post releases have; they may have more.
    """
    table = _table(f"{engine}.models")
    fields = table.fields(architecture)
    if mends_newest(table.scanned, version):
        there = fields is not None and _within(fields[1], table.scanned[-1])
        return Presence.PRESENT if there else Presence.UNCERTAIN
    releases = around(table.scanned, version)
    if not releases:
        return Presence.UNCERTAIN
    states = {fields is not None and _within(fields[1], release) for release in releases}
    if len(states) > 1:
        return Presence.UNCERTAIN
    return Presence.PRESENT if states.pop() else Presence.ABSENT


def introduced(engine: str, architecture: str, after: Version) -> Version | None:
    """The first release scanned after ``after`` whose registry has the class; None if there is none."""
    table = _table(f"{engine}.models")
    fields = table.fields(architecture)
    if fields is None:
        return None
    return next((release for release in table.scanned if release > after and _within(fields[1], release)), None)


def last_with(engine: str, architecture: str, before: Version) -> Version | None:
    """The newest release scanned before ``before`` whose registry has the class; None if there is none."""
    table = _table(f"{engine}.models")
    fields = table.fields(architecture)
    if fields is None:
        return None
    return next((release for release in reversed(table.scanned) if release < before and _within(fields[1], release)), None)


def pipelines(engine: str, architecture: str, version: Version | None) -> bool | None:
    """Whether ``version`` can split the class into pipeline stages; None where that is not known.

    Where the version is unknown: what every release that was read says, if they agree.
    """
    table = _table(f"{engine}.models")
    fields = table.fields(architecture)
    if fields is None or not fields[2]:
        return None
    if version is None:
        values = {part.partition(":")[2] for part in fields[2].split()} - {"?"}
    else:
        scanned = table.releases("pipelines")
        releases = scanned[-1:] if mends_newest(scanned, version) else around(scanned, version)
        values = {_in_history(fields[2], release) for release in releases}
    if len(values) != 1 or "?" in values:
        return None
    return values.pop() == "+"


def least_capability(method: str, version: Version | None) -> tuple[int, int] | None:
    """The least compute capability that vLLM ``version`` demands for a quantization method; None where it is not known.

    The lower one in a gap between two releases that differ; the lowest of all releases where the version is unknown. Beyond
    the newest release scanned its value counts: the demands have only ever been lowered.
    """
    table = _table("vllm.quantization")
    fields = table.fields(method)
    if fields is None:
        return None
    if version is None:
        values = [part.partition(":")[2] for part in fields[1].split()]
        values = [value for value in values if value != "?"]
    else:
        releases = around(table.scanned, version) or (table.scanned[-1],) * (version > table.scanned[-1])
        values = [_in_history(fields[1], release) for release in releases]
    if not values or "?" in values:
        return None
    least = min(map(int, values))
    return least // 10, least % 10
