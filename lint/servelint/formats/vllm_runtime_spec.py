"""What the production-stack operator makes of a VLLMRuntime: ``vllm serve`` with an option for each field, then ``extraArgs``.

Early manifests have the fields of ``vllmConfig`` and ``deploymentConfig`` in ``spec`` itself; they are read there as well.

Source: ``operator/internal/controller/vllmruntime_controller.go`` (deploymentForVLLMRuntime).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.deployment import Deployment, Environment
from servelint.facts import Fact, Origin, OriginKind, Place
from servelint.formats import containers, controller_words, custom_resources, devices, launches, podspec, scheduling, value_words
from servelint.formats.containers import IMAGE
from servelint.formats.launches import Launch
from servelint.formats.node_terms import with_terms
from servelint.formats.writers import ScalarWriter
from servelint.records import NamedTuple
from servelint.source.nodes import ScalarNode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.engines.command import Word
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document, Node

_WHO = "the production-stack operator"
_MODEL = (("maxModelLen", "--max-model-len"), ("dtype", "--dtype"), ("maxNumSeqs", "--max-num-seqs"))
_ENGINE = (
    ("tensorParallelSize", "--tensor-parallel-size"),
    ("gpuMemoryUtilization", "--gpu-memory-utilization"),
    ("maxLoras", "--max-loras"),
)


class _Spec(NamedTuple):
    """``model``, ``engine`` and ``placement``: the mappings that hold those fields."""

    document: Document
    model: Node
    engine: Node
    placement: Node


def deployments(document: Document, item: Node, surroundings: Surroundings) -> Iterator[Deployment]:
    spec = item.get("spec")
    model = item.get("spec", "model")
    if spec is None or model is None:
        return
    parts = _Spec(document, model, spec.get("vllmConfig") or spec, spec.get("deploymentConfig") or spec)
    name = controller_words.label_of(item)
    variables = _environment(document, parts.engine)
    image, reference = _image(document, parts.placement)
    least, most = _replicas(document, spec, parts.placement)
    facts: dict[str, Fact[Any]] = {"replicas_min": least, "replicas_max": most}
    accelerator = scheduling.accelerator(document, with_terms(parts.placement))
    if accelerator is not None:
        facts["accelerator"] = accelerator
    gpus, resource = _gpus(document, parts.placement)
    nodes = Fact.known("nodes", 1, Origin(OriginKind.DERIVED, "the operator makes a Deployment: one pod a replica"))
    made = _words(parts, spec, name, variables)
    launch = Launch(
        document, name.text, spec, name, image, reference, (controller_words.program(document, made),), variables, gpus,
        resource, nodes, facts,
    )  # fmt: skip
    pools = launches.pools(launch, surroundings.engines)
    for fact in (least, most):
        podspec.report_invalid(surroundings, name.text, fact)
    if pools:
        yield Deployment(name.text, "vllm-runtime", document, tuple(pools))


def _words(parts: _Spec, spec: Node, label: ScalarNode, variables: Environment) -> list[Word]:
    made = controller_words.words(label, "vllm", "serve")
    url = parts.model.get("modelURL")
    if isinstance(url, ScalarNode):
        made.append(value_words.value(url))
    if value_words.is_true(parts.model, "enableLoRA"):
        made += controller_words.words(label, "--enable-lora")
    for key, flag in (("enableChunkedPrefill", "enable-chunked-prefill"), ("enablePrefixCaching", "enable-prefix-caching")):
        node = parts.engine.get(key)
        at = node if isinstance(node, ScalarNode) else label
        made += controller_words.words(at, f"--{flag}" if value_words.is_true(parts.engine, key) else f"--no-{flag}")
    made += value_words.flags(parts.model, _MODEL)
    made += value_words.flags(parts.engine, _ENGINE)
    made += controller_words.of_items(parts.document, parts.engine.elements_at("extraArgs"), variables)
    if value_words.is_true(spec.get("lmCacheConfig"), "enabled"):
        made += controller_words.words(label, "--kv-transfer-config", '{"kv_connector":"LMCacheConnectorV1","kv_role":"kv_both"}')
    return made


def _environment(document: Document, engine: Node) -> Environment:
    listed = {
        item.text_at("name") or "": Fact.known(
            f"env.{item.text_at('name')}", item.text_at("value") or "", Origin(OriginKind.FILE, "env", Place.of(document, item))
        )
        for item in engine.elements_at("env")
    }
    return Environment(listed)


def _image(document: Document, placement: Node) -> tuple[Fact[str], str]:
    """``registry/name``, as the operator joins them."""
    image = placement.get("image")
    node = placement.get("image", "name")
    if not isinstance(node, ScalarNode) or image is None:
        return Fact.unknown(IMAGE, "the object names no image"), ""
    registry = (image.text_at("registry") or "").rstrip("/")
    reference = f"{registry}/{node.text}" if registry else node.text
    origin = Origin(OriginKind.FILE, "image", Place.of(document, node))
    return containers.referred(reference, origin), reference


def _replicas(document: Document, spec: Node, placement: Node) -> tuple[Fact[int], Fact[int]]:
    scaling = spec.get("autoscalingConfig")
    if scaling is not None and value_words.is_true(scaling, "enabled"):
        least = custom_resources.number(document, scaling, "minReplicas", "replicas.min", default=1, of=_WHO)
        reason = "maxReplicas is not stated"
        return least, custom_resources.number(document, scaling, "maxReplicas", "replicas.max", default=None, of=reason)
    fixed = custom_resources.number(document, placement, "replicas", "replicas.min", default=1, of=_WHO)
    return fixed, fixed._replace(name="replicas.max")


def _gpus(document: Document, placement: Node) -> tuple[Fact[int], str]:
    node = placement.get("resources", "gpu")
    if not isinstance(node, ScalarNode):
        reason = "the object requests no accelerator"
        return Fact.unknown(devices.NAME, reason, "set resources.gpu"), ""
    resource = placement.text_at("resources", "gpuType") or "nvidia.com/gpu"
    origin = Origin(OriginKind.FILE, "resources.gpu", Place.of(document, node))
    uneven = devices.unevenness(resource)
    if uneven:
        return Fact.unknown(devices.NAME, f"{resource} does not count the engine's devices: {uneven}", origin=origin), resource
    number = devices.whole(node)
    if number is None:
        reason = f"resources.gpu is {node.text!r}, not a whole number of devices"
        return Fact.unknown(devices.NAME, reason, "write a whole number", origin), resource
    return Fact.known(devices.NAME, number, origin, ScalarWriter(document, node)), resource
