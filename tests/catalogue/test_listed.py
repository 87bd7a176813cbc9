"""Ids that a list of the hub gives, and that a count confirmed."""

from __future__ import annotations

import json

import pytest

from servelint.capacity.model_length import derived_length
from servelint.capacity.weights import text_parameters
from servelint.catalogue import data_files, listed, models, named
from servelint.facts import UnknownFact


def lines() -> list[str]:
    return data_files.contents(listed.FILE).decode("ascii").split("\n")[1:-1]


@pytest.mark.parametrize("text", ["speakleash/Bielik-11B-v2.3-Instruct", " SPEAKLEASH/bielik-11b-v2.3-instruct\n"])
def test_a_shape_of_its_own(text: str) -> None:
    entry = models.entry(text)
    assert entry is not None
    assert entry.id == "speakleash/Bielik-11B-v2.3-Instruct"
    assert entry.completeness == "partial"
    assert entry.check == "confirmed: the hub's total is the count"
    assert entry.sources["config"].startswith("AlexsJones/llmfit")
    one = entry.architecture
    assert one is not None
    assert text_parameters(one) == one.parameters
    assert (one.layers, one.kv_heads, one.quantization, one.quantization_unknown, one.by_name) == (50, 8, None, False, False)
    assert "llmfit" in one.origin


def test_the_shape_of_an_entry() -> None:
    entry = models.entry("huihui-ai/Qwen3-8B-abliterated")
    assert entry is not None
    base = models.entry(entry.base)
    assert base is not None
    assert base.architecture is not None
    assert entry.architecture is not None
    assert entry.derivation == "shape"
    assert entry.architecture.config["hidden_size"] == base.architecture.config["hidden_size"]
    assert entry.architecture.id == entry.id


def test_a_total_of_a_copy_that_somebody_quantized_proves_no_quantization() -> None:
    """unsloth/DeepSeek-V3 has the total of DeepSeek's own files; what equals that of an AWQ copy is not taken for one."""
    own = models.exact("unsloth/DeepSeek-V3")
    assert own is not None
    assert own.quantization is not None
    assert own.quantization["quant_method"] == "fp8"
    assert own.quantization_inferred
    for line in lines():
        record = json.loads(line.partition("\t")[2])
        assert "q" not in record or named.ending(record["b"]) == "", record["id"]


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("unsloth/Llama-3.2-1B-Instruct", None),  # the list says 262144: 8192 × 32
        ("akjindal53244/Llama-3.1-Storm-8B", None),  # 1048576: 131072 × 8
        ("aisingapore/Gemma-SEA-LION-v4-4B-VL", None),  # the same, for Gemma 3
        ("LGAI-EXAONE/EXAONE-Deep-7.8B", None),  # 65536: 8192 × 8, and its configuration says 32768
        ("unsloth/Qwen2.5-VL-7B-Instruct", None),  # 32768: the sliding window of a model of 128000 tokens
        ("0xA50C1A1/Llama-3.3-70B-Instruct-SOM-MPOA", 131072),
        ("0arch-io/dolphin-v2-8b-abliterated", 40960),
        ("01-ai/Yi-1.5-34B-32K", 32768),
    ],
)
def test_a_context_that_may_be_a_product_is_not_told(text: str, length: int | None) -> None:
    one = models.exact(text)
    assert one is not None
    derived = derived_length(one, None)
    assert (None if derived is None else derived.tokens) == length


@pytest.mark.parametrize("text", ["farbodtavakkoli/OTel-LLM-8.3B-IT", "Xenova/bge-m3", "BAAI/bge-m3", "adept/persimmon-8b-chat"])
def test_an_estimate_of_the_collector_is_no_size(text: str) -> None:
    """The list says 6.97 billion of an 8.3B model: embeddings and layers × (4 × width² + 2 × width × inner)."""
    assert models.find(text) is None


@pytest.mark.parametrize("text", ["allenai/Olmo-3-32B-Think-DPO", "OpenGVLab/InternVL3_5-GPT-OSS-20B-A4B-Preview"])
def test_a_total_far_below_the_name_is_no_size(text: str) -> None:
    """The list has 1.05 million parameters for the first: one file of several."""
    assert models.exact(text) is None


def test_a_size_gives_way_to_the_shape_that_the_name_gives_with_that_size() -> None:
    entry = models.entry("google/gemma-3-4b-pt")
    assert entry is not None
    found, other = models.find("google/gemma-3-4b-pt"), models.find("google/gemma-3-4b-it")
    assert found is not None
    assert other is not None
    assert found.config["hidden_size"] == other.config["hidden_size"]


def test_every_line_is_told_once_and_can_be_read() -> None:
    keys = [line.partition("\t")[0] for line in lines()]
    assert keys == sorted(set(keys))
    assert not set(keys) & {name.lower() for name in models.names()}
    assert len(keys) > 4000
    for line in lines():
        key, _, text = line.partition("\t")
        record = json.loads(text)
        assert record["id"].lower() == key
        entry = models.entry(key)
        assert entry is not None, key
        assert entry.architecture is not None
        if "q" in record:  # its total counts packed words
            other = models.exact(record["b"])
            assert other is not None
            assert entry.architecture.quantization == other.quantization is not None
            assert entry.architecture.parameters == other.parameters
        else:
            assert entry.architecture.parameters == record["n"] > 1e6
        assert "n" in record
        if record.get("b"):
            assert models.exact(record["b"]) is not None


def test_counts_are_totals() -> None:
    """What was confirmed when the file was made still is, by the formulas of today."""
    counted = 0
    for line in lines():
        record = json.loads(line.partition("\t")[2])
        if "s" not in record:
            continue
        one = models.exact(record["id"])
        assert one is not None
        try:
            assert text_parameters(one) == one.parameters, record["id"]
        except UnknownFact as unknown:
            pytest.fail(f"{record['id']}: {unknown}")
        counted += 1
    assert counted > 1500


@pytest.mark.parametrize("text", ["nobody/nothing-here", "", "/", "a\tb/c", "speakleash"])
def test_unknown(text: str) -> None:
    assert models.entry(text) is None
