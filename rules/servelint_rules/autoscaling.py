"""K8S614 and K8S615: what scales an engine, on what, and whether it is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.case import once
from servelint.facts import Place
from servelint.finding import Certainty, Proposal, Related, Severity, Verdict
from servelint.formats.run_objects import SCALERS, target_of
from servelint.rulebook import Scope, rule
from servelint.source.nodes import MappingNode, ScalarNode
from servelint_rules import pods
from servelint_rules.figures import count
from servelint_rules.workloads import SCALABLE, workloads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import WorkspaceCase
    from servelint.finding import Edit
    from servelint.formats.run_objects import KubernetesObject
    from servelint.source.nodes import Node
    from servelint_rules.workloads import Workload

_HOST_METRICS = frozenset(("cpu", "memory"))


@rule(
    "K8S614", "autoscale-on-cpu", "Engine scaled by the use of CPU or host memory",
    severity=Severity.WARNING, certainty=Certainty.PROVEN, scope=Scope.WORKSPACE, since="0.1.0",
    inputs=("other files of the run",),
)  # fmt: skip
def autoscale_on_cpu(case: WorkspaceCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A HorizontalPodAutoscaler or KEDA ScaledObject that targets an engine and has no other metric than the use of CPU or
    host memory.

    ## Why it matters

    The work is on the GPU. An engine's API server and scheduler keep a few CPU cores busy whether ten requests wait or a
    thousand, and host memory stays where loading put it. So the autoscaler either never moves, or adds GPU pods for a
    tokenizer's sake.

    ## How to fix

    Scale on what users wait for: the number of waiting requests (`vllm:num_requests_waiting`), the use of the KV cache
    (`vllm:kv_cache_usage_perc`), or the time to first token, through the Prometheus adapter or KEDA's Prometheus trigger.

    ## Certainty

    Proven from the two objects; a warning, since the engine serves all the same.

    ## References

    - [vLLM: production metrics](https://docs.vllm.ai/en/stable/usage/metrics/)
    - [GKE: best practices for autoscaling LLM inference on GPUs](https://cloud.google.com/kubernetes-engine/docs/best-practices/machine-learning/inference/autoscaling)
    """
    for workload, scaler in _scaled(case):
        metrics = list(_metrics(scaler))
        if metrics and all(name in _HOST_METRICS for name, _ in metrics):
            node = metrics[0][1]
            words = " and ".join(dict.fromkeys("CPU" if name == "cpu" else "memory" for name, _ in metrics))
            yield Verdict(
                Place.of(scaler.document, node),
                f"{workload.deployment.name} serves from the GPU and is scaled by {words}",
                related=(Related(workload.pool.place, "the engine it scales"),),
                proposals=(Proposal("scale on waiting requests or KV cache use", False, None),),
                key=scaler.name,
            )


@once
def _scaled(case: WorkspaceCase) -> tuple[tuple[Workload, KubernetesObject], ...]:
    """Engines with the autoscalers that name them."""
    found: list[tuple[Workload, KubernetesObject]] = []
    for workload in workloads(case) if case.objects.mentions(*SCALERS) else ():
        document, owner = workload.pod.document, workload.pod.owner
        name = document.text_at("metadata", "name") or ""
        if owner in SCALABLE and workload.is_whole_document and name:
            found += [(workload, scaler) for scaler in case.objects.scalers(document, owner, name, workload.namespace)]
    return tuple(found)


def _metrics(scaler: KubernetesObject) -> Iterator[tuple[str, Node]]:
    """(name in lower case, where it stands) of every metric; "" for one that is not a resource's."""
    old = scaler.node.get("spec", "targetCPUUtilizationPercentage")
    if old is not None:
        yield "cpu", old
    for metric in scaler.node.elements_at("spec", "metrics"):
        key = {"Resource": "resource", "ContainerResource": "containerResource"}.get(metric.text_at("type") or "", "")
        name = metric.get(key, "name") if key else None
        yield (name.text.lower() if isinstance(name, ScalarNode) else ""), name or metric
    for trigger in scaler.node.elements_at("spec", "triggers"):
        kind = trigger.get("type")
        yield (kind.text.lower() if isinstance(kind, ScalarNode) else ""), kind or trigger


