"""Readiness: whether requests wait for the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.finding import Certainty, Proposal, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint.source.nodes import MappingNode
from servelint_rules import guards, listening, network, pods

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import ContainerCase
    from servelint.deployment import Container
    from servelint.finding import Edit


@rule(
    "K8S608", "no-readiness-probe", "Requests arrive before the model is loaded",
    severity=Severity.WARNING, certainty=Certainty.HEURISTIC, scope=Scope.CONTAINER, since="0.1.0",
    engines=("vllm", "sglang", "tgi", "trtllm"), formats=guards.TEMPLATED, fixable=True, advice=True,
)  # fmt: skip
def no_readiness_probe(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    An engine's container without a readiness probe, in a workload that keeps it running. Workers of a group, which answer no
    requests, are left out.

    ## Why it matters

    Without the probe a pod counts as ready when its process has started. It gets its share of the requests while the weights
    are loaded, for minutes, and each of them is refused; a rolling update goes on to end the old pods meanwhile.

    ## How to fix

    Add a readiness probe on the engine's port with the path `/health`.

    ## Certainty

    Heuristic, and said under the profile `strict`: in a test it is no fault. Engines behind SGLang's router, which asks them
    itself, are left out where no Service leads past it.

    ## References

    - [Kubernetes: readiness probe](https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/#readiness-probe)
    - [aibrix#2264](https://github.com/vllm-project/aibrix/pull/2264)
    """
    container, pool = case.container, case.pool
    pod, command = container.pod, container.command
    if pod is None or not guards.shows_all(case) or not pods.is_first(container, pool) or pod.owner in ("Pod", "Job", "JobSet"):
        return
    if container.node.get("readinessProbe") is not None or command is None or "dynamo" in command.launcher:
        return
    if command.last("--headless") is not None or (_has_router(container) and not any(network.services_of(pod))):
        return
    port = listening.address(container).port
    place = pods.key_place(container.document, container.node, "name") or container.place
    yield Verdict(
        place,
        "the pod is ready as soon as its process has started",
        proposals=(
            Proposal(
                f"add a readiness probe: GET /health on port {port}" if port is not None else "add a readiness probe on /health",
                True,
                None if port is None else lambda: _with_probe(container, port),
            ),
        ),
        key=container.name,
    )


def _has_router(container: Container) -> bool:
    """Beside the engine stands a router that asks its engines for their health before it sends them requests: SGLang's
    (sgl-router/src/core/worker.rs), of which engines are removed that do not answer."""
    source = container.document.source
    if not any(mark in source.text for mark in _ROUTERS):
        return False
    reading = source.reading
    for document in reading.documents if reading is not None else ():
        if any(mark in text for text in pods.texts(document.root) for mark in _ROUTERS):
            return True
    return False


_ROUTERS = ("sglang_router", "sglang-router", "lightseekorg/smg")


def _with_probe(container: Container, port: int) -> tuple[Edit, ...] | None:
    from servelint.source import edits  # lazy: only fixes edit

    if not isinstance(container.node, MappingNode):
        return None
    text = f"httpGet:\n  path: /health\n  port: {port}\nperiodSeconds: 10"
    return edits.insert_entry(container.document, container.node, "readinessProbe", text, "args")
