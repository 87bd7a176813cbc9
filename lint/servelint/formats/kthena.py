"""kthena (Volcano): ModelServing and ModelBooster.

Source: kthena 0.2 to 0.3, ``pkg/apis/workload/v1alpha1``, ``pkg/model-booster-controller/convert``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.formats import custom_resources

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.deployment import Deployment
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document

_GROUP = "workload.serving.volcano.sh/"


class Kthena:
    name = "kthena"

    def recognise(self, document: Document, surroundings: Surroundings) -> Iterator[Deployment]:
        for kind, item in custom_resources.of(document, _GROUP, ("ModelServing", "ModelBooster")):
            if kind == "ModelServing":
                from servelint.formats.kthena_serving import deployment  # lazy: only for objects of its kind
            else:
                from servelint.formats.kthena_booster import deployment
            yield from deployment(document, item, surroundings)
