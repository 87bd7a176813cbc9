"""Host resources: what a container may use of its host's memory, and which of its directories are memory too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.facts import Place
from servelint.records import NamedTuple
from servelint.source.nodes import Node, ScalarNode
from servelint_rules.figures import GIB
from servelint_rules.pods import Mount, mounts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.deployment import Container
    from servelint.source.nodes import Document

# Suffixes of compose's byte values, which are binary (compose specification, "Specifying byte values").
_COMPOSE = {"": 1, "b": 1, "k": 1 << 10, "kb": 1 << 10, "m": 1 << 20, "mb": 1 << 20, "g": GIB, "gb": GIB}


class Size(NamedTuple):
    """An amount of bytes and the scalar that states it."""

    size_bytes: float
    node: ScalarNode
    document: Document

    @property
    def place(self) -> Place:
        return Place.of(self.document, self.node)


def quantity(document: Document, node: Node | None) -> Size | None:
    """A Kubernetes quantity as bytes; None where it is absent, or cannot be read."""
    if not isinstance(node, ScalarNode):
        return None
    from servelint.source import scalars  # lazy: only rules about sizes read quantities

    value = scalars.quantity(node.text)
    return Size(value, node, document) if value is not None and value > 0 else None


def memory_limit(container: Container) -> Size | None:
    """The memory the container may use at most, as far as its own manifest says."""
    limit = quantity(container.document, container.node.get("resources", "limits", "memory"))
    if limit is not None or container.pod is not None:
        return limit
    for path in (("mem_limit",), ("deploy", "resources", "limits", "memory")):
        node = container.node.get(*path)
        if isinstance(node, ScalarNode) and (size := _compose_bytes(node.text)):
            return Size(size, node, container.document)
    return None


def _compose_bytes(text: str) -> float:
    digits = text.strip().lower().rstrip("bkmg")
    unit = text.strip().lower()[len(digits) :]
    try:
        return float(digits) * _COMPOSE[unit]
    except (ValueError, KeyError):
        return 0.0


def mount_of(container: Container, path: str) -> Mount | None:
    """The mount that holds ``path``: the one with the longest path."""
    every = mounts(container.pod, container.node)
    holding = [mount for mount in every if path == mount.path or path.startswith(mount.path.rstrip("/") + "/")]
    return max(holding, key=lambda mount: len(mount.path)) if holding else None


def memory_volumes(container: Container) -> Iterator[tuple[Mount, Size]]:
    """Directories in memory that state a size: what is written there counts against the container's limit."""
    for mount in mounts(container.pod, container.node):
        if mount.volume is None or mount.volume.text_at("emptyDir", "medium") != "Memory" or container.pod is None:
            continue
        size = quantity(container.pod.document, mount.volume.get("emptyDir", "sizeLimit"))
        if size is not None:
            yield mount, size
