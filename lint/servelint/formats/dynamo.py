"""NVIDIA Dynamo on Kubernetes: graphs of components, single components, and requests that a profiler turns into graphs.

Sources: the operator's API ``nvidia.com/v1alpha1`` and ``v1beta1`` (ai-dynamo/dynamo deploy/operator/api).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.source.nodes import MappingNode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.deployment import Deployment
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document

GROUP = "nvidia.com/"
_GRAPH, _COMPONENT, _REQUEST = "DynamoGraphDeployment", "DynamoComponentDeployment", "DynamoGraphDeploymentRequest"
_LISTS = frozenset(f"{kind}List" for kind in (_GRAPH, _COMPONENT, _REQUEST)) | {"List"}


class Dynamo:
    name = "dynamo"

    def recognise(self, document: Document, surroundings: Surroundings) -> Iterator[Deployment]:
        root = document.root
        if not isinstance(root, MappingNode):
            return
        for item in root.elements_at("items") if root.text_at("kind") in _LISTS else [root]:
            if not (item.text_at("apiVersion") or "").startswith(GROUP):
                continue
            kind = item.text_at("kind")
            if kind in (_GRAPH, _COMPONENT):
                from servelint.formats.dynamo_graph import deployment  # lazy, as below: few documents are Dynamo's

                found = deployment(document, item, surroundings)
            elif kind == _REQUEST:
                from servelint.formats.dynamo_request import deployment as requested

                found = requested(document, item)
            else:
                continue
            if found is not None:
                yield found
