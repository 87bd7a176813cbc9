"""Chart claims: the claim that production-stack's chart makes for the model of an entry, and how many pods mount it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.facts import Place
from servelint.finding import Certainty, Proposal, Related, Severity, Verdict
from servelint.source.nodes import ScalarNode
from servelint_rules import pods
from servelint_rules.figures import count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import WorkspaceCase
    from servelint.deployment import Pool

# The mode where none is stated (helm/templates/pvc.yaml), and what says that all pods are on one node.
_DEFAULT = "ReadWriteOnce"
_PINNED = ("nodeName", "pvcExistingClaimName")


def shared(case: WorkspaceCase) -> Iterator[Verdict]:
    """Entries of ``modelSpec`` with a claim for one node and more than one pod."""
    for deployment in case.deployments:
        for pool in deployment.pools if deployment.format == "helm-values" else ():
            yield from _of_entry(pool)


def _of_entry(pool: Pool) -> Iterator[Verdict]:
    container = pool.containers[0]
    entry, document = container.node, container.document
    size = entry.get("pvcStorage")
    if not isinstance(size, ScalarNode) or not size.text or not entry.text_at("modelURL"):
        return
    modes = list(pods.texts(entry.get("pvcAccessMode")))
    if pods.is_shared(modes) or any(entry.text_at(key) for key in _PINNED):
        return
    mounting = pool.replicas_max.get(1) * pool.nodes.get(1)
    if mounting < 2:
        return
    facts = ((pool.replicas_max, "replicas"), (pool.nodes, "pods of one replica"))
    related = [Related(f.place, f"{f.value} {what}") for f, what in facts if f.get(1) > 1 and f.place is not None]
    mode = entry.get("pvcAccessMode", 0)
    place = Place.of(document, mode) if mode is not None else Place.of(document, size)
    said = f"is {modes[0]}" if modes else f"is {_DEFAULT} where pvcAccessMode is not stated"
    yield Verdict(
        place,
        f"the chart's claim for {container.name} {said}, and {count(mounting, 'pod')} mount it",
        related=tuple(related),
        proposals=(Proposal("pvcAccessMode: [ReadWriteMany], with a storage class that has it", False, None),),
        severity=Severity.WARNING,
        certainty=Certainty.HEURISTIC,
        key=container.name,
    )
