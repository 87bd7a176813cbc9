from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st

from servelint.catalogue import accelerators, data_files
from servelint.facts import UnknownFact

if TYPE_CHECKING:
    from collections.abc import Callable

H100 = "H100-SXM5-80GB"
A100S = ["A100-SXM4-80GB", "A100-SXM4-40GB", "A100-PCIE-80GB", "A100-PCIE-40GB"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # nvidia.com/gpu.product of GPU feature discovery
        ("NVIDIA-H100-80GB-HBM3", [H100]),
        ("H100_NVLINK_80GB", [H100]),  # CoreWeave's word for the form
        ("Tesla-T4", ["T4"]),
        ("Tesla-T4-SHARED", ["T4"]),
        ("NVIDIA-H200", ["H200-SXM-141GB"]),
        ("NVIDIA-A100-SXM4-40GB", ["A100-SXM4-40GB"]),
        ("NVIDIA-GH200-480GB", ["GH200-96GB"]),
        ("Tesla-V100-PCIE-32GB", ["V100-PCIE-32GB"]),
        ("Tesla-V100-PCIE-16GB", ["V100-PCIE-16GB"]),
        ("NVIDIA-L20", ["L20"]),
        ("NVIDIA-GeForce-RTX-4070", ["RTX 4070"]),
        ("NVIDIA-GeForce-RTX-4070-Laptop-GPU", ["RTX 4070 Laptop"]),
        ("NVIDIA-RTX-2000-Ada-Generation-SHARED", ["RTX 2000 Ada"]),
        ("NVIDIA-RTX-4000-Ada-Generation", ["RTX 4000 Ada"]),
        ("NVIDIA-RTX-PRO-4500-Blackwell", ["RTX PRO 4500 Blackwell"]),
        ("NVIDIA-RTX-PRO-4500-Blackwell-Server-Edition", ["RTX PRO 4500 Blackwell Server Edition"]),
        ("NVIDIA-RTX-PRO-5000-72GB-Blackwell", ["RTX PRO 5000 72GB Blackwell"]),
        # labels no list has: understood word by word
        ("NVIDIA-A100-80GB-PCIe", ["A100-PCIE-80GB"]),
        ("NVIDIA-GeForce-RTX-5090", ["RTX 5090"]),
        ("NVIDIA-H200-NVL", ["H200-NVL-141GB"]),
        # cloud names
        ("nvidia-h100-80gb", [H100]),
        ("nvidia-h100-mega-80gb", [H100]),
        ("nvidia-tesla-a100", ["A100-SXM4-40GB"]),
        ("nvidia-tesla-v100", ["V100-SXM2-16GB", "V100-SXM2-32GB"]),
        ("tpu-v5-lite-podslice", ["TPU v5e"]),
        ("tpu-v4-podslice", ["TPU v4"]),
        ("google-tpu-v5e-2x2", ["TPU v5e"]),  # a resource profile of KubeAI
        ("nvidia-gpu-rtx4070-8gb", ["RTX 4070 Laptop"]),
        # device names
        ("NVIDIA H100 80GB HBM3", [H100]),
        ("AMD Instinct MI300X OAM", ["MI300X"]),
        # accelerator_type of Ray
        ("A10G", ["A10G"]),
        ("AMD-Instinct-MI300X-OAM", ["MI300X"]),
        ("Ascend910B", ["Ascend 910B"]),
        ("A100-40G", ["A100-SXM4-40GB", "A100-PCIE-40GB"]),
        # short names
        ("h100", [H100, "H100-PCIE-80GB", "H100-NVL-94GB"]),
        ("H100-80GB", [H100, "H100-PCIE-80GB"]),
        ("A100", A100S),
        ("H200", ["H200-SXM-141GB", "H200-NVL-141GB"]),
        ("rtx4090", ["RTX 4090"]),
        ("RTX4060", ["RTX 4060"]),
        ("RTX_A5000", ["RTX A5000"]),
        ("A5000_24GB", ["RTX A5000"]),
        ("A4000", ["RTX A4000"]),
        ("nvidia-gtx-2080ti", ["RTX 2080 Ti"]),
        ("V100-32GB", ["V100-SXM2-32GB", "V100-PCIE-32GB"]),
        ("H800", ["H800-SXM5-80GB"]),
        ("H20-141GB", ["H20-3e"]),
        ("rtx-pro-4500", ["RTX PRO 4500 Blackwell", "RTX PRO 4500 Blackwell Server Edition"]),
        ("H100_40GB", [f"{H100} MIG 3g.40gb", "H100-PCIE-80GB MIG 3g.40gb"]),  # Truss's name of half an H100
        ("l40s", ["L40S"]),
        ("L40", ["L40"]),
        ("A10", ["A10"]),
        # a form tells devices apart only where the catalogue knows several
        ("NVIDIA-H20-SXM5-96GB", ["H20"]),
        ("B200-NVLink", ["B200"]),
        ("L40S PCIe", ["L40S"]),
        # resources
        ("habana.ai/gaudi", ["Gaudi2", "Gaudi3"]),
        # EC2's word for either generation
        ("Inferentia", ["Inferentia2", "Inferentia1"]),
        # names that mean nothing here
        ("", []),
        ("gpu", []),
        ("nvidia", []),
        ("80GB", []),
        ("rtx", []),
        ("sxm5", []),
        ("true", []),
        ("h100-pool", []),
        ("RTX 6000", []),
        ("RTX 4070 SUPER", []),
        ("NVIDIA-GeForce-RTX-4060-Laptop-GPU", []),
        ("NVIDIA-RTX-4000-SFF-Ada-Generation", []),
        ("NVIDIA-L20Y", []),
        ("NVIDIA-H800-PCIe", []),
        ("A100-64GB", []),
        ("H100-SXM5-40GB", []),
        ("H100-OAM", []),
        ("H20-SXM5-64GB", []),
    ],
)
def test_names(text: str, expected: list[str]) -> None:
    found = [one.name for one in accelerators.find_all(text)]
    assert found == expected
    one = accelerators.find(text)
    assert (one.name if one else None) == (expected[0] if expected else None)
    assert [one.name for one in accelerators.find_all(text.upper())] == expected


