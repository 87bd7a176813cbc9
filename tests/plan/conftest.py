"""Helpers for plans written in the tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from servelint.case import PlanCase, PoolCase
from servelint.formats.plan import NativePlan
from servelint.source.reader import read_text
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from servelint.deployment import Deployment
    from servelint.engines.base import Engine
    from servelint.finding import Verdict

HEAD = "apiVersion: servelint/v1\nkind: DeploymentPlan\n"
MODEL = "model: {parameters: 10e9, dtype: float16}\n"
ACCELERATOR = (
    "accelerator: {memory: 64 GB, bandwidth: 1.8 TB/s, compute: {float16: 400 TFLOPS}, per_node: 8, mfu: 60 %, mbu: 0.8}\n"
)
PARALLELISM = "parallelism: {tensor: 2}\n"


class Problem(NamedTuple):
    """What was reported: where it starts, and the sentence."""

    code: str
    line: int
    column: int
    text: str
    verdict: Verdict


class Recognised:
    """A plan recognised by itself; ``problems`` in the order reported."""

    engines: tuple[Engine, ...] = ()

    def __init__(self, text: str, path: str = "plan.yaml") -> None:
        self.problems: list[Problem] = []
        self.source = SourceText(path, text)
        self.deployments: list[Deployment] = []
        for document in read_text(self.source).documents:
            self.deployments += NativePlan().recognise(document, self)

    def problem(self, code: str, verdict: Verdict, deployment: str = "") -> None:
        position = self.source.position(verdict.place.span.start)
        self.problems.append(Problem(code, position.line, position.column, verdict.label, verdict))

    @property
    def deployment(self) -> Deployment:
        (one,) = self.deployments
        return one

    @property
    def case(self) -> PlanCase:
        deployment = self.deployment
        return PlanCase(deployment, tuple(PoolCase(pool, deployment, None) for pool in deployment.pools))

    def lines(self, verdicts: Iterator[Verdict]) -> list[tuple[int, str]]:
        """(line, label) of each verdict."""
        return [(self.source.position(v.place.span.start).line, v.label) for v in verdicts]


@pytest.fixture
def plan() -> Callable[..., Recognised]:
    """A plan of a head and the parts given; a part that is not given has a valid default."""

    def make(rest: str = "", *, model: str = MODEL, accelerator: str = ACCELERATOR, parallelism: str = PARALLELISM) -> Recognised:
        return Recognised(HEAD + model + accelerator + parallelism + rest)

    return make


@pytest.fixture
def recognised() -> Callable[[str], Recognised]:
    """A whole plan given as text."""
    return Recognised
