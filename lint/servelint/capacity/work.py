"""Work: the arithmetic and the traffic that serving a token takes, whatever the layout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.capacity import shape, tensors
from servelint.capacity.kv_cache import kv_cache_of
from servelint.capacity.layout import Layout
from servelint.capacity.limits import missing
from servelint.capacity.quantization import alike, dtype_bytes, quantization_of
from servelint.capacity.weights import READINGS_AGREE, text_parameters, weights_of
from servelint.estimate import Estimate
from servelint.facts import UnknownFact
from servelint.records import NamedTuple

if TYPE_CHECKING:
    from servelint.capacity.kv_cache import KvCache
    from servelint.catalogue.accelerators import Accelerator
    from servelint.catalogue.architecture import Architecture
    from servelint.deployment import Pool


class Work(NamedTuple):
    """One reading of the model. ``layers``: parameters that every token multiplies, embeddings and LM head left out;
    ``head``: those of the LM head, which only sampled tokens multiply; ``total``: all parameters."""

    label: str
    layers: float
    head: float
    total: float


def _number(value: float) -> str:
    for unit, size in (("T", 1e12), ("B", 1e9), ("M", 1e6)):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.0f}"


def _shape_work(a: Architecture) -> Work:
    """What one token multiplies, from the tensors: of the routed experts only those it is sent to."""
    layers = 0.0
    experts = a.experts
    for kind, count in shape.kind_counts(a).items():
        for part in tensors.layer_parts(a, kind):
            share = tensors.experts_per_token(a) / experts if part.role == "expert" else 1.0
            if part.columns > 1:  # norms and biases add nothing to speak of
                layers += count * part.parameters * share
    known_vocabulary = shape.whole(a, "vocab_size", "padded_vocab_size") > 0
    head = tensors.head_part(a).parameters if known_vocabulary else 0.0
    total = text_parameters(a)
    return Work(f"{_number(total)} parameters of the shape", layers, head, total)


def readings_of(pool: Pool) -> tuple[Work, ...]:
    """The readings of the model: the stated number first, then the count of its shape where they disagree by more than 10 %.

    Raises :class:`UnknownFact` where neither is known.
    """
    counted: Work | None = None
    if pool.architecture.is_known:
        try:
            counted = _shape_work(pool.architecture.value)
        except UnknownFact:
            if not pool.parameters.is_known and not pool.active_parameters.is_known:
                raise
    if not pool.parameters.is_known:
        if counted is None:
            missing(pool.architecture)
        return (counted,)
    stated = pool.parameters.value
    if counted is not None and abs(stated / counted.total - 1) <= READINGS_AGREE:
        return (counted,)
    active = pool.active_parameters.value if pool.active_parameters.is_known else None
    label = f"{_number(stated)} parameters as stated"
    if active is not None:
        label = f"{_number(active)} active parameters as stated"
    elif counted is not None and pool.architecture.value.experts:
        active = stated * counted.layers / max(counted.layers, counted.total - 2 * counted.head)
    head = counted.head if counted is not None else 0.0
    # Which part of a stated number is embeddings is known only with a vocabulary; they are left out twice, table and head.
    own = Work(label, max(0.0, (active if active is not None else stated) - 2 * head), head, stated)
    return (own,) if counted is None else (own, counted)


def attention_flops(a: Architecture, tokens: int) -> float:
    """Operations of attention itself for a prompt of ``tokens``: 2 × (key + value width) × heads per visible pair.

    A causal layer sees ``n (n + 1) / 2`` pairs, a sliding one at most its window per token, a sparse one its top-k. States of
    constant size are left out, which keeps a bound a bound. Raises :class:`UnknownFact`.
    """
    pairs = tokens * (tokens + 1) / 2
    total = 0.0
    for kind, count in shape.kind_counts(a).items():
        if kind.mixer == shape.MLA:
            heads = shape.heads(a)
            width = a.need("qk_nope_head_dim") + a.need("qk_rope_head_dim") + a.number("v_head_dim", a.need("qk_nope_head_dim"))
            seen = min(pairs, tokens * float(a.number("index_topk", tokens)))
        elif kind.mixer in {shape.FULL, shape.SLIDING}:
            heads, _, key, value = tensors.attention_dims(a, kind.mixer)
            width = key + value
            window = shape.window(a) if kind.mixer == shape.SLIDING else 0
            seen = min(pairs, float(tokens * window)) if window else pairs
        else:
            continue
        total += 2.0 * count * heads * width * seen
    return total


def prompt_flops(pool: Pool, work: Work, tokens: int) -> float:
    """Operations to prefill ``tokens`` that no prefix cache serves: 2 per active parameter and token, and attention."""
    attention = 0.0
    if pool.architecture.is_known:
        try:
            attention = attention_flops(pool.architecture.value, tokens)
        except UnknownFact:
            attention = 0.0
    return 2.0 * work.layers * tokens + attention


_ORDER = {1.0: ("fp8", "int8"), 0.5: ("fp4", "fp8", "int8"), 2.0: ("bf16", "fp16"), 4.0: ("fp32", "bf16", "fp16")}


def _formats(pool: Pool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Number formats the matrix units may use: those that are likely, the likeliest first, and all that are possible."""
    plain = ("bf16", "fp16")
    a = pool.architecture.value if pool.architecture.is_known else None
    quantization = quantization_of(pool, a)
    if quantization is None:
        width = dtype_bytes(pool)
        if width < 1:
            return ("fp4", "fp8", *plain), ("fp4", "int4", "fp8", "int8", *plain)
        if width == 1:
            return ("fp8", "int8", *plain), ("fp8", "int8", *plain)
        return plain, plain
    label = quantization.label.lower()
    everything = ("fp4", "int4", "fp8", "int8", *plain)
    if "nvfp4" in label or "fp4" in quantization.scheme.label:
        return ("fp4", "fp8", *plain), everything
    if quantization.scheme.bytes.mid >= 1 and not label.startswith("bitsandbytes"):
        return ("int8" if "int8" in quantization.scheme.label else "fp8", *plain), everything[2:]
    return plain, everything  # weight-only: computed in 16 bits, unless a kernel does better


