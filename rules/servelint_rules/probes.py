"""Probes: whether they let an engine load, and whether they ask where it answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.facts import Place
from servelint.finding import Certainty, Proposal, Related, Severity, Verdict
from servelint.formats import containers
from servelint.records import NamedTuple
from servelint.rulebook import Scope, rule
from servelint.source.nodes import MappingNode, ScalarNode
from servelint.source.scalars import whole
from servelint_rules import guards, listening, loading, pods
from servelint_rules.figures import patience
from servelint_rules.places import related

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import ContainerCase
    from servelint.deployment import Container
    from servelint.source.nodes import Node


@rule(
    "K8S602", "liveness-kills-loading-pod", "Liveness probe ends the container before the model is loaded",
    severity=Severity.ERROR, certainty=Certainty.ESTIMATED, scope=Scope.CONTAINER, since="0.1.0",
    engines=guards.ENGINES, formats=(*guards.TEMPLATED, "kserve", "helm-values"), fixable=True,
    inputs=("model",),
)  # fmt: skip
def liveness_kills_loading_pod(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A liveness probe on the engine's own port (a request of the kubelet, or a `curl` in the container), without a startup probe,
    that gives up within five minutes: `initialDelaySeconds + periodSeconds × failureThreshold`, with Kubernetes' defaults 0, 10
    and 3 where they are absent. In a ServingRuntime and in the values of a chart: within one minute.

    ## Why it matters

    Every engine opens its port when the weights are loaded, and vLLM when the kernels are compiled and the CUDA graphs
    captured, too. Until then the probe fails; the kubelet ends the container, and the next one starts again from nothing. A
    pod of this kind never becomes ready, or only where the weights happen to be in the page cache.

    ## How to fix

    Add a startup probe with the same handler and a generous budget: the liveness probe waits for it. A longer
    `initialDelaySeconds` also helps, but delays the detection of a hung engine for ever after.

    ## Certainty

    An error where vLLM has less than a minute for a checkpoint of 10 GB or more: that is less than import, load and
    compilation take together. Otherwise a warning by experience (loading takes minutes from a network disk); models below
    2 GB are left out, those whose path says that they are small enough for the time, probes of another port, path or kind too.

    ## References

    - [Kubernetes: liveness, readiness and startup probes](https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/)
    - [kserve#5062](https://github.com/kserve/kserve/issues/5062), [aibrix#782](https://github.com/vllm-project/aibrix/issues/782)
    """
    container, pool = case.container, case.pool
    shows_all = guards.shows_all(case)
    if not guards.on_gpus(case) or not (shows_all or _holds_its_probes(case)):
        return
    if container.node.get("startupProbe") is not None:
        return
    probe = containers.probe(container.node, "livenessProbe")
    if probe is None or not loading.asks_engine(container, probe) or probe.grace_seconds >= loading.SUSPECT_SECONDS:
        return
    if not shows_all and probe.grace_seconds > loading.CERTAIN_SECONDS:
        return
    weights = loading.checkpoint_bytes(pool)
    said = weights if weights is not None else loading.named_bytes(container)
    if said is not None and (said < loading.SMALL_WEIGHTS_BYTES or _is_likely_loaded(case, said, probe.grace_seconds)):
        return
    certain = (
        container.engine == "vllm"
        and probe.grace_seconds < loading.CERTAIN_SECONDS
        and weights is not None
        and weights >= loading.LARGE_WEIGHTS_BYTES
        and probe.handler == "httpGet"
        and shows_all
        and not loading.starts_fast(container)
    )
    size = f"{weights / 1e9:.0f} GB of weights" if weights is not None else "the model"
    place = pods.key_place(container.document, container.node, "livenessProbe") or container.place
    yield Verdict(
        place,
        f"the container has {probe.grace_seconds} s to load {size}",
        arithmetic=(patience(probe),),
        related=related(place, (pool.model, f"{size} to load") if weights is not None else (pool.model, "to load")),
        proposals=(loading.startup_proposal(container, weights, written=shows_all),),
        severity=Severity.ERROR if certain else Severity.WARNING,
        certainty=Certainty.ESTIMATED if certain else Certainty.HEURISTIC,
    )


def _is_likely_loaded(case: ContainerCase, weights: float, seconds: int) -> bool:
    """By the arithmetic of K8S603, and a quarter more: this probe goes on, and has no second chance."""
    return seconds >= 1.25 * loading.seconds_to_load(case.pool, weights)[0]


def _holds_its_probes(case: ContainerCase) -> bool:
    """What is no pod template, but states a container's probes: a runtime of KServe, and the values of a chart."""
    pod = case.container.pod
    if case.deployment.format == "helm-values":
        return pod is None
    return pod is not None and pod.owner in ("ServingRuntime", "ClusterServingRuntime")


