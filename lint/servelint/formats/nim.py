"""NVIDIA NIM: NIMService, NIMPipeline and NIMCache of the NIM operator (``apps.nvidia.com``).

Source: NVIDIA/k8s-nim-operator ``api/apps/v1alpha1``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.source.nodes import MappingNode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.deployment import Deployment
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document

GROUP = "apps.nvidia.com/"


class Nim:
    """A pipeline is a list of services; a cache that no service at hand uses stands for itself."""

    name = "nim"
    needles: tuple[tuple[bytes, ...], ...] = ((b"apps.nvidia.com/",),)

    def recognise(self, document: Document, surroundings: Surroundings) -> Iterator[Deployment]:
        root = document.root
        if not isinstance(root, MappingNode):
            return
        kind = root.text_at("kind") or ""
        for item in root.elements_at("items") if kind.endswith("List") else [root]:
            if not (item.text_at("apiVersion") or "").startswith(GROUP):
                continue
            kind = item.text_at("kind") or ""
            if kind in ("NIMService", "NIMPipeline", "NIMCache"):
                from servelint.formats.nim_objects import deployments  # lazy: only for objects of these kinds

                yield from deployments(document, item, surroundings)
