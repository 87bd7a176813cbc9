from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from servelint.catalogue import local_config
from servelint.catalogue.architecture import Architecture
from servelint.facts import UnknownFact

if TYPE_CHECKING:
    from pathlib import Path

MODEL = "org/Some-Model"
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "num_hidden_layers": 16,
    "hidden_size": 2048,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 8192,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
}


def write(directory: Path, name: str = "config.json", value: object = None) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / name
    path.write_text(json.dumps(CONFIG if value is None else value))
    return path


def read(path: Path) -> Architecture:
    found = local_config.from_file(str(path), MODEL)
    assert isinstance(found, Architecture), found
    return found


def test_from_file(tmp_path: Path) -> None:
    path = write(tmp_path)
    found = read(path)
    assert (found.id, found.layers, found.kv_heads, found.parameters) == (MODEL, 16, 8, None)
    assert str(path) in found.origin
    assert not found.quantization_unknown
    assert read(tmp_path) == found  # the directory stands for its config.json


def test_class_defaults_fill_what_a_whole_file_leaves_out(tmp_path: Path) -> None:
    gemma = {"architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3"}
    gemma["text_config"] = {"model_type": "gemma3_text", "hidden_size": 2560, "num_hidden_layers": 34, "sliding_window": 1024}  # type: ignore[assignment]
    found = read(write(tmp_path, value=gemma))
    assert (found.attention_heads, found.kv_heads, found.head_dim) == (8, 4, 256)
    assert found.field("tie_word_embeddings") is True
    assert "num_attention_heads" not in found.config


def test_stated_null_is_not_filled(tmp_path: Path) -> None:
    found = read(write(tmp_path, value={**CONFIG, "model_type": "mistral", "tie_word_embeddings": None}))
    assert found.field("tie_word_embeddings") is None


def test_mla_has_no_default_head_dim(tmp_path: Path) -> None:
    found = read(write(tmp_path, value={**CONFIG, "model_type": "deepseek_v3", "kv_lora_rank": 512}))
    assert "head_dim" not in found.class_defaults


def test_inline_fields_get_no_defaults() -> None:
    found = local_config.from_config({"model_type": "llama", "hidden_size": 4096}, MODEL, "the plan")
    assert found.class_defaults == {}
    assert found.quantization_unknown
    with pytest.raises(UnknownFact, match="num_hidden_layers"):
        found.layers  # noqa: B018 - reading it is the test


def test_files_beside_it(tmp_path: Path) -> None:
    write(tmp_path)
    write(tmp_path, "model.safetensors.index.json", {"metadata": {"total_size": 2471645608, "total_parameters": 1235814400}})
    write(tmp_path, "tokenizer_config.json", {"model_max_length": 131072})
    write(tmp_path, "hf_quant_config.json", {"quantization": {"quant_algo": "FP8", "exclude_modules": ["lm_head"]}})
    found = read(tmp_path)
    assert (found.checkpoint_bytes, found.parameters, found.tokenizer_max_length) == (2471645608, 1235814400, 131072)
    assert found.quantization == {"quant_method": "modelopt", "quant_algo": "FP8", "exclude_modules": ["lm_head"]}


def test_a_single_weight_file_is_its_size(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"x" * 1000)
    assert read(tmp_path).checkpoint_bytes == 1000


@pytest.mark.parametrize("limit", [1000000000000000019884624838656, 1e30, "long", None, True, -1])
def test_a_tokenizer_without_limit(tmp_path: Path, limit: object) -> None:
    write(tmp_path)
    write(tmp_path, "tokenizer_config.json", {"model_max_length": limit})
    assert read(tmp_path).tokenizer_max_length is None


