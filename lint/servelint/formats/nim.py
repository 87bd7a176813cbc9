"""NVIDIA NIM: NIMService, NIMPipeline and NIMCache of the NIM operator (``apps.nvidia.com``).

Source: NVIDIA/k8s-nim-operator ``api/apps/v1alpha1``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.formats import custom_resources

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.deployment import Deployment
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document

GROUP = "apps.nvidia.com/"
KINDS = frozenset(("NIMService", "NIMPipeline", "NIMCache"))


class Nim:
    """A pipeline is a list of services; a cache that no service at hand uses stands for itself."""

    name = "nim"

    def recognise(self, document: Document, surroundings: Surroundings) -> Iterator[Deployment]:
        for _, item in custom_resources.of(document, GROUP, KINDS):
            from servelint.formats.nim_objects import deployments  # lazy: only for objects of these kinds

            yield from deployments(document, item, surroundings)
