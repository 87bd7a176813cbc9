"""Changes: the edits that give a pool other degrees, with the GPUs and hosts that follow from them, in one patch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from servelint.capacity.layout import Layout
    from servelint.case import PoolCase
    from servelint.facts import Fact
    from servelint.finding import Edit

# GPUs that one host may be asked for when its own count is not known: an HGX or DGX board.
MOST_GPUS_PER_HOST = 8


class Hosts(NamedTuple):
    """GPUs asked for on one host, and hosts of one replica."""

    gpus: int
    nodes: int

    def __str__(self) -> str:
        total = self.gpus * self.nodes
        return f"{total} GPU{'s' if total != 1 else ''}"


# vLLM's options for the facts that a fix may have to state first.
_FLAGS = {
    "tensor": "--tensor-parallel-size", "pipeline": "--pipeline-parallel-size", "max_model_len": "--max-model-len",
    "gpu_memory_utilization": "--gpu-memory-utilization",
}  # fmt: skip


def setting(case: PoolCase, field: str, value: object) -> str:
    """How people write a pool's field: as an option, or as a key of a plan."""
    return f"{field}: {value}" if case.deployment.plan is not None else f"{_FLAGS[field]}={value}"


def edits_of(fact: Fact[Any], value: object) -> tuple[Edit, ...] | None:
    """The edits that set ``fact`` to ``value`` where it is written; None where it cannot be set."""
    return fact.writer.write(value) if fact.writer is not None else None


def stated(case: PoolCase, field: str, value: object) -> tuple[Edit, ...] | None:
    """The edits that set a pool's field where it is written or, where nobody states it, add the option to the command line."""
    fact: Fact[Any] = getattr(case.pool, field)
    if fact.writer is not None or fact.is_stated or case.deployment.plan is not None:
        return edits_of(fact, value)
    commands = [c.command for c in case.pool.containers if c.command is not None]
    if len(commands) != 1 or not commands[0].complete or field not in _FLAGS:
        return None  # several processes must agree; what comes from elsewhere may state it already
    from servelint.engines.argument_writer import append_argument  # lazy: only findings edit

    return append_argument(commands[0], _FLAGS[field], str(value))


def hosts_now(case: PoolCase) -> Hosts | None:
    """What the pool asks for, if that is exactly what its degrees need (otherwise another rule has the word)."""
    pool = case.pool
    if not (pool.gpus_per_node.is_known and pool.nodes.is_known):
        return None
    hosts = Hosts(pool.gpus_per_node.value, pool.nodes.value)
    return hosts if hosts.gpus * hosts.nodes == case.layout.world_size else None


def hosts_for(now: Hosts, gpus: int) -> Hosts | None:
    """Hosts for ``gpus`` GPUs in place of ``now``: the same hosts but fewer or more, else a part of a single one."""
    if gpus % now.gpus == 0 and (now.nodes > 1 or gpus == now.gpus):
        return Hosts(now.gpus, gpus // now.gpus)
    if gpus <= now.gpus or (now.nodes == 1 and gpus <= MOST_GPUS_PER_HOST):
        return Hosts(gpus, 1)
    return None


def resized(case: PoolCase, after: Layout, degrees: Mapping[str, int]) -> tuple[Edit, ...] | None:
    """The edits that set ``degrees`` (pool field → value) and make the pool ask for the GPUs of ``after``.

    In a native plan a degree's writer itself rewrites the claims and decisions that follow from it, so nothing is added
    there. None where any of it cannot be written.
    """
    edits: list[Edit] = []
    for name, value in degrees.items():
        change = stated(case, name, value)
        if change is None:
            return None
        edits += change
    if case.deployment.plan is not None:
        return tuple(edits)
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
