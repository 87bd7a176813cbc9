"""Values of charts whose templates are not known, recognised by their shape.

A mapping is taken for a server where it names an engine's image (or is named for an engine) and says something that only a
server needs: a model, arguments, degrees, accelerators. What is switched off (``enabled: false``) is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.deployment import Deployment
from servelint.formats import value_words
from servelint.source.nodes import MappingNode, SequenceNode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.deployment import Pool
    from servelint.formats.base import Surroundings
    from servelint.formats.helm_chart_server import Server
    from servelint.source.nodes import Document, Node

_SWITCHES = frozenset(("enabled", "create", "deployed", "install", "deploy", "enable"))
# A matrix of benchmark runs names images and models, too; what it lists are points to measure, not deployments.
# Hydra makes Python objects of mappings with `_target_`, in a program that is no chart.
_NO_CHART = frozenset(("seq-len-configs", "search-space", "scenarios", "_target_"))
# Ports and mounts in a list may be named for the server that they are of.
_NO_SERVERS = ("targetPort", "containerPort", "mountPath")
_DEEPEST = 8
_NAMES = ("fullnameOverride", "nameOverride", "servedModelName", "name")


def deployments(document: Document, root: MappingNode, surroundings: Surroundings) -> Iterator[Deployment]:
    from servelint.formats.helm_chart_pool import pools  # lazy: only for documents that may be such values
    from servelint.formats.helm_chart_server import label_of, server

    found: list[tuple[Server, list[Pool]]] = []
    sections: set[int] = set()
    for name, node, around in _mappings(root):
        if id(node) in sections:
            continue
        if node.get("engine") is not None and "://" in (node.text_at("url") or ""):
            from servelint.formats.kubeai_model import of_spec  # lazy: only values of KubeAI's chart of models

            yield from of_spec(document, label_of(node), name, node, surroundings, "helm-values")
            continue
        described = server(document, name, node, around, surroundings)
        sections |= {id(section) for section in described.sections if section is not node} if described is not None else set()
        made = pools(described, surroundings) if described is not None else []
        if described is not None and made:
            found.append((described, made))
    # A mapping that only holds the image or the settings of servers that stand in it is none itself.
    holders = {id(described.holder) for described, _ in found if described.holder is not None}
    outer = {id(mapping) for described, _ in found for mapping in described.around}
    for described, made in found:
        holds = id(described.node) in holders and not described.names_model
        if not holds and (described.has_image or id(described.node) not in outer):
            yield Deployment(_title(described.name, described.node), "helm-values", document, tuple(made))


def _title(name: str, node: Node) -> str:
    return name or next((text for key in _NAMES if (text := node.text_at(key))), "") or "values"


def _is_left_out(node: MappingNode, *, whole: bool) -> bool:
    """``whole``: it is the document's root. What switches that off are the defaults of a subchart, which another file changes."""
    keys = node.tabulated().keys()
    switched = not whole and any(value_words.is_false(node, key) for key in keys & _SWITCHES)
    return switched or not keys.isdisjoint(_NO_CHART)


def _mappings(root: MappingNode) -> Iterator[tuple[str, MappingNode, tuple[MappingNode, ...]]]:
    """(its name, a mapping, those around it from the nearest on) for every one that is not switched off, outer ones first.

    What stands in a list is named by itself, or by the list. A mapping that aliases stand for is visited once.
    """
    seen: set[int] = set()
    pending: list[tuple[str, Node, tuple[MappingNode, ...]]] = [("", root, ())]
    while pending:
        name, node, around = pending.pop()
        if id(node) in seen or len(around) > _DEEPEST:
            continue
        seen.add(id(node))
        if isinstance(node, SequenceNode):
            items = [item.resolved for item in node.items if item.get("value") is None and item.get("valueFrom") is None]
            items = [item for item in items if all(item.get(key) is None for key in _NO_SERVERS)]
            pending += [(item.text_at("name") or name, item, around) for item in reversed(items)]
        elif isinstance(node, MappingNode) and not _is_left_out(node, whole=not around):
            yield name, node, around
            inner = [(key, value) for key, _, value in node.pairs() if isinstance(value, MappingNode | SequenceNode)]
            pending += [(key, value, (node, *around)) for key, value in reversed(inner)]
