"""A plugin for the tests of the command line: a toy manifest format and three rules with known results.

TOY001 (error, unsafe fix): more than 4 GPUs. TOY002 (warning, safe fix): spare is true. TOY003 needs the GPU type, which a toy
never states.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint import Certainty, Deployment, Edit, Place, Pool, Proposal, Severity, Verdict, hookimpl
from servelint.rulebook import Scope, rule

if TYPE_CHECKING:
    from collections.abc import Iterable


class Toys:
    """``kind: Toy`` with ``gpus`` and ``spare``."""

    name = "toy"
    needles = ((b"kind: toy",),)

    def recognise(self, document: Any, surroundings: Any) -> Iterable[Deployment]:
        if document.text_at("kind") == "Toy":
            name = document.text_at("name") or "toy"
            yield Deployment(name, "toy", document, (Pool(name="serve", place=Place.of(document, document.root)),))


def _set(case: Any, key: str, value: str, safe: bool) -> tuple[Proposal, ...]:
    document = case.deployment.document
    span = document.get(key).span
    return (Proposal(f"{key}: {value}", safe, (Edit(document.source.path, span.start, span.end, value),)),)


@rule(
    "TOY001", "too-many-gpus", "a toy with more than 4 GPUs",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.DEPLOYMENT, since="1", formats=("toy",), fixable=True,
)  # fmt: skip
def too_many(case: Any) -> Iterable[Verdict]:
    """A toy needs no more than 4 GPUs."""
    document = case.deployment.document
    node = document.get("gpus")
    if node is not None and int(node.text) > 4:
        place = Place.of(document, node)
        yield Verdict(place, f"{node.text} GPUs", (f"{node.text} > 4",), proposals=_set(case, "gpus", "4", False))


@rule(
    "TOY002", "spare-toy", "a spare toy",
    severity=Severity.WARNING, certainty=Certainty.PROVEN, scope=Scope.DEPLOYMENT, since="1", formats=("toy",), fixable=True,
)  # fmt: skip
def spare(case: Any) -> Iterable[Verdict]:
    """Spare toys gather dust."""
    document = case.deployment.document
    if document.text_at("spare") == "true":
        yield Verdict(Place.of(document, document.get("spare")), "spare", proposals=_set(case, "spare", "false", True))


@rule(
    "TOY003", "toy-of-unknown-make", "a toy whose make matters",
    severity=Severity.INFO, certainty=Certainty.ADVICE, scope=Scope.POOL, since="1", formats=("toy",),
)  # fmt: skip
def make(case: Any) -> Iterable[Verdict]:
    """Reads a fact that no toy states."""
    case.pool.accelerator.value  # noqa: B018 - reading it is the point: it raises UnknownFact
    return ()


@hookimpl
def servelint_formats() -> tuple[Toys, ...]:
    return (Toys(),)


@hookimpl
def servelint_rules() -> tuple[object, ...]:
    return (too_many, spare, make)
