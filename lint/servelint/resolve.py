"""Resolve: completes the facts of a pool from the organization's configuration, the catalogue and the engine's defaults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.facts import Fact, FactState, Origin, OriginKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from servelint.catalogue.architecture import Architecture
    from servelint.config import Config
    from servelint.deployment import Deployment, Pool
    from servelint.engines.base import Engine

    Lookup = Callable[[str], Architecture | None]

# Whose accelerators a resource counts, by its prefix: catalogue names, where the catalogue has any of that vendor.
_VENDORS = (
    ("nvidia.com/", "NVIDIA"), ("amd.com/", "AMD"), ("habana.ai/", "Intel"), ("gpu.intel.com/", "Intel"),
    ("google.com/", "Google"), ("aws.amazon.com/neuron", "AWS"), ("huawei.com/", "Huawei"), ("rebellions.ai/", "Rebellions"),
    ("furiosa.ai/", "Furiosa"), ("cambricon.com/", "Cambricon"), ("hygon.com/", "Hygon"), ("metax-tech.com/", "MetaX"),
    ("mthreads.com/", "Moore Threads"), ("iluvatar.ai/", "Iluvatar"), ("enflame.com/", "Enflame"),
    ("kunlunxin.com/", "Kunlunxin"),
)  # fmt: skip


def _missing(fact: Fact[Any]) -> bool:
    """Nobody stated it (as opposed to: stated, but not knowable)."""
    return fact.state is FactState.UNKNOWN and fact.reason == "not stated"


def _version(pool: Pool, config: Config) -> Fact[Any]:
    engine = pool.engine.get("")
    stated = config.engine_versions.get(engine)
    if pool.version.state is not FactState.UNKNOWN or stated is None:
        return pool.version
    from servelint.engines.versions import Version

    version = Version.parse(str(stated), engine)
    if version is None:
        return Fact.unknown(pool.version.name, f"engine_versions.{engine} is {stated!r}, which is no version")
    return Fact.known(pool.version.name, version, Origin(OriginKind.CONFIG, f"engine_versions.{engine} in {config.path}"))


def _accelerator(pool: Pool, config: Config) -> Fact[Any]:
    if pool.accelerator.state is FactState.UNKNOWN and (config.labels or config.resource_profiles):
        from servelint import placement_names  # lazy: few configurations explain names of their own

        named = placement_names.accelerator(pool, config)
        if named is not None:
            return named
    if not _missing(pool.accelerator):
        return pool.accelerator
    name = pool.accelerator.name
    if config.default_accelerator is None:
        return Fact.unknown(name, "the manifest names no GPU type", "set default_accelerator in servelint.yaml")
    from servelint.catalogue import accelerators

    found = accelerators.find_all(config.default_accelerator)
    if not found:
        near = accelerators.suggest(config.default_accelerator)
        remedy = f"did you mean {near[0]}?" if near else "write a name such as H100-SXM5-80GB or L4"
        return Fact.unknown(name, f"default_accelerator {config.default_accelerator!r} is not in the catalogue", remedy)
    vendor = next((vendor for prefix, vendor in _VENDORS if pool.gpu_resource.startswith(prefix)), "")
    if vendor and all(accelerator.vendor != vendor for accelerator in found):
        reason = f"the pods ask for {pool.gpu_resource}, which {config.default_accelerator} (default_accelerator) is not"
        return Fact.unknown(name, reason, "name the accelerator in the manifest, such as by a node selector")
    return Fact.either(name, found, Origin(OriginKind.CONFIG, "default_accelerator"))


def _architecture(pool: Pool, lookup: Lookup) -> Fact[Any]:
    if not _missing(pool.architecture):
        return pool.architecture
    name = pool.architecture.name
    if not pool.model.is_known:
        reason = pool.model.reason if not _missing(pool.model) else "the manifest does not name the model"
        return Fact.unknown(name, reason, pool.model.remedy)
    model = pool.model.value
    architecture = lookup(model)
    if architecture is None:
        from servelint.catalogue import models  # lazy: the lookup has imported it already

        known = models.entry(model)
        withheld = known.withheld.get("architecture", "") if known is not None else ""
        reason = f"{model}: {withheld}" if withheld else f"{model} is not in the catalogue"
        return Fact.unknown(name, reason, f"give its config.json: --model-config {model}=PATH")
    return Fact.known(name, architecture, Origin(OriginKind.CATALOGUE, architecture.origin))


def complete(deployment: Deployment, config: Config, engines: Mapping[str, Engine], lookup: Lookup) -> Deployment:
    """The deployment with every fact that can be known; a stated fact is never replaced."""
    pools = []
    for stated in deployment.pools:
        pool = stated._replace(
            version=_version(stated, config),
            accelerator=_accelerator(stated, config),
            architecture=_architecture(stated, lookup),
        )
        engine = engines.get(pool.engine.get(""))
        if engine is not None:
            defaults = {field: fact for field, fact in engine.defaults(pool).items() if _missing(getattr(pool, field))}
            pool = pool.with_facts(defaults)
        pools.append(pool)
    return deployment._replace(pools=tuple(pools))
