"""MEM: weights, KV cache and their budget."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from servelint.finding import Certainty, Proposal, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint_rules.changes import hosts_for, hosts_now, most_on_a_node, resized, setting, stated
from servelint_rules.figures import GIB, budget, gib, span
from servelint_rules.places import place_of, related
from servelint_rules.unaccounted import gpu_memory
from servelint_rules.workload import accepted_length

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.capacity.memory import MemoryBudget
    from servelint.case import PoolCase

# KV cache block of vLLM on NVIDIA and AMD GPUs where none is stated.
BLOCK = 16
# Engines that start with a cache that is too small for the longest request, and refuse such a request
# (SGLang: max_req_len in sglang/srt/managers/tp_worker.py; trtllm-serve stops only if --fail_fast_on_attention_window_too_large).
_SHORTENING = frozenset(("sglang", "trtllm"))


@rule(
    "MEM401", "weights-do-not-fit", "Weights do not fit in GPU memory",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.POOL, since="0.1.0",
    fixable=True, inputs=("model", "accelerator"),
)  # fmt: skip
def weights_do_not_fit(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    That the weights of one rank, with what the engine needs beside them (activations, communication and CUDA context,
    CUDA graphs), leave room for a KV cache within the memory the engine may use.

    ## Why it matters

    The engine downloads and loads the weights for minutes, then stops with "CUDA out of memory" or "No available memory
    for the cache blocks" (vLLM), "Not enough memory. Please try to increase --mem-fraction-static" or "Loaded weights leave
    no GPU memory for the KV cache" (SGLang). The pod restarts and does it again.

    ## How to fix

    Spread the model over more GPUs (a larger tensor-parallel size), use a quantised checkpoint, or a GPU with more memory.
    The finding names the smallest tensor-parallel size that surely fits.

    ## Certainty

    Proven where the weights alone exceed the budget. Estimated otherwise: an error only if it fails even with every term
    at its favourable end, in a regime that measured start-ups calibrate; a warning if the middle of the estimate fails, or,
    where no start-ups calibrate it, the middle of its upper half.

    ## References

    - vLLM, `vllm/v1/worker/gpu_worker.py`, `determine_available_memory`
    - `servelint derive` prints every term with its formula
    """
    pool, memory = case.pool, gpu_memory(case)
    if memory is None:
        return
    # A stated size of the KV cache bypasses the budget, but not the device.
    ceiling = memory.device_bytes if pool.kv_cache_memory_bytes.is_known else memory.budget_bytes
    failure = _failure(case, memory, 0.0)
    place = place_of(pool, pool.model, pool.tensor)
    inside = pool.engine.get("") != "sglang"  # whose steps run outside the budget
    large_step = inside and memory.activation_bytes.mid > memory.weights_bytes.mid / 2
    if memory.weights_bytes.low > ceiling.high:
        severity, certainty = Severity.ERROR, Certainty.PROVEN
        label = f"{gib(memory.weights_bytes.mid)} GiB of weights per GPU; the engine may use {gib(ceiling.mid)} GiB"
    elif failure is None:
        return
    else:
        severity, certainty = failure
        beside = f" and {gib(memory.activation_bytes.mid)} GiB of activations" if large_step else ""
        label = f"{gib(memory.weights_bytes.mid)} GiB of weights{beside} per GPU leave no room for a KV cache"
    more = _more_tensor(case, 1, pool.max_model_len.get(1))
    yield Verdict(
        place,
        label,
        arithmetic=(
            f"{case.architecture.id} over {case.layout.formula()}: {span(memory.weights_bytes)} GiB per GPU",
            budget(case, memory),
        ),
        related=related(
            place,
            (pool.tensor, f"tensor-parallel size {case.layout.tensor}"),
            (pool.accelerator, f"{gib(memory.device_bytes.mid)} GiB each"),
        ),
        help=(*((_SMALLER_STEP,) if large_step else ()), _more_memory(memory)),
        proposals=(more,) if more is not None else (),
        severity=severity,
        certainty=certainty,
    )


