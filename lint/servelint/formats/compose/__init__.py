"""Docker Compose files: services whose image or command line runs an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.source.nodes import MappingNode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from servelint.deployment import Deployment
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document


class Compose:
    """Recognised by a top-level mapping ``services`` of mappings, without the ``apiVersion`` or ``kind`` of other formats."""

    name = "compose"

    def recognise(self, document: Document, surroundings: Surroundings) -> Iterable[Deployment]:
        root = document.root
        if not isinstance(root, MappingNode) or root.entry("apiVersion") is not None or root.entry("kind") is not None:
            return ()
        services = root.get("services")
        if not isinstance(services, MappingNode) or not any(isinstance(s, MappingNode) for _, _, s in services.pairs()):
            return ()
        from servelint.formats.compose.services import deployments  # lazy: only for Compose files

        return deployments(document, services, surroundings)