def peak_flops(pool: Pool, accelerator: Accelerator, highest: bool) -> float:
    """Operations per second of one GPU in the format the model is computed in. Raises :class:`UnknownFact`.

    ``highest``: the highest that any listed source gives for any format the kernels may use, which a bound has to take.
    """
    likely, possible = _formats(pool)
    table = accelerator.peak_flops_highest if highest else accelerator.peak_flops
    if highest:
        values = [table[name] for name in possible if table.get(name)]
        if values:
            return max(values)
    else:
        for name in likely:
            if table.get(name):
                return table[name]
    raise UnknownFact(
        "accelerator.compute",
        f"no peak of {accelerator.name} for {' or '.join(likely)} is known",
        f"state accelerator.compute.{likely[-1]}",
    )


def bandwidth(accelerator: Accelerator) -> float:
    """Memory bandwidth of one GPU in bytes per second. Raises :class:`UnknownFact`."""
    value = accelerator.bandwidth_bytes_per_second
    if value is None:
        raise UnknownFact(
            "accelerator.bandwidth", f"the memory bandwidth of {accelerator.name} is not known", "state accelerator.bandwidth"
        )
    return value


class Traffic(NamedTuple):
    """Bytes that exist once in a replica: ``fixed`` weights read for every step, ``experts`` of which a token reads
    ``routed`` out of ``choices`` per layer, and the KV cache per request (``cache``; ``rank_cache``: on one rank, all stages)."""

    fixed: Estimate
    experts: Estimate
    routed: int
    choices: int
    cache: KvCache | None
    rank_cache: KvCache | None

    def least(self, batch: float, context: int) -> float:
        """Least bytes a step over ``batch`` requests of ``context`` cached tokens reads: every token sent to the same experts."""
        experts = self.experts.low * self.routed / self.choices if self.choices else 0.0
        cached = self.cache.request_bytes(context) if self.cache is not None and context > 0 else 0.0
        return self.fixed.low + experts + batch * cached

    def likely_experts(self, batch: float) -> float:
        """Share of the experts that a step over ``batch`` tokens reads, were each token's choice independent."""
        return 1.0 - (1.0 - self.routed / self.choices) ** max(batch, 1.0) if self.choices else 0.0


def traffic_of(pool: Pool, layout: Layout) -> Traffic:
    """Bytes of the model with every tensor counted once, embeddings left out. Raises :class:`UnknownFact`."""
    single = Layout("generic")
    weights = weights_of(pool, single).stages[0]
    a = pool.architecture.value if pool.architecture.is_known else None
    if a is None:
        return Traffic(weights, Estimate.exact(0.0), 0, 0, None, None)
    try:
        kinds = shape.layer_kinds(a)
        parts = {kind: [p for p in tensors.layer_parts(a, kind) if p.role == "expert"] for kind in set(kinds)}
        cache = kv_cache_of(pool, single, kinds, 1)
        rank_cache = kv_cache_of(pool, layout._replace(engine="generic"), kinds, 1)
    except UnknownFact:
        return Traffic(weights, Estimate.exact(0.0), 0, 0, None, None)
    quantization, plain = quantization_of(pool, a), dtype_bytes(pool)
    experts = Estimate.exact(0.0)
    for layer, count, kind in alike(quantization, enumerate(kinds)):
        for part in parts[kind]:
            per = quantization.bytes_of(part, layer, plain) if quantization else Estimate.exact(plain)
            experts = experts.plus(per.times(count * part.parameters))
    table = tensors.head_part(a).parameters * plain if shape.whole(a, "vocab_size") and tensors.is_tied(a) is False else 0.0
    fixed = [max(0.0, whole - part - table) for whole, part in zip(weights, experts, strict=True)]
    routed = tensors.experts_per_token(a) if a.experts else 0
    return Traffic(Estimate(*sorted(fixed)), experts, routed, a.experts, cache, rank_cache)
