"""HWQ: number formats and what the GPU can do with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.finding import Certainty, Proposal, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint_rules import guards
from servelint_rules.changes import edits_of
from servelint_rules.places import place_of, related
from servelint_rules.unaccounted import check_accelerator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import PoolCase

# The first compute capability with bfloat16 arithmetic (Ampere).
_BFLOAT16_FROM = (8, 0)
# Model types that overflow in float16; vLLM 0.33 refuses them (_FLOAT16_NOT_SUPPORTED_MODELS, vllm/config/model.py).
_NOT_IN_FLOAT16 = frozenset(("gemma2", "gemma3", "gemma3_text", "glm4"))


@rule(
    "HWQ501", "bf16-unsupported", "bfloat16 on a GPU that has none",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.POOL, since="0.1.0",
    engines=("vllm",), fixable=True, inputs=("accelerator",),
)  # fmt: skip
def bf16_unsupported(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    `--dtype bfloat16` on NVIDIA GPUs of a compute capability below 8.0: T4, V100, RTX 20 and older.

    ## Why it matters

    These GPUs have no bfloat16 arithmetic. vLLM stops at start-up: "Bfloat16 is only supported on GPUs with compute
    capability of at least 8.0".

    ## How to fix

    `--dtype half`. The weights are converted while loading; results differ in rounding only. Some model types overflow
    in float16 (gemma2, gemma3, glm4: vLLM refuses them); these need another GPU, or float32 at twice the memory.

    ## Certainty

    Proven, from the GPU's compute capability and vLLM's own check. `--dtype auto` is not judged: newer releases fall back
    to float16 with a warning.

    ## References

    - vLLM, `vllm/platforms/cuda.py`, `check_if_supports_dtype`
    - [vllm#1157](https://github.com/vllm-project/vllm/issues/1157), [vllm#946](https://github.com/vllm-project/vllm/issues/946)
    """
    pool = case.pool
    if not pool.dtype.is_stated or pool.dtype.value != "bfloat16" or not all(map(guards.runs_on_gpus, pool.containers)):
        return
    check_accelerator(case)
    accelerator = case.accelerator
    capability = accelerator.compute_capability
    if capability is None or capability >= _BFLOAT16_FROM:
        return
    place = place_of(pool, pool.dtype)
    yield Verdict(
        place,
        f"{accelerator.name} has compute capability {_dotted(capability)}; bfloat16 needs {_dotted(_BFLOAT16_FROM)}",
        related=related(place, (pool.accelerator, f"compute capability {_dotted(capability)}")),
        proposals=(_proposal(case),),
        severity=Severity.ERROR,
    )


def _dotted(capability: tuple[int, int]) -> str:
    return f"{capability[0]}.{capability[1]}"


def _proposal(case: PoolCase) -> Proposal:
    pool = case.pool
    kind = str(pool.architecture.value.field("model_type")) if pool.architecture.is_known else ""
    if kind in _NOT_IN_FLOAT16:
        return Proposal(f"{kind} models overflow in float16: use a GPU with bfloat16, or --dtype float32", False, None)
    # Where the model is unknown, so is whether float16 can hold it: then the change is for people to make.
    return Proposal("--dtype half", bool(kind), edits_of(pool.dtype, "half"))
