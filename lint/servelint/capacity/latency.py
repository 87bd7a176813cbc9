"""Latency: time to the first token of one request at steady load, time per output token, and what physics forbids to beat."""

from __future__ import annotations

from math import ceil, log2
from typing import TYPE_CHECKING

from servelint.capacity import shape
from servelint.capacity.limits import missing, output_tokens, readings, speculates, step_limits
from servelint.capacity.memory import memory_of
from servelint.capacity.quantization import element_bytes
from servelint.capacity.step import Step
from servelint.capacity.work import bandwidth, peak_flops, prompt_flops, readings_of, traffic_of
from servelint.estimate import Estimate, largest
from servelint.facts import UnknownFact
from servelint.records import NamedTuple

if TYPE_CHECKING:
    from servelint.capacity.layout import Layout
    from servelint.capacity.work import Traffic, Work
    from servelint.catalogue.accelerators import Accelerator
    from servelint.deployment import Pool

# Shares of the peak. Prefill 0.23-0.57 and decode 0.44-0.86 over published TensorRT-LLM and vLLM figures with communication
# counted apart (NVIDIA TensorRT-LLM performance overview; InferenceX data in aiconfigurator's silicon_sample.csv).
_MFU = Estimate(0.2, 0.42, 0.75)
_MBU = Estimate(0.45, 0.68, 0.92)
_LINK_SHARE = Estimate(0.25, 0.5, 0.9)
_UNKNOWN_LINK = Estimate(20e9, 200e9, 900e9)  # bytes/s per direction: PCIe 4.0 … NVLink 5
# Seconds of one all-reduce beside its bytes, launch and synchronisation included: a0 + a1 · log2(TP), same sources.
_ALL_REDUCE = (Estimate(4e-6, 12e-6, 26e-6), Estimate(1e-6, 6e-6, 9e-6))
_FIRST_TOKEN = Estimate(0.002, 0.035, 0.1)  # tokenizer, scheduling, sampling, transport: 36-69 ms fitted at concurrency ≤ 8
_STEP = Estimate(0.0, 0.0004, 0.004)
_HOP = Estimate(5e-6, 20e-6, 80e-6)  # one pipeline hop beside its bytes


class Latency(NamedTuple):
    """Seconds. ``ttft``: of one request of ``input_tokens.max`` at steady load, or of the last of ``concurrency`` requests that
    arrive at once; ``tpot``: between two tokens of one request at the stated concurrency. The bounds hold for any engine.
    ``queue_bound``: more requests than the KV cache admits, so that waiting decides and the estimate of TTFT does not hold.
    """

    ttft_seconds: Estimate
    ttft_bound_seconds: float
    tpot_seconds: Estimate
    tpot_bound_seconds: float
    queue_bound: bool
    steps: tuple[Step, ...]


class Lengths(NamedTuple):
    """Tokens of a request of the stated workload, with stand-ins where only some are stated: ``shortest`` input (1 where nobody
    says), ``usual`` and ``longest`` input, ``output`` (0 where nobody says)."""

    shortest: int
    usual: float
    longest: int
    output: float


def lengths_of(pool: Pool) -> Lengths:
    """Raises :class:`UnknownFact` where the longest input is not stated."""
    longest = pool.input_tokens_max.value
    shortest = pool.input_tokens_min.value if pool.input_tokens_min.is_known else 1
    usual = pool.input_tokens_mean.value if pool.input_tokens_mean.is_known else float(longest)
    if pool.input_tokens_min.is_known and not pool.input_tokens_mean.is_known:
        usual = (shortest + longest) / 2
    return Lengths(shortest, usual, longest, output_tokens(pool))


def _efficiency(stated: float | None, default: Estimate) -> Estimate:
    return default if stated is None else Estimate.exact(stated)


