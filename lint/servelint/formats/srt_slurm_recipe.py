"""From a recipe of srt-slurm to a deployment with a pool for each role. Imported when a recipe is recognised."""

from __future__ import annotations

import os.path
from typing import TYPE_CHECKING, Any

from servelint.deployment import Container, Deployment, Pool, Role
from servelint.facts import Fact, Origin, OriginKind, Place
from servelint.formats import containers, launches, wanted_accelerators
from servelint.formats.engine_config import settings
from servelint.formats.srt_slurm import CONFIGS
from servelint.formats.wanted_accelerators import Wanted
from servelint.records import NamedTuple
from servelint.source.nodes import MappingNode, ScalarNode

if TYPE_CHECKING:
    from servelint.engines.base import Engine
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document, Node

# Settings that srtctl itself reads or replaces (backends/vllm.py, backends/sglang.py).
_OWN = frozenset(("connector", "headless", "host", "port", "master-addr", "nnodes", "node-rank", "dist-init-addr"))
_DEFAULT_GPUS_PER_NODE = 4


class _Role(NamedTuple):
    """``settings``: its key in the engine's settings; ``prefix``: of its keys in ``resources``."""

    role: Role
    settings: str
    prefix: str


_ROLES = (
    _Role(Role.PREFILL, "prefill", "prefill"),
    _Role(Role.DECODE, "decode", "decode"),
    _Role(Role.SERVE, "aggregated", "agg"),
)


def deployments(document: Document, root: MappingNode, surroundings: Surroundings) -> list[Deployment]:
    name = root.text_at("name") or os.path.basename(document.source.path).partition(".")[0]
    stated = root.text_at("backend", "type")
    names = [stated] if stated in CONFIGS else [engine for engine, key in CONFIGS.items() if root.get("backend", key) is not None]
    engine = next((engine for engine in surroundings.engines if engine.name == names[0]), None) if names else None
    if engine is None:
        return []
    pools = []
    for role in _ROLES:
        mapping = root.get("backend", CONFIGS[engine.name], role.settings)
        if isinstance(mapping, MappingNode) and _has_workers(root, role):
            pools.append(_pool(document, root, engine, role, mapping))
    return [Deployment(name, "srt-slurm", document, tuple(pools))] if pools else []


def _has_workers(root: MappingNode, role: _Role) -> bool:
    """The role has workers; settings for a role without any are left over from another recipe."""
    return any(root.get("resources", f"{role.prefix}_{key}") is not None for key in ("workers", "nodes"))


def _pool(document: Document, root: MappingNode, engine: Engine, role: _Role, mapping: MappingNode) -> Pool:
    started = settings.command_of(engine, document, mapping, launcher=f"{CONFIGS[engine.name]} of a recipe", ignored=_OWN)
    image = _image(document, root)
    facts = settings.facts_of(engine, started, {})
    facts.update(_model(document, root, mapping))
    facts.update(_size(document, root, role))
    wanted = _gpu_type(root)
    accelerator = wanted_accelerators.accelerator(document, wanted, "resources.gpu_type")
    if accelerator is not None:
        facts["accelerator"] = accelerator
    facts.update(_lengths(document, root))
    entry = root.entry("backend")
    place = Place.of(document, _key(root, "backend", CONFIGS[engine.name], role.settings) or (entry[0] if entry else root))
    container = Container(role.settings, document, mapping, engine.name, image, None, started)
    return Pool(
        name=role.settings,
        place=place,
        role=role.role,
        containers=(container,),
        gpu_resource=wanted_accelerators.resource(wanted),
        engine=Fact.known("engine.name", engine.name, Origin(OriginKind.FILE, "backend", place)),
        version=engine.version(image),
    ).with_facts(facts)


def _key(root: MappingNode, *path: str) -> Node | None:
    """The key node of the last step of ``path``."""
    parent = root.get(*path[:-1])
    entry = parent.entry(path[-1]) if isinstance(parent, MappingNode) else None
    return entry[0] if entry is not None else None


def _image(document: Document, root: MappingNode) -> Fact[str]:
    """``identity.container.image`` says what an alias in ``model.container`` stands for."""
    for path, what in (
        (("identity", "container", "image"), "identity.container.image"),
        (("model", "container"), "model.container"),
    ):
        node = root.get(*path)
        if isinstance(node, ScalarNode) and ("/" in node.text or ":" in node.text) and not node.text.endswith(".sqsh"):
            origin = Origin(OriginKind.FILE, what, Place.of(document, node))
            if not containers.is_placeholder(node.text):
                return Fact.known(containers.IMAGE, node.text, origin)
    alias = root.text_at("model", "container") or ""
    reason = f"the container {alias!r} is an alias, or a file, of the cluster"
    return Fact.unknown(containers.IMAGE, reason, "state identity.container.image")


