"""Scale annotations of an InferenceService: which of them count, and what to write instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from servelint.finding import Certainty
from servelint.run import lint_texts
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from servelint.finding import Finding
    from servelint.run import Session


def findings(text: str, session: Session, path: str = "isvc.yaml") -> list[Finding]:
    return [f for f in lint_texts([SourceText(path, text)], session).findings if f.code == "K8S656"]


def service(annotations: str, predictor: str = "", *, mode: str = "Knative", inner: str = "", image: str = "") -> str:
    of_mode = f", serving.kserve.io/deploymentMode: {mode}" if mode else ""
    names = ", ".join(f"autoscaling.knative.dev/{pair}" for pair in annotations.split(", ") if pair)
    image = image or "image: vllm/vllm-openai:v0.11.0, "
    inside = f"annotations: {{{', '.join(f'autoscaling.knative.dev/{pair}' for pair in inner.split(', '))}}}, " if inner else ""
    return (
        "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\n"
        f"metadata: {{name: a, annotations: {{x: y{of_mode}{', ' if names else ''}{names}}}}}\n"
        f"spec: {{predictor: {{{inside}{predictor}containers: [{{name: kserve-container, {image}"
        "args: [--model=Qwen/Qwen3-8B], resources: {limits: {nvidia.com/gpu: 1}}}]}}\n"
    )


@pytest.mark.parametrize(
    ("annotations", "predictor", "said"),
    [
        ("min-scale: '2'", "", "minReplicas counts, and is 1"),
        ("min-scale: '1'", "", ""),  # the default
        ("min-scale: '0'", "minReplicas: 0, ", ""),
        ("minScale: '0'", "", "minReplicas counts, and is 1"),  # KServe writes the spelling that Knative reads first
        ("min-scale: '2'", "minReplicas: 3, ", "minReplicas counts, and is 3"),
        ("max-scale: '4'", "", "without it nothing limits"),
        ("max-scale: '0'", "", ""),  # no limit either way
        ("max-scale: '0'", "maxReplicas: 4, ", "maxReplicas counts, and is 4"),
        ("max-scale: '4'", "maxReplicas: 4, ", ""),
        ("maxScale: '4'", "", ""),  # passed on, and nothing stands before it
        ("maxScale: '4'", "maxReplicas: 2, ", "maxReplicas counts, and is 2"),
        ("maxScale: '4'", "maxReplicas: 0, ", ""),  # no limit, of which KServe writes no annotation
        ("min-scale: '²'", "", ""),
        (f"min-scale: '{'9' * 5000}'", "", ""),  # no number that anybody reads
        ("min-scale: '2'", f"minReplicas: {'9' * 5000}, ", ""),
        ("min-scale: {a: b}", "minReplicas: [1], ", ""),
        ("min-scale: '{{ n }}'", "", ""),
        ("min-scale: '2'", "minReplicas: '{{ n }}', ", ""),
        ("min-scale: '2'", "workerSpec: {pipelineParallelSize: 2}, ", ""),  # groups of pods are not scaled
        ("target: '2', initial-scale: '3'", "", ""),
    ],
)
def test_what_counts_with_knative(annotations: str, predictor: str, said: str, session: Session) -> None:
    found = findings(service(annotations, predictor), session)
    assert [said in f.label for f in found] == ([True] if said else [])


def test_annotations_of_the_predictor(session: Session) -> None:
    (found,) = findings(service("", inner="min-scale: '2'"), session)
    assert found.certainty is Certainty.PROVEN
    assert [each.title for each in found.proposals] == ["write minReplicas: 2 in spec.predictor"]


@pytest.mark.parametrize(
    ("mode", "annotations", "certainty"),
    [
        ("Standard", "max-scale: '1'", None),  # a Deployment without maxReplicas stays at one
        ("Knative", "max-scale: '1'", Certainty.PROVEN),
        ("", "max-scale: '1'", Certainty.HEURISTIC),  # the cluster's default decides
        ("", "max-scale: '4'", Certainty.PROVEN),  # neither mode gives four
        ("RawDeployment", "maxScale: '4'", Certainty.PROVEN),  # nothing reads it
        ("ModelMesh", "min-scale: '2'", None),  # it has replicas of its own
        ("'{{ .Values.mode }}'", "min-scale: '2'", None),
    ],
)
def test_mode(mode: str, annotations: str, certainty: Certainty | None, session: Session) -> None:
    found = findings(service(annotations, mode=mode), session)
    assert [f.certainty for f in found] == ([certainty] if certainty else [])


@pytest.mark.parametrize(
    ("annotations", "predictor", "mode"),
    [
        ("min-scale: '3'", "maxReplicas: 2, ", "Knative"),  # KServe refuses a least number above the most
        ("max-scale: '2'", "minReplicas: 3, ", "Knative"),
        ("min-scale: '2'", "minReplicas: 1, ", "Knative"),  # which of the two is meant?
        ("min-scale: '0'", "", "Standard"),  # a HorizontalPodAutoscaler keeps one
    ],
)
def test_no_edit_where_the_result_is_open(annotations: str, predictor: str, mode: str, session: Session) -> None:
    (found,) = findings(service(annotations, predictor, mode=mode), session)
    assert not [each for each in found.proposals if each.edits]


def test_no_edit_where_annotations_ask_for_different_numbers(session: Session) -> None:
    found = findings(service("min-scale: '2'", inner="min-scale: '5'"), session)
    assert [each.proposals[0].edits is None for each in found] == [True, True]


def test_another_file_may_state_the_numbers(session: Session) -> None:
    text = service("min-scale: '2'")
    assert not findings(text, session, "deploy/base/isvc.yaml")
    assert not findings(service("min-scale: '2'", image="command: [vllm, serve], "), session)  # a patch: no image
    assert findings(text, session, "deploy/prod/isvc.yaml")