@rule(
    "MEM402", "kv-below-one-sequence", "KV cache below one sequence of max_model_len",
    severity=Severity.ERROR, certainty=Certainty.ESTIMATED, scope=Scope.POOL, since="0.1.0",
    fixable=True, inputs=("model", "accelerator"),
)  # fmt: skip
def kv_below_one_sequence(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    That the KV cache left after weights, activations and overhead holds one request of `max_model_len` tokens, stated or
    the model's own where none is stated.

    ## Why it matters

    vLLM refuses to start: "To serve at least one request with the model's max seq len (…), … GiB KV cache is needed,
    which is larger than the available KV cache memory". Models with contexts of 128K tokens and more fail this way on
    GPUs that would serve them well at the lengths people use. SGLang and TensorRT-LLM start, and refuse every request that
    is longer than the cache.

    vLLM 0.14 to 0.16 hold the cache of the whole model against the memory of one GPU, although with pipeline stages each
    keeps that of its own layers only, and refuse lengths that would fit.

    ## How to fix

    State a `--max-model-len` that fits; the finding names the largest that surely does. Or spread the model over more
    GPUs, quantise the KV cache (`--kv-cache-dtype fp8`) or the weights.

    ## Certainty

    Estimated. An error only if it fails even where every term stands at its favourable end, in a regime that measured
    start-ups calibrate, or even with no activations and no overhead at all; a warning if the middle of the estimate
    fails (of its upper half, where no start-ups calibrate it and it may be off by more than what is needed), and for an
    engine that starts all the same. The peak of activations is not monotone in the length, so the length named leaves the
    estimate's margin.

    ## References

    - vLLM, `vllm/v1/core/kv_cache_utils.py`, `check_enough_kv_cache_memory`
    - [vllm#2418](https://github.com/vllm-project/vllm/issues/2418), [vllm#10517](https://github.com/vllm-project/vllm/issues/10517),
      [vllm#32105](https://github.com/vllm-project/vllm/issues/32105)
    """
    pool, memory = case.pool, gpu_memory(case)
    if memory is None or _failure(case, memory, 0.0) is not None:
        return  # there is no KV cache at all: MEM401
    from servelint.capacity.memory import as_checked  # lazy: loaded where memory was estimated

    accepted = accepted_length(pool)
    length = accepted.tokens
    own, memory = memory.request_bytes(length), as_checked(pool, case.layout, memory)
    needed = memory.request_bytes(length)
    failure = _failure(case, memory, needed)
    if failure is None:
        return
    held: tuple[str, ...] = ()
    if needed > own:
        version = f"vLLM {pool.version.value}"
        held = (f"{version} holds the cache of all stages against one GPU's memory; its own layers need {gib(own)} GiB",)
    severity, certainty = failure
    if not accepted.certain or pool.engine.get("") in _SHORTENING:
        severity = Severity.WARNING
    source = f", {accepted.source}" if accepted.source else ""
    place = place_of(pool, pool.max_model_len, pool.model, pool.input_tokens_max)
    fitting = longest_fitting(memory, length, pool.block_size.get(BLOCK))
    proposals = []
    if fitting:
        title = f"{setting(case, 'max_model_len', fitting)}, the most that surely fits"
        proposals.append(Proposal(title, False, partial(stated, case, "max_model_len", fitting)))
    if not held and (more := _more_tensor(case, 1, length)) is not None:
        proposals.append(more)
    # The middle may be below nothing where the upper half alone speaks for MEM401.
    there = f"{gib(memory.kv_pool_bytes.mid)} GiB is" if memory.kv_pool_bytes.mid > 0 else "hardly any is"
    yield Verdict(
        place,
        f"one sequence needs {gib(needed)} GiB of KV cache per GPU; {there} there",
        arithmetic=(_request(memory, length, needed) + source, *held, budget(case, memory)),
        related=related(
            place,
            (pool.model, f"{gib(memory.weights_bytes.mid)} GiB of weights per GPU"),
            *(((pool.version, f"vLLM {pool.version.value}"),) if held else ()),
        ),
        help=("vLLM 0.17 checks each GPU's own layers",) if held else (),
        proposals=tuple(proposals),
        severity=severity,
        certainty=certainty,
    )


def _request(memory: MemoryBudget, length: int, needed: float) -> str:
    """The KV cache of one request: tokens × bytes, unless its layers keep less than every token."""
    product = length * memory.kv_bytes_per_token
    if abs(product - needed) <= 0.02 * needed:
        return f"{length} tokens × {memory.kv_bytes_per_token / 1024:.4g} KiB per GPU = {gib(needed)} GiB"
    return f"{length} tokens take {gib(needed)} GiB per GPU; some layers keep a window or a state only"


def _failure(case: PoolCase, memory: MemoryBudget, needed: float) -> tuple[Severity, Certainty] | None:
    """How surely a KV cache of ``needed`` bytes per GPU is not there; None if the middle of the estimate holds it.

    An interval that nothing calibrates runs from worst to best case, and its middle leans to the worse. Where it may be off by
    more than what is needed, that says too little: there the middle of its upper half must fail.
    """
    pool = memory.kv_pool_bytes
    settled = memory.calibrated or (pool.high - pool.low) / 2 <= needed
    likely = pool.mid if settled else (pool.mid + pool.high) / 2
    if likely > needed or (likely == needed and needed > 0):
        return None
    stated = case.pool.kv_cache_memory_bytes.is_known  # then there is nothing to estimate
    without_anything = memory.budget_bytes.high - memory.weights_bytes.low
    if (stated or memory.calibrated) and pool.high < needed:
        return Severity.ERROR, Certainty.PROVEN if stated else Certainty.ESTIMATED
    if not stated and without_anything < needed:
        return Severity.ERROR, Certainty.ESTIMATED
    return Severity.WARNING, Certainty.ESTIMATED


def longest_fitting(memory: MemoryBudget, most: int, block: int) -> int:
    """The most tokens, a multiple of ``block``, of which one request surely fits; 0 if not even one block does."""
    low, high = 0, most // block
    while low < high:
        middle = (low + high + 1) // 2
        if memory.request_bytes(middle * block) <= memory.kv_pool_bytes.low:
            low = middle
        else:
            high = middle - 1
    return low * block


def _more_tensor(case: PoolCase, sequences: int, tokens: int) -> Proposal | None:
    """The smallest larger tensor-parallel size at which so many requests surely fit, if one host can hold it."""
    from servelint_rules.parallelism import largest_tensor_size

    for larger in range(case.layout.tensor + 1, most_on_a_node(case) + 1):
        if largest_tensor_size(case.architecture, larger) != larger:
            continue
        after = case.layout.with_(tensor=larger)
        if case.memory_under(after).max_concurrency(tokens).low >= sequences:
            now = hosts_now(case)
            new = hosts_for(now, after.world_size) if now else None
            gpus = f" with {new}" if new and new != now else ""
            return Proposal(f"{setting(case, 'tensor', larger)}{gpus}", False, partial(resized, case, after, {"tensor": larger}))
    return None


_SMALLER_STEP = "steps of fewer tokens, which take less: chunked prefill, or a shorter max_model_len"


def _more_memory(memory: MemoryBudget) -> str:
    need = memory.device_bytes.mid + max(0.0, -memory.kv_pool_bytes.low)
    return f"a quantised checkpoint, a layout of more GPUs, or GPUs of more than {need / GIB:.0f} GiB each"
