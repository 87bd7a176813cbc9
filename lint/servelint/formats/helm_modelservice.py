"""Values of the chart llm-d-modelservice: one model, with a pool for decode (or for both phases) and one for prefill.

``modelCommand`` says how the command line is made: ``vllmServe`` and ``imageDefault`` put the model, the port and the degrees
of ``parallelism`` in front of the container's arguments, ``custom`` (the default) takes its command as it is. What the
container does not ask for is filled in: ``dataLocal × tensor`` devices of the accelerator's resource. ``multinode`` makes a
LeaderWorkerSet of ``workers`` pods a replica, which all run the same template.

Source: llm-d-modelservice 0.4.12 and its main branch, ``charts/llm-d-modelservice/templates/_helpers.tpl``, ``values.yaml``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.deployment import Deployment, Role
from servelint.engines.command import Program
from servelint.facts import Fact, Origin, OriginKind, Place
from servelint.formats import (
    containers,
    controller_words,
    devices,
    launches,
    node_terms,
    pod_groups,
    podspec,
    scheduling,
    value_words,
)
from servelint.formats.environment import environment
from servelint.formats.launches import Launch
from servelint.formats.writers import EntryWriter, together
from servelint.records import NamedTuple
from servelint.source.nodes import MappingNode, ScalarNode, SequenceNode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from servelint.catalogue.accelerators import Accelerator
    from servelint.deployment import Pool
    from servelint.engines.command import Word
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document, Node

_CHART = "the chart llm-d-modelservice"
# In the values of the chart, under accelerator and resources.
_RESOURCES = {
    "nvidia": "nvidia.com/gpu", "intel-i915": "gpu.intel.com/i915", "intel-xe": "gpu.intel.com/xe",
    "intel-gaudi": "habana.ai/gaudi", "amd": "amd.com/gpu", "google": "google.com/tpu",
    "rebellions-atom": "rebellions.ai/ATOM", "cpu": "",
}  # fmt: skip
_MOUNT = "/model-cache"
_LAID_OVER = "these values are laid over others, which may state it"
_BUILT = "lint the rendered chart: helm template … | servelint check -"
_DEGREES = (("tensor", "--tensor-parallel-size"), ("data", "--data-parallel-size"), ("local", "--data-parallel-size-local"))


class _Degrees(NamedTuple):
    """``parallelism`` as the chart's helpers complete it."""

    tensor: Fact[int]
    data: Fact[int]
    local: Fact[int]
    workers: Fact[int]


class _Phase(NamedTuple):
    """``partial``: of values that are laid over others, which may state what these do not."""

    document: Document
    values: Node
    name: str
    section: MappingNode
    degrees: _Degrees
    partial: bool


def deployment(document: Document, values: Node, surroundings: Surroundings) -> Iterator[Deployment]:
    if value_words.is_false(values, "enabled"):
        return
    pools: list[Pool] = []
    for name in ("decode", "prefill"):
        section = values.get(name)
        if not isinstance(section, MappingNode) or value_words.is_false(section, "create"):
            continue
        partial = values.get("modelArtifacts") is None
        phase = _Phase(document, values, name, section, _degrees(document, section.get("parallelism"), partial=partial), partial)
        pools += _pools(phase, surroundings)
    if not pools:
        return
    split = {pool.name.partition("-")[0] for pool in pools} == {"decode", "prefill"}
    pools = pod_groups.with_roles(pools) if split else [pool._replace(role=Role.SERVE) for pool in pools]
    label = values.text_at("fullnameOverride") or values.text_at("modelArtifacts", "name") or "llm-d-modelservice"
    for pool in pools:
        for fact in (pool.replicas_min, pool.tensor, pool.data):
            podspec.report_invalid(surroundings, label, fact)
    yield Deployment(label, "helm-values", document, tuple(pools))


def _pools(phase: _Phase, surroundings: Surroundings) -> list[Pool]:
    document, section = phase.document, phase.section
    accelerator = _accelerator(phase)
    replicas = _replicas(phase)
    multinode = value_words.is_true(phase.values, "multinode")
    unsaid = phase.partial and phase.values.get("multinode") is None
    found: list[Pool] = []
    for container in section.elements_at("containers"):
        label = container.get("name") or launches.label_of(container)
        variables = environment(document, container, _given(phase.degrees))
        programs = _programs(phase, container, variables)
        gpus, resource = _gpus(phase, container)
        one: Fact[int] = Fact.known("nodes", 1, Origin(OriginKind.DERIVED, "the chart makes a Deployment: one pod a replica"))
        facts: dict[str, Fact[Any]] = {"replicas_min": replicas, "replicas_max": replicas._replace(name="replicas.max")}
        if accelerator is not None:
            facts["accelerator"] = accelerator
        nodes = phase.degrees.workers if multinode else Fact.unknown("nodes", _LAID_OVER, _BUILT) if unsaid else one
        launch = Launch(
            document, phase.name, container, label, containers.image(document, container), container.text_at("image") or "",
            programs, variables, gpus, resource, nodes, facts,
        )  # fmt: skip
        for pool in launches.pools(launch, surroundings.engines):
            stated = pool._replace(nodes=nodes) if multinode or unsaid else pool
            found.append(stated._replace(name=phase.name if not found else f"{phase.name}-{len(found) + 1}"))
    return found


