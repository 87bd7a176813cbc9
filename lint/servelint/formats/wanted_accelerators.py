"""Accelerators as job files ask for them (``H100:8``): one or several alternatives, each with a number of devices on a node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.facts import Fact, Origin, OriginKind, Place
from servelint.formats.launches import GPUS
from servelint.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from servelint.catalogue.accelerators import Accelerator
    from servelint.source.nodes import Document, Node
    from servelint.writer import Writer

ACCELERATOR = "accelerator.name"
_RESOURCES = (
    ("tpu", "google.com/tpu"), ("v5", "google.com/tpu"), ("v6e", "google.com/tpu"), ("mi", "amd.com/gpu"),
    ("gaudi", "habana.ai/gaudi"), ("inferentia", "aws.amazon.com/neuron"), ("trainium", "aws.amazon.com/neuron"),
)  # fmt: skip


class Wanted(NamedTuple):
    """One alternative. ``name``: "" for any accelerator, or as the catalogue understands it. ``number``: None where it is no
    whole number of devices; ``why`` then says so. ``node``: where it is written."""

    name: str
    number: int | None
    node: Node
    why: str = ""


def resource(wanted: Sequence[Wanted]) -> str:
    """The resource by the name Kubernetes has for it; "" where nothing or several kinds are wanted."""
    kinds = {_resource(one.name) for one in wanted}
    return kinds.pop() if len(kinds) == 1 else ""


def _resource(name: str) -> str:
    lower = name.lower()
    return next((kind for prefix, kind in _RESOURCES if lower.startswith(prefix)), "nvidia.com/gpu")


def gpus(document: Document, wanted: Sequence[Wanted], what: str, writer: Writer | None = None) -> Fact[int]:
    """Devices on one node: one number, or the alternatives. ``what`` names the setting for people."""
    if not wanted:
        return Fact.unknown(GPUS, f"{what} asks for no accelerator", f"state {what}")
    origin = Origin(OriginKind.FILE, what, Place.of(document, wanted[0].node))
    unclear = next((one for one in wanted if one.number is None), None)
    if unclear is not None:
        place = Origin(OriginKind.FILE, what, Place.of(document, unclear.node))
        return Fact.unknown(GPUS, unclear.why or f"{what} does not say how many", "write the number: NAME:COUNT", place)
    counts = tuple(dict.fromkeys(one.number for one in wanted if one.number is not None))
    return Fact.either(GPUS, counts, origin, writer if len(counts) == 1 else None)


def accelerator(document: Document, wanted: Sequence[Wanted], what: str) -> Fact[Accelerator] | None:
    """The accelerator, or the alternatives; None where the file names none.

    Of several alternatives those that the catalogue does not know are left out.
    """
    named = [one for one in wanted if one.name]
    if not named:
        return None
    from servelint.catalogue import accelerators  # lazy: not every job file names one

    origin = Origin(OriginKind.FILE, what, Place.of(document, named[0].node))
    found: dict[str, Accelerator] = {}
    missing = ""
    for one in named:
        matches = accelerators.find_all(one.name)
        missing = missing or ("" if matches else one.name)
        found.update((match.name, match) for match in matches)
    if len(named) < len(wanted) or not found:
        reason = f"{missing} is not in the catalogue" if missing else f"{what} allows any GPU"
        near = accelerators.suggest(missing) if missing else []
        remedy = f"did you mean {near[0]}?" if near else "name a GPU that the catalogue knows, such as H100-SXM5-80GB or L4"
        return Fact.unknown(ACCELERATOR, reason, remedy, origin)
    return Fact.either(ACCELERATOR, tuple(found.values()), origin)
