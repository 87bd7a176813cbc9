"""SkyPilot tasks and services: a script that runs on each of ``num_nodes`` nodes, with accelerators that may be alternatives.

Source: SkyPilot documentation, "SkyPilot YAML", "Service YAML" and "Secrets and Environment Variables".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.source.nodes import MappingNode, ScalarNode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from servelint.deployment import Deployment
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document

_OTHERS = ("apiVersion", "kind", "services", "jobs", "type", "steps")
_OWN = frozenset(("resources", "num_nodes", "setup", "envs", "secrets", "file_mounts", "service", "workdir"))


class SkyPilot:
    """Recognised by a top-level script ``run`` beside another key of a task."""

    name = "skypilot"

    def recognise(self, document: Document, surroundings: Surroundings) -> Iterable[Deployment]:
        root = document.root
        if not isinstance(root, MappingNode) or any(root.entry(key) is not None for key in _OTHERS):
            return ()
        run = root.get("run")
        if not isinstance(run, ScalarNode) or not any(root.entry(key) is not None for key in _OWN):
            return ()
        from servelint.formats.skypilot_task import deployments  # lazy: only for tasks of SkyPilot

        return deployments(document, root, run, surroundings)
