"""What a NIM's image and environment state, by field of the pool. All else is chosen by the profile it finds for its GPUs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.engines.defaults import DEGREES, Defaults
from servelint.engines.images import split
from servelint.engines.values import ArgumentFacts, Settings, degree, from_environment, share, tokens, word
from servelint.facts import Fact, Origin, OriginKind, Place

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from servelint.deployment import Pool
    from servelint.engines.command import Command

_VALUES: tuple[tuple[str, str, Callable[[str], Any]], ...] = (
    ("tensor", "NIM_TENSOR_PARALLEL_SIZE", degree),
    ("pipeline", "NIM_PIPELINE_PARALLEL_SIZE", degree),
    ("max_model_len", "NIM_MAX_MODEL_LEN", degree),
)
# Options that ``nim-serve`` hands to vLLM; they win over the variables.
_OPTIONS: Settings = (
    ("tensor", "--tensor-parallel-size", degree),
    ("pipeline", "--pipeline-parallel-size", degree),
    ("max_model_len", "--max-model-len", tokens),
    ("max_num_seqs", "--max-num-seqs", degree),
    ("max_num_batched_tokens", "--max-num-batched-tokens", tokens),
    ("gpu_memory_utilization", "--gpu-memory-utilization", share),
)
_MODELS = ("NIM_MODEL_NAME", "NIM_MODEL_PATH")
ANY_MODEL = frozenset(("llm-nim", "vllm-nim", "sglang-nim", "trtllm-nim"))
"""Images that run any model."""
REMEDY = "name it by NIM_MODEL_NAME"
PROFILE = "the profile that the NIM chooses for the GPUs it finds decides it"


def stated(command: Command, environment: Mapping[str, Fact[str]]) -> dict[str, Fact[Any]]:
    """The facts of the image and the environment; what they do not state is left out."""
    facts: dict[str, Fact[Any]] = {"model": _model(command, environment)}
    for field, name, parse in _VALUES:
        variable = environment.get(name)
        if variable is not None and (not variable.is_known or variable.value.strip()):
            facts[field] = from_environment(field, variable, parse)
    last = {argument.name: argument for argument in command.arguments if not argument.key}
    facts.update(ArgumentFacts(command, environment).read_all(_OPTIONS, last))
    return facts


def _model(command: Command, environment: Mapping[str, Fact[str]]) -> Fact[Any]:
    """The model by its variable, else by the path of the image: ``nvcr.io/nim/org/name``."""
    repository = split(command.image)[0]
    name = repository.rpartition("/nim/")[2].partition(":")[0]  # a chart may put the tag in both places
    holds_any = name.rpartition("/")[2] in ANY_MODEL
    for variable in _MODELS:
        fact = environment.get(variable)
        if fact is not None and (fact.is_known or holds_any):
            return from_environment("model", fact, _uri)
    if holds_any:
        return Fact.unknown("model.id", f"{name} runs any model, and which one is not stated", REMEDY)
    origin = Origin(OriginKind.FILE, "image", Place.of(command.document, command.node))
    return Fact.known("model.id", name, origin)


def _uri(text: str) -> str:
    """``hf://org/name``, ``ngc://org/team/name:tag``, or a name."""
    name = word(text).removeprefix("hf://").removeprefix("ngc://").partition(":")[0]
    if name.startswith("/") or "$" in name or not name:
        raise ValueError(f"the weights come from {text.strip()}, which names no model")
    return name


def defaults(pool: Pool) -> dict[str, Fact[Any]]:
    """Nothing is known that is not stated."""
    found = Defaults(pool, "NIM", "vllm")
    for field in (*DEGREES, "max_model_len", "max_num_seqs", "max_num_batched_tokens", "gpu_memory_utilization", "dtype"):
        found.unknown(field, PROFILE, "state it by a variable of the NIM, or pin NIM_MODEL_PROFILE")
    return found.facts
