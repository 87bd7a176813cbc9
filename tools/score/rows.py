"""Measured start-ups: one JSON object per line → what an engine was told and what it said."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from servelint.catalogue import accelerators, models, named
from servelint.deployment import Container, Pool
from servelint.engines.versions import Version
from servelint.estimate import Estimate
from servelint.facts import Fact, Origin, OriginKind

if TYPE_CHECKING:
    from servelint.catalogue.accelerators import Accelerator
    from servelint.catalogue.architecture import Architecture

GIB = float(1 << 30)
_ORIGIN = Origin(OriginKind.FILE, "measured start-up")
_CONTEXT = re.compile(r"decode-context-parallel-size[ =](\d+)")
_FRACTION = re.compile(r"mem-fraction-static[ =]([\d.]+)")
_ATTENTION_RANKS = re.compile(r"\bdp-size[ =](\d+)")  # SGLang's, under --enable-dp-attention
_POOL_BYTES = re.compile(r"kv-cache-memory-bytes[ =](\d+)\s*GiB")
_COUNTED = re.compile(r"^\d+\s*x\s+")
_SPECULATION = re.compile(r"\b(mtp|eagle|dspark|dflash|speculative)\b", re.IGNORECASE)
_WITHOUT_TOWER = re.compile(r"language-model-only|skip-mm-profiling|no vision", re.IGNORECASE)  # what a pool has no fact for
ONLINE = frozenset({"fp8", "bitsandbytes"})
_SAY_WEIGHTS = frozenset({"vllm", "sglang"})
_ENGINES = frozenset({"vllm", "sglang", "trtllm", "tgi"})


class Row(NamedTuple):
    """One start-up: ``pool`` and ``accelerator`` as it was told, ``said`` as the row has it.

    ``skip``: why nothing of it can be scored, "" if something can. ``complete``: model, version, layout, device and utilization
    are stated and the row agrees with itself, so that nothing but the estimate can be wrong; ``loaded``: model and layout are,
    which is what the weights depend on. ``doubt``: why it is not complete.
    """

    id: str
    said: dict[str, Any]
    pool: Pool | None
    accelerator: Accelerator | None
    version: Version | None
    complete: bool
    loaded: bool
    doubt: str
    skip: str

    @property
    def model(self) -> str:
        return str(self.said.get("model"))

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


def _architecture(name: str) -> tuple[Architecture | None, bool]:
    """What the name stands for, and whether it is an id that stands for nothing else."""
    text, _, rest = name.partition(" (")
    remark = rest.partition(")")[0]
    if remark.lower() not in {"", "fp16", "bf16"} and "/" not in remark:
        return None, False  # a remark may say that it is another checkpoint
    if (found := models.find(text)) is not None:
        return found, not remark
    for words in (text, remark):
        if words and " " not in words and (found := models.find(words) or named.derive(words, models.exact)) is not None:
            return found, False
    return None, False


def _accelerator(said: dict[str, Any]) -> tuple[Accelerator | None, bool]:
    """The device and whether it is certain which one it was."""
    name = _COUNTED.sub("", str(said.get("gpu") or "")).replace("NVIDIA ", "").replace("GeForce ", "").split(" (")[0]
    found = accelerators.find_all(name) if name else ()
    total = said.get("gpu_total_gib")
    if not found and total:
        like = min(
            (
                a
                for n in accelerators.names()
                for a in accelerators.find_all(n)
                if a.visible_bytes is not None and a.vendor == "NVIDIA"
            ),
            key=lambda a: abs((a.visible_bytes or Estimate.exact(0.0)).mid - total * GIB),
        )
        return like._replace(visible_bytes=Estimate.exact(total * GIB)), False
    if not found:
        return None, False
    if total:
        return found[0]._replace(visible_bytes=Estimate.exact(total * GIB)), True
    sizes = {round(a.visible_bytes.mid / GIB) for a in found if a.visible_bytes is not None}
    return found[0], len(sizes) == 1


def _doubt(said: dict[str, Any], version: Version | None, certain: bool, named_exactly: bool) -> str:
    """What of the configuration is open, or contradicts itself; "" if nothing."""
    if not named_exactly:
        return "the model is not named by an id"
    if not certain:
        return "which device it was is open"
    if version is None:
        return "the version is open"
    if not said.get("pp"):
        return "the layout is open"
    if not share_of(said):
        return "the utilization is not stated"
    if _WITHOUT_TOWER.search(" ".join(map(str, said.get("other_flags") or ()))):
        return "its vision tower is left out"
    parts = [
        said.get(name) for name in ("weights_gib", "peak_activation_gib", "non_torch_gib", "available_kv_gib", "gpu_total_gib")
    ]
    if None not in parts and said.get("pp") == 1:
        weights, activation, outside, pool, total = (float(part or 0.0) for part in parts)
        if abs(said["gpu_memory_utilization"] * total - weights - activation - outside - pool) > 0.02 * total:
            return "its figures do not add up to the utilization it states"
    return ""


def image_tag(said: dict[str, Any]) -> str:
    """The tag of an image that stands for the version ("deepseek-v4-hopper image"); "" where a release does."""
    tag, _, word = str(said.get("engine_version") or "").partition(" ")
    return tag if word == "image" else ""


def share_of(said: dict[str, Any]) -> float | None:
    """The share of the memory that the engine was told: its own field, or SGLang's flag."""
    flag = _FRACTION.search(" ".join(map(str, said.get("other_flags") or ())))
    return said.get("gpu_memory_utilization") or (float(flag.group(1)) if flag else None)