def _programs(phase: _Phase, container: Node, variables: Mapping[str, Fact[str]]) -> Sequence[Program]:
    document = phase.document
    command = container.text_at("modelCommand") or "custom"
    if command not in ("vllmServe", "imageDefault"):
        from servelint.engines import shell  # lazy: only commands that are given are taken apart

        items = container.elements_at("command"), container.elements_at("args")
        return shell.programs(document, *items, variables, container.get("image"))
    node = container.get("modelCommand")
    anchor = node if isinstance(node, ScalarNode) else controller_words.label_of(container)
    serves = command == "vllmServe" or _is_vllm(container)
    made: list[Word] = controller_words.words(anchor, *(("vllm", "serve") if serves else ("--model",)))
    made += _model(phase)
    for field, flag in _DEGREES:
        fact: Fact[int] = getattr(phase.degrees, field)
        if not fact.is_known or fact.value > 1:
            made += _degree(phase, field, flag, fact, anchor)
    made += controller_words.of_items(document, container.elements_at("args"), variables)
    if phase.partial:
        unseen = controller_words.unseen(anchor, "the values that these are laid over")
        made += [unseen, unseen]
    return (Program(tuple(made), False, document, container.get("image") or anchor, not serves),)


def _is_vllm(container: Node) -> bool:
    """The image is called vLLM: the chart hands vLLM's arguments to it, whatever its entrypoint is."""
    name = (container.text_at("image") or "").rpartition("/")[2].partition(":")[0].lower()
    return "vllm" in name.replace("_", "-").split("-")


def _degree(phase: _Phase, field: str, flag: str, fact: Fact[int], anchor: ScalarNode) -> list[Word]:
    """The words of one degree: of the value that states it, else of what the chart works out."""
    key = "dataLocal" if field == "local" else field
    holder = phase.section.get("parallelism")
    if holder is not None and isinstance(holder.get(key), ScalarNode):
        return value_words.flag(flag, holder, key)
    return controller_words.words(anchor, flag, str(fact.value)) if fact.is_known else []


def _model(phase: _Phase) -> list[Word]:
    """The model as the chart takes it from the address of the weights."""
    node = phase.values.get("modelArtifacts", "uri")
    if not isinstance(node, ScalarNode):
        named = phase.values.get("modelArtifacts", "name")  # the default of uri is hf:// and the name
        return [value_words.value(named)] if isinstance(named, ScalarNode) else []
    text = node.text
    name = phase.values.get("modelArtifacts", "name")
    if "{{" in text and isinstance(name, ScalarNode):
        text = _rendered(text, name.text)
    scheme, _, rest = text.partition("://")
    if "{{" in rest:
        return [value_words.value(node)]
    if scheme == "hf":
        return [value_words.part(node, len("hf://"))] if text == node.text else controller_words.words(node, rest)
    if scheme == "pvc+hf":
        return controller_words.words(node, "/".join(rest.split("/")[-2:]))
    mount = phase.values.text_at("modelArtifacts", "mountPath") or _MOUNT
    return controller_words.words(node, f"{mount}/{rest.partition('/')[2]}")


def _rendered(text: str, name: str) -> str:
    for form in ("{{ .Values.modelArtifacts.name }}", "{{.Values.modelArtifacts.name}}"):
        text = text.replace(form, name)
    return text


