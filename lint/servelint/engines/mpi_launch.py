"""``mpirun`` in front of an engine: how many ranks it starts, and on how many hosts.

Sources: mpirun(1) of Open MPI 4 and 5 (``-np``, ``-N``, ``--host``, ``--hostfile``, ``--map-by ppr:N:node``), mpiexec of Hydra
(``-n``, ``-ppn``, ``-hosts``, ``-f``).
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from servelint.engines.shell import LAUNCHERS
from servelint.facts import Fact, Origin, OriginKind, Place
from servelint.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from servelint.engines.command import Command, Program, Word

_RANKS = frozenset(("-np", "--np", "-n", "--n", "-c"))
_PER_HOST = frozenset(("-N", "-npernode", "--npernode", "-ppn", "--ppn"))
_HOSTS = frozenset(("-H", "-host", "--host", "-hosts", "--hosts"))
_HOST_FILES = frozenset(("-hostfile", "--hostfile", "-machinefile", "--machinefile", "-f"))
_HOST_FILE_VARIABLES = ("OMPI_MCA_orte_default_hostfile", "PRTE_MCA_prte_default_hostfile", "HYDRA_HOST_FILE")
_UNSTATED = "mpirun starts the ranks on hosts that are not stated here"


class _Launch(NamedTuple):
    """``hosts``: 0 where they are not named one by one. ``elsewhere``: they are named in a file, or by variables."""

    ranks: Word | None
    per_host: int
    hosts: int
    elsewhere: bool


def nodes(command: Command, programs: Sequence[Program], variables: Mapping[str, Fact[str]], gpus: Fact[int]) -> Fact[int] | None:
    """Hosts of the group of ranks that ``mpirun`` starts; None where it starts nothing elsewhere, or there is none.

    ``gpus``: of one host. Each rank needs one.
    """
    words = _words(command, programs)
    if not words:
        return None
    launch = _parsed(words, variables)
    document = command.program.document or command.document
    ranks = _number(launch.ranks) if launch.ranks is not None else 0
    span = launch.ranks.span if launch.ranks is not None else words[0].span
    place = Place(document.physical, span) if span is not None else Place.of(document, words[0].node)
    if launch.hosts:
        return _known(launch.hosts, f"mpirun names {launch.hosts} hosts", place)
    if ranks and launch.per_host:
        return _known(-(-ranks // launch.per_host), f"{ranks} ranks, {launch.per_host} on a host", place)
    if ranks and gpus.is_known and gpus.value:
        if ranks <= gpus.value and not launch.elsewhere:
            return None
        if ranks % gpus.value == 0:
            return _known(ranks // gpus.value, f"{ranks} ranks on hosts of {gpus.value} GPUs", place)
    if launch.elsewhere or ranks or launch.ranks is not None:
        return Fact.unknown(
            "nodes", _UNSTATED, "write the number of ranks: mpirun -np N", Origin(OriginKind.FILE, "mpirun", place)
        )
    return None


def _known(value: int, text: str, place: Place) -> Fact[int]:
    return Fact.known("nodes", value, Origin(OriginKind.DERIVED, text, place))


def _words(command: Command, programs: Sequence[Program]) -> tuple[Word, ...]:
    """The words of the launcher: in front of the engine's, or a program of its own before the script that it runs."""
    own = command.program
    for index, name in enumerate(own.names[: command.start]):
        if name in LAUNCHERS:
            return own.words[index : command.start]
    words: tuple[Word, ...] = ()
    for program in programs:
        if program is own:
            break
        words = program.words if program.names and program.names[0] in LAUNCHERS else words
    return words


def _parsed(words: Sequence[Word], variables: Mapping[str, Fact[str]]) -> _Launch:
    ranks: Word | None = None
    per_host = hosts = 0
    elsewhere = any(name in variables for name in _HOST_FILE_VARIABLES)
    for word, following in pairwise(words):
        name = word.text
        if name in _RANKS:
            ranks = following
        elif name in _PER_HOST:
            per_host = _number(following)
        elif name == "--map-by" and following.text.startswith("ppr:"):
            count, _, where = following.text[4:].partition(":")
            per_host = _whole(count) if where.startswith("node") and _whole(count) else per_host
        elif name in _HOSTS:
            hosts = _count(following)
            elsewhere = elsewhere or not hosts
        elif name in _HOST_FILES:
            elsewhere = True
    return _Launch(ranks, per_host, hosts, elsewhere)


def _number(word: Word) -> int:
    """0 for a number that is filled in elsewhere, or none."""
    return _whole(word.text) if not word.variable else 0


def _whole(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 6 else 0


def _count(word: Word) -> int:
    """Hosts in a list of them (``a:8,b:8``); 0 where a variable may stand for several."""
    hosts = {host.partition(":")[0] for host in word.text.split(",") if host}
    return 0 if any(host.startswith("$") and host.strip("${}()").isidentifier() for host in hosts) else len(hosts)
