"""SGLang's defaults by release and GPU, for the facts of a pool that nobody stated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.engines.defaults import DEGREES, Defaults
from servelint.facts import FactState

if TYPE_CHECKING:
    from servelint.deployment import Pool
    from servelint.facts import Fact

_GIB = 2**30
# (visible memory in GiB below, chunk in the newest release, chunk in some before it): python/sglang/srt/arg_groups/
# memory_hook.py, and server_args.py before there was one.
_CHUNKS = ((20, 2048, 2048), (35, 4096, 2048), (60, 4096, 8192), (160, 8192, 8192), (float("inf"), 16384, 8192))


def defaults(pool: Pool) -> dict[str, Fact[Any]]:
    """Facts by field. What may be stated where it is not seen has no default: it is unknown."""
    found = Defaults(pool, "SGLang", "sglang")
    for field in DEGREES:
        found.constant(field, 1)
    for field, flag in (("kv_cache_dtype", "--kv-cache-dtype"), ("dtype", "--dtype")):
        found.tabled(field, flag, str)
    for field, value in (("block_size", 1), ("enforce_eager", False), ("speculative", "none"), ("chunked_prefill", True)):
        # block_size: --page-size 1; some attention backends raise it (FlashMLA and TensorRT-LLM's MLA: 32 or 64).
        found.constant(field, value)
    reason = "SGLang works it out from the GPU's memory, the chunk of a prefill and the size of its CUDA graphs"
    found.unknown("gpu_memory_utilization", reason, "state --mem-fraction-static")
    found.unknown("max_num_seqs", "SGLang works it out from the size of its KV pool", "state --max-running-requests")
    found.alternatives("max_num_batched_tokens", _chunks(pool), "state --chunked-prefill-size")
    return found.facts


def _chunks(pool: Pool) -> tuple[int, ...] | str:
    """The chunk of a prefill of one attention rank on the GPUs the pool may run on; or why it is not known."""
    if pool.accelerator.state is FactState.UNKNOWN:
        return f"it depends on the GPU's memory: {pool.accelerator.reason}"
    ranks = pool.attention_data
    if not ranks.is_known and ranks.reason != "not stated":
        return f"attention data parallelism divides it, and {ranks.reason}"
    values: list[int] = []
    for accelerator in pool.accelerator.values:
        if accelerator.visible_bytes is None:
            return f"the memory of {accelerator.name} is not known"
        memory = accelerator.visible_bytes.mid / _GIB
        values += next((new, old) for below, new, old in _CHUNKS if memory < below)
    return tuple(dict.fromkeys(max(1, value // ranks.get(1)) for value in values))
