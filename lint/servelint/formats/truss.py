"""Baseten's Truss, where it runs a server of its own: ``config.yaml`` with ``docker_server``.

Source: Truss documentation, "Custom servers" and "Config", and ``truss/base/truss_config.py`` (DockerServer, Resources).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.source.nodes import MappingNode, ScalarNode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from servelint.deployment import Deployment
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document


class Truss:
    """Recognised by ``docker_server.start_command``. A Truss with a model class of its own is a Python program."""

    name = "truss"

    def recognise(self, document: Document, surroundings: Surroundings) -> Iterable[Deployment]:
        root = document.root
        command = root.get("docker_server", "start_command") if isinstance(root, MappingNode) else None
        if not isinstance(root, MappingNode) or not isinstance(command, ScalarNode) or root.entry("kind") is not None:
            return ()
        from servelint.formats.truss_server import deployments  # lazy: only for such a configuration

        return deployments(document, root, command, surroundings)
