"""Model runners: which of vLLM's two a deployment gets by default. They profile memory in ways of their own.

``use_v2_model_runner`` in vllm/config/vllm.py of 0.22.1, 0.23.0, 0.24.0, 0.25.1, 0.26.0, 0.27.1, 0.28.0, 0.29.0 and 0.33.0. What
the second runner does not serve (some kinds of speculation) falls back to the first; ``VLLM_USE_V2_MODEL_RUNNER`` overrules all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.capacity import shape, stated
from servelint.capacity.limits import speculates, version_of
from servelint.facts import UnknownFact

if TYPE_CHECKING:
    from servelint.catalogue.architecture import Architecture
    from servelint.deployment import Pool

FIRST, SECOND = 1, 2
_VARIABLE = "VLLM_USE_V2_MODEL_RUNNER"
_CLASSES = {"qwen3": "Qwen3ForCausalLM", "llama": "LlamaForCausalLM", "mistral": "MistralForCausalLM"}
_NAMED = frozenset({"DeepseekV2ForCausalLM", "Qwen2MoeForCausalLM", "GraniteMoeForCausalLM"})
_LATER = {  # from the release on, beside the dense models
    (0, 26, 0): ("InklingForCausalLM", "InklingForConditionalGeneration", "LongcatFlashNgramForCausalLM"),
    (0, 27, 1): ("KimiK3ForConditionalGeneration",),
    (0, 28, 0): ("DeepseekV4ForCausalLM",),
}
_UNSERVED = ("ngram", "suffix", "medusa")
_FORCING = ("dspark",)


def _names(a: Architecture) -> set[str]:
    listed = a.field("architectures")
    names = {str(name) for name in listed} if isinstance(listed, list) else set()
    return names or {_CLASSES.get(shape.family(a), "")}


def _asked(pool: Pool) -> tuple[int, ...]:
    """What the environment of a container asks for; both where it cannot be read, none where it says nothing."""
    value = stated.variable(pool, _VARIABLE)
    if value is None:
        return ()
    return ((FIRST,) if value == "0" else (SECOND,)) if value else (SECOND, FIRST)


def runners_of(pool: Pool, vendor: str = "NVIDIA") -> tuple[int, ...]:
    """The runners that a pool of vLLM may get, the likeliest first."""
    version = version_of(pool)
    if version is not None and version < (0, 20, 0):
        return (FIRST,)
    if asked := _asked(pool):
        return asked
    if version is None:
        return SECOND, FIRST
    if version < (0, 22, 0):
        return (FIRST,)
    method = str(pool.speculative.value).lower() if speculates(pool) and pool.speculative.is_known else ""
    spread = version >= (0, 27, 1) and pool.prefill_context.get(1) > 1  # over context ranks, which the first runner has not
    if spread or (version >= (0, 26, 0) and any(word in method for word in _FORCING)):
        return (SECOND,)
    if any(word in method for word in _UNSERVED):
        return (FIRST,)
    if version >= (0, 29, 0):
        return (SECOND,) if vendor == "NVIDIA" else (SECOND, FIRST)
    try:
        kinds = shape.layer_kinds(pool.architecture.value)
    except UnknownFact:
        return FIRST, SECOND
    names, a = _names(pool.architecture.value), pool.architecture.value
    experts, hybrid = a.experts > 0, any(kind.mixer in shape.STATES for kind in kinds)
    if version < (0, 24, 0):
        dense = {"Qwen3ForCausalLM"} if version < (0, 23, 0) else set(_CLASSES.values())
        return (SECOND,) if names & dense and not experts and not a.quantization else (FIRST,)
    if version < (0, 25, 0):
        return (SECOND,) if names & (_NAMED | set(_CLASSES.values())) else (FIRST,)
    if version < (0, 25, 1):  # between the releases that were read
        return (SECOND,) if names & (_NAMED | set(_CLASSES.values())) else (FIRST, SECOND)
    named = names & (_NAMED | {name for first, more in _LATER.items() if version >= first for name in more})
    return (SECOND,) if named or not (experts or hybrid) else (FIRST,)
