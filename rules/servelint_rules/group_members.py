"""DIS: whether the pods of one replica can be told apart and find each other, by their command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.finding import Certainty, Proposal, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint.source.scalars import whole
from servelint_rules import guards, pods
from servelint_rules.figures import count
from servelint_rules.places import place_of, related

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import PoolCase
    from servelint.engines.command import Command


@rule(
    "DIS708", "multi-node-without-launcher", "Ranks of several nodes in pods that cannot be told apart",
    severity=Severity.WARNING, certainty=Certainty.HEURISTIC, scope=Scope.POOL, since="0.1.0",
    engines=("vllm", "sglang"), formats=("kubernetes",),
)  # fmt: skip
def without_launcher(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A Deployment or ReplicaSet with several replicas whose engine is told that its group has several nodes (`--nnodes`).

    ## Why it matters

    Each node of a group needs a rank of its own and the address of the first one. The pods of a Deployment are alike: they
    have no index and no stable name, so all of them get the same `--node-rank`, and the group never forms.

    ## How to fix

    Use a LeaderWorkerSet, or a StatefulSet with the pod's index as the rank. (That the GPUs do not add up where there is no
    launcher at all is PAR201.)

    ## Certainty

    Heuristic: a script may agree on ranks by other means.

    ## References

    - [LeaderWorkerSet](https://lws.sigs.k8s.io/docs/overview/)
    - [SGLang: multi-node deployment](https://docs.sglang.io/references/multi_node_deployment/multi_node_index.html)
    """
    pool = case.pool
    pod = pool.containers[0].pod if pool.containers else None
    command = pool.containers[0].command if pool.containers else None
    if pod is None or command is None or pod.owner not in ("Deployment", "ReplicaSet") or not guards.is_complete(pod):
        return
    argument = command.last("--nnodes")
    item = pods.workload_of(pod)
    replicas = item.get("spec", "replicas") if item is not None else None
    number = pods.whole(replicas)
    if argument is None or (whole(argument.value or "") or 1) < 2 or (number or 1) < 2:
        return
    rank = command.last("--node-rank")
    if rank is not None and (rank.value_is_unknown or whole(rank.value or "") is None):
        return
    yield Verdict(
        command.place_of(argument),
        f"{number} pods of one {pod.owner} are to be {argument.value} nodes, and all of them have "
        + (f"the rank {rank.value}" if rank is not None else "the default rank"),
        proposals=(Proposal("use a LeaderWorkerSet, with its index as the rank", False, None),),
    )


@rule(
    "DIS713", "dp-coordinator-address", "Data-parallel ranks of several pods, each looking for the others in itself",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.POOL, since="0.1.0",
    engines=("vllm",), formats=guards.TEMPLATED,
)  # fmt: skip
def coordinator_address(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A vLLM pod that runs a part of the data-parallel ranks (`--data-parallel-size-local`, `--data-parallel-start-rank`,
    `--data-parallel-rank`) and does not say where the first one is (`--data-parallel-address`).

    ## Why it matters

    The ranks meet at that address. Its default is 127.0.0.1: each pod waits for the others on its own loopback interface
    until the start times out.

    ## How to fix

    Give every pod the address of the first one: `--data-parallel-address=$(LWS_LEADER_ADDRESS)` in a LeaderWorkerSet. Ray
    as the back end of data parallelism (`--data-parallel-backend ray`) finds the pods by itself.

    ## Certainty

    Proven, where the command line is all there is and nothing of it comes from a script or a file.

    ## References

    - vLLM, `vllm/engine/arg_utils.py`: `data_parallel_address`; `vllm/config/parallel.py`: `data_parallel_master_ip`
    - [vLLM: data-parallel deployment](https://docs.vllm.ai/en/stable/serving/data_parallel_deployment/)
    """
    pool = case.pool
    container = pool.containers[0] if pool.containers else None
    command = container.command if container is not None else None
    if container is None or command is None or not command.complete or "dynamo" in command.launcher:
        return
    if not guards.is_complete(container.pod) or command.last("--data-parallel-address") is not None:
        return
    backend = command.last("--data-parallel-backend")
    named = container.variable("VLLM_DP_MASTER_IP") is not None
    if (backend is not None and backend.value == "ray") or named or _is_open(command):
        return
    data = pool.data
    if not data.is_stated or data.value < 2:
        return
    local = pool.data_local
    part = command.last("--data-parallel-start-rank") or command.last("--data-parallel-rank")
    if not (local.is_stated and 0 < local.value < data.value) and part is None:
        return
    place = place_of(pool, data)
    here = f"{local.value} of {data.value}" if local.is_stated else f"a part of {data.value}"
    yield Verdict(
        place,
        f"{here} data-parallel ranks run in this pod, which looks for the first one at 127.0.0.1",
        related=related(place, (local, f"{count(local.get(1), 'rank')} in each pod")),
        proposals=(Proposal("give --data-parallel-address, the address of the pod with rank 0", False, None),),
    )


def _is_open(command: Command) -> bool:
    return any(word.variable for word in command.program.words[command.start :] if word.text.startswith("$"))
