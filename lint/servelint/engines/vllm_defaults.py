"""vLLM's defaults by release, for the facts of a pool that nobody stated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.engines.flags import flag_table
from servelint.engines.values import fact_name
from servelint.engines.versions import Version
from servelint.facts import Fact, FactState, Origin, OriginKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from servelint.deployment import Pool

_DEGREES = ("tensor", "pipeline", "data", "expert", "sequence", "prefill_context", "decode_context", "attention_data")
_TABLED: tuple[tuple[str, str, Callable[[str], Any]], ...] = (
    ("gpu_memory_utilization", "--gpu-memory-utilization", float),
    ("kv_cache_dtype", "--kv-cache-dtype", str),
    ("dtype", "--dtype", str),
)
_V1 = Version(0, 8, 0)  # the V1 engine is the default: chunked prefill on (vllm/engine/arg_utils.py, _set_default_args_v1)


def defaults(pool: Pool) -> dict[str, Fact[Any]]:
    """Facts by field. What may be stated where it is not seen (an incomplete command line) has no default: it is unknown."""
    elsewhere = next((c.command.elsewhere for c in pool.containers if c.command is not None and not c.command.complete), "")
    facts: dict[str, Fact[Any]] = {}
    for field in _DEGREES:
        if is_missing(pool, field):
            facts[field] = _constant(pool, field, 1)
    for field, flag, convert in _TABLED:
        if is_missing(pool, field):
            facts[field] = _tabled(pool, field, flag, convert)
    for field, value in (("block_size", 16), ("enforce_eager", False), ("speculative", "none")):
        # block_size: DEFAULT_BLOCK_SIZE of vllm/config/cache.py; some attention backends raise it (MLA: 64 or 128).
        if is_missing(pool, field):
            facts[field] = _constant(pool, field, value)
    if is_missing(pool, "chunked_prefill"):
        facts["chunked_prefill"] = _chunked_prefill(pool)
    for field in ("max_num_seqs", "max_num_batched_tokens"):
        if is_missing(pool, field):
            from servelint.engines.vllm_batch import batch_default  # lazy: many command lines state both

            facts[field] = batch_default(pool, field, _origin(version_of(pool)))
    if elsewhere:
        reason = f"arguments come from elsewhere: {elsewhere}"
        facts = {field: Fact.unknown(fact.name, reason, "state it on the command line") for field, fact in facts.items()}
    return facts


def is_missing(pool: Pool, field: str) -> bool:
    """Nobody stated it, as opposed to: stated, but not knowable."""
    fact: Fact[Any] = getattr(pool, field)
    return fact.state is FactState.UNKNOWN and fact.reason == "not stated"


def version_of(pool: Pool) -> Version | None:
    return pool.version.value if pool.version.is_known else None


def _origin(version: Version | None) -> Origin:
    newest = flag_table("vllm").scanned[-1]
    if version is None:
        text = "default of vLLM (every version scanned)"
    elif version > newest:
        text = f"default of vLLM {newest}, the newest version scanned"
    else:
        text = f"default of vLLM {version}"
    return Origin(OriginKind.DEFAULT, text)


def _constant(pool: Pool, field: str, value: Any) -> Fact[Any]:
    return Fact.known(fact_name(field), value, _origin(version_of(pool)))


def _tabled(pool: Pool, field: str, name: str, convert: Callable[[str], Any]) -> Fact[Any]:
    """The default that the table of flags gives; both where the release lies between two scanned ones that differ."""
    flag = flag_table("vllm")[name]
    version = version_of(pool)
    values = tuple(convert(value) for value in reversed(flag.defaults_at(version)))
    origin = _origin(version)
    if len(values) > 1 and version is None:
        origin = origin._replace(text="default of vLLM, by version (the image does not say which)")
    return Fact.either(fact_name(field), values, origin)


def _chunked_prefill(pool: Pool) -> Fact[Any]:
    version = version_of(pool)
    if version is not None and version < _V1:
        return Fact.unknown(fact_name("chunked_prefill"), f"vLLM {version} turns it on by the model's length", "state it")
    return Fact.known(fact_name("chunked_prefill"), True, _origin(version))
