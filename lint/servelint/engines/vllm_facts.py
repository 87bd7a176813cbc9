"""What a vLLM command line states, by field of the pool."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from servelint.engines.command import Form
from servelint.engines.model_names import named, positional, unnamed
from servelint.engines.values import ArgumentFacts, Settings, at_least, degree, share, tokens, word
from servelint.facts import Fact

if TYPE_CHECKING:
    from collections.abc import Mapping

    from servelint.engines.command import Argument, Command

_VALUES: Settings = (
    ("tensor", "--tensor-parallel-size", degree),
    ("pipeline", "--pipeline-parallel-size", degree),
    ("data", "--data-parallel-size", degree),
    ("data_local", "--data-parallel-size-local", at_least(0, "number of ranks")),  # 0: the head runs no rank
    ("prefill_context", "--prefill-context-parallel-size", degree),
    ("decode_context", "--decode-context-parallel-size", degree),
    ("nodes", "--nnodes", degree),
    ("max_num_seqs", "--max-num-seqs", degree),
    ("max_num_batched_tokens", "--max-num-batched-tokens", tokens),
    ("gpu_memory_utilization", "--gpu-memory-utilization", share),
    ("kv_cache_memory_bytes", "--kv-cache-memory-bytes", tokens),
    ("kv_cache_dtype", "--kv-cache-dtype", word),
    ("block_size", "--block-size", degree),
    ("dtype", "--dtype", word),
    ("quantization", "--quantization", word),
)
_SWITCHES = (("enforce_eager", "--enforce-eager"), ("chunked_prefill", "--enable-chunked-prefill"))
_OLD_SPECULATION = ("--speculative-model", "--spec-method", "--spec-model", "--num-speculative-tokens", "--spec-tokens")


def stated(command: Command, environment: Mapping[str, Fact[str]]) -> dict[str, Fact[Any]]:
    """The facts of a command line; what it does not state is left out."""
    reader = ArgumentFacts(command, environment)
    last: dict[str, Argument] = {a.name: a for a in command.arguments if not a.key}
    facts: dict[str, Fact[Any]] = {"model": _model(reader, last)}
    facts.update(reader.read_all(_VALUES, last))
    if "--max-model-len" in last:
        facts["max_model_len"] = _length(reader, last["--max-model-len"])
    for field, flag in _SWITCHES:
        if flag in last:
            facts[field] = reader.switch(field, last[flag])
    if "--enable-expert-parallel" in last:
        facts["expert"] = _expert(reader, last["--enable-expert-parallel"], facts)
    speculation = _speculation(reader)
    if speculation is not None:
        facts["speculative"] = speculation
    return facts


def _length(reader: ArgumentFacts, argument: Argument) -> Fact[Any]:
    """``auto`` and -1 let vLLM fit the length to its memory (``human_readable_int_or_auto``, since 0.14.1)."""
    if argument.value is not None and argument.value.strip().lower() in {"auto", "-1"}:
        reason = f"--max-model-len {argument.value.strip()} lets vLLM fit it to the memory that is left"
        return reader.unknown("max_model_len", argument, reason, "state the length")
    return reader.read("max_model_len", argument, tokens)


def _expert(reader: ArgumentFacts, argument: Argument, facts: Mapping[str, Fact[Any]]) -> Fact[Any]:
    """A switch: the group is TP·PCP·DP (vllm/model_executor/layers/fused_moe/config.py)."""
    switch = reader.switch("expert", argument)
    if not switch.is_known:
        return switch
    if not switch.value:
        return reader.known("expert", argument, 1)
    degrees = [facts[name] for name in ("tensor", "prefill_context", "data") if name in facts]
    for fact in degrees:
        if not fact.is_known:
            return reader.unknown("expert", argument, f"the expert group is TP × PCP × DP, and {fact.reason}", fact.remedy)
    if len(degrees) < 3 and not reader.command.complete:
        return reader.unknown("expert", argument, f"further degrees may come from {reader.command.elsewhere}")
    return reader.known("expert", argument, prod(fact.value for fact in degrees))


def _model(reader: ArgumentFacts, last: Mapping[str, Argument]) -> Fact[Any]:
    """The positional model of ``vllm serve``, else ``--model``. A path says nothing of what lies there."""
    command = reader.command
    argument = positional(command)
    if argument is None or argument.value_is_unknown:  # what a variable stands for there may be further options
        argument = last.get("--model") or argument
    if argument is None:
        return unnamed(command.elsewhere)
    text = (argument.value or "").strip()
    if argument.form is Form.POSITIONAL and text == "serve" and command.launcher == "image":
        reason = "the image starts the server itself, so 'serve' is read as the model's name"
        return reader.unknown("model", argument, reason, "leave 'serve' out of args")
    return named(reader, argument)


def _speculation(reader: ArgumentFacts) -> Fact[Any] | None:
    """``--speculative-config`` as JSON text, dotted keys merged; older flags under the keys that replaced them."""
    arguments = [a for a in reader.command.arguments if a.name == "--speculative-config" or a.name in _OLD_SPECULATION]
    if not arguments:
        return None
    unresolved = next((a for a in arguments if a.value_is_unknown), None)
    if unresolved is not None:
        return reader.unresolved("limits.speculative_config", unresolved)
    whole = [a for a in arguments if a.name == "--speculative-config" and not a.key]
    if whole and len(arguments) == 1:
        return reader.read("speculative", whole[0], word)
    import json  # lazy: only a configuration given key by key is put together here
    from contextlib import suppress

    merged: dict[str, Any] = {}
    names = {"--speculative-model": "model", "--spec-model": "model", "--spec-method": "method"}
    for argument in arguments:
        key = argument.key or names.get(argument.name, "num_speculative_tokens")
        value: Any = argument.value
        with suppress(ValueError):
            value = json.loads(argument.value or "null")
        if argument.name == "--speculative-config" and not argument.key:
            if isinstance(value, dict):
                merged.update(value)
            continue
        merged[key] = value
    text = json.dumps(merged, sort_keys=True)
    return Fact.known("limits.speculative_config", text, reader.origin(arguments[-1]))