def _link(accelerator: Accelerator) -> Estimate:
    """Bytes per second and direction that a collective gets."""
    own = accelerator.link_bytes_per_second
    return _LINK_SHARE.times(own) if own else Estimate(*(a * b for a, b in zip(_LINK_SHARE, _UNKNOWN_LINK, strict=True)))


def _collectives(pool: Pool, accelerator: Accelerator, layout: Layout, tokens: float, steps: int) -> Estimate:
    """Two all-reduces per layer over the tensor-parallel group, ``2 (n − 1) / n`` times the activations each, and the hops
    between pipeline stages. Sequence parallelism moves the same bytes in two halves."""
    if not pool.architecture.is_known or layout.tensor * layout.pipeline == 1:
        return Estimate.exact(0.0)
    a = pool.architecture.value
    moved = tokens * shape.hidden_size(a) * element_bytes(pool)
    link = _link(accelerator)
    total = Estimate.exact(0.0)
    if layout.tensor > 1:
        count = 2 * shape.layer_count(a)
        per = _ALL_REDUCE[0].plus(_ALL_REDUCE[1].times(log2(layout.tensor)))
        share = 2 * (layout.tensor - 1) / layout.tensor
        total = total.plus(per.times(count * steps)).plus(Estimate.exact(count * share * moved).over(link))
    if layout.pipeline > 1:
        hops = layout.pipeline - 1
        total = total.plus(_HOP.times(hops * steps)).plus(Estimate.exact(hops * moved / layout.tensor).over(link))
    return total


def _over(amount: float, rate: float, efficiency: Estimate) -> Estimate:
    return Estimate(amount / (rate * efficiency.high), amount / (rate * efficiency.mid), amount / (rate * efficiency.low))


def _spanning(estimates: list[Estimate]) -> Estimate:
    return Estimate(min(e.low for e in estimates), estimates[0].mid, max(e.high for e in estimates))


def _concurrency(pool: Pool) -> int | None:
    return pool.concurrency.value if pool.concurrency.is_known else None


def draft_tokens(pool: Pool) -> int:
    """Tokens that one step may add per request beyond the first. Raises :class:`UnknownFact` where speculation is on but how far
    it looks ahead cannot be read."""
    if not speculates(pool):
        return 0
    stated = pool.speculative
    text = str(stated.value)
    _, found, tail = text.partition("num_speculative_tokens")
    digits = ""
    for character in tail.lstrip("\"'=: "):
        if not character.isdigit():
            break
        digits += character
    if not found or not digits:
        raise UnknownFact(stated.name, "the number of speculative tokens is not readable", "state num_speculative_tokens")
    return int(digits)


def busy_share(pool: Pool, accelerator: Accelerator, layout: Layout, work: Work) -> float | None:
    """Share of its time that a rank prefills at the stated request rate; beyond 1 requests pile up. None without a rate."""
    if not pool.request_rate.is_known:
        return None
    mfu = _efficiency(accelerator.mfu, _MFU).mid
    rate = peak_flops(pool, accelerator, False) * mfu * layout.tensor * layout.prefill_context
    each = prompt_flops(pool, work, int(lengths_of(pool).usual)) / rate / layout.pipeline
    return pool.request_rate.value / layout.attention_ranks * each


def _prefill(pool: Pool, accelerator: Accelerator, layout: Layout, work: Work, tokens: int) -> Estimate:
    """One prompt alone: its arithmetic on the GPUs of one tensor- and context-parallel group (pipeline stages follow one another,
    data-parallel ranks serve others), the weights read once per chunk, the collectives, a fixed part."""
    mfu = _efficiency(accelerator.mfu, _MFU)
    group = layout.tensor * layout.prefill_context
    compute = _over(prompt_flops(pool, work, tokens), peak_flops(pool, accelerator, False) * group, mfu)
    limit, _ = step_limits(pool, accelerator)
    chunks = max(1, ceil(tokens / limit.mid))
    return compute.plus(_collectives(pool, accelerator, layout, tokens / layout.prefill_context, chunks)).plus(_FIRST_TOKEN)


