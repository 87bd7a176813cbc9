"""The pool of a server in the values of a chart whose templates are not known.

The templates may add arguments of their own, so nothing is a default of the engine here.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from servelint.deployment import Environment
from servelint.engines.command import Program
from servelint.facts import Fact, FactState, Origin, OriginKind, Place
from servelint.formats import containers, controller_words, devices, launches, own_programs, podspec, scheduling, value_words
from servelint.formats.environment import environment
from servelint.formats.helm_chart_commands import argument_items, arguments, command_of, script_of, states_program
from servelint.formats.helm_chart_images import REMEDY, is_other_part
from servelint.formats.helm_chart_keys import GPU_TYPES, NODES, REPLICAS, WORKLOADS, flag_of, kebab
from servelint.formats.helm_chart_server import (
    NIM,
    REASON,
    asking,
    asking_beside,
    count_of,
    engine_names,
    inside,
    label_of,
    model,
)
from servelint.formats.launches import Launch
from servelint.formats.node_terms import labelled, with_terms
from servelint.formats.unstated_facts import without_defaults
from servelint.formats.writers import together
from servelint.source.nodes import MappingNode, ScalarNode, SequenceNode

if TYPE_CHECKING:
    from servelint.deployment import Pool
    from servelint.engines.command import Word
    from servelint.formats.base import Surroundings
    from servelint.formats.helm_chart_server import Server
    from servelint.source.nodes import Document, Node

_LAUNCHERS = {
    "vllm": ("vllm", "serve"),
    "sglang": ("python3", "-m", "sglang.launch_server"),
    "tgi": ("text-generation-launcher",),
    "trtllm": ("trtllm-serve",),
}
_MODEL_FLAGS = {"sglang": "--model-path", "tgi": "--model-id"}
_TEMPLATES = "the templates of the chart"
_HOST = 8  # GPUs of most hosts
# "--flag value" and more of the like in one item, where a shell would find the same words in it.
_SEVERAL = re.compile(r"""\s*--?[A-Za-z][\w.-]*(\s+('[^']*'|[^\s'"{}\[\]()$`;&|<>\\]+))+\s*""")
_GROUPS = ("multiNode", "multinode", "leaderWorkerSet", "ray")


def pools(server: Server, surroundings: Surroundings) -> list[Pool]:
    """The pool of a server."""
    return _nim(server, surroundings) if server.engine == NIM else _pools(server, surroundings)


def _pools(server: Server, surroundings: Surroundings) -> list[Pool]:
    document, node = server.document, server.node
    variables = _environment(document, node)
    programs = _programs(server, variables)
    gpus, resource = _gpus(server)
    least, most = _copies(server)
    facts: dict[str, Fact[Any]] = {"replicas_min": least, "replicas_max": most}
    accelerator = _accelerator(server)
    if accelerator is not None:
        facts["accelerator"] = accelerator
    title = server.name or "serve"
    launch = Launch(
        document, title, node, label_of(node), server.image, server.reference, programs, variables, gpus, resource,
        _nodes(server), facts,
    )  # fmt: skip
    found = [pool for pool in launches.pools(launch, surroundings.engines) if pool.engine.get("") == server.engine]
    if found:
        podspec.report_invalid(surroundings, title, least)
    return [_over_hosts(_with_model(server, without_defaults(pool, REASON, REMEDY))) for pool in found[:1]]


def _copies(server: Server) -> tuple[Fact[int], Fact[int]]:
    """The least and the most replicas, as the server or what stands around it states them."""
    node = server.node
    least, most = _replicas(server.document, node)
    for other in (node.get("deployment"), server.frame, server.holder, *_workloads(node), *_workloads(server.frame)):
        if least.state is FactState.UNKNOWN and least.place is None and isinstance(other, MappingNode):
            least, most = _replicas(server.document, other)
    return least, most


def _with_model(server: Server, pool: Pool) -> Pool:
    """Templates may name the model where neither a key nor an argument does."""
    if model(server) is not None or script_of(server.node) is not None or states_program(server):
        return pool
    origin = pool.model.origin
    if origin is not None and origin.kind is OriginKind.FILE and origin.text != _TEMPLATES:
        return pool
    variables = pool.containers[0].environment
    named = own_programs.model_variable(variables)
    if named and server.has_image and server.engine in containers.words_of(server.reference.rpartition("/")[2]):
        return pool._replace(model=own_programs.model(variables, named))
    return pool._replace(model=Fact.unknown("model.id", REASON, REMEDY))


