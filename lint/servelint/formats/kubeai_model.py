"""What KubeAI's operator makes of a Model with the engine VLLM or OLlama. The others (FasterWhisper, Infinity) serve no LLM.

The image, the resources and the node selector come from the resource profile, which is in the operator's own values; of a
profile that is named for a GPU, as those it ships with are, one unit is one GPU.

Source: ``internal/modelcontroller/engine_vllm.go``, ``model_controller.go`` (resources × count), ``charts/kubeai/values.yaml``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.deployment import Deployment, Environment
from servelint.facts import Fact, Origin, OriginKind, Place
from servelint.formats import containers, controller_words, custom_resources, launches, model_uris, podspec, value_words
from servelint.formats.containers import IMAGE
from servelint.formats.launches import GPUS, Launch
from servelint.source.nodes import ScalarNode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.catalogue.accelerators import Accelerator
    from servelint.engines.command import Word
    from servelint.finding import Edit
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document, Node

_WHO = "KubeAI"
_OPERATOR = "it is set by KubeAI's operator"
_RESOURCES = (
    ("nvidia", "nvidia.com/gpu"), ("amd", "amd.com/gpu"), ("mi300", "amd.com/gpu"), ("mi250", "amd.com/gpu"),
    ("gaudi", "habana.ai/gaudi"), ("tpu", "google.com/tpu"), ("gpu", "nvidia.com/gpu"),
)  # fmt: skip
_LAUNCHERS = {"VLLM": ("python3", "-m", "vllm.entrypoints.openai.api_server"), "OLLAMA": ("ollama", "serve")}
_PREFIXES = ("nvidia-gpu-", "amd-gpu-", "nvidia-", "amd-", "gpu-")


def deployments(document: Document, item: Node, surroundings: Surroundings) -> Iterator[Deployment]:
    spec = item.get("spec")
    name = controller_words.label_of(item)
    if spec is not None:
        yield from of_spec(document, name, name.text, spec, surroundings, "kubeai")


def of_spec(
    document: Document, name: ScalarNode, title: str, spec: Node, surroundings: Surroundings, source: str
) -> Iterator[Deployment]:
    """The deployment of a Model's ``spec``, which also stands in values of KubeAI's chart of models. ``source``: the format."""
    engine = spec.get("engine")
    if not isinstance(engine, ScalarNode) or engine.text.upper() not in _LAUNCHERS:
        return
    variables = _environment(document, spec)
    url = spec.get("url")
    words: list[Word] = controller_words.words(engine, *_LAUNCHERS[engine.text.upper()])
    if isinstance(url, ScalarNode):
        words += [*controller_words.words(url, "--model"), _model_word(spec, url)]
    words += controller_words.of_items(document, spec.elements_at("args"), variables)
    if spec.get("adapters") is not None:
        words += controller_words.words(engine, "--enable-lora")
    gpus, resource, accelerator = _profile(document, spec)
    least, most = _replicas(document, spec)
    facts: dict[str, Fact[Any]] = {"replicas_min": least, "replicas_max": most}
    if accelerator is not None:
        facts["accelerator"] = accelerator
    if isinstance(url, ScalarNode) and not _names_model(spec):
        facts["model"] = model_uris.model(document, url, "spec.url")
    image = containers.image(document, spec) if spec.get("image") is not None else Fact.unknown(IMAGE, _OPERATOR)
    one_pod = Fact.known("nodes", 1, Origin(OriginKind.DERIVED, "KubeAI runs a replica in one pod"))
    launch = Launch(
        document, title, spec, name, image, spec.text_at("image") or "", (controller_words.program(document, words),),
        variables, gpus, resource, one_pod, facts,
    )  # fmt: skip
    pools = launches.pools(launch, surroundings.engines)
    for fact in (least, most):
        podspec.report_invalid(surroundings, title, fact)
    if pools:
        yield Deployment(title, source, document, tuple(pools))


def _environment(document: Document, spec: Node) -> Environment:
    listed = {
        key: Fact.known(f"env.{key}", node.text, Origin(OriginKind.FILE, f"env.{key}", Place.of(document, node)))
        for key, _, node in spec.entries_at("env")
        if isinstance(node, ScalarNode)
    }
    sources = spec.elements_at("envFrom")
    return Environment(listed, "it may come from envFrom, whose ConfigMap or Secret is not at hand" if sources else "")


def _model_word(spec: Node, url: ScalarNode) -> Word:
    """What stands behind ``--model``: a hub id as it is, a path of a volume for what is cached or mounted."""
    scheme, separator, _ = url.text.partition("://")
    hub = scheme == "hf" and spec.get("cacheProfile") is None
    if hub and separator:
        return value_words.part(url, len(scheme) + len(separator))
    text = url.text if scheme == "s3" else "/model"
    return controller_words.words(url, text)[0]


def _names_model(spec: Node) -> bool:
    """The arguments name the model again, and the last one counts."""
    flags = (item.text.partition("=")[0].split() for item in spec.elements_at("args") if isinstance(item, ScalarNode))
    return any(flag[:1] == ["--model"] for flag in flags)


def _replicas(document: Document, spec: Node) -> tuple[Fact[int], Fact[int]]:
    if value_words.is_true(spec, "autoscalingDisabled"):
        fixed = custom_resources.number(document, spec, "replicas", "replicas.min", default=None, of="replicas is not stated")
        return fixed, fixed._replace(name="replicas.max")
    least = custom_resources.number(document, spec, "minReplicas", "replicas.min", default=0, of=_WHO)
    most = custom_resources.number(
        document, spec, "maxReplicas", "replicas.max", default=None, of="maxReplicas is not stated: the number is open"
    )
    return least, most


def _profile(document: Document, spec: Node) -> tuple[Fact[int], str, Fact[Accelerator] | None]:
    """GPUs of a pod, their resource and their type, from ``resourceProfile: name:count``."""
    node = spec.get("resourceProfile")
    if not isinstance(node, ScalarNode):
        return Fact.unknown(GPUS, "no resourceProfile is named", "name a resourceProfile"), "", None
    name, _, count = node.text.partition(":")
    origin = Origin(OriginKind.FILE, "resourceProfile", Place.of(document, node))
    resource = next((kind for word, kind in _RESOURCES if word in name.lower()), "")
    if not resource:
        reason = f"what one unit of the resource profile {name} holds is in the operator's values"
        return Fact.unknown(GPUS, reason, origin=origin), "", None
    number = count.strip() or "1"
    if resource == "google.com/tpu":
        reason = "google.com/tpu does not count the engine's devices: a TPU chip holds one or two devices, by generation"
        gpus: Fact[int] = Fact.unknown(GPUS, reason, origin=origin)
    elif not number.isdecimal() or len(number) > 4:
        gpus = Fact.unknown(GPUS, f"resourceProfile is {node.text!r}, which ends in no number", origin=origin)
    else:
        gpus = Fact.known(GPUS, int(number), origin, _ProfileWriter(document, node, name))
    return gpus, resource, _accelerator(name, origin)


def _accelerator(name: str, origin: Origin) -> Fact[Accelerator] | None:
    from servelint.catalogue import accelerators  # lazy: only models with a profile need it

    short = next((name[len(p) :] for p in _PREFIXES if name.startswith(p)), name)
    for text in (name, short):
        found = accelerators.find_all(text)
        if found:
            return Fact.either("accelerator.name", found, origin)
    if short in {"nvidia-gpu", "amd-gpu", "gpu", ""}:
        return None
    return Fact.unknown("accelerator.name", f"the resource profile {name} names no GPU that the catalogue knows", origin=origin)


class _ProfileWriter:
    """Sets the count of ``name:count``."""

    __slots__ = ("_document", "_name", "_node")

    def __init__(self, document: Document, node: ScalarNode, name: str) -> None:
        self._document = document
        self._node = node
        self._name = name

    def write(self, value: object) -> tuple[Edit, ...] | None:
        from servelint.source import edits  # lazy: only fixes write

        return None if value is None else edits.set_scalar(self._document, self._node, f"{self._name}:{value}")
