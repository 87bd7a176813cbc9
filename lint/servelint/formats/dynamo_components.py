"""Components of a Dynamo graph, and the pod templates that the operator makes of them.

``v1beta1`` has a list ``components`` with ordinary pod templates, whose container ``main`` runs the component. ``v1alpha1`` has a
map ``services``, where a pod spec, its main container, environment, mounts and resources stand side by side: the operator puts
them together, with ``gpu`` for ``nvidia.com/gpu`` (or ``gpuType``), and so does :func:`_assembled`.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from servelint.formats.bare_podspecs import mapping_of, template_with
from servelint.formats.environment import environment
from servelint.source.nodes import MappingNode, Node, ScalarNode, SequenceNode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from servelint.facts import Fact
    from servelint.source.nodes import Document

_GPU = "nvidia.com/gpu"


class Component:
    """``node``: what states replicas and hosts. ``label``: what findings about it as a whole mark. ``role``: its type, or its
    type below "worker" where there is one, lower case."""

    def __init__(self, name: str, node: Node, label: Node, role: str) -> None:
        self.name = name
        self.node = node
        self.label = label
        self.role = role

    @cached_property
    def template(self) -> Node | None:
        """Of its pods; None where the operator makes all of it."""
        template = self.node.get("podTemplate")
        return template if template is not None else _assembled(self.node)

    @property
    def main(self) -> Node | None:
        """The container that runs the component."""
        if self.template is None:
            return None
        every = self.template.elements_at("spec", "containers")
        named = [container for container in every if container.text_at("name") == "main"]
        return named[0] if named else every[0] if every else None


def components(item: Node) -> list[Component]:
    """The components of a graph, or the one that a DynamoComponentDeployment is."""
    spec = item.get("spec")
    if spec is None:
        return []
    found = [_named(name, key, node) for name, key, node in spec.entries_at("services") if isinstance(node, MappingNode)]
    for node in spec.elements_at("components"):
        label = node.get("name") or node
        found.append(_named(node.text_at("name") or "component", label, node))
    if not found and item.text_at("kind") == "DynamoComponentDeployment":
        label = spec.get("serviceName") or spec.get("name") or item.get("metadata", "name") or item
        name = label.text if isinstance(label, ScalarNode) else "component"
        found.append(_named(name, label, spec))
    return found


def shared_environment(document: Document, item: Node) -> Mapping[str, Fact[str]]:
    """The variables that the graph gives to every component."""
    spec = item.get("spec")
    items = [*spec.elements_at("envs"), *spec.elements_at("env")] if spec is not None else []
    if not items:
        return {}
    return dict(environment(document, mapping_of(items[0].span, {"env": _sequence(items)})))


def _named(name: str, label: Node, node: Node) -> Component:
    role = node.text_at("subComponentType") or node.text_at("type") or node.text_at("componentType") or ""
    return Component(name, node, label, role.lower())


def _assembled(service: Node) -> Node | None:
    """The pod template of a ``v1alpha1`` service."""
    extra = service.get("extraPodSpec")
    pod = extra if isinstance(extra, MappingNode) else MappingNode(service.span, False)
    main = pod.get("mainContainer")
    if not isinstance(main, MappingNode) and service.get("resources") is None:
        return None
    given = {key: value for key, _, value in main.pairs()} if isinstance(main, MappingNode) else {}
    entries: dict[str, Node] = {**given, "name": ScalarNode(service.span, "main", "")}
    for key, own in (("env", "envs"), ("volumeMounts", "volumeMounts")):
        items = [*service.elements_at(own), *(main.elements_at(key) if isinstance(main, MappingNode) else [])]
        if items:
            entries[key] = _sequence(items)
    secret = service.get("envFromSecret")
    if isinstance(secret, ScalarNode):
        source = mapping_of(secret.span, {"secretRef": mapping_of(secret.span, {"name": secret})})
        own_sources = main.elements_at("envFrom") if isinstance(main, MappingNode) else []
        entries["envFrom"] = _sequence([source, *own_sources])
    for probe in ("livenessProbe", "readinessProbe"):
        stated = service.get(probe)
        if stated is not None:
            entries.setdefault(probe, stated)
    resources = service.get("resources")
    if isinstance(resources, MappingNode):
        entries["resources"] = _resources(resources, main.get("resources") if isinstance(main, MappingNode) else None)
    container = mapping_of(main.span if main is not None else service.span, entries)
    others = [c for c in pod.elements_at("containers") if isinstance(c, MappingNode)]
    rest = MappingNode(pod.span, False)
    rest.entries = [(key, value) for key, value in pod.entries if not _is(key, "mainContainer")]
    template = template_with(rest, container)
    listed = template.get("spec", "containers")
    if isinstance(listed, SequenceNode):
        listed.items += others
    metadata = service.get("extraPodMetadata")
    if metadata is not None:
        template.entries.append((ScalarNode(metadata.span, "metadata", ""), metadata))
    return template


def _resources(resources: MappingNode, own: Node | None) -> MappingNode:
    """Kubernetes' resources: ``gpu`` under the resource it stands for, ``custom`` beside the others; ``own``: the container's,
    which the service's win over."""
    entries: dict[str, Node] = {}
    for side in ("limits", "requests"):
        node = resources.get(side)
        made = {key: value for key, _, value in own.entries_at(side)} if own is not None else {}
        if not isinstance(node, MappingNode):
            if made:
                entries[side] = mapping_of(resources.span, made)
            continue
        made.update((key, value) for key, _, value in node.entries_at("custom"))
        for key, _, value in node.pairs():
            if key == "gpu":
                made[node.text_at("gpuType") or resources.text_at("limits", "gpuType") or _GPU] = value
            elif key not in {"custom", "gpuType"}:
                made[key] = value
        entries[side] = mapping_of(node.span, made)
    claims = resources.get("claims") or (own.get("claims") if own is not None else None)
    if claims is not None:
        entries["claims"] = claims
    return mapping_of(resources.span, entries)


def _is(key: Node, text: str) -> bool:
    name = key.resolved
    return isinstance(name, ScalarNode) and name.text == text


def _sequence(items: Sequence[Node]) -> SequenceNode:
    node = SequenceNode(items[0].span, False)
    node.items = list(items)
    return node
