"""LLMInferenceService and LLMInferenceServiceConfig: what KServe's controller makes of them.

The controller lays the object over the configurations that its ``baseRefs`` name, and those over presets. The presets run
``vllm serve /mnt/models`` with the degrees of ``spec.parallelism``, then the shell words of ``VLLM_ADDITIONAL_ARGS``, then the
container's ``args``. ``spec.worker`` makes groups of pods (a LeaderWorkerSet), of ``data / dataLocal`` or ``pipeline`` pods.

Sources: KServe 0.17 ``config/llmisvcconfig/*.yaml``, ``pkg/apis/serving/v1alpha2/llm_inference_service_types_func.go``
(``GetSize``), ``pkg/controller/v1alpha2/llmisvc/{config_merge,workload_multi_node,managed_dra}.go``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.deployment import Deployment, Role
from servelint.facts import Fact, FactState, Origin, OriginKind, Place
from servelint.formats import controller_words, devices, launches, model_uris, objects, podspec
from servelint.formats.bare_podspecs import named_container, template_of
from servelint.formats.completed_commands import completed
from servelint.formats.kserve_presets import CONFIG, DEGREES, MAIN, LlmObject, PresetArguments
from servelint.formats.writers import ScalarWriter
from servelint.source.nodes import MappingNode, ScalarNode, SequenceNode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from servelint.deployment import Pool
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document, Node

NOTE = "this is a configuration that an LLMInferenceService completes"
_OF_WORKLOADS = ("template", "worker", "parallelism", "replicas", "scaling")  # others are of the router, or of prefill
_DEVICE_CLASS = "serving.kserve.io/exp-dra-device-class"
_DEVICE_COUNT = "serving.kserve.io/exp-dra-device-count"
_SELECTOR = "serving.kserve.io/exp-dra-cel-selector"


def deployments(document: Document, item: Node, surroundings: Surroundings) -> Iterator[Deployment]:
    spec = item.get("spec")
    if not isinstance(spec, MappingNode):
        return
    bases: list[LlmObject] = []
    missing = []
    for reference in spec.elements_at("baseRefs"):
        name = reference.text_at("name") or ""
        found = objects.named(surroundings, CONFIG, name)
        if found is None or not (found[1].text_at("apiVersion") or "").startswith("serving.kserve.io/"):
            missing.append(name)
        else:
            bases.append(LlmObject(*found, (), controller_words.label_of(found[1]), joined=True))
    subject = LlmObject(document, item, tuple(missing), controller_words.label_of(item))
    name = subject.label.text
    pools = _pools(subject, bases, surroundings)
    if not pools:
        return
    for pool in pools:
        for fact in (pool.replicas_min, pool.tensor, pool.data, pool.pipeline):
            podspec.report_invalid(surroundings, name, fact)
    yield Deployment(name, "kserve", document, tuple(pools), notes=(NOTE,) if subject.is_config else ())


def _pools(subject: LlmObject, bases: Sequence[LlmObject], surroundings: Surroundings) -> list[Pool]:
    every = [subject, *reversed(bases)]  # the last of the configurations wins over those before it
    made = _workload(every, ("spec",), surroundings)
    prefill = _workload(every, ("spec", "prefill"), surroundings)
    if not prefill:
        return made
    made = [pool._replace(role=Role.DECODE) for pool in made]
    return made + [pool._replace(role=Role.PREFILL, name=f"prefill-{pool.name}") for pool in prefill]


def _workload(every: Sequence[LlmObject], path: tuple[str, ...], surroundings: Surroundings) -> list[Pool]:
    """The pools of ``spec`` or ``spec.prefill`` of an object, completed by the configurations behind it."""
    stating = [each for each in every if isinstance(each.item.get(*path), MappingNode)]
    if not stating or (every[0].is_config and not any(stating[0].item.get(*path, key) is not None for key in _OF_WORKLOADS)):
        return []
    pools = _stated(stating[0], path, surroundings, None)
    for base in stating[1:]:
        over = next((pool.containers[0].node for pool in pools), None)
        theirs = {pool.name: pool for pool in _stated(base, path, surroundings, over)}
        pools = [
            completed(pool, theirs[pool.name], surroundings.engines, appended=_is_preset(pool)) if pool.name in theirs else pool
            for pool in pools
        ]
    return [_declared(_settled(pool, every, path), every, path) for pool in pools]


def _settled(pool: Pool, every: Sequence[LlmObject], path: tuple[str, ...]) -> Pool:
    """The pool with what the objects, the first of which wins, say beside the container."""
    low, high = _replicas(every, path)
    facts: dict[str, Fact[Any]] = {"nodes": _nodes(every, path), "replicas_min": low, "replicas_max": high}
    model = _model(every)
    if model is not None and (not pool.model.is_known or _is_preset(pool)):
        facts["model"] = model
    return pool.with_facts(facts)


def _is_preset(pool: Pool) -> bool:
    """The container has no command of its own."""
    return pool.containers[0].node.get("command") is None


def _stated(subject: LlmObject, path: tuple[str, ...], surroundings: Surroundings, over: Node | None) -> list[Pool]:
    """What one object states of a workload. ``over``: the container of the object that it is a base of."""
    document, holder = subject.document, subject.item.get(*path)
    if not isinstance(holder, MappingNode):
        return []
    template = _template(holder, subject.label)
    arguments = PresetArguments(subject, holder, over)
    kind = subject.item.text_at("kind") or ""
    pools = podspec.engine_pools(document, template, surroundings, owner=kind, given=_given(), started=arguments.programs)
    finished = []
    for pool in pools:
        stated = _with_workers(subject, _partial(pool), holder)
        finished.append(_placed(subject, _writable(stated, subject, holder)))
    return finished


def _partial(pool: Pool) -> Pool:
    """What the pod lacks, a preset may add."""
    container = pool.containers[0]
    if container.pod is not None:
        container = container._replace(pod=container.pod._replace(partial=True))
    return pool._replace(containers=(container, *pool.containers[1:]))


def _with_workers(subject: LlmObject, pool: Pool, holder: MappingNode) -> Pool:
    """The GPUs of a group whose workers ask for others than the leader are a conflict."""
    workers = [c for c in holder.elements_at("worker", "containers") if c.text_at("name") == pool.containers[0].name]
    asked = devices.devices(workers[0]) if workers else None
    if asked is None or not asked.resource:
        return pool
    ours, theirs = pool.gpus_per_node, devices.count(subject.document, workers[0])
    if not ours.is_known or not theirs.is_known or ours.origin is None or theirs.value == ours.value:
        return pool
    reason = f"the leader asks for {ours.value} × {pool.gpu_resource}, each worker for {theirs.value} × {asked.resource}"
    return pool._replace(gpus_per_node=Fact.conflict(ours.name, (ours.value, theirs.value), reason, ours.origin))


def _given() -> dict[str, Fact[str]]:
    """What the LeaderWorkerSet webhook puts into the pods of a group."""
    reason = "the controller sets it in each pod"
    names = ("LWS_LEADER_ADDRESS", "LWS_GROUP_SIZE", "LWS_WORKER_INDEX")
    return {name: Fact.unknown(f"env.{name}", reason) for name in names}


def _template(holder: MappingNode, label: ScalarNode) -> MappingNode:
    """The pod template with the container ``main``, which the presets add where the object says nothing of it."""
    written = holder.get("template")
    spec = written if isinstance(written, MappingNode) else None
    if spec is not None and any(c.text_at("name") == MAIN for c in spec.elements_at("containers")):
        return template_of(spec)
    containers = SequenceNode(label.span, False)
    containers.items = [named_container(label, MAIN), *(spec.elements_at("containers") if spec is not None else ())]
    made = MappingNode(spec.span if spec is not None else label.span, False)
    made.entries = [entry for entry in spec.entries if _key(entry[0]) != "containers"] if spec is not None else []
    made.entries.append((ScalarNode(label.span, "containers", ""), containers))
    return template_of(made)


def _key(node: Node) -> str:
    resolved = node.resolved
    return resolved.text if isinstance(resolved, ScalarNode) else ""


def _model(every: Sequence[LlmObject]) -> Fact[str] | None:
    for each in every:
        node = each.item.get("spec", "model", "uri")
        if isinstance(node, ScalarNode):
            return model_uris.model(each.document, node, "spec.model.uri")
    unseen = every[0].unseen
    return Fact.unknown(model_uris.NAME, f"the model may be named by {unseen}") if unseen else None


def _stated_number(every: Sequence[LlmObject], path: tuple[str, ...], *key: str, name: str, least: int = 0) -> Fact[int] | None:
    """The number at ``key`` of the first object that has one."""
    for each in every:
        fact = launches.whole(each.document, each.item.get(*path, *key), name, ".".join(("spec", *path[1:], *key)), least=least)
        if fact is not None:
            return fact
    return None


def _nodes(every: Sequence[LlmObject], path: tuple[str, ...]) -> Fact[int]:
    """Pods of one replica."""
    name, unseen = launches.NODES, every[0].unseen
    if all(each.item.get(*path, "worker") is None for each in every):
        if unseen:
            return Fact.unknown(name, f"{unseen} may add workers")
        return Fact.known(name, 1, Origin(OriginKind.DERIVED, "one pod, since spec.worker is not set"))
    data = _stated_number(every, path, "parallelism", "data", name=name, least=1)
    local = _stated_number(every, path, "parallelism", "dataLocal", name=name, least=1)
    pipeline = _stated_number(every, path, "parallelism", "pipeline", name=name, least=1)
    if data is not None or local is not None:
        for fact in (data, local):
            if fact is not None and not fact.is_known:
                return fact
        ranks, each_pod = (fact.value if fact is not None else 1 for fact in (data, local))
        text = f"parallelism.data {ranks} / parallelism.dataLocal {each_pod}"
        return Fact.known(name, max(ranks // each_pod, 1), Origin(OriginKind.DERIVED, text))
    if pipeline is not None:
        return pipeline
    where = f"; {unseen} may state them" if unseen else ""
    return Fact.unknown(name, f"spec.worker is set, but neither parallelism.data nor parallelism.pipeline{where}")


def _replicas(every: Sequence[LlmObject], path: tuple[str, ...]) -> tuple[Fact[int], Fact[int]]:
    high = _stated_number(every, path, "scaling", "maxReplicas", name="replicas.max")
    if high is not None:
        default = Fact.known(
            launches.REPLICAS, 1, Origin(OriginKind.DEFAULT, "default of KServe for scaling.minReplicas")
        )  # fmt: skip
        return _stated_number(every, path, "scaling", "minReplicas", name=launches.REPLICAS) or default, high
    fact = _stated_number(every, path, "replicas", name=launches.REPLICAS)
    if fact is None and every[0].unseen:
        fact = Fact.unknown(launches.REPLICAS, f"spec.replicas may be stated by {every[0].unseen}")
    if fact is None:
        holder = every[0].item.get(*path)
        fact = podspec.replicas(every[0].document, template_of(holder if holder is not None else every[0].item))
    return fact, fact._replace(name="replicas.max")


def _writable(pool: Pool, subject: LlmObject, holder: MappingNode) -> Pool:
    """Degrees that stand in ``spec.parallelism`` are set there."""
    facts: dict[str, Fact[Any]] = {}
    for field, key, _ in DEGREES:
        node = holder.get("parallelism", key)
        fact: Fact[int] = getattr(pool, field)
        if isinstance(node, ScalarNode) and fact.place is not None and fact.place.span == node.span and fact.origin is not None:
            origin = fact.origin._replace(text=f"spec.parallelism.{key}")
            facts[field] = fact._replace(origin=origin, writer=ScalarWriter(subject.document, node))
    return pool.with_facts(facts)


def _declared(pool: Pool, every: Sequence[LlmObject], path: tuple[str, ...]) -> Pool:
    """A container with its own command gets no degrees from ``spec.parallelism``: where it states none, the two disagree."""
    if _is_preset(pool):
        return pool
    facts: dict[str, Fact[Any]] = {}
    for field, key, flag in DEGREES:
        fact: Fact[int] = getattr(pool, field)
        if fact.state is not FactState.UNKNOWN or fact.reason != "not stated":
            continue
        for each in every:
            stated = launches.whole(
                each.document, each.item.get(*path, "parallelism", key), fact.name, f"parallelism.{key}", least=1
            )
            if stated is None:
                continue
            command = pool.containers[0].command
            if stated.is_known and stated.value > 1 and stated.origin is not None and command is not None and command.complete:
                reason = f"spec.parallelism.{key} is {stated.value}, but the container's own command has no {flag}"
                facts[field] = Fact.conflict(fact.name, (stated.value, 1), reason, stated.origin)
            else:
                facts[field] = stated
            break
    return pool.with_facts(facts)


def _placed(subject: LlmObject, pool: Pool) -> Pool:
    """Devices that the controller claims for the container (managed dynamic resource allocation)."""
    annotations = subject.item.get("metadata", "annotations")
    device_class = annotations.get(_DEVICE_CLASS) if annotations is not None else None
    if annotations is None or not isinstance(device_class, ScalarNode) or pool.gpu_resource:
        return pool
    name = devices.NAME
    origin = Origin(OriginKind.FILE, _DEVICE_CLASS, Place.of(subject.document, device_class))
    gpus: Fact[int] = Fact.unknown(name, f"devices of the class {device_class.text} are claimed for the container", origin=origin)
    if device_class.text == "gpu.nvidia.com":
        one = Fact.known(name, 1, origin._replace(text=f"default of KServe for {_DEVICE_COUNT}"))
        gpus = launches.whole(subject.document, annotations.get(_DEVICE_COUNT), name, _DEVICE_COUNT, least=1) or one
    from servelint.formats import device_claims, device_selectors  # lazy: few services claim their devices

    node = annotations.get(_SELECTOR)
    lines = [line for line in node.text.splitlines() if line.strip()] if isinstance(node, ScalarNode) else []
    selected = device_selectors.selection((subject.document, node, line) for line in lines if isinstance(node, ScalarNode))
    accelerator = device_claims.accelerator_of(device_class.text, selected, pool.accelerator) or pool.accelerator
    return pool._replace(gpu_resource=devices.DYNAMIC, gpus_per_node=gpus, accelerator=accelerator)
