"""HWQ: number formats and what the GPU can do with them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from servelint.finding import Certainty, Proposal, Severity, Verdict
from servelint.records import NamedTuple
from servelint.rulebook import Scope, rule
from servelint_rules import guards
from servelint_rules.changes import edits_of, stated
from servelint_rules.figures import dotted
from servelint_rules.places import place_of, related
from servelint_rules.unaccounted import check_accelerator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import PoolCase

# The first compute capability with bfloat16 arithmetic (Ampere).
_BFLOAT16_FROM = (8, 0)
# With --dtype auto: the last release that surely keeps the checkpoint's type, where 0.9.0.1 takes float16 instead, and the
# first whose check was read (vllm/worker/worker.py, _check_if_gpu_supports_dtype).
_AUTO_READ_FROM, _AUTO_KEEPS_UNTIL = (0, 6, 3), (0, 8, 5)
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

    NVIDIA GPUs of a compute capability below 8.0 (T4, V100, RTX 20 and older) with `--dtype bfloat16`, and, in vLLM releases
    up to 0.8.5, with `--dtype auto` (the default) and a checkpoint whose configuration says bfloat16.

    ## Why it matters

    These GPUs have no bfloat16 arithmetic. vLLM stops at start-up: "Bfloat16 is only supported on GPUs with compute
    capability of at least 8.0".

    ## How to fix

    `--dtype half`. The weights are converted while loading; results differ in rounding only. Some model types overflow
    in float16 (gemma2, gemma3, glm4: vLLM refuses them); these need another GPU, or float32 at twice the memory.

    ## Certainty

    Proven, from the GPU's compute capability and vLLM's own check. With `--dtype auto` it is proven where the release surely
    has no fallback (0.9.0.1 takes float16 with a warning, 0.8.5 keeps what the checkpoint says) and the checkpoint's own
    configuration is known; a warning where that follows from the model's name, or where arguments that are not at hand
    (llmaz' BackendRuntime) may state another type. Releases in between and multimodal models, whose text model may name a
    type of its own, are not judged with `auto`.

    ## References

    - vLLM 0.8.5, `vllm/config.py`, `_get_and_verify_dtype`; `vllm/v1/worker/gpu_worker.py`, `_check_if_gpu_supports_dtype`
    - vLLM, `vllm/platforms/cuda.py`, `supported_dtypes`, `check_if_supports_dtype`
    - [vllm#1157](https://github.com/vllm-project/vllm/issues/1157), [vllm#946](https://github.com/vllm-project/vllm/issues/946)
    """
    pool = case.pool
    if not guards.on_gpus(case):
        return
    asked = _bfloat16(case)
    if asked is None:
        return
    check_accelerator(case)
    accelerator = case.accelerator
    capability = accelerator.compute_capability
    if capability is None or capability >= _BFLOAT16_FROM:
        return
    place = place_of(pool, pool.dtype, pool.model)
    yield Verdict(
        place,
        f"{accelerator.name} has compute capability {dotted(capability)}; {asked.words} needs {dotted(_BFLOAT16_FROM)}",
        arithmetic=(f"vLLM {pool.version.value} keeps the type of the checkpoint",) if asked.auto else (),
        related=related(
            place,
            (pool.accelerator, f"compute capability {dotted(capability)}"),
            *(((pool.version, "no fallback to float16 yet"),) if asked.auto else ()),
        ),
        proposals=(_proposal(case),),
        severity=Severity.ERROR if asked.certain else Severity.WARNING,
        certainty=Certainty.PROVEN if asked.certain else Certainty.HEURISTIC,
    )


class _Asked(NamedTuple):
    """Who asks for bfloat16. ``auto``: the checkpoint does; ``certain``: nothing that is not at hand can change that."""

    words: str
    auto: bool
    certain: bool


def _bfloat16(case: PoolCase) -> _Asked | None:
    pool = case.pool
    if pool.dtype.is_stated and pool.dtype.value != "auto":
        return _Asked("bfloat16", False, True) if pool.dtype.value == "bfloat16" else None
    version = pool.version.get(None)
    if version is None or not _AUTO_READ_FROM <= version <= _AUTO_KEEPS_UNTIL or not pool.architecture.is_known:
        return None
    elsewhere = case.deployment.format == "llmaz" and not pool.dtype.values and bool(pool.containers)
    if not elsewhere and pool.dtype.get("") != "auto":
        return None
    architecture = case.architecture
    stored = str(architecture.field("torch_dtype") or architecture.field("dtype")).removeprefix("torch.")
    if stored != "bfloat16" or architecture.vision is not None:
        return None
    by_name = architecture.by_name or architecture.quantization_inferred
    return _Asked("its checkpoint of bfloat16", True, not elsewhere and not by_name)


def _proposal(case: PoolCase) -> Proposal:
    pool = case.pool
    kind = str(pool.architecture.value.field("model_type")) if pool.architecture.is_known else ""
    if kind in _NOT_IN_FLOAT16:
        return Proposal(f"{kind} models overflow in float16: use a GPU with bfloat16, or --dtype float32", False, None)
    if not pool.dtype.is_stated:
        return Proposal(
            "--dtype half, or vLLM 0.9.1, which takes float16 by itself", False, partial(stated, case, "dtype", "half")
        )
    # Where the model is unknown, so is whether float16 can hold it: then the change is for people to make.
    return Proposal("--dtype half", bool(kind), partial(edits_of, pool.dtype, "half"))
