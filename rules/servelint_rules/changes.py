"""Changes: the edits that give a pool other degrees, with the GPUs and hosts that follow from them, in one patch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.records import NamedTuple
from servelint_rules.pods import GPUS_OF_A_NODE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from servelint.capacity.layout import Layout
    from servelint.case import PoolCase
    from servelint.facts import Fact
    from servelint.finding import Edit


class Hosts(NamedTuple):
    """GPUs asked for on one host, and hosts of one replica."""

    gpus: int
    nodes: int

    def __str__(self) -> str:
        total = self.gpus * self.nodes
        return f"{total} GPU{'s' if total != 1 else ''}"


# The engines' options for the facts that a fix may have to state first.
_VLLM = {
    "tensor": "--tensor-parallel-size", "pipeline": "--pipeline-parallel-size", "max_model_len": "--max-model-len",
    "gpu_memory_utilization": "--gpu-memory-utilization", "max_num_seqs": "--max-num-seqs",
    "max_num_batched_tokens": "--max-num-batched-tokens", "kv_cache_dtype": "--kv-cache-dtype",
}  # fmt: skip
_FLAGS = {
    "sglang": {"tensor": "--tp-size", "pipeline": "--pp-size", "max_model_len": "--context-length",
               "gpu_memory_utilization": "--mem-fraction-static", "kv_cache_dtype": "--kv-cache-dtype"},
    "trtllm": {"tensor": "--tensor_parallel_size", "pipeline": "--pipeline_parallel_size", "max_model_len": "--max_seq_len",
               "gpu_memory_utilization": "--free_gpu_memory_fraction", "kv_cache_dtype": "--kv_cache_dtype"},
    "tgi": {"tensor": "--num-shard", "max_model_len": "--max-total-tokens", "gpu_memory_utilization": "--cuda-memory-fraction"},
}  # fmt: skip


def _flag(case: PoolCase, field: str) -> str | None:
    """The engine's option for a pool's field; None where it has none."""
    engine = case.pool.engine.get("")
    flag = _FLAGS.get(engine, _VLLM).get(field)
    command = next((c.command for c in case.pool.containers if c.command is not None), None)
    if engine == "trtllm" and flag is not None and command is not None and command.table.parser != "click":
        return flag.replace("_", "-")  # Dynamo's worker
    return flag


def setting(case: PoolCase, field: str, value: object) -> str:
    """How people write a pool's field: as an option, as the variable that states it, as a key of a plan, or as a setting of
    the engine's configuration."""
    if case.deployment.plan is not None:
        return f"{field}: {value}"
    origin, flag = getattr(case.pool, field).origin, _flag(case, field) or f"--{field}"
    if origin is not None and origin.text.isupper():
        return f"{origin.text}={value}"
    command = next((c.command for c in case.pool.containers if c.command is not None), None)
    if command is not None and command.separator:
        return f"{flag.removeprefix('--').replace('-', command.separator)}: {value}"
    return f"{flag}={value}"


def edits_of(fact: Fact[Any], value: object) -> tuple[Edit, ...] | None:
    """The edits that set ``fact`` to ``value`` where it is written; None where it cannot be set."""
    return fact.writer.write(value) if fact.writer is not None else None


def stated(case: PoolCase, field: str, value: object) -> tuple[Edit, ...] | None:
    """The edits that set a pool's field where it is written or, where nobody states it, add the option to the command line."""
    fact: Fact[Any] = getattr(case.pool, field)
    if fact.writer is not None or fact.is_stated or case.deployment.plan is not None:
        return edits_of(fact, value)
    commands = [c.command for c in case.pool.containers if c.command is not None]
    flag = _flag(case, field)
    if len(commands) != 1 or not commands[0].complete or flag is None:
        return None  # several processes must agree; what comes from elsewhere may state it already
    from servelint.engines.argument_writer import append_argument  # lazy: only findings edit

    return append_argument(commands[0], flag, str(value))


def hosts_now(case: PoolCase) -> Hosts | None:
    """What the pool asks for, if that is exactly what its degrees need (otherwise another rule has the word)."""
    pool = case.pool
    if not (pool.gpus_per_node.is_known and pool.nodes.is_known):
        return None
    hosts = Hosts(pool.gpus_per_node.value, pool.nodes.value)
    return hosts if hosts.gpus * hosts.nodes == case.layout.world_size else None


def most_on_a_node(case: PoolCase) -> int:
    """GPUs of one host: of the instance type that the manifest asks for, of the one board there is, else of the usual largest."""
    from servelint.catalogue import instances  # lazy: only findings on memory ask for it

    place = case.pool.accelerator.place
    text = place.document.source.text[place.span.start : place.span.end].strip("'\"") if place is not None else ""
    instance = instances.find(text.removeprefix("ml.")) if text else None
    if instance is not None and instance.count is not None:
        return max(1, int(instance.count))  # a part of a GPU is one device
    return case.accelerator.devices_per_node or GPUS_OF_A_NODE


def hosts_for(now: Hosts, gpus: int) -> Hosts | None:
    """Hosts for ``gpus`` GPUs in place of ``now``: the same hosts but fewer or more, else a part of a single one."""
    if gpus % now.gpus == 0 and (now.nodes > 1 or gpus == now.gpus):
        return Hosts(now.gpus, gpus // now.gpus)
    if gpus <= now.gpus or (now.nodes == 1 and gpus <= GPUS_OF_A_NODE):
        return Hosts(gpus, 1)
    return None


def resized(case: PoolCase, after: Layout, degrees: Mapping[str, int]) -> tuple[Edit, ...] | None:
    """The edits that set ``degrees`` (pool field → value) and make the pool ask for the GPUs of ``after``.

    In a native plan the claims and decisions that follow from all of the degrees are rewritten with them. None where any of it
    cannot be written.
    """
    plan = case.deployment.plan
    if plan is not None:
        from servelint.formats.plan.claims import degree_edits  # lazy: only plans have claims

        return degree_edits(plan.document, degrees)
    edits: list[Edit] = []
    for name, value in degrees.items():
        change = stated(case, name, value)
        if change is None:
            return None
        edits += change
    now = hosts_now(case)
    new = hosts_for(now, after.world_size) if now is not None else None
    if now is None or new is None:
        return None
    for fact, was, becomes in ((case.pool.gpus_per_node, now.gpus, new.gpus), (case.pool.nodes, now.nodes, new.nodes)):
        if was != becomes:
            change = edits_of(fact, becomes)
            if change is None:
                return None
            edits += change
    return tuple(edits)
