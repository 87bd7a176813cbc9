"""How far Knative scales a revision: annotations of its template, in both spellings, or of Cloud Run's service.

Sources: knative/serving ``pkg/apis/autoscaling/register.go`` (``min-scale`` is 0 and ``max-scale`` 0, no limit, by default; the
HorizontalPodAutoscaler never goes below 1); Cloud Run, Knative's ``Service`` (``run.googleapis.com/minScale``). The initial
scale says with how many a revision starts, and bounds nothing. KServe 0.11 to 0.17 drops ``min-scale`` and ``max-scale`` of an
InferenceService and of its predictor (``ServiceAnnotationDisallowedList``) and sets them by ``minReplicas`` and, where there is
one, ``maxReplicas`` (``reconcilers/knative/ksvc_reconciler.go``): ``maxScale``, the older spelling, gets through to Knative.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.facts import Fact, Origin, OriginKind
from servelint.formats import launches, podspec

if TYPE_CHECKING:
    from servelint.source.nodes import Document, Node

_GROUP = "autoscaling.knative.dev"
_CLOUD_RUN = "run.googleapis.com"
_CLASS = f"{_GROUP}/class"
KSERVE_MODE = "serving.kserve.io/deploymentMode"
"""The annotation that says whether KServe uses Knative."""
WITHOUT_KNATIVE = ("RawDeployment", "Standard")
"""Its values where KServe makes Deployments; the second is the newer name."""


def bounds(document: Document, annotations: Node | None, group: str = _GROUP) -> tuple[Fact[int] | None, Fact[int] | None]:
    """The least and the most replicas that ``annotations`` state; None where they do not. Text that is no number is unknown."""
    found = []
    for side, name in (("min", launches.REPLICAS), ("max", "replicas.max")):
        keys = (f"{group}/{side}-scale", f"{group}/{side}Scale")
        key = next((key for key in keys if annotations is not None and annotations.get(key) is not None), "")
        fact = launches.whole(document, annotations.get(key), name, key) if annotations is not None and key else None
        found.append(fact)
    low, high = found
    return low, _limit(high)


def _limit(high: Fact[int] | None) -> Fact[int] | None:
    if high is not None and high.is_known and high.value == 0:
        return Fact.unknown(high.name, "max-scale is 0, so there is no limit", origin=high.origin)
    return high


def most_under_kserve(document: Document, *annotations: Node | None) -> Fact[int] | None:
    """The most replicas of a service without ``maxReplicas`` that its annotations state, the first ones first; None for none."""
    key = f"{_GROUP}/maxScale"
    nodes = [marks.get(key) for marks in annotations if marks is not None]
    found = (launches.whole(document, node, "replicas.max", key) for node in nodes if node is not None)
    return _limit(next(found, None))


def names_knative(annotations: Node | None) -> bool:
    """Whether ``annotations`` have any that Knative's autoscaler reads."""
    return annotations is not None and any(key.startswith(f"{_GROUP}/") for key, _, _ in annotations.entries_at())


def of_service(document: Document, service: Node, *, partial: bool) -> tuple[Fact[int], Fact[int]]:
    """The least and the most replicas of a Knative Service; ``partial``: another file completes it."""
    annotations = service.get("spec", "template", "metadata", "annotations")
    low, high = bounds(document, annotations)
    least, most = bounds(document, service.get("metadata", "annotations"), _CLOUD_RUN)
    scaler = annotations.text_at(_CLASS) if annotations is not None else None
    never_zero = (scaler or "").startswith("hpa.")
    default = Origin(OriginKind.DEFAULT, "default of Knative for min-scale")
    unset = Fact.known(launches.REPLICAS, 1 if never_zero else 0, default)
    if partial:
        unset = Fact.unknown(launches.REPLICAS, podspec.PATCHED)
    high = high or most or Fact.unknown("replicas.max", "max-scale is not set, so Knative scales it by its requests")
    return low or least or unset, high
