"""The environment of a container, as Kubernetes builds it from ``env`` and ``envFrom``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.deployment import Environment
from servelint.facts import Fact, Origin, OriginKind, Place, UnknownFact
from servelint.formats.writers import ScalarWriter
from servelint.source.nodes import ScalarNode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document, Node


def environment(
    document: Document,
    container: Node,
    given: Mapping[str, Fact[str]] | None = None,
    surroundings: Surroundings | None = None,
) -> Environment:
    """The container's environment. ``given``: what a controller puts in front of the container's own variables.

    ``$(NAME)`` in a value is replaced where NAME stands earlier in the list, as the kubelet does; ``$$`` is a ``$``.
    ConfigMaps are looked up in ``surroundings``.
    """
    listed: dict[str, Fact[str]] = dict(given or {})
    open_reason = ""
    for item in container.elements_at("envFrom"):
        reference = item.get("configMapRef")
        found = _config_map(reference, surroundings) if reference is not None else None
        if found is not None:
            listed.update(_entries(*found, item.text_at("prefix") or ""))
        elif reference is not None or item.get("secretRef") is not None:
            open_reason = "it may come from envFrom, whose ConfigMap or Secret is not at hand"
    for item in container.elements_at("env"):
        name = item.text_at("name")
        if name:
            listed[name] = _variable(document, name, item, Environment(listed, open_reason), surroundings)
    return Environment(listed, open_reason)


def _config_map(reference: Node, surroundings: Surroundings | None) -> tuple[Document, Node] | None:
    """The ConfigMap that ``reference`` names, with its document; None where it is not at hand."""
    if surroundings is None:
        return None
    from servelint.formats import objects  # lazy: few containers take their variables from a ConfigMap

    return objects.named(surroundings, "ConfigMap", reference.text_at("name") or "")


def _entries(document: Document, config_map: Node, prefix: str) -> Iterator[tuple[str, Fact[str]]]:
    for key, _, value in config_map.entries_at("data"):
        if isinstance(value, ScalarNode):
            label = f"env.{prefix}{key}"
            yield (
                prefix + key,
                Fact.known(label, value.text, Origin(OriginKind.FILE, f"ConfigMap {key}", Place.of(document, value))),
            )


def _variable(document: Document, name: str, item: Node, before: Environment, surroundings: Surroundings | None) -> Fact[str]:
    label = f"env.{name}"
    value = item.get("value")
    if isinstance(value, ScalarNode):
        origin = Origin(OriginKind.FILE, label, Place.of(document, value))
        if "$" not in value.text:
            return Fact.known(label, value.text, origin, ScalarWriter(document, value))
        try:
            return Fact.known(label, expand(value.text, before), origin)
        except UnknownFact as unknown:
            return Fact.unknown(label, f"its value refers to {unknown.fact.removeprefix('env.')}: {unknown.reason}", "", origin)
    place = Place.of(document, item)
    source = item.entries_at("valueFrom")
    reference = item.get("valueFrom", "configMapKeyRef")
    found = _config_map(reference, surroundings) if reference is not None else None
    if found is not None and reference is not None:
        entry = found[1].get("data", reference.text_at("key") or "")
        if isinstance(entry, ScalarNode):
            return Fact.known(label, entry.text, Origin(OriginKind.FILE, label, Place.of(found[0], entry)))
    if source:
        kind, _, node = source[0]
        what = node.text_at("name") or node.text_at("fieldPath") or node.text_at("resource") or ""
        reason = f"it comes from {kind} {what}".strip()
        return Fact.unknown(label, reason, f"state the value of {name} in the manifest", Origin(OriginKind.FILE, label, place))
    return Fact.known(label, "", Origin(OriginKind.FILE, label, place))


def expand(text: str, variables: Mapping[str, Fact[str]]) -> str:
    """``text`` with every ``$(NAME)`` replaced, as the kubelet does for env, command and args.

    Raises :class:`UnknownFact` for a variable that is not known. One that does not exist stays as written, unless it may
    be a link to a Service (``…_SERVICE_HOST``), which the kubelet adds.
    Source: ``k8s.io/kubernetes/third_party/forked/golang/expansion``.
    """
    parts: list[str] = []
    position = 0
    while True:
        dollar = text.find("$", position)
        if dollar < 0 or dollar + 1 == len(text):
            parts.append(text[position:])
            return "".join(parts)
        parts.append(text[position:dollar])
        following = text[dollar + 1]
        end = text.find(")", dollar) if following == "(" else -1
        if following == "$":
            parts.append("$")
            position = dollar + 2
        elif end > 0:
            name = text[dollar + 2 : end]
            fact = variables.get(name)
            if fact is not None:
                parts.append(fact.value)
            elif "_SERVICE_" in name or name.endswith("_PORT"):
                raise UnknownFact(f"env.{name}", "the kubelet sets it from a Service")
            else:
                parts.append(text[dollar : end + 1])
            position = end + 1
        else:
            parts.append("$")
            position = dollar + 1
