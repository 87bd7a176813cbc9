"""Cases: what a rule is given. A pool under one choice of its alternatives, with its estimates computed on demand."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from servelint.facts import UnknownFact

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from servelint.capacity.latency import Latency
    from servelint.capacity.layout import Layout
    from servelint.capacity.memory import MemoryBudget
    from servelint.capacity.throughput import ThroughputBound
    from servelint.catalogue.accelerators import Accelerator
    from servelint.catalogue.architecture import Architecture
    from servelint.deployment import Container, Deployment, Pod, Pool, Role
    from servelint.formats.role_groups import RoleGroup
    from servelint.formats.run_objects import RunObjects

C = TypeVar("C", bound="Case")
T = TypeVar("T")


class Case:
    """What all cases have: the answers to what several rules ask of one."""

    def __init__(self) -> None:
        self.answers: dict[Any, Any] = {}


def once(question: Callable[[C], T]) -> Callable[[C], T]:
    """A function of a case that is worked out for the first rule that asks, and known to the next ones.

    An unknown fact that stopped the first one stops every one.
    """

    def asked(case: C) -> T:
        answers = case.answers
        answer = answers.get(question, answers)
        if answer is answers:
            try:
                answer = question(case)
            except UnknownFact as unknown:
                answer = unknown
            answers[question] = answer
        if isinstance(answer, UnknownFact):
            raise answer.with_traceback(None)
        known: T = answer
        return known

    asked.__doc__ = question.__doc__
    return asked


@once
def _layout(case: PoolCase) -> Layout:
    from servelint.capacity.layout import layout_of

    return layout_of(case.pool)


class PoolCase(Case):
    """One pool, one accelerator. Rules read ``case.pool`` for facts and the properties below for estimates.

    Each property raises :class:`UnknownFact` where it needs a fact that is not known.
    """

    def __init__(self, pool: Pool, deployment: Deployment, accelerator: Accelerator | None) -> None:
        super().__init__()
        self.pool = pool
        self.deployment = deployment
        self._accelerator = accelerator
        self._memory: dict[Layout, MemoryBudget] = {}

    @property
    def containers(self) -> tuple[Container, ...]:
        return self.pool.containers

    @property
    def accelerator(self) -> Accelerator:
        if self._accelerator is None:
            return self.pool.accelerator.value
        return self._accelerator

    @property
    def architecture(self) -> Architecture:
        return self.pool.architecture.value

    @property
    def layout(self) -> Layout:
        """The degrees and what follows from them: world size, GPUs per replica."""
        return _layout(self)

    @cached_property
    def memory(self) -> MemoryBudget:
        """Bytes per GPU of the worst rank."""
        return self.memory_under(self.layout)

    def memory_under(self, layout: Layout) -> MemoryBudget:
        """The same pool under other degrees: what a fix would give."""
        found = self._memory.get(layout)
        if found is None:
            from servelint.capacity.memory import memory_of

            found = self._memory[layout] = memory_of(self.pool, self.accelerator, layout)
        return found

    @cached_property
    def latency(self) -> Latency:
        """Time to first token and per output token of one request at steady load."""
        return self.latency_under(self.layout)

    def latency_under(self, layout: Layout) -> Latency:
        from servelint.capacity.latency import latency_of

        return latency_of(self.pool, self.accelerator, layout)

    @cached_property
    def throughput(self) -> ThroughputBound:
        """The most tokens per second and GPU that the hardware's peak allows."""
        from servelint.capacity.throughput import throughput_of

        return throughput_of(self.pool, self.accelerator, self.layout)


class ContainerCase(Case):
    """One container with a recognised engine process, and the pool it belongs to."""

    def __init__(self, container: Container, pool: Pool, deployment: Deployment) -> None:
        super().__init__()
        self.container = container
        self.pool = pool
        self.deployment = deployment

    @property
    def containers(self) -> tuple[Container, ...]:
        """The one container, as a pool's case has all of its."""
        return (self.container,)


class DeploymentCase(Case):
    """A deployment with a case for each of its pools (under the first alternative of each)."""

    def __init__(self, deployment: Deployment, pools: tuple[PoolCase, ...]) -> None:
        super().__init__()
        self.deployment = deployment
        self.pools = pools


class PlanCase(Case):
    """A native plan: its typed content, and the case of its (first) serving pool.

    ``knowledge``: the content of the organization's knowledge file, None where the configuration names none.
    """

    def __init__(self, deployment: Deployment, pools: tuple[PoolCase, ...], knowledge: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.deployment = deployment
        self.knowledge = knowledge
        self.plan = deployment.plan
        self.pools = pools

    @property
    def pool(self) -> PoolCase:
        if not self.pools:
            raise UnknownFact("parallelism", "the plan states no pool", "state parallelism or pools")
        return self.pools[0]


class GroupCase(Case):
    """Pools that serve one model together, of one deployment or of several (under the first alternative of each).

    ``joined_by``: what says that they belong together; "" where one object holds them.
    """

    def __init__(self, group: RoleGroup, pools: tuple[PoolCase, ...]) -> None:
        super().__init__()
        self.name = group.name
        self.joined_by = group.joined_by
        self.pools = pools

    def of_role(self, role: Role) -> tuple[PoolCase, ...]:
        return tuple(case for case in self.pools if case.pool.role is role)


class WorkspaceCase(Case):
    """Everything of a run: its deployments, the groups among them, and the Kubernetes objects of all its files.

    ``complete``: the run is said to hold every file. Only then does it follow from the absence of an object that there is none.
    """

    def __init__(
        self, deployments: tuple[Deployment, ...], objects: RunObjects, groups: tuple[GroupCase, ...], complete: bool
    ) -> None:
        super().__init__()
        self.deployments = deployments
        self.objects = objects
        self.groups = groups
        self.complete = complete

    @cached_property
    def pods(self) -> tuple[tuple[Deployment, Pool, Pod], ...]:
        """Every pod template that runs an engine, with the pool of its first engine."""
        found: dict[int, tuple[Deployment, Pool, Pod]] = {}
        for deployment in self.deployments:
            for pool in deployment.pools:
                pod = pool.containers[0].pod if pool.containers else None
                if pod is not None:
                    found.setdefault(id(pod.node), (deployment, pool, pod))
        return tuple(found.values())
