"""K8S651: Services that send requests to pods which do not answer them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.facts import Place
from servelint.finding import Certainty, Proposal, Related, Severity, Verdict
from servelint.formats.run_objects import closeness
from servelint.records import NamedTuple
from servelint.rulebook import Scope, rule
from servelint.source.nodes import MappingNode
from servelint_rules import guards, listening, pods

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import WorkspaceCase
    from servelint.deployment import Container, Pod, Pool
    from servelint.formats.run_objects import KubernetesObject
    from servelint.source.nodes import Node

# What a pod runs that only lends its GPUs to a group, and what would answer requests all the same.
_FOLLOWS = ("ray start", "kuberay_gen_ray_start_cmd", "multi-node-serving.sh worker", "--headless", "tail -f /dev/null")
_SERVES = ("vllm serve", "api_server", "launch_server", "trtllm-serve", "hybrid-lb", "external-lb")


class _Group(NamedTuple):
    """``labels``: what the controller adds to the pods of the leader and of the workers alike."""

    worker: Node
    labels: tuple[tuple[str, str], ...]


@rule(
    "K8S651", "service-selects-silent-pods", "Service that selects pods without a server",
    severity=Severity.WARNING, certainty=Certainty.HEURISTIC, scope=Scope.WORKSPACE, since="0.1.0",
    inputs=("other files of the run",),
)  # fmt: skip
def service_selects_silent_pods(case: WorkspaceCase) -> Iterator[Verdict]:
    """
    ## What it checks

    Services whose selector fits both the leader of a group of pods (LeaderWorkerSet, RayClusterFleet, ModelServing) and its
    workers, where the engine answers on the leader only: the workers join Ray, or run `--headless`.

    ## Why it matters

    A pod without a readiness probe is ready at once, so the Service sends it its share of the connections, and nothing listens
    there: in a group of two pods every other request ends with "connection refused".

    ## How to fix

    Select a label that only the leader has: `leaderworkerset.sigs.k8s.io/worker-index: "0"`, `ray.io/node-type: head`,
    `modelserving.volcano.sh/entry: "true"`, or one of the leader's template.

    ## Certainty

    Heuristic: by what the workers' commands say. Headless Services are left out, since they give names; so are workers with a
    readiness probe, and ports that are named in the leader alone.

    ## References

    - [Kubernetes: EndpointSlices](https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/#conditions)
    - [LeaderWorkerSet: labels](https://lws.sigs.k8s.io/docs/reference/labels-annotations-and-environment-variables/)
    """
    found = case.objects.of_kind("Service", ("selector",))
    services = [(each, wanted) for each in found if (wanted := _wanted(each))]
    for deployment, pool, pod in case.pods if services else ():
        port = listening.address(pool.containers[0]).port
        if port is None or pod.partial or pool.nodes.get(2) < 2 or deployment.format not in guards.TEMPLATED:
            continue
        for group in _groups(pod):
            if not _is_silent(group.worker):
                continue
            shared = _labels(pod.node, group) & _labels(group.worker, group)
            for service, wanted in services:
                if wanted <= shared and _is_beside(pod, service) and _reaches(service, pool.containers[0], group, port):
                    yield _verdict(service, pool, group, port)


def _groups(pod: Pod) -> Iterator[_Group]:
    """The workers of the group whose leader ``pod`` is."""
    root = pod.document.root
    name = (root.text_at("metadata", "name") or "") if root is not None else ""
    kind = root.text_at("kind") if root is not None else None
    if root is None:
        return
    if kind == "LeaderWorkerSet":
        template = root.get("spec", "leaderWorkerTemplate")
        worker = template.get("workerTemplate") if template is not None else None
        if template is not None and template.get("leaderTemplate") is pod.node and worker is not None:
            yield _Group(worker, (("leaderworkerset.sigs.k8s.io/name", name),))
    elif kind == "RayClusterFleet":
        cluster = root.get("spec", "template", "spec")
        if cluster is not None and cluster.get("headGroupSpec", "template") is pod.node:
            for spec in cluster.elements_at("workerGroupSpecs"):
                worker = spec.get("template")
                if worker is not None:
                    yield _Group(worker, ())
    elif kind == "ModelServing":
        for role in root.elements_at("spec", "template", "roles"):
            worker = role.get("workerTemplate")
            if role.get("entryTemplate") is pod.node and worker is not None:
                own = (("modelserving.volcano.sh/name", name), ("modelserving.volcano.sh/role", role.text_at("name") or ""))
                yield _Group(worker, own)


def _is_silent(worker: Node) -> bool:
    """No container of the workers serves, and none has to be ready."""
    containers = worker.elements_at("spec", "containers")
    said = [text.lower() for each in containers for key in ("command", "args") for text in pods.texts(each.get(key))]
    script = " ".join(" ".join(said).split())
    if not any(word in script for word in _FOLLOWS) or any(each.get("readinessProbe") is not None for each in containers):
        return False
    return "--headless" in script or not any(word in script for word in _SERVES)


def _is_beside(pod: Pod, service: KubernetesObject) -> bool:
    ours = pod.document.text_at("metadata", "namespace") or ""
    if ours != service.namespace:
        return False
    same_file, _, same_directory = closeness(pod.document.source.path, service.path)
    return bool(ours) or same_file or same_directory


def _wanted(service: KubernetesObject) -> set[tuple[str, str]]:
    """The labels of the pods that the Service sends connections to; empty where it spreads none."""
    from servelint.formats.role_groups import label_pairs  # lazy: few runs hold a Service beside a group

    spec = service.node.get("spec")
    selector = spec.get("selector") if spec is not None else None
    if spec is None or not isinstance(selector, MappingNode) or service.node.text_at("apiVersion") != "v1":
        return set()
    if spec.text_at("clusterIP") == "None" or spec.text_at("type") == "ExternalName":
        return set()
    return set(label_pairs(selector))


def _labels(template: Node, group: _Group) -> set[tuple[str, str]]:
    from servelint.formats.role_groups import label_pairs

    return {*label_pairs(template, "metadata", "labels"), *group.labels}


def _reaches(service: KubernetesObject, container: Container, group: _Group, port: int) -> bool:
    """A port of the Service leads to the engine's, on the workers as well."""
    named = {each.text_at("name"): each.text_at("containerPort") for each in container.node.elements_at("ports")}
    theirs = {
        each.text_at("name") for other in group.worker.elements_at("spec", "containers") for each in other.elements_at("ports")
    }
    for each in service.node.elements_at("spec", "ports"):
        target = each.text_at("targetPort") or each.text_at("port") or ""
        if target == str(port) or (target in theirs and named.get(target) == str(port)):
            return True
    return False


def _verdict(service: KubernetesObject, pool: Pool, group: _Group, port: int) -> Verdict:
    size = pool.nodes.get(0)
    share = f"{size - 1} of {size} connections are refused" if size else "connections to them are refused"
    spec = service.node.get("spec")
    place = pods.key_place(service.document, spec, "selector") or Place.of(service.document, service.node)
    worker = group.worker.elements_at("spec", "containers")[0]
    return Verdict(
        place,
        f"the workers of {pool.name} are selected too, and nothing listens on their port {port}: {share}",
        related=(
            Related(pool.place, "the engine answers here"),
            Related(Place.of(pool.containers[0].document, worker.get("name") or worker), "the worker only joins the group"),
        ),
        proposals=(Proposal("select a label that only the leader has", False, None),),
        key=service.name,
    )
