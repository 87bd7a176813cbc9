"""K8S639: tolerations of the GPU nodes' taint that differ from it by a letter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.facts import Place
from servelint.finding import Certainty, Proposal, Severity, Verdict
from servelint.formats import devices
from servelint.rulebook import Scope, rule
from servelint.source.nodes import ScalarNode
from servelint_rules import guards, pods

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import ContainerCase


@rule(
    "K8S639", "toleration-misspelt", "Toleration misses the taint of GPU nodes by a letter",
    severity=Severity.WARNING, certainty=Certainty.HEURISTIC, scope=Scope.CONTAINER, since="0.1.0",
    formats=(*guards.TEMPLATED, "kserve", "dynamo", "ome"), fixable=True,
)  # fmt: skip
def toleration_misspelt(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    Keys of a pod's tolerations that differ in a letter or two, or in the domain alone, from the GPU resource that its engine
    asks for (`nvidia/gpu`, `nvidia.com/gpus` beside `nvidia.com/gpu`), where no toleration has the key itself.

    ## Why it matters

    GPU nodes carry the taint `nvidia.com/gpu` (managed clusters set it, and some add the toleration by an admission
    controller). A toleration of another key tolerates nothing: without that controller the pod stays `Pending`, and the
    scheduler's message speaks of an "untolerated taint" that the manifest seems to tolerate.

    ## How to fix

    Write the key of the taint: `kubectl describe node` shows it.

    ## Certainty

    Heuristic: a cluster can have taints of its own of such a name.

    ## References

    - [Kubernetes: taints and tolerations](https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/)
    - [GKE: GPU nodes are tainted nvidia.com/gpu=present:NoSchedule](https://cloud.google.com/kubernetes-engine/docs/how-to/gpus)
    """
    container = case.container
    pod, resource = container.pod, devices.devices(container.node).resource
    if pod is None or resource not in devices.COUNTED or not pods.speaks_for(container, case.deployment):
        return
    keys = [node for each in pod.node.elements_at("spec", "tolerations") if isinstance(node := each.get("key"), ScalarNode)]
    if any(node.text == resource for node in keys):
        return
    from servelint.source import edits  # lazy: few pods tolerate what is not there

    for node in keys:
        if _is_near(node.text, resource):
            yield Verdict(
                Place.of(container.document, node),
                f"the taint of such nodes is {resource}; this tolerates {node.text}",
                proposals=(Proposal(f"write {resource}", False, edits.set_scalar(container.document, node, resource)),),
                key=node.text,
            )


def _is_near(key: str, resource: str) -> bool:
    domain, _, name = resource.partition("/")
    vendor = domain.partition(".")[0]
    if key in (f"{vendor}/{name}", f"{vendor}.io/{name}", f"{domain}.{name}", f"{domain}/{name}s", f"{domain}-{name}"):
        return True
    if not (key.startswith(vendor[:3]) and key.endswith(name[-2:])) or abs(len(key) - len(resource)) > 1:
        return False
    from difflib import SequenceMatcher  # lazy: few keys are near

    return SequenceMatcher(None, key, resource).ratio() >= 0.9