def _ttft(
    pool: Pool, accelerator: Accelerator, layout: Layout, works: tuple[Work, ...], tokens: int, tpot: Estimate
) -> tuple[Estimate, float]:
    """Time to first token and its bound; ``tpot`` says how long others decode, and so how often their prompts are in the way."""
    peak = peak_flops(pool, accelerator, True)
    alone = _spanning([_prefill(pool, accelerator, layout, work, tokens) for work in works])
    least = min(prompt_flops(pool, work, tokens) for work in works)
    count = _concurrency(pool)
    if pool.arrival.get("steady") == "burst":
        if count is None:
            missing(pool.concurrency)
        lengths = lengths_of(pool)
        usual = int(lengths.usual)
        least += (count - 1) * min(prompt_flops(pool, work, lengths.shortest) for work in works)
        ranks = layout.attention_ranks
        each = _spanning([_prefill(pool, accelerator, layout, work, usual) for work in works])
        # Stages work on different prompts at once; filling and draining the pipeline costs (p − 1) more turns.
        turns = (ceil(count / ranks) - 1 + layout.pipeline - 1) / layout.pipeline
        return alone.plus(each.times(max(0.0, turns))), least / (layout.world_size * peak)
    if count is not None and count > 1:
        # Others' prompts are in the way: at most all of them. Where the rate is stated, as many as an M/D/1 queue holds;
        # else on average half of those that a closed loop has in prefill at any time.
        others = ceil(count / layout.attention_ranks) - 1
        busy = busy_share(pool, accelerator, layout, works[0])
        decoding = (output_tokens(pool) or 256) * tpot.mid
        ahead = 0.5 * others * alone.mid / (alone.mid + decoding)
        if busy is not None and busy < 1:
            ahead = min(ahead, busy / (2 * (1 - busy)))
        alone = Estimate(alone.low, alone.mid * (1 + ahead), alone.high * (1 + others))
    return alone, least / (layout.world_size * peak)


def smallest_batch(pool: Pool, admitted: Estimate | None, ranks: int) -> float:
    """The smallest batch that may run at the stated load: what arrives, what the engine and its KV cache admit."""
    caps = [float(_concurrency(pool) or 1)]
    if pool.max_num_seqs.is_known:
        caps.append(float(pool.max_num_seqs.value * ranks))
    if admitted is not None:
        caps.append(admitted.high)
    return max(1.0, min(caps))


def _decode(
    pool: Pool, accelerator: Accelerator, layout: Layout, work: Work, traffic: Traffic, batch: int, context: int
) -> Estimate:
    """One step over ``batch`` requests of one data-parallel rank: what a rank of each stage reads, against its arithmetic, and
    the collectives. With pipeline stages a request waits for all of them, each over its share of the batch in flight."""
    mbu, mfu = _efficiency(accelerator.mbu, _MBU), _efficiency(accelerator.mfu, _MFU)
    micro = max(1.0, batch / layout.pipeline)
    slices = layout.expert_shards if layout.expert > 1 or layout.engine == "vllm" else layout.tensor
    read = traffic.fixed.mid / layout.attention_tensor
    read += traffic.experts.mid * traffic.likely_experts(micro * layout.attention_ranks) / slices
    if traffic.rank_cache is not None:
        read += micro * traffic.rank_cache.request_bytes(context)
    peak = peak_flops(pool, accelerator, False)
    moving = _over(read, bandwidth(accelerator), mbu)
    counting = _over(2.0 * (work.layers + work.head) * micro / layout.tensor, peak, mfu)
    step = largest(moving, counting).plus(_collectives(pool, accelerator, layout, micro, 1)).plus(_STEP)
    lengths = lengths_of(pool)
    prompt = _over(2.0 * work.layers * lengths.usual / layout.tensor, peak, mfu)
    if lengths.output and batch > 1:
        # In a closed loop each output token comes with its share of a prompt, which runs in the same steps.
        share = prompt.times(micro / lengths.output)
        middle = step.mid + share.mid
        busy = busy_share(pool, accelerator, layout, work)
        if busy is not None and busy < 1:
            # Where the rate is stated, prompts take so much of the time, and decoding gets the rest.
            middle = min(middle, step.mid / (1 - busy))
        step = Estimate(step.low, middle, step.high + 2 * share.high)
    return step


