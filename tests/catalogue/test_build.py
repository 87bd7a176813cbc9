"""The shipped data against the facts they are made from. Where those are not beside the project these tests are skipped."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from servelint.catalogue import accelerators, data_files, instances, models

ROOT = Path(__file__).parents[2]
FACTS = ROOT.parent / "shared" / "facts"
DATA = ROOT / "lint" / "servelint" / "catalogue" / "data"

pytestmark = pytest.mark.skipif(not FACTS.is_dir(), reason="the facts the catalogue is made from are not beside this checkout")


@pytest.fixture(scope="module")
def rows() -> dict[str, dict[str, Any]]:
    """The collected facts with the project's additions to them."""
    sys.path.insert(0, str(ROOT / "tools"))
    from catalogue_builder import additions

    lines = (FACTS / "models.jsonl").read_text().splitlines()
    return {row["id"]: row for row in additions.merged([json.loads(line) for line in lines])}


def test_additions_replace_nothing_without_a_reason() -> None:
    collected = {row["id"]: row for row in map(json.loads, (FACTS / "models.jsonl").read_text().splitlines())}
    for own in map(json.loads, (ROOT / "tools/catalogue_builder/additions.jsonl").read_text().splitlines()):
        assert len(own["source"]) > 20, own["id"]
        assert bool(own.get("instead")) == bool(own.get("why")), own["id"]
        assert "add" not in own or own["id"] in collected


