"""K8S656: Knative's scale annotations on an InferenceService, in whose place KServe puts its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.facts import Place
from servelint.finding import Certainty, Proposal, Related, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint.source.nodes import MappingNode, ScalarNode
from servelint.source.scalars import integer
from servelint_rules import guards

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import PoolCase
    from servelint.finding import Edit
    from servelint.source.nodes import Document, Node

_GROUP = "autoscaling.knative.dev/"
_MODE = "serving.kserve.io/deploymentMode"
_SCALER = "serving.kserve.io/autoscalerClass"
_WITH_KNATIVE = ("Serverless", "Knative")  # the second is the newer name
_WITHOUT = ("RawDeployment", "Standard")
_SIDES = (("min", "minReplicas"), ("max", "maxReplicas"))


@rule(
    "K8S656", "scale-annotation-without-effect", "Scale annotation that KServe drops",
    severity=Severity.WARNING, certainty=Certainty.PROVEN, scope=Scope.POOL, since="0.1.0",
    formats=("kserve",), fixable=True,
)  # fmt: skip
def scale_annotation_without_effect(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    `autoscaling.knative.dev/min-scale` and `max-scale`, in either spelling, in the annotations of an InferenceService or of
    its predictor, that ask for another number of replicas than `minReplicas` and `maxReplicas` give it.

    ## Why it matters

    KServe takes these annotations off the object and writes its own from `minReplicas` (1 where it is not stated) and
    `maxReplicas` (no limit). A service that was to stay at two replicas has one, one that was to scale to zero keeps its
    GPUs day and night, and one that was to stop at four takes every GPU that the cluster has. No event says so. In the
    mode that makes Deployments nothing reads the annotations at all.

    ## How to fix

    Write `minReplicas` and `maxReplicas` in `spec.predictor`. Knative's other annotations (`target`, `metric`, `class`,
    `window`) are passed on and may stay.

    ## Certainty

    Proven from KServe's controller, for 0.8 (the first that knows the spelling with a hyphen) to 0.20. The older spelling is
    not taken off, but Knative reads the other one first, which KServe always writes for the least number, and for the most
    where `maxReplicas` is stated; so `maxScale` without `maxReplicas` counts and is not reported. A heuristic where only the
    mode that is not stated decides. Nothing is said of `autoscalerClass: external`, whose autoscaler may read what it
    likes, of groups of pods (`workerSpec`), which are not scaled, of the mode ModelMesh, and of bases and patches.

    ## References

    - [KServe: pkg/constants/constants.go](https://github.com/kserve/kserve/blob/v0.17.0/pkg/constants/constants.go),
      `ServiceAnnotationDisallowedList`
    - KServe, `pkg/controller/v1beta1/inferenceservice/components/predictor.go`: the annotations of the object, the predictor
      and the runtime are filtered by that list; `SetAutoScalingAnnotations` writes KServe's own
    - [Knative: configuring scale bounds](https://knative.dev/docs/serving/autoscaling/scale-bounds/)
    """
    pool = case.pool
    document = case.deployment.document
    item = document.root
    pod = pool.containers[0].pod if pool.containers else None
    if item is None or pod is None or pod.owner != "InferenceService" or pool is not case.deployment.pools[0]:
        return
    predictor = item.get("spec", "predictor")
    if not isinstance(predictor, MappingNode) or predictor.get("workerSpec") is not None:
        return
    if _is_unfinished(predictor) or guards.in_kustomize_base(pod):
        return
    holders = (predictor.get("annotations"), item.get("metadata", "annotations"))  # the first wins where both say it
    named = [holder for holder in holders if holder is not None]
    scaler = next((scaler for holder in named if (scaler := holder.text_at(_SCALER))), "")
    if scaler == "external":
        return
    mode = next((mode for holder in named if (mode := holder.text_at(_MODE))), "")
    if mode not in ("", *_WITH_KNATIVE, *_WITHOUT):
        return  # ModelMesh does not scale by the object, and what a template fills in is not known
    keeps_one = mode in _WITHOUT and scaler in ("", "hpa")
    for side, field in _SIDES:
        spellings = (f"{_GROUP}{side}-scale", f"{_GROUP}{side}Scale")
        asked = [(spelling, node) for holder in named for spelling in spellings if (node := holder.get(spelling)) is not None]
        agree = len({_number(node) for _, node in asked}) == 1
        for spelling, node in asked:
            yield from _judged(case, predictor, node, spelling, field, mode, keeps_one=keeps_one, agree=agree)


