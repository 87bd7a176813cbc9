"""MEM411: volumes in memory against the memory that a container may use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.finding import Certainty, Proposal, Related, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint_rules.figures import GIB, in_gib
from servelint_rules.host_resources import memory_limit, memory_volumes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import ContainerCase
    from servelint.finding import Edit
    from servelint_rules.host_resources import Size


@rule(
    "MEM411", "shm-counts-as-memory", "Memory-backed volume larger than the memory limit",
    severity=Severity.WARNING, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0", fixable=True,
)  # fmt: skip
def shm_counts_as_memory(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    An `emptyDir` with `medium: Memory` (most often `/dev/shm`) whose `sizeLimit` is at least the memory limit of the container
    that mounts it.

    ## Why it matters

    What is written to such a volume counts as memory of the container that writes. It is killed for its memory limit before
    the volume is full: the size that the manifest promises is not there. Kubernetes caps the volume at the pod's limits, so
    that the other containers' share is at stake as well.

    ## How to fix

    Make the memory limit the sum of both, or the volume smaller. A `sizeLimit` is a ceiling and reserves nothing.

    ## Certainty

    Proven.

    ## References

    - [Kubernetes: emptyDir](https://kubernetes.io/docs/concepts/storage/volumes/#emptydir)
    """
    container = case.container
    limit = memory_limit(container)
    if limit is None:
        return
    for mount, size in memory_volumes(container):
        if size.size_bytes < limit.size_bytes:
            continue
        yield Verdict(
            size.place,
            f"{in_gib(size.size_bytes)} GiB at {mount.path} in a container that may use {in_gib(limit.size_bytes)} GiB",
            related=(Related(limit.place, f"memory limit {in_gib(limit.size_bytes)} GiB"),),
            proposals=(_together(limit, size),),
            key=mount.path,
        )


def _together(limit: Size, volume: Size) -> Proposal:
    size = f"{-(-int(limit.size_bytes + volume.size_bytes) // GIB)}Gi"

    def edits() -> tuple[Edit, ...] | None:
        from servelint.source.edits import set_scalar  # lazy: only fixes write

        return set_scalar(limit.document, limit.node, size)

    return Proposal(f"memory limit {size}: both together", False, edits)
