"""OME (Open Model Engine): ClusterServingRuntime, ServingRuntime and InferenceService of the group ``ome.io``.

Source: sgl-project/ome ``pkg/apis/ome/v1beta1``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.source.nodes import MappingNode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.deployment import Deployment
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document

GROUP = "ome.io/"
RUNTIMES = ("ClusterServingRuntime", "ServingRuntime")


class Ome:
    """Its kinds are those of KServe, with other fields: the group tells them apart."""

    name = "ome"
    needles: tuple[tuple[bytes, ...], ...] = ((b"ome.io/", b"servingruntime"), (b"ome.io/", b"inferenceservice"))

    def recognise(self, document: Document, surroundings: Surroundings) -> Iterator[Deployment]:
        root = document.root
        if not isinstance(root, MappingNode):
            return
        kind = root.text_at("kind") or ""
        for item in root.elements_at("items") if kind.endswith("List") else [root]:
            if not (item.text_at("apiVersion") or "").startswith(GROUP):
                continue
            kind = item.text_at("kind") or ""
            if kind in RUNTIMES:
                from servelint.formats.ome_objects import serving_runtime  # lazy: only for objects of these kinds

                yield from serving_runtime(document, item, surroundings)
            elif kind == "InferenceService":
                from servelint.formats.ome_objects import inference_service

                yield from inference_service(document, item, surroundings)
