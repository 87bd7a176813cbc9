"""What TensorRT-LLM's command line and its configuration files state, by field of the pool, and its defaults.

Sources: TensorRT-LLM tensorrt_llm/commands/serve.py, tensorrt_llm/llmapi/llm_args.py (1.0 to 1.3); Dynamo
components/src/dynamo/trtllm/backend_args.py, whose worker spells the options with ``-``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.engines.command import Form
from servelint.engines.defaults import DEGREES, Defaults
from servelint.engines.dynamo import LAUNCHER
from servelint.engines.flags import flag_table
from servelint.engines.model_names import named, positional, unnamed
from servelint.engines.values import ArgumentFacts, degree, share, word
from servelint.engines.versions import Version

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from servelint.deployment import Pool
    from servelint.engines.command import Argument, Command
    from servelint.facts import Fact

# (field, its names: options and paths in a file, with "_" between words, parser). A later name is asked where no earlier one is.
_VALUES: tuple[tuple[str, tuple[str, ...], Callable[[str], Any]], ...] = (
    ("tensor", ("tensor_parallel_size",), degree),
    ("pipeline", ("pipeline_parallel_size",), degree),
    ("prefill_context", ("context_parallel_size",), degree),
    ("expert", ("moe_expert_parallel_size", "expert_parallel_size"), degree),
    ("max_model_len", ("max_seq_len", "build_config.max_seq_len"), degree),
    ("max_num_seqs", ("max_batch_size", "build_config.max_batch_size"), degree),
    ("max_num_batched_tokens", ("max_num_tokens", "build_config.max_num_tokens"), degree),
    ("gpu_memory_utilization", ("kv_cache_config.free_gpu_memory_fraction", "free_gpu_memory_fraction"), share),
    ("kv_cache_dtype", ("kv_cache_config.dtype", "kv_cache_dtype", "pytorch_backend_config.kv_cache_dtype"), word),
    ("block_size", ("kv_cache_config.tokens_per_block", "kv_block_size"), degree),
    ("dtype", ("dtype",), word),
    ("quantization", ("quant_config.quant_algo",), word),
)
_OVERRIDE = "override_engine_args"  # of Dynamo's worker: JSON that wins over the file
_NOTHING = frozenset(("null", "-1", ""))
_CLI_WINS = Version(1, 3, 1)  # pull request 14812 of June 2026 is in a release candidate of 1.3.0; which one is not known
_FILE_WINS = Version(1, 3, 0)


def stated(command: Command, environment: Mapping[str, Fact[str]], release: Version | None) -> dict[str, Fact[Any]]:
    """The facts of the settings; what they do not state is left out. ``release``: of the engine, where the image says it."""
    settings = _Settings(command, environment, release)
    facts: dict[str, Fact[Any]] = {"model": settings.model()}
    for field, names, parse in _VALUES:
        fact = settings.read(field, names, parse)
        if fact is not None:
            facts[field] = fact
    chunks = settings.winner("enable_chunked_prefill")
    if chunks is not None:
        facts["chunked_prefill"] = settings.reader.switch("chunked_prefill", chunks)
    attention = settings.winner("enable_attention_dp")
    if attention is not None:
        facts["attention_data"] = _attention(settings.reader, attention, facts.get("tensor"))
    eager = settings.eager()
    if eager is not None:
        facts["enforce_eager"] = eager
    speculation = settings.speculation()
    if speculation is not None:
        facts["speculative"] = speculation
    return facts


def _attention(reader: ArgumentFacts, argument: Argument, tensor: Fact[Any] | None) -> Fact[Any]:
    """A switch: attention data parallelism takes every rank of the tensor group (tensorrt_llm/mapping.py)."""
    switch = reader.switch("attention_data", argument)
    if not switch.is_known or not switch.value:
        return switch if not switch.is_known else reader.known("attention_data", argument, 1)
    if tensor is not None and tensor.is_known:
        return reader.known("attention_data", argument, tensor.value)
    if tensor is None and reader.command.complete:
        return reader.known("attention_data", argument, 1)
    reason = tensor.reason if tensor is not None else f"it may come from {reader.command.elsewhere}"
    return reader.unknown("attention_data", argument, f"it takes every rank of the tensor group, which is not known: {reason}")


def _name(argument: Argument) -> str:
    option = argument.name.removeprefix("--").replace("-", "_")
    return f"{option}.{argument.key}" if argument.key else option


class _Settings:
    """The settings by name; of several with one name the last wins, unless the release decides otherwise."""

    def __init__(self, command: Command, environment: Mapping[str, Fact[str]], release: Version | None) -> None:
        self.reader = ArgumentFacts(command, environment)
        self._command = command
        self._release = release
        self._options: dict[str, Argument] = {}
        self._settings: dict[str, Argument] = {}
        for argument in command.arguments:
            if argument.name and not (argument.form is Form.ENTRY and argument.value in _NOTHING):
                kind = self._settings if argument.form is Form.ENTRY else self._options
                kind[_name(argument)] = argument
        override = self._options.get(_OVERRIDE)
        if override is not None:
            from servelint.engines.nested_settings import of_json  # lazy: few workers override a file

            self._settings.update((_name(leaf), leaf) for leaf in of_json(override, flag_table("trtllm")))

    def winner(self, name: str) -> Argument | None:
        option, setting = self._options.get(name), self._settings.get(name)
        if option is not None and setting is not None and self._option_wins():
            return option
        return setting or option

    def _option_wins(self) -> bool:
        serve = not self._command.launcher.startswith(LAUNCHER)
        return serve and self._release is not None and self._release >= _CLI_WINS

    def read(self, field: str, names: tuple[str, ...], parse: Callable[[str], Any]) -> Fact[Any] | None:
        argument = next((found for name in names if (found := self.winner(name)) is not None), None)
        if argument is None or argument.value in _NOTHING:
            return None
        fact = self.reader.read(field, argument, parse)
        return self._undecided(field, names, argument) or fact

    def _undecided(self, field: str, names: tuple[str, ...], argument: Argument) -> Fact[Any] | None:
        """Stated on the command line and in the file, otherwise, for a release of which it is not known which one wins."""
        if self._command.launcher.startswith(LAUNCHER) or argument.form is not Form.ENTRY:
            return None
        option = next((self._options[name] for name in names if name in self._options), None)
        decided = self._release is not None and (self._release < _FILE_WINS or self._release >= _CLI_WINS)
        if option is None or option.value == argument.value or decided:
            return None
        reason = f"{option.written} says {option.value} and the file {argument.value}; which one wins changed in 1.3"
        return self.reader.unknown(field, argument, reason, "state it in one place")

    def model(self) -> Fact[Any]:
        argument = positional(self._command) or self.winner("model") or self.winner("model_path")
        return named(self.reader, argument) if argument is not None else unnamed(self._command.elsewhere)

    def eager(self) -> Fact[Any] | None:
        """``cuda_graph_config: null`` captures no CUDA graphs; ``use_cuda_graph`` before 1.0."""
        for argument in reversed(self._command.arguments):
            if argument.name == "--cuda_graph_config" and argument.form is Form.ENTRY:
                return self.reader.known("enforce_eager", argument, argument.value == "null" and not argument.key)
        old = self.winner("use_cuda_graph") or self.winner("pytorch_backend_config.use_cuda_graph")
        if old is None:
            return None
        switch = self.reader.switch("enforce_eager", old)
        return self.reader.known("enforce_eager", old, not switch.value) if switch.is_known else switch

    def speculation(self) -> Fact[Any] | None:
        """``speculative_config`` as JSON text in the words of vLLM."""
        prefix = "speculative_config."
        parts = {name.removeprefix(prefix): a for name, a in self._settings.items() if name.startswith(prefix)}
        method = parts.get("decoding_type")
        if method is None:
            return None
        import json  # lazy: few configurations speculate

        config: dict[str, Any] = {"method": (method.value or "").lower()}
        count = parts.get("max_draft_len") or parts.get("num_nextn_predict_layers")
        steps = self.reader.read("speculative", count, degree) if count is not None else None
        if steps is not None and steps.is_known:
            config["num_speculative_tokens"] = steps.value
        return self.reader.known("speculative", method, json.dumps(config, sort_keys=True))


def defaults(pool: Pool) -> dict[str, Fact[Any]]:
    """Facts by field. How many requests and tokens a step takes has changed with the releases: unknown where not stated."""
    found = Defaults(pool, "TensorRT-LLM", "trtllm")
    for field in DEGREES:
        found.constant(field, 1)
    found.constant("gpu_memory_utilization", 0.9)  # KvCacheConfig.free_gpu_memory_fraction
    found.constant("block_size", 32)  # KvCacheConfig.tokens_per_block
    found.constant("kv_cache_dtype", "auto")
    found.constant("dtype", "auto")
    found.constant("speculative", "none")
    return found.facts
