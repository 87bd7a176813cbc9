"""AIBrix: StormService, RoleSet, and RayClusterFleet. A plain AIBrix model is a Deployment with labels, read as one.

Source: AIBrix 0.5, ``api/orchestration/v1alpha1``, ``pkg/controller/{podset,roleset}``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.formats import custom_resources

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.deployment import Deployment
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document

_GROUP = "orchestration.aibrix.ai/"
_KINDS = frozenset(("StormService", "RoleSet", "RayClusterFleet", "RayClusterReplicaSet"))


class AIBrix:
    name = "aibrix"

    def recognise(self, document: Document, surroundings: Surroundings) -> Iterator[Deployment]:
        for kind, item in custom_resources.of(document, _GROUP, _KINDS):
            from servelint.formats import aibrix_objects  # lazy: only for objects of these kinds

            yield from aibrix_objects.deployment(document, kind, item, surroundings)
