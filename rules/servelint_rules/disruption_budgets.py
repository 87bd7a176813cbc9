"""K8S624: disruption budgets that allow no disruption at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.facts import Place
from servelint.finding import Certainty, Proposal, Related, Severity, Verdict
from servelint.formats.role_groups import labels_of, selector_of
from servelint.rulebook import Scope, rule
from servelint.source.nodes import ScalarNode
from servelint.source.scalars import whole
from servelint_rules.figures import count
from servelint_rules.workloads import Workload, is_beside, workloads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import WorkspaceCase
    from servelint.formats.run_objects import KubernetesObject


@rule(
    "K8S624", "pdb-blocks", "Disruption budget that no eviction can meet",
    severity=Severity.WARNING, certainty=Certainty.PROVEN, scope=Scope.WORKSPACE, since="0.1.0",
    inputs=("other files of the run",),
)  # fmt: skip
def pdb_blocks(case: WorkspaceCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A PodDisruptionBudget that selects an engine's pods and asks for as many available pods as there are at most
    (`minAvailable` equal to the replicas, or 100 %), or allows none to be unavailable (`maxUnavailable: 0`).

    ## Why it matters

    Every eviction is refused, for ever: `kubectl drain`, node upgrades and consolidation wait until somebody deletes the
    pod by hand. On GPU nodes, which are few and dear, that holds up the whole pool.

    ## How to fix

    Allow one pod to be away (`maxUnavailable: 1`) and run one replica more than the load needs. A service of one replica
    cannot be kept through a drain by a budget; leave it out there.

    ## Certainty

    Proven from the selector, the budget and the number of replicas, all in the files of the run. A warning, since some
    want exactly that.

    ## References

    - [Kubernetes: disruptions](https://kubernetes.io/docs/concepts/workloads/pods/disruptions/)
    - [Kubernetes: specifying a disruption budget, arbitrary workloads](https://kubernetes.io/docs/tasks/run-application/configure-pdb/)
    """
    if not case.objects.mentions("PodDisruptionBudget"):
        return
    every = list(workloads(case))
    words = sorted({value for workload in every for _, value in labels_of(workload.pool)})
    for budget in case.objects.of_kind("PodDisruptionBudget", words):
        wanted = set(selector_of(budget) or ())
        chosen = [w for w in every if wanted and is_beside(w, budget) and wanted <= set(labels_of(w.pool))]
        if len(chosen) == 1 and (verdict := _verdict(budget, chosen[0])) is not None:
            yield verdict


def _verdict(budget: KubernetesObject, workload: Workload) -> Verdict | None:
    pool = workload.pool
    least, most = budget.node.get("spec", "minAvailable"), budget.node.get("spec", "maxUnavailable")
    node = least if least is not None else most
    if not isinstance(node, ScalarNode):
        return None
    pods = pool.replicas_max.value * pool.nodes.value if pool.replicas_max.is_known and pool.nodes.is_known else None
    if least is None:
        if node.text not in ("0", "0%"):
            return None
        label = f"no pod of {workload.deployment.name} may ever be away"
    elif node.text == "100%":
        label = f"all pods of {workload.deployment.name} are to be available at any time"
    elif pods is not None and (whole(node.text) or 0) >= max(pods, 1):
        label = f"{node.text} of {count(pods, 'pod')} of {workload.deployment.name} are to be available at any time"
    else:
        return None
    place = pool.replicas_max.place
    stated = pool.replicas_max.is_stated and place is not None
    return Verdict(
        Place.of(budget.document, node),
        label,
        related=(Related(place, count(pool.replicas_max.value, "replica")),) if stated and place is not None else (),
        proposals=(Proposal("allow one pod to be unavailable: maxUnavailable: 1", False, None),),
        key=budget.name,
    )
