"""Which accelerator a pod is scheduled onto, from its node selector and required node affinity.

Selector entries and the expressions of one affinity term all hold; the terms of an affinity are alternatives, and so are
the values of one ``In``. Preferred affinity proves nothing and is not read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.facts import Fact, Origin, OriginKind, Place
from servelint.records import NamedTuple
from servelint.source.nodes import ScalarNode

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from servelint.catalogue.accelerators import Accelerator
    from servelint.source.nodes import Document, Node

NAME = "accelerator.name"

# Labels whose value names the accelerator.
_PRODUCT_LABELS = frozenset((
    "nvidia.com/gpu.product",
    "cloud.google.com/gke-accelerator",
    "cloud.google.com/gke-tpu-accelerator",
    "amd.com/gpu.product-name",
    "beta.amd.com/gpu.product-name",
    "gpu.nvidia.com/class",
    "gpu.nvidia.com/model",
    "karpenter.k8s.aws/instance-gpu-name",
    "k8s.amazonaws.com/accelerator",
))  # fmt: skip
# Labels whose value names the machine.
_INSTANCE_LABELS = frozenset(("node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type"))
# Labels of other origin count where their value is an accelerator's name; otherwise they say nothing.
_LOOSE_WORDS = ("gpu", "npu", "accelerator")


class _Demand(NamedTuple):
    """One label with the values it may have."""

    key: str
    values: tuple[ScalarNode, ...]
    node: Node


class _Allowed(NamedTuple):
    """What one or several demands allow. ``unknown``: a text that names hardware nobody knows."""

    accelerators: tuple[Accelerator, ...]
    node: Node
    text: str
    unknown: str = ""


def accelerator(document: Document, template: Node) -> Fact[Accelerator] | None:
    """The accelerator of the pods of ``template``; None where the pod spec names none."""
    allowed = [a for demand in _selector(template) if (a := _allowed(demand)) is not None]
    terms = template.elements_at(
        "spec", "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms"
    )
    alternative = _any(_both(_allowed(demand) for demand in _expressions(term)) for term in terms)
    if alternative is not None:
        allowed.append(alternative)
    result = _both(allowed)
    if result is None:
        return None
    origin = Origin(OriginKind.FILE, result.text, Place.of(document, result.node))
    if result.unknown:
        reason = f"{result.unknown} is not in the catalogue"
        return Fact.unknown(NAME, reason, "say under `labels` in servelint.yaml which GPU it means", origin)
    if not result.accelerators:
        return Fact.conflict(NAME, (), f"no accelerator satisfies {result.text} together", origin)
    return Fact.either(NAME, result.accelerators, origin)


def _selector(template: Node) -> list[_Demand]:
    entries = template.entries_at("spec", "nodeSelector")
    return [_Demand(key, (value,), value) for key, _, value in entries if isinstance(value, ScalarNode)]


def _expressions(term: Node) -> list[_Demand]:
    demands = []
    for expression in term.elements_at("matchExpressions"):
        key, values = expression.text_at("key"), expression.get("values")
        if key and values is not None and expression.text_at("operator") == "In":
            scalars = tuple(v for v in expression.elements_at("values") if isinstance(v, ScalarNode))
            demands.append(_Demand(key, scalars, values))
    return demands


def _allowed(demand: _Demand) -> _Allowed | None:
    """What ``demand`` allows; None where it says nothing about the accelerator."""
    strict = demand.key in _PRODUCT_LABELS
    instance = demand.key in _INSTANCE_LABELS or demand.key.endswith("/instance-type")
    family = demand.key.endswith("/instance-family")  # of Karpenter and of EKS: g6e, p5
    if not (strict or instance or family or any(word in demand.key.lower() for word in _LOOSE_WORDS)):
        return None
    found: dict[str, Accelerator] = {}
    unknown = ""
    text = f"{demand.key}: " + ", ".join(value.text for value in demand.values)
    for value in demand.values:
        matches = _of_family(value.text) if family else _of_instance(value.text) if instance else _of_label(value.text)
        unknown = unknown or ("" if matches else f"{demand.key}: {value.text}")
        found.update((match.name, match) for match in matches)
    if not found and not strict and not instance:
        return None
    # What is known of several is judged: an alternative that nobody knows makes the others no better.
    return _Allowed(tuple(found.values()), demand.node, text, "" if found else unknown) if found or unknown else None


def _of_label(text: str) -> Sequence[Accelerator]:
    from servelint.catalogue import accelerators  # lazy: most manifests name no accelerator

    return accelerators.find_all(text)


def _of_instance(text: str) -> Sequence[Accelerator]:
    from servelint.catalogue import accelerators, instances

    # SageMaker HyperPod writes its EC2 types with a prefix: ml.g5.4xlarge.
    instance = instances.find(text) or instances.find(text.removeprefix("ml."))
    found = accelerators.find(instance.accelerator) if instance is not None and instance.accelerator else None
    return () if found is None else (found,)


def _of_family(text: str) -> Sequence[Accelerator]:
    """The accelerators of the instance types of a family, which are mostly one."""
    from servelint.catalogue import accelerators, instances

    types = (instances.find(name) for name in instances.names() if name.startswith(f"{text}."))
    named = dict.fromkeys(each.accelerator for each in types if each is not None and each.accelerator)
    return [found for name in named if (found := accelerators.find(name)) is not None]


def _both(parts: Iterable[_Allowed | None]) -> _Allowed | None:
    """All of ``parts`` hold; those that say nothing are left out."""
    result: _Allowed | None = None
    for part in parts:
        if part is None:
            continue
        if result is None or result.unknown:
            result = part  # a known demand decides beside one that is not understood
        elif not part.unknown:
            names = {a.name for a in part.accelerators}
            common = tuple(a for a in result.accelerators if a.name in names)
            result = _Allowed(common, result.node, f"{result.text} and {part.text}")
    return result


def _any(parts: Iterable[_Allowed | None]) -> _Allowed | None:
    """One of ``parts`` holds; if one of them says nothing, any accelerator may serve."""
    found: dict[str, Accelerator] = {}
    first: _Allowed | None = None
    unknown: _Allowed | None = None
    for part in parts:
        if part is None:
            return None
        if part.unknown:
            unknown = unknown or part
            continue
        first = first or part
        found.update((a.name, a) for a in part.accelerators)
    return _Allowed(tuple(found.values()), first.node, first.text) if first is not None else unknown
