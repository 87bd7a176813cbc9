"""A Dynamo graph as a deployment: each component that runs an engine is a pool, sized by its replicas and hosts.

GPUs are those of one host; an instance has ``multinode.nodeCount`` hosts (two where that is not stated). The operator itself
adds what the ranks need to find each other, so command lines say nothing of it. Workers with a program of their own count where
they ask for GPUs: their engine is the graph's ``backendFramework``, and of their arguments only the model is taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.deployment import Container, Deployment, Pod, Pool, Role
from servelint.engines import images
from servelint.engines.values import fact_name
from servelint.facts import Fact, Origin, OriginKind, Place
from servelint.formats import containers, controller_words, devices, dynamo_targets, launches, objects, podspec, scheduling
from servelint.formats.dynamo_components import Component, components, shared_environment
from servelint.formats.environment import environment
from servelint.formats.unstated_facts import FROM_ARGUMENTS
from servelint.formats.writers import EntryWriter, together
from servelint.source.nodes import MappingNode, ScalarNode, SequenceNode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document, Node

OWNER = "DynamoGraphDeployment"
_WORKERS = frozenset(("worker", "prefill", "decode", "encode", "encoder", "main", ""))
_HELPERS = frozenset(("frontend", "planner", "epp"))  # types that never run an engine
_ROLES = {"prefill": Role.PREFILL, "decode": Role.DECODE, "encode": Role.ENCODE, "encoder": Role.ENCODE}
_MODEL_FLAGS = ("--model", "--model-path", "--model-name")
_RUNTIMES = {"vllm": "vllm", "sglang": "sglang", "tensorrtllm": "trtllm", "trtllm": "trtllm"}
_SIMULATORS = ("dynamo.mocker", "mocker")


def deployments(document: Document, item: Node, surroundings: Surroundings) -> Iterator[Deployment]:
    """The graph's deployment, where a component of it runs an engine."""
    name = controller_words.label_of(item).text
    for field, shape in (("services", MappingNode), ("components", SequenceNode)):
        objects.has_shape(surroundings, document, item, ("spec", field), shape, name)
    given = shared_environment(document, item)
    every = components(item)
    framework = item.get("spec", "backendFramework")
    pools: list[Pool] = []
    for component in every:
        for pool in _pools(document, component, framework, given, surroundings):
            pools.append(pool._replace(name=_free(component.name, pools)))
    if not pools:
        return
    pools = _roles(pools, every)
    pools = dynamo_targets.with_targets(document, pools, every, given)
    for pool in pools:
        podspec.report_invalid(surroundings, name, pool.replicas_min)
        podspec.report_invalid(surroundings, name, pool.nodes)
    yield Deployment(name, "dynamo", document, tuple(pools))


def _free(name: str, pools: Sequence[Pool]) -> str:
    taken = {pool.name for pool in pools}
    number = 2
    free = name
    while free in taken:
        free, number = f"{name}-{number}", number + 1
    return free


def _pools(
    document: Document,
    component: Component,
    framework: Node | None,
    given: Mapping[str, Fact[str]],
    surroundings: Surroundings,
) -> list[Pool]:
    if component.template is None or component.role in _HELPERS:
        return []
    found = podspec.engine_pools(document, component.template, surroundings, owner=OWNER, given=given)
    if not found:
        own = _own_program(document, component, framework, given, surroundings)
        found = [own] if own is not None else []
    return [_sized(document, component, pool) for pool in found]


def _sized(document: Document, component: Component, pool: Pool) -> Pool:
    """The pool with its hosts and replicas, at the place of its component."""
    least, most = _replicas(document, component)
    place = Place.of(document, component.label)
    return pool._replace(place=place, nodes=_nodes(document, component), replicas_min=least, replicas_max=most)


def _nodes(document: Document, component: Component) -> Fact[int]:
    group = component.node.get("multinode")
    if group is None:
        return Fact.known("nodes", 1, Origin(OriginKind.DEFAULT, "default of Dynamo: no multinode"))
    if not isinstance(group, MappingNode):
        return Fact.unknown("nodes", "multinode is not a map", "write multinode: {nodeCount: N}")
    stated = launches.whole(document, group.get("nodeCount"), "nodes", "multinode.nodeCount", least=1)
    return stated or Fact.known("nodes", 2, Origin(OriginKind.DEFAULT, "default of Dynamo for multinode.nodeCount"))


def _replicas(document: Document, component: Component) -> tuple[Fact[int], Fact[int]]:
    least = launches.whole(document, component.node.get("replicas"), "replicas.min", "replicas")
    if least is None:
        writer = EntryWriter(document, component.node, "replicas") if isinstance(component.node, MappingNode) else None
        least = Fact.known("replicas.min", 1, Origin(OriginKind.DEFAULT, "default of Dynamo for replicas"), writer)
    adapter = component.node.get("scalingAdapter")
    if adapter is not None and (adapter.text_at("enabled") or "true").lower() == "true":
        return least, Fact.unknown("replicas.max", "an autoscaler sets the replicas through the scaling adapter")
    return least, least._replace(name="replicas.max")


