"""Objects of custom resources, and the numbers in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.facts import Fact, Origin, OriginKind, Place
from servelint.formats import objects
from servelint.formats.writers import EntryWriter, ScalarWriter
from servelint.source.nodes import MappingNode, ScalarNode

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from servelint.source.nodes import Document, Node


def of(document: Document, group: str, kinds: Collection[str]) -> Iterator[tuple[str, Node]]:
    """(kind, object) of the objects of these kinds and API group in ``document``, alone, in a List or an OpenShift Template."""
    for item in objects.items(document, kinds):
        kind = item.text_at("kind") or ""
        if kind in kinds and (item.text_at("apiVersion") or "").startswith(group):
            yield kind, item


def number(
    document: Document, holder: Node | None, key: str, name: str, *, default: int | None, of: str, least: int = 0
) -> Fact[int]:
    """The whole number ``holder[key]`` as the fact ``name``; ``default`` where it is absent, None for unknown.

    ``of``: whose default it is; where there is no default, why nothing is known then.
    """
    from servelint.source.scalars import integer  # lazy: only recognised objects have numbers to read

    node = holder.get(key) if holder is not None else None
    if node is not None:
        origin = Origin(OriginKind.FILE, key, Place.of(document, node))
        value = integer(node) if isinstance(node, ScalarNode) else None
        if not isinstance(node, ScalarNode) or value is None or value < least:
            shown = repr(node.text) if isinstance(node, ScalarNode) else "a list or mapping"
            return Fact.unknown(name, f"{key} is {shown}, not a whole number of at least {least}", origin=origin)
        return Fact.known(name, value, origin, ScalarWriter(document, node))
    if default is None:
        return Fact.unknown(name, of, f"state {key}")
    writer = EntryWriter(document, holder, key) if isinstance(holder, MappingNode) else None
    return Fact.known(name, default, Origin(OriginKind.DEFAULT, f"default of {of} for {key}"), writer)
