"""Model length: the longest sequence that an engine accepts for a model, from the model's configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.records import NamedTuple

if TYPE_CHECKING:
    from servelint.catalogue.architecture import Architecture
    from servelint.deployment import Pool
    from servelint.engines.versions import Version

# Fields whose smallest value vLLM takes as the model's length (_get_and_verify_max_len, vllm/config/model.py).
_LENGTHS = (
    "max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "max_target_positions", "max_sequence_length",
    "max_seq_length", "seq_len",
)  # fmt: skip
# The same for SGLang, which takes the first that is there (CONTEXT_LENGTH_KEYS in its hf_transformers_utils.py).
_SGLANG_LENGTHS = ("max_sequence_length", "seq_length", "max_seq_len", "model_max_length", "max_position_embeddings")
# Rope types whose factor is already in max_position_embeddings, in every version.
_NEVER_SCALED = frozenset(("default", "su", "longrope", "llama3", "mrope"))
# The last scanned release that multiplies yarn's original length by its factor, and the first that does not.
_YARN_SCALED_UNTIL, _YARN_AS_IS_FROM = (0, 29, 0), (0, 30, 0)


class Length(NamedTuple):
    """The longest sequence an engine accepts, and how it comes about."""

    tokens: int
    words: str


def derived_length(architecture: Architecture, version: Version | None) -> Length | None:
    """The longest sequence vLLM accepts for this model; the most favourable reading where the version is not known.

    None where the configuration states no length. Source: vLLM, ``vllm/config/model.py``, ``_get_and_verify_max_len``.
    """
    stated = [(architecture.number(name, 0), name) for name in _LENGTHS]
    lengths = [(tokens, name) for tokens, name in stated if tokens > 0]
    if not lengths:
        return None
    tokens, name = min(lengths)
    plain = Length(tokens, f"{name} = {tokens}")
    rope = architecture.field("rope_scaling") or architecture.field("rope_parameters")
    if not isinstance(rope, dict):
        return plain
    kind = str(rope.get("rope_type") or rope.get("type") or "default")
    factor = rope.get("factor")
    if kind in _NEVER_SCALED or not isinstance(factor, int | float) or "gemma3" in str(architecture.field("model_type")):
        return plain
    base = rope.get("original_max_position_embeddings", tokens) if kind == "yarn" else tokens
    scaled = Length(int(base * factor), f"{kind}: {base} × factor {factor:g} = {int(base * factor)}")
    if kind != "yarn" or (version is not None and version <= _YARN_SCALED_UNTIL):
        return scaled
    if version is not None and version >= _YARN_AS_IS_FROM:
        return plain
    return max(plain, scaled)


def sglang_length(architecture: Architecture) -> Length | None:
    """The longest sequence SGLang derives for this model; None where the configuration states no length.

    Source: SGLang, ``get_context_length`` in ``python/sglang/srt/hf_transformers_utils.py``.
    """
    name = next((name for name in _SGLANG_LENGTHS if architecture.number(name, 0) > 0), None)
    if name is None:
        return None
    tokens = architecture.number(name, 0)
    rope = architecture.field("rope_scaling")
    factor = rope.get("factor") if isinstance(rope, dict) else None
    if not isinstance(rope, dict) or not isinstance(factor, int | float) or rope.get("rope_type") == "llama3":
        return Length(tokens, f"{name} = {tokens}")
    if "original_max_position_embeddings" in rope:
        return Length(tokens, f"{name} = {tokens}")
    return Length(int(tokens * factor), f"{name} = {tokens} × factor {factor:g} = {int(tokens * factor)}")


def unstated_length(pool: Pool) -> Length | None:
    """The longest sequence that the engine of ``pool`` derives from the model where nobody states one.

    None where somebody does or may (a command that is not wholly known), and for engines of which it is not known. The
    tokenizer's own limit counts too and is in no catalogue: the engine may derive a shorter one.
    """
    fact = pool.max_model_len
    if fact.is_known or fact.reason != "not stated" or not pool.architecture.is_known:
        return None
    if not pool.containers or not all(each.command is not None and each.command.complete for each in pool.containers):
        return None
    engine = pool.engine.get("")
    if engine == "vllm":
        return derived_length(pool.architecture.value, pool.version.get(None))
    return sglang_length(pool.architecture.value) if engine == "sglang" else None


def is_own(pool: Pool) -> bool:
    """Whether the architecture is the checkpoint's own configuration: given in the plan, by ``--model-config``, or found in a
    local cache, as opposed to the catalogue's."""
    from servelint.facts import OriginKind  # lazy: most callers ask for lengths only

    origin = pool.architecture.origin
    if not pool.architecture.is_known or origin is None:
        return False
    return origin.kind in (OriginKind.FILE, OriginKind.CONFIG) or origin.text.startswith("config.json ")