def test_every_entry_loads_and_names_itself() -> None:
    names = accelerators.names()
    assert len(names) == len(set(names)) == 74
    for name in names:
        found = accelerators.find_all(name)
        assert [one.name for one in found] == [name]
        one = found[0]
        assert str(one) == name
        assert one.source
        assert "recalled" not in " ".join(one.notes).replace("recalled, unverified", "")
        if one.visible_bytes is not None:
            assert one.memory_gb is not None
            low, mid, high = one.visible_bytes
            assert 0 < low <= mid <= high <= one.memory_gb * 2**30
        assert all(value > 0 for value in one.peak_flops.values())
        assert all(one.peak_flops_highest[dtype] >= value for dtype, value in one.peak_flops.items())


def test_measured_memory_is_the_measured_range() -> None:
    one = accelerators.find(H100)
    assert one is not None
    assert one.visible_measured
    assert [round(value / 2**30, 2) for value in one.memory()] == [79.11, 79.18, 79.25]


def test_unmeasured_memory_is_bounded_by_the_marketed_size() -> None:
    one = accelerators.find("A30")
    assert one is not None
    assert not one.visible_measured
    # A30s show about 23.5 GiB; a GDDR6 board of that size with error correction shows 22.0 (L4).
    assert one.memory().low < 22.0 * 2**30 < 23.5 * 2**30 < one.memory().high


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("V100-SXM2-32GB", "bandwidth"),  # recalled
        ("A10G", "flops"),  # absent
        ("TPU v7x", "memory"),  # absent
        ("MI308X", "memory"),  # disputed
        ("RTX 2000 Ada", "bandwidth"),  # disputed
        ("RTX A5000", "flops"),  # absent
    ],
)
def test_what_no_source_gives_is_unknown(name: str, call: str) -> None:
    one = accelerators.find(name)
    assert one is not None
    calls: dict[str, Callable[[], object]] = {
        "bandwidth": one.bandwidth,
        "memory": one.memory,
        "flops": partial(one.flops, "fp16"),
    }
    with pytest.raises(UnknownFact, match=name):
        calls[call]()


def test_a_disputed_peak_still_bounds() -> None:
    one = accelerators.find("B300")
    assert one is not None
    assert "int8" not in one.peak_flops
    assert one.flops("int8", highest=True) == 4500e12
    with pytest.raises(UnknownFact):
        one.flops("int8")


def test_what_was_disputed_and_is_settled() -> None:
    one = accelerators.find("H20-3e")
    assert one is not None
    assert one.bandwidth() == 4.8e12
    assert "nvbandwidth" in one.source
    assert not any("bandwidth" in note for note in one.notes)


@pytest.mark.parametrize(
    ("name", "gigabytes", "bandwidth", "fp16", "capability"),
    [
        ("V100-PCIE-16GB", 16, 900e9, 112e12, (7, 0)),
        ("V100-PCIE-32GB", 32, 900e9, 112e12, (7, 0)),
        ("L20", 48, 864e9, 119.5e12, (8, 9)),
        ("H800-SXM5-80GB", 80, 3.35e12, 989.5e12, (9, 0)),
        ("RTX 4060", 8, 272e9, None, (8, 9)),
        ("RTX A4000", 16, 448e9, None, (8, 6)),
        ("RTX PRO 4500 Blackwell", 32, 896e9, None, (12, 0)),
        ("RTX PRO 4500 Blackwell Server Edition", 32, 800e9, None, (12, 0)),
        ("TPU v4", 32, 1.2e12, None, None),
        ("Inferentia1", 8, 53.7e9, 64e12, None),
    ],
)
def test_parts_that_the_facts_lack(
    name: str, gigabytes: float, bandwidth: float, fp16: float | None, capability: tuple[int, int] | None
) -> None:
    one = accelerators.find(name)
    assert one is not None
    assert (one.memory_gb, one.bandwidth(), one.peak_flops.get("fp16")) == (gigabytes, bandwidth, fp16)
    assert one.compute_capability == capability


