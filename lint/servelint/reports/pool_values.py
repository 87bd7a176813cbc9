"""A pool as ``derive --format json`` prints it: what is known of it, where from, and what is not known and why."""

from __future__ import annotations

from functools import partial
from math import isfinite
from typing import TYPE_CHECKING, Any

from servelint.facts import Fact, FactState, Origin, OriginKind, UnknownFact

if TYPE_CHECKING:
    from collections.abc import Callable

    from servelint.case import PoolCase
    from servelint.deployment import Pool
    from servelint.estimate import Estimate

GIB = 1024**3

# JSON key of a degree → (field of Pool, field of Layout). Degrees that nobody states are those of the layout: off.
DEGREES = {
    "tensor": ("tensor", "tensor"),
    "pipeline": ("pipeline", "pipeline"),
    "data": ("data", "data"),
    "expert": ("expert", "expert"),
    "sequence": ("sequence", "sequence"),
    "context": ("prefill_context", "prefill_context"),
    "decode_context": ("decode_context", "decode_context"),
    "attention_data": ("attention_data", "attention_data"),
}
LIMITS = (
    "max_model_len",
    "max_num_seqs",
    "max_num_batched_tokens",
    "gpu_memory_utilization",
    "kv_cache_dtype",
    "quantization",
)


def origin_text(origin: Origin) -> str:
    """Where a fact comes from, for people: the place in a file, or the words of its source."""
    if origin.kind not in (OriginKind.FILE, OriginKind.DERIVED) or origin.place is None:
        return origin.text
    source = origin.place.document.source
    place = f"{source.path}:{source.position(origin.place.span.start).line}"
    return f"{place}: {origin.text}" if origin.text else place


def reason_of(unknown: UnknownFact) -> str:
    """Why a fact is unknown and what would make it known."""
    return f"{unknown.fact}: {unknown.reason}" + (f"; {unknown.remedy}" if unknown.remedy else "")


def limit_of(pool: Pool, name: str) -> Fact[Any]:
    """The limit ``name``; for a ``max_model_len`` that nobody states, what the engine derives from the model."""
    fact: Fact[Any] = getattr(pool, name)
    if name != "max_model_len":
        return fact
    from servelint.capacity.model_length import unstated_length  # lazy: the schema of a derivation needs no arithmetic

    derived = unstated_length(pool)
    if derived is None:
        return fact
    return Fact.known(fact.name, derived.tokens, Origin(OriginKind.CATALOGUE, f"the model's own length: {derived.words}"))


def _max_concurrency(case: PoolCase) -> Estimate:
    return case.memory.max_concurrency(limit_of(case.pool, "max_model_len").value)


class PoolValues:
    """Collects values by dotted path, the origin of each, and the reason for each that is missing."""

    def __init__(self, case: PoolCase) -> None:
        self.case = case
        self.origins: dict[str, str] = {}
        self.unknown: dict[str, str] = {}

    def fact(self, path: str, fact: Fact[Any], convert: Callable[[Any], Any] = lambda value: value) -> Any:
        """The value of a fact as JSON, or None with the reason noted."""
        try:
            value = convert(fact.value)
        except UnknownFact as unknown:
            self.unknown[path] = unknown.reason + (f"; {unknown.remedy}" if unknown.remedy else "")
            return None
        if fact.origin is not None:
            self.origins[path] = origin_text(fact.origin)
        return value

    def derived(self, path: str, compute: Callable[[], Any]) -> Any:
        """A value that follows from facts, or None with the fact that is missing."""
        try:
            return compute()
        except UnknownFact as unknown:
            self.unknown[path] = reason_of(unknown)
            return None

    def estimate(self, path: str, compute: Callable[[], Estimate], scale: float = 1.0) -> dict[str, float] | None:
        """``{low, mid, high}``, each divided by ``scale``; None with the reason where it is unknown or has no bound."""

        def interval() -> dict[str, float] | None:
            values = {name: value / scale for name, value in compute()._asdict().items()}
            if all(map(isfinite, values.values())):
                return values
            self.unknown[path] = "without limit: nothing in the model takes it up"
            return None

        found: dict[str, float] | None = self.derived(path, interval)
        return found

    def bounded(self, path: str, compute: Callable[[], Estimate], bound: Callable[[], float]) -> dict[str, float | None] | None:
        """``{low, mid, high, bound}``."""
        interval = self.estimate(path, compute)
        if interval is None:
            return None
        return {**interval, "bound": self.derived(f"{path}.bound", bound)}


