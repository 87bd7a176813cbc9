"""KAITO: Workspace, InferenceSet and MultiRoleInference of the group ``kaito.sh``.

Source: kaito-project/kaito ``api/{v1alpha1,v1beta1}``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.formats import custom_resources

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

    def recognise(self, document: Document, surroundings: Surroundings) -> Iterator[Deployment]:
        for _, item in custom_resources.of(document, GROUP, KINDS):
            from servelint.formats.kaito_objects import deployments  # lazy: only for objects of these kinds

            yield from deployments(document, item, surroundings)
