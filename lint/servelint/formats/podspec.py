"""From a pod template to pools: which containers run an engine, what they run it with, and on what.

What is common to every Kubernetes workload is here; how many pods make a replica, and how many replicas there are, is for
the workload's own module to add.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.deployment import Container, Pod, Pool
from servelint.facts import Fact, FactState, Origin, OriginKind, Place
from servelint.formats import containers, devices, engine_processes, mounted_files, roles, scheduling
from servelint.formats.environment import environment
from servelint.formats.writers import EntryWriter, ScalarWriter, together
from servelint.source.nodes import MappingNode, ScalarNode, SequenceNode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from servelint.deployment import Environment
    from servelint.engines.command import Command, Program
    from servelint.formats.base import Surroundings
    from servelint.formats.engine_processes import Process
    from servelint.source.nodes import Document, Node

    Started = Callable[[Node, Mapping[str, Fact[str]]], Sequence[Program] | None]

_SERVING = frozenset((
    "Deployment", "StatefulSet", "ReplicaSet", "Pod", "LeaderWorkerSet", "ModelServing", "StormService", "RoleSet",
    "RoleBasedGroup", "RoleBasedGroupSet",
))  # fmt: skip
PATCHED = "this file is a patch or base that another file completes"
_BUILT = "lint the built manifest, as kustomize build prints it"


def engine_pools(
    document: Document,
    template: Node,
    surroundings: Surroundings,
    *,
    owner: str,
    partial: bool = False,
    given: Mapping[str, Fact[str]] | None = None,
    started: Started | None = None,
    name: str = "",
) -> list[Pool]:
    """A pool for every engine process in the containers of ``template``; of the init containers, sidecars alone serve.

    ``owner``: kind of the object that holds the template. ``given``: variables its controller injects. ``started``: the
    programs that its controller starts in a container, None where the container says so itself. ``name``: of the object, where
    the document is a List of several. Facts that depend on the number of pods (nodes, replicas) are left as the engine
    states them.
    """
    pod = Pod(document, template, owner, partial)
    pools: list[Pool] = []
    for container in [*template.elements_at("spec", "containers"), *_sidecars(template)]:
        variables = environment(document, container, given, surroundings)
        programs = started(container, variables) if started is not None else None
        files = mounted_files.reader(document, template, container, variables, surroundings)
        if programs is None:
            reference = engine_processes.reference_of(pod, container, surroundings.engines)
            found = engine_processes.processes(document, container, variables, surroundings.engines, files, reference)
            if not found and template.get("spec", "volumes") is not None:
                found = _scripted(document, template, container, variables, surroundings)
        else:
            found = engine_processes.processes_of(programs, container.text_at("image") or "", surroundings.engines, files)
        for process in found:
            pool = _pool(pod, container, process, variables, name)
            if pool.model.state is FactState.UNKNOWN:
                pool = _fetched(pool, process, surroundings)
            taken = {other.name for other in pools}
            number = 2
            unique = pool.name
            while unique in taken:
                unique, number = f"{pool.name}-{number}", number + 1
            pools.append(pool if unique == pool.name else pool._replace(name=unique))
    if not pools and started is None and owner in _SERVING:
        from servelint.formats import own_programs  # lazy: only for pods in which no engine was found

        pools = own_programs.pools(pod, surroundings.engines)
    return pools


def _fetched(pool: Pool, process: Process, surroundings: Surroundings) -> Pool:
    """The pool with the model that its pod fetches to the path which the engine serves."""
    from servelint.formats import downloads  # lazy, as is all of it: most engines name their model

    container = pool.containers[0]
    if container.pod is None or not downloads.may_fetch(container.pod.node, container.node):
        return pool
    return downloads.fetched(pool, process.programs, surroundings)


def _sidecars(template: Node) -> list[Node]:
    """The init containers that run as long as the pod: Kubernetes starts them first and restarts them."""
    return [one for one in template.elements_at("spec", "initContainers") if one.text_at("restartPolicy") == "Always"]


def _scripted(
    document: Document, template: Node, container: Node, variables: Mapping[str, Fact[str]], surroundings: Surroundings
) -> list[Process]:
    """The engine processes of scripts that are mounted from ConfigMaps at hand."""
    words = engine_processes.words_of(container)
    if "/" not in words and ".sh" not in words:
        return []
    from servelint.engines import shell  # lazy: few scripts are mounted
    from servelint.formats import mounted_scripts

    started = shell.programs(document, container.elements_at("command"), container.elements_at("args"), variables)
    programs = mounted_scripts.programs(started, template, container, variables, surroundings)
    return engine_processes.processes_of(programs, container.text_at("image") or "", surroundings.engines) if programs else []


def _pool(pod: Pod, node: Node, process: Process, variables: Environment, owner_name: str) -> Pool:
    document, engine, command = pod.document, process.engine, process.command
    image = containers.image(document, node, partial=pod.partial)
    name = node.text_at("name") or engine.name
    label = node.get("name")
    place = Place.of(document, label if label is not None else node)
    container = Container(name, document, node, command.engine, image, pod, command if process.described else None, variables)
    asked = devices.devices(node)
    writer = together((document, asked.limit), (document, asked.request))
    gpus = devices.count(document, node, writer, partial=pod.partial, asked=asked)
    if process.shared:
        reason = "the container starts several engine processes; which GPUs each one gets is not stated"
        gpus = Fact.unknown(gpus.name, reason, origin=gpus.origin)
    facts = process.facts(variables)
    if asked.shared:
        facts["accelerator"] = Fact.unknown("accelerator.name", "the container asks for a part of a GPU's memory")
    elif (accelerator := scheduling.accelerator(document, pod.node)) is not None:
        facts["accelerator"] = accelerator
    stated = Origin(OriginKind.FILE, command.launcher, launched_at(command, image))
    pool = Pool(
        name=name,
        place=place,
        role=roles.role_of(pod.node, document, command, owner_name),
        containers=(container,),
        gpu_resource=asked.resource,
        engine=Fact.known("engine.name", command.engine, stated),
        version=engine.version(image),
        gpus_per_node=gpus,
    ).with_facts(facts)
    if "nodes" not in facts and (nodes := spread(process, variables, gpus)) is not None:
        pool = pool._replace(nodes=nodes)
    return _without_defaults(pool) if pod.partial and _arguments_elsewhere(node) else pool


def launched_at(command: Command, image: Fact[str]) -> Place:
    """What says that the engine runs: the words that start it, or the image whose entrypoint does."""
    return image.place if command.launcher == "image" and image.place is not None else command.launch_place


def _arguments_elsewhere(container: Node) -> bool:
    """A patch that states no arguments of its own keeps those of its base. Lists are replaced as a whole."""
    return not isinstance(container.get("args"), SequenceNode) and len(container.elements_at("command")) < 3


def _without_defaults(pool: Pool) -> Pool:
    """The pool with every unstated fact of its command line marked unknown, so that no default is taken for it."""
    from servelint.formats.unstated_facts import FROM_ARGUMENTS  # lazy: few templates are patches

    unknown: dict[str, Any] = {}
    for name in ("model", "data_local", *FROM_ARGUMENTS):
        fact: Fact[Any] = getattr(pool, name)
        if fact.state is FactState.UNKNOWN:
            unknown[name] = Fact.unknown(fact.name, PATCHED, _BUILT)
    return pool._replace(**unknown)


def spread(process: Process, variables: Environment, gpus: Fact[int]) -> Fact[int] | None:
    """Hosts of the engine's group, where something starts it on several; None where nothing does. ``gpus``: of one host."""
    if reason := joins_ray(process, variables):
        return Fact.unknown("nodes", reason, "lint the object that states the size of the group")
    if not any(name.startswith(("mpi", "orte")) for program in process.programs for name in program.names):
        return None
    from servelint.engines import mpi_launch  # lazy: few engines are started by it

    return mpi_launch.nodes(process.command, process.programs, variables, gpus)