def _workloads(node: Node | None) -> list[Node]:
    """What a mapping says of the workload that its server becomes, down to the second level: ``workload.deployment``."""
    found: list[Node] = []
    level = [node] if node is not None else []
    for _ in range(2):
        pairs = [(key, value) for outer in level for key, _, value in outer.entries_at() if value.get("image") is None]
        level = [value for key, value in pairs if not WORKLOADS.isdisjoint(kebab(key).split("-")) and not is_other_part(key)]
        found += level
    return found


def _over_hosts(pool: Pool) -> Pool:
    """More ranks than a whole host has GPUs run on several, however the templates arrange it."""
    degrees = (pool.tensor, pool.pipeline)
    ranks = math.prod(degree.value for degree in degrees if degree.is_known)
    host = max(pool.gpus_per_node.value, _HOST) if pool.gpus_per_node.is_known else _HOST
    stated = pool.nodes.origin is not None and pool.nodes.origin.kind is OriginKind.FILE
    if stated or ranks <= host:
        return pool
    return pool._replace(nodes=Fact.unknown("nodes", REASON, REMEDY))


def _nim(server: Server, surroundings: Surroundings) -> list[Pool]:
    """A NIM's values have the shape of a NIMService: image, resources, env."""
    from servelint.formats.nim_objects import values_pool  # lazy: few charts have a NIM

    least, most = _copies(server)
    pool = values_pool(server.document, server.node, surroundings)
    if not devices.devices(server.node).resource:  # not beside the image, where a NIMService has them
        gpus, resource = _gpus(server)
        pool = pool._replace(gpus_per_node=gpus, gpu_resource=resource) if resource else pool
    accelerator = _accelerator(server) if pool.accelerator.state is FactState.UNKNOWN else None
    if accelerator is not None:
        pool = pool._replace(accelerator=accelerator)
    return [pool._replace(name=server.name or pool.name, replicas_min=least, replicas_max=most)]


def _programs(server: Server, variables: Environment) -> tuple[Program, ...]:
    from servelint.engines import shell  # lazy: only recognised values are taken apart

    document, node = server.document, server.node
    label = label_of(node)
    if states_program(server):
        return shell.programs(document, command_of(node), argument_items(server), variables, label)
    script = script_of(node)
    if script is not None:
        return shell.programs_of_text(document, script, variables)
    made = controller_words.words(label, *_LAUNCHERS[server.engine])
    made += _model_words(server)
    made += [word for section in server.sections for word in _settings(server, section)]
    made += [word for value in arguments(server) for word in _argument_words(document, value, variables)]
    unseen = controller_words.unseen(label, _TEMPLATES)
    return (Program((*made, unseen, unseen), False, document, label),)


def _settings(server: Server, section: MappingNode) -> list[Word]:
    """Keys that are options of the engine, spelled as charts do."""
    made: list[Word] = []
    for key, name, value in section.pairs():
        flag = flag_of(server.engine, key)
        anchor = name.resolved
        if flag is None or not isinstance(value, ScalarNode) or not isinstance(anchor, ScalarNode):
            continue
        if value.is_null or not value.text.strip():
            continue
        if flag.switch:
            made += controller_words.words(anchor, flag.name) if value_words.is_true(section, key) else []
        else:
            made += [*controller_words.words(anchor, flag.name), value_words.value(value)]
    return made


def _argument_words(document: Document, value: Node, variables: Environment) -> list[Word]:
    if isinstance(value, SequenceNode):
        return [word for item in value.items for word in _item_words(document, item.resolved, variables)]
    if isinstance(value, ScalarNode):
        return controller_words.of_text(document, value, variables)
    made: list[Word] = []
    if isinstance(value, MappingNode):
        for key, name, node in value.pairs():
            anchor = name.resolved
            # What templates make of false differs (no option, or one with a value), so that nothing is said of it.
            if not isinstance(anchor, ScalarNode) or value_words.is_false(value, key):
                continue
            made += controller_words.words(anchor, f"--{key.lstrip('-')}")
            if isinstance(node, ScalarNode) and not node.is_null and node.text.strip().lower() not in {"", "true"}:
                made.append(value_words.value(node))
    return made


def _item_words(document: Document, item: Node, variables: Environment) -> list[Word]:
    """One item of a list: templates that join the items for a shell make several words of ``--flag value``."""
    if isinstance(item, ScalarNode) and _SEVERAL.fullmatch(item.text):
        return controller_words.of_text(document, item, variables)
    return controller_words.of_items(document, [item], variables)


