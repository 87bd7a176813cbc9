"""LIM: sequence lengths against what the model was made for."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from servelint.capacity.model_length import derived_length, is_own, sglang_length
from servelint.finding import Certainty, Proposal, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint_rules.changes import edits_of, setting, stated
from servelint_rules.figures import budget, gib
from servelint_rules.memory import BLOCK, longest_fitting
from servelint_rules.places import place_of, related
from servelint_rules.unaccounted import gpu_memory
from servelint_rules.workload import accepted_length

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import PoolCase
    from servelint.deployment import Pool

# Flags that change the model's configuration, so that the catalogue's is not what the engine sees.
_OVERRIDES = (
    "--hf-overrides", "--rope-scaling", "--rope-theta", "--hf-config-path", "--config-format", "--json-model-override-args",
)  # fmt: skip
_ALLOW_LONG = ("VLLM_ALLOW_LONG_MAX_MODEL_LEN", "SGLANG_ALLOW_OVERWRITE_LONGER_CONTEXT_LEN")
# KV cache block of vLLM on NVIDIA and AMD GPUs where none is stated.
_BLOCK = 16
# Of the middle of the estimate, from which on a sequence is close to what there is.
_CLOSE = 0.75


@rule(
    "LIM301", "max-len-exceeds-model", "max_model_len is beyond what the model was made for",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.POOL, since="0.1.0",
    engines=("vllm", "sglang"), fixable=True, inputs=("model", "image tag"),
)  # fmt: skip
def max_len_exceeds_model(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A stated `--max-model-len` against the length that vLLM derives from the model's configuration: the smallest of
    `max_position_embeddings` and its kin, multiplied by the rope scaling factor where the version does so (`yarn` up to
    0.29; `su`, `longrope` and `llama3` never). So is SGLang's `--context-length`, by SGLang's own derivation.

    ## Why it matters

    vLLM stops at start-up: "User-specified max_model_len (…) is greater than the derived max_model_len (…)". With
    `VLLM_ALLOW_LONG_MAX_MODEL_LEN=1` it starts, and answers beyond that length are noise or crash the kernel: LIM302 says
    so. SGLang stops as well, unless `SGLANG_ALLOW_OVERWRITE_LONGER_CONTEXT_LEN=1`.

    ## How to fix

    Lower `--max-model-len` to the derived length (unsafe: longer requests are refused then), or, where the model's card
    describes it, extend the context by `--hf-overrides` with a rope scaling.

    ## Certainty

    Proven, and an error, where the configuration is the checkpoint's own (given in the plan or by `--model-config`).
    From the catalogue it is an estimate and a warning: the served revision may be another, and the tokenizer's
    `model_max_length` counts as well.

    ## References

    - vLLM, `vllm/config/model.py`, `_get_and_verify_max_len`; SGLang, `python/sglang/srt/configs/model_config.py`
    - [vllm#3676](https://github.com/vllm-project/vllm/issues/3676), [vllm#20241](https://github.com/vllm-project/vllm/issues/20241)
    """
    pool = case.pool
    if not pool.max_model_len.is_stated or _is_overridden(pool):
        return
    wanted = pool.max_model_len.value
    sglang = pool.engine.get("") == "sglang"
    longest = sglang_length(case.architecture) if sglang else derived_length(case.architecture, pool.version.get(None))
    if longest is None or wanted <= longest.tokens:
        return
    own = is_own(pool) and not sglang  # some releases of SGLang only warn
    place = place_of(pool, pool.max_model_len)
    yield Verdict(
        place,
        f"{wanted} tokens; {case.architecture.id} is made for {longest.tokens}",
        arithmetic=(longest.words,),
        related=related(place, (pool.model, f"longest sequence: {longest.tokens} tokens")),
        proposals=(
            Proposal(
                setting(case, "max_model_len", longest.tokens), False, partial(edits_of, pool.max_model_len, longest.tokens)
            ),
        ),
        severity=Severity.ERROR if own else Severity.WARNING,
        certainty=Certainty.PROVEN if own else Certainty.ESTIMATED,
    )


def _is_overridden(pool: Pool) -> bool:
    """Whether the command line changes the model's configuration, or the operator allows longer sequences."""
    for container in pool.containers:
        for name in _ALLOW_LONG:
            allowed = container.environment.get(name)
            if allowed is not None and str(allowed.get("1")).strip().lower() in ("1", "true"):
                return True
        command = container.command
        if command is not None and any(argument.name in _OVERRIDES for argument in command.arguments):
            return True
    return False


@rule(
    "LIM308", "max-len-unset-on-small-gpu", "Whether the model's own length fits is left to chance",
    severity=Severity.WARNING, certainty=Certainty.ESTIMATED, scope=Scope.POOL, since="0.1.0",
    engines=("vllm",), fixable=True, inputs=("model", "accelerator"),
)  # fmt: skip
def max_len_unset_on_small_gpu(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A pool without `--max-model-len`, so that the model's own length holds, where the KV cache of one sequence of that length
    fits at the middle of the estimate but not at its unfavourable end. Where it does not fit at the middle, MEM402 says so.

    ## Why it matters

    vLLM refuses to start if one sequence of the longest length does not fit. Here the release, the driver or a neighbour on
    the GPU decides, and a bump of the image may turn a pod that started into one that does not.

    ## How to fix

    State a length that surely fits: the finding names the largest.

    ## Certainty

    Estimated; a warning at most, as the model's length is derived from the catalogue. Where the unfavourable end leaves no room
    at all the interval is too wide to say anything.

    ## References

    - vLLM, `vllm/v1/core/kv_cache_utils.py`, `check_enough_kv_cache_memory`
    """
    pool = case.pool
    if pool.max_model_len.is_known or pool.max_model_len.reason != "not stated":
        return
    memory = gpu_memory(case)
    if memory is None:
        return
    accepted = accepted_length(pool)
    needed = memory.request_bytes(accepted.tokens)
    pool_bytes = memory.kv_pool_bytes
    if accepted.certain or not 0 < pool_bytes.low < needed <= pool_bytes.mid or needed < _CLOSE * pool_bytes.mid:
        return
    fitting = longest_fitting(memory, accepted.tokens, pool.block_size.get(BLOCK))
    proposals: tuple[Proposal, ...] = ()
    if fitting:
        title = f"{setting(case, 'max_model_len', fitting)}, the most that surely fits"
        proposals = (Proposal(title, False, partial(stated, case, "max_model_len", fitting)),)
    place = place_of(pool, pool.model)
    yield Verdict(
        place,
        f"one sequence of {accepted.tokens} tokens takes {gib(needed)} GiB of KV cache, and there may be less",
        arithmetic=(budget(case, memory),),
        proposals=proposals,
    )
