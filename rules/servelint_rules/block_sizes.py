"""LIM311: the KV cache's block against what the attention backend reads."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from servelint.finding import Certainty, Proposal, Related, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint_rules.changes import edits_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import ContainerCase
    from servelint.deployment import Container
    from servelint.facts import Place

# Of each backend the sizes of which a block must be a multiple of one: `get_supported_kernel_block_sizes` in
# vllm/v1/attention/backends of 0.33.0 (FLASH_ATTN, TRITON_ATTN, FLEX_ATTENTION and the MLA ones of them alike).
_SIZES = {
    "FLASHMLA": (64,),
    "FLASHMLA_SPARSE": (64,),
    "CUTLASS_MLA": (128,),
    "FLASHINFER_MLA": (32, 64),
    "TOKENSPEED_MLA": (32, 64),
    "FLASH_ATTN_MLA": (16,),
    "FLASH_ATTN": (16,),
    "TRITON_MLA": (16,),
    "TRITON_ATTN": (16,),
    "FLEX_ATTENTION": (16,),
    "HPC_ATTN": (64,),
}
# The first release read that refuses a block; 0.13.0 still gave each MLA backend the block it needs (vllm/platforms/cuda.py,
# `check_and_update_config` there and `get_valid_backends` here).
_REFUSED_FROM = (0, 19, 1)


@rule(
    "LIM311", "block-size-vs-backend", "KV cache block that the attention backend does not read",
    severity=Severity.WARNING, certainty=Certainty.HEURISTIC, scope=Scope.CONTAINER, since="0.1.0",
    engines=("vllm",), fixable=True, inputs=("image tag",),
)  # fmt: skip
def block_size_vs_backend(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A stated `--block-size` with an attention backend stated by `--attention-backend` or `VLLM_ATTENTION_BACKEND`: the block
    must be a multiple of a size that the backend's kernels read (FlashMLA 64, CUTLASS MLA 128, FlashInfer MLA 32 or 64, most
    others 16).

    ## Why it matters

    vLLM stops: "Selected backend … is not valid for this configuration. Reason: ['block_size not supported']".

    ## How to fix

    The block that the finding names, or none: vLLM then takes what the backend prefers.

    ## Certainty

    Heuristic: from the sizes of release 0.33. Releases up to 0.13 changed the block by themselves, and nothing is said of them.

    ## References

    - vLLM, `vllm/v1/attention/backend.py`, `supports_block_size`; `vllm/platforms/cuda.py`
    """
    pool, found = case.pool, _backend(case.container)
    version = pool.version.get(None)
    if found is None or not pool.block_size.is_stated or (version is not None and version < _REFUSED_FROM):
        return
    name, place = found
    sizes = _SIZES.get(name)
    block = pool.block_size.value
    where = pool.block_size.place
    if sizes is None or where is None or any(block % size == 0 for size in sizes):
        return
    wanted = sizes[-1]
    several = " or ".join(map(str, sizes))
    yield Verdict(
        where,
        f"{name} reads blocks of a multiple of {several} tokens, not of {block}",
        related=(Related(place, f"the backend {name}"),),
        proposals=(Proposal(f"--block-size={wanted}", False, partial(edits_of, pool.block_size, wanted)),),
    )


def _backend(container: Container) -> tuple[str, Place] | None:
    """The attention backend that is stated; None where none is, or it cannot be read."""
    command = container.command
    argument = command.last("--attention-backend") if command is not None else None
    if command is not None and argument is not None:
        known = argument.value is not None and not argument.value_is_unknown
        return ((argument.value or "").upper(), command.place_of(argument)) if known else None
    fact = container.variable("VLLM_ATTENTION_BACKEND")
    return (fact.value.upper(), fact.place) if fact is not None and fact.is_known and fact.place is not None else None
