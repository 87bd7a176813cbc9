"""VLLMRuntime of the production-stack operator.

Source: production-stack 0.1.7 and its main branch, ``operator/api/v1alpha1/vllmruntime_types.go``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.formats import custom_resources

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.deployment import Deployment
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document

_GROUP = "production-stack.vllm.ai/"


class VllmRuntime:
    name = "vllm-runtime"

    def recognise(self, document: Document, surroundings: Surroundings) -> Iterator[Deployment]:
        for _, item in custom_resources.of(document, _GROUP, ("VLLMRuntime",)):
            from servelint.formats.vllm_runtime_spec import deployment  # lazy: only for objects of this kind

            yield from deployment(document, item, surroundings)
