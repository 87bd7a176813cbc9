"""Targets and workload of a Dynamo deployment: arguments of its planner, or the fields of a deployment request.

The planner takes ``--ttft`` and ``--itl`` in milliseconds, in early releases in seconds; nobody asks for an inter-token latency
below one millisecond or above one second, which tells the two apart. Lengths (``isl``, ``osl``) are those of every request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.deployment import Role
from servelint.facts import Fact, Origin, OriginKind, Place
from servelint.source.nodes import ScalarNode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from servelint.deployment import Pool
    from servelint.engines.command import Word
    from servelint.formats.dynamo_components import Component
    from servelint.source.nodes import Document, Node

_KEYS = ("ttft", "itl", "isl", "osl")
_MILLI = 1e-3


class Stated:
    """One number with its place; ``name`` is what people call it."""

    __slots__ = ("name", "place", "value")

    def __init__(self, name: str, value: float, place: Place) -> None:
        self.name = name
        self.value = value
        self.place = place

    def fact(self, path: str, value: Any) -> Fact[Any]:
        return Fact.known(path, value, Origin(OriginKind.FILE, self.name, self.place))


def with_targets(
    document: Document, pools: Sequence[Pool], every: Sequence[Component], given: Mapping[str, Fact[str]]
) -> list[Pool]:
    """The pools with what the graph's planner is told to reach. A planner also scales: replicas have no upper end then."""
    planner = next((component for component in every if component.role == "planner"), None)
    if planner is None:
        return list(pools)
    stated = _of_planner(document, planner, given)
    targets = facts(stated, _unit(stated))
    free: Fact[int] = Fact.unknown("replicas.max", "the graph's planner scales the workers")
    return [pool.with_facts({**of_role(targets, pool.role), "replicas_max": free}) for pool in pools]


def of_role(targets: Mapping[str, Fact[Any]], role: Role) -> dict[str, Fact[Any]]:
    """Those of ``targets`` that a pool of ``role`` answers for: prefill for the first token, decode for the others."""
    kept = dict(targets)
    if role is not Role.SERVE:
        for field, answers in (("target_ttft_seconds", Role.PREFILL), ("target_tpot_seconds", Role.DECODE)):
            if role is not answers:
                kept.pop(field, None)
    return kept


def facts(stated: Mapping[str, Stated], unit: float) -> dict[str, Fact[Any]]:
    """By field of :class:`Pool`. ``unit``: of the latencies, in seconds; 0 where it is not known."""
    found: dict[str, Fact[Any]] = {}
    for key, field, path in (("ttft", "target_ttft_seconds", "targets.ttft"), ("itl", "target_tpot_seconds", "targets.tpot")):
        if key in stated and unit:
            found[field] = stated[key].fact(path, stated[key].value * unit)
    if "isl" in stated:
        for end in ("min", "mean", "max"):
            found[f"input_tokens_{end}"] = stated["isl"].fact(f"workload.input_tokens.{end}", _count(stated["isl"], end))
    if "osl" in stated:
        for end in ("mean", "max"):
            found[f"output_tokens_{end}"] = stated["osl"].fact(f"workload.output_tokens.{end}", _count(stated["osl"], end))
    if "concurrency" in stated:
        found["concurrency"] = stated["concurrency"].fact("workload.concurrency", max(1, round(stated["concurrency"].value)))
    if "requestRate" in stated:
        found["request_rate"] = stated["requestRate"].fact("workload.request_rate", stated["requestRate"].value)
    return found


def _count(stated: Stated, end: str) -> float | int:
    return stated.value if end == "mean" else int(stated.value)


def of_mapping(document: Document, node: Node | None, keys: Sequence[str]) -> dict[str, Stated]:
    """The numbers of ``keys`` in a mapping, positive ones only."""
    found: dict[str, Stated] = {}
    for key in keys:
        value = node.get(key) if node is not None else None
        if isinstance(value, ScalarNode) and (number := _number(value.text)) is not None:
            found[key] = Stated(key, number, Place.of(document, value))
    return found


def _of_planner(document: Document, planner: Component, given: Mapping[str, Fact[str]]) -> dict[str, Stated]:
    from servelint.engines import shell  # lazy: few graphs have a planner
    from servelint.formats.environment import environment

    container = planner.main
    found: dict[str, Stated] = {}
    if container is None:
        return found
    variables = environment(document, container, given)
    for program in shell.programs(document, container.elements_at("command"), container.elements_at("args"), variables):
        for index, word in enumerate(program.words):
            flag, equals, value = word.text.partition("=")
            key = flag.removeprefix("--")
            following = program.words[index + 1] if index + 1 < len(program.words) else None
            source = word if equals else following
            if not flag.startswith("--") or source is None or source.variable:
                continue
            text = value if equals else source.text
            if key in _KEYS and (number := _number(text)) is not None:
                found[key] = Stated(flag, number, _place(document, source))
            elif key == "config" and text.lstrip().startswith("{"):
                found.update(_of_json(document, source, text))
    return found


def _of_json(document: Document, word: Word, text: str) -> dict[str, Stated]:
    import json  # lazy: newer planners take one JSON text

    try:
        config = json.loads(text)
    except ValueError:
        return {}
    if not isinstance(config, dict):
        return {}
    numbers = {key: config[key] for key in _KEYS if type(config.get(key)) in (int, float) and config[key] > 0}
    return {key: Stated(f"--config {key}", float(number), _place(document, word)) for key, number in numbers.items()}


def _place(document: Document, word: Word) -> Place:
    return Place(document, word.span) if word.span is not None else Place.of(document, word.node)


def _unit(stated: Mapping[str, Stated]) -> float:
    """The unit of a planner's latencies in seconds; 0 where nothing tells."""
    if "itl" in stated:
        return _MILLI if stated["itl"].value >= 1 else 1.0
    return 0.0


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 < value < float("inf") else None
