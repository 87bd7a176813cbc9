"""What an organization's configuration says its own node labels and resource profiles mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.facts import Fact, Origin, OriginKind, Place
from servelint.source.nodes import ScalarNode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.config import Config
    from servelint.deployment import Container, Pool
    from servelint.source.nodes import Document, Node

_TERMS = ("affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms")


def accelerator(pool: Pool, config: Config) -> Fact[Any] | None:
    """The accelerator of ``pool`` by ``labels`` or ``resource_profiles`` of the configuration; None where neither has any of it.

    A required affinity with several values, or terms, leaves the accelerators of all of them open.
    """
    if not config.labels and not config.resource_profiles:
        return None
    for container in pool.containers:
        for alternatives in _written(container):
            named = [(entry, node, text) for entry, node, kind in alternatives if (text := _meaning(config, entry, kind))]
            if named:
                return _fact(pool, config, container.document, named)
    return None


def _meaning(config: Config, entry: str, kind: str) -> str:
    if kind == "resource_profiles":
        return config.resource_profiles.get(entry, "")
    return config.labels.get(entry, "") or config.labels.get(entry.partition("=")[0], "")


def _written(container: Container) -> Iterator[list[tuple[str, Node, str]]]:
    """What the pods must have, each as its alternatives: (``label=value`` or a profile's name, where it stands, the key of the
    configuration)."""
    holders = [container.node, *([container.pod.node.get("spec")] if container.pod is not None else [])]
    for holder in holders:
        if holder is None:
            continue
        for key, _, value in holder.entries_at("nodeSelector"):
            if isinstance(value, ScalarNode):
                yield [(f"{key}={value.text}", value, "labels")]
        found: list[tuple[str, Node, str]] = []
        for term in holder.elements_at(*_TERMS):
            for expression in term.elements_at("matchExpressions"):
                label = expression.text_at("key")
                values = expression.elements_at("values") if expression.text_at("operator") == "In" else ()
                found += [(f"{label}={value.text}", value, "labels") for value in values if isinstance(value, ScalarNode)]
        if found:
            yield found
        profile = holder.get("resourceProfile")
        if isinstance(profile, ScalarNode):
            yield [(profile.text.partition(":")[0], profile, "resource_profiles")]


def _fact(pool: Pool, config: Config, document: Document, named: list[tuple[str, Node, str]]) -> Fact[Any]:
    from servelint.catalogue import accelerators  # lazy: only where the configuration names one

    name = pool.accelerator.name
    found: dict[str, Any] = {}
    for entry, node, text in named:
        matches = accelerators.find_all(text)
        if not matches:
            reason = f"{config.path} says that {entry} is {text!r}, which is not in the catalogue"
            return Fact.unknown(name, reason, "name it as the catalogue does", _origin(config, document, entry, node))
        found.update((match.name, match) for match in matches)
    entry, node, _ = named[0]
    return Fact.either(name, tuple(found.values()), _origin(config, document, entry, node))


def _origin(config: Config, document: Document, entry: str, node: Node) -> Origin:
    return Origin(OriginKind.CONFIG, f"{entry} in {config.path}", Place.of(document, node))