def _model_words(server: Server) -> list[Word]:
    node = model(server)
    if node is None:
        return []
    flag = _MODEL_FLAGS.get(server.engine)
    lead = controller_words.words(node, flag) if flag else []
    scheme, separator, _ = node.text.partition("://")
    if separator and scheme.lower() in {"hf", "huggingface"}:
        return [*lead, value_words.part(node, len(scheme) + len(separator))]
    return [*lead, value_words.value(node)]


def _environment(document: Document, node: MappingNode) -> Environment:
    """``env`` as Kubernetes' list, or as a mapping; further variables may come from the templates."""
    listed = dict(environment(document, node))
    for name, _, value in node.entries_at("env"):
        if isinstance(value, ScalarNode) and not value.is_null:
            label = f"env.{name}"
            listed[name] = Fact.known(label, value.text, Origin(OriginKind.FILE, label, Place.of(document, value)))
    return Environment(listed, f"it may come from {_TEMPLATES}")


def _gpus(server: Server) -> tuple[Fact[int], str]:
    document = server.document
    outer = (mapping for mapping in (server.holder, server.frame) if mapping is not None)
    for node in (server.node, *outer):
        holder = asking(node) if node is not server.frame else node
        asked = devices.devices(holder)
        if asked.resource:
            return devices.count(document, holder, together((document, asked.limit), (document, asked.request))), asked.resource
    counted = count_of(server)
    beside = asking_beside(server) if counted is None else None
    if beside is not None:
        asked = devices.devices(beside)
        return devices.count(document, beside, together((document, asked.limit), (document, asked.request))), asked.resource
    if counted is None:
        return Fact.unknown(devices.NAME, REASON, REMEDY), ""
    stated = launches.whole(document, counted, devices.NAME, "the number of GPUs")
    amd = "rocm" in server.reference.lower()
    return stated or Fact.unknown(devices.NAME, REASON, REMEDY), "amd.com/gpu" if amd else "nvidia.com/gpu"


def _accelerator(server: Server) -> Fact[Any] | None:
    document = server.document
    outer = (mapping for mapping in (server.holder, server.frame) if mapping is not None)
    places = [server.node, *inside(server.node), *outer]
    for place in places:
        found = scheduling.accelerator(document, with_terms(place))
        instance = next((v for key, _, v in place.pairs() if kebab(key) == "instance-type"), None)
        if found is None and isinstance(instance, ScalarNode) and not instance.is_null:
            found = scheduling.accelerator(document, labelled("node.kubernetes.io/instance-type", instance))
        if found is not None:
            return found
    from servelint.catalogue import accelerators  # lazy: only recognised values need it

    for section in server.sections:
        for key, _, value in section.pairs():
            if kebab(key) in GPU_TYPES and isinstance(value, ScalarNode) and (known := accelerators.find_all(value.text)):
                return Fact.either(scheduling.NAME, known, Origin(OriginKind.FILE, key, Place.of(document, value)))
    return None


def _replicas(document: Document, node: Node) -> tuple[Fact[int], Fact[int]]:
    for key in ("autoscaling", "hpa", "scaling", "keda", "autoscaler"):
        scaled = node.get(key)
        if scaled is None or not (value_words.is_true(scaled, "enabled") or scaled.get("enabled") is None):
            continue
        low = launches.whole(document, scaled.get("minReplicas") or scaled.get("minReplicaCount"), "replicas.min", "minReplicas")
        high = launches.whole(document, scaled.get("maxReplicas") or scaled.get("maxReplicaCount"), "replicas.max", "maxReplicas")
        if low is not None or high is not None:
            unknown: Fact[int] = Fact.unknown("replicas.min", REASON, REMEDY)
            return low or unknown, high or unknown._replace(name="replicas.max")
    for key, _, value in node.entries_at():
        if kebab(key) in REPLICAS:
            stated = launches.whole(document, value, "replicas.min", key)
            if stated is not None:
                return stated, stated._replace(name="replicas.max")
    unknown = Fact.unknown("replicas.min", REASON, REMEDY)
    return unknown, unknown._replace(name="replicas.max")


def _nodes(server: Server) -> Fact[int] | None:
    for section in server.sections:
        for key, _, value in section.pairs():
            if kebab(key) in NODES:
                stated = launches.whole(server.document, value, "nodes", key, least=1)
                if stated is not None:
                    return stated
    named = [value.text for mapping in (server.node, *server.around[:1]) for value in engine_names(mapping)]
    many = any(value_words.is_true(server.node.get(key), "enabled") for key in _GROUPS)
    many = many or any({"lws", "ray"} & set(kebab(text).split("-")) for text in named)
    return Fact.unknown("nodes", REASON, REMEDY) if many else None
