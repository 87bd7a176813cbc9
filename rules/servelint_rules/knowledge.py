"""The knowledge file: the principles of a plan as data. See ``knowledge.yaml`` beside this module, and docs/knowledge.md."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any

from servelint.errors import UsageError
from servelint.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class KnowledgeError(UsageError, ValueError):
    """What an organization's knowledge file says cannot hold: its author is told, not the author of a rule."""


class Step(NamedTuple):
    """One step of the mandatory order; ``decides`` and ``justify`` name degrees by their plan keys, ``after`` the steps it builds
    on, ``improves`` what its decisions may be said to gain."""

    name: str
    purpose: str
    required: bool
    decides: tuple[str, ...]
    justify: tuple[str, ...]
    after: tuple[str, ...] = ()
    improves: tuple[str, ...] = ()


class Principle(NamedTuple):
    """What a plan may say it follows, the sections (dotted) that show it, and the rules that check them."""

    name: str
    says: str
    shown_by: tuple[str, ...]
    checked_by: tuple[str, ...]


class Tolerances(NamedTuple):
    """Shares of the recomputed figure, except ``utilization``, which is a ratio's absolute difference."""

    arithmetic: float
    rounded: float
    utilization: float
    parameters: float
    path: float = 0.05


class Knowledge(NamedTuple):
    """The order of reasoning, the phases with what limits each, the overlays named for the reader, the principles, the words
    that tell the kinds of an operation apart, the largest assumptions, and the tolerances."""

    order: tuple[Step, ...]
    phases: dict[str, str]
    overlays: tuple[str, ...]
    tolerances: Tolerances
    principles: tuple[Principle, ...] = ()
    words: dict[str, tuple[str, ...]] = {}  # noqa: RUF012 (a default that nobody changes)
    assumptions: dict[str, float] = {}  # noqa: RUF012 (the same)

    def position(self, step: str) -> int | None:
        """Where ``step`` stands in the order; None for a name that is not of it."""
        for index, each in enumerate(self.order):
            if each.name == step:
                return index
        return None

    def steps_for(self, degree: str) -> tuple[str, ...]:
        """The steps that may decide ``degree``."""
        return tuple(step.name for step in self.order if degree in step.decides)

    def builds_on(self, step: str, other: str) -> bool:
        """Whether ``step`` needs ``other`` above it, by itself or through the steps it builds on."""
        after = {each.name: each.after for each in self.order}
        open_, seen = list(after.get(step, ())), set()
        while open_:
            name = open_.pop()
            if name == other:
                return True
            if name not in seen:
                seen.add(name)
                open_ += after.get(name, ())
        return False

    def principle(self, name: str) -> Principle | None:
        return next((each for each in self.principles if each.name == name), None)


@cache
def load() -> Knowledge:
    """The built-in knowledge file, read once: it is part of the program."""
    return parse(_builtin(), "knowledge.yaml")


@cache
def _builtin() -> Any:
    import yaml  # lazy: a plan that no principle is read for does not need the file

    with open(os.path.join(os.path.dirname(__file__), "knowledge.yaml"), encoding="utf-8") as file:
        return yaml.load(file.read(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 (a safe loader by another name)


def parse(content: Any, path: str) -> Knowledge:
    """The knowledge that ``content`` states, by itself or (``extends: builtin``) over the built-in file.

    Raises :class:`KnowledgeError` with one sentence where it does not hold what it should.
    """
    try:
        if isinstance(content, dict) and content.get("extends") == "builtin":
            content = _over(_builtin(), content)
        arithmetic, given = content["group_arithmetic"], content["tolerances"]
        known = Knowledge(
            _steps(content["order"]),
            {str(phase): str(limit) for phase, limit in content["phases"].items()},
            tuple(map(str, arithmetic["overlays"])),
            Tolerances(
                **{
                    field: float(given[field] if field not in Tolerances._field_defaults else given.get(field, default))
                    for field, default in zip(Tolerances._fields, (0.0, 0.0, 0.0, 0.0, 0.05), strict=True)
                }
            ),
            tuple(_principle(entry) for entry in content.get("principles", ())),
            {str(kind): tuple(map(str, words)) for kind, words in content.get("critical_path", {}).items()},
            {str(name): float(most) for name, most in content.get("assumptions", {}).items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise KnowledgeError(f"{path} is not a knowledge file: {type(error).__name__}: {error}") from error
    names = {step.name for step in known.order}
    for step in known.order:
        for other in step.after:
            if other not in names:
                raise KnowledgeError(f"{path}: step {step.name!r} stands after {other!r}, which is no step")
        if known.builds_on(step.name, step.name):
            raise KnowledgeError(f"{path}: step {step.name!r} builds on itself")
    return known


def _steps(entries: Any) -> tuple[Step, ...]:
    """A step without ``after`` builds on the one above it."""
    steps: list[Step] = []
    for entry in entries:
        after = entry.get("after", [steps[-1].name] if steps else [])
        names = [tuple(map(str, entry.get(key, ()))) for key in ("justify", "improves")]
        required, purpose = bool(entry.get("required", False)), str(entry.get("purpose", ""))
        decides = tuple(map(str, entry.get("decides", ())))
        steps.append(Step(str(entry["step"]), purpose, required, decides, names[0], tuple(map(str, after)), names[1]))
    return tuple(steps)


def _principle(entry: Mapping[str, Any]) -> Principle:
    shown, checked = (tuple(map(str, entry.get(key, ()))) for key in ("shown_by", "checked_by"))
    return Principle(str(entry["principle"]), str(entry.get("says", "")), shown, checked)


def _over(base: Any, own: Any) -> Any:
    """``own`` over ``base``: mappings key by key, lists of named entries entry by entry (new ones at the end), all else whole."""
    if isinstance(base, dict) and isinstance(own, dict):
        return {**base, **{key: _over(base[key], value) if key in base else value for key, value in own.items()}}
    name = next((key for key in ("step", "principle") if _named(base, key) and _named(own, key)), None)
    if name is None:
        return own
    changed = {entry[name]: entry for entry in own}
    merged = [_over(entry, changed.pop(entry[name], {})) for entry in base]
    return merged + list(changed.values())


def _named(entries: Any, key: str) -> bool:
    return isinstance(entries, list) and bool(entries) and all(isinstance(entry, dict) and key in entry for entry in entries)
