"""PAR: whether the degrees fit the model, and whether they are needed."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from servelint.finding import Certainty, Proposal, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint_rules.changes import Hosts, hosts_for, hosts_now, resized
from servelint_rules.figures import count, duration, gib, span
from servelint_rules.places import place_of, related
from servelint_rules.unaccounted import check_model, gpu_memory
from servelint_rules.workload import Demand, demand_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.capacity.layout import Layout
    from servelint.case import PoolCase
    from servelint.catalogue.architecture import Architecture
    from servelint.estimate import Estimate

# vLLM pads the vocabulary to a multiple of this before it is split (vocab_parallel_embedding.py).
_VOCABULARY_PADDING = 64
# Model types whose sharded TGI class takes num_key_value_heads // num_shard and divides by it, or asserts on the widths that
# follow from it (server/text_generation_server/models/custom_modeling/flash_*_modeling.py, the same in 1.4.5 to 3.3.7).
_TGI_WHOLE_KV_HEADS = frozenset(("llama", "mistral", "gemma", "gemma2", "mixtral", "qwen2", "phi", "cohere", "starcoder2"))
_TGI_READ_FROM = (1, 4, 5)


@rule(
    "PAR202", "heads-not-divisible-by-tp", "Attention heads cannot be divided over the tensor-parallel group",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.POOL, since="0.1.0",
    engines=("vllm", "trtllm", "tgi", "generic"), fixable=True, inputs=("model",),
)  # fmt: skip
def heads_not_divisible_by_tp(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    That `num_attention_heads` of the model (of its language model, for multimodal ones) is a multiple of the
    tensor-parallel size; for vLLM also that one of this size and the number of KV heads is a multiple of the other, and for
    text-generation-inference that there are not fewer KV heads than shards: it never copies one.

    ## Why it matters

    Tensor parallelism gives each GPU the same number of attention heads. Where they cannot be shared out evenly the
    engine stops while loading: vLLM with "Total number of attention heads (28) must be divisible by tensor parallel
    size (8)". The pod restarts for ever, after each time having waited for its GPUs.

    ## How to fix

    Use a size that divides the heads, and for vLLM also the padded vocabulary and the width of the feed-forward layers;
    the finding names the largest. GPUs left over serve more requests as further replicas (or as data-parallel ranks).

    ## Certainty

    Proven, from the model's configuration and the engine's own check.

    ## References

    - vLLM, `vllm/config/model.py`, `verify_with_parallel_config`
    - text-generation-inference, `server/text_generation_server/models/custom_modeling`: `_load_gqa`, `num_groups`
    - Megatron-LM, `megatron/core/transformer/transformer_config.py`
    - [vllm#2652](https://github.com/vllm-project/vllm/issues/2652), [vllm#11797](https://github.com/vllm-project/vllm/issues/11797)
    """
    pool = case.pool
    size = pool.tensor.value
    if size <= 1 or case.layout.attention_data > 1:
        return  # attention data parallelism leaves the heads whole
    check_model(case)
    from servelint.capacity import shape  # lazy: only layouts with several GPUs need the model's shape

    architecture = case.architecture
    heads = shape.heads(architecture)
    if heads % size == 0:
        yield from _kv_heads(case, size)
        return
    best = largest_tensor_size(architecture, size)
    after = case.layout.with_(tensor=best)
    now = hosts_now(case)
    new = hosts_for(now, after.world_size) if now else None
    gpus = f" on {new}" if now and new and new != now else ""
    place = place_of(pool, pool.tensor)
    yield Verdict(
        place,
        f"{heads} attention heads cannot be shared by {size} GPUs",
        arithmetic=(
            f"{heads} heads / {size} = {heads / size:.2f}: {_refusal(pool.engine.value)}",
            f"largest size up to {size} that divides the heads, KV heads, vocabulary and feed-forward width: {best}",
        ),
        related=related(place, (pool.model, f"has {heads} attention heads")),
        proposals=(
            Proposal(
                f"tensor-parallel size {best}{gpus}; fewer GPUs hold each copy of the model",
                False,
                partial(resized, case, after, {"tensor": best}),
            ),
        ),
        severity=Severity.ERROR,
    )


