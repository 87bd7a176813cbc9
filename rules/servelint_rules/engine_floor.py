"""MEM429 and K8S655: limits of memory and CPU in which no engine starts in useful time, whatever its model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.facts import UnknownFact
from servelint.finding import Certainty, Proposal, Severity, Verdict
from servelint.formats import containers
from servelint.rulebook import Scope, rule
from servelint_rules import guards
from servelint_rules.figures import GIB, in_gib
from servelint_rules.host_resources import memory_limit, quantity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import PoolCase
    from servelint.deployment import Container, Pool
    from servelint.finding import Edit

# A single convolution on a GPU took 1.25 to 1.8 GiB of the host in one process of PyTorch (pytorch#12873), and the engines have
# two at least: the server, and the process that drives the GPU.
_FLOOR = 2 * GIB
_COMFORTABLE = 16 * GIB
_FLOOR_CPUS = 1.0


@rule(
    "MEM429", "host-memory-below-engine", "Memory limit in which the engine itself does not start",
    severity=Severity.WARNING, certainty=Certainty.HEURISTIC, scope=Scope.POOL, since="0.1.0",
    engines=("vllm", "sglang", "trtllm"), fixable=True,
)  # fmt: skip
def host_memory_below_engine(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A memory limit below 2 GiB on the container of an engine. Where the model is known and a multiple of the limit,
    MEM409 says so instead.

    ## Why it matters

    Before it has read a byte of the weights the engine has imported PyTorch and its own kernels in two processes or more, and
    each of them that touches a device holds the libraries and context of that device in the host's memory. The container is
    killed for its memory (exit code 137) during start-up, and starts again for ever.

    ## How to fix

    Give the container the memory that its model and its offloading need; 16 GiB is little for an engine.

    ## Certainty

    Heuristic: by what one process of PyTorch was measured to take. Simulators, and images whose name says that they only
    pretend, are left out.

    ## References

    - [pytorch#12873](https://github.com/pytorch/pytorch/issues/12873): 1278 MiB of the host after one small operation on a GPU
    """
    pool = case.pool
    container = pool.containers[0] if pool.containers else None
    limit = memory_limit(container) if container is not None else None
    if container is None or limit is None or limit.size_bytes >= _FLOOR or not pool.gpu_resource:
        return
    if _pretends(container) or _is_a_part_of_the_model(pool, limit.size_bytes):
        return

    def edits() -> tuple[Edit, ...] | None:
        from servelint.source.edits import set_scalar  # lazy: only findings edit

        return set_scalar(limit.document, limit.node, f"{_COMFORTABLE // GIB}Gi")

    yield Verdict(
        limit.place,
        f"an engine does not start in {in_gib(limit.size_bytes)} GiB: PyTorch alone takes more",
        proposals=(Proposal(f"{_COMFORTABLE // GIB}Gi, or what the model needs", False, edits),),
        key=container.name,
    )


def _pretends(container: Container) -> bool:
    return not guards.PRETENDERS.isdisjoint(containers.words_of(container.image.get("")))


def _is_a_part_of_the_model(pool: Pool, limit_bytes: float) -> bool:
    from servelint_rules.host_memory import MOST_TIMES  # lazy: only limits this small get here
    from servelint_rules.loading import checkpoint_size

    try:
        return checkpoint_size(pool).low / max(1, pool.nodes.value) > MOST_TIMES * limit_bytes
    except UnknownFact:
        return False


@rule(
    "K8S655", "cpu-limit-below-engine", "CPU limit below one core for an engine on accelerators",
    severity=Severity.WARNING, certainty=Certainty.HEURISTIC, scope=Scope.POOL, since="0.1.0",
    engines=("vllm", "sglang", "trtllm"),
)  # fmt: skip
def cpu_limit_below_engine(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A CPU limit of less than one core on the container of an engine that asks for accelerators.

    ## Why it matters

    An engine is several processes: a server that tokenizes, a scheduler, and a worker for each GPU. All of them import PyTorch
    and compile at the start, and launch the kernels of every step later. In a tenth of a core a start of half a minute takes
    five, which no probe waits for, and the GPU stands still between the steps.

    ## How to fix

    At least two cores and one for each GPU, or a request without a limit.

    ## Certainty

    Heuristic: the kernel does not kill for it, and how slow is too slow depends on the probes. Simulators are left out.

    ## References

    - [vLLM: CPU resources for GPU deployments](https://docs.vllm.ai/en/latest/configuration/optimization/#cpu-resources-for-gpu-deployments)
    """
    pool = case.pool
    container = pool.containers[0] if pool.containers else None
    limit = quantity(container.document, container.node.get("resources", "limits", "cpu")) if container is not None else None
    if container is None or limit is None or limit.size_bytes >= _FLOOR_CPUS or not pool.gpu_resource or _pretends(container):
        return
    yield Verdict(
        limit.place,
        f"{limit.size_bytes:g} of a core for a server, a scheduler and the workers of the accelerators",
        proposals=(Proposal(f"cpu: {2 + pool.gpus_per_node.get(1)}, or no limit", False, None),),
        key=container.name,
    )
