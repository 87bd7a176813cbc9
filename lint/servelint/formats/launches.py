"""From a started engine process to a pool, for formats whose containers are no Kubernetes pods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.deployment import Container, Environment, Pool
from servelint.facts import Fact, FactState, Origin, OriginKind, Place
from servelint.formats import engine_processes, podspec, roles
from servelint.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from servelint.engines.base import Engine
    from servelint.engines.command import Program
    from servelint.formats.engine_processes import Files, Process
    from servelint.source.nodes import Document, Node

GPUS = "gpus.per_node"
NODES = "nodes"
REPLICAS = "replicas.min"


class Launch(NamedTuple):
    """What starts engines: ``node`` is the mapping that describes it, ``label`` what a finding about it as a whole marks.

    ``reference``: the image as far as its text is settled, for engines to recognise it by. ``gpus``: devices on one host.
    ``nodes``: hosts of one replica; None: as the engine's command line says. ``facts``: further ones, by field. ``files`` gives
    the YAML at a path of the container, for commands that name configuration files.
    """

    document: Document
    name: str
    node: Node
    label: Node
    image: Fact[str]
    reference: str
    programs: Sequence[Program]
    variables: Environment
    gpus: Fact[int]
    resource: str = ""
    nodes: Fact[int] | None = None
    facts: Mapping[str, Fact[Any]] = {}
    files: Files | None = None


def pools(launch: Launch, engines: Sequence[Engine]) -> list[Pool]:
    """A pool for every engine process that is started."""
    found = engine_processes.processes_of(launch.programs, launch.reference, engines, launch.files)
    made = [(launch, process) for process in found]
    if not made and any("docker" in program.words[0].text for program in launch.programs if program.words):
        made = list(_in_containers(launch, engines))
    return [
        _pool(started, process, launch.name if index == 0 else f"{launch.name}-{index + 1}")
        for index, (started, process) in enumerate(made)
    ]


def _in_containers(launch: Launch, engines: Sequence[Engine]) -> Iterator[tuple[Launch, Process]]:
    """The engines of containers that a script starts itself."""
    from servelint.formats import docker_run  # lazy: few scripts do
    from servelint.formats.containers import IMAGE

    for run in docker_run.runs(launch.programs):
        word = run.image
        place = Place(launch.document, word.span) if word.span is not None else Place.of(launch.document, word.node)
        image: Fact[str] = Fact.known(IMAGE, word.text, Origin(OriginKind.FILE, "docker run", place))
        if word.variable:
            image = Fact.unknown(IMAGE, f"the image is filled in from ${word.variable}", origin=image.origin)
        inside = launch._replace(image=image, reference=word.text, programs=(run.program,))
        for process in engine_processes.processes_of((run.program,), word.text, engines):
            yield inside, process


def _pool(launch: Launch, process: Process, name: str) -> Pool:
    document, command = launch.document, process.command
    engine = process.engine
    facts = process.facts(launch.variables)
    gpus = launch.gpus
    if process.shared:
        reason = "several engine processes are started here; which GPUs each one gets is not stated"
        gpus = Fact.unknown(GPUS, reason, origin=gpus.origin)
    if launch.nodes is not None:
        if "nodes" not in facts or not facts["nodes"].is_known:
            facts["nodes"] = launch.nodes
    elif "nodes" not in facts:
        one = Fact.known(NODES, 1, Origin(OriginKind.DERIVED, "the engine runs in one container"))
        facts["nodes"] = podspec.spread(process, launch.variables, gpus) or one
    facts.update(launch.facts)
    container = Container(
        launch.name, document, launch.node, engine.name, launch.image, None, command if process.described else None,
        launch.variables,
    )  # fmt: skip
    stated = Origin(OriginKind.FILE, command.launcher, podspec.launched_at(command, launch.image))
    pool = Pool(
        name=name,
        place=Place.of(document, launch.label),
        role=roles.role_of(launch.node, document, command, launch.name),
        containers=(container,),
        gpu_resource=launch.resource,
        engine=Fact.known("engine.name", engine.name, stated),
        version=engine.version(launch.image),
        gpus_per_node=gpus,
    )
    pool = pool.with_facts(facts)
    if pool.model.state is FactState.UNKNOWN:
        from servelint.formats import downloads  # lazy: most engines name their model

        pool = downloads.fetched(pool, process.programs)
    return pool


def label_of(mapping: Node) -> Node:
    """What a finding about ``mapping`` as a whole marks: its first key, so that one line is marked and not all of it."""
    from servelint.source.nodes import MappingNode

    return mapping.entries[0][0] if isinstance(mapping, MappingNode) and mapping.entries else mapping


def whole(document: Document, node: Node | None, name: str, what: str, *, least: int = 0) -> Fact[int] | None:
    """The whole number written at ``node`` as a fact that can be set there; None where nothing is written.

    Quoted numbers count. ``what`` names it for people. Text that is no such number is an unknown fact.
    """
    from servelint.formats.writers import ScalarWriter
    from servelint.source.nodes import ScalarNode
    from servelint.source.scalars import core_value

    if node is None:
        return None
    origin = Origin(OriginKind.FILE, what, Place.of(document, node))
    if not isinstance(node, ScalarNode):
        return Fact.unknown(name, f"{what} is not a number", origin=origin)
    value = core_value(node)
    if isinstance(value, str) and value.strip().isdecimal() and len(value) < 10:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        return Fact.unknown(name, f"{what} is {node.text!r}, not a whole number of at least {least}", origin=origin)
    return Fact.known(name, value, origin, ScalarWriter(document, node))