# Roles


def _roles(pools: Sequence[Pool], every: Sequence[Component]) -> list[Pool]:
    """The pools with the roles that the graph gives them.

    A worker that is called "decode" in a graph without prefill workers serves both phases.
    """
    typed = {component.name: _ROLES.get(component.role) for component in every}
    found = [pool._replace(role=typed.get(pool.name) or pool.role) for pool in pools]
    split = any(pool.role is Role.PREFILL for pool in found)
    made = []
    for pool in found:
        if pool.role is Role.DECODE and not split:
            made.append(pool._replace(role=Role.SERVE))
        elif pool.role is Role.SERVE and split and "decode" in pool.name.lower():
            made.append(pool._replace(role=Role.DECODE))
        else:
            made.append(pool)
    return made


# Workers with a program of their own


def _own_program(
    document: Document,
    component: Component,
    framework: Node | None,
    given: Mapping[str, Fact[str]],
    surroundings: Surroundings,
) -> Pool | None:
    """The pool of a worker whose program is none of the known engines; None for one without GPUs, and for a simulator."""
    node = component.main
    if node is None or component.template is None or component.role not in _WORKERS:
        return None
    asked = devices.devices(node)
    words = [n.text for n in (*node.elements_at("command"), *node.elements_at("args")) if isinstance(n, ScalarNode)]
    if not asked.resource or any(mark in text for text in words for mark in _SIMULATORS):
        return None
    variables = environment(document, node, given)
    image = containers.image(document, node)
    known = {engine.name: engine for engine in surroundings.engines}
    name = framework.text.lower() if isinstance(framework, ScalarNode) else ""
    reason = "the worker runs a program of its own, whose arguments are not known here"
    facts: dict[str, Any] = {field: Fact.unknown(fact_name(field), reason) for field in FROM_ARGUMENTS}
    facts["engine"] = Fact.unknown("engine.name", reason)
    if isinstance(framework, ScalarNode) and name:
        origin = Origin(OriginKind.FILE, "backendFramework", Place.of(document, framework))
        facts["engine"] = Fact.known("engine.name", name, origin)
        if name in known:
            facts["version"] = known[name].version(image)
    elif image.is_known and (name := _runtime_of(image.value)) in known:
        facts["engine"] = Fact.known("engine.name", name, Origin(OriginKind.FILE, "image", image.place))
        facts["version"] = known[name].version(image)
    facts["model"] = _model(document, node, variables)
    accelerator = scheduling.accelerator(document, component.template)
    if accelerator is not None:
        facts["accelerator"] = accelerator
    pod = Pod(document, component.template, OWNER)
    container = Container(component.name, document, node, name, image, pod, None, variables)
    writer = together((document, asked.limit), (document, asked.request))
    role = Role.ENCODE if "encode" in component.name.lower() else Role.SERVE
    pool = Pool(
        name=component.name,
        place=Place.of(document, component.label),
        role=role,
        containers=(container,),
        gpu_resource=asked.resource,
        gpus_per_node=devices.count(document, node, writer),
    )
    return pool.with_facts(facts)


def _runtime_of(image: str) -> str:
    """The engine that Dynamo's runtime images are named for."""
    name = images.split(image)[0].rpartition("/")[2].lower()
    return _RUNTIMES.get(name.removesuffix("-runtime"), "") if name.endswith("-runtime") else ""


def _model(document: Document, container: Node, variables: Mapping[str, Fact[str]]) -> Fact[str]:
    """The model that an argument of an unknown program names in so many words."""
    from servelint.engines import shell  # lazy: most workers run an engine
    from servelint.formats import model_uris

    items = container.elements_at("command"), container.elements_at("args")
    for program in shell.programs(document, *items, variables):
        texts = [word.text for word in program.words]
        for index, text in enumerate(texts):
            flag, equals, value = text.partition("=")
            if flag not in _MODEL_FLAGS or (not equals and index + 1 == len(texts)):
                continue
            word = program.words[index if equals else index + 1]
            place = Place(document, word.span) if word.span is not None else Place.of(document, word.node)
            origin = Origin(OriginKind.FILE, flag, place)
            named = value if equals else word.text
            organisation, slash, rest = named.partition("/")
            if not word.variable and slash and organisation and rest and "/" not in rest:
                return Fact.known(model_uris.NAME, named, origin)
            reason = f"{flag} {named} is no hub id (org/name)"
            return Fact.unknown(model_uris.NAME, reason, "name the model by its hub id", origin)
    return Fact.unknown(model_uris.NAME, "the worker's program names no model", "name the model on the command line")
