"""Network: whether what reaches for an engine reaches it: Services, declared ports, the address it binds, ports of the host."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from servelint.facts import Place
from servelint.finding import Certainty, Proposal, Related, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint.source.nodes import MappingNode, ScalarNode
from servelint.source.scalars import kubernetes_value, whole
from servelint_rules import guards, listening, pods
from servelint_rules.figures import count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import ContainerCase
    from servelint.deployment import Container, Pod
    from servelint.engines.command import Argument, Command
    from servelint.finding import Edit
    from servelint.source.nodes import Document, Node
    from servelint.source.text import SourceText

_EVERYWHERE = "0.0.0.0"  # noqa: S104 - written into a manifest
# Labels that controllers put on the pods of a set; a selector may ask for them.
_LWS_NAME = "leaderworkerset.sigs.k8s.io/name"
_ADDED = ("apps.kubernetes.io/", "statefulset.kubernetes.io/", "leaderworkerset.sigs.k8s.io/", "batch.kubernetes.io/")


@rule(
    "K8S620", "port-mismatch", "Port leads to nothing: the engine listens on another one",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0",
    engines=guards.ENGINES, formats=guards.TEMPLATED, fixable=True,
)  # fmt: skip
def port_mismatch(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    The `targetPort` of Services in the same file whose selector matches the pod, against the port on which the engine listens
    (`--port`, or its default: vLLM 8000, SGLang 30000, TGI's images 80, trtllm-serve 8000).

    ## Why it matters

    A Service sends requests to its `targetPort` whatever the container declares. Where nothing listens there, every
    request is refused, although the pod is ready.

    ## How to fix

    Make the port the one of the engine, or give the engine the port (`--port`).

    ## Certainty

    Proven, from the command line in the pod; silent where a sidecar, a script that starts more than the engine, or any other
    setting of the container may own the port. A warning where another port of the same Service does reach the engine. A
    declared `containerPort` to which nothing leads is K8S641.

    ## References

    - [Kubernetes: Service, port definitions](https://kubernetes.io/docs/concepts/services-networking/service/#field-spec-ports)
    - Engines' defaults by release: `servelint derive`, and the engines' own `--help`
    """
    container, pool = case.container, case.pool
    pod = container.pod
    if pod is None or not guards.shows_all(case) or not pods.is_first(container, pool):
        return
    address = listening.address(container)
    if address.port is None:
        return
    for document, service in services_of(pod):
        yield from _service_ports(container, address, document, service)


def services_of(pod: Pod) -> Iterator[tuple[Document, Node]]:
    """The Services of the same file that select the pod."""
    labels = {key: value.text for key, _, value in pod.node.entries_at("metadata", "labels") if isinstance(value, ScalarNode)}
    for document, root, wanted, group in _selecting(pod.document.source):
        if group is not None and group != pod.document.text_at("metadata", "name"):
            continue  # the name that the controller puts on its pods is another set's
        if all(labels.get(key) == value for key, value in wanted.items()):
            yield document, root


@lru_cache(8)  # each pod of a file asks for its Services
def _selecting(source: SourceText) -> tuple[tuple[Document, Node, dict[str, str], str | None], ...]:
    """The Services of a file that have a selector: labels, and the name of a LeaderWorkerSet in them."""
    found = []
    for document in source.reading.documents if source.reading is not None else ():
        if document.text_at("kind") != "Service" or document.text_at("apiVersion") != "v1" or document.root is None:
            continue
        selector = document.entries_at("spec", "selector")
        wanted = {key: value.text for key, _, value in selector if isinstance(value, ScalarNode) and not key.startswith(_ADDED)}
        group = next((v.text for key, _, v in selector if key == _LWS_NAME and isinstance(v, ScalarNode)), None)
        if wanted:
            found.append((document, document.root, wanted, group))
    return tuple(found)


def _service_ports(container: Container, address: listening.Address, document: Document, service: Node) -> Iterator[Verdict]:
    lost: list[tuple[ScalarNode, str]] = []
    reached = False
    for port in service.elements_at("spec", "ports"):
        node = _target(port)
        if not isinstance(node, ScalarNode) or (port.text_at("protocol") or "TCP") != "TCP":
            continue
        number = node.text if whole(node.text) is not None else _named(container, node.text)
        if number is None:
            if not _has_named_ports_elsewhere(container, node.text):
                lost.append((node, f"no container of the pod has a port of the name {node.text}"))
        elif whole(number) == address.port:
            reached = True
        elif not listening.something_else_listens(container, whole(number) or 0):
            lost.append((node, f"nothing listens on {number}: the engine answers on {address.port}"))
    name = service.text_at("metadata", "name") or "Service"
    for node, label in lost:
        yield Verdict(
            Place.of(document, node),
            label,
            related=_related(container, address),
            proposals=_reach(document, node, address, alone=len(lost) == 1 and not reached),
            severity=Severity.WARNING if reached else Severity.ERROR,
            key=f"{name} {node.text}",
        )


