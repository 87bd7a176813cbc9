"""KServe: InferenceService with its ServingRuntime, and LLMInferenceService with its LLMInferenceServiceConfig.

Sources: KServe 0.16-0.17, ``pkg/apis/serving/{v1alpha1,v1alpha2,v1beta1}`` and ``config/{runtimes,llmisvcconfig}``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.source.nodes import MappingNode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.deployment import Deployment
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document

GROUP = "serving.kserve.io/"
_LLM = frozenset(("LLMInferenceService", "LLMInferenceServiceConfig"))
_CLASSIC = frozenset(("InferenceService", "ServingRuntime", "ClusterServingRuntime"))


class KServe:
    """Recognised by its API group; the same kinds exist in other groups (``ome.io``) with other fields."""

    name = "kserve"
    needles: tuple[tuple[bytes, ...], ...] = ((b"serving.kserve.io/",),)

    def recognise(self, document: Document, surroundings: Surroundings) -> Iterator[Deployment]:
        root = document.root
        if not isinstance(root, MappingNode):
            return
        kind = root.text_at("kind") or ""
        listed = kind == "List" or (kind.removesuffix("List") in _LLM | _CLASSIC and kind.endswith("List"))
        for item in root.elements_at("items") if listed else [root]:
            if not (item.text_at("apiVersion") or "").startswith(GROUP):
                continue
            kind = item.text_at("kind") or ""
            if kind in _LLM:
                from servelint.formats.kserve_llm import deployment  # lazy: only for objects of these kinds

                yield from deployment(document, item, surroundings)
            elif kind == "InferenceService":
                from servelint.formats.kserve_inference import inference_service

                yield from inference_service(document, item, surroundings)
            elif kind in _CLASSIC:
                from servelint.formats.kserve_inference import serving_runtime

                yield from serving_runtime(document, item, surroundings)
