"""What an SGLang command line states, by field of the pool.

Sources: SGLang 0.4.0 to 0.5.23, python/sglang/srt/server_args.py; python/sglang/srt/arg_groups since 0.5.20 (parallel_hook.py,
overrides.py, memory_hook.py).
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from servelint.engines.model_names import named, positional, unnamed
from servelint.engines.values import ArgumentFacts, Settings, degree, integer, share, tokens, word
from servelint.facts import Fact, Origin, OriginKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from servelint.engines.command import Argument, Command

_VALUES: Settings = (
    ("tensor", "--tp-size", degree),
    ("pipeline", "--pp-size", degree),
    ("prefill_context", "--attn-cp-size", degree),
    ("decode_context", "--dcp-size", degree),
    ("nodes", "--nnodes", degree),
    ("max_model_len", "--context-length", tokens),
    ("gpu_memory_utilization", "--mem-fraction-static", share),
    ("kv_cache_dtype", "--kv-cache-dtype", word),
    ("block_size", "--page-size", degree),
    ("dtype", "--dtype", word),
    ("quantization", "--quantization", word),
)
# Communication of experts that makes the expert group the whole tensor group: ``_a2a_ep_size`` in overrides.py.
_SPANNING = frozenset(
    ("deepep", "deepep_v2", "mooncake", "nixl", "ascend_fuseep", "flashinfer", "flashinfer_megamoe", "mori", "pplx", "megamoe")
)
_SPANNING_SWITCHES = ("--enable-ep-moe", "--enable-deepep-moe", "--enable-deepep-waterfill")
_PREFILL_TOKENS = 16384  # default of --max-prefill-tokens in every release


def stated(command: Command, environment: Mapping[str, Fact[str]]) -> dict[str, Fact[Any]]:
    """The facts of a command line; what it does not state is left out."""
    reader = ArgumentFacts(command, environment)
    last: dict[str, Argument] = {a.name: a for a in command.arguments if not a.key}
    facts: dict[str, Fact[Any]] = {"model": _model(reader, last)}
    facts.update(reader.read_all(_VALUES, last))
    facts.update(_data(reader, last))
    expert = _expert(reader, last, facts)
    if expert is not None:
        facts["expert"] = expert
    facts.update(_chunks(reader, last, facts))
    if "--max-running-requests" in last:
        ranks = [facts[name] for name in ("data", "attention_data") if name in facts]
        facts["max_num_seqs"] = _divided(reader, "max_num_seqs", last["--max-running-requests"], ranks)
    if "--disable-cuda-graph" in last:
        facts["enforce_eager"] = reader.switch("enforce_eager", last["--disable-cuda-graph"])
    speculation = _speculation(reader, last)
    if speculation is not None:
        facts["speculative"] = speculation
    return facts


def _model(reader: ArgumentFacts, last: Mapping[str, Argument]) -> Fact[Any]:
    """``--model-path``, which ``sglang serve`` takes as its first word too."""
    argument = last.get("--model-path") or last.get("--model")
    if argument is None and "serve" in reader.command.launcher:
        argument = positional(reader.command)
    return named(reader, argument) if argument is not None else unnamed(reader.command.elsewhere)


def _data(reader: ArgumentFacts, last: Mapping[str, Argument]) -> dict[str, Fact[Any]]:
    """Data parallelism: of the attention, on the ranks of the tensor group (``--attn-dp-size``, or ``--dp-size`` with
    ``--enable-dp-attention``), or of whole replicas (``--dp-size`` alone)."""
    size, own = last.get("--dp-size"), last.get("--attn-dp-size")
    found: dict[str, Fact[Any]] = {}
    if "--dwdp-size" in last:
        weights = reader.read("attention_data", last["--dwdp-size"], degree)
        if not weights.is_known or weights.value > 1:
            return {"attention_data": weights, "data": _inside(reader, last["--dwdp-size"])}
    if own is not None:
        found["attention_data"] = reader.read("attention_data", own, degree)
    if size is None:
        return found
    switch = last.get("--enable-dp-attention")
    on = reader.switch("attention_data", switch) if switch is not None else None
    if on is not None and on.is_known and on.value:
        return {"attention_data": reader.read("attention_data", size, degree), "data": _inside(reader, switch or size)}
    if on is not None and not on.is_known:
        return {"attention_data": on, "data": Fact.unknown("parallelism.data", on.reason, on.remedy, on.origin)}
    found["data"] = reader.read("data", size, degree)
    if own is None and not reader.command.complete and found["data"].get(2) != 1:
        reason = f"--enable-dp-attention may come from {reader.command.elsewhere}; with it the ranks are the tensor group's"
        found["data"] = reader.unknown("data", size, reason, "state it on the command line")
        found["attention_data"] = reader.unknown("attention_data", size, reason, "state it on the command line")
    return found


def _inside(reader: ArgumentFacts, argument: Argument) -> Fact[Any]:
    """No replicas: the data-parallel ranks are those of the tensor group."""
    origin = reader.origin(argument)
    return Fact.known(
        "parallelism.data", 1, Origin(OriginKind.DERIVED, f"{origin.text} runs inside the tensor group", origin.place)
    )


def _expert(reader: ArgumentFacts, last: Mapping[str, Argument], facts: Mapping[str, Fact[Any]]) -> Fact[Any] | None:
    """``--ep-size``, unless the communication chosen makes the group that of the tensor ranks."""
    backend = last.get("--moe-a2a-backend")
    if backend is not None and backend.value_is_unknown:
        return reader.unresolved("parallelism.expert", backend)
    spanning = backend if backend is not None and (backend.value or "").strip() in _SPANNING else None
    for name in _SPANNING_SWITCHES:
        if spanning is None and name in last and reader.switch("expert", last[name]).get(False):
            spanning = last[name]
    if "--dwdp-size" in last and facts.get("attention_data") is not None and facts["attention_data"].get(1) > 1:
        spanning = last["--dwdp-size"]
    if spanning is None:
        return reader.read("expert", last["--ep-size"], degree) if "--ep-size" in last else None
    tensor = facts.get("tensor")
    if tensor is None or not tensor.is_known:
        reason = tensor.reason if tensor is not None else ""
        if tensor is None and reader.command.complete:
            return reader.known("expert", spanning, 1)
        return reader.unknown(
            "expert", spanning, f"the expert group is the tensor group, which is not known: {reason}".rstrip(": ")
        )
    return reader.known("expert", spanning, tensor.value)


def _chunks(reader: ArgumentFacts, last: Mapping[str, Argument], facts: Mapping[str, Fact[Any]]) -> dict[str, Fact[Any]]:
    """Tokens of one prefill step of one attention rank: the chunk, which attention data parallelism divides (and requests,
    which all data parallelism does). -1 cuts no prompt.

    Sources: ``handle_data_parallelism`` in parallel_hook.py (before: ``ServerArgs.__post_init__``); model_runner.py and
    pool_configurator.py, ``max_running_requests // dp_size``.
    """
    argument = last.get("--chunked-prefill-size")
    if argument is None:
        return {}
    chunk = reader.read("max_num_batched_tokens", argument, integer)
    if not chunk.is_known:
        return {"max_num_batched_tokens": chunk}
    if chunk.value <= 0:
        found: dict[str, Fact[Any]] = {"chunked_prefill": reader.known("chunked_prefill", argument, False)}
        limit = last.get("--max-prefill-tokens")
        if limit is not None:
            found["max_num_batched_tokens"] = reader.read("max_num_batched_tokens", limit, tokens)
        else:
            origin = Origin(OriginKind.DEFAULT, "default of SGLang for --max-prefill-tokens")
            found["max_num_batched_tokens"] = Fact.known(chunk.name, _PREFILL_TOKENS, origin)
        return found
    ranks = [facts["attention_data"]] if "attention_data" in facts else []
    return {
        "chunked_prefill": reader.known("chunked_prefill", argument, True),
        "max_num_batched_tokens": _divided(reader, "max_num_batched_tokens", argument, ranks),
    }


def _divided(reader: ArgumentFacts, field: str, argument: Argument, ranks: list[Fact[Any]]) -> Fact[Any]:
    """What one data-parallel rank gets of a number for all of them. It is written as a whole, so a share has no writer."""
    whole = reader.read(field, argument, degree)
    if not whole.is_known:
        return whole
    unknown = next((fact for fact in ranks if not fact.is_known), None)
    if unknown is not None:
        return reader.unknown(field, argument, f"data parallelism divides it, and {unknown.reason}", unknown.remedy)
    count = prod(fact.value for fact in ranks)
    if count == 1:
        return whole
    origin = reader.origin(argument)
    text = f"{origin.text} {whole.value} / {count} data-parallel ranks"
    return Fact.known(whole.name, max(1, whole.value // count), origin._replace(text=text))


def _speculation(reader: ArgumentFacts, last: Mapping[str, Argument]) -> Fact[Any] | None:
    """``--speculative-*`` as JSON text in the words of vLLM. A step accepts ``num_steps`` tokens besides its own."""
    algorithm = last.get("--speculative-algorithm")
    if algorithm is None:
        return None
    if algorithm.value_is_unknown:
        return reader.unresolved("limits.speculative_config", algorithm)
    import json  # lazy: few command lines speculate

    config: dict[str, Any] = {"method": (algorithm.value or "").strip().lower()}
    draft = last.get("--speculative-draft-model-path")
    if draft is not None and not draft.value_is_unknown:
        config["model"] = draft.value
    count = last.get("--speculative-num-steps")
    if count is None and config["method"] == "ngram":
        count = last.get("--speculative-num-draft-tokens")
    if count is not None:
        steps = reader.read("speculative", count, degree)
        if steps.is_known:
            config["num_speculative_tokens"] = steps.value
    return reader.known("speculative", algorithm, json.dumps(config, sort_keys=True))