def _model(document: Document, root: MappingNode, mapping: MappingNode) -> dict[str, Fact[Any]]:
    """The model: ``model.path: hf:…``, else the identity, else the name that clients use, else the cluster's alias.

    A name for clients says which model it is, not how its weights are quantized.
    """
    path, repository = root.get("model", "path"), root.get("identity", "model", "repo")
    served = mapping.get("served-model-name") or mapping.get("served_model_name")
    if isinstance(path, ScalarNode) and path.text.startswith("hf:"):
        return {"model": _named(document, path, "model.path", path.text.removeprefix("hf:"))}
    if isinstance(repository, ScalarNode):
        return {"model": _named(document, repository, "identity.model.repo", repository.text)}
    if isinstance(served, ScalarNode):
        fact = _named(document, served, "served-model-name", served.text)
        reason = f"the weights lie at {path.text if isinstance(path, ScalarNode) else 'model.path'}, an alias of the cluster"
        return {
            "model": fact,
            "architecture": Fact.unknown("model.architecture", reason, "state identity.model.repo", fact.origin),
        }
    if isinstance(path, ScalarNode) and path.text and not path.text.startswith(("/", "$")):
        return {"model": _named(document, path, "model.path", path.text)}
    where = path.text if isinstance(path, ScalarNode) else "nowhere"
    return {"model": Fact.unknown("model.id", f"the weights lie at {where}", "state identity.model.repo")}


def _named(document: Document, node: ScalarNode, what: str, text: str) -> Fact[str]:
    return Fact.known("model.id", text, Origin(OriginKind.FILE, what, Place.of(document, node)))


def _gpu_type(root: MappingNode) -> list[Wanted]:
    node = root.get("resources", "gpu_type")
    return [Wanted(node.text, None, node)] if isinstance(node, ScalarNode) and node.text else []


def _size(document: Document, root: MappingNode, role: _Role) -> dict[str, Fact[Any]]:
    """Replicas are workers; the hosts of one and its GPUs on each follow from nodes, workers and GPUs of a node."""
    numbers: dict[str, Fact[int] | None] = {}
    for key in (f"{role.prefix}_nodes", f"{role.prefix}_workers", f"gpus_per_{role.prefix}", "gpus_per_node"):
        numbers[key] = launches.whole(document, root.get("resources", key), launches.NODES, f"resources.{key}")
    nodes, workers, own, per_node = numbers.values()
    if per_node is None:
        origin = Origin(OriginKind.DEFAULT, "default of srt-slurm for gpus_per_node")
        per_node = Fact.known(launches.GPUS, _DEFAULT_GPUS_PER_NODE, origin)
    one = Fact.known(launches.REPLICAS, 1, Origin(OriginKind.DERIVED, "one worker"))
    replicas = _renamed(workers or one, launches.REPLICAS)
    facts: dict[str, Fact[Any]] = {"replicas_min": replicas, "replicas_max": _renamed(replicas, "replicas.max")}
    unclear = next((fact for fact in (nodes, workers, own, per_node) if fact is not None and not fact.is_known), None)
    if unclear is not None:
        facts["nodes"] = _renamed(unclear, launches.NODES)
        facts["gpus_per_node"] = _renamed(unclear, launches.GPUS)
        return facts
    count, each = replicas.value, per_node.value
    hosts = nodes.value if nodes is not None else 0
    needed = own.value if own is not None else hosts * each // count if hosts and count else each
    if not each or not needed or not count:
        return facts
    spanned = -(-needed // each)
    exclusive = not hosts or hosts >= count * spanned  # else several workers share a node, or those of another role
    split = Origin(OriginKind.DERIVED, f"{needed} GPUs of a worker on nodes of {each}", (nodes or per_node).place)
    facts["nodes"] = Fact.known(launches.NODES, spanned, split)
    if exclusive and nodes is not None and nodes.value:
        facts["gpus_per_node"] = _renamed(per_node, launches.GPUS)
    else:
        facts["gpus_per_node"] = Fact.known(launches.GPUS, min(needed, each), split)
    return facts


def _renamed(fact: Fact[int], name: str) -> Fact[int]:
    return fact._replace(name=name)


def _lengths(document: Document, root: MappingNode) -> dict[str, Fact[Any]]:
    """The lengths of what the benchmark sends. How many requests at once is what it varies, and no need of the deployment."""
    found: dict[str, Fact[Any]] = {}
    for key, fields in (("isl", ("input_tokens_mean", "input_tokens_max")), ("osl", ("output_tokens_mean", "output_tokens_max"))):
        for field in fields:
            path = field.replace("_tokens_", "_tokens.")
            fact = launches.whole(document, root.get("benchmark", key), f"workload.{path}", f"benchmark.{key}", least=1)
            if fact is not None:
                found[field] = fact
    return found
