"""Unaccounted: what a command line does to the model or its memory that no estimate knows; it stops rules that rely on one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.case import once
from servelint.facts import OriginKind, UnknownFact
from servelint_rules import guards

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.capacity.memory import MemoryBudget
    from servelint.case import PoolCase
    from servelint.catalogue.architecture import Architecture
    from servelint.deployment import Pool
    from servelint.engines.command import Argument

# Makers of the GPUs whose memory the engines' accounting is described for (vllm/v1/worker/gpu_worker.py and its like).
_DESCRIBED = frozenset(("NVIDIA", "AMD"))
# Makers by the prefix of the resource that pods ask for.
_MAKERS = {
    "nvidia.com/": "NVIDIA", "amd.com/": "AMD", "habana.ai/": "Intel", "gpu.intel.com/": "Intel", "google.com/": "Google",
    "aws.amazon.com/": "AWS", "huawei.com/": "Huawei",
}  # fmt: skip
# Fields of a model's configuration that change no tensor and no cache.
_HARMLESS = frozenset(
    (
        "rope_scaling",
        "rope_parameters",
        "rope_theta",
        "max_position_embeddings",
        "original_max_position_embeddings",
        "architectures",
    )
)
# Families of which some layers keep a state, and the fields that say which (transformers, their configuration classes).
_HYBRID = frozenset(
    ("qwen3_next", "qwen3_5", "qwen3_5_moe", "granitemoehybrid", "lfm2", "lfm2_moe", "olmo_hybrid", "plamo2", "mamba2")
)
_LAYER_FIELDS = (
    "layer_types", "layers_block_type", "layer_types_pattern", "layer_types_counts", "full_attention_interval", "full_attn_idxs",
)  # fmt: skip
# Bytes per parameter of a checkpoint, from which on it may be one of 16 bits: its parameters are counted as others count.
_SIXTEEN_BITS = 1.6


@once
def gpu_memory(case: PoolCase) -> MemoryBudget | None:
    """The pool's memory; None where no GPU is used. Raises :class:`UnknownFact` where it is shared out in ways not known here."""
    pool = case.pool
    if not guards.on_gpus(case):
        return None
    check_model(case)
    check_accelerator(case)
    if pool.containers:
        accelerator = case.accelerator
        if accelerator.vendor not in _DESCRIBED:
            reason = f"how an engine shares out the memory of {accelerator.name} is not described here"
            raise UnknownFact("memory accounting", reason)
        for argument in _arguments(pool):
            if argument.name.startswith(("--cpu-offload", "--offload-")) and argument.value not in ("0", "0.0"):
                reason = f"{argument.name} keeps a part of the weights outside of the GPU"
                raise UnknownFact("memory accounting", reason)
    return case.memory


@once
def check_accelerator(case: PoolCase) -> None:
    """Raises :class:`UnknownFact` where the pods ask for devices of another maker than the accelerator's, or for parts of one
    where only a default says which."""
    resource, accelerator = case.pool.gpu_resource, case.accelerator
    origin = case.pool.accelerator.origin
    if resource.startswith("nvidia.com/mig-") and origin is not None and origin.kind is OriginKind.CONFIG:
        reason = f"the pods ask for {resource}, a part of a GPU, and default_accelerator names a whole one"
        raise UnknownFact("accelerator.name", reason, "name the GPU type by a node selector")
    makers = [maker for prefix, maker in _MAKERS.items() if resource.startswith(prefix)]
    if makers and accelerator.vendor not in makers:
        reason = f"the pods ask for {resource}, and {accelerator.name} is none"
        raise UnknownFact("accelerator.name", reason, "name the GPU type by a node selector")


@once
def nvidia_capability(case: PoolCase) -> tuple[int, int] | None:
    """The compute capability of the NVIDIA GPU that runs the pool; None where the pool runs on something else."""
    if not guards.on_gpus(case):
        return None
    check_accelerator(case)
    return case.accelerator.compute_capability if case.accelerator.vendor == "NVIDIA" else None


@once
def check_model(case: PoolCase) -> None:
    """Raises :class:`UnknownFact` where the command line changes the shape of the model, or where what is known of the
    model does not say which layers it has or how its weights are stored."""
    pool = case.pool
    if pool.architecture.is_known:
        _check_layers(pool.architecture.value)
        _check_width(pool)
    for argument in _arguments(pool):
        if argument.name in ("--hf-overrides", "--json-model-override-args") and not _is_harmless(argument):
            raise UnknownFact("model.architecture", f"{argument.name} changes the model's configuration")


def _check_layers(architecture: Architecture) -> None:
    """A model of a hybrid family has layers that keep a state in place of tokens: which ones must be known."""
    family = str(architecture.field("text_model_type") or architecture.field("model_type") or "").removesuffix("_text")
    if family in _HYBRID and all(architecture.field(name) is None for name in _LAYER_FIELDS):
        remedy = f"give its config.json: --model-config {architecture.id}=PATH"
        reason = f"which layers of {architecture.id} ({family}) keep every token is not in the catalogue"
        raise UnknownFact("model.architecture.layer_types", reason, remedy)


def _check_width(pool: Pool) -> None:
    """The catalogue knows no quantization, but a checkpoint that is too small for 16 bits per parameter."""
    architecture = pool.architecture.value
    size, count = architecture.checkpoint_bytes, architecture.parameters
    stated = pool.quantization.is_known or pool.quantization.reason != "not stated"
    if not size or not count or stated or architecture.quantization is not None:
        return
    if architecture.config.get("hf_quant_config") is None and size < _SIXTEEN_BITS * count:
        bits = 8 * size / count
        reason = f"its checkpoint of {size / 1e9:.0f} GB has {bits:.1f} bits per parameter, and its quantization is not known"
        raise UnknownFact("model.quantization", reason, f"give its config.json: --model-config {architecture.id}=PATH")


def _is_harmless(argument: Argument) -> bool:
    if argument.key:
        return argument.key.partition(".")[0] in _HARMLESS
    import json  # lazy: few manifests override anything

    try:
        stated = json.loads(argument.value or "null")
    except ValueError:
        return False
    return isinstance(stated, dict) and set(stated) <= _HARMLESS


def _arguments(pool: Pool) -> Iterator[Argument]:
    for container in pool.containers:
        if container.command is not None:
            yield from container.command.arguments
