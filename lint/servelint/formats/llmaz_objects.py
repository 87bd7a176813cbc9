"""What llmaz makes of a Playground, and of a Service.

A Playground starts the backend (vLLM unless it says otherwise) with the backend's recommended arguments and its own behind
them; a Service has the pod templates of a LeaderWorkerSet. In both the accelerators are those of the model's flavors, which are
tried in order, and win over what the containers ask for.

Source: ``pkg/controller/inference/playground_controller.go``, ``pkg/controller_helper/backendruntime``,
``chart/templates/backends``, ``api/core/v1alpha1/model_types.go`` (Flavor).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.deployment import Deployment, Environment
from servelint.facts import Fact, Origin, OriginKind, Place
from servelint.formats import (
    controller_words,
    custom_resources,
    devices,
    launches,
    model_uris,
    objects,
    pod_groups,
    podspec,
    scheduling,
)
from servelint.formats.bare_podspecs import named_container
from servelint.formats.containers import IMAGE
from servelint.formats.launches import Launch
from servelint.formats.leaderworkerset import injected
from servelint.formats.node_terms import with_terms
from servelint.formats.pod_groups import Group
from servelint.formats.writers import together
from servelint.source.nodes import ScalarNode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from servelint.deployment import Pool
    from servelint.engines.command import Word
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document, Node

_WHO = "llmaz"
_PATH = "/workspace/models/model"  # where the model is mounted; it names no model
_LAUNCHERS = {
    "vllm": (("python3", "-m", "vllm.entrypoints.openai.api_server", "--model", _PATH), "vllm/vllm-openai"),
    "sglang": (("python3", "-m", "sglang.launch_server", "--model-path", _PATH), "lmsysorg/sglang"),
    "tgi": (("text-generation-launcher", "--model-id", _PATH), "ghcr.io/huggingface/text-generation-inference"),
    "tensorrt-llm": (("trtllm-serve", _PATH), "nvcr.io/nvidia/tritonserver"),
    "llamacpp": (("llama-server", "-m", _PATH), "ghcr.io/ggml-org/llama.cpp"),
    "ollama": (("ollama", "serve"), "ollama/ollama"),
}
_DEGREES = (("tensor", "TP"), ("pipeline", "PP"))
_Found = tuple["Document", "Node"]


def playground(document: Document, item: Node, surroundings: Surroundings) -> Iterator[Deployment]:
    spec = item.get("spec")
    if spec is None:
        return
    label = controller_words.label_of(item)
    config = spec.get("backendRuntimeConfig")
    named = config.get("backendName") if config is not None else None
    anchor = named if isinstance(named, ScalarNode) else label
    launcher = _LAUNCHERS.get(anchor.text.lower() if anchor is named else "vllm")
    if launcher is None:
        return
    shipped = objects.named(surroundings, "BackendRuntime", anchor.text if anchor is named else "vllm")
    claimed = spec.get("modelClaim", "modelName") or _main_model(spec.elements_at("modelClaims", "models"))
    model = _model_object(claimed, surroundings)
    variables = Environment(_variables(document, config))
    made: list[Word] = [*controller_words.words(anchor, *launcher[0]), *_recommended(shipped, config, anchor)]
    if config is not None:
        made += controller_words.of_items(document, config.elements_at("args"), variables)
    flavors = _flavors(model, spec.elements_at("modelClaim", "inferenceFlavors"))
    gpus, resource = _flavored(flavors) or _asked(document, config)
    least, most = _replicas(document, spec)
    facts: dict[str, Fact[Any]] = {"replicas_min": least, "replicas_max": most, "model": _model(document, claimed, model)}
    facts.update(_placement(flavors))
    one = Fact.known("nodes", 1, Origin(OriginKind.DERIVED, "a Playground's replica is one pod"))
    launch = Launch(
        document, label.text, config if config is not None else spec, label, _image(document, config, launcher[1]), launcher[1],
        (controller_words.program(document, made),), variables, gpus, resource, one, facts,
    )  # fmt: skip
    pools = [_with_degrees(pool, flavors) for pool in launches.pools(launch, surroundings.engines)]
    podspec.report_invalid(surroundings, label.text, least)
    if pools:
        yield Deployment(label.text, "llmaz", document, tuple(pools))


def _recommended(runtime: _Found | None, config: Node | None, anchor: ScalarNode) -> list[Word]:
    """The arguments that the BackendRuntime recommends, which stand in front of the Playground's own."""
    if runtime is None:
        unseen = controller_words.unseen(anchor, f"llmaz' BackendRuntime {anchor.text}")
        return [unseen, unseen]  # one stands for its model, the other for what else it sets
    document, item = runtime
    name = (config.text_at("configName") if config is not None else None) or "default"
    for recommended in item.elements_at("spec", "recommendedConfigs"):
        if recommended.text_at("name") == name:
            return controller_words.of_items(document, recommended.elements_at("args"), {})
    return []


