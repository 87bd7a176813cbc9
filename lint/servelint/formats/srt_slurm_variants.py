"""Recipes of srt-slurm with variants: ``base``, and ``override_NAME`` or ``zip_override_NAME`` laid over it.

Mappings are merged key by key, all else is replaced. A zip stands for as many variants as its lists are long: each takes its
element of every list; a list of one holds for all. Without a selector the variants are submitted, and the base is not.
Source: srt-slurm, ``src/srtctl/core/config.py`` (``generate_override_configs``), ``examples/example-override.yaml``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.formats.srt_slurm_recipe import deployments as of_recipe
from servelint.source.nodes import MappingNode, SequenceNode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.deployment import Deployment
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document, Node

_OVER = "override_"
_ZIP = "zip_override_"
_MOST = 64  # variants of one zip that are read


def deployments(document: Document, root: MappingNode, base: MappingNode, surroundings: Surroundings) -> list[Deployment]:
    """A deployment for each variant; that of the base where there is none."""
    made = list(_variants(root)) or [("", MappingNode(base.span, False))]
    found = []
    for suffix, over in made:
        for deployment in of_recipe(document, _merged(base, over), surroundings):
            named = over.get("name") is not None or not suffix
            found.append(deployment if named else deployment._replace(name=f"{deployment.name}_{suffix}"))
    return found


def _variants(root: MappingNode) -> Iterator[tuple[str, MappingNode]]:
    for key, _, value in root.pairs():
        if not isinstance(value, MappingNode):
            continue
        if key.startswith(_OVER):
            yield key.removeprefix(_OVER), value
        elif key.startswith(_ZIP):
            for index in range(min(_length(value), _MOST)):
                taken = _element(value, index)
                if isinstance(taken, MappingNode):
                    yield f"{key.removeprefix(_ZIP)}_{index}", taken


def _length(node: Node) -> int:
    """The longest list among the leaves; 1 where there is none."""
    if isinstance(node, SequenceNode):
        return max(len(node.items), 1)
    if isinstance(node, MappingNode):
        return max((_length(value) for _, _, value in node.pairs()), default=1)
    return 1


def _element(node: Node, index: int) -> Node:
    """What the variant ``index`` takes of ``node``."""
    if isinstance(node, SequenceNode) and node.items:
        return node.items[index if len(node.items) > 1 and index < len(node.items) else 0].resolved
    if isinstance(node, MappingNode):
        taken = MappingNode(node.span, False)
        taken.entries = [(key, _element(value, index)) for _, key, value in node.pairs()]
        return taken
    return node


def _merged(base: MappingNode, over: MappingNode) -> MappingNode:
    """``over`` laid over ``base``; everything stands where it stands in the file."""
    replaced = {key: (name, value) for key, name, value in over.pairs()}
    merged = MappingNode(base.span, False)
    for key, name, value in base.pairs():
        ours = replaced.pop(key, None)
        if ours is None:
            merged.entries.append((name, value))
        elif isinstance(value, MappingNode) and isinstance(ours[1], MappingNode):
            merged.entries.append((name, _merged(value, ours[1])))
        else:
            merged.entries.append(ours)
    merged.entries += replaced.values()
    return merged