def pool_object(case: PoolCase) -> dict[str, Any]:
    """The JSON object of one pool."""
    values = PoolValues(case)
    pool = case.pool
    return {
        "name": pool.name,
        "role": pool.role.value,
        "replicas": {
            "min": values.fact("replicas.min", pool.replicas_min),
            "max": values.fact("replicas.max", pool.replicas_max),
        },
        "parallelism": _parallelism(values),
        "gpus": _gpus(values),
        "nodes": values.fact("nodes", pool.nodes),
        "accelerator": _accelerator(values),
        "engine": {
            "name": values.fact("engine.name", pool.engine),
            "version": values.fact("engine.version", pool.version, str),
        },
        "model": {"id": values.fact("model.id", pool.model), "known": pool.architecture.is_known},
        "limits": {name: values.fact(f"limits.{name}", limit_of(pool, name)) for name in LIMITS},
        "memory": _memory(values),
        "prefill": {
            "ttft_s": values.bounded("prefill.ttft_s", lambda: case.latency.ttft_seconds, lambda: case.latency.ttft_bound_seconds)
        },
        "decode": {
            "tpot_s": values.bounded("decode.tpot_s", lambda: case.latency.tpot_seconds, lambda: case.latency.tpot_bound_seconds)
        },
        "throughput": _throughput(values),
        "origins": values.origins,
        "unknown": values.unknown,
    }


def _parallelism(values: PoolValues) -> dict[str, int | None]:
    degrees = {}
    for key, (field, of_layout) in DEGREES.items():
        fact = getattr(values.case.pool, field)
        path = f"parallelism.{key}"
        if fact.state is FactState.UNKNOWN and not fact.origin:
            degrees[key] = values.derived(path, partial(_of_layout, values.case, of_layout))
        else:
            degrees[key] = values.fact(path, fact)
    return degrees


def _of_layout(case: PoolCase, name: str) -> int:
    return case.layout.degree(name)


def _gpus(values: PoolValues) -> dict[str, int | None]:
    case, pool = values.case, values.case.pool
    return {
        "per_replica": values.derived("gpus.per_replica", lambda: case.layout.world_size),
        "requested": values.derived("gpus.requested", partial(_requested, pool)),
        "total": values.derived("gpus.total", lambda: case.layout.world_size * pool.replicas_min.value),
        "naive_product": values.derived("gpus.naive_product", lambda: case.layout.naive_product),
    }


def _requested(pool: Pool) -> int:
    if pool.shares_nodes:
        raise UnknownFact("gpus.requested", f"several replicas share the {pool.gpus_per_node.value} GPUs of a host")
    return pool.gpus_per_node.value * pool.nodes.value


def _accelerator(values: PoolValues) -> dict[str, Any]:
    fact = values.case.pool.accelerator
    several = [accelerator.name for accelerator in fact.values] if fact.state is FactState.ALTERNATIVES else []
    if fact.origin is not None:
        values.origins["accelerator.name"] = origin_text(fact.origin)
    return {
        "name": values.derived("accelerator.name", lambda: values.case.accelerator.name),
        "memory_gib": values.estimate("accelerator.memory_gib", lambda: values.case.accelerator.memory(), GIB),  # noqa: PLW0108 - `accelerator` itself may raise
        "count_per_node": values.fact("accelerator.count_per_node", values.case.pool.gpus_per_node),
        "alternatives": several,
    }


def _memory(values: PoolValues) -> dict[str, Any]:
    case = values.case

    def estimate(name: str, compute: Callable[[], Estimate], scale: float = GIB) -> dict[str, float] | None:
        return values.estimate(f"memory.{name}", compute, scale)

    return {
        "weights_gib": estimate("weights_gib", lambda: case.memory.weights_bytes),
        "activation_gib": estimate("activation_gib", lambda: case.memory.activation_bytes),
        "overhead_gib": estimate("overhead_gib", lambda: case.memory.overhead_bytes),
        "graphs_gib": estimate("graphs_gib", lambda: case.memory.graphs_bytes),
        "kv_cache_gib": estimate("kv_cache_gib", lambda: case.memory.kv_pool_bytes),
        "kv_bytes_per_token": estimate("kv_bytes_per_token", lambda: _exact(case.memory.kv_bytes_per_token), 1),
        "kv_cache_tokens": estimate("kv_cache_tokens", lambda: case.memory.kv_tokens, 1),
        "max_concurrency": estimate("max_concurrency", partial(_max_concurrency, case), 1),
        "utilization": estimate("utilization", lambda: case.memory.used_bytes.over(case.memory.device_bytes), 1),
    }


def _exact(value: float) -> Estimate:
    from servelint.estimate import Estimate  # loaded by whatever computed the value

    return Estimate.exact(value)


def _throughput(values: PoolValues) -> dict[str, Any]:
    path = "throughput.output_tokens_per_s_per_gpu"
    return {
        "output_tokens_per_s_per_gpu": values.bounded(
            path, partial(_output_rate, values.case), lambda: values.case.throughput.output_bound
        )
    }


def _output_rate(case: PoolCase) -> Estimate:
    """Output tokens per second and GPU at steady load, by Little's law: ``concurrency`` requests are under way, and each takes
    its time to the first token and then one TPOT per token. Never above the bound."""
    from servelint.estimate import Estimate

    concurrency, tokens = case.pool.concurrency.value, case.pool.output_tokens_mean.value
    bound = case.throughput.output_bound
    request = case.latency.ttft_seconds.plus(case.latency.tpot_seconds.times(max(tokens - 1, 0)))
    rate = Estimate.exact(concurrency * tokens / case.layout.world_size).over(request)
    return Estimate(*(min(value, bound) for value in rate))