@rule(
    "K8S603", "startup-budget-too-short", "Startup probe gives up before the model is likely to be loaded",
    severity=Severity.WARNING, certainty=Certainty.HEURISTIC, scope=Scope.CONTAINER, since="0.1.0",
    engines=guards.ENGINES, formats=(*guards.TEMPLATED, "ome", "dynamo"), fixable=True, inputs=("model",),
)  # fmt: skip
def startup_budget_too_short(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A startup probe on the engine's own port whose budget, `initialDelaySeconds + periodSeconds × failureThreshold`, is below
    ten minutes and below the time that fetching the weights (2 Gbit/s from the hub, 1 GB/s from a path) and starting the
    engine (90 s) are likely to take. Also one whose budget is below `VLLM_ENGINE_READY_TIMEOUT_S`, the time that the same
    container gives vLLM's engine to load: whichever is over first decides.

    ## Why it matters

    When the budget is used up the kubelet ends the container, and the next one starts again from nothing. On a node that has
    the weights in its page cache all is well, so the fault shows at the first start, and when a pod moves to a fresh node.

    ## How to fix

    Raise `failureThreshold`. The probe ends with the first success, so a large budget costs nothing where loading is fast.

    ## Certainty

    Heuristic: networks and disks differ. Engines that skip compilation or stream the weights are left out.

    ## References

    - [aibrix#772](https://github.com/vllm-project/aibrix/issues/772): 150 s were too few for an 8B model
    - What the start takes: [vllm#20264](https://github.com/vllm-project/vllm/issues/20264),
      [GAIE#550](https://github.com/kubernetes-sigs/gateway-api-inference-extension/pull/550)
    """
    container, pool = case.container, case.pool
    probe = containers.probe(container.node, "startupProbe")
    over = loading.below_ready_timeout(container, probe) if probe is not None else None
    if over is not None:
        yield over
        return
    if not guards.shows_all(case) or not guards.on_gpus(case) or loading.starts_fast(container):
        return
    if case.deployment.format not in guards.TEMPLATED:
        return
    if probe is None or probe.grace_seconds >= loading.AMPLE_SECONDS or not loading.asks_engine(container, probe):
        return
    weights = loading.checkpoint_bytes(pool)
    if weights is None or weights < loading.SMALL_WEIGHTS_BYTES:
        return
    needed, arithmetic = loading.seconds_to_load(pool, weights)
    if probe.grace_seconds >= needed:
        return
    place = pods.key_place(container.document, container.node, "startupProbe") or container.place
    yield Verdict(
        place,
        f"the container has {probe.grace_seconds} s to load {weights / 1e9:.0f} GB of weights; {needed:.0f} s are likely",
        arithmetic=(
            patience(probe),
            f"{arithmetic} = {needed:.0f} s",
        ),
        related=related(place, (pool.model, f"{weights / 1e9:.0f} GB of weights to load")),
        proposals=(loading.longer_budget(container, probe, 2 * needed),),
    )


class _Fault(NamedTuple):
    """What is wrong with a probe, and where that is written."""

    node: ScalarNode
    label: str
    key: str
    certainty: Certainty
    fix: str = ""
    also: tuple[Related, ...] = ()


@rule(
    "K8S609", "probe-path-or-port-wrong", "Probe asks where the engine does not answer",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0",
    engines=guards.ENGINES, formats=guards.TEMPLATED, fixable=True,
)  # fmt: skip
def probe_path_or_port_wrong(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    The probes of an engine's container against its command line: a port by a name that the container does not declare, a
    port on which nothing in the pod listens, HTTPS where the engine serves HTTP (or the reverse), and a path that the
    engine's server does not have. Also a liveness probe that ends the container at the first failure.

    ## Why it matters

    A readiness probe that never succeeds keeps the pod out of its Service for ever; a startup or liveness probe that never
    succeeds ends the container again and again while the engine in it is well.

    ## How to fix

    Ask the engine's own port (`--port`, or its default: vLLM 8000, SGLang 30000) for `/health`.

    ## Certainty

    Proven for ports and schemes, from the command line in the same container; silent where a sidecar, a script that starts
    more than the engine, or any other setting may own the port. A path is proven wrong for images of the engine's project,
    and otherwise a warning: others may add routes. That one failure is too few is experience: a busy engine misses a
    deadline of a second now and then.

    ## References

    - The routes: vLLM `vllm/entrypoints`, SGLang `srt/entrypoints/http_server.py`, TGI `router/src/server.rs`
    - [Kubernetes: configure probes](https://kubernetes.io/docs/tasks/configure-pod-container/configure-liveness-readiness-startup-probes/)
    - [dynamo#2124](https://github.com/ai-dynamo/dynamo/pull/2124): a failure threshold of 1 raised
    """
    container, pool = case.container, case.pool
    if not guards.shows_all(case) or not pods.is_first(container, pool):
        return
    from servelint.source import edits  # lazy: only containers with probes get here

    for name in ("startupProbe", "livenessProbe", "readinessProbe"):
        probe = container.node.get(name)
        fault = _fault(container, name, probe) if isinstance(probe, MappingNode) else None
        if fault is None:
            continue
        yield Verdict(
            Place.of(container.document, fault.node),
            fault.label,
            related=fault.also,
            proposals=(
                Proposal(
                    f"ask for {fault.fix}",
                    True,
                    lambda node=fault.node, text=fault.fix: edits.set_scalar(container.document, node, text),  # type: ignore[misc]
                ),
            )
            if fault.fix
            else (),
            severity=Severity.ERROR if fault.certainty is Certainty.PROVEN else Severity.WARNING,
            certainty=fault.certainty,
            key=f"{name} {fault.key}",
        )


def _fault(container: Container, name: str, probe: MappingNode) -> _Fault | None:
    handler = "httpGet" if probe.get("httpGet") is not None else "tcpSocket" if probe.get("tcpSocket") is not None else ""
    if handler and (fault := _port_fault(container, probe, handler)) is not None:
        return fault
    if handler == "httpGet" and (fault := _scheme_fault(container, probe) or _path_fault(container, probe)) is not None:
        return fault
    threshold = probe.get("failureThreshold")
    patience = pods.whole(probe.get("timeoutSeconds")) or 1
    if name == "livenessProbe" and pods.whole(threshold) == 1 and patience <= 5 and isinstance(threshold, ScalarNode):
        label = f"one answer later than {patience} s ends the container and everything it is serving"
        return _Fault(threshold, label, "threshold", Certainty.HEURISTIC, "3")
    return None


def _port_fault(container: Container, probe: MappingNode, handler: str) -> _Fault | None:
    node = probe.get(handler, "port")
    if not isinstance(node, ScalarNode) or probe.get(handler, "host") is not None:
        return None
    if whole(node.text) is None:
        names = [port.text_at("name") or "" for port in container.node.elements_at("ports")]
        if node.text in names or any(mark in node.text for mark in "${<"):
            return _mismatch(container, node)
        declared = f"it declares {', '.join(filter(None, names))}" if any(names) else "it names none"
        label = f"the container has no port of the name {node.text} ({declared}): the probe always fails"
        return _Fault(node, label, "name", Certainty.PROVEN, _number(container))
    return _mismatch(container, node)


def _number(container: Container) -> str:
    port = listening.address(container).port
    return str(port) if port is not None else ""


def _mismatch(container: Container, node: ScalarNode) -> _Fault | None:
    address = listening.address(container)
    asked = node.text if whole(node.text) is not None else _declared(container.node, node.text)
    if address.port is None or whole(asked) is None or int(asked) == address.port:
        return None
    if listening.something_else_listens(container, int(asked)):
        return None
    also: tuple[Related, ...] = ()
    if address.argument is not None and container.command is not None:
        also = (Related(container.command.place_of(address.argument), f"the engine listens on {address.port}"),)
    default = "" if address.argument is not None else ", its default"
    label = f"nothing listens on {asked}: the engine answers on {address.port}{default}"
    return _Fault(node, label, "port", Certainty.PROVEN, str(address.port), also)


def _declared(container: Node, name: str) -> str:
    found = (port.text_at("containerPort") for port in container.elements_at("ports") if port.text_at("name") == name)
    return next(found, None) or ""


def _asks_the_engine(container: Container, probe: MappingNode) -> bool:
    port = listening.address(container).port
    return port is not None and containers.probe_port(container.node, probe) == str(port)


def _scheme_fault(container: Container, probe: MappingNode) -> _Fault | None:
    command = container.command
    if command is None or not command.complete or not _asks_the_engine(container, probe):
        return None
    scheme, tls = probe.get("httpGet", "scheme"), listening.serves_tls(container)
    written = scheme.text.upper() if isinstance(scheme, ScalarNode) else "HTTP"
    if tls and written == "HTTP":
        node = scheme if isinstance(scheme, ScalarNode) else probe.get("httpGet", "port")
        label = "the engine serves HTTPS (--ssl-…), and the probe asks by HTTP"
        fix = "HTTPS" if isinstance(scheme, ScalarNode) else ""
        return _Fault(node, label, "scheme", Certainty.PROVEN, fix) if isinstance(node, ScalarNode) else None
    if not tls and written == "HTTPS" and isinstance(scheme, ScalarNode):
        return _Fault(scheme, "the engine serves HTTP: no certificate is given to it", "scheme", Certainty.PROVEN, "HTTP")
    return None


def _path_fault(container: Container, probe: MappingNode) -> _Fault | None:
    command, node = container.command, probe.get("httpGet", "path")
    if command is None or not _asks_the_engine(container, probe):
        return None
    if "grpc" in command.launcher or any(
        command.last(f) is not None for f in ("--middleware", "--grpc-mode", "--fastapi-root-path")
    ):
        return None
    path = node.text if isinstance(node, ScalarNode) else "/"
    place = node if isinstance(node, ScalarNode) else probe.get("httpGet", "port")
    if listening.answers(container.engine, path) is not False or not isinstance(place, ScalarNode):
        return None
    certainty = Certainty.PROVEN if listening.is_release(command) else Certainty.HEURISTIC
    label = f"the engine's server has no {path}: it answers 404, and the probe always fails"
    return _Fault(place, label, "path", certainty, "/health" if node is not None else "")
