"""Strategic merge of a template and a patch."""

from __future__ import annotations

from typing import Any

from servelint.formats.strategic_merge import merged
from servelint.source.nodes import MappingNode, Node, ScalarNode, SequenceNode
from servelint.source.reader import read_text
from servelint.source.text import SourceText


def node(text: str) -> Node:
    root = read_text(SourceText("x.yaml", text)).documents[0].root
    assert root is not None
    return root


def plain(tree: Node) -> Any:
    tree = tree.resolved
    if isinstance(tree, MappingNode):
        return {key: plain(value) for key, _, value in tree.pairs()}
    if isinstance(tree, SequenceNode):
        return [plain(item) for item in tree.items]
    assert isinstance(tree, ScalarNode)
    return tree.text


def of(base: str, patch: str) -> Any:
    return plain(merged(node(base), node(patch)))


def test_mappings_are_merged_and_null_removes() -> None:
    assert of("{a: 1, b: {c: 2, d: 3}}", "{b: {c: 4, d: null}, e: 5}") == {"a": "1", "b": {"c": "4"}, "e": "5"}


def test_lists_are_merged_by_the_key_of_their_items_or_replaced() -> None:
    base = "{containers: [{name: a, image: x, args: [1, 2], env: [{name: V, value: 1}]}, {name: b, image: y}]}"
    patch = "{containers: [{name: a, args: [3], env: [{name: W, value: 2}]}, {name: c}]}"
    assert of(base, patch) == {
        "containers": [
            {"name": "a", "image": "x", "args": ["3"], "env": [{"name": "V", "value": "1"}, {"name": "W", "value": "2"}]},
            {"name": "b", "image": "y"},
            {"name": "c"},
        ]
    }


def test_directives() -> None:
    assert of("{a: {b: 1}}", "{a: {$patch: replace, c: 2}}")["a"].get("b") is None
    assert of("{containers: [{name: a}, {name: b}]}", "{containers: [{name: a, $patch: delete}]}") == {
        "containers": [{"name": "b"}]
    }


def test_scalars_keep_their_places() -> None:
    base, patch = node("{a: 1, b: 2}"), node("{b: 3}")
    tree = merged(base, patch)
    assert tree.get("a") is base.get("a")
    assert tree.get("b") is patch.get("b")


def test_circles_end() -> None:
    base = node("&x {a: *x}")
    assert isinstance(merged(base, base), MappingNode)
