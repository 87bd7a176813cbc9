"""Which engine processes a container starts: by its command, its script, its image, or what a patch of it speaks of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.facts import Fact, Origin, OriginKind
from servelint.formats import containers
from servelint.formats.needles import names_an_engine
from servelint.records import NamedTuple
from servelint.source.nodes import ScalarNode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from servelint.deployment import Pod
    from servelint.engines.base import Engine
    from servelint.engines.command import Command, Program
    from servelint.source.nodes import Document, Node

    Files = Callable[[str], Document | None]

_MODELS = frozenset(("", "--model", "--model-path", "--model-id"))  # "": a positional
_RANK = "--data-parallel-rank"


class Process(NamedTuple):
    """One engine process of a container. ``alternatives``: other ways in which the script may start it, by a condition.
    ``ranks``: data-parallel ranks of one engine that the container starts as processes of their own, this the first; else 1."""

    engine: Engine
    command: Command
    programs: tuple[Program, ...]
    shared: bool  # the container starts several engines
    alternatives: tuple[Command, ...] = ()
    ranks: int = 1

    @property
    def described(self) -> bool:
        """Whether its options are known, so that its command line can be judged."""
        return bool(getattr(self.engine, "described", True))

    def facts(self, variables: Mapping[str, Fact[str]]) -> dict[str, Fact[Any]]:
        """What the command line states; where the alternatives differ, a fact is unknown."""
        facts = self.engine.facts(self.command, variables)
        for other in self.alternatives:
            facts = _agreed(facts, self.engine.facts(other, variables))
        rank = self.command.last(_RANK) if self.ranks > 1 else None
        if rank is not None:
            origin = Origin(OriginKind.FILE, f"{self.ranks} processes with {_RANK}", self.command.place_of(rank))
            facts["data_local"] = Fact.known("parallelism.data_local", self.ranks, origin)
        return facts


def processes(
    document: Document,
    container: Node,
    variables: Mapping[str, Fact[str]],
    engines: Sequence[Engine],
    files: Files | None = None,
    reference: str | None = None,
) -> list[Process]:
    """The engine processes that ``container`` starts, in the order of its script. ``reference``: what stands for its image."""
    from servelint.engines import shell  # lazy: only containers that may run an engine are taken apart

    if reference is None:
        reference = container.text_at("image") or ""
    words = words_of(container)
    if not names_an_engine(f"{reference}\n{words}", engines):
        return []
    command_words, args = container.elements_at("command"), container.elements_at("args")
    programs = shell.programs(document, command_words, args, variables, container.get("image"))
    return processes_of(programs, reference, engines, files)


def processes_of(
    programs: Sequence[Program], reference: str, engines: Sequence[Engine], files: Files | None = None
) -> list[Process]:
    """The engine processes among ``programs``, which a container of the image ``reference`` runs.

    ``files`` gives the YAML at a path of the container, for commands that name configuration files.
    """
    found: list[tuple[Engine, Command]] = []
    for engine in engines:
        command = engine.command(programs, reference)
        if command is None:
            continue
        found.append((engine, command))
        others = (engine.command((program,), reference) for program in programs if program is not command.program)
        found += [(engine, other) for other in others if other is not None]  # a script may start several
    if files is not None:
        found = [(engine, _configured(engine, command, files)) for engine, command in found]
    several: dict[tuple[str, ...], list[tuple[Engine, Command]]] = {}
    for index, (engine, command) in enumerate(found):
        several.setdefault((engine.name, *(_service(command) or (str(index),))), []).append((engine, command))
    return [
        Process(
            ways[0][0], ways[0][1], tuple(programs), len(several) > 1, tuple(command for _, command in ways[1:]),
            len(ways) if _RANK in service else 1,
        )
        for service, ways in several.items()
    ]  # fmt: skip


def _configured(engine: Engine, command: Command, files: Files) -> Command:
    """The command with the settings of the files it names, where the engine reads any and they are at hand."""
    merge: Callable[[Command, Files], Command] | None = getattr(engine, "configured", None)
    return command if command.complete or merge is None else merge(command, files)


def _service(command: Command) -> tuple[str, ...]:
    """The port and the model it serves: who starts the same again in a container is started in its place. () for none.

    Processes that are each one data-parallel rank of a group serve together, whatever their ports.
    """
    if "dynamo" in command.launcher:
        return ()  # its workers are asked through a message bus
    models = [argument.value or "" for argument in command.arguments if argument.name in _MODELS]
    if command.last(_RANK) is not None:
        address = command.last("--data-parallel-address")
        return (_RANK, (address.value or "") if address is not None else "", *sorted(models))
    port = command.last("--port")
    return ((port.value or "") if port is not None else "default", *sorted(models))


def _agreed(ours: dict[str, Fact[Any]], theirs: dict[str, Fact[Any]]) -> dict[str, Fact[Any]]:
    facts = dict(ours)
    for name in {**ours, **theirs}:
        one, other = ours.get(name), theirs.get(name)
        if one is None or other is None or one.state is not other.state or one.values != other.values:
            fact = one or other
            if fact is not None:
                reason = "the script starts the engine in several ways, which differ in this"
                facts[name] = Fact.unknown(fact.name, reason, origin=fact.origin)
    return facts


def words_of(container: Node) -> str:
    """Everything that is executed, as one lower-case text to look for names in."""
    items = (*container.elements_at("command"), *container.elements_at("args"))
    return "\n".join(item.text for item in items if isinstance(item, ScalarNode)).lower()


def reference_of(pod: Pod, container: Node, engines: Sequence[Engine]) -> str:
    """The image of ``container``. For a patch that states neither that nor a command: the engine that its names speak of."""
    written = container.text_at("image") or ""
    if written or not pod.partial or container.get("command") is not None or container.get("args") is None:
        return written
    names = [container.text_at("name"), pod.document.text_at("metadata", "name")]
    names += [value.text for _, _, value in pod.node.entries_at("metadata", "labels") if isinstance(value, ScalarNode)]
    words = containers.words_of(" ".join(name for name in names if name))
    named = next((engine for engine in engines if engine.name in words and getattr(engine, "described", True)), None)
    return named.name if named is not None and _has_options_of(container, named) else ""


def _has_options_of(container: Node, engine: Engine) -> bool:
    """Whether the arguments of ``container`` are options that ``engine`` has, every one of them."""
    from servelint.engines.flags import flag_table  # lazy: few patches state arguments alone

    texts = [item.text for item in container.elements_at("args") if isinstance(item, ScalarNode)]
    options = [text for text in texts if text.startswith("--")]
    try:
        table = flag_table(engine.name)
    except FileNotFoundError:  # an engine of a plugin
        return False
    return bool(options) and all(table.flag(table.spelled(option)) is not None for option in options)
