"""From the configuration of an engine to a deployment, most of whose facts another file (or the command line) states."""

from __future__ import annotations

import os.path
from typing import TYPE_CHECKING

from servelint.deployment import Container, Deployment, Pool, Role
from servelint.facts import Fact, Origin, OriginKind, Place
from servelint.formats import containers, launches, roles
from servelint.formats.engine_config import disaggregated, settings
from servelint.formats.engine_config.keys import owner
from servelint.source.nodes import MappingNode, ScalarNode, walk

if TYPE_CHECKING:
    from collections.abc import Iterable

    from servelint.engines.base import Engine
    from servelint.engines.command import Command
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document

ELSEWHERE = "the command line that names this file"
NOTE = "this is an engine's configuration file: what it does not state stands on the command line that names it"


def in_file(document: Document, root: MappingNode, surroundings: Surroundings) -> list[Deployment]:
    """The deployment of a file that is a configuration."""
    name = os.path.basename(document.source.path).rpartition(".")[0] or "config"
    if disaggregated.is_disaggregated(root):
        trtllm = next((engine for engine in surroundings.engines if engine.name == "trtllm"), None)
        return [disaggregated.deployment(document, root, trtllm, name)] if trtllm is not None else []
    engine = owner(root, surroundings.engines)
    if engine is None:
        return []
    return [_deployment(document, document, root, engine, name)]


def in_config_map(document: Document, root: MappingNode, surroundings: Surroundings) -> list[Deployment]:
    """A deployment for each configuration among the data, unless another object at hand mounts them: it reads them itself."""
    from servelint.source.embedded import EmbeddedDocument, read  # lazy: few ConfigMaps hold a configuration

    title = root.text_at("metadata", "name") or "configmap"
    if _is_used(title, document, surroundings.documents):
        return []
    found = []
    for key, _, node in root.entries_at("data"):
        if isinstance(node, ScalarNode) and "\n" in node.text.strip():
            content = read(document, node)
            engine = owner(content.root, surroundings.engines) if isinstance(content.root, MappingNode) else None
            if engine is not None and isinstance(content.root, MappingNode):
                inner = EmbeddedDocument(document, node, content)
                found.append(_deployment(document, inner, content.root, engine, f"{title}/{key}"))
    return found


def _is_used(name: str, document: Document, documents: Iterable[Document]) -> bool:
    """Another document refers to the ConfigMap by its name."""
    return any(
        isinstance(node, ScalarNode) and node.text == name
        for other in documents
        if other is not document and other.root is not None
        for node in walk(other.root)
    )


def _deployment(physical: Document, document: Document, mapping: MappingNode, engine: Engine, name: str) -> Deployment:
    started = settings.command_of(engine, document, mapping, launcher="configuration file")
    started = started.with_arguments(started.arguments, ELSEWHERE)
    return Deployment(name, "engine-config", physical, (pool(engine, started, physical, name),), notes=(NOTE,))


# TensorRT-LLM is told its phase on the command line; its files are named for it.
_PHASES = {
    "prefill": Role.PREFILL, "context": Role.PREFILL, "ctx": Role.PREFILL,
    "decode": Role.DECODE, "generation": Role.DECODE, "gen": Role.DECODE, "encode": Role.ENCODE,
}  # fmt: skip


def _role(started: Command, physical: Document, name: str) -> Role:
    if started.engine == "trtllm":
        words = "".join(c if c.isalnum() else " " for c in name.lower()).split()
        transfers = any(argument.name == "--cache_transceiver_config" for argument in started.arguments)
        named = {_PHASES[word] for word in words if word in _PHASES}
        return named.pop() if transfers and len(named) == 1 else Role.SERVE
    return roles.role_of(started.node, physical, started, name)


def pool(engine: Engine, started: Command, physical: Document, name: str) -> Pool:
    """The pool of one configuration: its facts, and nothing of where it runs."""
    image: Fact[str] = Fact.unknown(containers.IMAGE, "a configuration file names no image")
    node = started.node
    facts = settings.facts_of(engine, started, {})
    where = "a configuration file does not say it"
    facts["nodes"] = facts.get("nodes", Fact.unknown(launches.NODES, where))
    place = Place.of(physical, launches.label_of(node))
    return Pool(
        name=name,
        place=place,
        role=_role(started, physical, name),
        containers=(Container(name, physical, node, engine.name, image, None, started),),
        engine=Fact.known("engine.name", engine.name, Origin(OriginKind.DERIVED, "whose options the keys are", place)),
        version=engine.version(image),
        gpus_per_node=Fact.unknown(launches.GPUS, where),
        replicas_min=Fact.unknown(launches.REPLICAS, where),
        replicas_max=Fact.unknown("replicas.max", where),
    ).with_facts(facts)
