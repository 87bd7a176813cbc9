"""Degrees of parallelism and what follows from them: which multiply the GPU count and which reuse a group that is there.

:data:`GROUP_LAWS` is the one table of this program about that; nothing else multiplies degrees.
"""

from __future__ import annotations

from math import prod
from types import MappingProxyType
from typing import TYPE_CHECKING

from servelint.facts import FactState, UnknownFact
from servelint.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from servelint.deployment import Pool
    from servelint.facts import Fact


class GroupLaw(NamedTuple):
    """How one engine makes GPUs of degrees.

    ``multiplies``: degrees whose product is the GPUs of one replica. ``overlays``: degree → the group it reuses, as the
    names of the multiplying degrees joined by ``·`` (it adds no GPU). ``unsupported``: degrees the engine does not have.
    """

    multiplies: tuple[str, ...]
    overlays: Mapping[str, str]
    source: str
    unsupported: tuple[str, ...] = ()


DEGREES = ("tensor", "pipeline", "data", "expert", "sequence", "prefill_context", "decode_context", "attention_data")

GROUP_LAWS: Mapping[str, GroupLaw] = MappingProxyType(
    {
        "vllm": GroupLaw(
            ("tensor", "pipeline", "prefill_context", "data"),
            {
                "expert": "tensor·prefill_context·data",
                "sequence": "tensor",
                "decode_context": "tensor·prefill_context",
            },
            "vLLM 0.33 vllm/config/parallel.py: world_size = PP·TP·PCP and world_size_across_dp = world_size·DP; "
            "decode context parallelism reuses the TP ranks (same file); "
            "expert group = TP·PCP·DP (vllm/model_executor/layers/fused_moe/config.py)",
            ("attention_data",),
        ),
        "sglang": GroupLaw(
            ("tensor", "pipeline", "data"),
            {
                "attention_data": "tensor",
                "expert": "tensor",
                "sequence": "tensor",
                "prefill_context": "tensor",
                "decode_context": "tensor",
            },
            "SGLang 0.5.23 python/sglang/srt/server_args.py: compute_world_size = dp·tp·pp, dp counting replicas only; "
            "attention data parallelism, EP and attention CP run inside the TP group (parallel_hook.py)",
        ),
        "trtllm": GroupLaw(
            ("tensor", "pipeline", "prefill_context", "data"),
            {
                "expert": "tensor",
                "attention_data": "tensor",
                "sequence": "tensor",
                "decode_context": "tensor",
            },
            "TensorRT-LLM tensorrt_llm/mapping.py: world_size = tp·pp·cp and moe_tp·moe_ep·moe_cluster = tp; attention "
            "data parallelism runs on the TP ranks. `data` counts independent instances",
        ),
        "tgi": GroupLaw(
            ("tensor", "data"),
            {"sequence": "tensor", "expert": "tensor"},
            "text-generation-inference launcher: num_shard processes, one per GPU. `data` counts independent instances",
            ("pipeline", "prefill_context", "decode_context", "attention_data"),
        ),
        "generic": GroupLaw(
            ("tensor", "pipeline", "prefill_context", "data"),
            {
                "sequence": "tensor",
                "expert": "tensor·prefill_context·data",
                "decode_context": "tensor",
                "attention_data": "tensor",
            },
            "Megatron-LM megatron/core/parallel_state.py and Megatron-Bridge docs/parallelisms.md: "
            "world = TP·PP·CP·DP; sequence parallelism uses the TP group; experts factorise the same ranks again",
        ),
    }
)


class Layout(NamedTuple):
    """The degrees of one replica of one pool, in the engine's own meaning (1: off). ``dense_whole``: each rank has the dense
    layers of a mixture of experts as a whole."""

    engine: str
    tensor: int = 1
    pipeline: int = 1
    data: int = 1
    data_local: int = 1
    expert: int = 1
    sequence: int = 1
    prefill_context: int = 1
    decode_context: int = 1
    attention_data: int = 1
    dense_whole: bool = False

    @property
    def law(self) -> GroupLaw:
        return GROUP_LAWS[self.engine]

    @property
    def world_size(self) -> int:
        """GPUs of one replica by the engine's law, all its data-parallel ranks included."""
        return prod(self.degree(name) for name in self.law.multiplies)

    @property
    def rank_group(self) -> int:
        """GPUs of one data-parallel rank: the world without ``data``."""
        return prod(self.degree(name) for name in self.law.multiplies if name != "data")

    @property
    def naive_product(self) -> int:
        """The product of all the letters: what the GPU count is not."""
        return prod(self.degree(name) for name in DEGREES)

    @property
    def attention_tensor(self) -> int:
        """Ranks over which one attention layer is sharded: TP, less what attention data parallelism takes out of it."""
        return max(1, self.tensor // self.attention_data)

    @property
    def attention_ranks(self) -> int:
        """Groups of one replica that each hold the KV cache of different requests."""
        return self.data * self.attention_data

    @property
    def expert_shards(self) -> int:
        """Ranks over which the routed experts of one layer are spread (by whole experts or by slices of each)."""
        if self.engine in {"vllm", "generic"}:
            return self.tensor * self.prefill_context * self.data
        return self.tensor

    def degree(self, name: str) -> int:
        value: int = getattr(self, name)
        return value

    def group(self, degree: str) -> int:
        """Size of the group that an overlaying degree reuses; raises ``KeyError`` for one that overlays nothing here."""
        return prod(self.degree(name) for name in self.law.overlays[degree].split("·"))

    def with_(self, **degrees: int) -> Layout:
        """The same layout with other degrees."""
        return self._replace(**degrees)  # type: ignore[arg-type]

    def formula(self) -> str:
        """How the GPU count comes about, for people: ``TP 2 × PP 2 × DP 2 = 8``."""
        names = {"tensor": "TP", "pipeline": "PP", "data": "DP", "prefill_context": "CP"}
        parts = [f"{names[n]} {self.degree(n)}" for n in self.law.multiplies if self.degree(n) > 1 or n == "tensor"]
        return " × ".join(parts) + (f" = {self.world_size}" if len(parts) > 1 else "")


def _degree(fact: Fact[int]) -> int:
    value = fact.value
    if value < 1:
        raise UnknownFact(fact.name, f"{value} is no degree", "state at least 1")
    return value


def _minor(fact: Fact[int]) -> int:
    """A degree that nobody states is off in every engine; one that is stated but not readable stays unknown."""
    return 1 if fact.state is FactState.UNKNOWN and fact.reason == "not stated" else _degree(fact)


def layout_of(pool: Pool) -> Layout:
    """The degrees of ``pool``. Raises :class:`UnknownFact` where a degree, or the engine that gives it meaning, is unknown."""
    engine = pool.engine.value
    if engine not in GROUP_LAWS:
        raise UnknownFact(
            "engine.name", f"how {engine} makes GPUs of degrees is not known", "name one of " + ", ".join(GROUP_LAWS)
        )
    return Layout(
        engine,
        tensor=_degree(pool.tensor),
        pipeline=_degree(pool.pipeline),
        data=_degree(pool.data),
        data_local=_minor(pool.data_local),
        expert=_minor(pool.expert),
        sequence=_minor(pool.sequence),
        prefill_context=_minor(pool.prefill_context),
        decode_context=_minor(pool.decode_context),
        attention_data=_minor(pool.attention_data),
        dense_whole=engine == "sglang" and _states(pool, "--moe-dense-tp-size"),
    )


def _states(pool: Pool, flag: str) -> bool:
    return any(c.command is not None and c.command.last(flag) is not None for c in pool.containers)
