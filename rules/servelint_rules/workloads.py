"""Workloads: the engines' pod templates of a run, and which objects of the run are in the same place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.case import once
from servelint.formats.run_objects import closeness
from servelint.records import NamedTuple
from servelint_rules import guards

if TYPE_CHECKING:
    from servelint.case import WorkspaceCase
    from servelint.deployment import Deployment, Pod, Pool
    from servelint.formats.run_objects import KubernetesObject

# Kinds whose name is that of the object their pods belong to, with a field for the number of pods (or groups).
SCALABLE = frozenset(("Deployment", "StatefulSet", "ReplicaSet", "LeaderWorkerSet"))


class Workload(NamedTuple):
    """One pod template with its first engine. ``namespace`` is "" where the object does not state one."""

    deployment: Deployment
    pool: Pool
    pod: Pod
    namespace: str

    @property
    def path(self) -> str:
        return self.pod.document.source.path

    @property
    def is_whole_document(self) -> bool:
        """The object is the document itself: not an item of a List, nor a part of an object with several templates."""
        return self.pod.document.text_at("kind") == self.pod.owner


@once
def workloads(case: WorkspaceCase) -> tuple[Workload, ...]:
    """The templates of plain workloads that are applied as they stand, each once."""
    return tuple(
        Workload(deployment, pool, pod, pod.document.text_at("metadata", "namespace") or "")
        for deployment, pool, pod in case.pods
        if deployment.format in guards.TEMPLATED
    )


def is_beside(workload: Workload, other: KubernetesObject) -> bool:
    """Whether both end up in one namespace: they state the same one, or neither does and they are in one file or directory."""
    if workload.namespace != other.namespace:
        return False
    if workload.namespace:
        return True
    same_file, _, same_directory = closeness(workload.path, other.path)
    return same_file or same_directory