def _kv_heads(case: PoolCase, size: int) -> Iterator[Verdict]:
    """vLLM shares KV heads out evenly or copies each equally often (``QKVParallelLinear`` in linear.py)."""
    from servelint.capacity import shape

    pool, architecture = case.pool, case.architecture
    heads = shape.kv_heads(architecture)
    if pool.engine.value == "tgi":
        yield from _whole_kv_heads(case, size, heads)
        return
    if pool.engine.value != "vllm" or architecture.is_mla or heads % size == 0 or size % heads == 0:
        return
    best = largest_tensor_size(architecture, size)
    after = case.layout.with_(tensor=best)
    place = place_of(pool, pool.tensor)
    yield Verdict(
        place,
        f"{heads} KV heads can neither be shared by {size} GPUs nor copied equally often",
        arithmetic=(f"{heads} / {size} = {heads / size:.2f}, {size} / {heads} = {size / heads:.2f}: neither is whole",),
        related=related(place, (pool.model, f"has {heads} KV heads")),
        proposals=(Proposal(f"tensor-parallel size {best}", False, lambda: resized(case, after, {"tensor": best})),),
        severity=Severity.ERROR,
        key="KV heads",
    )


def _whole_kv_heads(case: PoolCase, size: int, heads: int) -> Iterator[Verdict]:
    """TGI's sharded classes keep no copies of KV heads: a shard without one is a division by zero, or a failed assertion."""
    pool = case.pool
    version, kind = pool.version.get(None), str(case.architecture.field("model_type"))
    if heads >= size or kind not in _TGI_WHOLE_KV_HEADS or not pool.gpu_resource.startswith(("nvidia.com/", "amd.com/")):
        return
    if version is not None and version < _TGI_READ_FROM:
        return
    after = case.layout.with_(tensor=heads)
    place = place_of(pool, pool.tensor)
    yield Verdict(
        place,
        f"{count(heads, 'KV head')} cannot be shared by {size} shards: TGI gives each {heads} // {size} = 0 of them",
        arithmetic=(f"TGI's class for {kind} takes num_key_value_heads // num_shard, and stops where that is 0",),
        related=related(place, (pool.model, f"has {count(heads, 'KV head')}")),
        proposals=(
            Proposal(
                f"{count(heads, 'shard')}, and further replicas on the other GPUs",
                False,
                lambda: resized(case, after, {"tensor": heads}),
            ),
        ),
        severity=Severity.ERROR,
        key="KV heads",
    )


def _refusal(engine: str) -> str:
    if engine == "vllm":
        return "vLLM stops with “Total number of attention heads … must be divisible by tensor parallel size”"
    if engine == "tgi":
        return "TGI stops with “`num_heads` must be divisible by `num_shards`”"
    return "a whole number of heads must stand on each GPU"


