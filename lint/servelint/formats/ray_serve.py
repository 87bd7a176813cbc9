"""Ray Serve applications that serve LLMs with Ray's own builders: each LLM configuration becomes a pool.

``applications[].args`` holds ``llm_configs`` (one model each), ``llm_config`` (one model whose data-parallel ranks are Serve
replicas) or ``prefill_config`` and ``decode_config`` (one model in two roles). Defaults: one replica; ``num_replicas: auto``
scales between 1 and 100 (python/ray/serve/config.py); GPUs by TP × PP.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.deployment import Container, Deployment, Pool, Role
from servelint.engines.values import fact_name
from servelint.facts import Fact, Origin, OriginKind, Place
from servelint.formats import launches, model_uris, ray_cluster
from servelint.formats.unstated_facts import FROM_ARGUMENTS
from servelint.records import NamedTuple
from servelint.source.nodes import MappingNode, ScalarNode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from servelint.catalogue.accelerators import Accelerator
    from servelint.engines.versions import Version
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document, Node

_LAUNCHER = "Ray Serve LLM"
_DEFAULT_ENGINE = "default of Ray Serve LLM for llm_engine"
_ROLES = (("prefill_config", Role.PREFILL), ("decode_config", Role.DECODE))
_MOST_AUTO = 100
_OLDER = ("rayllm", "aviary")  # RayLLM before Ray 2.44, whose models are files
# What Ray calls accelerators (python/ray/util/accelerators) where the catalogue has another name.
_ACCELERATORS = {
    "AMD-Instinct-MI325X-OAM": "MI325X", "AMD-Instinct-MI350X-OAM": "MI350X", "AMD-Instinct-MI355X-OAM": "MI355X",
    "AMD-Instinct-MI300X-HF": "MI300X", "TPU-V5LITEPOD": "TPU v5e", "TPU-V4": "TPU v4", "A10": "A10G",
}  # fmt: skip


class Application(NamedTuple):
    """One application of a Serve configuration, and what it runs on. ``document`` may stand in a string of another."""

    document: Document
    node: Node
    cluster: Sequence[ray_cluster.Group]
    owner: str

    @property
    def label(self) -> Node:
        return self.node.get("name") or self.node.get("import_path") or self.node


def of_configuration(document: Document, surroundings: Surroundings) -> Iterator[Deployment]:
    """A Serve configuration file: the cluster it is deployed to is elsewhere."""
    root = document.root
    if root is not None:
        yield from deployments(document, root, (), "Serve configuration", root.text_at("name") or "", surroundings)


def of_llm_configuration(document: Document, surroundings: Surroundings) -> Iterator[Deployment]:
    """One LLM configuration in a file of its own, which a Serve configuration names."""
    root = document.root
    if root is not None:
        nothing = Application(document, MappingNode(root.span, False), (), "LLM configuration")
        pool = _pool(nothing, root, Role.SERVE, surroundings)
        yield Deployment(pool.name, "ray", document.physical, (pool,))


def deployments(
    document: Document,
    configuration: Node,
    cluster: Sequence[ray_cluster.Group],
    owner: str,
    name: str,
    surroundings: Surroundings,
) -> Iterator[Deployment]:
    """The LLMs of a Serve configuration. ``name``: of the object that holds it, "" for none."""
    found: list[tuple[str, tuple[Pool, ...]]] = []
    for node in configuration.elements_at("applications"):
        application = Application(document, node, cluster, owner)
        title = node.text_at("name") or node.text_at("import_path") or "application"
        found += [(pools[0].name if len(pools) == 1 else title, pools) for pools in _models(application, surroundings)]
    for title, pools in found:
        whole = name if name and len(found) == 1 else f"{name}/{title}" if name else title
        yield Deployment(whole, "ray", document.physical, pools)


def _models(application: Application, surroundings: Surroundings) -> Iterator[tuple[Pool, ...]]:
    """The pools of each model that the application serves."""
    node = application.node
    pair = tuple(
        _pool(application, config, role, surroundings)._replace(name=role.value)
        for key, role in _ROLES
        if (config := node.get("args", key)) is not None
    )
    if pair:
        yield pair
        return
    single = node.get("args", "llm_config")
    configs = [*node.elements_at("args", "llm_configs"), *([single] if single is not None else [])]
    if not configs and any(mark in (node.text_at("import_path") or "") for mark in _OLDER):
        configs = [c for c in node.elements_at("args", "models") if isinstance(c, ScalarNode)]
    for config in configs:
        yield (_pool(application, config, Role.SERVE, surroundings),)
    if not configs:
        from servelint.formats import ray_apps  # lazy: applications of one's own are read by other signs

        pool = ray_apps.pool(application, surroundings)
        if pool is not None:
            yield (pool,)


def _pool(application: Application, config: Node, role: Role, surroundings: Surroundings) -> Pool:
    if isinstance(config, ScalarNode):
        return _from_file(application, config, role)
    from servelint.engines import config_arguments  # lazy, as below: a configuration in a file needs neither
    from servelint.engines.flags import flag_table

    document = application.document
    name = (config.text_at("llm_engine") or "vllm").lower()
    engine = next((e for e in surroundings.engines if e.name == name), None)
    kwargs = config.get("engine_kwargs")
    settings = kwargs if isinstance(kwargs, MappingNode) else MappingNode(config.span, False)
    label = config.get("model_loading_config", "model_id") or config
    stated = accelerator(document, config.get("accelerator_type"))
    if engine is None:
        reason = f"llm_engine is {name}, which is not known here"
        pool = Pool(name=_name(label), place=Place.of(document, label), role=role)
        return pool._replace(engine=Fact.unknown("engine.name", reason), model=_model(document, config))
    envs = [node for node in (config.get("runtime_env"), application.node.get("runtime_env")) if node is not None]
    version = installed(document, envs, name)
    command = config_arguments.command(
        name, document, settings, flag_table(name), version.get(None) if version else None, launcher=_LAUNCHER, separator="_"
    )
    facts = engine.facts(command, {})
    world = _scaled(ray_cluster.world_of(facts, default=1), facts.get("data"))
    spread = "SPREAD" in (config.text_at("placement_group_config", "strategy") or "").upper()
    placement = ray_cluster.place(application.cluster, world, stated, spread=spread)
    group = placement.group
    found = ray_cluster.accelerator_of(stated, group)
    if found is not None:
        facts["accelerator"] = found
    facts["model"] = _model(document, config)
    facts["replicas_min"], facts["replicas_max"] = _replicas(document, config.get("deployment_config"), facts.get("data"))
    facts.pop("nodes", None)
    place = group.container if group is not None else config
    image = ray_cluster.image_of(group)
    container = Container(
        _name(label), document.physical, place, name, image, group.pod(application.owner) if group else None, command
    )
    named = config.get("llm_engine")
    origin = Origin(OriginKind.DEFAULT, _DEFAULT_ENGINE)
    if named is not None:
        origin = Origin(OriginKind.FILE, "llm_engine", Place.of(document, named))
    pool = Pool(
        name=_name(label),
        place=Place.of(document, label),
        role=role,
        containers=(container,),
        engine=Fact.known("engine.name", name, origin),
        version=version or engine.version(image),
        **placement.facts(),
    )
    return pool.with_facts(facts)


def _name(label: Node) -> str:
    return (label.text if isinstance(label, ScalarNode) else "") or "llm"


def _scaled(world: Fact[int], data: Fact[int] | None) -> Fact[int]:
    """The ranks of one replica. With data-parallel builders each rank is a Serve replica with its own placement group."""
    if data is None or not world.is_known:
        return world
    if not data.is_known:
        return Fact.unknown(world.name, data.reason, data.remedy)
    return world.map(lambda ranks: ranks * data.value)


def _from_file(application: Application, config: ScalarNode, role: Role) -> Pool:
    """A configuration that the application names by its path: nothing of it is known here."""
    document = application.document
    reason = f"the LLM configuration is in {config.text}"
    remedy = "lint that file too"
    origin = Origin(OriginKind.FILE, "llm_configs", Place.of(document, config))
    unknown: dict[str, Any] = {
        name: Fact.unknown(fact_name(name), reason, remedy, origin)
        for name in ("version", "model", "replicas_min", "replicas_max", *FROM_ARGUMENTS)
    }
    # The only engine that an LLMConfig takes (ray/llm/_internal/serve/configs: class LLMEngine).
    unknown["engine"] = Fact.known("engine.name", "vllm", Origin(OriginKind.DEFAULT, _DEFAULT_ENGINE))
    placement = ray_cluster.place(application.cluster, Fact.unknown("world_size", reason, remedy))
    title = config.text.rpartition("/")[2].rpartition(".")[0] or config.text or "llm"
    pool = Pool(name=title, place=Place.of(document, config), role=role, **placement.facts())
    found = ray_cluster.accelerator_of(None, placement.group)
    return pool.with_facts({**unknown, **({"accelerator": found} if found is not None else {})})


def _model(document: Document, config: Node) -> Fact[str]:
    """``model_source``, or ``model_id`` where that is absent: a hub id, or the address of weights."""
    source = config.get("model_loading_config", "model_source")
    node = source if source is not None else config.get("model_loading_config", "model_id")
    key = "model_source" if source is not None else "model_id"
    if isinstance(node, ScalarNode):
        return model_uris.named(document, node, key)
    if node is not None:
        bucket = node.text_at("bucket_uri") or "a bucket"
        origin = Origin(OriginKind.FILE, key, Place.of(document, node))
        return Fact.unknown(model_uris.NAME, f"the weights come from {bucket}, which names no model", origin=origin)
    return Fact.unknown(model_uris.NAME, "model_loading_config names no model", "state model_source: org/name")


def accelerator(document: Document, node: Node | None) -> Fact[Accelerator] | None:
    """The accelerator that ``accelerator_type`` names; None where nothing is stated."""
    if not isinstance(node, ScalarNode) or not node.text.strip():
        return None
    from servelint.catalogue import accelerators  # lazy: not every configuration names one

    origin = Origin(OriginKind.FILE, "accelerator_type", Place.of(document, node))
    text = node.text.strip()
    found = accelerators.find_all(_ACCELERATORS.get(text, text))
    if found:
        return Fact.either("accelerator.name", tuple(found), origin)
    return Fact.unknown("accelerator.name", f"{text} is not in the catalogue", origin=origin)


def installed(document: Document, environments: Sequence[Node], engine: str) -> Fact[Version] | None:
    """The version of ``engine`` that a runtime environment installs; the first that says so counts."""
    from servelint.formats.installed_version import requirement

    for environment in environments:
        node = environment.get("pip") or environment.get("uv")
        listed = node.elements_at("packages") if isinstance(node, MappingNode) else environment.elements_at("pip")
        for item in listed or environment.elements_at("uv"):
            found = requirement(document, item, engine) if isinstance(item, ScalarNode) else None
            if found is not None:
                return found
    return None


def _replicas(document: Document, options: Node | None, data: Fact[int] | None) -> tuple[Fact[int], Fact[int]]:
    least, most = replicas(document, [options] if options is not None else [])
    ranks = data.value if data is not None and data.is_known else 1
    if ranks > 1 and least.origin is not None and least.origin.kind is OriginKind.FILE:
        reason = "with data parallelism, whether Serve replicas are ranks or groups of them depends on the release of Ray"
        return Fact.unknown(least.name, reason), Fact.unknown(most.name, reason)
    return least, most


def replicas(document: Document, options: Sequence[Node]) -> tuple[Fact[int], Fact[int]]:
    """Replicas of a Serve deployment, at least and at most. Of several ``options`` the first that says something counts."""
    for node in options:
        scaling = node.get("autoscaling_config")
        if node.text_at("num_replicas") == "auto" or scaling is not None:
            auto = node.text_at("num_replicas") == "auto"
            bounds = scaling if scaling is not None else node
            least = launches.whole(document, bounds.get("min_replicas"), "replicas.min", "min_replicas")
            most = launches.whole(document, bounds.get("max_replicas"), "replicas.max", "max_replicas")
            return least or _default("replicas.min", 1), most or _default("replicas.max", _MOST_AUTO if auto else 1)
        number = launches.whole(document, node.get("num_replicas"), "replicas.min", "num_replicas")
        if number is not None:
            return number, number._replace(name="replicas.max")
    return _default("replicas.min", 1), _default("replicas.max", 1)


def _default(name: str, value: int) -> Fact[int]:
    return Fact.known(name, value, Origin(OriginKind.DEFAULT, "default of Ray Serve"))
