"""MEM: memory that engines take beside weights, KV cache and activations: adapters, images, communication."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.finding import Certainty, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint.source.scalars import whole
from servelint_rules.figures import GIB, budget, gib
from servelint_rules.places import related
from servelint_rules.unaccounted import gpu_memory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import PoolCase
# Buffers that are worth a word, whatever is left beside them.
_LEAST = 1.0 * GIB


@rule(
    "MEM416", "lora-reserve", "Buffers for LoRA adapters take much of the KV cache",
    severity=Severity.WARNING, certainty=Certainty.HEURISTIC, scope=Scope.POOL, since="0.1.0",
    engines=("vllm",), fixable=False, inputs=("model", "accelerator"),
)  # fmt: skip
def lora_reserve(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    The buffers that vLLM allocates for `--max-loras` adapters of `--max-lora-rank` in every linear layer, against the KV cache
    that is left: from a fifth of it on it is said.

    ## Why it matters

    The buffers are there whether adapters are loaded or not, at the highest rank for every slot, and come out of the KV
    cache. An adapter of rank 16 in slots of rank 256 pays sixteen times its size.

    ## How to fix

    The rank of the adapters that are really served, fewer slots (`--max-cpu-loras` keeps the others on the host), or
    `--fully-sharded-loras` with tensor parallelism.

    ## Certainty

    Heuristic: attention and dense feed-forward layers are counted, experts are not; which layers get buffers depends on the
    model's class.

    ## References

    - vLLM, `vllm/lora/layers`, `create_lora_weights`
    """
    pool = case.pool
    command = next((c.command for c in pool.containers if c.command is not None), None)
    switch = command.last("--enable-lora") if command is not None else None
    if command is None or switch is None or (switch.flag is not None and switch.flag.negates(switch.written)):
        return
    numbers = {}
    for flag, default in (("--max-loras", 1), ("--max-lora-rank", 16)):
        argument = command.last(flag)
        text = str(default) if argument is None else argument.value
        number = whole(text.strip()) if text is not None else None
        if number is None or (argument is not None and argument.value_is_unknown):
            return
        numbers[flag] = number
    memory = gpu_memory(case)
    if memory is None:
        return
    slots, rank = numbers["--max-loras"], numbers["--max-lora-rank"]
    size = slots * rank * _elements_per_rank(case) * 2
    without = memory.kv_pool_bytes.mid + size  # the estimate counts the buffers as overhead
    if without <= 0 or size < max(_LEAST, 0.2 * without):
        return
    argument = command.last("--max-lora-rank") or command.last("--max-loras") or switch
    yield Verdict(
        command.place_of(argument),
        f"{gib(size)} GiB of buffers per GPU; without them the KV cache would have {gib(without)} GiB",
        arithmetic=(
            f"{slots} adapters of rank {rank} × {_elements_per_rank(case) / 1e6:.3g} million rows and columns × 2 B",
            budget(case, memory),
        ),
    )


def _elements_per_rank(case: PoolCase) -> float:
    """Rows and columns of all linear layers of one GPU that get buffers, for one unit of rank.

    A is whole on every GPU of column-parallel layers and cut in row-parallel ones; B the other way round.
    """
    a, tensor = case.architecture, case.layout.tensor
    hidden, inner = a.hidden_size, 0 if a.experts else a.number("intermediate_size", 0)
    queries, keys = a.attention_heads * a.head_dim, a.kv_heads * a.head_dim
    attention = 3 * hidden + (queries + 2 * keys) / tensor + queries / tensor + hidden
    dense = (2 * hidden + 2 * inner / tensor + inner / tensor + hidden) if inner else 0.0
    return a.layers / case.layout.pipeline * (attention + dense)


_BUFFERS = "NVSHMEM_SYMMETRIC_SIZE"
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


@rule(
    "MEM418", "communication-buffers-unbudgeted", "Communication buffers leave no room for a KV cache",
    severity=Severity.WARNING, certainty=Certainty.HEURISTIC, scope=Scope.POOL, since="0.1.0",
    engines=("vllm", "sglang"), inputs=("model", "accelerator"),
)  # fmt: skip
def communication_buffers_unbudgeted(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    `NVSHMEM_SYMMETRIC_SIZE`, the symmetric heap that DeepEP and other kernels for experts exchange tokens through, against
    the memory that weights and activations leave, inside and outside of the engine's budget.

    ## Why it matters

    The heap is on the GPU, outside of the framework's allocator. What of it is there when the engine measures comes out of
    the KV cache; what comes later must fit in the rest. With neither large enough the engine dies in its first steps.

    ## How to fix

    A lower `--gpu-memory-utilization` (or `--mem-fraction-static`), fewer tokens per rank, or more GPUs for the experts.

    ## Certainty

    Heuristic: the heap may grow by use, so that it need not be there as a whole.

    ## References

    - NVSHMEM documentation, environment variables; DeepEP, README, on buffer sizes
    """
    pool = case.pool
    for container in pool.containers[:1]:
        fact = container.variable(_BUFFERS)
        size = _bytes(fact.value) if fact is not None else None
        if fact is None or size is None or fact.place is None:
            continue
        memory = gpu_memory(case)
        if memory is None or memory.kv_pool_bytes.mid <= 0:
            continue  # MEM401
        outside = memory.device_bytes.mid - memory.budget_bytes.mid
        there = memory.kv_pool_bytes.mid + max(0.0, outside)
        if size <= there:
            continue
        yield Verdict(
            fact.place,
            f"{gib(size)} GiB for the symmetric heap; {gib(there)} GiB is left inside and outside of the budget",
            arithmetic=(budget(case, memory),),
            related=related(fact.place, (pool.gpu_memory_utilization, "the budget")),
            key=container.name,
        )


def _bytes(text: str) -> float | None:
    digits = text.strip().lower().removesuffix("b").removesuffix("i")
    unit = digits[-1:] if digits[-1:].isalpha() else ""
    number = digits[: len(digits) - len(unit)].strip()
    return float(number) * _UNITS[unit] if whole(number) is not None and unit in _UNITS else None
