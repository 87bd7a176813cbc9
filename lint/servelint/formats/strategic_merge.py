"""A template with a patch laid over it, as Kubernetes' strategic merge does, for patches that stand in the object itself.

The tree that comes out is of new mappings and lists around the scalars of both, which keep their places. Edits of such a
mapping are refused by themselves: it stands nowhere in the document.

Source: ``k8s.io/apimachinery/pkg/util/strategicpatch``; the merge keys are those of ``k8s.io/api/core/v1``.
"""

from __future__ import annotations

from servelint.source.nodes import MappingNode, Node, ScalarNode, SequenceNode

_KEYS = {
    "containers": "name", "initContainers": "name", "ephemeralContainers": "name", "volumes": "name", "env": "name",
    "imagePullSecrets": "name", "resourceClaims": "name", "claims": "name", "ports": "containerPort",
    "volumeMounts": "mountPath", "volumeDevices": "devicePath", "hostAliases": "ip", "topologySpreadConstraints": "topologyKey",
}  # fmt: skip
_DEEPEST = 32


def merged(base: Node, patch: Node, depth: int = 0) -> Node:
    """``base`` with ``patch`` over it: mappings are merged, lists by the key of their items or replaced, null removes."""
    over, under = patch.resolved, base.resolved
    if not isinstance(over, MappingNode) or not isinstance(under, MappingNode) or depth > _DEEPEST:
        return over
    if over.text_at("$patch") == "replace":
        return over
    entries = dict(_named(under))
    for name, (key, value) in _named(over).items():
        if name == "$patch":
            continue
        if isinstance(value, ScalarNode) and value.is_null:
            entries.pop(name, None)
        elif name in entries:
            entries[name] = (key, _value(name, entries[name][1], value, depth + 1))
        else:
            entries[name] = (key, value)
    node = MappingNode(over.span, False)
    node.entries = list(entries.values())
    return node


def _named(mapping: MappingNode) -> dict[str, tuple[Node, Node]]:
    return {name: (key, value) for name, key, value in mapping.pairs()}


def _value(name: str, base: Node, patch: Node, depth: int) -> Node:
    key = _KEYS.get(name)
    if key is None or not isinstance(base, SequenceNode) or not isinstance(patch, SequenceNode):
        return merged(base, patch, depth)
    items = [item.resolved for item in base.items]
    for item in (each.resolved for each in patch.items):
        at = next((i for i, other in enumerate(items) if _same(other, item, key)), None)
        deleted = item.text_at("$patch") == "delete"
        if at is None and not deleted:
            items.append(item)
        elif at is not None:
            items[at : at + 1] = [] if deleted else [merged(items[at], item, depth)]
    node = SequenceNode(patch.span, False)
    node.items = items
    return node


def _same(one: Node, other: Node, key: str) -> bool:
    name = one.text_at(key)
    return name is not None and name == other.text_at(key)
