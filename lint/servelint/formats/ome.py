"""OME (Open Model Engine): ClusterServingRuntime, ServingRuntime and InferenceService of the group ``ome.io``.

Source: sgl-project/ome ``pkg/apis/ome/v1beta1``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.formats import custom_resources

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.deployment import Deployment
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document

GROUP = "ome.io/"
RUNTIMES = ("ClusterServingRuntime", "ServingRuntime")
KINDS = (*RUNTIMES, "InferenceService")


class Ome:
    """Its kinds are those of KServe, with other fields: the group tells them apart."""

    name = "ome"

    def recognise(self, document: Document, surroundings: Surroundings) -> Iterator[Deployment]:
        for kind, item in custom_resources.of(document, GROUP, KINDS):
            from servelint.formats import ome_objects  # lazy: only for objects of these kinds

            read = ome_objects.serving_runtime if kind in RUNTIMES else ome_objects.inference_service
            yield from read(document, item, surroundings)
