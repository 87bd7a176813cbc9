"""The knowledge file: the principles of a plan as data. See ``knowledge.yaml`` beside this module."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

import yaml

from servelint.records import NamedTuple


class Step(NamedTuple):
    """One step of the mandatory order; ``decides`` and ``justify`` name degrees by their plan keys."""

    name: str
    purpose: str
    required: bool
    decides: tuple[str, ...]
    justify: tuple[str, ...]


class Tolerances(NamedTuple):
    """Shares of the recomputed figure, except ``utilization``, which is a ratio's absolute difference."""

    arithmetic: float
    rounded: float
    utilization: float
    parameters: float


class Knowledge(NamedTuple):
    """The order of reasoning, the phases with what limits each, the overlays named for the reader, and the tolerances."""

    order: tuple[Step, ...]
    phases: dict[str, str]
    overlays: tuple[str, ...]
    tolerances: Tolerances

    def position(self, step: str) -> int | None:
        """Where ``step`` stands in the order; None for a name that is not of it."""
        for index, each in enumerate(self.order):
            if each.name == step:
                return index
        return None

    def steps_for(self, degree: str) -> tuple[str, ...]:
        """The steps that may decide ``degree``."""
        return tuple(step.name for step in self.order if degree in step.decides)


@cache
def load(path: str = "") -> Knowledge:
    """The knowledge file at ``path``, by default the built-in one.

    Raises :class:`ValueError` with one sentence where the file does not hold what it should, :class:`OSError` where it cannot
    be read.
    """
    with open(path or os.path.join(os.path.dirname(__file__), "knowledge.yaml"), encoding="utf-8") as file:
        text = file.read()
    try:
        content = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 (a safe loader by another name)
        return Knowledge(
            tuple(_step(entry) for entry in content["order"]),
            {str(phase): str(limit) for phase, limit in content["phases"].items()},
            tuple(map(str, content["group_arithmetic"]["overlays"])),
            Tolerances(**{field: float(content["tolerances"][field]) for field in Tolerances._fields}),
        )
    except (KeyError, TypeError, ValueError, AttributeError, yaml.YAMLError) as error:
        raise ValueError(f"{path or 'knowledge.yaml'} is not a knowledge file: {type(error).__name__}: {error}") from error


def _step(entry: dict[str, Any]) -> Step:
    return Step(
        str(entry["step"]),
        str(entry.get("purpose", "")),
        bool(entry.get("required", False)),
        tuple(map(str, entry["decides"])),
        tuple(map(str, entry.get("justify", ()))),
    )
