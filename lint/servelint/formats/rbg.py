"""RoleBasedGroup (RBG) of SGLang's project: RoleBasedGroup and RoleBasedGroupSet, v1alpha1 and v1alpha2.

Source: rbg 0.5 to 0.7, ``api/workloads/{v1alpha1,v1alpha2,constants}``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.formats import custom_resources

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.deployment import Deployment
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document

_GROUP = "workloads.x-k8s.io/"
_KINDS = frozenset(("RoleBasedGroup", "RoleBasedGroupSet"))


class RoleBasedGroups:
    name = "rbg"

    def recognise(self, document: Document, surroundings: Surroundings) -> Iterator[Deployment]:
        for kind, item in custom_resources.of(document, _GROUP, _KINDS):
            from servelint.formats import rbg_roles  # lazy: only for objects of these kinds

            yield from rbg_roles.deployment(document, kind, item, surroundings)
