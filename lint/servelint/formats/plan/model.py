"""What a native plan states, typed: every statement a fact with its place and writer.

Only what a plan alone has is here (claims, reasoning, critical path, phases); the facts of its pools are in
:class:`servelint.deployment.Pool` as for any format. A statement the plan does not make is an unknown fact whose reason is
:data:`NOT_STATED`; one that cannot be read is unknown for another reason, so that a rule that reads it is not checked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from servelint.facts import Fact, FactState
from servelint.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from servelint.facts import Place
    from servelint.formats.plan.quantities import Quantity
    from servelint.source.nodes import Document, Node

T = TypeVar("T")

NOT_STATED = "not stated"

# The largest degree: what is larger is a slip. Stages are computed one by one, and no model has more layers.
MOST_RANKS = 65_536
MOST_STAGES = 1_024

# Plan key of a degree → field of servelint.deployment.Pool, in the order the degrees are decided.
DEGREES: dict[str, str] = {
    "pipeline": "pipeline",
    "expert": "expert",
    "tensor": "tensor",
    "sequence": "sequence",
    "context": "prefill_context",
    "decode_context": "decode_context",
    "attention_data": "attention_data",
    "data": "data",
}
# What people call them.
LETTERS: dict[str, str] = {
    "pipeline": "PP",
    "expert": "EP",
    "tensor": "TP",
    "sequence": "SP",
    "context": "CP",
    "decode_context": "DCP",
    "attention_data": "attention DP",
    "data": "DP",
}


def most_of(degree: str) -> int:
    """The largest that the degree of this plan key can be."""
    return MOST_STAGES if degree == "pipeline" else MOST_RANKS


def stated(fact: Fact[T]) -> T | None:
    """The value; None where the plan does not state it; raises ``UnknownFact`` where it does, but not so that it can be read."""
    return None if is_absent(fact) else fact.value


def is_absent(fact: Fact[Any]) -> bool:
    """The plan makes no such statement."""
    return fact.state is FactState.UNKNOWN and fact.reason == NOT_STATED


class Throughput(NamedTuple):
    """A token rate and which tokens it counts: "total" (input and output), "input" or "output"."""

    rate: Quantity
    of: str


class MemoryClaims(NamedTuple):
    """Memory of one GPU as claimed; ``utilization`` is a ratio of the GPU's memory."""

    weights: Fact[Quantity]
    kv_cache: Fact[Quantity]
    activations: Fact[Quantity]
    overhead: Fact[Quantity]
    total: Fact[Quantity]
    utilization: Fact[Quantity]

    @property
    def parts(self) -> tuple[Fact[Quantity], ...]:
        """What the total is the sum of."""
        return (self.weights, self.kv_cache, self.activations, self.overhead)


class Claims(NamedTuple):
    """What the plan says of itself, or of an alternative. ``throughput`` is the whole deployment's; ``latency`` one whole
    request's; ``prefill_flops``: operations of the prefill that ``ttft`` is claimed for. ``meets``: targets said to be met;
    ``follows``: principles said to be followed; ``source``: "estimated", "measured" or "vendor"."""

    gpus: Fact[int]
    memory: MemoryClaims
    ttft: Fact[Quantity]
    tpot: Fact[Quantity]
    throughput_per_gpu: Fact[Throughput]
    throughput: Fact[Throughput]
    latency: Fact[Quantity]
    prefill_flops: Fact[Quantity]
    source: Fact[str]
    provenance: Fact[str]
    meets: tuple[Fact[str], ...]
    follows: tuple[Fact[str], ...]


class Alternative(NamedTuple):
    """A layout that was weighed against the plan's own; ``degrees`` has every plan key, ``place`` is the whole entry's."""

    name: str
    place: Place
    degrees: Mapping[str, Fact[int]]
    claims: Claims


class Targets(NamedTuple):
    """Targets as written (the pools have them as numbers)."""

    ttft: Fact[Quantity]
    tpot: Fact[Quantity]
    throughput_per_gpu: Fact[Throughput]


class ReasoningStep(NamedTuple):
    """One step of ``reasoning``; ``place`` is its name's. ``decides``: plan key → degree; ``because`` is "" if not given;
    ``improves``: "memory", "ttft", "tpot" or "throughput"."""

    step: str
    place: Place
    decides: Mapping[str, Fact[int]]
    because: str
    uses: tuple[Fact[str], ...]
    facts: tuple[str, ...]
    improves: tuple[Fact[str], ...] = ()


class Operation(NamedTuple):
    """One node of a critical path. ``kind`` as stated ("compute", "memory", "collective", "hop", "kv_transfer"); ``flops`` and
    ``bytes`` are those of one GPU."""

    name: str
    place: Place
    seconds: Fact[Quantity]
    after: tuple[Fact[str], ...]
    kind: Fact[str]
    flops: Fact[Quantity]
    bytes: Fact[Quantity]


class Plan(NamedTuple):
    """A native plan. ``parallelism`` and ``phases`` map plan keys to degrees; ``parallelism`` has every key, the unstated ones
    by default. ``memory`` is the accelerator's memory where stated inline, ``accelerator`` the place of that section.
    ``pools``: the nodes of ``pools[].parallelism``, empty where the plan states no pools."""

    document: Document
    name: str
    parallelism: Mapping[str, Fact[int]]
    phases: Mapping[str, Mapping[str, Fact[int]]]
    has_pools: bool
    memory: Fact[Quantity]
    parameters: Fact[Quantity]
    active_parameters: Fact[Quantity]
    claims: Claims
    targets: Targets
    reasoning: tuple[ReasoningStep, ...] | None
    critical_path: Mapping[str, tuple[Operation, ...]]
    alternatives: tuple[Alternative, ...] = ()

    def node(self, *path: str | int) -> Node | None:
        return self.document.get(*path)