def _degrees(document: Document, holder: Node | None, *, partial: bool) -> _Degrees:
    def stated(key: str, name: str) -> Fact[int] | None:
        node = holder.get(key) if holder is not None else None
        return launches.whole(document, node, name, f"parallelism.{key}", least=1)

    def derived(name: str, value: int, text: str) -> Fact[int]:
        return Fact.known(name, value, Origin(OriginKind.DERIVED, text))

    def one(name: str, key: str) -> Fact[int]:
        if partial:
            return Fact.unknown(name, _LAID_OVER, _BUILT)
        writer = EntryWriter(document, holder, key) if isinstance(holder, MappingNode) else None
        return Fact.known(name, 1, Origin(OriginKind.DEFAULT, f"default of {_CHART} for {key}"), writer)

    data, local, workers = (
        stated("data", "parallelism.data"),
        stated("dataLocal", "parallelism.data_local"),
        stated("workers", "nodes"),
    )
    by = {key: fact.value for key, fact in (("data", data), ("local", local), ("workers", workers)) if fact and fact.is_known}
    tensor = stated("tensor", "parallelism.tensor") or one("parallelism.tensor", "tensor")
    if data is None:
        if "local" in by:
            number = by["local"] * by.get("workers", 1)
            data = derived("parallelism.data", number, "dataLocal × workers")
        else:
            data = one("parallelism.data", "data")
    if local is None:
        if "data" in by and by["data"] % by.get("workers", 1) == 0:
            local = derived("parallelism.data_local", by["data"] // by.get("workers", 1), "data / workers")
        else:
            local = one("parallelism.data_local", "dataLocal")
    if workers is None:
        if "data" in by and "local" in by and by["data"] % by["local"] == 0:
            workers = derived("nodes", by["data"] // by["local"], "data / dataLocal")
        else:
            workers = one("nodes", "workers")
    return _Degrees(tensor, data, local, workers)


def _given(degrees: _Degrees) -> dict[str, Fact[str]]:
    """The variables that the chart puts into each container, and LeaderWorkerSet into those of a group."""
    given = {
        "DP_SIZE": degrees.data.map(str)._replace(name="env.DP_SIZE"),
        "TP_SIZE": degrees.tensor.map(str)._replace(name="env.TP_SIZE"),
        "DP_SIZE_LOCAL": degrees.local.map(str)._replace(name="env.DP_SIZE_LOCAL"),
        "LWS_GROUP_SIZE": degrees.workers.map(str)._replace(name="env.LWS_GROUP_SIZE"),
    }
    return {**given, **pod_groups.controlled(("LWS_LEADER_ADDRESS", "LWS_WORKER_INDEX"), "LeaderWorkerSet")}


def _replicas(phase: _Phase) -> Fact[int]:
    stated = launches.whole(phase.document, phase.section.get("replicas"), "replicas.min", f"{phase.name}.replicas")
    if stated is not None:
        return stated
    if phase.partial:
        return Fact.unknown("replicas.min", _LAID_OVER, _BUILT)
    default = 1 if phase.name == "decode" else 0
    origin = Origin(OriginKind.DEFAULT, f"default of {_CHART} for {phase.name}.replicas")
    return Fact.known("replicas.min", default, origin, EntryWriter(phase.document, phase.section, "replicas"))


def _gpus(phase: _Phase, container: Node) -> tuple[Fact[int], str]:
    """What the container asks for, else what the chart fills in."""
    document, section = phase.document, phase.section
    asked = devices.devices(container)
    claims = section.get("accelerator", "dra") or phase.values.get("accelerator", "dra")
    if isinstance(claims, ScalarNode) and claims.text.lower() == "true":
        reason = "devices are claimed through dynamic resource allocation (accelerator.dra)"
        origin = Origin(OriginKind.FILE, "accelerator.dra", Place.of(document, claims))
        return Fact.unknown(devices.NAME, reason, origin=origin), devices.DYNAMIC
    if asked.resource:
        return devices.count(document, container, together((document, asked.limit), (document, asked.request))), asked.resource
    kind = section.get("accelerator", "type") or phase.values.get("accelerator", "type")
    name = kind.text if isinstance(kind, ScalarNode) else "nvidia"
    own = phase.values.text_at("accelerator", "resources", name)
    resource = own if own is not None else _RESOURCES.get(name, "nvidia.com/gpu")
    if not resource:
        return Fact.unknown(devices.NAME, f"accelerator.type {name} has no devices"), ""
    uneven = devices.unevenness(resource)
    if uneven:
        return Fact.unknown(devices.NAME, f"{resource} does not count the engine's devices: {uneven}"), resource
    tensor, local = phase.degrees.tensor, phase.degrees.local
    if not tensor.is_known or not local.is_known:
        unclear = local if tensor.is_known else tensor
        return Fact.unknown(devices.NAME, unclear.reason, unclear.remedy), resource
    number = tensor.value * local.value
    text = f"the chart asks for dataLocal {local.value} × tensor {tensor.value}"
    return Fact.known(devices.NAME, number, Origin(OriginKind.DERIVED, text, tensor.place)), resource


def _accelerator(phase: _Phase) -> Fact[Accelerator] | None:
    """By ``acceleratorTypes``, by the node selector, or by that of ``extraConfig``, which is laid over the pod spec."""
    document, section = phase.document, phase.section
    key = section.text_at("acceleratorTypes", "labelKey")
    values = section.get("acceleratorTypes", "labelValues")
    if key and isinstance(values, SequenceNode) and values.items:
        return scheduling.accelerator(document, node_terms.one_of(section, key, values))
    for holder in (section, section.get("extraConfig")):
        found = scheduling.accelerator(document, node_terms.with_terms(holder)) if holder is not None else None
        if found is not None:
            return found
    return None