@rule(
    "K8S615", "scale-target-mismatch", "Autoscaler or Service without its target, or beside a fixed number of replicas",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.WORKSPACE, since="0.1.0",
    fixable=True, inputs=("other files of the run",),
)  # fmt: skip
def scale_target_mismatch(case: WorkspaceCase) -> Iterator[Verdict]:
    """
    ## What it checks

    Autoscalers (HorizontalPodAutoscaler, KEDA ScaledObject, AIBrix PodAutoscaler) whose target is an engine of the run that
    states `replicas` itself, and whose target is of another kind than the object of that name. Services that select no pod
    although the workload they are for stands in their file under a label that is almost the same, or under another group's
    name or the label keys of an older API (RoleBasedGroup). In a run that is said to hold every file (`--complete`):
    autoscalers whose target does not exist, and Services beside an engine that select no pod.

    ## Why it matters

    With both, each deployment of the manifest sets the number of pods back: `kubectl apply` or a GitOps controller removes
    the replicas that the load asked for, and their loaded models with them. An autoscaler without its target does nothing
    ("FailedGetScale"), and a Service without pods refuses every request.

    ## How to fix

    Leave `replicas` out of the manifest that an autoscaler scales (let the object keep the number it has when the field is
    removed). Name the target by its own kind, API version and name. Select labels that the pod template has.

    ## Certainty

    Proven. A warning for `replicas` beside an autoscaler, since a team may never apply the file again, and for a Service
    that seems to mean the workload beside it. That something is missing is only said where the run holds every file.

    ## References

    - [Kubernetes: migrating Deployments and StatefulSets to horizontal autoscaling](https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#migrating-deployments-and-statefulsets-to-horizontal-autoscaling)
    """
    seen: set[int] = set()
    scaled: dict[int, tuple[Workload, list[KubernetesObject]]] = {}
    for workload, scaler in _scaled(case):
        seen.add(id(scaler.node))
        scaled.setdefault(id(workload.pod.node), (workload, []))[1].append(scaler)
    for workload, scalers in scaled.values():
        yield from _both(workload, scalers)
    kinds: dict[str | None, Workload] = {}
    if case.objects.mentions(*SCALERS):
        kinds = {w.pod.document.text_at("metadata", "name"): w for w in workloads(case) if w.is_whole_document}
    for kind in SCALERS if kinds else ():
        for scaler in case.objects.of_kind(kind, [name for name in kinds if name]):
            if id(scaler.node) not in seen:
                yield from _elsewhere(case, scaler, kinds)
    if case.objects.mentions("Service"):
        from servelint_rules.service_targets import services_without_pods  # lazy: most runs have no Service beside an engine

        yield from services_without_pods(case)


def _both(workload: Workload, scalers: list[KubernetesObject]) -> Iterator[Verdict]:
    item = pods.workload_of(workload.pod)
    spec = item.get("spec") if item is not None else None
    node = spec.get("replicas") if spec is not None else None
    place = pods.key_place(workload.pod.document, spec, "replicas")
    if not isinstance(node, ScalarNode) or not isinstance(spec, MappingNode) or place is None:
        return
    document = workload.pod.document

    def edits() -> tuple[Edit, ...] | None:
        from servelint.source.edits import remove_entry  # lazy: only findings edit

        return remove_entry(document, spec, "replicas")

    first, more = scalers[0], len(scalers) - 1
    others = f" (and {count(more, 'other autoscaler')})" if more else ""
    names = [(each, each.node.get("metadata", "name") or each.node) for each in scalers]
    yield Verdict(
        place,
        f"each time this is applied, {workload.deployment.name} is set back to {node.text}, whatever {first.kind} "
        f"{first.name}{others} made of it",
        related=tuple(Related(Place.of(each.document, name), "scales it") for each, name in names),
        proposals=(Proposal("leave replicas to the autoscaler", False, edits),),
        severity=Severity.WARNING,
        key=f"both {first.name}",
    )


def _elsewhere(case: WorkspaceCase, scaler: KubernetesObject, names: dict[str | None, Workload]) -> Iterator[Verdict]:
    """A target of the right name and the wrong kind; or, where every file is at hand, none at all."""
    target = target_of(scaler)
    if target is None:
        return
    kind, name = target
    node = scaler.node.get("spec", "scaleTargetRef", "kind") or scaler.node.get("spec", "scaleTargetRef", "name")
    if node is None or any(not each.namespace or each.namespace == scaler.namespace for each in case.objects.called(kind, name)):
        return
    other = names.get(name)
    same_file = other is not None and other.path == scaler.path and other.namespace == scaler.namespace
    if other is not None and other.pod.owner in SCALABLE and (same_file or case.complete):
        yield Verdict(
            Place.of(scaler.document, node),
            f"there is no {kind} {name}; the engine of that name is a {other.pod.owner}",
            related=(Related(other.pool.place, f"runs in the {other.pod.owner} {name}"),),
            proposals=(Proposal(f"target the {other.pod.owner} by its kind and API version", False, None),),
            severity=Severity.ERROR if case.complete else Severity.WARNING,
            key=f"kind {name}",
        )
    elif case.complete and kind in SCALABLE and _is_ours(case, scaler):
        yield Verdict(
            Place.of(scaler.document, scaler.node.get("spec", "scaleTargetRef", "name") or node),
            f"no file of the run defines a {kind} {name}",
            proposals=(Proposal("name an object that exists", False, None),),
            key=f"target {name}",
        )


def _is_ours(case: WorkspaceCase, other: KubernetesObject) -> bool:
    """It stands in the file or directory of an engine: what scales other programs is none of our business."""
    folder = other.path.rpartition("/")[0]
    return any(workload.path.rpartition("/")[0] == folder for workload in workloads(case))
