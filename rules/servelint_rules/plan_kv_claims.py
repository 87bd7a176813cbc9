"""What one GPU holds of the KV cache under the plan's own workload, and which mistake explains a claim that is not that."""

from __future__ import annotations

from itertools import combinations
from math import ceil, prod
from typing import TYPE_CHECKING

from servelint.finding import Certainty, Severity, Verdict
from servelint.formats.plan.claims import capacities
from servelint.formats.plan.model import is_absent, stated
from servelint.records import NamedTuple
from servelint_rules.plan_claims import LETTER_OF, MOST_LINES, like, place_of, principles, related
from servelint_rules.workload import longest_request, output_tokens

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import PlanCase, PoolCase
    from servelint.deployment import Pool
    from servelint.formats.plan.quantities import Quantity

# Degrees (fields of Layout) over which people divide or forget to divide a KV cache, and their letters.
_DEGREES = (("data", "DP"), ("pipeline", "PP"), ("tensor", "TP"), ("decode_context", "DCP"), ("prefill_context", "CP"))
_SHORTER = "a shorter request"
_NO_DIVISORS = (("sequence", "SP"), ("expert", "EP"))


class KvClaim(NamedTuple):
    """What is wrong with the KV cache claimed: the code of the rule whose fault it is, and the verdict."""

    code: str
    verdict: Verdict


class _Holding(NamedTuple):
    """``requests`` requests of ``tokens`` tokens on one rank: ``bytes`` on a GPU of its fullest stage."""

    requests: float
    tokens: float
    words: str
    bytes: float


def kv_claim(case: PlanCase) -> KvClaim | None:
    """The fault of ``claims.memory.kv_cache``, if it has one. Raises ``UnknownFact`` for a shape or workload it needs."""
    memory = case.plan.claims.memory
    claimed = stated(memory.kv_cache)
    if claimed is None:
        return _no_term(case)
    pool = case.pool.pool
    if len(case.pools) != 1 or is_absent(pool.concurrency) or is_absent(pool.input_tokens_max):
        return None  # whose requests and how long is not said
    holdings = _holdings(case.pool)
    allowed = max(principles(case).tolerances.arithmetic, claimed.rounding / claimed.value_si if claimed.value_si else 0.0)
    allowed = min(allowed, principles(case).tolerances.rounded)
    if any(_near(claimed.value_si, each.bytes, allowed) for each in holdings) or _is_what_is_left(case, claimed):
        return None
    certain = allowed <= principles(case).tolerances.arithmetic
    for holding in (each for each in holdings if each.words != _SHORTER):  # what explains any figure explains none
        ratio = claimed.value_si / holding.bytes if holding.bytes else 0.0
        shards = [words for factor, words in _wrong_shards(case.pool) if _near(ratio, factor, allowed)]
        factors = [words for factor, words in _lost_factors(case.pool, holding) if _near(ratio, factor, allowed)]
        if shards or factors:
            explained = "; or ".join((*shards, *factors)[:2])
            return KvClaim("PLN907" if shards else "PLN906", _verdict(case, claimed, holding, explained, certain))
    least = min(holdings, key=lambda each: each.bytes)
    if claimed.value_si * (1 + allowed) < least.bytes:
        return KvClaim("PLN906", _verdict(case, claimed, least, "the requests do not fit into it even at their shortest", False))
    return None


def _near(value: float, other: float, allowed: float) -> bool:
    return abs(value - other) <= allowed * other


def _no_term(case: PlanCase) -> KvClaim | None:
    """A total that is the sum of the parts stated, with no KV cache among them."""
    memory = case.plan.claims.memory
    total = stated(memory.total)
    parts = [part for part in map(stated, memory.parts) if part is not None]
    if total is None or not parts or not is_absent(memory.kv_cache):
        return None
    amount = sum(part.value_si for part in parts)
    rounding = total.rounding + sum(part.rounding for part in parts)
    if total.value_si - amount > max(principles(case).tolerances.arithmetic * total.value_si, rounding):
        return None  # the rest may be it
    figures = " + ".join(part.text for part in parts)
    lines = [f"{figures} = {like(total, amount)}, the whole total"]
    pool = case.pool.pool
    if pool.architecture.is_known and pool.concurrency.is_known and pool.input_tokens_max.is_known and len(case.pools) == 1:
        lines.append(_line(case.pool, _holdings(case.pool)[0]))
    verdict = Verdict(
        place_of(case, memory.total),
        f"the {total.text} of one GPU hold no KV cache",
        arithmetic=tuple(lines),
        help=("state `claims.memory.kv_cache`, and add it to the total",),
        related=related((pool.concurrency, "requests at once"), (pool.input_tokens_max, "their length")),
        key="none",
    )
    return KvClaim("PLN906", verdict)


