from __future__ import annotations

import json

import pytest

from servelint.catalogue import accelerators, instances


@pytest.mark.parametrize("text", ["p5.48xlarge", "P5.48XLARGE", " p5.48xlarge "])
def test_any_case(text: str) -> None:
    found = instances.find(text)
    assert found is not None
    assert (found.name, found.accelerator, found.count, found.vcpus) == ("p5.48xlarge", "H100-SXM5-80GB", 8, 192)
    assert found.usd_per_hour == 55.04
    assert found.price_note == "on demand, us-east-1, 2026-07-20"


@pytest.mark.parametrize("text", ["", "p5", "p5.48xlarge\tx", "p5.48xlarge\n", "\n", "=", "no-such-type"])
def test_unknown(text: str) -> None:
    found = instances.find(text)
    assert found is None or found.name == text.strip()


def test_every_type_loads() -> None:
    names = instances.names()
    assert len(names) == len(set(names)) == 198
    clouds = set()
    for name in names:
        found = instances.find(name)
        assert found is not None
        assert found.name == name
        assert found.source
        assert (found.usd_per_hour is None) == (found.price_note == "")
        assert found.accelerator in accelerators.names()
        clouds.add(found.cloud)
    assert clouds == {"aws", "azure", "coreweave", "gcp", "lambda", "nebius", "oci"}


@pytest.mark.parametrize(
    ("name", "accelerator", "count"),
    [
        ("BM.GPU.H200-NC.8", "H200-SXM-141GB", 8),
        ("BM.GPU.L40S-NC.4", "L40S", 4),
        ("BM.GPU.B4.8", "A100-SXM4-40GB", 8),
        ("Standard_NC12s_v3", "V100-PCIE-16GB", 2),
        ("p3.8xlarge", "V100-SXM2-16GB", 4),
        ("gd-8xh100ib-i128", "H100-SXM5-80GB", 8),
        ("g7.2xlarge", "RTX PRO 4500 Blackwell Server Edition", 1),
        ("inf1.24xlarge", "Inferentia1", 16),
        ("BM.GPU.GB200-v3.4", "GB200", 4),
        ("BM.GPU.MI355X-v1.8", "MI355X", 8),
        ("tpu7x-standard-4t", "TPU v7x", 4),
        ("gpu-h100-sxm", "H100-SXM5-80GB", None),  # one to eight, by its preset
    ],
)
def test_shapes_of_other_clouds(name: str, accelerator: str, count: float | None) -> None:
    found = instances.find(name)
    assert found is not None
    assert (found.accelerator, found.count) == (accelerator, count)


def test_recalled_fields_are_unknown() -> None:
    found = instances.find("a3-highgpu-8g")
    assert found is not None
    assert (found.accelerator, found.count) == ("H100-SXM5-80GB", 8)
    assert found.vcpus is found.memory_mib is found.network_gbps is None


@pytest.mark.parametrize(("name", "count"), [("g4-standard-12", 0.25), ("Standard_NV6ads_A10_v5", None), ("g6f.large", 0)])
def test_shares_of_a_device_are_not_devices(name: str, count: float | None) -> None:
    found = instances.find(name)
    assert found is not None
    assert found.count == count


def test_one_record_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[int] = []
    real = json.loads

    def counting(data: bytes) -> object:
        parsed.append(len(data))
        return real(data)

    monkeypatch.setattr(json, "loads", counting)
    instances.find("g6.xlarge")
    assert len(parsed) == 1
    assert parsed[0] < 2_000


def test_suggestions() -> None:
    assert "p5.48xlarge" in instances.suggest("p5.49xlarge")
