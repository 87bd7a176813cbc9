"""Pools that serve one model together: prefill, decode and encode pools of one object, or of several that name each other.

A pool keeps its own place, file and deployment; a group only says which of them belong together, and how that is known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.deployment import Role
from servelint.formats.run_objects import closeness
from servelint.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from servelint.deployment import Deployment, Pool
    from servelint.formats.run_objects import KubernetesObject, RunObjects
    from servelint.source.nodes import Node

_ROLE_WORDS = frozenset(("prefill", "prefiller", "decode", "decoder", "encode", "encoder"))


class RoleGroup(NamedTuple):
    """``joined_by``: what says that they belong together, for people. ``members`` in the order of the files."""

    name: str
    joined_by: str
    members: tuple[tuple[Deployment, Pool], ...]


def groups_of(deployments: Sequence[Deployment], objects: RunObjects) -> list[RoleGroup]:
    """The groups among the deployments of a run. A pool is in one group at most; where it cannot be told which, in none."""
    found = []
    single: list[Deployment] = []
    for deployment in deployments:
        roles = {pool.role for pool in deployment.pools} - {Role.SERVE}
        if not roles:
            continue
        if len(roles) > 1:
            found.append(RoleGroup(deployment.name, "", tuple((deployment, pool) for pool in deployment.pools)))
        elif deployment.plan is None and all(pool.role in roles for pool in deployment.pools):
            single.append(deployment)
    if len(single) > 1:
        by_name = _joined_by_name(single)
        found += by_name
        named = {id(deployment) for group in by_name for deployment, _ in group.members}
        found += _joined_by_selector([each for each in single if id(each) not in named], objects)
    return found


def _role(deployment: Deployment) -> Role:
    return deployment.pools[0].role


def _group(name: str, joined_by: str, deployments: Iterable[Deployment]) -> RoleGroup:
    return RoleGroup(name, joined_by, tuple((deployment, pool) for deployment in deployments for pool in deployment.pools))


def _joined_by_name(single: Sequence[Deployment]) -> list[RoleGroup]:
    """Those whose names differ in the word for the role alone (``llama-prefill``, ``llama-decode``), in one file or directory."""
    found: list[RoleGroup] = []
    grouped: set[int] = set()
    for least in (True, False):  # in one file, then in one directory
        sets: dict[tuple[str, str, str, str], list[Deployment]] = {}
        for deployment in single:
            stem = _stem(deployment.name)
            if id(deployment) in grouped or (not stem and not least):
                continue
            path = deployment.document.source.path
            where = path if least else path.replace("\\", "/").rpartition("/")[0]
            sets.setdefault((where, deployment.format, _namespace(deployment), stem), []).append(deployment)
        for (_, _, _, stem), several in sets.items():
            if _is_pair(several):
                grouped.update(id(deployment) for deployment in several)
                found.append(_group(stem or several[0].name, "their names differ in the role alone", several))
    return found


def _stem(name: str) -> str:
    """The name without the word for the role; "" where nothing else is in it."""
    parts = name.lower().replace("_", "-").replace(".", "-").split("-")
    return "-".join(part for part in parts if part not in _ROLE_WORDS)


def _is_pair(deployments: Sequence[Deployment]) -> bool:
    """One deployment of each role, of two roles or more."""
    roles = [_role(deployment) for deployment in deployments]
    return len(roles) > 1 and len(set(roles)) == len(roles)


def _namespace(deployment: Deployment) -> str:
    return deployment.document.text_at("metadata", "namespace") or ""


def _joined_by_selector(single: Sequence[Deployment], objects: RunObjects) -> list[RoleGroup]:
    """Those whose pods one InferencePool, or one Service, selects together."""
    if len(single) < 2:
        return []
    labels = [(deployment, _namespace(deployment), set(labels_of(deployment.pools[0]))) for deployment in single]
    words = sorted({value for _, _, pairs in labels for _, value in pairs})
    found: list[RoleGroup] = []
    grouped: set[int] = set()
    for kind in ("InferencePool", "Service"):
        for each in objects.of_kind(kind, words):
            wanted = set(selector_of(each) or ())
            fitting = [d for d, namespace, pairs in labels if wanted and wanted <= pairs and namespace == each.namespace]
            chosen = [deployment for deployment in fitting if id(deployment) not in grouped]
            if len(chosen) < 2:
                continue
            ranks = [closeness(each.path, deployment.document.source.path) for deployment in chosen]
            nearest = [d for d, rank in zip(chosen, ranks, strict=True) if rank == max(ranks)]
            if _is_pair(nearest):
                grouped.update(id(deployment) for deployment in nearest)
                found.append(_group(each.name, f"{kind} {each.name} selects them all", nearest))
    return found


def labels_of(pool: Pool) -> list[tuple[str, str]]:
    """The labels of a pool's pods, as far as their template states them."""
    pod = pool.containers[0].pod if pool.containers else None
    return [] if pod is None else label_pairs(pod.node, "metadata", "labels")


def label_pairs(node: Node, *path: str) -> list[tuple[str, str]]:
    return [(key, node.text_at(*path, key) or "") for key, _, _ in node.entries_at(*path)]


def selector_of(each: KubernetesObject) -> list[tuple[str, str]] | None:
    """The labels that a Service, InferencePool or PodDisruptionBudget asks for; None where it asks in other ways."""
    spec = each.node.get("spec", "selector")
    if spec is None or spec.get("matchExpressions") is not None:
        return None
    pairs = label_pairs(spec, "matchLabels") if spec.get("matchLabels") is not None else label_pairs(spec)
    return pairs or None
