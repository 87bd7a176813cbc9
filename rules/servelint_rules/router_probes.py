"""K8S640: routers whose probes wait for engines that take longer to load."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.facts import Place
from servelint.finding import Certainty, Proposal, Related, Severity, Verdict
from servelint.formats import containers
from servelint.rulebook import Scope, rule
from servelint.source.nodes import MappingNode, ScalarNode, walk
from servelint_rules import pods
from servelint_rules.figures import patience

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import DeploymentCase
    from servelint.deployment import Container
    from servelint.finding import Edit
    from servelint.formats.containers import Probe
    from servelint.source.nodes import Document

# What SGLang's router is called: its Python module, its images, and the gateway that it became.
_NAMES = ("sglang_router", "sglang-router", "sgl-router", "sgl-model-gateway", "lightseekorg/smg", "/smg:")
# The path that answers 503 until a worker of each kind is healthy; /health and /liveness answer at once.
_WAITS = "/readiness"
_DEADLY = ("startupProbe", "livenessProbe")


@rule(
    "K8S640", "router-probe-waits-for-engines", "Router is ended because its engines still load",
    severity=Severity.WARNING, certainty=Certainty.HEURISTIC, scope=Scope.DEPLOYMENT, since="0.1.0",
    fixable=True,
)  # fmt: skip
def router_probe_waits_for_engines(case: DeploymentCase) -> Iterator[Verdict]:
    """
    ## What it checks

    The startup or liveness probe of SGLang's router on `/readiness`, whose budget is below the startup budget that the same
    object gives to its engines (five minutes where the engines have none).

    ## Why it matters

    `/readiness` answers 503 until an engine of each kind is healthy. While the engines load, the router's probe uses up its
    budget, and the kubelet ends a router that is well; again and again, with a back-off of up to five minutes, so that the
    deployment becomes ready later than its engines.

    ## How to fix

    Ask `/liveness` (or `/health`) in the startup and liveness probes, and `/readiness` in the readiness probe only.

    ## Certainty

    Heuristic: engines may load faster than their budget allows.

    ## References

    - SGLang's router, `server.rs`: `readiness`, "insufficient healthy workers"
    - [Kubernetes: liveness, readiness and startup probes](https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/)
    """
    document = case.deployment.document
    engines = [container for pool in case.pools for container in pool.pool.containers]
    given = max((_budget(container) for container in engines), default=0)
    if document.root is None or not engines or _WAITS not in document.source.text:
        return
    own = {id(container.node) for container in engines}
    for node in walk(document.root):
        if not isinstance(node, MappingNode) or id(node) in own or not any(node.get(name) is not None for name in _DEADLY):
            continue
        if not any(name in text for key in ("image", "command", "args") for text in pods.texts(node.get(key)) for name in _NAMES):
            continue
        name = "startupProbe" if node.get("startupProbe") is not None else "livenessProbe"  # the first waits for the second
        probe = containers.probe(node, name)
        if probe is not None and probe.node.text_at("httpGet", "path") == _WAITS and probe.grace_seconds < (given or _LOADING):
            yield _verdict(document, probe, name, given, engines)


_LOADING = 300  # seconds in which few engines are ready


def _budget(container: Container) -> int:
    probe = containers.probe(container.node, "startupProbe")
    return probe.grace_seconds if probe is not None else 0


def _verdict(document: Document, probe: Probe, name: str, given: int, engines: list[Container]) -> Verdict:
    path = probe.node.get("httpGet", "path")
    first = max(engines, key=_budget)
    place = pods.key_place(first.document, first.node, "startupProbe") if given else None

    def edits() -> tuple[Edit, ...] | None:
        from servelint.source.edits import set_scalar  # lazy: only fixes edit

        return set_scalar(document, path, "/liveness") if isinstance(path, ScalarNode) else None

    most = f"the engines have {given} s to load" if given else "engines load for minutes"
    return Verdict(
        Place.of(document, path if path is not None else probe.node),
        f"the router is ended after {probe.grace_seconds} s without a healthy engine, and {most}",
        arithmetic=(patience(probe),),
        related=(Related(place, f"the engine's startup probe: {given} s"),) if place is not None else (),
        proposals=(Proposal(f"ask /liveness in the {name}", False, edits),),
        key=name,
    )
