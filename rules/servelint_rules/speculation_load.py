"""SLO809: speculative decoding at a batch that is limited by arithmetic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.finding import Certainty, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint_rules.places import place_of, related

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import PoolCase


@rule(
    "SLO809", "spec-decode-at-high-batch", "Speculation at a batch that leaves no arithmetic to spare",
    severity=Severity.INFO, certainty=Certainty.ADVICE, scope=Scope.POOL, since="0.1.0", engines=("vllm", "sglang"), advice=True,
    inputs=("model", "accelerator"),
)  # fmt: skip
def speculation_at_high_batch(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    Speculative decoding beside a stated `concurrency`, or a stated `max_num_seqs`, so large that the tokens to verify in one
    step take longer to multiply than the weights take to read.

    ## Why it matters

    Drafts are verified with arithmetic that decoding leaves unused while it waits for memory. At a large batch none is
    unused: each rejected draft costs the time of a token, and throughput falls.

    ## How to fix

    Fewer draft tokens, or none, at that load; some engines switch speculation off above a batch size. It pays for latency at
    a small batch.

    ## Certainty

    Advice: the crossing is arithmetic (KV cache left out), the acceptance rate is not known.

    ## References

    - [Leviathan et al., *Fast inference from transformers via speculative decoding*](https://arxiv.org/abs/2211.17192), 3.4
    - vLLM documentation, *Speculative decoding*
    """
    pool = case.pool
    sequences = pool.concurrency if pool.concurrency.is_known else pool.max_num_seqs
    if not sequences.is_stated:
        return
    from servelint.capacity.latency import draft_tokens
    from servelint.capacity.work import bandwidth, peak_flops, readings_of, traffic_of

    drafts = draft_tokens(pool)
    if drafts <= 0:
        return
    # What is often unknown first: the tensors take time to count.
    bytes_per_second = bandwidth(case.accelerator)
    flops = peak_flops(pool, case.accelerator, False)
    ranks = case.layout.attention_ranks
    batch = sequences.value / (ranks if sequences is pool.concurrency else 1)
    traffic, work = traffic_of(pool, case.layout), readings_of(pool)[0]
    read = (traffic.fixed.mid + traffic.experts.mid * traffic.likely_experts(batch * (1 + drafts))) / bytes_per_second
    each = 2.0 * (work.layers + work.head) / flops
    crossing = read / each
    if batch * (1 + drafts) <= crossing:
        return
    place = place_of(pool, pool.speculative)
    yield Verdict(
        place,
        f"{batch:.0f} requests × {1 + drafts} tokens a step: above {crossing:.0f} tokens arithmetic decides, not memory",
        arithmetic=(f"one GPU reads the weights in {read * 1e3:.3g} ms and multiplies for a token in {each * 1e3:.3g} ms",),
        related=related(place, (sequences, "requests at once")),
    )