def _target(port: Node) -> Node | None:
    """The port of the pods; 0 and "" are none, and that of the Service counts (pkg/apis/core/v1/defaults.go)."""
    target = port.get("targetPort")
    if isinstance(target, ScalarNode) and kubernetes_value(target) in (None, "", 0):
        target = None
    return target or port.get("port")


def _named(container: Container, name: str) -> str | None:
    """The number of the engine container's port ``name``; None if it has none."""
    found = (port.text_at("containerPort") for port in container.node.elements_at("ports") if port.text_at("name") == name)
    number = next(found, None)
    return number if number is not None and whole(number) is not None else None


def _has_named_ports_elsewhere(container: Container, name: str) -> bool:
    pod = container.pod
    others = pods.other_containers(pod, container.node) if pod is not None else []
    mine = container.node.elements_at("ports")
    return any(port.text_at("name") == name for each in others for port in each.elements_at("ports")) or any(
        port.text_at("name") == name for port in mine
    )


@rule(
    "K8S641", "declared-port-unused", "Declared port is not the engine's",
    severity=Severity.INFO, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0",
    engines=guards.ENGINES, formats=guards.TEMPLATED, fixable=True, advice=True,
)  # fmt: skip
def declared_port_unused(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    The one `containerPort` of an engine's container against the port on which the engine listens (`--port`, or its default).

    ## Why it matters

    A `containerPort` opens and closes nothing: the engine is reached all the same. But people, monitors and tools go by it, and
    a Service, a probe or a monitor that is later made by its name leads to a port on which nobody answers.

    ## How to fix

    Declare the engine's port, or give the engine the declared one (`--port`).

    ## Certainty

    Proven, from the command line in the pod; silent where a sidecar, a script that starts more than the engine, or any other
    setting of the container may own the port. Advice, since nothing fails by it; what leads to a port of no one is K8S620.

    ## References

    - [Kubernetes API: Container, ports](https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#ports)
    """
    container, pool = case.container, case.pool
    pod = container.pod
    if pod is None or not guards.shows_all(case) or not pods.is_first(container, pool):
        return
    address = listening.address(container)
    numbers = [node for port in container.node.elements_at("ports") if isinstance(node := port.get("containerPort"), ScalarNode)]
    if address.port is None or not numbers or any(node.text == str(address.port) for node in numbers):
        return
    ports = ((node, whole(node.text)) for node in numbers)
    idle = [node for node, port in ports if port is not None and not listening.something_else_listens(container, port)]
    if len(idle) != 1:
        return
    yield Verdict(
        Place.of(container.document, idle[0]),
        f"the container declares {idle[0].text}, and the engine listens on {address.port}",
        related=_related(container, address),
        proposals=(_to_port(container.document, idle[0], address.port),),
        key="containerPort",
    )


def _related(container: Container, address: listening.Address) -> tuple[Related, ...]:
    if address.argument is None or container.command is None:
        return ()
    return (Related(container.command.place_of(address.argument), f"the engine listens on {address.port}"),)


def _reach(document: Document, node: ScalarNode, address: listening.Address, *, alone: bool) -> tuple[Proposal, ...]:
    """The engine's port, unless another port leads there or a name says that something else was meant."""
    if whole(node.text) is not None:
        return (_to_port(document, node, address.port),) if alone else ()
    title = f"declare the port {node.text} in the container" + (f", or make it {address.port}" if alone else "")
    return (Proposal(title, False, None),)


def _to_port(document: Document, node: ScalarNode, port: int | None) -> Proposal:
    from servelint.source import edits  # lazy: only findings edit

    return Proposal(f"make it {port}", False, lambda: edits.set_scalar(document, node, str(port)))


@rule(
    "K8S621", "bind-localhost", "Engine listens on the loopback address only",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0",
    engines=guards.ENGINES, formats=(*guards.TEMPLATED, "compose"), fixable=True,
)  # fmt: skip
def bind_localhost(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    An engine that binds 127.0.0.1 or `localhost`, by `--host` or by its default (SGLang and trtllm-serve), in a container
    that something outside is meant to reach: a probe of the kubelet, a Service in the same file, a declared or published
    port.

    ## Why it matters

    A pod has its own loopback interface, and so has a container of Compose. The kubelet's probes and all requests come in by
    the pod's address and are refused: the pod never becomes ready, or is restarted for ever.

    ## How to fix

    `--host 0.0.0.0`.

    ## Certainty

    Proven where the kubelet probes the port or a Service leads to it; a warning where the port is merely declared. Pods with
    a sidecar are left out, since a proxy in the same pod reaches the loopback address.

    ## References

    - SGLang, `python/sglang/srt/server_args.py`: `host` is 127.0.0.1
    - TensorRT-LLM, `tensorrt_llm/commands/serve.py`: `--host`, default localhost
    """
    container, pool = case.container, case.pool
    pod, command = container.pod, container.command
    binding = listening.local_binding(container)
    if binding is None or command is None or not pods.is_first(container, pool):
        return
    if pod is None:
        reasons = _published(container)
    elif not guards.shows_all(case) or pods.other_containers(pod, container.node):
        return
    else:
        reasons = _reached(container, pod)
    if not reasons:
        return
    argument, name = binding.argument, "--hostname" if command.engine == "tgi" else "--host"
    place = command.place_of(argument) if argument is not None else Place.of(command.document, command.node)
    certain = reasons[0][1]
    yield Verdict(
        place,
        f"bound to {binding.host}" + (", its default" if argument is None else "") + f": {reasons[0][0].label} is refused",
        related=tuple(reason for reason, _ in reasons),
        proposals=(
            Proposal(
                f"{name} {_EVERYWHERE}",
                True,
                lambda: _bound_to(command, argument, name, _EVERYWHERE),
            ),
        ),
        severity=Severity.ERROR if certain else Severity.WARNING,
        certainty=Certainty.PROVEN if certain else Certainty.HEURISTIC,
    )


def _bound_to(command: Command, argument: Argument | None, name: str, host: str) -> tuple[Edit, ...] | None:
    from servelint.engines.argument_writer import append_argument, set_argument  # lazy: only fixes edit

    if argument is None:
        return append_argument(command, name, host)
    return set_argument(command, argument, host)


def _reached(container: Container, pod: Pod) -> list[tuple[Related, bool]]:
    """(who reaches for the engine's port from outside, whether that is certain), the certain ones first."""
    port = listening.address(container).port
    found: list[tuple[Related, bool]] = []
    for name in ("startupProbe", "livenessProbe", "readinessProbe"):
        probe = container.node.get(name)
        outside = isinstance(probe, MappingNode) and (probe.get("httpGet") or probe.get("tcpSocket") or probe.get("grpc"))
        place = pods.key_place(container.document, container.node, name)
        if outside and place is not None and not pods.says(pod.node, "spec", "hostNetwork"):
            found.append((Related(place, f"the {name} of the kubelet"), True))
    for document, service in services_of(pod):
        for entry in service.elements_at("spec", "ports"):
            node = entry.get("targetPort") or entry.get("port")
            if isinstance(node, ScalarNode) and (node.text == str(port) or _named(container, node.text) == str(port)):
                found.append((Related(Place.of(document, node), "what comes by the Service"), True))
    for entry in container.node.elements_at("ports"):
        node = entry.get("containerPort")
        if isinstance(node, ScalarNode) and node.text == str(port):
            found.append((Related(Place.of(container.document, node), "what comes to the declared port"), False))
    return found


def _published(container: Container) -> list[tuple[Related, bool]]:
    """The same for a service of Compose: its published ports, unless it has the host's network."""
    if (container.node.text_at("network_mode") or "").startswith(("host", "service:", "container:")):
        return []
    ports = container.node.elements_at("ports")
    return [(Related(Place.of(container.document, node), "what comes by the published port"), True) for node in ports[:1]]


@rule(
    "K8S622", "hostnetwork-port-clash", "Several pods want the same port of the host",
    severity=Severity.WARNING, certainty=Certainty.HEURISTIC, scope=Scope.CONTAINER, since="0.1.0",
    formats=guards.TEMPLATED,
)  # fmt: skip
def hostnetwork_port_clash(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    Several pods of one template on the network of the host (`hostNetwork: true`) whose engine listens on a port that the
    container does not declare, with so few GPUs each that two of them fit on one node, and without pod anti-affinity.

    ## Why it matters

    On the host's network a port exists once per node. The scheduler keeps pods apart whose ports are declared; a port that
    is only on the command line it does not know. The second pod on a node ends with "address already in use".

    ## How to fix

    Declare the port as a `containerPort`, ask for anti-affinity on `kubernetes.io/hostname`, or leave the host's network.

    ## Certainty

    Heuristic: it depends on the nodes that the scheduler picks.

    ## References

    - [Kubernetes API: hostNetwork](https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#hosts-namespaces)
    """
    container, pool = case.container, case.pool
    pod = container.pod
    if pod is None or not guards.shows_all(case) or not pods.says(pod.node, "spec", "hostNetwork"):
        return
    address = listening.address(container)
    replicas, gpus = pool.replicas_min.get(1) * pool.nodes.get(1), pool.gpus_per_node.get(pods.GPUS_OF_A_NODE)
    if address.port is None or replicas < 2 or gpus > pods.GPUS_OF_A_NODE // 2 or not pods.is_first(container, pool):
        return
    declared = {port.text_at("containerPort") for port in container.node.elements_at("ports")}
    apart = pod.node.get("spec", "affinity", "podAntiAffinity") or pod.node.get("spec", "topologySpreadConstraints")
    if str(address.port) in declared or apart is not None:
        return
    spec = pod.node.get("spec")
    place = pods.key_place(container.document, spec, "hostNetwork") or container.place
    yield Verdict(
        place,
        f"{replicas} pods of {count(gpus, 'GPU')} listen on port {address.port} of their host, and two may get the same",
        related=_related(container, address),
        proposals=(Proposal(f"declare containerPort {address.port}, so that the scheduler keeps the pods apart", False, None),),
    )
