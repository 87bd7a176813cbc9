"""A checkpoint's own files: ``config.json`` from a path, from a local Hugging Face cache, or given inline.

This is the one part of the catalogue that reads files other than its own.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from servelint.catalogue import config_json, data_files
from servelint.catalogue.architecture import Architecture

if TYPE_CHECKING:
    from collections.abc import Mapping

_LARGEST_BYTES = 64 * 2**20
# Tokenizers without a limit write 1e30 (transformers, VERY_LARGE_INTEGER).
_NO_LIMIT = 10**9


def from_config(config: Mapping[str, Any], model_id: str, origin: str, *, whole: bool = False) -> Architecture:
    """The architecture that the fields of a ``config.json`` describe; nested multimodal configurations are understood.

    ``whole``: ``config`` is a complete file, so that an absent field means the transformers class's default and an absent
    ``quantization_config`` an unquantized checkpoint. Check hand-written fields with :func:`problem` first.
    """
    fields, vision = config_json.flatten(config)
    return Architecture(
        id=model_id,
        config=fields,
        class_defaults=_class_defaults(fields) if whole else {},
        parameters=None,
        origin=origin,
        vision=vision,
        quantization_unknown=not whole and "quantization_config" not in fields,
    )


def problem(config: object) -> str | None:
    """What makes ``config`` no usable ``config.json``, in one clause ("hidden_size is '4k'; it must be …"); None if nothing."""
    return config_json.problem(config)


def from_file(path: str, model_id: str) -> Architecture | str:
    """The architecture in the ``config.json`` at ``path``, or in the directory ``path``; or one sentence saying what is wrong.

    Files of the checkpoint beside it are read too: the weights' size, the tokenizer's limit, ``hf_quant_config.json``.
    """
    file = os.path.join(path, "config.json") if os.path.isdir(path) else path
    config = _object(file)
    if isinstance(config, str):
        return f"{file}: {config}: give the config.json of {model_id}"
    wrong = config_json.problem(config)
    if wrong is not None:
        return f"{file}: {wrong}: give the config.json of {model_id}"
    return _with_siblings(config, os.path.dirname(file), model_id, f"config.json at {file}")


def from_hf_cache(cache: str, model_id: str) -> Architecture | None:
    """The architecture of ``model_id`` from a local Hugging Face cache (``HF_HOME``, or its ``hub``); None if it is not there.

    The revision is that of ``refs/main``, else the first snapshot in order of name that has a ``config.json``.
    """
    folder = f"models--{model_id.replace('/', '--')}"
    if any(part in {"", ".", ".."} for part in model_id.split("/")) or "\0" in model_id or "\\" in model_id:
        return None
    for hub in (cache, os.path.join(cache, "hub")):
        repository = _directory(hub, folder)
        if repository is None:
            continue
        for revision in _revisions(repository):
            snapshot = os.path.join(repository, "snapshots", revision)
            config = _object(os.path.join(snapshot, "config.json"))
            if not isinstance(config, str) and config_json.problem(config) is None:
                return _with_siblings(config, snapshot, model_id, f"config.json of {model_id}@{revision[:12]} in {hub}")
    return None


def _directory(parent: str, name: str) -> str | None:
    """``parent/name``, else the one entry of that name in another case (the hub takes them for one)."""
    exact = os.path.join(parent, name)
    if os.path.isdir(exact):
        return exact
    try:
        found = sorted(entry for entry in os.listdir(parent) if entry.lower() == name.lower())
    except OSError:
        return None
    return os.path.join(parent, found[0]) if found else None


def _revisions(repository: str) -> list[str]:
    """Revisions to try, in order."""
    try:
        known = sorted(os.listdir(os.path.join(repository, "snapshots")))
    except OSError:
        return []
    try:
        with open(os.path.join(repository, "refs", "main"), encoding="ascii") as file:
            main = file.read(128).strip()
    except (OSError, ValueError):
        return known
    return [main, *(revision for revision in known if revision != main)] if main in known else known


def _object(path: str) -> dict[str, Any] | str:
    """The JSON object in a file, or what is wrong with the file in one clause."""
    try:
        with open(path, "rb") as file:
            data = file.read(_LARGEST_BYTES + 1)
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or "cannot be read"
    if len(data) > _LARGEST_BYTES:
        return "larger than any config.json"
    try:
        value = json.loads(data)
    except json.JSONDecodeError as error:
        return f"no JSON at line {error.lineno}, column {error.colno} ({error.msg})"
    except UnicodeDecodeError:
        return "not UTF-8 text"
    except RecursionError:
        return "nested too deeply"
    except ValueError:  # Python reads no integer of more than some thousand digits
        return "no config.json: a number in it has thousands of digits"
    return value if isinstance(value, dict) else config_json.problem(value) or "not an object"


def _with_siblings(config: dict[str, Any], directory: str, model_id: str, origin: str) -> Architecture:
    """The architecture, with what the checkpoint's other files add."""
    quantization = _sibling(directory, "hf_quant_config.json").get("quantization")
    if isinstance(quantization, dict) and not _is_quantized(config):
        # vLLM takes it as the configuration (vllm/transformers_utils/config.py, get_config).
        config = {**config, "quantization_config": {"quant_method": "modelopt", **quantization}}
    metadata = _sibling(directory, "model.safetensors.index.json").get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    limit = _whole(_sibling(directory, "tokenizer_config.json").get("model_max_length"))
    parameters = _whole(metadata.get("total_parameters"))
    return from_config(config, model_id, origin, whole=True)._replace(
        parameters=float(parameters) if parameters else None,
        checkpoint_bytes=_whole(metadata.get("total_size")) or _weights_size(directory),
        tokenizer_max_length=limit if limit is not None and limit < _NO_LIMIT else None,
    )


def _is_quantized(config: Mapping[str, Any]) -> bool:
    part = config_json.text_part(config) or {}
    return bool(config.get("quantization_config") or part.get("quantization_config"))


def _sibling(directory: str, name: str) -> dict[str, Any]:
    value = _object(os.path.join(directory, name))
    return {} if isinstance(value, str) else value


def _whole(value: object) -> int | None:
    """``value`` if it is a positive whole number (JSON writers differ in ``1`` and ``1.0``)."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        return None
    return int(value) if isinstance(value, int) or value.is_integer() else None


def _weights_size(directory: str) -> int | None:
    """The size of the only weight file of a checkpoint without an index. Its header, some kilobytes, is counted too."""
    try:
        return os.path.getsize(os.path.join(directory, "model.safetensors"))
    except OSError:
        return None


def _class_defaults(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What the transformers class of this model type fills in for the fields that a whole ``config.json`` leaves out."""
    line = data_files.line_of("class_defaults.records", str(fields.get("text_model_type") or fields.get("model_type") or ""))
    if line is None:
        return {}
    defaults = {name: value for name, value in json.loads(line).items() if name not in fields}
    if fields.get("kv_lora_rank"):
        defaults.pop("head_dim", None)  # for MLA the class calls its rope part so
    return defaults
