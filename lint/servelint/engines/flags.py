"""Flags of the engines by release, read from the tables in ``data``.

A table (``data/<engine>.flags.tsv``, made by ``tools/build_flags.py``) has one line a flag, tab-separated, empty fields at
the end left out::

    spellings  kind  arity  presence  defaults  choices  "open"  deprecated  constraints

- *spellings*: the canonical one first; ``!`` marks one that switches off; ``@0.9.0..0.12.0`` restricts it to releases.
- *presence*: half-open intervals of releases, separated by blanks; ``..`` is every release scanned.
- *kind*, *arity*, *defaults*, *choices* are histories: the first value, then ``|@VERSION:value`` from that release on.
- "open": values beside the choices are accepted too; a release instead of the word: perhaps from that one on.

Nothing is parsed before it is asked for: loading a table makes one index of the spellings.
"""

from __future__ import annotations

from bisect import bisect_left

from servelint.engines.flag import Flag, Presence
from servelint.engines.versions import Version


def _possible(flag: Flag, written: str, version: Version | None) -> bool:
    """Whether ``version`` (the newest release where it is unknown) may accept the spelling."""
    return flag.in_newest(written) if version is None else flag.presence(version, written) is not Presence.ABSENT


class FlagTable:
    """The flags of one engine (or its environment variables: a variable is a flag whose spelling is its name).

    ``parser`` says how the engine reads options: ``flexible`` (vLLM: argparse where ``_`` may stand for ``-``), ``argparse``,
    ``clap``, ``click`` or ``environment``. ``scanned``: the releases, oldest first.
    """

    __slots__ = ("_flags", "_index", "_lines", "_names", "_ordered", "engine", "parser", "scanned")

    def __init__(self, text: str) -> None:
        lines = text.split("\n")
        self.engine = lines[1].partition("\t")[2]
        self.parser = lines[2].partition("\t")[2]
        self.scanned = tuple(map(Version.of, lines[3].partition("\t")[2].split()))
        self._lines = lines
        self._flags: dict[int, Flag] = {}
        self._names: tuple[str, ...] = ()
        index: dict[str, int] = {}
        for number in range(len(lines) - 2, 3, -1):  # backwards, so that a canonical name wins over an alias
            names = lines[number].partition("\t")[0]
            for name in names.split(",")[1:]:
                index.setdefault(name.partition("@")[0].removeprefix("!"), number)
        for number in range(4, len(lines) - 1):
            index[lines[number].partition("\t")[0].partition(",")[0]] = number
        self._index = index
        self._ordered: list[str] = []  # the spellings, once a beginning of one is looked for

    def __len__(self) -> int:
        return len(self._lines) - 5

    def flag(self, name: str) -> Flag | None:
        """The flag with the canonical name or alias ``name``, whatever release has it."""
        return self[name] if name in self._index else None

    def __getitem__(self, name: str) -> Flag:
        """As :meth:`flag`; ``KeyError`` for a name that no release has."""
        number = self._index[name]
        found = self._flags.get(number)
        if found is None:
            found = self._flags[number] = Flag(self._lines[number], self.scanned)
        return found

    def spelled(self, written: str) -> str:
        """``written`` as the parser looks it up: what stands before ``=`` or ``.``, with ``_`` read as ``-`` where it may."""
        name = written.partition("=")[0]
        if self.parser == "flexible" and name.startswith("-"):
            name = name.partition(".")[0]
            return name.replace("_", "-") if name.startswith("--") else name
        return name

    def candidates(self, written: str, version: Version | None) -> tuple[str, ...]:
        """The spellings of which ``written`` is a beginning, among those that ``version`` (or the newest release) may accept."""
        prefix = self.spelled(written)
        if not prefix.startswith("--") or len(prefix) < 3 or self.parser not in {"flexible", "argparse"}:
            return ()
        if not self._ordered:
            self._ordered = sorted(self._index)
        found = []
        for name in self._ordered[bisect_left(self._ordered, prefix) :]:
            if not name.startswith(prefix):
                break
            if _possible(self[name], name, version):
                found.append(name)
        return tuple(found)

    def resolve(self, written: str, version: Version | None) -> tuple[Flag | None, bool]:
        """(the flag that ``written`` means, whether as an abbreviation).

        An exact spelling of any release first, then the unique prefix as argparse's ``allow_abbrev`` does, against the
        flags of ``version`` (of the newest release where it is unknown). An ambiguous prefix is no flag: :meth:`candidates`.
        """
        flag = self.flag(self.spelled(written))
        if flag is not None:
            return flag, False
        found = self.candidates(written, version)
        return (self.flag(found[0]), True) if len(found) == 1 else (None, False)

    def nearest(self, written: str) -> str | None:
        """The spelling of the newest release that is most like ``written``; None if none is much like it."""
        from difflib import get_close_matches  # lazy: only for findings

        present = [name for name in self._index if self[name].in_newest(name)]
        found = get_close_matches(self.spelled(written), sorted(present), n=1, cutoff=0.7)
        return found[0] if found else None

    def _share(self, other: FlagTable) -> None:
        """Holds the flags of ``other``."""
        self.engine, self.parser, self.scanned = other.engine, other.parser, other.scanned
        self._lines, self._index, self._ordered, self._flags = other._lines, other._index, [], {}
        self._names = ()

    def names(self) -> tuple[str, ...]:
        """Every canonical name, in order."""
        if not self._names:
            self._names = tuple(line.partition("\t")[0].partition(",")[0] for line in self._lines[4:-1])
        return self._names


_TABLES: dict[str, FlagTable] = {}


def _load(name: str) -> FlagTable:
    found = _TABLES.get(name)
    if found is None:
        path = __file__.rpartition("flags.py")[0] + f"data/{name}.tsv"
        with open(path, encoding="utf-8", newline="\n") as file:
            found = _TABLES[name] = FlagTable(file.read())
    return found


def flag_table(engine: str) -> FlagTable:
    """The flags of ``vllm``, ``sglang``, ``trtllm``, ``tgi`` or ``dynamo``; ``FileNotFoundError`` for another."""
    return _load(f"{engine}.flags")


def environment_table(engine: str) -> FlagTable:
    """The environment variables of ``vllm`` or ``sglang`` by release, in the same form."""
    return _load(f"{engine}.environment")