def latency_of(pool: Pool, accelerator: Accelerator, layout: Layout) -> Latency:
    """TTFT and TPOT of ``pool``. Raises :class:`UnknownFact` for what they need: the length of the input, the model, the peak.

    The bounds divide by every GPU of the replica, take the highest listed peak, leave out embeddings and, in prefill, the LM
    head, count only tokens that no prefix cache serves, send all tokens of a step to the same experts, and take the smallest
    admissible batch and the shortest stated input (of two readings of the model the smaller).
    """
    tokens = pool.input_tokens_max.value
    works = readings_of(pool)
    traffic = traffic_of(pool, layout)
    lengths = lengths_of(pool)
    context = int(lengths.usual + lengths.output / 2)
    count = _concurrency(pool)
    ranks = layout.attention_ranks
    rows = [ceil(count / ranks)] if count else [1, *(int(v) for v in readings(pool.max_num_seqs) or (256,))]
    tpot = _spanning([_decode(pool, accelerator, layout, work, traffic, batch, context) for work in works for batch in rows])
    ttft, ttft_bound = _ttft(pool, accelerator, layout, works, tokens, tpot)
    admitted: Estimate | None = None
    if count and traffic.cache is not None:
        try:
            admitted = memory_of(pool, accelerator, layout).max_concurrency(tokens + int(lengths.output))
        except UnknownFact:
            admitted = None
    batch = smallest_batch(pool, admitted, ranks) / layout.pipeline
    ahead = 1 + draft_tokens(pool)
    moved = traffic.least(batch, lengths.shortest)
    counted = 2.0 * min(work.layers + work.head for work in works)
    world = layout.world_size
    peak = peak_flops(pool, accelerator, True)
    tpot_bound = max(moved / (world * bandwidth(accelerator)), counted / (world * peak)) / ahead
    queue_bound = bool(count and admitted is not None and count > admitted.mid)
    arithmetic = f"{prompt_flops(pool, works[0], tokens) / 1e12:.3g} TFLOP for {tokens} tokens"
    labels, gpus, batched = tuple(w.label for w in works), (f"{world} GPUs",), (f"batch {rows[0]}", f"context {context}")
    steps = (
        Step("prefill arithmetic", "2 × active parameters × tokens + attention", labels, arithmetic),
        Step(
            "time to first token", "arithmetic / (TP·CP × peak × MFU) + collectives + fixed", (layout.formula(),), seconds(ttft)
        ),
        Step("no engine is faster", "arithmetic / (all GPUs of the replica × highest peak)", gpus, f"{ttft_bound:.3g} s"),
        Step("time per output token", "bytes read / (bandwidth × MBU) + collectives", batched, seconds(tpot)),
        Step("no engine is faster", "least bytes / (all GPUs of the replica × bandwidth)", gpus, f"{tpot_bound:.3g} s"),
    )
    return Latency(ttft, ttft_bound, tpot, tpot_bound, queue_bound, steps)


def seconds(estimate: Estimate) -> str:
    """An estimate of time for people: ``0.82 s (0.5 … 1.9)``."""
    if estimate.mid < 1:
        return f"{estimate.mid * 1e3:.3g} ms ({estimate.low * 1e3:.3g} … {estimate.high * 1e3:.3g})"
    return f"{estimate.mid:.3g} s ({estimate.low:.3g} … {estimate.high:.3g})"
