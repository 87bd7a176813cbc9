"""``accelerators.yaml`` and ``instances.yaml`` of the facts → the shipped ``accelerators.json`` and ``instances.records``."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from servelint.catalogue import accelerator_names

_GIB = 2**30
_T = 1e12
_G = 1e9

# Where sources disagree on a peak and the facts say so without settling it, the value is withheld; the largest that any source
# gives stays as what a bound must use (facts: accelerators.yaml `tflops_alt` and notes, gaps.md section 3).
_DISPUTED_PEAKS = {"B300": ("int8",), "GB300": ("int8",)}
_HIGHEST_PEAKS = {
    "B300": {"int8": 4500.0, "fp4": 14000.0},
    "GB300": {"int8": 5000.0, "fp4": 15000.0},
    "Gaudi3": {"bf16": 1835.0, "fp8": 1835.0},  # the white paper's clock, which the shipped part does not reach
}
# Memory that the facts call disputed (gpuhunt says 128, shallowsim 192), or of which there are variants under one name.
_DISPUTED_MEMORY = ("MI308X",)
_SMALLER_VARIANTS = {"Ascend 910B": 32.0}
# Fields that the facts call disputed, settled by what was read since. H20-3e: the facts' 4000 GB/s are those of the H20 of 96 GB.
_SETTLED: dict[str, dict[str, Any]] = {
    "H20-3e": {
        "memory_bandwidth_gb_s": 4800,
        "source": {
            "bandwidth": [
                "https://github.com/NVIDIA/nvbandwidth/issues/48 (official: 4.8 TB/s)",
                "https://github.com/tile-ai/TileOPs/pull/1658 (4.80 TB/s, of which 81 % were measured)",
            ]
        },
    }
}
# Packages whose halves are each a device (facts: the entries' notes).
_DEVICES_PER_UNIT = {"MI250X": 2, "Ascend 910C": 2}

# Share of the marketed size (as GiB) that torch shows. Over the entries with a measured reading: 0.91 to 0.93 for GDDR6 boards
# with error correction, 0.98 to 0.99 for other GDDR boards and all HBM ones, 0.94 for unified memory, 1.00 for AMD. Error
# correction in line takes a sixteenth, and decimal gigabytes would be 0.931 of GiB: 0.90 is below all of that.
_WORST_SHARE = 0.90
_USUAL_SHARE = {"GDDR6": 0.93, "LPDDR5X unified": 0.935}
_USUAL_SHARE_ELSE = 0.985
# torch shows 0.985 to 0.994 of what nvidia-smi calls the total (L40S, RTX 4090, RTX PRO 6000: the entries with both).
_SMI_LOW, _SMI_MID = 0.98, 0.99
# One reading without a range: the widest range of any one entry's readings is 1.2 % (T4).
_ONE_READING = 0.0125


# Readings that the facts lack or only recall, in GiB (low, mid, high), with where they were found. MI355X: SGLang's start-up log
# of one GPU says 287.26 free with 0.15 taken; 288 is what is marketed, of which MI300X and MI210 show all but 0.02.
_READ_SINCE = {
    "MI355X": (287.41, 287.98, 288.0, "farbodtavakkoli/OTel@6f7791c:inference/sglang/llm/README.md"),
}  # fmt: skip
# Names that the facts mark as recalled, and that were found in public files since (several repositories print
# torch.cuda.get_device_name or nvidia-smi of the part: "NVIDIA GH200 480GB", 97.8 GB of device memory).
_FOUND_SINCE = {"GH200-96GB": ("NVIDIA GH200 480GB",)}
# More short names that public manifests use. EC2, and SkyPilot after it, call both generations of Inferentia by that word
# (`accelerators: Inferentia:6` is an inf2.24xlarge); KubeAI's profiles put the topology behind the generation.
_SHORT_SINCE = {
    "Inferentia2": ("Inferentia",),
    "H20-3e": ("H20-141GB",),
    "TPU v5e": ("google-tpu-v5e-1x1", "google-tpu-v5e-2x2", "google-tpu-v5e-2x4"),
}
# The facts' own names of parts in instance types, as the accelerators have them.
_PARTS = {"rtx-pro-4500": "RTX PRO 4500 Blackwell Server Edition"}
# The facts' own short names of sources.
_SOURCES = {
    "aic": "ai-dynamo/aiconfigurator@095f58a",
    "stas": "stas00/ml-engineering@744d01e",
    "stasnet": "stas00/ml-engineering@744d01e:network/README.md",
    "shallow": "zartbot/shallowsim:device/gpu_info.csv",
    "pl": "Lightning-AI/pytorch-lightning",
    "hmc": "https://hmc-tech.com/gpu/",
    "toms": "https://www.tomshardware.com",
    "tpu": "https://docs.cloud.google.com/tpu/docs",
    "ascend": "https://techpowerup.com/335749",
    "neuron": "https://awsdocs-neuron.readthedocs-hosted.com",
}
_SHORT_SOURCE = re.compile(rf"(?<![\w/.-])({'|'.join(sorted(_SOURCES, key=len, reverse=True))})(?![\w/.-])")


def _source(text: str) -> str:
    """The source, spelled out."""
    spelled = _SHORT_SOURCE.sub(lambda match: _SOURCES[match[1]], text)
    return spelled.replace("mirrored repositories", "public repositories")


def _recalled(entry: dict[str, Any], field: str) -> bool:
    """Whether ``field`` (dotted) or a part that holds it is marked as recalled."""
    marks = entry.get("recalled_fields", ())
    return any(field == mark or field.startswith(f"{mark}.") for mark in marks)


def _visible(entry: dict[str, Any], per_unit: int, notes: list[str]) -> tuple[list[int] | None, bool]:
    """Bytes that torch shows (low, mid, high) and whether that was measured."""
    reading = entry.get("torch_visible_total_gib")
    size: float = entry.get("memory_gb") or 0
    whole = size / per_unit * _GIB if size else None
    if entry["name"] in _READ_SINCE:
        *readings, source = _READ_SINCE[entry["name"]]
        notes.append(f"visible memory: {source}")
        return [round(value * _GIB) for value in readings], True
    if reading and not _recalled(entry, "torch_visible_total_gib"):
        value = reading["value"] * _GIB
        if reading.get("note") and "per GCD" not in reading["note"] and not _recalled(entry, "torch_visible_total_gib.range"):
            notes.append(f"visible memory: {reading['note']}")
        if _recalled(entry, "torch_visible_total_gib.range"):
            notes.append("range of the visible memory recalled, unverified: up to the marketed size")
            return [round(value * (1 - _ONE_READING)), round(value), round(whole or value)], True
        low, high = reading.get("range") or (reading["value"] * (1 - _ONE_READING), reading["value"] * (1 + _ONE_READING))
        return [round(low * _GIB), round(value), round(min(high * _GIB, whole or high * _GIB))], True
    if reading:
        notes.append("visible memory recalled, unverified: derived from the marketed size")
    if entry["name"] in _DISPUTED_MEMORY or not whole:
        return None, False
    if "nvidia_smi_total_mib" in entry:
        total = entry["nvidia_smi_total_mib"] * 2**20
        return [round(total * _SMI_LOW), round(total * _SMI_MID), total], False
    smallest = _SMALLER_VARIANTS.get(entry["name"], size / per_unit) * _GIB
    corrected = entry.get("ecc", True)
    usual = _USUAL_SHARE.get(entry.get("memory_type", ""), _USUAL_SHARE_ELSE) if corrected else _USUAL_SHARE_ELSE
    return [round(smallest * _WORST_SHARE), round(whole * usual), round(whole)], False


def _peaks(entry: dict[str, Any], per_unit: int, notes: list[str]) -> tuple[dict[str, float], dict[str, float]]:
    peaks: dict[str, float] = {}
    recalled = []
    for dtype, value in sorted(entry.get("dense_peak_tflops", {}).items()):
        if value is None or dtype in _DISPUTED_PEAKS.get(entry["name"], ()):
            continue
        if _recalled(entry, f"dense_peak_tflops.{dtype}"):
            recalled.append(dtype)
            continue
        peaks[dtype] = value * _T / per_unit
    if recalled:
        notes.append(f"{', '.join(recalled)} peak recalled, unverified: withheld")
    notes += [f"{dtype} peak disputed between sources: withheld" for dtype in _DISPUTED_PEAKS.get(entry["name"], ())]
    highest = {
        k: v * _T / per_unit for k, v in _HIGHEST_PEAKS.get(entry["name"], {}).items() if v * _T / per_unit != peaks.get(k)
    }
    return peaks, highest


def _link(entry: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    """The fabric of one host. A field that is recalled is left out; a missing NVLink is "no" only where the facts say so."""
    stated = entry.get("interconnect", {})
    recalled = [name for name in stated if _recalled(entry, f"interconnect.{name}")]
    kept = {name: value for name, value in stated.items() if name not in recalled}
    if recalled:
        notes.append(f"interconnect recalled, unverified: {', '.join(sorted(recalled))} withheld")
    nvlink: bool | None = None
    speed: float | None = None
    text = ""
    if kept.get("nvlink_gen") or isinstance(kept.get("nvlink"), str):
        nvlink = True
        speed = kept.get("nvlink_gb_s_per_gpu_per_direction")
        text = f"NVLink {kept['nvlink_gen']}" if kept.get("nvlink_gen") else f"NVLink {kept['nvlink']}"
    elif ("nvlink" in kept and kept["nvlink"] is None) or entry.get("note") == "no NVLink":
        nvlink = False
    elif "gb_s_per_gpu_per_direction" in kept:
        speed, text = kept["gb_s_per_gpu_per_direction"], "Infinity Fabric"
    elif "infinity_fabric_gb_s_per_link" in kept:
        # A link's figure counts both directions (MI300X: 7 links of 128 are 448 per direction).
        speed, text = kept["infinity_fabric_gb_s_per_link"] * kept["links"] / 2, "Infinity Fabric"
    elif "ici_gb_s_bidirectional_per_chip" in kept:
        speed, text = kept["ici_gb_s_bidirectional_per_chip"] / 2, "ICI"
    elif "neuronlink" in kept:
        speed, text = kept.get("p2p_gb_s_per_direction"), f"NeuronLink {kept['neuronlink']}"
    elif "infinity_fabric" in kept:
        text = f"Infinity Fabric {kept['infinity_fabric']}"
    elif "chip_to_chip_gb_s" in kept:
        text = f"chip to chip {kept['chip_to_chip_gb_s']} GB/s"
    pcie = str(kept.get("pcie", ""))
    return {
        "link": text,
        "link_bytes_per_second": speed * _G if speed else None,
        "has_nvlink": nvlink if entry["vendor"] == "NVIDIA" else False,
        "pcie_generation": int(pcie[3]) if pcie.startswith("gen") else None,
        "fabric_devices": kept.get("nvlink_domain_gpus"),
        "devices_per_node": kept.get("gpus_per_node"),
    }


class _Names:
    """Where each name leads: ``labels`` mean exactly the accelerators listed, ``others`` may mean more of their family."""

    def __init__(self) -> None:
        self.labels: dict[str, list[int]] = {}
        self.others: dict[str, list[int]] = {}
        self.recalled: list[str] = []

    def add(self, entry: dict[str, Any], index: int) -> None:
        name = entry["name"]
        for label in (name, *_FOUND_SINCE.get(name, ())):
            _append(self.labels, accelerator_names.key(label), index)
        for short in (name, *_SHORT_SINCE.get(name, ())):
            _append(self.others, accelerator_names.squashed(short), index)
        marks = entry.get("recalled_fields", ())
        for kind, aliases in entry.get("aliases", {}).items():
            for alias in aliases:
                whole = _recalled(entry, f"aliases.{kind}") or kind in marks
                if whole or f"aliases ({alias})" in marks or f'"{alias}" (recalled)' in entry.get("note", ""):
                    self.recalled.append(f"{name}: {alias}")
                elif kind == "other":
                    _append(self.others, accelerator_names.squashed(alias.partition(": ")[2] or alias), index)
                else:
                    _append(self.labels, accelerator_names.key(alias), index)


def _append(table: dict[str, list[int]], key: str, index: int) -> None:
    if index not in table.setdefault(key, []):
        table[key].append(index)


def _accelerator(entry: dict[str, Any]) -> dict[str, Any]:
    """The shipped fields of one entry, its sources still as texts."""
    name = entry["name"]
    per_unit = _DEVICES_PER_UNIT.get(name, 1)
    notes: list[str] = [entry["note"]] if entry.get("note") and "recalled" not in entry["note"] else []
    visible, measured = _visible(entry, per_unit, notes)
    peaks, highest = _peaks(entry, per_unit, notes)
    size = None if name in _DISPUTED_MEMORY else entry.get("memory_gb")
    if name in _DISPUTED_MEMORY:
        notes.append("memory disputed between sources: withheld")
    speed = entry.get("memory_bandwidth_gb_s")
    if speed is not None and _recalled(entry, "memory_bandwidth_gb_s"):
        speed = None
        notes.append("memory bandwidth recalled, unverified: withheld")
    capability = entry.get("compute_capability")
    if capability and _recalled(entry, "compute_capability"):
        capability = None
        notes.append("compute capability recalled, unverified: withheld")
    if per_unit > 1:
        notes.append(f"one of {per_unit} devices of a package; values are per device")
    said = {
        *accelerator_names.words(name),
        str(entry.get("memory_type", "")).lower().split(" ")[0],
        f"{size:g}gb" if size else "",
    }
    link = _link(entry, notes)
    return {
        "name": name,
        "vendor": entry["vendor"],
        "architecture": entry["architecture"],
        "memory_gb": size / per_unit if size else None,
        "memory_type": entry.get("memory_type", ""),
        "visible_bytes": visible,
        "visible_measured": measured,
        "bandwidth_bytes_per_second": speed * _G / per_unit if speed else None,
        "peak_flops": peaks,
        "peak_flops_highest": highest,
        "compute_capability": [int(part) for part in capability.split(".")] if capability else None,
        **link,
        "devices_per_unit": per_unit,
        "notes": notes,
        "core": sorted(accelerator_names.core_words(name)),
        "words": sorted(said - {""}),
        "sources": {
            field: [_source(text) for text in (source if isinstance(source, list) else [source])]
            for field, source in entry["source"].items()
        },
    }


def every_accelerator(facts: dict[str, Any]) -> list[dict[str, Any]]:
    """The entries of the facts, what is settled put right, and those of ``accelerators.jsonl`` each behind the one it names."""
    entries = []
    for entry in facts["accelerators"]:
        settled = _SETTLED.get(entry["name"], {})
        entries.append({**entry, **settled, "source": {**entry["source"], **settled.get("source", {})}})
    for line in Path(__file__).with_name("accelerators.jsonl").read_text().splitlines():
        entry = json.loads(line)
        before = [each["name"] for each in entries].index(entry.pop("after"))
        entries.insert(before + 1, entry)
    return entries


def accelerators(facts: dict[str, Any], report: dict[str, Any]) -> bytes:
    """The shipped table: entries, where each label and other name leads, and the sources, each text once."""
    names = _Names()
    texts: dict[str, int] = {}
    shipped = []
    recalled = []
    for index, entry in enumerate(every_accelerator(facts)):
        names.add(entry, index)
        made = _accelerator(entry)
        for field, sources in made["sources"].items():
            made["sources"][field] = [texts.setdefault(text, len(texts)) for text in sources]
        shipped.append(made)
        recalled += [
            f"{entry['name']}: {mark}"
            for mark in entry.get("recalled_fields", ())
            if "aliases" not in mark and mark not in {"device_names", "tdp_w"}
        ]
    report["accelerators"] = {
        "shipped": len(shipped),
        "recalled fields": recalled,
        "recalled aliases": names.recalled,
        "disputed": sorted({*_DISPUTED_PEAKS, *_DISPUTED_MEMORY}),
    }
    head = {"sources": list(texts), "labels": dict(sorted(names.labels.items())), "others": dict(sorted(names.others.items()))}
    lines = ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in shipped)
    return f'{json.dumps(head, separators=(",", ":"))[:-1]},\n"accelerators":[\n{lines}\n]}}\n'.encode("ascii")


def more_instances() -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(__file__).with_name("instances.jsonl").read_text().splitlines()]


def part_of(entry: dict[str, Any]) -> str:
    """The accelerator of an instance type, by its name in the catalogue."""
    name: str = entry["accelerator"]
    return _PARTS.get(name, name)


def instances(facts: dict[str, Any], report: dict[str, Any]) -> bytes:
    """One line per instance type. Recalled fields are left out. ``instances.jsonl`` beside this adds what the facts lack."""
    lines = []
    withheld = 0
    for entry in [*facts["instances"], *more_instances()]:
        recalled = set(entry.get("recalled_fields", ()))
        withheld += len(recalled)
        memory = entry.get("memory_mib")
        if memory is None and "memory_gib" in entry and "memory_gib" not in recalled:
            memory = entry["memory_gib"] * 1024
        price = entry.get("on_demand_usd_per_hour") or {}
        note = ""
        if price:
            approximate = ", approximate" if price.get("approximate") else ""
            where = "" if price["region"] == "any" else f"{price['region']}, "
            note = f"on demand, {where}{price['date']}{approximate}"
        sources = [entry["source"]]
        if entry["source"] == "price list only":
            sources = []
        sources += [price["source"]] if price.get("source") else []
        sources += [entry["network_source"]] if entry.get("network_source") else []
        fraction = "fraction of" in entry.get("note", "")
        record = {
            "name": entry["type"],
            "cloud": entry["cloud"],
            "accelerator": part_of(entry),
            # The source counts 1 for a share of a device: how many a pod can ask for is then not known.
            "count": None if fraction and entry["accelerator_count"] else entry["accelerator_count"],
            "vcpus": None if "vcpus" in recalled else entry.get("vcpus"),
            "memory_mib": memory,
            "network_gbps": None if "network_gbps" in recalled else entry.get("network_gbps"),
            "local_nvme_gb": entry.get("local_nvme_gb"),
            "usd_per_hour": price.get("value"),
            "price_note": note,
            "note": entry.get("note", ""),
            "source": "; ".join(sources),
        }
        lines.append((entry["type"].lower(), json.dumps(record, separators=(",", ":"))))
    report["instances"] = {"shipped": len(lines), "recalled fields withheld": withheld}
    return "".join([" cloud instance types\n", *(f"{key}\t{record}\n" for key, record in sorted(lines))]).encode("ascii")