def service(document: Document, item: Node, surroundings: Surroundings) -> Iterator[Deployment]:
    holder = item.get("spec", "workloadTemplate")
    worker = item.get("spec", "workloadTemplate", "workerTemplate")
    leader = item.get("spec", "workloadTemplate", "leaderTemplate") or worker
    if holder is None or leader is None:
        return
    size = custom_resources.number(document, holder, "size", "nodes", default=1, of="LeaderWorkerSet", least=1)
    replicas = custom_resources.number(document, item.get("spec"), "replicas", "replicas.min", default=1, of=_WHO)
    own = worker if worker is not leader else None
    group = Group("", leader, own, size, replicas, given=injected(size))
    pools = pod_groups.pools(document, group, surroundings, owner="Service")
    if not pools:
        return
    claimed = _main_model(item.elements_at("spec", "modelClaims", "models"))
    model = _model_object(claimed, surroundings)
    flavors = _flavors(model, item.elements_at("spec", "modelClaims", "inferenceFlavors"))
    found = []
    for pool in pools:
        facts: dict[str, Any] = _placement(flavors)
        if (flavored := _flavored(flavors)) is not None:
            facts["gpus_per_node"], facts["gpu_resource"] = flavored
        if claimed is not None:
            facts["model"] = _served(pool.model, _model(document, claimed, model))
        found.append(pool._replace(**facts))
    name = controller_words.label_of(item).text
    for fact in (size, replicas):
        podspec.report_invalid(surroundings, name, fact)
    yield Deployment(name, "llmaz", document, tuple(found))


def _served(started: Fact[str], claimed: Fact[str]) -> Fact[str]:
    """The model of a command line and the one that is claimed, which llmaz downloads for it."""
    if not started.is_known or not claimed.is_known or claimed.origin is None:
        return claimed if not started.is_known else started
    if started.value.lower() == claimed.value.lower():
        return started
    reason = f"the command line names {started.value}, and the model that is claimed is {claimed.value}"
    return Fact.conflict(started.name, (started.value, claimed.value), reason, started.origin or claimed.origin)


def _main_model(models: Sequence[Node]) -> Node | None:
    mains = [model for model in models if (model.text_at("role") or "main") == "main"]
    return mains[0].get("name") if mains else None


def _model_object(claimed: Node | None, surroundings: Surroundings) -> _Found | None:
    if not isinstance(claimed, ScalarNode):
        return None
    return objects.named(surroundings, "OpenModel", claimed.text) or objects.named(surroundings, "Model", claimed.text)


def _model(document: Document, claimed: Node | None, model: _Found | None) -> Fact[str]:
    if not isinstance(claimed, ScalarNode):
        return Fact.unknown(model_uris.NAME, "no model is claimed", "state modelClaim.modelName")
    origin = Origin(OriginKind.FILE, "modelName", Place.of(document, claimed))
    if model is None:
        reason = f"the OpenModel {claimed.text} is not at hand"
        return Fact.unknown(model_uris.NAME, reason, "lint it together with the OpenModel", origin)
    where, item = model
    hub = item.get("spec", "source", "modelHub", "modelID")
    if isinstance(hub, ScalarNode):
        return Fact.known(model_uris.NAME, hub.text, Origin(OriginKind.FILE, "modelID", Place.of(where, hub)))
    uri = item.get("spec", "source", "uri")
    if isinstance(uri, ScalarNode):
        return model_uris.model(where, uri, "source.uri")
    return Fact.unknown(model_uris.NAME, f"the OpenModel {claimed.text} names no source", origin=origin)


def _flavors(model: _Found | None, wanted: Sequence[Node]) -> list[_Found]:
    """The flavors that may serve the model, in their order."""
    if model is None:
        return []
    names = {node.text for node in wanted if isinstance(node, ScalarNode)}
    document, item = model
    every = item.elements_at("spec", "inferenceConfig", "flavors")
    return [(document, flavor) for flavor in every if not names or flavor.text_at("name") in names]


