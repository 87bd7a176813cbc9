"""Values of production-stack's chart: ``servingEngineSpec.modelSpec[]``, and what its templates make of each entry.

Without ``raySpec`` an entry is a Deployment of ``replicaCount`` pods; with it a RayCluster of one head and ``replicaCount``
workers, which all together are one replica.

Source: production-stack 0.1.7 and its main branch, ``helm/templates/{deployment-vllm-multi,ray-cluster,scaledobject-vllm}.yaml``,
``_helpers.tpl`` (chart.resources).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.deployment import Deployment, Role
from servelint.facts import Fact, Origin, OriginKind, Place
from servelint.formats import containers, controller_words, devices, launches, podspec, scheduling, value_words
from servelint.formats.containers import IMAGE
from servelint.formats.environment import environment
from servelint.formats.launches import Launch
from servelint.formats.node_terms import with_terms
from servelint.formats.writers import EntryWriter, ScalarWriter, TogetherWriter, together
from servelint.records import NamedTuple
from servelint.source.nodes import MappingNode, ScalarNode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from servelint.deployment import Pool
    from servelint.engines.command import Word
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document, Node

_SETTINGS = (
    ("maxModelLen", "--max-model-len"),
    ("dtype", "--dtype"),
    ("tensorParallelSize", "--tensor-parallel-size"),
    ("maxNumSeqs", "--max-num-seqs"),
    ("gpuMemoryUtilization", "--gpu-memory-utilization"),
    ("maxLoras", "--max-loras"),
)
_ON_RAY = (("pipelineParallelSize", "--pipeline-parallel-size"),)  # the Deployment's template does not read it
_POOLING = (("runner", "--runner"), ("convert", "--convert"))
_SHARES = ("requestGPUMem", "requestGPUMemPercentage", "requestGPUCores")
_ROLES = {"kv_producer": Role.PREFILL, "kv_consumer": Role.DECODE}


class _Gpus(NamedTuple):
    """``nodes``: where the number is written."""

    number: Fact[int]
    resource: str
    nodes: tuple[ScalarNode | None, ...] = ()


def deployments(document: Document, values: Node, surroundings: Surroundings) -> Iterator[Deployment]:
    engines = values.get("servingEngineSpec")
    if engines is None or value_words.is_false(engines, "enableEngine"):
        return
    made: list[tuple[str, str, Pool]] = []
    stated = engines.get("modelSpec")  # a chart made of this one may have a single model, as a mapping
    entries = [stated] if isinstance(stated, MappingNode) else engines.elements_at("modelSpec")
    for index, entry in enumerate(entries):
        if not isinstance(entry, MappingNode) or value_words.is_false(entry, "enabled"):
            continue
        name = entry.text_at("name") or f"model-{index}"
        for pool in _pools(document, entry, name, surroundings):
            made.append((name, entry.text_at("modelURL") or "", pool))
            podspec.report_invalid(surroundings, name, pool.replicas_min)
            if not devices.unevenness(pool.gpu_resource):
                podspec.report_invalid(surroundings, name, pool.gpus_per_node)
    yield from _joined(document, made)


def _joined(document: Document, made: list[tuple[str, str, Pool]]) -> Iterator[Deployment]:
    """One deployment for each entry; entries that hand KV to one another serve one model together."""
    rest = list(made)
    while rest:
        name, model, pool = rest.pop(0)
        mates = [one for one in rest if pool.role is not Role.SERVE and one[1] == model and one[2].role is not Role.SERVE]
        rest = [one for one in rest if one not in mates]
        yield Deployment(name, "helm-values", document, (pool, *(mate for _, _, mate in mates)))


def _pools(document: Document, entry: MappingNode, name: str, surroundings: Surroundings) -> list[Pool]:
    ray = entry.get("raySpec")
    on_ray = ray is not None and not value_words.is_false(ray, "enabled")
    label = entry.get("name")
    anchor = label if isinstance(label, ScalarNode) else controller_words.label_of(entry)
    variables = environment(document, entry)
    gpus = _gpus(document, entry)
    facts: dict[str, Fact[Any]] = {}
    nodes: Fact[int] = Fact.known("nodes", 1, Origin(OriginKind.DERIVED, "the chart makes a Deployment: one pod a replica"))
    if on_ray and ray is not None:
        gpus, nodes = _with_head(document, entry, gpus, _gpus(document, ray.get("headNode")))
        one = Fact.known("replicas.min", 1, Origin(OriginKind.DERIVED, "the chart makes one RayCluster"))
        facts.update(replicas_min=one, replicas_max=one._replace(name="replicas.max"))
    else:
        least, most = _replicas(document, entry)
        facts.update(replicas_min=least, replicas_max=most)
    if any(entry.get(key) is not None for key in _SHARES):
        facts["accelerator"] = Fact.unknown("accelerator.name", "the container asks for a part of a GPU's memory")
    elif (accelerator := scheduling.accelerator(document, with_terms(entry))) is not None:
        facts["accelerator"] = accelerator
    image, reference = _image(document, entry)
    made = _words(document, entry, anchor, variables, on_ray=on_ray)
    launch = Launch(
        document, name, entry, anchor, image, reference, (controller_words.program(document, made),), variables, gpus.number,
        gpus.resource, nodes, facts,
    )  # fmt: skip
    role = _ROLES.get(entry.text_at("lmcacheConfig", "kvRole") or "")
    return [pool._replace(role=role or pool.role) for pool in launches.pools(launch, surroundings.engines)]


def _words(document: Document, entry: Node, label: ScalarNode, variables: Mapping[str, Fact[str]], *, on_ray: bool) -> list[Word]:
    made = controller_words.words(label, "vllm", "serve")
    url = entry.get("modelURL")
    if isinstance(url, ScalarNode):
        made.append(value_words.value(url))
    if on_ray:
        made += controller_words.words(label, "--distributed-executor-backend", "ray")
    if value_words.is_true(entry, "enableLoRA"):
        made += controller_words.words(label, "--enable-lora")
    if value_words.is_true(entry, "enableTool"):
        made += controller_words.words(label, "--enable-auto-tool-choice")
    made += value_words.flags(entry, (("toolCallParser", "--tool-call-parser"),))
    config = entry.get("vllmConfig")
    if config is not None:
        made += _switches(config, label, on_ray=on_ray)
        made += value_words.flags(config, (*_SETTINGS, *(_ON_RAY if on_ray else _POOLING)))
        made += controller_words.of_items(document, config.elements_at("extraArgs"), variables)
    made += _transfer(entry, label)
    return made


def _switches(config: Node, label: ScalarNode, *, on_ray: bool) -> list[Word]:
    made: list[Word] = []
    chunked = config.get("enableChunkedPrefill")
    if isinstance(chunked, ScalarNode):
        on = value_words.is_true(config, "enableChunkedPrefill")
        made += controller_words.words(chunked, "--enable-chunked-prefill" if on else "--no-enable-chunked-prefill")
    caching = config.get("enablePrefixCaching")
    at = caching if isinstance(caching, ScalarNode) else label
    if value_words.is_true(config, "enablePrefixCaching"):
        made += controller_words.words(at, "--enable-prefix-caching")
    elif not on_ray:
        made += controller_words.words(at, "--no-enable-prefix-caching")
    return made


def _transfer(entry: Node, label: ScalarNode) -> list[Word]:
    config = entry.get("lmcacheConfig")
    if config is None or not value_words.is_true(config, "enabled"):
        return []
    node = config.get("kvRole")
    at = node if isinstance(node, ScalarNode) else label
    role = node.text if isinstance(node, ScalarNode) else "kv_both"
    return controller_words.words(at, "--kv-transfer-config", f'{{"kv_connector":"LMCacheConnectorV1","kv_role":"{role}"}}')


def _image(document: Document, entry: Node) -> tuple[Fact[str], str]:
    repository, tag = entry.get("repository"), entry.get("tag")
    if not isinstance(repository, ScalarNode):
        return Fact.unknown(IMAGE, "the entry names no repository"), ""
    reference = f"{repository.text}:{tag.text}" if isinstance(tag, ScalarNode) else repository.text
    origin = Origin(OriginKind.FILE, "image", Place.of(document, tag if isinstance(tag, ScalarNode) else repository))
    return containers.referred(reference, origin), reference


def _replicas(document: Document, entry: MappingNode) -> tuple[Fact[int], Fact[int]]:
    scaled = entry.get("keda")
    if scaled is not None and value_words.is_true(scaled, "enabled"):
        # KEDA's own defaults: none at least, 100 at most.
        least = launches.whole(document, scaled.get("minReplicaCount"), "replicas.min", "minReplicaCount")
        most = launches.whole(document, scaled.get("maxReplicaCount"), "replicas.max", "maxReplicaCount")
        default = Origin(OriginKind.DEFAULT, "default of KEDA")
        return least or Fact.known("replicas.min", 0, default), most or Fact.known("replicas.max", 100, default)
    stated = launches.whole(document, entry.get("replicaCount"), "replicas.min", "replicaCount")
    if stated is None:
        origin = Origin(OriginKind.DEFAULT, "default of Kubernetes for replicas")
        stated = Fact.known("replicas.min", 1, origin, EntryWriter(document, entry, "replicaCount"))
    return stated, stated._replace(name="replicas.max")


def _gpus(document: Document, entry: Node | None) -> _Gpus:
    """What a pod asks for: ``resources`` if there are any, else ``requestGPU`` of ``requestGPUType``."""
    if entry is None:
        return _Gpus(Fact.unknown(devices.NAME, "the head node is not described"), "")
    if value_words.is_true(entry, "resources"):
        asked = devices.devices(entry)
        writer = together((document, asked.limit), (document, asked.request))
        return _Gpus(devices.count(document, entry, writer), asked.resource, (asked.limit, asked.request))
    node = entry.get("requestGPU")
    if not isinstance(node, ScalarNode):
        return _Gpus(Fact.unknown(devices.NAME, "the entry requests no accelerator", "state requestGPU"), "")
    resource = entry.text_at("requestGPUType") or "nvidia.com/gpu"
    origin = Origin(OriginKind.FILE, "requestGPU", Place.of(document, node))
    uneven = devices.unevenness(resource)
    amount = devices.amount(node)
    if uneven:
        reason = f"{resource} does not count the engine's devices: {uneven}"
    elif amount == 0:
        return _Gpus(Fact.unknown(devices.NAME, "requestGPU is 0: the entry requests no accelerator"), "")
    elif amount is not None and 0 < amount < 1:
        # The template asks for a GPU only where the whole part is more than 0.
        return _Gpus(
            Fact.unknown(devices.NAME, f"requestGPU {node.text} makes the chart ask for no GPU at all", origin=origin), ""
        )
    elif amount is None or not amount.is_integer() or amount < 0:
        reason = f"requestGPU is {node.text!r}, not a whole number of devices"
    else:
        return _Gpus(Fact.known(devices.NAME, int(amount), origin, ScalarWriter(document, node)), resource, (node,))
    return _Gpus(Fact.unknown(devices.NAME, reason, origin=origin), resource)


def _with_head(document: Document, entry: Node, workers: _Gpus, head: _Gpus) -> tuple[_Gpus, Fact[int]]:
    """GPUs and pods of a RayCluster. A head without GPUs only starts the engine."""
    count = launches.whole(document, entry.get("replicaCount"), "nodes", "replicaCount")
    if count is None:
        return workers, Fact.unknown("nodes", "replicaCount is not stated", "state replicaCount")
    if not count.is_known:
        return workers, count
    ranks = count.value + (1 if head.resource else 0)
    text = f"1 head + {count.value} workers" if head.resource else f"{count.value} workers; the head asks for no accelerator"
    nodes = Fact.known("nodes", ranks, Origin(OriginKind.DERIVED, text, count.place))
    ours, theirs = workers.number, head.number
    if not count.value:
        return head, nodes
    if head.resource and ours.is_known and theirs.is_known:
        if ours.value != theirs.value or head.resource != workers.resource:
            reason = f"each worker asks for {ours.value} × {workers.resource}, the head for {theirs.value} × {head.resource}"
            clash = Fact.conflict(ours.name, (ours.value, theirs.value), reason, ours.origin or Origin(OriginKind.DERIVED, ""))
            return _Gpus(clash, workers.resource), nodes
        writers = [ScalarWriter(document, node) for node in (*workers.nodes, *head.nodes) if node is not None]
        return workers._replace(number=ours._replace(writer=TogetherWriter(writers))), nodes
    return workers, nodes
