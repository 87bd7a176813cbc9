"""What TGI's command line and environment state, by field of the pool, and its defaults.

Every option of the launcher is a variable too (``#[clap(long, env)]``); the command line wins.
Source: text-generation-inference 3.3, launcher/src/main.rs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.engines.defaults import DEGREES, Defaults
from servelint.engines.model_names import REMEDY, hub_id
from servelint.engines.values import ArgumentFacts, degree, from_environment, share, truth, word
from servelint.facts import Fact, Origin, OriginKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from servelint.deployment import Pool
    from servelint.engines.command import Argument, Command


def _graphs_off(text: str) -> bool:
    """``--cuda-graphs 0`` captures none."""
    return word(text) == "0"


_VALUES: tuple[tuple[str, str, Callable[[str], Any]], ...] = (
    ("model", "--model-id", hub_id),
    ("tensor", "--num-shard", degree),
    ("max_model_len", "--max-total-tokens", degree),
    ("max_num_seqs", "--max-batch-size", degree),
    ("max_num_batched_tokens", "--max-batch-prefill-tokens", degree),
    ("gpu_memory_utilization", "--cuda-memory-fraction", share),
    ("kv_cache_dtype", "--kv-cache-dtype", word),
    ("dtype", "--dtype", word),
    ("quantization", "--quantize", word),
    ("enforce_eager", "--cuda-graphs", _graphs_off),
)
_DEVICES = ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES")  # in the order in which num_cuda_devices asks
_DEFAULT_MODEL = "bigscience/bloom-560m"


def stated(command: Command, environment: Mapping[str, Fact[str]]) -> dict[str, Fact[Any]]:
    """The facts of the command line and the environment; what neither states is left out."""
    settings = _Settings(command, environment)
    facts: dict[str, Fact[Any]] = {}
    for field, flag, parse in _VALUES:
        fact = settings.read(field, flag, parse)
        if fact is not None:
            facts[field] = fact
    model = facts.get("model")
    if model is None:
        facts["model"] = settings.missing_model()
    elif not model.is_known and not model.remedy:
        facts["model"] = Fact.unknown(model.name, model.reason, REMEDY, model.origin)
    if "tensor" not in facts:
        shards = settings.visible_shards()
        if shards is not None:
            facts["tensor"] = shards
    speculation = settings.read("speculative", "--speculate", _speculation)
    if speculation is not None:
        facts["speculative"] = speculation
    return facts


def _speculation(text: str) -> str:
    """In the words of vLLM. Medusa heads of the checkpoint are used where there are some, n-grams otherwise."""
    import json  # lazy: few command lines speculate

    count = degree(text)
    return json.dumps({"method": "ngram", "num_speculative_tokens": count}, sort_keys=True)


class _Settings:
    """The launcher's settings: its command line, and its environment where that does not say."""

    def __init__(self, command: Command, environment: Mapping[str, Fact[str]]) -> None:
        self._command = command
        self._environment = environment
        self._reader = ArgumentFacts(command, environment)
        self._last: dict[str, Argument] = {a.name: a for a in command.arguments}

    def read(self, field: str, flag: str, parse: Callable[[str], Any]) -> Fact[Any] | None:
        argument = self._last.get(flag)
        if argument is not None:
            return self._reader.read(field, argument, parse)
        variable = self._environment.get(flag.removeprefix("--").replace("-", "_").upper())
        if variable is None:
            return None
        if not self._command.complete:
            reason = f"{flag} may come from {self._command.elsewhere}, which wins over the environment"
            return Fact.unknown(from_environment(field, variable, parse).name, reason, origin=variable.origin)
        return from_environment(field, variable, parse)

    def missing_model(self) -> Fact[Any]:
        if not self._command.complete:
            return Fact.unknown("model.id", f"the model may come from {self._command.elsewhere}", "name it by --model-id")
        origin = Origin(OriginKind.DEFAULT, "default of TGI for --model-id")
        return Fact.known("model.id", _DEFAULT_MODEL, origin)

    def visible_shards(self) -> Fact[Any] | None:
        """Without ``--num-shard``: one where sharding is off, else one for each GPU that the environment lists."""
        sharded = self.read("tensor", "--sharded", truth)
        if sharded is not None and not sharded.is_known:
            return sharded
        if sharded is not None and not sharded.value:
            return Fact.known("parallelism.tensor", 1, sharded.origin or Origin(OriginKind.FILE, "--sharded"))
        for name in _DEVICES:
            devices = self._environment.get(name)
            if devices is None:
                continue
            if devices.is_known and devices.value.strip() in {"all", "void"}:
                return None
            return from_environment("tensor", devices, lambda text: len(text.split(",")))
        return None


def defaults(pool: Pool) -> dict[str, Fact[Any]]:
    """Facts by field. Without a number of shards the launcher takes every GPU it sees."""
    found = Defaults(pool, "TGI", "tgi")
    found.give("tensor", _every_gpu(pool))
    for field in DEGREES:
        found.constant(field, 1)
    found.tabled("max_model_len", "--max-total-tokens", int, "TGI fits it to the model and to the memory that is left")
    found.tabled("max_num_batched_tokens", "--max-batch-prefill-tokens", int, "TGI takes --max-input-tokens and 50 more")
    found.unknown("max_num_seqs", "TGI admits requests while their tokens fit in the KV cache", "state --max-batch-size")
    found.constant("enforce_eager", False)
    found.constant("speculative", "none")
    return found.facts


def _every_gpu(pool: Pool) -> Fact[Any]:
    """``find_num_shards``: the devices of ``NVIDIA_VISIBLE_DEVICES``, which the device plugin sets; 1 without any."""
    gpus = pool.gpus_per_node
    name = "parallelism.tensor"
    if not gpus.is_known:
        return Fact.unknown(name, f"TGI takes every GPU it sees, and {gpus.reason}", "state --num-shard or NUM_SHARD")
    text = "TGI takes every GPU that the container asks for, as no number of shards is stated"
    return Fact.known(name, max(1, gpus.value), Origin(OriginKind.DERIVED, text, gpus.place))
