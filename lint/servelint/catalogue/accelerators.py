"""Accelerators: memory, bandwidth, peaks and links, each with its source, found by any name that manifests use.

Everything is per device, that is per unit a container can ask for and torch counts: a package of two devices (MI250X,
Ascend 910C) has half its marketed size and peak here, and says so in ``devices_per_unit``.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from servelint.catalogue import accelerator_names, data_files
from servelint.estimate import Estimate
from servelint.facts import UnknownFact
from servelint.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

_FILE = "accelerators.json"
_GIB = 2**30

# A MIG slice shows 0.88 to 1 GiB per gigabyte of its profile's name: H200 1g.18gb has 16.0 GiB, A100 1g.5gb 4.75 GiB, 7g.80gb
# of an 80 GB device all of it (`nvidia-smi mig -lgip` and torch on such slices).
_MIG_LOW, _MIG_MID, _MIG_HIGH = 0.88, 0.95, 1.0
# The chips of data centers can be cut (A100 and A30, H100 and its kin, B200, B300); of later capabilities only the boards below.
_MIG_CAPABILITIES = ((8, 0), (9, 0), (10, 0), (10, 3))
# Parts of the compute and of the memory that the MIG profiles of a device count, where they are not sevenths of the compute and
# eighths of the memory (NVIDIA MIG user guide, supported GPUs and MIG profiles).
_PARTS = {
    "A30": 4, "RTX PRO 6000 Blackwell": 4,
    "RTX PRO 5000 Blackwell": 2, "RTX PRO 5000 72GB Blackwell": 2,
    "RTX PRO 4500 Blackwell": 2, "RTX PRO 4500 Blackwell Server Edition": 2,
}  # fmt: skip
# Bytes per second and direction of 16 lanes: 8, 16, 32 GT/s with 128b/130b coding.
_PCIE_X16 = {3: 15.75e9, 4: 31.5e9, 5: 63.0e9}


class Accelerator(NamedTuple):
    """One device. ``None`` is unknown (no source gives it, or none that was read), never zero.

    ``visible_bytes``: what torch reports as total memory, the amount that ``gpu_memory_utilization`` is a share of; measured
    readings where ``visible_measured``, else bounds from the marketed size. ``peak_flops``: dtype (``fp16``, ``bf16``, ``fp8``,
    ``int8``, ``fp4``) → FLOP/s (OP/s for ``int8``) without sparsity; a dtype that is absent is unsupported or unknown.
    ``link_bytes_per_second``: the fabric between devices of one host, per device and direction. ``fabric_devices``: devices
    that one such fabric joins, where it spans hosts. ``source`` says where each value was read, ``notes`` what is disputed or
    withheld. ``mfu`` and ``mbu`` are shares of peak that a plan states for its own device; the catalogue has none.
    """

    name: str
    vendor: str
    architecture: str
    memory_gb: float | None
    memory_type: str
    visible_bytes: Estimate | None
    visible_measured: bool
    bandwidth_bytes_per_second: float | None
    peak_flops: Mapping[str, float]
    peak_flops_highest: Mapping[str, float]
    compute_capability: tuple[int, int] | None
    link: str
    link_bytes_per_second: float | None
    has_nvlink: bool | None
    pcie_generation: int | None
    fabric_devices: int | None
    devices_per_node: int | None
    devices_per_unit: int
    source: str
    notes: tuple[str, ...]
    slice_of: str = ""
    mfu: float | None = None
    mbu: float | None = None

    def __str__(self) -> str:
        return self.name

    @property
    def shares_host_memory(self) -> bool:
        """Whether its memory is the host's: pages of files and of other processes count as gone."""
        return "unified" in self.memory_type.lower()

    @property
    def pcie_bytes_per_second(self) -> float | None:
        """Sixteen lanes, one direction."""
        return _PCIE_X16.get(self.pcie_generation or 0)

    def memory(self) -> Estimate:
        """``visible_bytes``; raises :class:`UnknownFact` where not even the marketed size is known."""
        if self.visible_bytes is None:
            raise UnknownFact("accelerator.memory", f"no source says how much memory {self.name} has", "state accelerator.memory")
        return self.visible_bytes

    def bandwidth(self) -> float:
        """Bytes per second of the device's memory; raises :class:`UnknownFact`."""
        if self.bandwidth_bytes_per_second is None:
            reason = f"no source that was read gives the memory bandwidth of {self.name}"
            raise UnknownFact("accelerator.bandwidth", reason, "state accelerator.bandwidth")
        return self.bandwidth_bytes_per_second

    def flops(self, dtype: str, *, highest: bool = False) -> float:
        """Peak of ``dtype``; ``highest``: the largest that any source gives, as a bound needs. Raises :class:`UnknownFact`."""
        value = (self.peak_flops_highest if highest else self.peak_flops).get(dtype)
        if value is None:
            reason = f"no source that was read gives a {dtype} peak of {self.name}"
            raise UnknownFact(f"accelerator.compute.{dtype}", reason, f"state accelerator.compute.{dtype}")
        return value


def names() -> list[str]:
    """Every accelerator of the catalogue, by name, in its order (by maker and generation)."""
    return [entry["name"] for entry in data_files.document(_FILE)["accelerators"]]


@lru_cache(maxsize=1)
def device_names() -> Mapping[str, tuple[str, ...]]:
    """Every accelerator by name, with what drivers and labels call the device: lower case, words joined by ``-``."""
    table = data_files.document(_FILE)
    found: dict[str, tuple[str, ...]] = {}
    for index, entry in enumerate(table["accelerators"]):
        said = [accelerator_names.key(entry["name"]), *(label for label, indices in table["labels"].items() if index in indices)]
        found[entry["name"]] = tuple(dict.fromkeys(said))
    return found


