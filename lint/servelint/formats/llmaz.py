"""llmaz: Playground and Service, with the OpenModel and BackendRuntime they name.

Source: llmaz 0.1.4, ``api/{core,inference}/v1alpha1``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.formats import custom_resources

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.deployment import Deployment
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document

_GROUP = "inference.llmaz.io/"


class Llmaz:
    name = "llmaz"

    def recognise(self, document: Document, surroundings: Surroundings) -> Iterator[Deployment]:
        for kind, item in custom_resources.of(document, _GROUP, ("Playground", "Service")):
            from servelint.formats import llmaz_objects  # lazy: only for objects of these kinds

            recognise = llmaz_objects.playground if kind == "Playground" else llmaz_objects.service
            yield from recognise(document, item, surroundings)
