"""K8S634: pods on the network of their host that look for names which only the cluster's DNS knows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from servelint.facts import Place
from servelint.finding import Certainty, Proposal, Related, Severity, Verdict
from servelint.records import NamedTuple
from servelint.rulebook import Scope, rule
from servelint.source.nodes import MappingNode, ScalarNode
from servelint_rules import guards, pods

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import ContainerCase
    from servelint.deployment import Container, Pod
    from servelint.finding import Edit
    from servelint.source.nodes import Document, Node

_POLICY = "ClusterFirstWithHostNet"
# Variables in which a controller gives the address of a group's leader, a name of the cluster's DNS
# (lws, pkg/utils/pod/pod_utils.go: AddLWSVariables).
_LEADERS = ("LWS_LEADER_ADDRESS",)


class _Name(NamedTuple):
    """A name of the cluster's DNS, where the container says it, and the Service that makes it (None: its controller does)."""

    text: str
    place: Place
    service: Related | None


@rule(
    "K8S634", "host-network-without-cluster-dns", "Pod on the host's network cannot resolve a Service",
    severity=Severity.WARNING, certainty=Certainty.HEURISTIC, scope=Scope.CONTAINER, since="0.1.0",
    formats=guards.TEMPLATED, fixable=True,
)  # fmt: skip
def host_network_without_cluster_dns(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A pod with `hostNetwork: true`, without `dnsPolicy: ClusterFirstWithHostNet`, whose engine is given the name of a Service of
    the same file as a host (`--dist-init-addr sglang-master:5000`), or `$(LWS_LEADER_ADDRESS)`.

    ## Why it matters

    On the host's network the default policy `ClusterFirst` falls back to the DNS of the node, and that does not know the names
    of Services and pods. The ranks do not find their leader: the group waits until it times out, restart after restart.

    ## How to fix

    `dnsPolicy: ClusterFirstWithHostNet`. Or pass addresses (`status.podIP`) instead of names.

    ## Certainty

    Heuristic: a node's resolver can be set up to ask the cluster's DNS. Pods with a `dnsConfig` or `hostAliases` are left out.

    ## References

    - [Kubernetes: DNS for Services and Pods, DNS policy](https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/#pod-s-dns-policy)
    - [LeaderWorkerSet: the leader's address](https://lws.sigs.k8s.io/docs/reference/labels-annotations-and-environment-variables/)
    """
    container = case.container
    pod = container.pod
    if pod is None or not guards.shows_all(case) or not pods.says(pod.node, "spec", "hostNetwork"):
        return
    spec = pod.node.get("spec")
    policy = pod.node.text_at("spec", "dnsPolicy")
    if spec is None or policy == _POLICY or any(spec.get(key) is not None for key in ("dnsConfig", "hostAliases")):
        return
    found = next(_names(container, pod), None)
    if found is None:
        return
    asked = f"dnsPolicy {policy}" if policy else "no dnsPolicy"
    network = pods.key_place(container.document, spec, "hostNetwork")
    where = [Related(network, "the network of the host")] if network is not None else []
    also = [found.service] if found.service is not None else []
    yield Verdict(
        found.place,
        f"{found.text} is a name of the cluster's DNS, and the pod asks the node's ({asked})",
        related=(*where, *also),
        proposals=(Proposal(f"dnsPolicy: {_POLICY}", True, lambda: _with_policy(container.document, spec)),),
        key=found.text,
    )


def _with_policy(document: Document, spec: Node) -> tuple[Edit, ...] | None:
    from servelint.source import edits  # lazy: only fixes edit

    written = spec.get("dnsPolicy")
    if isinstance(written, ScalarNode):
        return edits.set_scalar(document, written, _POLICY)
    return edits.insert_entry(document, spec, "dnsPolicy", _POLICY, "hostNetwork") if isinstance(spec, MappingNode) else None


def _names(container: Container, pod: Pod) -> Iterator[_Name]:
    """The names of the cluster's DNS that the container uses as hosts, in the order of arguments and variables."""
    services = _services(pod)
    for text, place in _texts(container):
        for variable in _LEADERS:
            if re.search(rf"\$[({{]?{variable}\b", text):
                yield _Name(f"$({variable})", place, None)
        for name, defined in services.items():
            if _is_host(text, name):
                yield _Name(name, place, Related(defined, f"the Service {name}"))


def _texts(container: Container) -> Iterator[tuple[str, Place]]:
    """Values of the engine's options and of the container's variables, with their places."""
    command = container.command
    for argument in command.arguments if command is not None else ():
        if command is not None and argument.value:
            yield argument.value, command.place_of(argument)
    for item in container.node.elements_at("env"):
        value = item.get("value")
        if isinstance(value, ScalarNode):
            yield value.text, Place.of(container.document, value)


def _services(pod: Pod) -> dict[str, Place]:
    """Services of the same file, with the place of their names."""
    reading = pod.document.source.reading
    found: dict[str, Place] = {}
    for document in reading.documents if reading is not None else ():
        name = document.get("metadata", "name")
        if document.text_at("kind") == "Service" and document.text_at("apiVersion") == "v1" and isinstance(name, ScalarNode):
            found[name.text] = Place.of(document, name)
    return found


def _is_host(text: str, name: str) -> bool:
    """``name`` stands in ``text`` as the host of an address, alone or with what DNS adds: ``pod-0.NAME.ns.svc:5000``."""
    host = rf"(?:[\w-]+\.)?{re.escape(name)}(?:\.[\w.-]+)?"
    return re.search(rf"(?:^|://|[=,\s]){host}:\d|://{host}(?:[/,\s]|$)", text) is not None or (
        re.fullmatch(rf"(?:[\w-]+\.)?{re.escape(name)}(?:\.[\w-]+)*\.svc(?:\.[\w.-]+)?", text) is not None
    )
