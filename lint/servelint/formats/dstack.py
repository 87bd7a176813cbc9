"""dstack services and tasks: commands that run in a container on each node, with GPUs asked for by name, memory and number.

Source: dstack documentation, "Services", "Tasks", and ``dstack/_internal/core/models`` (configurations.py, resources.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.source.nodes import MappingNode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from servelint.deployment import Deployment
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document


class Dstack:
    """Recognised by ``type: service`` or ``type: task`` with commands, an image or groups of replicas."""

    name = "dstack"

    def recognise(self, document: Document, surroundings: Surroundings) -> Iterable[Deployment]:
        root = document.root
        if not isinstance(root, MappingNode) or root.text_at("type") not in {"service", "task"}:
            return ()
        if any(root.entry(key) is not None for key in ("apiVersion", "kind", "services", "spec", "steps")):
            return ()
        if not any(root.entry(key) is not None for key in ("commands", "image", "replicas", "groups")):
            return ()
        from servelint.formats.dstack_run import deployments  # lazy: only for dstack's files

        return deployments(document, root, surroundings)
