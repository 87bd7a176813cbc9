"""The roles of a RoleBasedGroup: one pod per instance, a leader with workers, or components of several kinds.

v1alpha1 has the template in the role (``template`` or ``templateRef`` with ``templatePatch``) and the size of a group in
``leaderWorkerSet``; v1alpha2 has ``standalonePattern``, ``leaderWorkerPattern`` and ``customComponentsPattern`` around them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.facts import Fact
from servelint.formats import custom_resources, pod_groups
from servelint.formats.pod_groups import Group
from servelint.formats.strategic_merge import merged
from servelint.source.nodes import MappingNode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.deployment import Deployment, Pool
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document, Node

_WHO = "RoleBasedGroup"
# api/workloads/constants/env.go; the names of v1alpha1 in api/workloads/v1alpha1/constant.go.
_GIVEN = (
    "RBG_LWP_LEADER_ADDRESS", "RBG_LWP_WORKER_INDEX", "LWS_LEADER_ADDRESS", "LWS_WORKER_INDEX", "RBG_LEADER_ADDRESS",
    "RBG_INDEX", "GROUP_NAME", "ROLE_NAME", "ROLE_INDEX", "RBG_GROUP_NAME", "RBG_ROLE_NAME", "RBG_ROLE_INDEX",
    "RBG_ROLE_INSTANCE_NAME", "RBG_COMPONENT_NAME", "RBG_COMPONENT_INDEX",
)  # fmt: skip
_PATCHES = ("leaderTemplatePatch", "patchLeaderTemplate", "workerTemplatePatch", "patchWorkerTemplate")
_SIZES = ("RBG_LWP_GROUP_SIZE", "LWS_GROUP_SIZE", "RBG_SIZE")


def deployments(document: Document, item: Node, surroundings: Surroundings) -> Iterator[Deployment]:
    kind = item.text_at("kind") or ""
    spec = item.get("spec")
    sets = None
    if kind == "RoleBasedGroupSet":
        sets = custom_resources.number(document, spec, "replicas", "replicas.min", default=1, of=_WHO)
        spec = item.get("spec", "groupTemplate", "spec") or item.get("spec", "template")
    if spec is None:
        return
    shared = {template.text_at("name") or "": template.get("template") for template in spec.elements_at("roleTemplates")}
    pools: list[Pool] = []
    for index, role in enumerate(spec.elements_at("roles")):
        for group in _groups(document, role, index, shared):
            replicas = group.replicas if sets is None else pod_groups.times(sets, group.replicas)
            pools += pod_groups.role_pools(document, group._replace(replicas=replicas), surroundings, owner=kind)
    yield from pod_groups.deployed(document, item, "rbg", pools, surroundings)


def _groups(document: Document, role: Node, index: int, shared: dict[str, Node | None]) -> Iterator[Group]:
    name = role.text_at("name") or f"role-{index}"
    replicas = custom_resources.number(document, role, "replicas", "replicas.min", default=1, of=_WHO)
    components = role.elements_at("customComponentsPattern", "components") or role.elements_at("components")
    for component in components:
        template = component.get("template")
        if template is not None:
            size = custom_resources.number(document, component, "size", "nodes", default=1, of=_WHO, least=1)
            label = f"{name}-{component.text_at('name') or len(components)}"
            yield Group(label, template, None, _of_component(size), replicas, given=_given(size))
    leading = role.get("leaderWorkerPattern")
    pattern = leading or role.get("standalonePattern") or role
    template = _template(pattern, shared)
    if template is None or components:
        return
    group = leading or role.get("leaderWorkerSet")
    if group is None:
        ordered = (role.text_at("workload", "kind") or "StatefulSet") == "StatefulSet" and pattern is role
        yield Group(name, template, None, None, replicas, ordered=ordered, given=_given(None))
        return
    size = custom_resources.number(document, group, "size", "nodes", default=1, of=_WHO, least=1)
    lead = _patched(template, group.get("leaderTemplatePatch") or group.get("patchLeaderTemplate"))
    follow = _patched(template, group.get("workerTemplatePatch") or group.get("patchWorkerTemplate"))
    own = follow if _container_patch(group) else None
    yield Group(name, lead, own, size, replicas, given=_given(size))


def _template(pattern: Node, shared: dict[str, Node | None]) -> Node | None:
    own = pattern.get("template")
    reference = pattern.get("templateRef")
    if own is not None or reference is None:
        return own
    base = shared.get(reference.text_at("name") or "")
    return _patched(base, reference.get("patch") or pattern.get("templatePatch")) if base is not None else None


def _patched(template: Node, patch: Node | None) -> Node:
    return merged(template, patch) if isinstance(patch, MappingNode) else template


def _container_patch(group: Node) -> bool:
    """Leader and workers differ in more than their labels."""
    patches = (
        group.get(key) for key in ("leaderTemplatePatch", "patchLeaderTemplate", "workerTemplatePatch", "patchWorkerTemplate")
    )
    return any(patch is not None and patch.get("spec", "containers") is not None for patch in patches)


def _of_component(size: Fact[int]) -> Fact[int] | None:
    """Pods of one engine among components of several kinds: only a single pod is certain."""
    if size.is_known and size.value == 1:
        return None
    return Fact.unknown("nodes", "which components of the role form one engine is not stated")


def _given(size: Fact[int] | None) -> dict[str, Fact[str]]:
    given = pod_groups.controlled(_GIVEN, "the RBG controller")
    for name in _SIZES:
        unknown: Fact[str] = Fact.unknown(f"env.{name}", "the role has no group of pods")
        given[name] = size.map(str)._replace(name=f"env.{name}") if size is not None else unknown
    return given