def _flavored(flavors: Sequence[_Found]) -> tuple[Fact[int], str] | None:
    """The accelerators that the flavors ask for; None where none of them says so."""
    found: list[tuple[Fact[int], str]] = []
    for document, flavor in flavors:
        resources = named_container(flavor, "flavor", resources=flavor)
        asked = devices.devices(resources)
        if asked.resource:
            found.append((devices.count(document, resources, together((document, asked.limit))), asked.resource))
    if not found or len({resource for _, resource in found}) > 1:
        return None
    gpus, resource = found[0]
    counts = tuple(dict.fromkeys(value for fact, _ in found for value in fact.values))
    if len(counts) > 1 and gpus.origin is not None and all(fact.is_known for fact, _ in found):
        return Fact.either(gpus.name, counts, gpus.origin), resource
    return gpus, resource


def _asked(document: Document, config: Node | None) -> tuple[Fact[int], str]:
    if config is None:
        reason = "neither the model's flavors nor the Playground ask for an accelerator"
        return Fact.unknown(devices.NAME, reason, "state a flavor in the OpenModel"), ""
    asked = devices.devices(config)
    writer = together((document, asked.limit), (document, asked.request))
    return devices.count(document, config, writer), asked.resource


def _placement(flavors: Sequence[_Found]) -> dict[str, Any]:
    """The accelerator that the flavors are scheduled onto: by node selector, else by a flavor's name where that is a GPU's."""
    found: dict[str, Any] = {}
    origin = None
    for document, flavor in flavors:
        fact = scheduling.accelerator(document, with_terms(flavor))
        if fact is None:
            fact = _by_name(document, flavor)
        if fact is None or not fact.values:
            return {} if fact is None else {"accelerator": fact}
        origin = origin or fact.origin
        found.update((accelerator.name, accelerator) for accelerator in fact.values)
    if not found or origin is None:
        return {}
    return {"accelerator": Fact.either("accelerator.name", tuple(found.values()), origin)}


def _by_name(document: Document, flavor: Node) -> Fact[Any] | None:
    node = flavor.get("name")
    if not isinstance(node, ScalarNode):
        return None
    from servelint.catalogue import accelerators  # lazy: only models with flavors need it

    found = accelerators.find_all(node.text)
    return Fact.either("accelerator.name", found, Origin(OriginKind.FILE, "flavor", Place.of(document, node))) if found else None


def _with_degrees(pool: Pool, flavors: Sequence[_Found]) -> Pool:
    """``params.TP`` and ``params.PP`` of the flavors, where the arguments state no degree."""
    changes: dict[str, Fact[Any]] = {}
    for field, key in _DEGREES:
        stated: Fact[Any] = getattr(pool, field)
        if stated.values or not flavors or any(flavor.get("params", key) is None for _, flavor in flavors):
            continue
        every = [
            custom_resources.number(document, flavor.get("params"), key, stated.name, default=1, of=_WHO, least=1)
            for document, flavor in flavors
        ]
        values = tuple(dict.fromkeys(value for fact in every for value in fact.values))
        first = every[0]
        if len(values) > 1 and first.origin is not None and all(fact.is_known for fact in every):
            first = Fact.either(stated.name, values, first.origin)
        changes[field] = first
    return pool.with_facts(changes)


def _image(document: Document, config: Node | None, repository: str) -> Fact[str]:
    version = config.get("version") if config is not None else None
    if not isinstance(version, ScalarNode):
        return Fact.unknown(IMAGE, "it is set by llmaz' BackendRuntime", "state backendRuntimeConfig.version")
    return Fact.known(IMAGE, f"{repository}:{version.text}", Origin(OriginKind.FILE, "version", Place.of(document, version)))


def _variables(document: Document, config: Node | None) -> dict[str, Fact[str]]:
    listed = {}
    for item in config.elements_at("envs") if config is not None else ():
        name, value = item.text_at("name"), item.get("value")
        if name and isinstance(value, ScalarNode):
            listed[name] = Fact.known(f"env.{name}", value.text, Origin(OriginKind.FILE, "envs", Place.of(document, value)))
        elif name:
            listed[name] = Fact.unknown(f"env.{name}", "its value comes from elsewhere")
    return listed


def _replicas(document: Document, spec: Node) -> tuple[Fact[int], Fact[int]]:
    elastic = spec.get("elasticConfig")
    if elastic is None:
        fixed = custom_resources.number(document, spec, "replicas", "replicas.min", default=1, of=_WHO)
        return fixed, fixed._replace(name="replicas.max")
    least = custom_resources.number(document, elastic, "minReplicas", "replicas.min", default=1, of=_WHO)
    reason = "maxReplicas is not stated: the number is open"
    return least, custom_resources.number(document, elastic, "maxReplicas", "replicas.max", default=None, of=reason)
