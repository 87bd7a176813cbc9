"""The accelerator from node selectors and affinities."""

from __future__ import annotations

import pytest

from servelint.facts import FactState
from servelint.formats.scheduling import accelerator
from servelint.source.reader import read_text
from servelint.source.text import SourceText


def fact(spec: str):
    document = read_text(SourceText("pod.yaml", f"spec:\n{spec}")).documents[0]
    assert document.root is not None
    return accelerator(document, document.root)


def affinity(*terms: str) -> str:
    items = "".join(f"\n          - matchExpressions: [{term}]" for term in terms)
    return f"  affinity:\n    nodeAffinity:\n      requiredDuringSchedulingIgnoredDuringExecution:\n        nodeSelectorTerms:{items}\n"


H100 = "{key: nvidia.com/gpu.product, operator: In, values: [NVIDIA-H100-80GB-HBM3]}"
H200 = "{key: nvidia.com/gpu.product, operator: In, values: [NVIDIA-H200]}"
EITHER = "{key: nvidia.com/gpu.product, operator: In, values: [NVIDIA-H100-80GB-HBM3, NVIDIA-H200]}"


@pytest.mark.parametrize(
    ("selector", "name"),
    [
        ("nvidia.com/gpu.product: NVIDIA-H100-80GB-HBM3", "H100-SXM5-80GB"),
        ("cloud.google.com/gke-accelerator: nvidia-l4", "L4"),
        ("cloud.google.com/gke-accelerator: nvidia-tesla-a100", "A100-SXM4-40GB"),
        ("node.kubernetes.io/instance-type: p5.48xlarge", "H100-SXM5-80GB"),
        ("node.kubernetes.io/instance-type: ml.g5.4xlarge", "A10G"),
        ("karpenter.k8s.aws/instance-family: g6e", "L40S"),
        ("eks.amazonaws.com/instance-family: p5en", "H200-SXM-141GB"),
    ],
)
def test_labels_and_instance_types(selector: str, name: str) -> None:
    found = fact(f"  nodeSelector:\n    {selector}\n")
    assert found is not None
    assert found.value.name == name
    assert found.place is not None


def test_values_of_one_expression_are_alternatives() -> None:
    found = fact(affinity(EITHER))
    assert found is not None
    assert found.state is FactState.ALTERNATIVES
    assert [a.name for a in found.values] == ["H100-SXM5-80GB", "H200-SXM-141GB"]


def test_terms_are_alternatives() -> None:
    found = fact(affinity(H100, H200))
    assert found is not None
    assert len(found.values) == 2


def test_a_term_that_says_nothing_opens_all() -> None:
    assert fact(affinity(H100, "{key: zone, operator: In, values: [a]}")) is None


def test_expressions_of_one_term_hold_together() -> None:
    found = fact(affinity(f"{EITHER}, {H200}"))
    assert found is not None
    assert found.value.name == "H200-SXM-141GB"


def test_selector_and_affinity_hold_together() -> None:
    found = fact("  nodeSelector: {nvidia.com/gpu.product: NVIDIA-H200}\n" + affinity(EITHER))
    assert found is not None
    assert found.value.name == "H200-SXM-141GB"


def test_what_excludes_each_other_is_a_conflict() -> None:
    found = fact("  nodeSelector: {nvidia.com/gpu.product: NVIDIA-H200}\n" + affinity(H100))
    assert found is not None
    assert found.state is FactState.CONFLICT


def test_unknown_hardware_is_unknown_with_its_name() -> None:
    found = fact("  nodeSelector: {nvidia.com/gpu.product: NVIDIA-X900}\n")
    assert found is not None
    assert "NVIDIA-X900" in found.reason
    assert found.remedy


@pytest.mark.parametrize(
    "spec",
    [
        "  containers: []\n",
        "  nodeSelector: {kubernetes.io/arch: amd64, nvidia.com/gpu.present: 'true', karpenter.sh/nodepool: h100}\n",
        affinity("{key: nvidia.com/gpu.product, operator: NotIn, values: [Tesla-T4]}"),
        affinity("{key: nvidia.com/gpu.product, operator: Exists}"),
        "  affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: []}}\n",
    ],
)
def test_what_names_no_accelerator_is_no_fact(spec: str) -> None:
    assert fact(spec) is None


def test_homemade_labels_count_where_they_name_an_accelerator() -> None:
    found = fact("  nodeSelector: {example.com/accelerator: L40S, gpu: 'yes'}\n")
    assert found is not None
    assert found.value.name == "L40S"
