"""Writers: how a fact that stands in a Kubernetes document is set there. Every number that must change together does."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from servelint.finding import Edit
    from servelint.source.nodes import Document, MappingNode, ScalarNode
    from servelint.writer import Writer


class ScalarWriter:
    """Sets one scalar that is there. It is never removed: ``write(None)`` is not provable."""

    __slots__ = ("_document", "_node")

    def __init__(self, document: Document, node: ScalarNode) -> None:
        self._document = document
        self._node = node

    def write(self, value: object) -> tuple[Edit, ...] | None:
        from servelint.source import edits  # lazy: only fixes write

        if value is None or isinstance(value, bool):
            return None
        return edits.set_scalar(self._document, self._node, str(value))


class EntryWriter:
    """Adds ``key: value`` to a mapping that does not have it (the fact is a default of Kubernetes)."""

    __slots__ = ("_after", "_document", "_key", "_mapping")

    def __init__(self, document: Document, mapping: MappingNode, key: str, after: str | None = None) -> None:
        self._document = document
        self._mapping = mapping
        self._key = key
        self._after = after

    def write(self, value: object) -> tuple[Edit, ...] | None:
        from servelint.source import edits

        if value is None:
            return ()  # nothing is written, so nothing is to be removed
        return edits.insert_entry(self._document, self._mapping, self._key, str(value), self._after)


class TogetherWriter:
    """Sets one fact that is written in several places: all of them, or none where one cannot be proven."""

    __slots__ = ("_writers",)

    def __init__(self, writers: Sequence[Writer]) -> None:
        self._writers = tuple(writers)

    def write(self, value: object) -> tuple[Edit, ...] | None:
        every: set[Edit] = set()  # two places may be one node, reached through a YAML alias
        for writer in self._writers:
            edits = writer.write(value)
            if edits is None:
                return None
            every.update(edits)
        return tuple(sorted(every))


def together(*nodes: tuple[Document, ScalarNode | None]) -> Writer | None:
    """A writer for a value written at each of ``nodes``; None where none of them exists."""
    writers = [ScalarWriter(document, node) for document, node in nodes if node is not None]
    if not writers:
        return None
    return writers[0] if len(writers) == 1 else TogetherWriter(writers)
