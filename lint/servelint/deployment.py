"""The model of a deployment: pools of identical engine instances, each a set of facts.

Formats make pools from documents, engines add what the command line says, ``resolve`` completes them from defaults
and the catalogue. Nothing here computes.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any

from servelint.facts import Fact, FactState, Place
from servelint.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.catalogue.accelerators import Accelerator
    from servelint.catalogue.architecture import Architecture
    from servelint.engines.command import Command
    from servelint.engines.versions import Version
    from servelint.source.nodes import Document, Node


class Role(Enum):
    SERVE = "serve"
    PREFILL = "prefill"
    DECODE = "decode"
    ENCODE = "encode"


def _unstated(name: str) -> Any:
    """A field whose fact nobody has given yet; ``name`` is the dotted path people see."""
    return Fact(name, FactState.UNKNOWN, reason="not stated")


class Pod(NamedTuple):
    """A Kubernetes pod template as written. ``partial``: a patch or base that another file completes, so what is
    absent in it is unknown rather than missing. ``owner`` is the kind of the object that holds it."""

    document: Document
    node: Node
    owner: str
    partial: bool = False


class Environment(Mapping[str, Fact[str]]):
    """Variables by name. ``listed``: those that the manifest names, which iteration gives. ``open_reason``: why further ones may
    exist ("" if none do); a name that is not listed is then an unknown fact, not an absent one."""

    __slots__ = ("listed", "open_reason")

    def __init__(self, listed: Mapping[str, Fact[str]], open_reason: str = "") -> None:
        self.listed = listed
        self.open_reason = open_reason

    def __getitem__(self, name: str) -> Fact[str]:
        fact = self.listed.get(name)
        if fact is not None:
            return fact
        if self.open_reason:
            return Fact.unknown(f"env.{name}", self.open_reason)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.listed)

    def __len__(self) -> int:
        return len(self.listed)


class Container(NamedTuple):
    """One container that runs (or may run) an engine. ``command`` is what the engine will parse, where it was found."""

    name: str
    document: Document
    node: Node
    engine: str
    image: Fact[str]
    pod: Pod | None = None
    command: Command | None = None
    environment: Environment = Environment({})

    @property
    def place(self) -> Place:
        return Place.of(self.document, self.node)

    @property
    def open_environment(self) -> str:
        """Why further variables may exist than those that are listed; "" if none do."""
        return self.environment.open_reason

    def variable(self, name: str) -> Fact[str] | None:
        """The variable as the manifest lists it; None also for one that at most may come from elsewhere."""
        return self.environment.listed.get(name)


class Pool(NamedTuple):
    """Identical engine instances in one role. Every fact is one instance's unless its name says otherwise.

    ``tensor`` … are degrees (pure numbers) in the engine's own meaning; ``capacity.layout`` knows which multiply.
    ``gpus_per_node``: devices one pod (host) asks for. ``nodes``: hosts of one replica. ``expert``: 1 is off; engines whose
    switch has no degree (vLLM) state the degree their documentation derives. ``shares_nodes``: a replica needs fewer devices
    than a host has, and others run beside it; so what a host asks for is not what a replica asks for.
    """

    name: str
    place: Place
    role: Role = Role.SERVE
    containers: tuple[Container, ...] = ()
    gpu_resource: str = ""
    shares_nodes: bool = False

    engine: Fact[str] = _unstated("engine.name")
    version: Fact[Version] = _unstated("engine.version")
    model: Fact[str] = _unstated("model.id")
    architecture: Fact[Architecture] = _unstated("model.architecture")
    parameters: Fact[float] = _unstated("model.parameters")
    active_parameters: Fact[float] = _unstated("model.active_parameters")
    accelerator: Fact[Accelerator] = _unstated("accelerator.name")

    tensor: Fact[int] = _unstated("parallelism.tensor")
    pipeline: Fact[int] = _unstated("parallelism.pipeline")
    data: Fact[int] = _unstated("parallelism.data")
    data_local: Fact[int] = _unstated("parallelism.data_local")
    expert: Fact[int] = _unstated("parallelism.expert")
    sequence: Fact[int] = _unstated("parallelism.sequence")
    prefill_context: Fact[int] = _unstated("parallelism.context")
    decode_context: Fact[int] = _unstated("parallelism.decode_context")
    attention_data: Fact[int] = _unstated("parallelism.attention_data")

    gpus_per_node: Fact[int] = _unstated("gpus.per_node")
    nodes: Fact[int] = _unstated("nodes")
    replicas_min: Fact[int] = _unstated("replicas.min")
    replicas_max: Fact[int] = _unstated("replicas.max")

    max_model_len: Fact[int] = _unstated("limits.max_model_len")
    max_num_seqs: Fact[int] = _unstated("limits.max_num_seqs")
    max_num_batched_tokens: Fact[int] = _unstated("limits.max_num_batched_tokens")
    gpu_memory_utilization: Fact[float] = _unstated("limits.gpu_memory_utilization")
    kv_cache_memory_bytes: Fact[int] = _unstated("limits.kv_cache_memory_bytes")
    kv_cache_dtype: Fact[str] = _unstated("limits.kv_cache_dtype")
    block_size: Fact[int] = _unstated("limits.block_size")
    dtype: Fact[str] = _unstated("limits.dtype")
    quantization: Fact[str] = _unstated("limits.quantization")
    enforce_eager: Fact[bool] = _unstated("limits.enforce_eager")
    chunked_prefill: Fact[bool] = _unstated("limits.enable_chunked_prefill")
    speculative: Fact[str] = _unstated("limits.speculative_config")

    concurrency: Fact[int] = _unstated("workload.concurrency")
    input_tokens_min: Fact[int] = _unstated("workload.input_tokens.min")
    input_tokens_mean: Fact[float] = _unstated("workload.input_tokens.mean")
    input_tokens_max: Fact[int] = _unstated("workload.input_tokens.max")
    output_tokens_mean: Fact[float] = _unstated("workload.output_tokens.mean")
    output_tokens_max: Fact[int] = _unstated("workload.output_tokens.max")
    request_rate: Fact[float] = _unstated("workload.request_rate")
    arrival: Fact[str] = _unstated("workload.arrival")

    target_ttft_seconds: Fact[float] = _unstated("targets.ttft")
    target_tpot_seconds: Fact[float] = _unstated("targets.tpot")
    target_tokens_per_second_per_gpu: Fact[float] = _unstated("targets.throughput_per_gpu")
    target_throughput_of: Fact[str] = _unstated("targets.throughput_per_gpu.of")
    target_memory_utilization_min: Fact[float] = _unstated("targets.memory_utilization.min")
    target_memory_utilization_max: Fact[float] = _unstated("targets.memory_utilization.max")

    def with_facts(self, facts: Mapping[str, Fact[Any]]) -> Pool:
        """The pool with ``facts``, by field name, in place of its own."""
        return self._replace(**facts)  # type: ignore[arg-type]  # the names are fields that hold facts

    def facts(self) -> Iterator[tuple[str, Fact[Any]]]:
        """Every fact with its dotted path, in the order above."""
        for field, unstated in self._field_defaults.items():
            if isinstance(unstated, Fact):
                yield unstated.name, getattr(self, field)


class Deployment(NamedTuple):
    """One served model. ``plan`` is set for native plans: the typed content that only a plan has."""

    name: str
    format: str
    document: Document
    pools: tuple[Pool, ...]
    plan: Any = None
    notes: tuple[str, ...] = ()
