"""What a vLLM command line states, by field of the pool."""

from __future__ import annotations

import re
from math import prod
from typing import TYPE_CHECKING, Any

from servelint.engines.arguments import is_truth
from servelint.engines.command import Form
from servelint.engines.values import ArgumentFacts, human_readable_integer, integer
from servelint.facts import Fact

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from servelint.engines.command import Argument, Command

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_CACHED = re.compile(r"(?:^|/)models--([\w.-]+?)--([\w.-]+)(?:/|$)")
_PATH_REMEDY = "give the model by its hub id (org/name)"


def _at_least(least: int, what: str) -> Callable[[str], int]:
    def parse(text: str) -> int:
        value = integer(text)
        if value < least:
            raise ValueError(f"{value} is no {what}")
        return value

    return parse


def _tokens(text: str) -> int:
    value = human_readable_integer(text)
    if value < 1:
        raise ValueError(f"{value} is not positive")
    return value


def _share(text: str) -> float:
    """A share of the GPU's memory, in (0, 1]: vllm/config/cache.py, ``Field(gt=0, le=1)``."""
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{text!r} is no number") from None
    if not 0 < value <= 1:
        raise ValueError(f"{text.strip()} is not in (0, 1]")
    return value


def _word(text: str) -> str:
    value = text.strip()
    if not value:
        raise ValueError("the value is empty")
    return value


_degree = _at_least(1, "positive whole number")

_VALUES: tuple[tuple[str, str, Callable[[str], Any]], ...] = (
    ("tensor", "--tensor-parallel-size", _degree),
    ("pipeline", "--pipeline-parallel-size", _degree),
    ("data", "--data-parallel-size", _degree),
    ("data_local", "--data-parallel-size-local", _at_least(0, "number of ranks")),  # 0: the head runs no rank
    ("prefill_context", "--prefill-context-parallel-size", _degree),
    ("decode_context", "--decode-context-parallel-size", _degree),
    ("nodes", "--nnodes", _degree),
    ("max_num_seqs", "--max-num-seqs", _degree),
    ("max_num_batched_tokens", "--max-num-batched-tokens", _tokens),
    ("gpu_memory_utilization", "--gpu-memory-utilization", _share),
    ("kv_cache_memory_bytes", "--kv-cache-memory-bytes", _tokens),
    ("kv_cache_dtype", "--kv-cache-dtype", _word),
    ("block_size", "--block-size", _degree),
    ("dtype", "--dtype", _word),
    ("quantization", "--quantization", _word),
)
_SWITCHES = (("enforce_eager", "--enforce-eager"), ("chunked_prefill", "--enable-chunked-prefill"))
_OLD_SPECULATION = ("--speculative-model", "--spec-method", "--spec-model", "--num-speculative-tokens", "--spec-tokens")


def stated(command: Command, environment: Mapping[str, Fact[str]]) -> dict[str, Fact[Any]]:
    """The facts of a command line; what it does not state is left out."""
    reader = ArgumentFacts(command, environment)
    last: dict[str, Argument] = {a.name: a for a in command.arguments if not a.key}
    facts: dict[str, Fact[Any]] = {"model": _model(reader, last)}
    for field, flag, parse in _VALUES:
        if flag in last:
            facts[field] = reader.read(field, last[flag], parse)
    if "--max-model-len" in last:
        facts["max_model_len"] = _length(reader, last["--max-model-len"])
    for field, flag in _SWITCHES:
        if flag in last:
            facts[field] = _switch(reader, field, last[flag])
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
    return reader.read("max_model_len", argument, _tokens)


def _switch(reader: ArgumentFacts, field: str, argument: Argument) -> Fact[Any]:
    on = argument.flag is None or not argument.flag.negates(argument.written)
    if argument.value is None:
        return reader.known(field, argument, on)

    def parse(text: str) -> bool:
        if not is_truth(text):
            raise ValueError(f"{text!r} is neither true nor false")
        return (text.strip().lower() in {"true", "1", "yes", "on"}) is on

    return reader.read(field, argument, parse)


def _expert(reader: ArgumentFacts, argument: Argument, facts: Mapping[str, Fact[Any]]) -> Fact[Any]:
    """A switch: the group is TP·PCP·DP (vllm/model_executor/layers/fused_moe/config.py)."""
    switch = _switch(reader, "expert", argument)
    if not switch.is_known:
        return switch
    if not switch.value:
        return reader.known("expert", argument, 1)
    degrees = [facts[name] for name in ("tensor", "prefill_context", "data") if name in facts]
    for degree in degrees:
        if not degree.is_known:
            return reader.unknown("expert", argument, f"the expert group is TP × PCP × DP, and {degree.reason}", degree.remedy)
    if len(degrees) < 3 and not reader.command.complete:
        return reader.unknown("expert", argument, f"further degrees may come from {reader.command.elsewhere}")
    return reader.known("expert", argument, prod(degree.value for degree in degrees))


def _model(reader: ArgumentFacts, last: Mapping[str, Argument]) -> Fact[Any]:
    """The positional model of ``vllm serve``, else ``--model``. A path says nothing of what lies there."""
    command = reader.command
    argument = _positional_model(command)
    if argument is None or argument.value_is_unknown:  # what a variable stands for there may be further options
        argument = last.get("--model") or argument
    if argument is None:
        where = command.elsewhere or ""
        reason = f"the model may come from {where}" if where else "the command line names no model"
        return Fact.unknown("model.id", reason, "name the model on the command line")
    if argument.value_is_unknown:
        return reader.unresolved("model.id", argument)
    text = (argument.value or "").strip()
    if argument.form is Form.POSITIONAL and text == "serve" and command.launcher == "image":
        reason = "the image starts the server itself, so 'serve' is read as the model's name"
        return reader.unknown("model", argument, reason, "leave 'serve' out of args")
    cached = _CACHED.search(text)
    if cached is not None:
        return reader.known("model", argument, f"{cached.group(1)}/{cached.group(2)}")
    if _HUB_ID.fullmatch(text) is not None:
        return reader.known("model", argument, text)
    if text.startswith(("/", "./", "../", "~")) or text.count("/") > 1:
        return reader.unknown("model", argument, f"the weights come from a local path ({text})", _PATH_REMEDY)
    return reader.unknown("model", argument, f"{text!r} is no hub id (org/name)", _PATH_REMEDY)


def _positional_model(command: Command) -> Argument | None:
    previous: Argument | None = None
    for argument in command.arguments:
        if not argument.name and argument.form in (Form.POSITIONAL, Form.JAMMED):
            stray = previous is not None and previous.form is Form.BARE and is_truth(argument.value)
            if not stray:
                return argument
        previous = argument
    return None


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
        return reader.read("speculative", whole[0], _word)
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
