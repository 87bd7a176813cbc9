"""vLLM's defaults by release, for the facts of a pool that nobody stated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.engines.defaults import DEGREES, Defaults, is_missing
from servelint.engines.values import fact_name
from servelint.engines.versions import VLLM_V1
from servelint.facts import Fact

if TYPE_CHECKING:
    from servelint.deployment import Pool
    from servelint.engines.versions import Version
    from servelint.facts import Origin


def defaults(pool: Pool) -> dict[str, Fact[Any]]:
    """Facts by field. What may be stated where it is not seen (an incomplete command line) has no default: it is unknown."""
    found = Defaults(pool, "vLLM", "vllm")
    for field in DEGREES:
        found.constant(field, 1)
    found.tabled("gpu_memory_utilization", "--gpu-memory-utilization", float)
    found.tabled("kv_cache_dtype", "--kv-cache-dtype", str)
    found.tabled("dtype", "--dtype", str)
    for field, value in (("block_size", 16), ("enforce_eager", False), ("speculative", "none")):
        # block_size: DEFAULT_BLOCK_SIZE of vllm/config/cache.py; some attention backends raise it (MLA: 64 or 128).
        found.constant(field, value)
    found.give("chunked_prefill", _chunked_prefill(found.version, found.origin))
    for field in ("max_num_seqs", "max_num_batched_tokens"):
        if is_missing(pool, field):
            from servelint.engines.vllm_batch import batch_default  # lazy: many command lines state both

            found.give(field, batch_default(pool, field, found.origin))
    return found.facts


def _chunked_prefill(version: Version | None, origin: Origin) -> Fact[Any]:
    if version is not None and version < VLLM_V1:  # V1: on (vllm/engine/arg_utils.py, _set_default_args_v1)
        return Fact.unknown(fact_name("chunked_prefill"), f"vLLM {version} turns it on by the model's length", "state it")
    return Fact.known(fact_name("chunked_prefill"), True, origin)
