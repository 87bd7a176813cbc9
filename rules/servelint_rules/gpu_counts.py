"""GPUs that a replica needs and GPUs that its pods ask for: the arithmetic of PAR201."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from servelint.finding import Proposal
from servelint.formats import devices
from servelint.records import NamedTuple
from servelint_rules.changes import Hosts, edits_of, hosts_for
from servelint_rules.figures import count
from servelint_rules.pods import MOST_GPUS_OF_A_NODE

if TYPE_CHECKING:
    from servelint.case import PoolCase
    from servelint.deployment import Container, Pool
    from servelint.engines.command import Command

DEGREE_FLAGS = (
    "--tensor-parallel-size", "--pipeline-parallel-size", "--data-parallel-size", "--data-parallel-size-local",
    "--prefill-context-parallel-size", "--nnodes",
    "--tp-size", "--pp-size", "--dp-size",  # SGLang
    "--tensor_parallel_size", "--pipeline_parallel_size", "--context_parallel_size",  # TensorRT-LLM
    "--num-shard",  # TGI
)  # fmt: skip


# Job files whose command runs on every host: without options that join the hosts, each has an engine of its own.
_RUN_ON_EACH_HOST = ("skypilot", "dstack", "truss")
_JOINING = ("--nnodes", "--node-rank", "--dist-init-addr", "--distributed-executor-backend", "--data-parallel-address")


class Need(NamedTuple):
    """GPUs needed and asked for, either by one pod (or ``machine``) or by all pods of one replica."""

    needed: int
    asked: int
    per_pod: bool
    machine: str = ""

    @property
    def whose(self) -> str:
        return "each machine" if self.machine else "each pod" if self.per_pod else "a replica"

    @property
    def given(self) -> str:
        return "there" if self.machine else "requested"


def is_launched_from_outside(container: Container) -> bool:
    """The ranks are started by something else (torchrun, an API server without ranks of its own)."""
    command = container.command
    if command is None:
        return False
    backend = command.last("--distributed-executor-backend")
    local = command.last("--data-parallel-size-local")
    return (backend is not None and backend.value == "external_launcher") or (local is not None and local.value == "0")


def need_of(case: PoolCase) -> Need | None:
    """What is needed and what is asked for; None where one pod's share cannot be told."""
    pool = case.pool
    if case.deployment.format == "kaito" and pool.tensor.is_stated and not pool.nodes.is_known:
        # KAITO adds a pipeline stage for each machine (configureParallelism in pkg/model/interface.go); the configuration file
        # is laid over what it chose (presets/workspace/inference/vllm/inference_api.py), so each machine holds the tensor group.
        origin = pool.gpus_per_node.origin
        return Need(pool.tensor.value, pool.gpus_per_node.value, True, origin.text if origin is not None else "instanceType")
    layout = case.layout
    nodes, gpus = pool.nodes.value, pool.gpus_per_node.value
    command = pool.containers[0].command
    if nodes > 1 and layout.world_size <= gpus and case.deployment.format in _RUN_ON_EACH_HOST and not _joins_hosts(command):
        return None
    local = 0
    if command is not None and _starts_ranks_in_a_loop(command):
        return None
    if command is not None and command.last("--nnodes") is None:
        alone = command.last("--data-parallel-rank") is not None or command.last("--data-parallel-external-lb") is not None
        if alone and (command.last("--data-parallel-size-local") is not None or not pool.data_local.is_stated):
            local = 1
        elif pool.data_local.is_stated:
            local = pool.data_local.value
    if local and local < layout.data:
        return Need(layout.rank_group * local, gpus, True)
    return Need(layout.world_size, nodes * gpus, False)


def _starts_ranks_in_a_loop(command: Command) -> bool:
    """The rank is a variable, and the script starts something in the background and has a loop: as many as it has turns."""
    rank = command.last("--data-parallel-rank")
    if rank is None or not rank.value_is_unknown:
        return False
    words = {word for each in rank.words for word in each.node.text.split()}
    return "done" in words and any(word.endswith("&") and not word.endswith("&&") for word in words)


def _joins_hosts(command: Command | None) -> bool:
    if command is None or any(command.last(flag) is not None for flag in _JOINING):
        return True
    return any("ray start" in word.node.text for word in command.program.words)


