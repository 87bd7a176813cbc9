"""KServe: InferenceService with its ServingRuntime, and LLMInferenceService with its LLMInferenceServiceConfig.

Sources: KServe 0.16-0.17, ``pkg/apis/serving/{v1alpha1,v1alpha2,v1beta1}`` and ``config/{runtimes,llmisvcconfig}``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.formats import custom_resources

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

    def recognise(self, document: Document, surroundings: Surroundings) -> Iterator[Deployment]:
        for kind, item in custom_resources.of(document, GROUP, _LLM | _CLASSIC):
            if kind in _LLM:
                from servelint.formats.kserve_llm import deployment  # lazy: only for objects of these kinds

                yield from deployment(document, item, surroundings)
            else:
                from servelint.formats import kserve_inference

                service = kind == "InferenceService"
                read = kserve_inference.inference_service if service else kserve_inference.serving_runtime
                yield from read(document, item, surroundings)
