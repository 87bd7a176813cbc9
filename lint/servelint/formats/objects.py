"""Kubernetes objects that a document refers to by kind and name."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from servelint.source.nodes import MappingNode, Node, ScalarNode, SequenceNode

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document

_SHAPES = {MappingNode: "a map", SequenceNode: "a list", ScalarNode: "a text or number"}


def items(document: Document, kinds: Collection[str]) -> list[Node]:
    """The objects in ``document``, of any kind: it is one, or a List (of all kinds, or of one of ``kinds``) or an OpenShift
    Template of several."""
    root = document.root
    if not isinstance(root, MappingNode):
        return []
    kind = root.text_at("kind") or ""
    if kind == "List" or (kind.endswith("List") and kind.removesuffix("List") in kinds):
        return [each for item in root.elements_at("items") for each in _in_template(item)]
    return _in_template(root)


def _in_template(item: Node) -> list[Node]:
    """The objects of an OpenShift Template; of anything else, itself."""
    if item.text_at("kind") == "Template" and item.get("objects") is not None:
        from servelint.formats import openshift_templates  # lazy: few documents are templates

        return openshift_templates.objects(item)
    return [item]


def of_kind(surroundings: Surroundings, kind: str) -> Iterator[tuple[Document, Node]]:
    """The objects of ``kind`` in the file, with their documents."""
    for document in surroundings.documents:
        for item in items(document, (kind,)):
            if item.text_at("kind") == kind:
                yield document, item


@lru_cache(8)  # each of a file's pods may ask for an object of it
def _by_name(documents: tuple[Document, ...], kind: str) -> dict[str, list[tuple[Document, Node]]]:
    found: dict[str, list[tuple[Document, Node]]] = {}
    for document in documents:
        for item in items(document, (kind,)):
            name = item.text_at("metadata", "name") if item.text_at("kind") == kind else None
            if name:
                found.setdefault(name, []).append((document, item))
    return found


def named(surroundings: Surroundings, kind: str, name: str) -> tuple[Document, Node] | None:
    """The object of ``kind`` called ``name``, in the file or else in the nearest other file of the run.

    None where it is not at hand, or where several are.
    """
    found = _by_name(tuple(surroundings.documents), kind).get(name)
    if found:
        return found[0] if len(found) == 1 else None
    return surroundings.elsewhere(kind, name) if name else None


def named_of(surroundings: Surroundings, group: str, kind: str, name: str) -> tuple[Document, Node] | None:
    """The same, of one API group (``serving.kserve.io/``); None also where no name is given."""
    found = named(surroundings, kind, name) if name else None
    return found if found is not None and (found[1].text_at("apiVersion") or "").startswith(group) else None


def has_shape(
    surroundings: Surroundings, document: Document, owner: Node | None, path: tuple[str, ...], shape: type[Node], deployment: str
) -> bool:
    """Whether the field at ``path`` of ``owner`` has the shape that its API asks for, or is not there; reports it otherwise."""
    node = owner.get(*path) if owner is not None else None
    if node is None or isinstance(node, shape):
        return True
    if isinstance(node, ScalarNode) and any(mark in node.text for mark in ("{{", "$", "<")):
        return False  # filled in before it is applied
    from servelint.facts import Place
    from servelint.finding import Verdict  # lazy: only invalid documents are reported

    what = ".".join(path)
    label = f"{what} must be {_SHAPES[shape]}, not {_SHAPES.get(type(node), 'this')}"
    surroundings.problem("DOC102", Verdict(Place.of(document, node), label, key=what), deployment)
    return False
