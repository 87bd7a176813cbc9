"""LIM: advice on limits that cost memory and give nothing."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from servelint.finding import Certainty, Proposal, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint_rules.changes import edits_of, setting
from servelint_rules.places import place_of, related
from servelint_rules.workload import longest_request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import PoolCase

# Of the longest request that the workload states, from which on a longer limit is worth a word.
_SLACK = 1.25
_BLOCK = 16


@rule(
    "LIM305", "batched-tokens-exceeds-seqs-times-len", "max_num_batched_tokens beyond what a step can ever hold",
    severity=Severity.INFO, certainty=Certainty.PROVEN, scope=Scope.POOL, since="0.1.0",
    engines=("vllm",), fixable=True, advice=True,
)  # fmt: skip
def batched_tokens_exceeds_seqs_times_len(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A stated `--max-num-batched-tokens` above `--max-num-seqs` × `--max-model-len`, both stated.

    ## Why it matters

    No step ever has so many tokens, but activations are profiled, and buffers allocated, for them: that memory is lost to the
    KV cache. vLLM warns: "This may lead to unexpected behavior".

    ## How to fix

    Lower it to the product, or take it out.

    ## Certainty

    Proven.

    ## References

    - vLLM, `vllm/config/scheduler.py`, `verify_max_model_len`; [vllm#39976](https://github.com/vllm-project/vllm/issues/39976)
    """
    pool = case.pool
    tokens, sequences, length = pool.max_num_batched_tokens, pool.max_num_seqs, pool.max_model_len
    if not (tokens.is_stated and sequences.is_stated and length.is_stated):
        return
    most = sequences.value * length.value
    if tokens.value <= most:
        return
    place = place_of(pool, tokens)
    yield Verdict(
        place,
        f"{tokens.value} tokens; a step has at most {most}",
        arithmetic=(f"{sequences.value} sequences × {length.value} tokens = {most}",),
        related=related(place, (sequences, f"{sequences.value} sequences"), (length, f"{length.value} tokens each")),
        proposals=(Proposal(setting(case, "max_num_batched_tokens", most), False, partial(edits_of, tokens, most)),),
    )


@rule(
    "LIM307", "context-beyond-need", "max_model_len far beyond the longest request",
    severity=Severity.INFO, certainty=Certainty.HEURISTIC, scope=Scope.POOL, since="0.1.0",
    fixable=True, inputs=("workload",), advice=True,
)  # fmt: skip
def context_beyond_need(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A stated `max_model_len` above 1.25 times the longest request of the stated workload, input and output together.

    ## Why it matters

    One request of that length may take as much of the KV cache as many usual ones: a client that sends one makes the others
    wait. Buffers and start-up checks are made for the limit, not for what is used.

    ## How to fix

    A limit a little above the longest request (unsafe: longer requests are refused then).

    ## Certainty

    Heuristic: the workload may be stated without its tail.

    ## References

    - vLLM documentation, Conserving memory: context length
    """
    pool = case.pool
    longest = longest_request(pool)
    if longest is None or not pool.max_model_len.is_stated or pool.max_model_len.value <= _SLACK * longest:
        return
    wanted = -(-longest // _BLOCK) * _BLOCK
    place = place_of(pool, pool.max_model_len)
    yield Verdict(
        place,
        f"{pool.max_model_len.value} tokens; the longest request has {longest}",
        related=related(place, (pool.input_tokens_max, "the longest input"), (pool.output_tokens_max, "the longest output")),
        proposals=(Proposal(setting(case, "max_model_len", wanted), False, partial(edits_of, pool.max_model_len, wanted)),),
    )
