"""HWQ504, HWQ508: attention backends and KV-cache formats against the GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.finding import Certainty, Proposal, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint_rules.figures import dotted
from servelint_rules.places import place_of, related
from servelint_rules.unaccounted import nvidia_capability

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import PoolCase
    from servelint.facts import Place

# First and last major compute capability of backends that refuse others: `supports_compute_capability` of vLLM 0.33
# (vllm/v1/attention/backends), assertions of SGLang 0.5.9 to 0.5.23 (layers/attention/attention_registry.py,
# arg_groups/attention_hook.py).
_VLLM = {
    "FLASHMLA": (9, 10), "FLASHMLA_SPARSE": (9, 10), "CUTLASS_MLA": (10, 10), "FLASHINFER_MLA": (10, 10),
    "FLASH_ATTN_MLA": (9, 9),
}  # fmt: skip
_SGLANG = {"fa3": (8, 9), "trtllm_mha": (10, 10), "trtllm_mla": (10, 10), "cutlass_mla": (10, 10), "fa4": (10, 11)}
_FLAGS = ("--attention-backend", "--decode-attention-backend", "--prefill-attention-backend")


def _backends(case: PoolCase) -> Iterator[tuple[str, Place]]:
    """The attention backends that flags or vLLM's variable choose."""
    for container in case.pool.containers:
        command = container.command
        for flag in _FLAGS if command is not None else ():
            argument = command.last(flag) if command is not None else None
            if command is not None and argument is not None and argument.value and not argument.value_is_unknown:
                yield argument.value.strip(), command.place_of(argument)
        variable = container.environment.get("VLLM_ATTENTION_BACKEND")
        if variable is not None and variable.is_known and variable.place is not None:
            yield variable.value.strip(), variable.place


def _uses_latents(case: PoolCase) -> bool:
    """Multi-head latent attention as DeepSeek-V2 has it: what the MLA backends compute."""
    from servelint.capacity import shape  # lazy: few command lines choose a backend

    return case.architecture.is_mla and shape.family(case.architecture) not in shape.UNDESCRIBED


@rule(
    "HWQ504", "kv-dtype-unsupported", "The GPU cannot hold the KV cache in this format",
    severity=Severity.WARNING, certainty=Certainty.HEURISTIC, scope=Scope.POOL, since="0.1.0",
    engines=("vllm",), inputs=("accelerator",),
)  # fmt: skip
def kv_dtype_unsupported(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    `--kv-cache-dtype`: FP8 on GPUs of a compute capability below 8.9 with a backend chosen that needs it there (Flash Attention,
    Triton), or below 7.5 with any; bfloat16 below 8.0.

    ## Why it matters

    vLLM stops at start-up ("FP8 KV cache is not supported by the Triton attention backend … requires SM89+"), or Triton cannot
    compile the kernel at the first request ("type fp8e4nv not supported in this architecture").

    ## How to fix

    Leave the backend to vLLM (FlashInfer holds FP8 on Ampere), or the KV cache in 16 bits.

    ## Certainty

    Heuristic: which backend can do what changes with the releases.

    ## References

    - vLLM, `vllm/v1/attention/backends/triton_attn.py`, `fa_utils.py`
    """
    pool = case.pool
    if not pool.kv_cache_dtype.is_stated:
        return
    stated = str(pool.kv_cache_dtype.value).lower()
    eight = stated in {"fp8", "fp8_e4m3"}
    if not eight and stated != "bfloat16":
        return
    capability = nvidia_capability(case)
    if capability is None:
        return
    chosen = {name.upper().removesuffix("_VLLM_V1") for name, _ in _backends(case)}
    demanding = bool(chosen & {"FLASH_ATTN", "TRITON_ATTN"})
    needed = (8, 0) if not eight else (8, 9) if demanding else (7, 5)
    if capability >= needed:
        return
    place = place_of(pool, pool.kv_cache_dtype)
    yield Verdict(
        place,
        f"{case.accelerator.name} has compute capability {dotted(capability)}; {stated} needs {dotted(needed)} here",
        related=related(place, (pool.accelerator, "the GPU")),
        proposals=(Proposal("--kv-cache-dtype auto", False, None),),
    )


@rule(
    "HWQ508", "attention-backend-mismatch", "The attention backend does not run on this GPU",
    severity=Severity.WARNING, certainty=Certainty.HEURISTIC, scope=Scope.POOL, since="0.1.0",
    engines=("vllm", "sglang"), inputs=("accelerator",),
)  # fmt: skip
def attention_backend_mismatch(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    An attention backend that is chosen by flag or by `VLLM_ATTENTION_BACKEND` and made for other GPUs: FlashMLA and Flash
    Attention MLA (Hopper), CUTLASS MLA, FlashInfer MLA and TensorRT-LLM's (Blackwell), SGLang's `fa3` (Ampere to Hopper) and
    `fa4` (Blackwell).

    ## Why it matters

    The engine stops at start-up: "FlashAttention v3 Backend requires SM>=80 and SM<=90".

    ## How to fix

    Leave the choice to the engine.

    ## Certainty

    Heuristic: backends learn new GPUs from release to release. vLLM's are judged for models with multi-head latent attention
    only (DeepSeek-V2 and V3, Kimi-K2); DeepSeek-V4 brings its own.

    ## References

    - vLLM, `vllm/v1/attention/backends`; SGLang, `python/sglang/srt/layers/attention/attention_registry.py`
    """
    table = _VLLM if case.pool.engine.value == "vllm" else _SGLANG
    for name, place in _backends(case):
        key = name.upper().removesuffix("_VLLM_V1") if table is _VLLM else name.lower()
        majors = table.get(key)
        capability = nvidia_capability(case) if majors is not None else None
        if majors is None or capability is None or majors[0] <= capability[0] <= majors[1]:
            continue
        if table is _VLLM and not _uses_latents(case):
            continue  # attention of its own: DeepSeek-V4 brings its backends, whatever is chosen
        runs = f"{majors[0]}.x" if majors[0] == majors[1] else f"{majors[0]}.x to {majors[1]}.x"
        yield Verdict(
            place,
            f"{name} is made for compute capability {runs}; {case.accelerator.name} has {dotted(capability)}",
            related=related(place, (case.pool.accelerator, "the GPU")),
            proposals=(Proposal("leave the choice to the engine", False, None),),
            key=key,
        )