def find(text: str) -> Accelerator | None:
    """The accelerator that ``text`` names in any way, or None. Of several it may mean (:func:`find_all`) the commonest."""
    found = find_all(text)
    return found[0] if found else None


@lru_cache(maxsize=256)
def find_all(text: str) -> tuple[Accelerator, ...]:
    """Every accelerator that ``text`` may mean, the commonest first; empty if none.

    A label value or device name means one; a short name such as ``H100`` or ``A100-80GB`` may mean several. Names with a MIG
    profile give the slice, with the memory, bandwidth and compute of its share.
    """
    table = data_files.document(_FILE)
    profile = accelerator_names.mig_profile(text)
    if profile is not None:
        devices = (_accelerator(table, index) for index in _indices(table, profile.device))
        return tuple(part for device in devices if (part := _slice(device, profile)) is not None)
    return tuple(_accelerator(table, index) for index in _indices(table, text))


def suggest(text: str) -> list[str]:
    """Names of the catalogue that look like ``text`` or have an alias that does, best first."""
    table = data_files.document(_FILE)
    entries = table["accelerators"]
    said = {entry["name"].lower(): entry["name"] for entry in entries}
    for aliases in (table["others"], table["labels"]):
        for alias, indices in aliases.items():
            said.setdefault(alias, entries[indices[0]]["name"])
    return list(dict.fromkeys(said[alias] for alias in data_files.nearest(text, list(said))))


def _indices(table: Mapping[str, Any], text: str) -> list[int]:
    exact: list[int] | None = table["labels"].get(accelerator_names.key(text))
    if exact is not None:
        return exact
    said = set(accelerator_names.words(text))
    found: list[int] = list(table["others"].get(accelerator_names.squashed(text), ()))
    for index, entry in enumerate(table["accelerators"]):
        if index not in found and said.issuperset(entry["core"]) and _fits(said, entry["words"]):
            found.append(index)
    return found


def _fits(said: set[str], words: list[str]) -> bool:
    """Each word that is ``said`` is one of the device's; a form counts where the catalogue knows several."""
    return all(word in words or (word in accelerator_names.FORMS and not accelerator_names.FORMS & set(words)) for word in said)


def _accelerator(table: Mapping[str, Any], index: int) -> Accelerator:
    entry = table["accelerators"][index]
    sources = table["sources"]
    visible = entry["visible_bytes"]
    capability = entry["compute_capability"]
    return Accelerator(
        name=entry["name"],
        vendor=entry["vendor"],
        architecture=entry["architecture"],
        memory_gb=entry["memory_gb"],
        memory_type=entry["memory_type"],
        visible_bytes=Estimate(*visible) if visible else None,
        visible_measured=entry["visible_measured"],
        bandwidth_bytes_per_second=entry["bandwidth_bytes_per_second"],
        peak_flops=entry["peak_flops"],
        peak_flops_highest={**entry["peak_flops"], **entry["peak_flops_highest"]},
        compute_capability=(capability[0], capability[1]) if capability else None,
        link=entry["link"],
        link_bytes_per_second=entry["link_bytes_per_second"],
        has_nvlink=entry["has_nvlink"],
        pcie_generation=entry["pcie_generation"],
        fabric_devices=entry["fabric_devices"],
        devices_per_node=entry["devices_per_node"],
        devices_per_unit=entry["devices_per_unit"],
        source="; ".join(f"{field}: {', '.join(sources[i] for i in numbers)}" for field, numbers in entry["sources"].items()),
        notes=tuple(entry["notes"]),
    )


def _slice(device: Accelerator, profile: accelerator_names.MigProfile) -> Accelerator | None:
    """The MIG slice of ``device``; None where the device has no such profile."""
    parts = _PARTS.get(device.name, 7)
    memory_parts = _PARTS.get(device.name, 8)
    if device.name not in _PARTS and device.compute_capability not in _MIG_CAPABILITIES:
        return None
    if device.vendor != "NVIDIA" or device.memory_gb is None:
        return None
    if not 1 <= profile.compute <= parts or profile.memory_gb > device.memory_gb:
        return None
    compute = profile.compute / parts
    # The name rounds the size, so the share is the nearest whole number of memory slices.
    memory = max(1, round(profile.memory_gb / device.memory_gb * memory_parts)) / memory_parts
    whole = device.visible_bytes.high if device.visible_bytes else profile.memory_gb * _GIB
    size = [min(profile.memory_gb * _GIB * share, whole) for share in (_MIG_LOW, _MIG_MID, _MIG_HIGH)]
    return device._replace(
        name=f"{device.name} MIG {profile.compute}g.{profile.memory_gb}gb",
        memory_gb=profile.memory_gb,
        visible_bytes=Estimate(*size),
        visible_measured=False,
        bandwidth_bytes_per_second=device.bandwidth_bytes_per_second and device.bandwidth_bytes_per_second * memory,
        peak_flops={dtype: value * compute for dtype, value in device.peak_flops.items()},
        peak_flops_highest={dtype: value * compute for dtype, value in device.peak_flops_highest.items()},
        # Slices have no peer-to-peer access (NVIDIA MIG user guide, application considerations).
        link="none between MIG slices",
        link_bytes_per_second=None,
        has_nvlink=False,
        fabric_devices=None,
        notes=(*device.notes, f"a MIG slice: {profile.compute}/{parts} of the compute, {memory:g} of the memory bandwidth"),
        slice_of=device.name,
    )
