"""Unaccounted: what a command line does to the model or its memory that no estimate knows; it stops rules that rely on one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.facts import UnknownFact
from servelint_rules import guards

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.capacity.memory import MemoryBudget
    from servelint.case import PoolCase
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


def gpu_memory(case: PoolCase) -> MemoryBudget | None:
    """The pool's memory; None where no GPU is used. Raises :class:`UnknownFact` where it is shared out in ways not known here."""
    pool = case.pool
    if not all(guards.runs_on_gpus(container) for container in pool.containers):
        return None
    check_model(pool)
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


def check_accelerator(case: PoolCase) -> None:
    """Raises :class:`UnknownFact` where the pods ask for devices of another maker than the accelerator's."""
    resource, accelerator = case.pool.gpu_resource, case.accelerator
    makers = [maker for prefix, maker in _MAKERS.items() if resource.startswith(prefix)]
    if makers and accelerator.vendor not in makers:
        reason = f"the pods ask for {resource}, and {accelerator.name} is none"
        raise UnknownFact("accelerator.name", reason, "name the GPU type by a node selector")


def check_model(pool: Pool) -> None:
    """Raises :class:`UnknownFact` where the command line changes the shape of the model."""
    for argument in _arguments(pool):
        if argument.name in ("--hf-overrides", "--json-model-override-args") and not _is_harmless(argument):
            raise UnknownFact("model.architecture", f"{argument.name} changes the model's configuration")


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