def _is_what_is_left(case: PlanCase, claimed: Quantity) -> bool:
    """The claim is the pool that the engine will make of all the memory it may use, whatever the workload needs."""
    memory, pool = case.plan.claims.memory, case.pool.pool
    if pool.kv_cache_memory_bytes.is_known and _near(claimed.value_si, pool.kv_cache_memory_bytes.value, 0.01):
        return True
    others = [stated(part) for part in memory.parts if part is not memory.kv_cache]
    used = claimed.value_si + sum(part.value_si for part in others if part is not None)
    return any(_near(used, capacity.bytes, 0.02) for capacity in capacities(case))


def _holdings(case: PoolCase) -> list[_Holding]:
    """What one GPU may hold at the stated load, the longest requests first: by the lengths and counts the plan states."""
    pool, layout = case.pool, case.layout
    ranks = layout.attention_ranks * pool.replicas_min.value
    share = pool.concurrency.value / ranks
    counts = list(dict.fromkeys((float(ceil(share)), share)))
    if pool.max_num_seqs.is_known:
        counts += [float(pool.max_num_seqs.value)] if pool.max_num_seqs.value not in counts else []
    lengths = _lengths(pool)
    per = [(tokens, words, _request_bytes(case, tokens)) for tokens, words in lengths]
    return [
        _Holding(count, tokens, words, count * size)
        for tokens, words, sizes in per
        for count in counts
        for size in dict.fromkeys((max(sizes), sum(sizes) / len(sizes), min(sizes)))
    ]


def _lengths(pool: Pool) -> list[tuple[int, str]]:
    longest = pool.input_tokens_max.value
    found = [(longest, "the longest prompt"), (longest_request(pool) or longest, "prompt and answer")]
    if pool.max_model_len.is_known:
        found.append((pool.max_model_len.value, "max_model_len"))
    answer = int(output_tokens(pool))
    means = [pool.input_tokens_mean.value] if pool.input_tokens_mean.is_known else []
    if pool.input_tokens_min.is_known:
        means += [(pool.input_tokens_min.value + longest) / 2, pool.input_tokens_min.value]
    found += [(int(mean) + more, _SHORTER) for mean in means for more in (0, answer)]
    return [(tokens, words) for tokens, words in dict(reversed(found)).items() if tokens > 0][::-1]


def _request_bytes(case: PoolCase, tokens: int) -> list[float]:
    """Bytes of one request on a GPU of each stage, counted to the byte."""
    from servelint.capacity.kv_cache import kv_cache_of
    from servelint.capacity.shape import layer_kinds, stage_layers

    kinds = layer_kinds(case.architecture)
    sizes, start = [], 0
    for count in stage_layers(case.layout.engine, len(kinds), case.layout.pipeline):
        cache = kv_cache_of(case.pool, case.layout.with_()._replace(engine="generic"), kinds[start : start + count], 1)
        sizes.append(cache.request_bytes(tokens))
        start += count
    return sizes


def _wrong_shards(case: PoolCase) -> Iterator[tuple[float, str]]:
    """(claim / right figure, what was done): degrees left out of the quotient, the fewest first, and those that divide
    nothing."""
    layout, shape = case.layout, case.architecture
    kv_heads = 1 if shape.is_mla else shape.kv_heads
    forgotten = []
    for field, letters in _DEGREES:
        degree = layout.degree(field)
        if field == "tensor":
            degree = min(layout.attention_tensor, kv_heads)
        if degree > 1:
            forgotten.append((degree, f"{letters} {degree}"))
    for size in range(1, len(forgotten) + 1):
        for some in combinations(forgotten, size):
            names = " and ".join(words for _, words in some)
            yield float(prod(degree for degree, _ in some)), f"it is not divided by {names}"
    copies = layout.attention_tensor / min(layout.attention_tensor, kv_heads)
    if copies > 1:
        what = "is a latent that every rank holds" if shape.is_mla else f"are only {kv_heads} KV heads to share out"
        yield 1 / copies, f"it is divided by TP {layout.attention_tensor}, but there {what}"
    for field, letters in _NO_DIVISORS:
        degree = layout.degree(field)
        if degree > 1:
            yield 1 / degree, f"it is divided by {letters} {degree}, which divides no KV cache"


