"""KAITO: Workspace, InferenceSet and MultiRoleInference of the group ``kaito.sh``.

Source: kaito-project/kaito ``api/{v1alpha1,v1beta1}``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.source.nodes import MappingNode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.deployment import Deployment
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document

GROUP = "kaito.sh/"
KINDS = frozenset(("Workspace", "InferenceSet", "MultiRoleInference"))


class Kaito:
    """A Workspace has its fields at the top, without a ``spec``; one that tunes a model serves nothing."""

    name = "kaito"
    needles: tuple[tuple[bytes, ...], ...] = ((b"kaito.sh/",),)

    def recognise(self, document: Document, surroundings: Surroundings) -> Iterator[Deployment]:
        root = document.root
        if not isinstance(root, MappingNode):
            return
        kind = root.text_at("kind") or ""
        for item in root.elements_at("items") if kind.endswith("List") else [root]:
            ours = (item.text_at("apiVersion") or "").startswith(GROUP) and (item.text_at("kind") or "") in KINDS
            if ours:
                from servelint.formats.kaito_objects import deployments  # lazy: only for objects of these kinds

                yield from deployments(document, item, surroundings)
