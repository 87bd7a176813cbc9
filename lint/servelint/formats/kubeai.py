"""KubeAI: Model, the whole of what its operator makes a server of.

Source: KubeAI 0.21, ``api/k8s/v1/model_types.go``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.formats import custom_resources

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.deployment import Deployment
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document

_GROUP = "kubeai.org/"


class KubeAI:
    name = "kubeai"

    def recognise(self, document: Document, surroundings: Surroundings) -> Iterator[Deployment]:
        for _, item in custom_resources.of(document, _GROUP, ("Model",)):
            from servelint.formats.kubeai_model import deployment  # lazy: only for objects of this kind

            yield from deployment(document, item, surroundings)
