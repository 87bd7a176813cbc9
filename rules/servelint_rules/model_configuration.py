"""DOC106: a model's configuration against itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.capacity.model_length import is_own
from servelint.facts import UnknownFact
from servelint.finding import Certainty, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint_rules.loading import checkpoint_size
from servelint_rules.places import place_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import PoolCase
    from servelint.catalogue.architecture import Architecture

# Size of a checkpoint against what the shape adds up to, beyond which one of them is wrong.
_APART = 2.0
_HEADS = ("num_attention_heads", "n_head", "n_heads")
_KV_HEADS = ("num_key_value_heads", "num_kv_heads", "n_head_kv")
_EXPERTS = ("n_routed_experts", "num_local_experts", "num_experts", "moe_num_experts")
_PER_TOKEN = ("num_experts_per_tok", "num_experts_per_token", "moe_topk", "top_k_experts", "moe_k")
_WIDTHS = ("moe_intermediate_size", "intermediate_size", "ffn_hidden_size", "expert_ffn_hidden_size", "ffn_dim", "n_inner")
_POSITIVE = ("num_hidden_layers", "hidden_size", "num_attention_heads", "num_key_value_heads", "vocab_size", "head_dim",
             "intermediate_size", "moe_intermediate_size")  # fmt: skip
_MOST = 1 << 40  # no field of a model's shape is larger; a typing slip may be


@rule(
    "DOC106", "model-config-contradictory", "Configuration of the model contradicts itself",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.POOL, since="0.1.0",
    inputs=("model",),
)  # fmt: skip
def model_config_contradictory(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A configuration of the model that was given, in a plan's `architecture`, by `--model-config` or in a local cache: sizes
    that are not positive; attention heads that do not divide the hidden size where no `head_dim` is stated; KV heads that do
    not divide the attention heads, or outnumber them; experts without a width, or fewer of them than a token is sent to; in an
    MLA model, missing parts of the head. What the shape adds up to is compared with the size of the checkpoint beside the
    file; PLN909 compares it with the `parameters` of a plan.

    ## Why it matters

    Every figure about memory, time and GPUs follows from these fields. From a slip in one of them they are all wrong, and the
    engine, which reads the same file, stops at it or loads another model than was meant.

    ## How to fix

    Take the `config.json` of the checkpoint as it is.

    ## Certainty

    Proven: the fields exclude each other. A checkpoint that is off by more than a factor of two is a warning: it may hold what
    the shape does not describe.

    ## References

    - transformers, the configuration classes of the models
    """
    pool = case.pool
    fact = pool.architecture
    if not is_own(pool):
        return
    architecture = fact.value
    place = place_of(pool, fact, pool.model)
    for fields, label in _contradictions(architecture):
        yield Verdict(place, label, help=("take the config.json of the checkpoint as it is",), key=" ".join(fields))
    yield from _counted(case)


def _contradictions(a: Architecture) -> Iterator[tuple[tuple[str, ...], str]]:
    """(fields, what is wrong with them). Fields that are absent contradict nothing."""
    bad = [name for name in _POSITIVE if (value := _number(a, name)) is not None and not 0 < value < _MOST]
    for name in bad:
        yield (name,), f"{name} = {a.field(name)} makes no model"
    if bad:
        return
    heads, kv_heads = _first(a, _HEADS), _first(a, _KV_HEADS)
    if a.is_mla:
        missing = tuple(name for name in ("qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim") if _number(a, name) is None)
        if missing:
            yield ("kv_lora_rank", *missing), f"kv_lora_rank = {a.field('kv_lora_rank')}, but no {' and '.join(missing)}"
    elif heads:
        yield from _head_sizes(a, *heads, kv_heads)
    yield from _experts(a)


def _head_sizes(a: Architecture, heads: str, count: int, kv: tuple[str, int] | None) -> Iterator[tuple[tuple[str, ...], str]]:
    hidden = _number(a, "hidden_size")
    if hidden and _number(a, "head_dim") is None and hidden % count:
        yield (heads, "hidden_size"), f"{heads} = {count} does not divide hidden_size = {hidden:.0f}, and there is no head_dim"
    if kv is not None and kv[1] > count:
        yield (heads, kv[0]), f"{kv[0]} = {kv[1]} is more than {heads} = {count}"
    elif kv is not None and count % kv[1]:
        yield (heads, kv[0]), f"{kv[0]} = {kv[1]} does not divide {heads} = {count}"


def _experts(a: Architecture) -> Iterator[tuple[tuple[str, ...], str]]:
    experts = next((found for name in _EXPERTS if (found := _first(a, (name,))) is not None and found[1] > 1), None)
    if experts is None:
        return
    if all(_number(a, name) is None for name in _WIDTHS):
        yield (experts[0], _WIDTHS[0]), f"{experts[0]} = {experts[1]}, but no width of an expert ({_WIDTHS[0]})"
    each = _first(a, _PER_TOKEN)
    if each is not None and each[1] > experts[1]:
        yield (experts[0], each[0]), f"{each[0]} = {each[1]} of {experts[0]} = {experts[1]}"


def _first(a: Architecture, names: tuple[str, ...]) -> tuple[str, int] | None:
    """The first of the fields that is a positive number, with its name."""
    return next(((name, int(value)) for name in names if (value := _number(a, name)) is not None and value > 0), None)


def _number(a: Architecture, name: str) -> float | None:
    value = a.field(name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _counted(case: PoolCase) -> Iterator[Verdict]:
    """The size of the checkpoint beside the configuration against what the shape adds up to."""
    pool = case.pool
    stored = pool.architecture.value.checkpoint_bytes
    if stored is None:
        return
    alone = pool.architecture.map(lambda architecture: architecture._replace(checkpoint_bytes=None))
    try:
        size = checkpoint_size(pool.with_facts({"architecture": alone}))
    except UnknownFact:
        return
    if size.low / _APART <= stored <= size.high * _APART:
        return
    yield Verdict(
        place_of(pool, pool.architecture, pool.model),
        f"the checkpoint has {stored / 1e9:.3g} GB; the shape adds up to {size.mid / 1e9:.3g} GB",
        severity=Severity.WARNING,
        certainty=Certainty.ESTIMATED,
        key="checkpoint",
    )