@pytest.mark.parametrize("name", ["model.safetensors.index.json", "tokenizer_config.json", "hf_quant_config.json"])
@pytest.mark.parametrize("text", ["{", "[]", '{"metadata": 3, "quantization": "x", "model_max_length": []}'])
def test_broken_files_beside_it_say_nothing(tmp_path: Path, name: str, text: str) -> None:
    write(tmp_path)
    (tmp_path / name).write_text(text)
    found = read(tmp_path)
    assert (found.checkpoint_bytes, found.tokenizer_max_length, found.quantization) == (None, None, None)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "line 1, column 1"),
        (b'{\n "a": 1,\n}', "line 3"),
        (b"[1, 2]", "a list"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b'{"a": "\xff"}', "not UTF-8"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"a": 1}', "not a model's config.json"),
        (b'{"hidden_size": "4k", "num_hidden_layers": 2}', "hidden_size is '4k'"),
    ],
)
def test_bad_files_are_one_sentence(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(data)
    found = local_config.from_file(str(path), MODEL)
    assert isinstance(found, str)
    assert words in found
    assert str(path) in found
    assert MODEL in found
    assert "\n" not in found


@pytest.mark.parametrize("path", ["missing.json", "missing/config.json", "nul\0byte", ""])
def test_missing_files(tmp_path: Path, path: str) -> None:
    found = local_config.from_file(f"{tmp_path}/{path}" if path else "", MODEL)
    assert isinstance(found, str)


def snapshot(cache: Path, revision: str, model: str = MODEL, **changes: object) -> Path:
    directory = cache / f"models--{model.replace('/', '--')}" / "snapshots" / revision
    write(directory, value={**CONFIG, **changes})
    return directory


def ref(cache: Path, revision: str) -> None:
    directory = cache / f"models--{MODEL.replace('/', '--')}" / "refs"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "main").write_text(revision)


def test_cache_takes_the_revision_of_main(tmp_path: Path) -> None:
    snapshot(tmp_path, "aaa", num_hidden_layers=1)
    directory = snapshot(tmp_path, "bbb", num_hidden_layers=2)
    write(directory, "model.safetensors.index.json", {"metadata": {"total_size": 5}})
    ref(tmp_path, "bbb\n")
    found = local_config.from_hf_cache(str(tmp_path), MODEL)
    assert found is not None
    assert (found.layers, found.checkpoint_bytes) == (2, 5)
    assert "bbb" in found.origin


def test_cache_without_main_takes_the_first_with_a_config(tmp_path: Path) -> None:
    (tmp_path / "models--org--Some-Model" / "snapshots" / "aaa").mkdir(parents=True)
    snapshot(tmp_path, "bbb", num_hidden_layers=2)
    snapshot(tmp_path, "ccc", num_hidden_layers=3)
    found = local_config.from_hf_cache(str(tmp_path), MODEL)
    assert found is not None
    assert found.layers == 2


def test_cache_root_and_case(tmp_path: Path) -> None:
    snapshot(tmp_path / "hub", "aaa")
    assert local_config.from_hf_cache(str(tmp_path), MODEL.lower()) is not None
    assert local_config.from_hf_cache(str(tmp_path), "org/other") is None


@pytest.mark.parametrize("model", ["", "..", "../x", "a/../b", "/etc", "a//b", "a\0b", "a\\b", "."])
def test_ids_do_not_lead_out_of_the_cache(tmp_path: Path, model: str) -> None:
    write(tmp_path / "models--.." / "snapshots" / "aaa")
    write(tmp_path / "models--a--..--b" / "snapshots" / "aaa")
    assert local_config.from_hf_cache(str(tmp_path), model) is None


@pytest.mark.parametrize("content", [b"\xff\xff", b"../../../x", b""])
def test_a_broken_ref_is_ignored(tmp_path: Path, content: bytes) -> None:
    snapshot(tmp_path, "aaa")
    ref(tmp_path, "")
    (tmp_path / "models--org--Some-Model" / "refs" / "main").write_bytes(content)
    assert local_config.from_hf_cache(str(tmp_path), MODEL) is not None


def test_a_broken_snapshot_is_passed_over(tmp_path: Path) -> None:
    directory = snapshot(tmp_path, "aaa")
    (directory / "config.json").write_text("{")
    snapshot(tmp_path, "bbb", num_hidden_layers=2)
    found = local_config.from_hf_cache(str(tmp_path), MODEL)
    assert found is not None
    assert found.layers == 2


def test_a_number_that_python_does_not_read_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"hidden_size": ' + "9" * 10_000 + "}", encoding="utf-8")
    assert "a number in it has thousands of digits" in str(local_config.from_file(str(path), "org/model"))
