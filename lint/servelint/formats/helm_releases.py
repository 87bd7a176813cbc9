"""Values that stand in the objects by which a chart is installed: Flux' HelmRelease, Argo CD's Application.

Sources: ``helm.toolkit.fluxcd.io/v2`` (spec.values); ``argoproj.io/v1alpha1`` (spec.source.helm, spec.sources[].helm).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.source.nodes import MappingNode, ScalarNode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.source.nodes import Document, Node

_GROUPS = {"HelmRelease": "helm.toolkit.fluxcd.io/", "Application": "argoproj.io/", "ApplicationSet": "argoproj.io/"}


def values_of(document: Document, root: Node) -> Iterator[tuple[Document, MappingNode]]:
    """The values in the object at ``root``, each with the document it stands in."""
    kind = root.text_at("kind") or ""
    if not (root.text_at("apiVersion") or "").startswith(_GROUPS[kind]):
        return
    spec = root.get("spec", "template", "spec") if kind == "ApplicationSet" else root.get("spec")
    if spec is None:
        return
    if kind == "HelmRelease":
        values = spec.get("values")
        if isinstance(values, MappingNode):
            yield document, values
        return
    for source in (spec.get("source"), *spec.elements_at("sources")):
        helm = source.get("helm") if source is not None else None
        if helm is None:
            continue
        values = helm.get("valuesObject")
        text = helm.get("values")
        if isinstance(values, MappingNode):
            yield document, values
        elif isinstance(text, ScalarNode):
            yield from _embedded(document, text)


def _embedded(document: Document, text: ScalarNode) -> Iterator[tuple[Document, MappingNode]]:
    from servelint.source.embedded import EmbeddedDocument, read  # lazy: few objects carry values as text

    content = read(document, text)
    if isinstance(content.root, MappingNode):
        yield EmbeddedDocument(document, text, content), content.root
