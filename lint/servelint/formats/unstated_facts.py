"""Facts that a command line states, where part of it is written by somebody else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.facts import Fact, FactState

if TYPE_CHECKING:
    from servelint.deployment import Pool

FROM_ARGUMENTS = (
    "tensor", "pipeline", "data", "expert", "sequence", "prefill_context", "decode_context", "attention_data", "max_model_len",
    "max_num_seqs", "max_num_batched_tokens", "gpu_memory_utilization", "kv_cache_memory_bytes", "kv_cache_dtype", "block_size",
    "dtype", "quantization", "enforce_eager", "chunked_prefill", "speculative",
)  # fmt: skip


def without_defaults(pool: Pool, reason: str, remedy: str = "") -> Pool:
    """The pool with every argument that nobody stated marked unknown, so that no default of the engine is taken for it."""
    facts: dict[str, Fact[Any]] = {}
    for field in FROM_ARGUMENTS:
        fact: Fact[Any] = getattr(pool, field)
        if fact.state is FactState.UNKNOWN and fact.reason == "not stated":
            facts[field] = Fact.unknown(fact.name, reason, remedy)
    return pool.with_facts(facts)