def _lost_factors(case: PoolCase, holding: _Holding) -> Iterator[tuple[float, str]]:
    """(claim / right figure, what was lost or put in its place)."""
    shape, layout = case.architecture, case.layout
    if not shape.is_mla:
        yield 0.5, "it has keys or values, not both"
        heads = max(1.0, shape.attention_heads / layout.attention_tensor) / max(1.0, shape.kv_heads / layout.attention_tensor)
        if heads > 1:
            yield heads, f"it counts {shape.attention_heads} attention heads; the cache has {shape.kv_heads} KV heads"
    if holding.requests > 1:
        yield 1 / holding.requests, f"it is that of one request, of {holding.requests:g}"


def _line(case: PoolCase, holding: _Holding) -> str:
    each = holding.bytes / holding.requests / holding.tokens
    return (
        f"{holding.requests:g} requests of {holding.tokens:g} tokens ({holding.words}) × {each:g} B per GPU "
        f"({case.layout.formula()}) = {holding.bytes / 1e9:.2f} GB"
    )


def _verdict(case: PlanCase, claimed: Quantity, holding: _Holding, explained: str, certain: bool) -> Verdict:
    memory, pool = case.plan.claims.memory, case.pool.pool
    return Verdict(
        place_of(case, memory.kv_cache),
        f"one GPU holds {like(claimed, holding.bytes)}, not {claimed.text}: {explained}",
        arithmetic=(_line(case.pool, holding), f"claimed: {claimed.text}, {claimed.value_si / holding.bytes:.3g} times that")[
            :MOST_LINES
        ],
        related=related(
            (pool.concurrency, "requests at once"), (pool.input_tokens_max, "their length"), (pool.architecture, "the shape")
        ),
        severity=Severity.ERROR if certain else Severity.WARNING,
        certainty=Certainty.PROVEN if certain else Certainty.HEURISTIC,
    )


def activation_verdicts(case: PlanCase) -> Iterator[Verdict]:
    """``claims.memory.activations`` that is one layer's hidden states times the layers, and far beyond what a step needs."""
    fact = case.plan.claims.memory.activations
    claimed = stated(fact)
    pool = case.pool.pool
    if claimed is None or len(case.pools) != 1 or is_absent(pool.concurrency) or is_absent(pool.input_tokens_max):
        return
    from servelint.capacity.quantization import element_bytes
    from servelint.capacity.shape import hidden_size, layer_count

    layout, shape = case.pool.layout, case.pool.architecture
    layers, hidden, element = layer_count(shape), hidden_size(shape), element_bytes(pool)
    allowed = principles(case).tolerances.arithmetic
    degrees = [(name, layout.degree(name)) for name in ("tensor", "sequence", "data", "pipeline") if layout.degree(name) > 1]
    for tokens in dict.fromkeys((pool.input_tokens_max.value, longest_request(pool) or 0)):
        whole = pool.concurrency.value * tokens * hidden * element * layers
        for size in range(len(degrees) + 1):
            for some in combinations(degrees, size):
                if not _near(claimed.value_si, whole / prod(degree for _, degree in some), allowed):
                    continue
                need = case.pool.memory.activation_bytes
                if claimed.value_si <= 2 * need.high:
                    return
                over = "".join(f" / {LETTER_OF[name]} {degree}" for name, degree in some)
                product = f"{pool.concurrency.value} × {tokens} tokens × {hidden} × {element:g} B × {layers} layers{over}"
                yield Verdict(
                    place_of(case, fact),
                    f"{claimed.text} is the hidden states of all {layers} layers: inference keeps those of one",
                    arithmetic=(
                        f"{product} = {like(claimed, claimed.value_si)}",
                        f"a step needs about {need.mid / 1e9:.2g} GB per GPU ({need.low / 1e9:.2g} … {need.high / 1e9:.2g})",
                    ),
                    related=related((pool.architecture, "the shape"), (pool.concurrency, "the requests")),
                )
                return