def arithmetic(case: PoolCase, need: Need) -> tuple[str, ...]:
    pool = case.pool
    if need.machine:
        return (f"tensor-parallel size {need.needed} on each machine that KAITO takes", need.machine)
    layout, resource = case.layout, _resource(pool)
    if need.per_pod:
        local = need.needed // layout.rank_group
        return (
            f"{count(local, 'data-parallel rank')} in each pod × {layout.rank_group} = {count(need.needed, 'GPU')}",
            f"{need.asked} × {resource} in each pod",
        )
    nodes, gpus = pool.nodes.value, pool.gpus_per_node.value
    hosts, where = ("pods", "in the pod") if _in_pods(pool) else ("hosts", "on the host")
    asked = f"{nodes} {hosts} × {gpus} × {resource} = {need.asked}" if nodes > 1 else f"{gpus} × {resource} {where}"
    return (f"needed by the engine: {layout.formula()}", f"requested: {asked}")


def _in_pods(pool: Pool) -> bool:
    return bool(pool.containers) and pool.containers[0].pod is not None


def proposals(pool: Pool, need: Need, *, whole_hosts: bool = False) -> tuple[Proposal, ...]:
    """``whole_hosts``: how many GPUs a host has is not the manifest's to choose."""
    if need.machine:
        return (
            Proposal(f"tensor-parallel size {need.asked}", False, partial(edits_of, pool.tensor, need.asked)),
            Proposal(f"an instance type with {count(need.needed, 'GPU')}", False, None),
        )
    gpus, nodes = pool.gpus_per_node.value, pool.nodes.value
    if need.per_pod:
        return (
            Proposal(
                f"ask for {count(need.needed, 'GPU')} in each pod", False, partial(edits_of, pool.gpus_per_node, need.needed)
            ),
        )
    fewer = nodes > 1 and gpus > 0 and need.needed < need.asked and need.needed % gpus == 0
    if fewer and gpus % pool.tensor.value == 0:
        return (_group(pool, need.needed // gpus),)  # whole tensor groups stay on one host
    if whole_hosts and not need.needed % max(gpus, 1):
        hosts_needed = count(need.needed // max(gpus, 1), "host")
        return (Proposal(f"{hosts_needed} for each worker, or degrees whose product is {need.asked}", False, None),)
    if nodes == 1 and gpus and need.needed > gpus and need.needed % gpus == 0 and _meets_others(pool):
        several = need.needed // gpus
        title = f"--nnodes {several} and a --node-rank for each, if {several} hosts are to serve as one"
        return (Proposal(title, False, None),)
    if need.needed % nodes == 0 and need.needed // nodes <= MOST_GPUS_OF_A_NODE:
        each = need.needed // nodes
        where = "" if nodes == 1 else " in each pod" if _in_pods(pool) else " on each host"
        title = f"ask for {count(each, 'GPU')}{where}"
        return (Proposal(title, False, partial(edits_of, pool.gpus_per_node, each)),)
    hosts = hosts_for(Hosts(gpus, nodes), need.needed) if gpus else None
    if hosts is not None and hosts.gpus == gpus:
        return (_group(pool, hosts.nodes),)
    return (Proposal(f"choose degrees whose product is {need.asked}, or pods that hold {need.needed} GPUs", False, None),)


def _meets_others(pool: Pool) -> bool:
    """SGLang is told where its hosts meet, which is not on each of them, and not how many they are."""
    command = pool.containers[0].command if pool.containers else None
    group = command.last("--dist-init-addr") if command is not None and command.last("--nnodes") is None else None
    return group is not None and not (group.value or "").startswith(("127.", "localhost"))


def _group(pool: Pool, nodes: int) -> Proposal:
    what = count(nodes, "pod" if _in_pods(pool) else "host")
    command = pool.containers[0].command if pool.containers else None
    if command is not None and command.last("--nnodes") is not None:
        # Each host is told the number, and those of other objects are told it there.
        return Proposal(f"make a group of {what}, and tell it so with --nnodes", False, None)
    return Proposal(f"make a group of {what}", False, partial(edits_of, pool.nodes, nodes))


def _resource(pool: Pool) -> str:
    return "claimed GPU" if pool.gpu_resource == devices.DYNAMIC else pool.gpu_resource
