"""What KAITO makes of its objects: one vLLM server on the GPUs of ``instanceType``, on one node or several.

KAITO chooses the degrees by the model's size and the machine, adds its own options, and puts the entries ``vllm`` of
``inference_config.yaml`` (a ConfigMap named by ``inference.config``) behind them as ``--key value``.

Source: kaito-project/kaito ``pkg/model/interface.go`` (``buildVLLMInferenceCommand``, ``configureParallelism``),
``presets/workspace/inference/vllm/inference_api.py``, ``api/v1beta1/*_types.go``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.deployment import Container, Deployment, Pool, Role
from servelint.facts import Fact, Origin, OriginKind, Place
from servelint.formats import containers, controller_words, devices, kaito_presets, launches, objects, podspec, scheduling
from servelint.formats.bare_podspecs import template_of
from servelint.formats.unstated_facts import without_defaults
from servelint.records import NamedTuple
from servelint.source.nodes import MappingNode, ScalarNode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.engines.command import Argument, Command
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document, Node

_RUNTIME = "kaito.sh/runtime"
_AUTOSCALED = "scaledobject.kaito.sh/auto-provision"
_CONFIG_KEY = "inference_config.yaml"
_GPU = "nvidia.com/gpu"
_CHOSEN = "KAITO chooses it by the model's size and the machine"
_REMEDY = "state it under vllm in inference_config.yaml"
_ROLES = {"prefill": Role.PREFILL, "decode": Role.DECODE}


class _Server(NamedTuple):
    """One pool of model servers.

    ``resource``: the mapping with ``instanceType``; ``inference``: the one with ``preset``, ``template`` and ``config``.
    ``annotations`` and ``api`` (its apiVersion): of the object. ``label``: what a finding about it as a whole points at.
    """

    document: Document
    kind: str
    name: str
    resource: Node | None
    inference: Node
    config: str | None
    annotations: Node | None
    label: Node
    api: str


def deployments(document: Document, item: Node, surroundings: Surroundings) -> Iterator[Deployment]:
    kind = item.text_at("kind") or ""
    title = controller_words.label_of(item)
    if kind == "MultiRoleInference":
        pools = _roles(document, item, surroundings)
    else:
        holder = item if kind == "Workspace" else item.get("spec", "template")
        inference = holder.get("inference") if holder is not None else None
        if holder is None or not isinstance(inference, MappingNode):
            return  # a workspace that tunes a model
        annotations = item.get("metadata", "annotations")
        server = _Server(
            document, kind, "inference", holder.get("resource"), inference, inference.text_at("config"), annotations, title,
            item.text_at("apiVersion") or "",
        )  # fmt: skip
        low, high = _replicas(document, item, kind)
        pools = [pool.with_facts({"replicas_min": low, "replicas_max": high}) for pool in _pools(server, surroundings)]
    for pool in pools:
        for fact in (pool.replicas_min, pool.nodes):
            podspec.report_invalid(surroundings, title.text, fact)
    if pools:
        yield Deployment(title.text, "kaito", document, tuple(pools))


def _roles(document: Document, item: Node, surroundings: Surroundings) -> list[Pool]:
    """A pool for each role; all of them serve one model."""
    model = item.get("spec", "model", "name")
    pools = []
    for role in item.elements_at("spec", "roles"):
        name = role.text_at("type") or "serve"
        annotations = item.get("metadata", "annotations")
        label = role.get("type") or role
        config = role.text_at("runtimeConfig")
        api = item.text_at("apiVersion") or ""
        server = _Server(document, "MultiRoleInference", name, role, role, config, annotations, label, api)
        low = launches.whole(document, role.get("replicas"), launches.REPLICAS, "replicas")
        low = low or Fact.known(launches.REPLICAS, 1, Origin(OriginKind.DEFAULT, "default of KAITO for replicas"))
        facts: dict[str, Any] = {"replicas_min": low, "replicas_max": low._replace(name="replicas.max")}
        if isinstance(model, ScalarNode):
            facts["model"] = _model(document, model, "spec.model.name")
        pool = _preset(server, surroundings).with_facts(facts)
        pools.append(pool._replace(role=_ROLES.get(name, Role.SERVE)))
    return pools


def _pools(server: _Server, surroundings: Surroundings) -> list[Pool]:
    template = server.inference.get("template")
    if isinstance(template, MappingNode) and server.inference.get("preset") is None:
        pools = podspec.engine_pools(server.document, template, surroundings, owner=server.kind)
        if not pools:
            from servelint.formats import kaito_templates  # lazy: few workspaces have a template, and most run an engine

            resource, gpus = _gpus(server)
            own = kaito_templates.pools(server.document, template, server.kind)
            pools = [pool._replace(gpu_resource=resource, gpus_per_node=gpus) for pool in own]
        nodes = _nodes(server) or Fact.known(launches.NODES, 1, Origin(OriginKind.DEFAULT, "default of KAITO for resource.count"))
        accelerator = _accelerator(server)
        return [
            pool.with_facts({"nodes": nodes} if pool.accelerator.is_known or accelerator is None else {
                "nodes": nodes, "accelerator": accelerator,
            })
            for pool in pools
        ]  # fmt: skip
    if server.inference.get("preset") is None:
        return []
    return [_preset(server, surroundings)]


def _preset(server: _Server, surroundings: Surroundings) -> Pool:
    """The pool of a model that KAITO knows how to serve."""
    document = server.document
    place = Place.of(document, server.label)
    engine = _engine(server, place)
    image: Fact[str] = Fact.unknown(containers.IMAGE, "the image is KAITO's")
    command, error = _command(server, surroundings)
    if command is not None and engine.get("") != "transformers":
        engine = Fact.known("engine.name", "vllm", engine.origin or Origin(OriginKind.DERIVED, "KAITO", place))
    else:
        command = None
    container = Container(server.name, document, server.inference, engine.get(""), image, None, command)
    resource, gpus = _gpus(server)
    preset = server.inference.get("preset", "name")
    facts: dict[str, Any] = {"gpus_per_node": gpus}
    if isinstance(preset, ScalarNode):
        facts["model"] = _model(document, preset, "preset.name")
    nodes = _nodes(server)
    facts["nodes"] = nodes or Fact.unknown(
        launches.NODES, f"{_CHOSEN}: how many machines one replica takes", "set resource.count"
    )
    accelerator = _accelerator(server)
    if accelerator is not None:
        facts["accelerator"] = accelerator
    pool = Pool(
        name=server.name,
        place=place,
        containers=(container,),
        gpu_resource=resource,
        engine=engine,
        version=Fact.unknown("engine.version", "KAITO's image brings its own engine, by the release of KAITO"),
    )
    if command is not None:
        vllm = next(e for e in surroundings.engines if e.name == "vllm")
        pool = pool.with_facts({name: fact for name, fact in vllm.facts(command, {}).items() if name != "model"})
    return without_defaults(pool.with_facts(facts), error or _CHOSEN, _REMEDY)


def _engine(server: _Server, place: Place) -> Fact[str]:
    """vLLM, unless an annotation says otherwise; before the API v1beta1, KAITO may have run Transformers."""
    runtime = server.annotations.get(_RUNTIME) if server.annotations is not None else None
    if isinstance(runtime, ScalarNode):
        return Fact.known(
            "engine.name", runtime.text.strip().lower(), Origin(OriginKind.FILE, _RUNTIME, Place.of(server.document, runtime))
        )
    if server.kind == "Workspace" and server.api.endswith("/v1alpha1"):
        text = "KAITO serves its presets with vLLM since 0.4, and served them with Transformers before"
        return Fact.either("engine.name", ("vllm", "transformers"), Origin(OriginKind.DERIVED, text, place))
    return Fact.known("engine.name", "vllm", Origin(OriginKind.DEFAULT, f"default of KAITO for {_RUNTIME}", place))


def _command(server: _Server, surroundings: Surroundings) -> tuple[Command | None, str]:
    """(vLLM's options in ``inference_config.yaml``, why nothing is known of them)."""
    if server.config is None:
        return None, ""
    found = objects.named(surroundings, "ConfigMap", server.config)
    if found is None:
        return None, f"it may be stated in the ConfigMap {server.config}, which is not at hand"
    text = found[1].get("data", _CONFIG_KEY)
    vllm = next((engine for engine in surroundings.engines if engine.name == "vllm"), None)
    if not isinstance(text, ScalarNode) or vllm is None:
        return None, ""
    from servelint.engines.config_arguments import command  # lazy: many objects have no configuration
    from servelint.engines.flags import flag_table
    from servelint.source.embedded import EmbeddedDocument, read

    content = read(found[0], text)
    if content.error:
        _report(surroundings, server, found[0], text, f"{_CONFIG_KEY} is no YAML: {content.error}")
        return None, f"{_CONFIG_KEY} of the ConfigMap {server.config} cannot be read"
    settings = content.root.get("vllm") if content.root is not None else None
    if not isinstance(settings, MappingNode):
        if settings is not None:
            _report(surroundings, server, found[0], text, f"vllm in {_CONFIG_KEY} is not a mapping of vLLM's options")
        return None, ""
    inner = EmbeddedDocument(found[0], text, content)
    started = command("vllm", inner, settings, flag_table("vllm"), None, launcher=_CONFIG_KEY)
    passed = tuple(map(_as_passed, started.arguments))
    return started.with_arguments(passed, "KAITO"), ""


def _as_passed(argument: Argument) -> Argument:
    """A switch that is set to ``false`` is on: it is passed as ``--switch False``, and takes no value."""
    flag = argument.flag
    if flag is None or argument.key or argument.words[-1].text != "false" or not flag.is_switch_at(None):
        return argument
    return argument._replace(value="false" if flag.negates(argument.written) else "true")


def _report(surroundings: Surroundings, server: _Server, document: Document, node: Node, label: str) -> None:
    from servelint.finding import Verdict  # lazy: only invalid documents are reported

    surroundings.problem("DOC102", Verdict(Place.of(document, node), label, key=_CONFIG_KEY), server.name)


def _model(document: Document, node: ScalarNode, what: str) -> Fact[str]:
    origin = Origin(OriginKind.FILE, what, Place.of(document, node))
    name = kaito_presets.hub_id(node.text)
    if not name or any(mark in name for mark in ("$", "{{", "<")):
        return Fact.unknown("model.id", f"{what} is filled in later ({node.text})", origin=origin)
    return Fact.known("model.id", name, origin)


def _nodes(server: _Server) -> Fact[int] | None:
    """Machines of one replica, where the object states them."""
    node = server.resource.get("count") if server.resource is not None else None
    return launches.whole(server.document, node, launches.NODES, "resource.count", least=1)


def _gpus(server: _Server) -> tuple[str, Fact[int]]:
    """(resource, GPUs of one machine): a partition of it, or all that its type has."""
    name, document, resource = devices.NAME, server.document, server.resource
    partition = resource.get("partition") if resource is not None else None
    if partition is not None and partition.text_at("mode") == "mig":
        reason = f"the server gets a MIG slice ({partition.text_at('profile') or 'profile not stated'}), a part of a GPU"
        return "nvidia.com/mig", Fact.unknown(name, reason)
    if partition is not None and partition.get("count") is not None:
        counted = launches.whole(document, partition.get("count"), name, "partition.count", least=1)
        if counted is not None:
            return _GPU, counted
    node = resource.get("instanceType") if resource is not None else None
    if not isinstance(node, ScalarNode) or not node.text:
        return _GPU, Fact.unknown(name, "KAITO takes machines that are there, by their labels", "set resource.instanceType")
    origin = Origin(OriginKind.FILE, "instanceType", Place.of(document, node))
    from servelint.catalogue import instances  # lazy: only recognised objects name a machine

    instance = instances.find(node.text)
    if instance is None and any(mark in node.text for mark in ("$", "<", "{{")):
        return _GPU, Fact.unknown(name, f"the instance type is filled in later ({node.text})", origin=origin)
    if instance is None or instance.count is None or instance.count < 1 or instance.count != int(instance.count):
        known = "has no whole GPUs" if instance is not None else "is not in the catalogue"
        return _GPU, Fact.unknown(name, f"the instance type {node.text} {known}", origin=origin)
    text = f"catalogue: {instance.name} has {instance.count:g} × {instance.accelerator}"
    return _GPU, Fact.known(name, int(instance.count), Origin(OriginKind.CATALOGUE, text, origin.place))


def _accelerator(server: _Server) -> Fact[Any] | None:
    """The GPU of the machine, by its type or by the labels it must have."""
    resource = server.resource
    if resource is None:
        return None
    entries = resource.get("labelSelector", "matchLabels")
    selector = MappingNode(resource.span, False)
    node = resource.get("instanceType")
    if isinstance(node, ScalarNode) and node.text and not any(mark in node.text for mark in ("$", "<", "{{")):
        selector.entries.append((ScalarNode(node.span, "node.kubernetes.io/instance-type", ""), node))
    if isinstance(entries, MappingNode):
        selector.entries += entries.entries
    holder = MappingNode(resource.span, False)
    holder.entries = [(ScalarNode(resource.span, "nodeSelector", ""), selector)]
    return scheduling.accelerator(server.document, template_of(holder))


def _replicas(document: Document, item: Node, kind: str) -> tuple[Fact[int], Fact[int]]:
    if kind == "Workspace":
        one = Fact.known(launches.REPLICAS, 1, Origin(OriginKind.DERIVED, "a Workspace is one replica"))
        return one, one._replace(name="replicas.max")
    low = podspec.replicas(document, item)
    if item.text_at("metadata", "annotations", _AUTOSCALED) == "true":
        return low, Fact.unknown("replicas.max", "KAITO's autoscaler decides, within nodeCountLimit")
    return low, low._replace(name="replicas.max")