def test_a_gaming_board_corrects_no_errors() -> None:
    """Of 8 GB of GDDR6, 7.75 GiB and more are to be seen, where a data center's board would keep a sixteenth."""
    one = accelerators.find("RTX 4060")
    assert one is not None
    assert one.memory().mid > 7.75 * 2**30


def test_values_are_per_device() -> None:
    one = accelerators.find("MI250X")
    assert one is not None
    assert (one.devices_per_unit, one.memory_gb, one.flops("fp16")) == (2, 64, 383e12 / 2)


@pytest.mark.parametrize(
    ("text", "device", "memory_gb", "compute", "bandwidth", "seen_gib"),
    [
        # what torch shows on such slices: 4.75 GiB, 16.0 GiB
        ("A100-SXM4-40GB-MIG-1g.5gb-SHARED", "A100-SXM4-40GB", 5, 1 / 7, 1 / 8, 4.75),
        ("NVIDIA H200 MIG 1g.18gb", "H200-SXM-141GB", 18, 1 / 7, 1 / 8, 16.0),
        ("NVIDIA-H100-80GB-HBM3-MIG-3g.40gb", H100, 40, 3 / 7, 4 / 8, 39.25),
        ("NVIDIA-H100-80GB-HBM3-MIG-1g.10gb.me", H100, 10, 1 / 7, 1 / 8, 9.62),
        ("NVIDIA-A100-SXM4-80GB-MIG-7g.80gb", "A100-SXM4-80GB", 80, 1, 1, 79.15),
        ("NVIDIA-A30-MIG-2g.12gb", "A30", 12, 2 / 4, 2 / 4, 11.7),
    ],
)
def test_mig_slices(text: str, device: str, memory_gb: float, compute: float, bandwidth: float, seen_gib: float) -> None:
    (part,) = accelerators.find_all(text)
    whole = accelerators.find(device)
    assert whole is not None
    assert part.slice_of == device
    assert part.memory_gb == memory_gb
    assert part.flops("bf16") == pytest.approx(whole.flops("bf16") * compute)
    assert part.bandwidth() == pytest.approx(whole.bandwidth() * bandwidth)
    assert part.memory().low <= seen_gib * 2**30 <= part.memory().high
    assert part.link_bytes_per_second is None


def test_slices_of_a_device_with_two_parts() -> None:
    (part,) = accelerators.find_all("NVIDIA-RTX-PRO-4500-Blackwell-Server-Edition-MIG-1g.16gb")
    whole = accelerators.find(part.slice_of)
    assert whole is not None
    assert (part.memory_gb, part.bandwidth()) == (16, whole.bandwidth() / 2)
    assert accelerators.find_all("NVIDIA-RTX-PRO-4500-Blackwell-MIG-3g.16gb") == ()


@pytest.mark.parametrize(
    "text",
    [
        "T4-MIG-1g.5gb",
        "L40S-MIG-3g.40gb",
        "L20-MIG-3g.40gb",
        "RTX-4090-MIG-1g.5gb",
        "NVIDIA-H100-80GB-HBM3-MIG-9g.80gb",
        "A100-SXM4-40GB-MIG-7g.80gb",
        "mig-1g.5gb",
    ],
)
def test_no_such_slice(text: str) -> None:
    assert accelerators.find_all(text) == ()


def test_suggestions_look_at_aliases_too() -> None:
    assert accelerators.suggest("NVIDIA-H100-80GB-HBM2")[0] == H100
    assert H100 in accelerators.suggest("H1000")
    assert accelerators.suggest("nothing like it") == []


@given(st.text(max_size=40))
def test_any_text_is_answered(text: str) -> None:
    for one in accelerators.find_all(text):
        assert one.name


@given(st.sampled_from(accelerators.names()), st.sampled_from([str.upper, str.lower, str.title]), st.sampled_from(" -_"))
def test_spelling_does_not_matter(name: str, spell: Callable[[str], str], gap: str) -> None:
    assert name in [one.name for one in accelerators.find_all(spell(name).replace("-", gap))]


def test_the_table_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[int] = []
    real = json.loads

    def counting(data: bytes) -> object:
        parsed.append(len(data))
        return real(data)

    data_files.document.cache_clear()
    accelerators.find_all.cache_clear()
    monkeypatch.setattr(json, "loads", counting)
    accelerators.find("H100")
    accelerators.find("A100")
    assert len(parsed) == 1
    assert parsed[0] < 100_000
