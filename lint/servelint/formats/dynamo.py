"""NVIDIA Dynamo on Kubernetes: graphs of components, single components, and requests that a profiler turns into graphs.

Sources: the operator's API ``nvidia.com/v1alpha1`` and ``v1beta1`` (ai-dynamo/dynamo deploy/operator/api).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.formats import custom_resources

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.deployment import Deployment
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document

GROUP = "nvidia.com/"
_REQUEST = "DynamoGraphDeploymentRequest"
_KINDS = frozenset(("DynamoGraphDeployment", "DynamoComponentDeployment", _REQUEST))


class Dynamo:
    name = "dynamo"

    def recognise(self, document: Document, surroundings: Surroundings) -> Iterator[Deployment]:
        for kind, item in custom_resources.of(document, GROUP, _KINDS):
            if kind == _REQUEST:
                from servelint.formats.dynamo_request import deployment as requested  # lazy, as below: few documents are Dynamo's

                found = requested(document, item)
            else:
                from servelint.formats.dynamo_graph import deployment

                found = deployment(document, item, surroundings)
            if found is not None:
                yield found