def largest_tensor_size(architecture: Architecture, most: int) -> int:
    """The largest size up to ``most`` over which every part of the model that is known can be divided; at least 1."""
    from servelint.capacity import shape

    heads, kv_heads = shape.heads(architecture), shape.kv_heads(architecture)
    whole = [heads]
    vocabulary = architecture.number("vocab_size", 0)
    whole.append(-(-vocabulary // _VOCABULARY_PADDING) * _VOCABULARY_PADDING)
    whole += [architecture.number(name, 0) for name in ("intermediate_size", "moe_intermediate_size")]
    for size in range(min(most, heads), 1, -1):
        if all(width % size == 0 for width in whole) and (kv_heads % size == 0 or size % kv_heads == 0):
            return size
    return 1


@rule(
    "PAR207", "pipeline-parallel-not-needed", "Pipeline parallelism is not needed",
    severity=Severity.WARNING, certainty=Certainty.ESTIMATED, scope=Scope.POOL, since="0.1.0",
    fixable=True, aliases=("PLN918",), inputs=("model", "accelerator"),
)  # fmt: skip
def pipeline_parallel_not_needed(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A pool with a pipeline-parallel size above 1 whose layers all fit in one tensor-parallel group: weights, activations,
    overhead and the KV cache it needs, at the unfavourable end of every estimate. The KV cache it needs is that of the
    stated workload (concurrency × tokens); where no workload is stated, of one request of `max_model_len`.

    ## Why it matters

    Pipeline stages work one after another for each token of a request. They buy memory, not speed: a single request gets
    slower by the hops between stages, and the GPUs of the other stages wait unless enough requests are in flight. Where
    the model fits without them, the same GPUs serve more as further replicas, or half of them are free. Pipeline
    parallelism also rules out features of the engines (in vLLM: asynchronous scheduling in the V1 runner, several ways
    of speculative decoding).

    ## How to fix

    Set the pipeline-parallel size to 1 and ask for that many times fewer GPUs (the fix does both in one patch), or keep
    the GPUs and run more replicas. The KV cache of one replica gets smaller: the finding says what it becomes, and the
    pipeline may be kept where that room is what it is for.

    ## Certainty

    Estimated: the fit holds at the unfavourable end of the memory estimate; stated targets for the time to first token
    and per output token still hold at the estimate's end, or do not get worse.

    ## References

    - [vllm#11500](https://github.com/vllm-project/vllm/issues/11500): 8B over 8 stages gives 1.04 × one GPU's throughput
    - [vllm#6826](https://github.com/vllm-project/vllm/issues/6826): on a single node, tensor parallelism only
    - vLLM documentation, Parallelism and Scaling
    """
    pool = case.pool
    stages = pool.pipeline.value
    if stages <= 1:
        return
    after = case.layout.with_(pipeline=1)
    before, then = gpu_memory(case), case.memory_under(after)
    if before is None or then.kv_pool_bytes.low <= 0:
        return  # the pipeline is what makes the model fit
    demand = demand_of(pool)
    room = then.max_concurrency(demand.tokens)
    if room.low < demand.sequences or not within_memory_target(case, after, demand) or not targets_hold(case, after):
        return
    gpus, fewer = case.layout.world_size, after.world_size
    place = place_of(pool, pool.pipeline)
    room_before = before.max_concurrency(demand.tokens)
    fixed, overhead = then.fixed_bytes, then.fixed_bytes.mid - then.weights_bytes.mid - then.activation_bytes.mid
    taken = (
        f"at PP=1 per GPU: weights {gib(then.weights_bytes.mid)} + activations {gib(then.activation_bytes.mid)} + overhead "
        f"{gib(overhead)} = {gib(fixed.mid)} GiB (at most {gib(fixed.high)}) of {gib(then.budget_bytes.mid)}"
    )
    left = (
        f"KV cache left: {span(then.kv_pool_bytes)} GiB per GPU, room for {_ends(room)} requests of "
        f"{demand.words}, now {_ends(room_before)}; needed: {demand.sequences}"
    )
    yield Verdict(
        place,
        f"all {case.architecture.layers} layers fit without it: {count(fewer, 'GPU')} of {gpus} are enough",
        arithmetic=(
            taken,
            left,
            f"GPUs of one replica: {case.layout.formula()}; without PP {after.formula()}" + _times(case, after),
        ),
        related=related(place, (pool.model, f"{gib(then.weights_bytes.mid)} GiB of weights per GPU at PP=1")),
        proposals=(_drop_pipeline(case, after, gpus),),
        severity=Severity.WARNING,
    )


def _ends(number: Estimate) -> str:
    """``86``, or ``588 … 742`` where the ends differ: whole requests."""
    low, high = max(0, int(number.low)), max(0, int(number.high))
    return f"{low}" if low == high else f"{low} … {high}"


def within_memory_target(case: PoolCase, after: Layout, demand: Demand) -> bool:
    """Whether the need at PP=1 stays below the most memory that the targets allow, where they say so."""
    target = case.pool.target_memory_utilization_max
    if not target.is_known:
        return True
    from servelint.capacity.memory import need_of  # lazy: the estimates are imported where a rule asks for one

    need = need_of(case.pool, case.accelerator, after, demand.sequences, demand.tokens)
    return need.high <= target.value * case.memory_under(after).device_bytes.low


def targets_hold(case: PoolCase, after: Layout) -> bool:
    """Whether the stated time targets surely hold at PP=1, or do not get worse by dropping it."""
    pool = case.pool
    targets = [
        (target.value, name)
        for target, name in ((pool.target_ttft_seconds, "ttft_seconds"), (pool.target_tpot_seconds, "tpot_seconds"))
        if target.is_known
    ]
    if not targets:
        return True
    now, then = case.latency, case.latency_under(after)
    if then.queue_bound and not now.queue_bound:
        return False
    return all(
        getattr(then, name).high <= target or getattr(then, name).mid <= getattr(now, name).mid for target, name in targets
    )


def _times(case: PoolCase, after: Layout) -> str:
    """What the targeted times become, for the last line of arithmetic."""
    pool, parts = case.pool, []
    for name, target, field in (
        ("TTFT", pool.target_ttft_seconds, "ttft_seconds"),
        ("TPOT", pool.target_tpot_seconds, "tpot_seconds"),
    ):
        if target.is_known:
            then, now = getattr(case.latency_under(after), field), getattr(case.latency, field)
            parts.append(f"{name} about {duration(then.mid)} s (now {duration(now.mid)}), target {target.value:g} s")
    return "".join(f"; {part}" for part in parts)


def _drop_pipeline(case: PoolCase, after: Layout, gpus: int) -> Proposal:
    now = hosts_now(case)
    new: Hosts | None = hosts_for(now, after.world_size) if now else None
    where = ""
    if new is not None and now is not None and new.nodes != now.nodes:
        where = f", {now.nodes} hosts → {new.nodes}"
    return Proposal(
        f"drop pipeline parallelism: {gpus} GPUs → {after.world_size}{where}; the KV cache of a replica shrinks as said above",
        False,
        lambda: resized(case, after, {"pipeline": 1}),
    )