def _told(said: dict[str, Any], architecture: Architecture, version: Version | None, accelerator: Accelerator | None) -> Pool:
    flags = " ".join(map(str, said.get("other_flags") or ()))
    ranks = _ATTENTION_RANKS.search(flags)
    context, bytes_ = _CONTEXT.search(flags), _POOL_BYTES.search(flags)
    longest = said.get("max_model_len") or (said.get("max_concurrency") or {}).get("tokens")
    values: dict[str, Any] = {
        "engine": said.get("engine"),
        "version": version,
        "model": said.get("model"),
        "architecture": architecture,
        "accelerator": accelerator if said.get("engine") != "vllm" else None,
        "tensor": said["tp"],
        "pipeline": said.get("pp") or 1,
        "data": said.get("dp") or 1,
        "attention_data": int(ranks.group(1)) if ranks and "enable-dp-attention" in flags else None,
        "decode_context": int(context.group(1)) if context else None,
        "dtype": str(said.get("dtype") or "auto").split(" ")[0],
        # The checkpoint says how it is quantized; only online quantization is the flag's doing.
        "quantization": said.get("quantization") if said.get("quantization") in ONLINE else None,
        "gpu_memory_utilization": share_of(said),
        "max_model_len": longest,
        "max_num_seqs": said.get("max_num_seqs"),
        "max_num_batched_tokens": said.get("max_num_batched_tokens"),
        "kv_cache_dtype": str(said["kv_cache_dtype"]).split(" ")[0] if said.get("kv_cache_dtype") else None,
        "kv_cache_memory_bytes": int(bytes_.group(1)) * int(GIB) if bytes_ else None,
        "enforce_eager": said.get("enforce_eager"),
        "block_size": said.get("block_size"),
        "expert": (said["tp"] * (said.get("dp") or 1)) if said.get("ep") else 1,
        "speculative": "mtp" if _SPECULATION.search(flags) else None,
    }
    facts = {name: Fact.known(name, value, _ORIGIN) for name, value in values.items() if value is not None}
    if tag := image_tag(said):  # an image that no release is named for
        image = Fact.known("image", f":{tag}", _ORIGIN)
        facts["containers"] = (Container("engine", None, None, str(said.get("engine")), image),)  # type: ignore[arg-type, assignment]
    return Pool(name=str(said.get("id")), place=None, **facts)  # type: ignore[arg-type]


def _row(said: dict[str, Any]) -> Row:
    identity = str(said.get("id"))
    architecture, named_exactly = _architecture(str(said.get("model") or ""))
    accelerator, certain = _accelerator(said)
    version = _version(said.get("engine_version"))
    skip = ""
    if architecture is None:
        skip = "model not in the catalogue"
    elif not said.get("tp"):
        skip = "layout not known"
    elif said.get("engine") not in _ENGINES:
        skip = f"engine {said.get('engine')} is not described"
    if skip or architecture is None:
        return Row(identity, said, None, accelerator, version, False, False, skip, skip)
    doubt = _doubt(said, version, certain, named_exactly)
    loaded = named_exactly and bool(said.get("pp")) and said.get("engine") in _SAY_WEIGHTS
    return Row(
        identity, said, _told(said, architecture, version, accelerator), accelerator, version, not doubt, loaded, doubt, ""
    )


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
