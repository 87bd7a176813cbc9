"""Pod fields: keys of a pod template that are in the wrong place or misspelt, so that they say nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.facts import Place
from servelint.finding import Certainty, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint.source.nodes import MappingNode, ScalarNode
from servelint_rules import guards

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import ContainerCase
    from servelint.deployment import Container, Deployment, Pod
    from servelint.source.nodes import Node


def _fields(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Fields by type of the core API, v1 (k8s.io/api/core/v1/types.go, Kubernetes 1.34).
_CONTAINER = _fields(
    "name image command args workingDir ports envFrom env resources resizePolicy restartPolicy restartPolicyRules volumeMounts "
    "volumeDevices livenessProbe readinessProbe startupProbe lifecycle terminationMessagePath terminationMessagePolicy "
    "imagePullPolicy securityContext stdin stdinOnce tty"
)
_POD = _fields(
    "volumes initContainers containers ephemeralContainers restartPolicy terminationGracePeriodSeconds activeDeadlineSeconds "
    "dnsPolicy nodeSelector serviceAccountName serviceAccount automountServiceAccountToken nodeName hostNetwork hostPID hostIPC "
    "shareProcessNamespace securityContext imagePullSecrets hostname subdomain affinity schedulerName tolerations hostAliases "
    "priorityClassName priority dnsConfig readinessGates runtimeClassName enableServiceLinks preemptionPolicy overhead "
    "topologySpreadConstraints setHostnameAsFQDN os hostUsers schedulingGates resourceClaims resources hostnameOverride"
)
_PROBE = _fields(
    "exec httpGet tcpSocket grpc initialDelaySeconds timeoutSeconds periodSeconds successThreshold failureThreshold "
    "terminationGracePeriodSeconds"
)
_RESOURCES = frozenset(("limits", "requests", "claims"))
# Of an object, and what people write beside these that belongs below one of them (ObjectMeta, and specs of workloads).
_OBJECT = _fields("apiVersion kind metadata spec status")
_METADATA = _fields("labels annotations name namespace generateName finalizers ownerReferences")
_SPEC = _fields(
    "replicas selector template serviceName strategy updateStrategy volumeClaimTemplates podManagementPolicy predictor"
)
_OWNERS = ("Pod", "Deployment", "ReplicaSet", "StatefulSet", "Job", "JobSet", "LeaderWorkerSet", "ModelServing")


@rule(
    "K8S626", "schema-invalid", "Field in the wrong place or misspelt",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0",
    formats=(*guards.TEMPLATED, "kserve", "ome", "dynamo", "ray", "nim", "kubeai"),
)  # fmt: skip
def misplaced_field(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    Keys of the object itself, of the pod's spec, of its containers, and of the engine's resources and probes, that the API
    does not have there, where they are fields of another of these levels (`labels` beside `metadata`, a probe beside
    `containers`, a volume mount in `resources`) or differ from a field of this one in a letter or two.

    ## Why it matters

    `kubectl apply` refuses such a manifest ("strict decoding error: unknown field"). Clients that do not validate, Helm among
    them, have it dropped without a word: the probe, the limit or the mount that people see in the file does not exist.

    ## How to fix

    Move the key to its level, or correct its spelling.

    ## Certainty

    Proven: by the fields of the core API, v1. Other unknown keys are not reported, since a newer API may have them; values of
    the wrong type are DOC102.

    ## References

    - [Kubernetes API: PodSpec, Container, Probe](https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/)
    - [production-stack#276](https://github.com/vllm-project/production-stack/issues/276): a key at the wrong level was ignored
    """
    container, pool = case.container, case.pool
    pod = container.pod
    first = next((each for each_pool in case.deployment.pools for each in each_pool.containers), None)
    if pod is not None and container is first:
        yield from _unknown(container, _object(case.deployment.document.root), _OBJECT, "the object")
        for template in _followers(case.deployment):
            yield from _unknown(container, template.get("spec"), _POD, "the pod's spec")
            for other in _containers(template):
                yield from _unknown(container, other, _CONTAINER, "a container")
    if pod is None or pod.owner not in _OWNERS:
        return
    if _is_counted_once(container, pool.containers, pod):
        yield from _unknown(container, pod.node.get("spec"), _POD, "the pod's spec")
        for other in _without_engine(case.deployment, pod):
            yield from _unknown(container, other, _CONTAINER, "a container")
    yield from _unknown(container, container.node, _CONTAINER, "a container")
    yield from _unknown(container, container.node.get("resources"), _RESOURCES, "resources")
    for name in ("startupProbe", "livenessProbe", "readinessProbe"):
        yield from _unknown(container, container.node.get(name), _PROBE, "a probe")


def _without_engine(deployment: Deployment, pod: Pod) -> list[Node]:
    """The containers of the template that are not asked about themselves: sidecars, and those that run before."""
    engines = [each.node for pool in deployment.pools for each in pool.containers]
    return [other for other in _containers(pod.node) if not any(other is engine for engine in engines)]


def _containers(template: Node) -> list[Node]:
    return [other for key in ("initContainers", "containers") for other in template.elements_at("spec", key)]


def _followers(deployment: Deployment) -> list[Node]:
    """The templates of the object's groups in which no engine was recognised."""
    root = deployment.document.root
    if root is None or root.text_at("kind") not in ("LeaderWorkerSet", "ModelServing"):
        return []
    groups = [root.get("spec", "leaderWorkerTemplate"), *root.elements_at("spec", "template", "roles")]
    found = [
        group.get(key) for group in groups if group is not None for key in ("leaderTemplate", "entryTemplate", "workerTemplate")
    ]
    ours = [each.pod.node for pool in deployment.pools for each in pool.containers if each.pod is not None]
    return [template for template in found if template is not None and not any(template is one for one in ours)]


def _object(root: Node | None) -> Node | None:
    """The document, where it is one object."""
    return root if root is not None and root.get("spec") is not None and root.get("metadata") is not None else None


def _is_counted_once(container: Container, every: tuple[Container, ...], pod: Pod) -> bool:
    """The container is the first engine's of its template: what is wrong with the template is said once."""
    first = next((each for each in every if each.pod is not None and each.pod.node is pod.node), None)
    started = pod.node.elements_at("spec", "containers")
    return first is container and (len(started) < 2 or container.node is started[0] or len(every) == 1)


def _unknown(container: Container, node: Node | None, fields: frozenset[str], where: str) -> Iterator[Verdict]:
    for key, value in node.entries if isinstance(node, MappingNode) else ():
        name = key.resolved
        if not isinstance(name, ScalarNode) or name.text in fields or name.text == "<<" or name.text.startswith("x-"):
            continue
        meant = _meant(name.text, value.resolved, fields)
        if meant:
            yield Verdict(Place.of(container.document, key), f"{where} has no field {name.text}: {meant}", key=name.text)


def _meant(name: str, value: Node, fields: frozenset[str]) -> str:
    if fields is _OBJECT and (name in _METADATA or name in _SPEC):
        return f"it is a field of {'metadata' if name in _METADATA else 'spec'}"
    for level, others in (("a container", _CONTAINER), ("the pod's spec", _POD), ("a probe", _PROBE), ("resources", _RESOURCES)):
        if name in others and others is not fields:
            return f"it is a field of {level}"
    if "/" in name and fields is _RESOURCES and isinstance(value, ScalarNode):
        return "an amount stands under limits or requests"
    from servelint_rules.slips import nearest  # lazy: few manifests have unknown keys

    near = nearest(name, fields)
    return f"{near} is meant" if near else ""