def joins_ray(process: Process, variables: Environment) -> str:
    """Why the engine's group may span pods that this template does not count; "" if nothing says so."""
    backend = process.command.last("--distributed-executor-backend")
    by_ray = backend is not None and backend.value == "ray"
    if "RAY_ADDRESS" in variables.listed or (by_ray and "RAY_ADDRESS" in variables):  # the latter: envFrom may set it
        return "RAY_ADDRESS lets the engine use the GPUs of a Ray cluster whose size is not stated here"
    for program in process.programs:
        texts = [word.text for word in program.words[:3]]
        if texts[:2] == ["ray", "start"] or any(text.endswith("multi-node-serving.sh") for text in texts):
            return "the container starts or joins a Ray cluster; the pods that join it are not stated here"
    return ""


def replicas(document: Document, owner: Node, *, key: str = "replicas", partial: bool = False) -> Fact[int]:
    """``spec.replicas`` of the object at ``owner``, or Kubernetes' default of one."""
    from servelint.source.scalars import integer  # lazy: only recognised workloads need it

    name = "replicas.min"
    node = owner.get("spec", key)
    if isinstance(node, ScalarNode):
        origin = Origin(OriginKind.FILE, f"spec.{key}", Place.of(document, node))
        value = integer(node)
        if value is None or value < 0:
            return Fact.unknown(name, f"spec.{key} is {node.text!r}, not a whole number of at least 0", origin=origin)
        return Fact.known(name, value, origin, ScalarWriter(document, node))
    if partial:
        return Fact.unknown(name, PATCHED, _BUILT)
    spec = owner.get("spec")
    writer = EntryWriter(document, spec, key) if isinstance(spec, MappingNode) else None
    return Fact.known(name, 1, Origin(OriginKind.DEFAULT, f"default of Kubernetes for spec.{key}"), writer)


def report_invalid(surroundings: Surroundings, deployment: str, fact: Fact[int]) -> None:
    """Reports a number that is written but is none. A placeholder that a template engine fills in is not reported."""
    place = fact.place
    if fact.state is not FactState.UNKNOWN or place is None or fact.origin is None:
        return
    text = place.document.source.text[place.span.start : place.span.end]
    if any(mark in text for mark in ("$", "{{", "<")):
        return
    from servelint.finding import Verdict  # lazy: only invalid documents are reported

    surroundings.problem("DOC102", Verdict(place, fact.reason, key=fact.origin.text), deployment)
