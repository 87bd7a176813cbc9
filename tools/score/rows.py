"""Measured start-ups: one JSON object per line → what an engine was told and what it said."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from servelint.catalogue import accelerators, models
from servelint.deployment import Pool
from servelint.engines.versions import Version
from servelint.estimate import Estimate
from servelint.facts import Fact, Origin, OriginKind

if TYPE_CHECKING:
    from servelint.catalogue.accelerators import Accelerator

GIB = float(1 << 30)
_ORIGIN = Origin(OriginKind.FILE, "measured start-up")


class Row(NamedTuple):
    """One start-up: ``told`` as facts of a pool, ``said`` as the row has it. ``skip``: why it cannot be scored, "" if it can.

    ``complete``: version, layout, device and utilization are all known, so that nothing but the estimate can be wrong.
    """

    id: str
    said: dict[str, Any]
    pool: Pool | None
    accelerator: Accelerator | None
    version: Version | None
    complete: bool
    skip: str

    @property
    def vote(self) -> tuple[object, ...]:
        """Rows with the same key are one measurement repeated."""
        said = self.said
        return said.get("model"), said.get("tp"), said.get("pp"), said.get("engine_version"), said.get("gpu")


def _version(text: str | None) -> Version | None:
    """None for nightlies and for builds from source, which setuptools calls 0.1.dev…"""
    if not text or text.startswith("0.1.dev"):
        return None
    return Version.parse(text.split(" ")[0])


def _accelerator(said: dict[str, Any]) -> tuple[Accelerator | None, bool]:
    """The device and whether it is certain which one it was."""
    name = str(said.get("gpu") or "").replace("NVIDIA ", "").replace("GeForce ", "").split(" (")[0]
    found = accelerators.find_all(name) if name else ()
    total = said.get("gpu_total_gib")
    if not found:
        return None, False
    if total:
        return found[0]._replace(visible_bytes=Estimate.exact(total * GIB)), True
    return found[0], len(found) == 1


def _row(said: dict[str, Any]) -> Row:
    identity = str(said.get("id"))
    architecture = models.find(str(said.get("model") or ""))
    accelerator, certain = _accelerator(said)
    version = _version(said.get("engine_version"))
    skip = ""
    if architecture is None:
        skip = "model not in the catalogue"
    elif accelerator is None:
        skip = "device not known"
    elif not said.get("tp"):
        skip = "layout not known"
    elif said.get("engine") != "vllm":
        skip = "engine is not vLLM"
    if skip:
        return Row(identity, said, None, accelerator, version, False, skip)
    values: dict[str, Any] = {
        "engine": "vllm",
        "version": version,
        "architecture": architecture,
        "tensor": said["tp"],
        "pipeline": said.get("pp") or 1,
        "data": said.get("dp") or 1,
        "dtype": str(said.get("dtype") or "auto").split(" ")[0],
        # The checkpoint says how it is quantized; only online quantization is the flag's doing.
        "quantization": said.get("quantization") if said.get("quantization") == "fp8" else None,
        "gpu_memory_utilization": said.get("gpu_memory_utilization"),
        "max_model_len": said.get("max_model_len"),
        "max_num_seqs": said.get("max_num_seqs"),
        "max_num_batched_tokens": said.get("max_num_batched_tokens"),
        "kv_cache_dtype": said.get("kv_cache_dtype"),
        "enforce_eager": said.get("enforce_eager"),
        "block_size": said.get("block_size"),
        "expert": (said["tp"] * (said.get("dp") or 1)) if said.get("ep") else 1,
    }
    facts = {name: Fact.known(name, value, _ORIGIN) for name, value in values.items() if value is not None}
    pool = Pool(name=identity, place=None, **facts)  # type: ignore[arg-type]
    complete = certain and version is not None and said.get("pp") is not None
    return Row(identity, said, pool, accelerator, version, complete, "")


def read(text: str) -> list[Row]:
    """The rows of a file that are to be scored (``score_use: yes`` where the field is there). Raises ``ValueError``."""
    result = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            said = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"line {number} is no JSON object: {error}") from None
        if said.get("score_use", "yes") == "yes":
            result.append(_row(said))
    return result
