"""K8S605: volumes that one node may mount, for pods on several."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.facts import Place
from servelint.finding import Certainty, Proposal, Related, Severity, Verdict
from servelint.records import NamedTuple
from servelint.rulebook import Scope, rule
from servelint.source.nodes import ScalarNode
from servelint_rules import guards, pods
from servelint_rules.figures import count
from servelint_rules.workloads import workloads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import WorkspaceCase
    from servelint.facts import Fact
    from servelint.formats.run_objects import KubernetesObject
    from servelint.source.nodes import Node
    from servelint_rules.workloads import Workload


class _User(NamedTuple):
    """A workload that mounts the claim: where it names it, and how many of its pods there may be at once."""

    workload: Workload
    node: ScalarNode
    pods: int
    counted: tuple[tuple[Fact[int], str], ...]


@rule(
    "K8S605", "pvc-rwo-shared", "Claim for one node, mounted by pods on several",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.WORKSPACE, since="0.1.0",
    formats=(*guards.TEMPLATED, "helm-values"), inputs=("other files of the run",),
)  # fmt: skip
def pvc_rwo_shared(case: WorkspaceCase) -> Iterator[Verdict]:
    """
    ## What it checks

    PersistentVolumeClaims whose only access mode is `ReadWriteOnce` (or `ReadWriteOncePod`) and which more than one pod
    mounts: several replicas, the pods of one group, what an autoscaler may add, or several workloads. So is the claim that
    production-stack's chart makes for each model (`pvcStorage`), which is `ReadWriteOnce` where nothing is stated.

    ## Why it matters

    Such a volume is attached to one node. A pod on another node waits in `ContainerCreating` with "Multi-Attach error for
    volume", and GPU pods land on different nodes as a rule: one of them fills the GPUs of its node. With
    `ReadWriteOncePod` the second pod is not even scheduled.

    ## How to fix

    Take a storage class that many nodes can mount (`ReadWriteMany`; `ReadOnlyMany` for weights that are there already), or
    give each pod a volume of its own: a StatefulSet's `volumeClaimTemplates`, a generic ephemeral volume.

    ## Certainty

    Proven for `ReadWriteOncePod`, which is enforced per pod. For `ReadWriteOnce` a warning: pods that land on one node may
    share it, and some drivers (NFS, host paths) attach nothing. Pods that are pinned to one node are left out, and so is
    the second pod of a rolling update, which K8S604 is about.

    ## References

    - [Kubernetes: persistent volumes, access modes](https://kubernetes.io/docs/concepts/storage/persistent-volumes/#access-modes)
    - [production-stack#107](https://github.com/vllm-project/production-stack/issues/107),
      [dynamo#4964](https://github.com/ai-dynamo/dynamo/pull/4964)
    """
    if any(deployment.format == "helm-values" for deployment in case.deployments):
        from servelint_rules import chart_claims  # lazy: few runs hold values of a chart

        yield from chart_claims.shared(case)
    names = {claim.name for claim in case.objects.of_kind("PersistentVolumeClaim", ("accessmodes",))}
    if not names:
        return
    users: dict[int, tuple[KubernetesObject, list[_User]]] = {}
    for workload in workloads(case):
        if not guards.is_complete(workload.pod):
            continue
        for volume in workload.pod.node.elements_at("spec", "volumes"):
            node = volume.get("persistentVolumeClaim", "claimName")
            if not isinstance(node, ScalarNode) or node.text not in names:
                continue
            claim = case.objects.nearest(workload.pod.document, "PersistentVolumeClaim", node.text, workload.namespace)
            if claim is not None and (modes := _modes(claim.node)) and not pods.is_shared(modes):
                users.setdefault(id(claim.node), (claim, []))[1].append(_user(workload, node))
    for claim, mounted_by in users.values():
        verdict = _verdict(claim, mounted_by)
        if verdict is not None:
            yield verdict


def _modes(claim: Node) -> set[str]:
    return {mode.text for mode in claim.elements_at("spec", "accessModes") if isinstance(mode, ScalarNode)}


def _user(workload: Workload, node: ScalarNode) -> _User:
    pool = workload.pool
    facts = ((pool.replicas_max, "replicas"), (pool.nodes, "pods of one replica"))
    most = pool.replicas_max.get(1) * pool.nodes.get(1)
    return _User(workload, node, most, tuple((fact, what) for fact, what in facts if fact.get(1) > 1))


def _verdict(claim: KubernetesObject, users: list[_User]) -> Verdict | None:
    per_pod = "ReadWriteOncePod" in _modes(claim.node)
    if not per_pod and all(pods.pinned_node(user.workload.pod.node) is not None for user in users):
        return None
    most = max(users, key=lambda user: user.pods)
    total = sum(user.pods for user in users)
    if total < 2:
        return None
    first = claim.node.get("spec", "accessModes", 0) or claim.node
    mode = first.text if isinstance(first, ScalarNode) else "ReadWriteOnce"
    related = [Related(Place.of(claim.document, first), f"{mode}: one {'pod' if per_pod else 'node'} at a time")]
    related += [
        Related(fact.place, f"{fact.value} {what}") for fact, what in most.counted if fact.is_stated and fact.place is not None
    ]
    related += [
        Related(Place.of(user.workload.pod.document, user.node), f"{user.workload.deployment.name} mounts it as well")
        for user in users
        if user is not most
    ]
    whose = "" if len(users) == 1 else f" of {len(users)} workloads"
    return Verdict(
        Place.of(most.workload.pod.document, most.node),
        f"the claim {claim.name} is {mode}, and {count(total, 'pod')}{whose} mount it",
        related=tuple(related),
        proposals=(Proposal("claim a volume that several nodes can mount (ReadWriteMany), or one for each pod", False, None),),
        severity=Severity.ERROR if per_pod else Severity.WARNING,
        certainty=Certainty.PROVEN if per_pod else Certainty.HEURISTIC,
        key=claim.name,
    )
