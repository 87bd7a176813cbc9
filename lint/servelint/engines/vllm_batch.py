"""vLLM's default batch limits: how many tokens and sequences one step may hold, by release and GPU.

Source: ``get_batch_defaults``, ``_set_default_max_num_seqs_and_batched_tokens_args`` and what they were before, in
vllm/engine/arg_utils.py of 0.8.0, 0.8.5.post1, 0.9.0, 0.10.2, 0.11.2, 0.12.0, 0.19.1, 0.20.2, 0.28.0, 0.32.0, 0.33.0.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from servelint.engines.defaults import is_missing, version_of
from servelint.engines.flags import flag_table
from servelint.engines.values import fact_name
from servelint.engines.versions import VLLM_V1, Version
from servelint.facts import Fact, FactState
from servelint.records import NamedTuple

if TYPE_CHECKING:
    from servelint.deployment import Pool
    from servelint.engines.command import Argument
    from servelint.facts import Origin

_GIB = 2**30
_V0_SEQUENCES = 256
_SPLIT_UNTIL, _SPLIT_BY_CHOICE_FROM = Version(0, 11, 0), Version(0, 18, 0)
_SHORTEST = 512  # tokens; no served model is shorter
_OTHER_PLATFORMS = frozenset(("cpu", "tpu", "neuron", "neuronx", "gaudi", "hpu", "xpu", "ascend", "spyre", "rbln"))
_GPU_RESOURCES = frozenset(("", "nvidia.com/gpu", "amd.com/gpu"))


class Device(NamedTuple):
    """What the defaults look at: total memory in bytes, and the lower-case name."""

    memory_bytes: float
    name: str


# One of each tier: what an unknown GPU may be.
_TIERS = (Device(200.0 * _GIB, ""), Device(80.0 * _GIB, ""), Device(24.0 * _GIB, ""))


class Defaults(NamedTuple):
    tokens: int
    sequences: int


def batch_defaults(release: Version, device: Device, *, batched_experts: bool = False) -> Defaults:
    """The API server's defaults on a GPU by the rules of one release from 0.8.0 on.

    Before 0.8.5: 8192 tokens by name (H100, H200), else 2048; 1024 sequences everywhere. From 0.8.5: 8192 and 1024 from 70 GiB
    on, else 2048 and 256. From 0.9.0 A100, by 0.33.0 GB10 count as small. From 0.28.0: 16384 from 160 GiB on.
    ``batched_experts``: expert parallelism over several DP ranks with a low-latency backend, 256 tokens by 0.20.2.
    """
    if release < Version(0, 8, 5):
        found = Defaults(8192 if "h100" in device.name or "h200" in device.name else 2048, 1024)
    elif release >= Version(0, 28, 0) and device.memory_bytes >= 160 * _GIB:
        found = Defaults(16384, 1024)
    else:
        large = device.memory_bytes >= 70 * _GIB
        if release >= Version(0, 9, 0) and "a100" in device.name:
            large = False
        if release >= Version(0, 33, 0) and "gb10" in device.name:
            large = False
        found = Defaults(8192, 1024) if large else Defaults(2048, 256)
    if batched_experts and release >= Version(0, 20, 2):
        return found._replace(tokens=256)
    return found


def batch_default(pool: Pool, field: str, origin: Origin) -> Fact[Any]:
    """The default of ``max_num_batched_tokens`` or ``max_num_seqs`` for a pool that does not state it.

    Several values where the release or the GPU leave a choice; unknown where they depend on what is not known.
    """
    name = fact_name(field)
    remedy = f"state --{field.replace('_', '-')}"
    version = version_of(pool)
    if version is not None and version < VLLM_V1:
        if field == "max_num_seqs":
            return Fact.known(name, _V0_SEQUENCES, origin)
        return Fact.unknown(name, f"vLLM {version} derives it from the model's length", remedy)
    devices = _devices(pool)
    if isinstance(devices, str):
        return Fact.unknown(name, devices, remedy)
    batched = _batched_experts(pool)
    found = _possible(version, devices, batched)
    if field == "max_num_seqs":
        values = _sequences(pool, [defaults.sequences for defaults in found])
    else:
        values = _tokens(pool, [defaults.tokens for defaults in found])
    if isinstance(values, str):
        return Fact.unknown(name, values, remedy)
    distinct = tuple(dict.fromkeys(values))
    if version is None:
        origin = origin._replace(text="default of vLLM from 0.8 on" + (", by version and GPU" if len(distinct) > 1 else ""))
    return Fact.either(name, distinct, origin)


@cache
def _possible(version: Version | None, devices: tuple[Device, ...], batched_experts: bool) -> tuple[Defaults, ...]:
    """The defaults of every release and GPU that it may be."""
    return tuple(
        batch_defaults(release, device, batched_experts=batched_experts) for release in _releases(version) for device in devices
    )


def _releases(version: Version | None) -> tuple[Version, ...]:
    """The scanned releases whose rules may hold, newest first."""
    scanned = flag_table("vllm").scanned
    if version is None:
        return tuple(release for release in reversed(scanned) if release >= VLLM_V1)
    if version >= scanned[-1]:
        return (scanned[-1],)
    below = max(release for release in scanned if release <= version)
    return (below,) if below == version else (min(release for release in scanned if release > version), below)


def _devices(pool: Pool) -> tuple[Device, ...] | str:
    """The GPUs the pool may run on, one of each tier where that is unknown; or why they do not settle the defaults."""
    for container in pool.containers:
        name = container.image.get("").rpartition("/")[2].lower()
        for word in "".join(c if "a" <= c <= "z" else " " for c in name).split():
            if word in _OTHER_PLATFORMS:
                return f"the defaults on {word} are its platform's own"
    if pool.gpu_resource not in _GPU_RESOURCES:
        return f"the defaults on {pool.gpu_resource} are its platform's own"
    if pool.accelerator.state is FactState.UNKNOWN:
        return _TIERS if pool.accelerator.place is None else pool.accelerator.reason
    found = []
    for accelerator in pool.accelerator.values:
        if accelerator.vendor.lower() not in {"nvidia", "amd"}:
            return f"the defaults on {accelerator.name} are its platform's own"
        if accelerator.visible_bytes is None:
            return f"the memory of {accelerator.name} is not known"
        found.append(Device(accelerator.visible_bytes.mid, accelerator.name.lower()))
    return tuple(found)


def _argument(pool: Pool, name: str) -> Argument | None:
    return next((a for c in pool.containers if c.command is not None and (a := c.command.last(name)) is not None), None)


def _batched_experts(pool: Pool) -> bool:
    """``ParallelConfig.use_batched_dp_moe`` (vllm/config/parallel.py)."""
    backend = _argument(pool, "--all2all-backend")
    low_latency = backend is not None and backend.value in {"deepep_low_latency", "nixl_ep"}
    return low_latency and pool.data.get(1) > 1 and pool.expert.get(1) > 1


def splits_always(version: Version | None) -> bool | None:
    """Whether a prompt may be split over steps whatever ``--enable-chunked-prefill`` says; None where that is open.

    V1 turned it on by itself (``_set_default_args_v1``, 0.9.0; ``_set_default_args``, 0.11.0); 0.18 and 0.27 leave it off and
    warn (``_set_default_chunked_prefill_and_prefix_caching_args``).
    """
    if version is None or _SPLIT_UNTIL < version < _SPLIT_BY_CHOICE_FROM:
        return None
    return VLLM_V1 <= version <= _SPLIT_UNTIL


def _doubled(pool: Pool) -> bool:
    """``--performance-mode throughput`` (since 0.17.1)."""
    mode = _argument(pool, "--performance-mode")
    return mode is not None and mode.value == "throughput"


def _sequences(pool: Pool, values: list[int]) -> list[int] | str:
    """At most as many sequences as tokens, where these are stated."""
    if _doubled(pool):
        values = [2 * value for value in values]
    tokens = pool.max_num_batched_tokens
    if is_missing(pool, "max_num_batched_tokens"):
        return values
    if tokens.state is FactState.UNKNOWN:
        return f"it is at most max_num_batched_tokens, and {tokens.reason}"
    return [min(value, limit) for limit in tokens.values for value in values]


def _tokens(pool: Pool, values: list[int]) -> list[int] | str:
    """At least ``max_model_len`` without chunked prefill, at most ``max_num_seqs`` × ``max_model_len``."""
    if _doubled(pool):
        values = [2 * value for value in values]
    length = pool.max_model_len
    always = splits_always(version_of(pool))
    if not pool.chunked_prefill.get(True) and not always:
        if not length.is_known:
            return "without chunked prefill it is at least max_model_len, which is not known"
        values = [*(max(value, length.value) for value in values), *(values if always is None else ())]
    sequences = pool.max_num_seqs
    if sequences.is_known and length.is_known:
        return [min(value, sequences.value * length.value) for value in values]
    if sequences.is_known and sequences.value * _SHORTEST < max(values):
        return "it is at most max_num_seqs × max_model_len, which is not known"
    return values
