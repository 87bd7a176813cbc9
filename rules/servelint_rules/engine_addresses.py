"""K8S653 and K8S654: what kthena and AIBrix are told of the engine beside them: how many there are, and where it answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.facts import Place
from servelint.finding import Certainty, Proposal, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint.source.nodes import ScalarNode
from servelint.source.scalars import whole
from servelint_rules import listening, pods

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import ContainerCase
    from servelint.finding import Edit
    from servelint.source.nodes import Node

# Where a sidecar is told its engine's address: an option of kthena's runtime (python/kthena/runtime/app.py), a variable of
# AIBrix's (python/aibrix/aibrix/envs.py), and the variable from which kthena's controller makes that option.
_OPTION, _VARIABLE, _BACKEND = "--engine-base-url", "INFERENCE_ENGINE_ENDPOINT", "RUNTIME_URL"
_LOCAL = frozenset(("localhost", "127.0.0.1", "0.0.0.0"))  # noqa: S104 - read, not bound


@rule(
    "K8S653", "workers-without-pods", "Workers of which no pod is made",
    severity=Severity.WARNING, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0",
    formats=("kthena",), fixable=True,
)  # fmt: skip
def workers_without_pods(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    Workers of a ModelBooster whose `replicas` is 0, while its backend has replicas.

    ## Why it matters

    kthena makes a role of no replicas of them. Its autoscaler, where there is one, changes the number of the backend's
    groups and not of the workers in a group: no pod ever serves the model, and no request makes one.

    ## How to fix

    `replicas: 1` (or more) for the worker. To switch a model off, set the backend's own `replicas` to 0.

    ## Certainty

    Proven, from what the controller makes of the field in kthena 0.1 to 1.0.

    ## References

    - kthena, `pkg/model-booster-controller/convert/model_serving.go`: `SERVER_REPLICAS`
    """
    container = case.container
    node = container.node.get("replicas")
    document = container.document
    if container.pod is not None or not isinstance(node, ScalarNode) or node.text.strip() != "0":
        return
    if any(backend.text_at("replicas") == "0" for backend in _backends(document.root)):
        return  # switched off

    def edits() -> tuple[Edit, ...] | None:
        from servelint.source.edits import set_scalar  # lazy: only findings edit

        return set_scalar(document, node, "1")

    yield Verdict(
        Place.of(document, node),
        f"no pod of the {container.node.text_at('type') or 'server'} workers is ever made, and nothing scales them",
        proposals=(Proposal("replicas: 1", False, edits),),
        key=container.name,
    )


@rule(
    "K8S654", "engine-address-unanswered", "Sidecar that asks for its engine on the wrong port",
    severity=Severity.WARNING, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0",
    formats=("kthena", "aibrix", "kubernetes"),
)  # fmt: skip
def engine_address_unanswered(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    The address at which the sidecar of kthena or AIBrix looks for the engine in its own pod (`--engine-base-url`,
    `INFERENCE_ENGINE_ENDPOINT`, `RUNTIME_URL` of a ModelBooster) against the port on which the engine answers.

    ## Why it matters

    The sidecar reads metrics, and loads and unloads adapters, at that address. Where nothing answers, the router and the
    autoscaler see an engine without load, and adapters are never loaded; requests are served all the same, so that it takes
    long to be seen.

    ## How to fix

    The engine's own port: `http://localhost:8000`, without a path, to which the sidecar adds its own.

    ## Certainty

    Proven where the engine's port is stated or its default, and no container of the pod mentions the other port.

    ## References

    - kthena, `python/kthena/runtime/app.py`: `engine_base_url + engine_metrics_path`
    - AIBrix, `python/aibrix/aibrix/app.py`: `INFERENCE_ENGINE_ENDPOINT`
    """
    container = case.container
    port = listening.address(container).port
    if port is None or (container.pod is not None and not pods.speaks_for(container, case.deployment)):
        return
    for node, who in _addresses(case):
        text = node.text.strip()
        host, _, rest = text.partition("://")[2].partition(":")
        asked, slash, path = rest.partition("/")
        if host not in _LOCAL or whole(asked) is None:
            continue
        told = f"{text}, and the engine answers on port {port}"
        if whole(asked) == port:
            if not path or who != _BACKEND:
                continue
            told = f"{text}: kthena's runtime adds its own path, and gets /{path}/metrics"
        elif container.pod is not None and _is_mentioned(container.pod.node, asked):
            continue
        yield Verdict(
            Place.of(container.document, node),
            f"the sidecar asks at {told}",
            proposals=(Proposal(f"http://localhost:{port}", False, None),),
            key=f"{who}{slash}",
        )


def _addresses(case: ContainerCase) -> Iterator[tuple[ScalarNode, str]]:
    container, pod = case.container, case.container.pod
    if pod is None:
        fact = container.environment.get(_BACKEND) if case.deployment.format == "kthena" else None
        backend = _variable(case.deployment.document.root, fact.get("") if fact is not None else "")
        if backend is not None:
            yield backend, _BACKEND
        return
    for other in pods.other_containers(pod, container.node):
        words = [word for key in ("command", "args") for word in other.elements_at(key)]
        for before, word in zip([None, *words], words, strict=False):
            if isinstance(before, ScalarNode) and before.text == _OPTION and isinstance(word, ScalarNode):
                yield word, _OPTION
        for item in other.elements_at("env"):
            value = item.get("value")
            if item.text_at("name") == _VARIABLE and isinstance(value, ScalarNode):
                yield value, _VARIABLE


def _variable(root: Node | None, value: str) -> ScalarNode | None:
    """Where ``RUNTIME_URL`` is set to ``value`` in a ModelBooster."""
    for backend in _backends(root) if value else ():
        for item in backend.elements_at("env"):
            node = item.get("value")
            if item.text_at("name") == _BACKEND and isinstance(node, ScalarNode) and node.text == value:
                return node
    return None


def _backends(root: Node | None) -> list[Node]:
    found = [root.get("spec", "backend"), *root.elements_at("spec", "backends")] if root is not None else []
    return [backend for backend in found if backend is not None]


def _is_mentioned(template: Node, port: str) -> bool:
    """Something in the pod has that port, or is told of it beside the address itself."""
    import re  # lazy: only addresses with another port get here

    texts = [text for text in pods.texts(template) if "localhost:" not in text and "127.0.0.1:" not in text]
    return any(re.search(rf"(?<!\d){port}(?!\d)", text) for text in texts)
