"""ModelBooster: what kthena's controller makes of its workers.

The controller writes a ModelServing: the weights are downloaded from ``modelURI`` to a path of the cache, the entries of
``config`` become options in the order of their names, and a ``server`` worker with several ``pods`` joins a Ray cluster.

Source: ``pkg/model-booster-controller/convert/model_serving.go``, ``…/utils/template.go`` (ConvertVLLMArgsFromJson).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.deployment import Deployment, Role
from servelint.facts import Fact, Origin, OriginKind
from servelint.formats import (
    containers,
    controller_words,
    custom_resources,
    devices,
    launches,
    model_uris,
    pod_groups,
    podspec,
    scheduling,
    value_words,
)
from servelint.formats.bare_podspecs import template_of
from servelint.formats.environment import environment
from servelint.formats.launches import Launch
from servelint.formats.writers import together
from servelint.records import NamedTuple
from servelint.source.nodes import ScalarNode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.deployment import Pool
    from servelint.engines.command import Word
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document, Node

_WHO = "kthena"
_CACHE = "/cache"  # the path is the cache's mount path and the MD5 of modelURI; it names no model in any case
_LAUNCHERS = {
    "vllm": ("python3", "-m", "vllm.entrypoints.openai.api_server", "--model", _CACHE),
    "vllmdisaggregated": ("python3", "-m", "vllm.entrypoints.openai.api_server", "--model", _CACHE),
    "sglang": ("python3", "-m", "sglang.launch_server", "--model-path", _CACHE),
}
_ROLES = {"prefill": Role.PREFILL, "decode": Role.DECODE}


class _Backend(NamedTuple):
    document: Document
    node: Node
    name: str
    kind: str


def deployments(document: Document, item: Node, surroundings: Surroundings) -> Iterator[Deployment]:
    name = controller_words.label_of(item).text
    backends = [node for node in (item.get("spec", "backend"), *item.elements_at("spec", "backends")) if node is not None]
    for index, node in enumerate(backends):
        kind = (node.text_at("type") or "").lower()
        if kind not in _LAUNCHERS:
            continue
        backend = _Backend(document, node, node.text_at("name") or f"backend-{index}", kind)
        workers = node.elements_at("workers")
        pools = [pool for worker in workers for pool in _worker(backend, worker, surroundings)]
        if not pools:
            continue
        own = name if len(backends) == 1 else f"{name}-{backend.name}"
        for pool in pools:
            for fact in (pool.replicas_min, pool.nodes):
                podspec.report_invalid(surroundings, own, fact)
        yield Deployment(own, "kthena", document, tuple(pools))


def _worker(backend: _Backend, worker: Node, surroundings: Surroundings) -> list[Pool]:
    document = backend.document
    kind = (worker.text_at("type") or "server").lower()
    label = worker.get("type") or worker.get("image") or launches.label_of(worker)
    anchor = label if isinstance(label, ScalarNode) else controller_words.label_of(worker)
    variables = environment(document, backend.node)
    made: list[Word] = [*controller_words.words(anchor, *_LAUNCHERS[backend.kind]), *_settings(worker)]
    pods = _pods(document, worker)
    if pods.is_known and pods.value > 1:
        made += controller_words.words(anchor, "--distributed-executor-backend", "ray")
    asked = devices.devices(worker)
    writer = together((document, asked.limit), (document, asked.request))
    least, most = _replicas(backend, worker)
    facts: dict[str, Fact[Any]] = {"replicas_min": least, "replicas_max": most, "nodes": pods}
    uri = backend.node.get("modelURI")
    if isinstance(uri, ScalarNode):
        facts["model"] = model_uris.model(document, uri, "modelURI")
    accelerator = scheduling.accelerator(document, template_of(worker))
    if accelerator is not None:
        facts["accelerator"] = accelerator
    launch = Launch(
        document, kind, worker, anchor, containers.image(document, worker), worker.text_at("image") or "",
        (controller_words.program(document, made),), variables, devices.count(document, worker, writer), asked.resource,
        pods, facts,
    )  # fmt: skip
    pools = launches.pools(launch, surroundings.engines)
    role = _ROLES.get(kind)
    return [pool if role is None else pool._replace(role=role) for pool in pools]


def _settings(worker: Node) -> list[Word]:
    """The entries of ``config`` as the controller turns them into options: an empty value makes a switch."""
    made: list[Word] = []
    for key, name, node in sorted(worker.entries_at("config"), key=lambda entry: entry[0]):
        anchor = name.resolved
        if not isinstance(anchor, ScalarNode):
            continue
        made += controller_words.words(anchor, "--" + key.replace("_", "-"))
        if isinstance(node, ScalarNode):
            if node.text and not node.is_null:
                made.append(value_words.value(node))
        else:
            made += controller_words.words(anchor, "<a list or mapping>")
    return made


def _pods(document: Document, worker: Node) -> Fact[int]:
    """Pods of one replica. The controller takes none, and what is absent, for one."""
    pods = custom_resources.number(document, worker, "pods", "nodes", default=1, of=_WHO)
    if pods.is_known and pods.value == 0:
        return Fact.known("nodes", 1, Origin(OriginKind.DERIVED, "kthena takes 0 pods for 1", pods.place))
    return pods


def _replicas(backend: _Backend, worker: Node) -> tuple[Fact[int], Fact[int]]:
    document = backend.document
    inner = custom_resources.number(
        document, worker, "replicas", "replicas.min", default=None, of="the worker states none, and kthena makes no pod then"
    )
    if backend.node.get("replicas") is None and backend.node.get("minReplicas") is not None:  # kthena 0.1
        least = custom_resources.number(document, backend.node, "minReplicas", "replicas.min", default=1, of=_WHO)
        most = custom_resources.number(
            document, backend.node, "maxReplicas", "replicas.max", default=None, of="maxReplicas is not stated"
        )
    else:
        least = custom_resources.number(
            document, backend.node, "replicas", "replicas.min", default=None, of="the backend states no replicas"
        )
        most = least
    return pod_groups.times(least, inner), pod_groups.times(most, inner)._replace(name="replicas.max")
