"""From a Truss with a server of its own to a deployment. Imported when one is recognised."""

from __future__ import annotations

import os.path
from typing import TYPE_CHECKING, Any

from servelint.deployment import Deployment, Environment
from servelint.facts import Fact, Origin, OriginKind, Place
from servelint.formats import containers, launches, wanted_accelerators
from servelint.formats.wanted_accelerators import Wanted
from servelint.records import NamedTuple
from servelint.source.nodes import MappingNode, ScalarNode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.deployment import Pool
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document, Node

_WHAT = "resources.accelerator"
_CACHE = "/app/model_cache/"  # where the volumes of model_cache are mounted
_REPLICAS = "Baseten's autoscaling settings say how many replicas there are"


class _Weights(NamedTuple):
    """A folder of the container, and the model whose files are fetched there."""

    folder: str
    repository: str
    node: ScalarNode


def deployments(document: Document, root: MappingNode, command: ScalarNode, surroundings: Surroundings) -> list[Deployment]:
    """The deployment of the configuration, where its server is an engine."""
    from servelint.engines import shell  # lazy: only recognised configurations are taken apart

    wanted = _of_machine(root.get("resources", "instance_type")) or _wanted(root.get("resources", "accelerator"))
    gpus = wanted_accelerators.gpus(document, wanted, _WHAT)
    variables = _variables(document, root)
    image_node = root.get("base_image", "image")
    reference = image_node.text if isinstance(image_node, ScalarNode) else ""
    image: Fact[str] = Fact.unknown(containers.IMAGE, "Truss builds on its own base image")
    if isinstance(image_node, ScalarNode) and reference:
        image = containers.referred(reference, Origin(OriginKind.FILE, "base_image.image", Place.of(document, image_node)))
    copies: Fact[int] = Fact.unknown(launches.REPLICAS, _REPLICAS)
    facts: dict[str, Fact[Any]] = {"replicas_min": copies, "replicas_max": copies._replace(name="replicas.max")}
    accelerator = wanted_accelerators.accelerator(document, wanted, _WHAT)
    if accelerator is not None:
        facts["accelerator"] = accelerator
    name = root.text_at("model_name") or os.path.basename(os.path.dirname(document.source.path)) or "truss"
    launch = launches.Launch(
        document, name, root, launches.label_of(root), image, reference, shell.programs_of_text(document, command, variables),
        variables, gpus, wanted_accelerators.resource(wanted), _nodes(document, root), facts,
    )  # fmt: skip
    pools = [_with_weights(document, root, pool) for pool in launches.pools(launch, surroundings.engines)]
    return [Deployment(name, "truss", document, tuple(pools))] if pools else []


def _wanted(node: Node | None) -> list[Wanted]:
    """``H100``, which is one of it, and ``H100:8``."""
    if not isinstance(node, ScalarNode) or node.is_null or not node.text.strip():
        return []
    name, colon, number = node.text.strip().partition(":")
    count = 1 if not colon else int(number) if number.isdecimal() and len(number) < 10 else None
    return [Wanted(name, count, node, "" if count is not None else f"{node.text!r} ends in no number")]


def _of_machine(node: Node | None) -> list[Wanted]:
    """``L4:4x16``, beside which ``accelerator`` does not count: of the numbers none is known to be that of its GPUs."""
    if not isinstance(node, ScalarNode) or node.is_null or ":" not in node.text:
        return []
    return [Wanted(node.text.partition(":")[0].strip(), None, node, f"the instance type {node.text} says it")]


def _nodes(document: Document, root: MappingNode) -> Fact[int] | None:
    return launches.whole(document, root.get("resources", "node_count"), launches.NODES, "resources.node_count", least=1)


def _variables(document: Document, root: MappingNode) -> Environment:
    found: dict[str, Fact[str]] = {}
    for name, _, value in root.entries_at("environment_variables"):
        label = f"env.{name}"
        if isinstance(value, ScalarNode) and not value.is_null:
            found[name] = Fact.known(label, value.text, Origin(OriginKind.FILE, label, Place.of(document, value)))
    return Environment(found)


def _with_weights(document: Document, root: MappingNode, pool: Pool) -> Pool:
    """The model of a path below which ``model_cache`` or ``weights`` puts one."""
    command = pool.containers[0].command
    if pool.model.is_known or command is None:
        return pool
    texts = {argument.value.rstrip("/") for argument in command.arguments if argument.value is not None}
    found = next((weights for weights in _weights(root) if weights.folder.rstrip("/") in texts), None)
    if found is None:
        return pool
    from servelint.engines.model_names import hub_id  # lazy: few models are named by a path

    try:
        model = hub_id(found.repository)
    except ValueError:
        return pool
    origin = Origin(OriginKind.FILE, f"{model} is put into {found.folder}", Place.of(document, found.node))
    return pool._replace(model=Fact.known("model.id", model, origin))


def _weights(root: MappingNode) -> Iterator[_Weights]:
    for item in root.elements_at("model_cache"):
        repository, folder = item.get("repo_id"), item.text_at("volume_folder")
        if isinstance(repository, ScalarNode) and folder:
            yield _Weights(_CACHE + folder.strip("/"), repository.text, repository)
    for item in root.elements_at("weights"):
        source, folder = item.get("source"), item.text_at("mount_location")
        if isinstance(source, ScalarNode) and folder and source.text.startswith("hf://"):
            yield _Weights(folder, source.text.removeprefix("hf://").partition("@")[0], source)
