"""Accelerators a container asks for."""

from __future__ import annotations

import pytest

from servelint.facts import FactState
from servelint.formats import devices
from servelint.source.reader import read_text
from servelint.source.text import SourceText


def container(resources: str):
    document = read_text(SourceText("pod.yaml", f"resources: {resources}\n")).documents[0]
    return document, document.root


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ("{limits: {nvidia.com/gpu: 4}}", 4),
        ('{limits: {nvidia.com/gpu: "4"}}', 4),
        ("{limits: {nvidia.com/gpu: 4000m}}", 4),
        ("{limits: {nvidia.com/gpu: 0}}", 0),
        ("{requests: {amd.com/gpu: 8}}", 8),
        ("{requests: {habana.ai/gaudi: '2'}, limits: {habana.ai/gaudi: 2}}", 2),
        ("{limits: {nvidia.com/gpu: 8, nvidia.com/gpumem: 4000, example.com/nic-of-gpu: 8}}", 8),
        ("{limits: {cpu: 8, memory: 64Gi, nvidia.com/gpu: 1, rdma/ib: 1}}", 1),
    ],
)
def test_devices_are_counted(resources: str, expected: int) -> None:
    fact = devices.count(*container(resources))
    assert fact.value == expected
    assert fact.is_stated


def test_the_place_is_the_limit() -> None:
    document, node = container("{requests: {nvidia.com/gpu: 2}, limits: {nvidia.com/gpu: 2}}")
    place = devices.count(document, node).place
    assert place is not None
    text = document.source.text
    assert text[place.span.start : place.span.end] == "2"
    assert place.span.start > text.index("limits")


@pytest.mark.parametrize(
    ("resources", "resource", "reason"),
    [
        ("{limits: {google.com/tpu: 4}}", "google.com/tpu", "chip"),
        ("{limits: {aws.amazon.com/neuroncore: 4}}", "aws.amazon.com/neuroncore", "cores"),
        ("{limits: {huawei.com/Ascend910: 8}}", "huawei.com/Ascend910", "Ascend"),
        ("{limits: {gpu.intel.com/xe: 1}}", "gpu.intel.com/xe", "Intel"),
        ("{limits: {nvidia.com/mig-1g.10gb: 1}}", "nvidia.com/mig-1g.10gb", "MIG"),
        ("{limits: {huawei.com/Ascend910B4: 1, huawei.com/Ascend910B4-memory: 16384}}", "huawei.com/Ascend910B4", "one or two"),
        ("{limits: {aliyun.com/gpu-mem: 20}}", "aliyun.com/gpu-mem", "a share"),
        ("{limits: {example.com/gpu: 2}}", "example.com/gpu", "set in the cluster"),
        (
            "{limits: {deviceclass.resource.kubernetes.io/gpu.nvidia.com: 2}}",
            "deviceclass.resource.kubernetes.io/gpu.nvidia.com",
            "set in",
        ),
        ("{claims: [{name: gpus}]}", devices.DYNAMIC, "claimed"),
        ("{limits: {nvidia.com/gpu: 1, amd.com/gpu: 1}}", "nvidia.com/gpu", "several kinds"),
        ("{limits: {nvidia.com/gpu: 500m}}", "nvidia.com/gpu", "'500m'"),
        ("{limits: {nvidia.com/gpu: -1}}", "nvidia.com/gpu", "'-1'"),
        ("{limits: {nvidia.com/gpu: $(GPUS)}}", "nvidia.com/gpu", "$(GPUS)"),
        ("{limits: {nvidia.com/gpu: four}}", "nvidia.com/gpu", "four"),
        ("{limits: {cpu: 4}}", "", "no accelerator"),
        ("{}", "", "no accelerator"),
    ],
)
def test_what_does_not_count_devices_is_unknown(resources: str, resource: str, reason: str) -> None:
    document, node = container(resources)
    fact = devices.count(document, node)
    assert fact.state is FactState.UNKNOWN
    assert reason in fact.reason
    assert devices.devices(node).resource == resource


def test_a_claim_beside_a_limit_leaves_the_limit() -> None:
    # GB200 pods claim their NVLink channel and ask for GPUs through the device plugin.
    assert devices.count(*container("{limits: {nvidia.com/gpu: 4}, claims: [{name: channel}]}")).value == 4


def test_unequal_request_and_limit_are_a_conflict() -> None:
    fact = devices.count(*container("{limits: {nvidia.com/gpu: 2}, requests: {nvidia.com/gpu: 1}}"))
    assert fact.state is FactState.CONFLICT
    assert fact.values == (2, 1)


def test_absence_in_a_patch_proves_nothing() -> None:
    document, node = container("{}")
    assert "patch" in devices.count(document, node, partial=True).reason