def test_committed_files_are_what_the_tool_makes() -> None:
    run = subprocess.run(
        [sys.executable, str(ROOT / "tools/build_catalogue.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout[-500:] + run.stderr
    assert sum(path.stat().st_size for path in DATA.iterdir()) < 2_500_000


def test_an_addition_that_does_not_add_up_is_found(rows: dict[str, dict[str, Any]]) -> None:
    from catalogue_builder import checked

    shape = {"model_type": "llama", "num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2,
             "intermediate_size": 128, "vocab_size": 100, "tie_word_embeddings": True}  # fmt: skip
    count = 2 * (64 * 64 * 2 + 2 * 2 * 16 * 64 + 3 * 64 * 128 + 2 * 64) + 100 * 64 + 64
    record = {"id": "a/b", "completeness": "partial", "config": shape, "parameters": count}
    assert checked.faults({"a/b": record}, ["a/b"]) == []
    assert checked.faults({"a/b": {**record, "parameters": count * 1.04, "rounded": True}}, ["a/b"]) == []
    assert checked.faults({"a/b": {**record, "parameters": count * 1.04}}, ["a/b"])[0].startswith("a/b: its tensors count")


def test_every_model_is_there(rows: dict[str, dict[str, Any]]) -> None:
    assert {row.lower() for row in rows} <= {name.lower() for name in models.names()}


def test_no_absent_field_is_shipped(rows: dict[str, dict[str, Any]]) -> None:
    """What an entry has that its row does not state: from its whole config.json, or another name of a stated field."""
    other_names = {
        "num_key_value_heads",
        "layer_types",
        "quantization_config",
        "num_experts_per_tok",
        "intermediate_size",
        "vocab_size",
    }
    for row in rows.values():
        entry = models.entry(row["id"])
        assert entry is not None
        if entry.architecture is None or row["completeness"] == "full" or row.get("config_file") or entry.id != row["id"]:
            continue
        if "layers" in entry.sources:
            continue  # as an entry of the same shape and total has them
        told = {"tie_word_embeddings"} & set(entry.sources)  # as the count of its shape says
        assert set(entry.architecture.config) - set(row) - told <= other_names, row["id"]


def test_stated_fields_are_shipped_unchanged(rows: dict[str, dict[str, Any]]) -> None:
    for row in rows.values():
        entry = models.entry(row["id"])
        assert entry is not None
        if entry.completeness in {"withheld", "size-only"} or entry.id != row["id"]:
            continue
        assert entry.architecture is not None
        for field in (
            "num_hidden_layers",
            "hidden_size",
            "num_attention_heads",
            "num_key_value_heads",
            "vocab_size",
            "intermediate_size",
        ):
            if row.get(field) is not None:
                assert entry.architecture.config[field] == row[field], (row["id"], field)


def test_recalled_models_are_not_facts(rows: dict[str, dict[str, Any]]) -> None:
    recalled = [row for row in rows.values() if row.get("derivation") == "recalled" or "recalled" in row["source"]]
    for row in recalled:
        entry = models.entry(row["id"])
        assert entry is not None
        assert entry.completeness == "withheld"
    text = data_files.contents("models.records").decode()
    assert text.count("recalled") == text.count("is recalled, unverified") == len(recalled)


def test_sizes_agree_with_exact_published_totals(rows: dict[str, dict[str, Any]]) -> None:
    """Within 1 %, or explained: an extra layer or copy in the total, packed words, or a settled disagreement."""
    compared = 0
    for row in rows.values():
        entry = models.entry(row["id"])
        assert entry is not None
        hub = row.get("params_hf") or {}
        if entry.architecture is None or entry.architecture.parameters is None or not hub.get("value") or entry.id != row["id"]:
            continue
        if hub["rounded"] or "hub_packed" in entry.figures or entry.check.startswith("settled"):
            continue
        size = entry.architecture.parameters
        extra = entry.figures.get("mtp", 0)
        copy = (row.get("vocab_size") or 0) * (row.get("hidden_size") or 0) if row.get("tie_word_embeddings") is not False else 0
        assert any(abs(size + more - hub["value"]) <= 0.01 * hub["value"] for more in (0, extra, copy)), row["id"]
        compared += 1
    assert compared > 250


def every_accelerator() -> list[dict[str, Any]]:
    sys.path.insert(0, str(ROOT / "tools"))
    from catalogue_builder import hardware

    return hardware.every_accelerator(yaml.safe_load((FACTS / "accelerators.yaml").read_text()))


def test_added_accelerators_are_no_facts_and_say_where_each_field_was_read() -> None:
    known = {entry["name"] for entry in yaml.safe_load((FACTS / "accelerators.yaml").read_text())["accelerators"]}
    added = [entry for entry in every_accelerator() if entry["name"] not in known]
    assert len(added) == len(every_accelerator()) - len(known) == 21
    fields = {"memory_gb": "memory", "memory_bandwidth_gb_s": "bandwidth", "compute_capability": "compute_capability"}
    for entry in added:
        said = [source for field, source in fields.items() if entry.get(field) is not None]
        said += ["tflops"] if entry["dense_peak_tflops"] else []
        said += ["interconnect"] if entry["interconnect"] else []
        assert "all" in entry["source"] or entry["source"].keys() >= set(said), entry["name"]


def test_recalled_fields_of_accelerators_are_null_with_a_note() -> None:
    entries = every_accelerator()
    assert [entry["name"] for entry in entries] == accelerators.names()
    checked = 0
    for entry in entries:
        one = accelerators.find(entry["name"])
        assert one is not None
        for mark in entry.get("recalled_fields", ()):
            field, _, part = mark.partition(".")
            notes = " ".join(one.notes)
            if field == "memory_bandwidth_gb_s":
                assert one.bandwidth_bytes_per_second is None
                assert "bandwidth recalled" in notes
            elif field == "dense_peak_tflops":
                assert part not in one.peak_flops if part else not one.peak_flops
                assert "peak recalled" in notes
            elif field == "torch_visible_total_gib" and "visible memory: " in notes:
                assert "@" in notes.partition("visible memory: ")[2], "found since, and says where"
            elif field == "torch_visible_total_gib":
                assert not one.visible_measured or part == "range"
                assert "visible memory recalled" in notes
            elif field == "compute_capability":
                assert one.compute_capability is None
            elif field == "interconnect":
                assert one.link_bytes_per_second is None
                assert one.has_nvlink in {None, False}
            else:
                assert field in {"tdp_w", "aliases", "aliases (NVIDIA-A100-80GB-PCIe)", "device_names"}
            checked += 1
    assert checked > 50


def test_shipped_values_of_accelerators_are_the_facts() -> None:
    for entry in every_accelerator():
        one = accelerators.find(entry["name"])
        assert one is not None
        units = one.devices_per_unit
        if one.bandwidth_bytes_per_second is not None:
            assert one.bandwidth_bytes_per_second * units == pytest.approx(entry["memory_bandwidth_gb_s"] * 1e9)
        for dtype, value in one.peak_flops.items():
            assert value * units == pytest.approx(entry["dense_peak_tflops"][dtype] * 1e12)
        reading = entry.get("torch_visible_total_gib")
        if one.visible_measured:
            assert reading is not None
            assert one.memory().mid == pytest.approx(reading["value"] * 2**30)
        elif reading:  # a recalled or analogous figure must lie within what is derived
            assert one.memory().low <= reading["value"] * 2**30 <= one.memory().high


def test_every_sourced_name_of_an_accelerator_finds_it() -> None:
    missing = []
    for entry in every_accelerator():
        for alias in [alias for aliases in entry.get("aliases", {}).values() for alias in aliases]:
            found = accelerators.find_all(alias.partition(": ")[2] or alias)
            missing += [alias] if entry["name"] not in [one.name for one in found] else []
    assert missing == ["HL-325L"]  # recalled, and no words of the name


def test_recalled_fields_of_instances_are_null() -> None:
    sys.path.insert(0, str(ROOT / "tools"))
    from catalogue_builder import hardware

    entries = [*yaml.safe_load((FACTS / "instances.yaml").read_text())["instances"], *hardware.more_instances()]
    assert sorted((entry["type"] for entry in entries), key=str.lower) == instances.names()
    for entry in entries:
        found = instances.find(entry["type"])
        assert found is not None
        if "recalled_fields" in entry:
            assert found.vcpus is found.memory_mib is found.network_gbps is None
        else:
            assert found.vcpus == entry.get("vcpus")
            assert found.network_gbps == entry.get("network_gbps")
        assert found.usd_per_hour == (entry.get("on_demand_usd_per_hour") or {}).get("value")
        assert found.accelerator == hardware.part_of(entry)


def test_class_defaults_agree_with_the_facts(rows: dict[str, dict[str, Any]]) -> None:
    """The facts took some class defaults from an earlier release, by instantiating the classes."""
    compared = 0
    for row in rows.values():
        line = data_files.line_of("class_defaults.records", row.get("text_model_type") or row.get("model_type") or "")
        for field, value in (row.get("class_defaults") or {}).get("values", {}).items():
            constant = json.loads(line).get(field) if line else None
            if constant is not None and row["model_type"] not in {"gpt2", "mpt"}:  # those read the field's old name
                assert constant == value, (row["id"], field)
                compared += 1
    assert compared > 8


def test_packed_configurations_expand_to_the_originals(rows: dict[str, dict[str, Any]]) -> None:
    compared = 0
    for row in rows.values():
        if not row.get("config_file"):
            continue
        raw = json.loads((FACTS / row["config_file"]).read_text())
        entry = models.entry(row["id"])
        assert entry is not None
        assert entry.architecture is not None
        for field in ("modules_to_not_convert", "ignore", "exclude_modules", "quantized_layers"):
            original = (raw.get("quantization_config") or {}).get(field)
            if original:
                shipped = (entry.architecture.quantization or {})[field]
                assert shipped == original if isinstance(original, dict) else sorted(shipped) == sorted(original)
                compared += 1
    assert compared > 25