def _is_unfinished(predictor: MappingNode) -> bool:
    """The predictor lacks what every one has: the file is a patch, and another states the rest."""
    model, containers = predictor.get("model"), predictor.elements_at("containers")
    if model is not None:
        return model.get("modelFormat") is None
    return bool(containers) and containers[0].get("image") is None


def _judged(
    case: PoolCase, predictor: MappingNode, node: Node, spelling: str, field: str, mode: str, *, keeps_one: bool, agree: bool
) -> Iterator[Verdict]:
    """``keeps_one``: a HorizontalPodAutoscaler scales it, which never goes below one replica. ``agree``: all annotations for
    the field ask for one number."""
    document = case.deployment.document
    wanted = _number(node)
    stated = predictor.get(field)
    is_least = field == "minReplicas"
    if wanted is None:
        return
    if spelling.endswith("maxScale") and (stated is None or _number(stated) == 0) and mode not in _WITHOUT:
        return  # nothing stands before it
    if stated is not None and _number(stated) in (None, wanted):
        return  # what counts says the same, or is text that a template fills
    counts = case.pool.replicas_min if is_least else case.pool.replicas_max
    given = _number(stated) if stated is not None else counts.get(None)
    if given == wanted or (not is_least and wanted == 0 and given in (None, 0)):
        return
    sure = True
    if not is_least and stated is None and mode not in (*_WITHOUT, *_WITH_KNATIVE):
        sure = case.pool.replicas_min.get(None) != wanted  # a Deployment without maxReplicas stays at the least number
    if stated is not None:
        label = f"{field} counts, and is {given}"
    elif is_least:
        label = f"minReplicas counts, and is {given} where it is not stated"
    elif given is not None:
        label = f"maxReplicas counts, and without it the number stays at {given}"
    else:
        label = "maxReplicas counts, and without it nothing limits the replicas"
    yield Verdict(
        Place.of(document, node),
        label,
        related=(Related(Place.of(document, stated), "what counts"),) if stated is not None else (),
        proposals=(_proposal(document, predictor, field, wanted, keeps_one=keeps_one, agree=agree),),
        certainty=Certainty.PROVEN if sure else Certainty.HEURISTIC,
        key=spelling,
    )


def _number(node: Node | None) -> int | None:
    """Knative reads annotations with strconv.ParseInt, the API server the fields as whole numbers; below 0 both are refused."""
    number = integer(node) if isinstance(node, ScalarNode) else None
    return number if number is not None and number >= 0 else None


def _proposal(document: Document, predictor: MappingNode, field: str, wanted: int, *, keeps_one: bool, agree: bool) -> Proposal:
    if predictor.get(field) is not None:
        return Proposal(f"write {field}: {wanted} if that is meant, and take the annotation out", False, None)
    if field == "minReplicas" and wanted == 0 and keeps_one:
        return Proposal("take the annotation out: without Knative its HorizontalPodAutoscaler keeps one replica", False, None)
    # KServe refuses an object whose least number is above its most.
    least = wanted if field == "minReplicas" else _number(predictor.get("minReplicas")) or 1
    most = wanted if field == "maxReplicas" else _number(predictor.get("maxReplicas")) or 0
    fits = most == 0 or least <= most

    def edits() -> tuple[Edit, ...] | None:
        from servelint.source.edits import insert_entry  # lazy: only fixes edit

        after = "minReplicas" if field == "maxReplicas" and predictor.get("minReplicas") is not None else None
        return insert_entry(document, predictor, field, str(wanted), after)

    return Proposal(f"write {field}: {wanted} in spec.predictor", False, edits if fits and agree else None)
