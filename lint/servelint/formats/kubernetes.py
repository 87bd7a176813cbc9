"""Kubernetes workloads: Pod, Deployment, StatefulSet, ReplicaSet, DaemonSet, Job and CronJob, alone or as items of a List or of
an OpenShift Template; and what others have made like a Deployment: Rollout, CloneSet, DeploymentConfig, Knative's Service."""

from __future__ import annotations

import os.path
from typing import TYPE_CHECKING

from servelint.deployment import Deployment
from servelint.facts import Fact, Origin, OriginKind
from servelint.formats import objects, pod_groups, podspec
from servelint.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document, Node


class _Kind(NamedTuple):
    """``group``: of its apiVersion, "" for the core group. ``pods``: the key that says how many pods, "" where none does.
    ``selects``: it must have a ``spec.selector`` to be accepted. ``ordered``: its pods have an index, so that several can form
    one group. ``path``: to its pod template. ``many``: why the number of its pods is not stated."""

    group: str
    pods: str = "replicas"
    selects: bool = True
    ordered: bool = False
    path: tuple[str, ...] = ("spec", "template")
    many: str = ""


_KINDS = {
    "Pod": _Kind("", "", selects=False, path=()),
    "Deployment": _Kind("apps"),
    "ReplicaSet": _Kind("apps"),
    "StatefulSet": _Kind("apps", ordered=True),
    "DaemonSet": _Kind("apps", "", many="a DaemonSet runs a pod on every node that it selects"),
    "Job": _Kind("batch", "parallelism", selects=False, ordered=True),
    "CronJob": _Kind(
        "batch", "", selects=False, path=("spec", "jobTemplate", "spec", "template"), many="a CronJob starts Jobs by the clock"
    ),
    "Rollout": _Kind("argoproj.io"),
    "CloneSet": _Kind("apps.kruise.io"),
    "DeploymentConfig": _Kind("apps.openshift.io", selects=False),
    "Service": _Kind("serving.knative.dev", "", selects=False),
}
# Kinds that mean one thing alone, also where the apiVersion is left out.
_PLAIN = frozenset(("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Pod", "CronJob"))


class Kubernetes:
    """Plain workloads. Pods of operators (Ray, Dynamo, KServe …) are inside objects of other kinds and are not read here."""

    name = "kubernetes"

    def recognise(self, document: Document, surroundings: Surroundings) -> Iterator[Deployment]:
        for item in objects.items(document, _KINDS):
            deployment = self._object(document, item, surroundings)
            if deployment is not None:
                yield deployment

    def _object(self, document: Document, item: Node, surroundings: Surroundings) -> Deployment | None:
        kind_name = item.text_at("kind") or ""
        kind = _KINDS.get(kind_name)
        group, slash, _ = (item.text_at("apiVersion") or "").rpartition("/")
        unsaid = item.get("apiVersion") is None and kind_name in _PLAIN
        if kind is None or (not unsaid and (group != kind.group or bool(slash) != bool(kind.group))):
            return None
        template = item.get(*kind.path) if kind.path else item
        if template is None:
            return None
        partial = is_partial(document, item, kind)
        called = item.text_at("metadata", "name") or ""
        pools = podspec.engine_pools(document, template, surroundings, owner=kind_name, partial=partial, name=called)
        if not pools:
            return None
        pods, most = _pods(document, item, kind, partial)
        pools = [pod_groups.sized(pods, pool, ordered=kind.ordered, most=most) for pool in pools]
        name = called or item.text_at("metadata", "generateName") or kind_name.lower()
        podspec.report_invalid(surroundings, name, pods)
        notes = (podspec.PATCHED,) if partial else ()
        return Deployment(name, self.name, document, tuple(pools), notes=notes)


def is_partial(document: Document, item: Node, kind: _Kind) -> bool:
    """True for a patch or a base: the API would not accept it as it stands, or it says so by its name or placeholders."""
    if (kind.selects and item.get("spec", "selector") is None) or item.get("apiVersion") is None:
        return True
    template = item.get(*kind.path) if kind.path else item
    return is_patch_file(document.source.path) or (template is not None and is_unfinished(item, template))


def is_patch_file(path: str) -> bool:
    """True where the file's name says that it is a kustomize patch, or its directory that it is a component or overlay."""
    folder, name = os.path.split(path.replace("\\", "/"))
    words = set("".join(c if c.isalnum() else " " for c in name.lower()).split())
    return bool(words & {"patch", "patches"}) or bool(set(folder.lower().split("/")) & {"components", "overlays", "patches"})


def is_unfinished(item: Node, template: Node) -> bool:
    """True where a container has no image, or an image or name waits for kustomize to replace it."""
    names = [item.text_at("metadata", key) for key in ("name", "namespace")]
    if any(name is not None and ("kustomize" in name or name == "*") for name in names):
        return True
    for container in template.elements_at("spec", "containers"):
        reference = container.text_at("image")
        if reference is None or "replace" in reference.lower():
            return True
    return False


def _pods(document: Document, item: Node, kind: _Kind, partial: bool) -> tuple[Fact[int], Fact[int] | None]:
    """How many there are at least, and at most where that is another number."""
    if kind.group == "serving.knative.dev":
        from servelint.formats import knative_scale  # lazy: few workloads are Knative's

        return knative_scale.of_service(document, item, partial=partial)
    if kind.many:
        return Fact.unknown("replicas.min", kind.many), None
    if kind.pods:
        return podspec.replicas(document, item, key=kind.pods, partial=partial), None
    return Fact.known("replicas.min", 1, Origin(OriginKind.DERIVED, "a Pod is one pod")), None
