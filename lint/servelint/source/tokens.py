"""A tree as a flat list of tokens: what edits are verified on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.records import NamedTuple
from servelint.source.nodes import AliasNode, MappingNode, Node, ScalarNode, SequenceNode

if TYPE_CHECKING:
    from collections.abc import Sequence

Signature = tuple[str | bool, ...]

_OPEN_MAPPING, _CLOSE_MAPPING, _OPEN_SEQUENCE, _CLOSE_SEQUENCE = "{", "}", "[", "]"


class Token(NamedTuple):
    """``signature``: all that must stay the same of a node that is not edited. ``node`` is the one it stands for."""

    signature: Signature
    node: Node

    @property
    def is_scalar(self) -> bool:
        return isinstance(self.node, ScalarNode)


def tokens(root: Node | None) -> list[Token]:
    """The tokens of a tree in document order: collections open and close, aliases are not followed."""
    found: list[Token] = []
    # A closing token waits on the stack behind the children of its collection.
    stack: list[Node | Token] = [root] if root is not None else []
    while stack:
        node = stack.pop()
        if isinstance(node, ScalarNode):
            found.append(Token(("scalar", node.text, node.style == "", node.anchor, node.tag), node))
        elif isinstance(node, Token):
            found.append(node)
        elif isinstance(node, AliasNode):
            found.append(Token(("alias", node.name), node))
        elif isinstance(node, MappingNode):
            found.append(Token((_OPEN_MAPPING, node.anchor, node.tag), node))
            stack.append(Token((_CLOSE_MAPPING,), node))
            for key, value in reversed(node.entries):
                stack += (value, key)
        elif isinstance(node, SequenceNode):
            found.append(Token((_OPEN_SEQUENCE, node.anchor, node.tag), node))
            stack.append(Token((_CLOSE_SEQUENCE,), node))
            stack.extend(reversed(node.items))
    return found


def aliases_agree(before: Sequence[Token | None], after: Sequence[Token | None]) -> bool:
    """Whether every alias of two lists of tokens of one length stands for the token at the same position in both."""
    pairs = zip(before, after, strict=True)
    aliases = [(old.node, new) for old, new in pairs if old is not None and isinstance(old.node, AliasNode)]
    if not aliases:
        return True  # as in nearly every file
    here, there = _positions(before), _positions(after)
    for alias, new in aliases:
        if new is None or not isinstance(new.node, AliasNode):
            return False
        position = here.get(id(alias.target))
        if position is None or position != there.get(id(new.node.target)):
            return False
    return True


def _positions(every: Sequence[Token | None]) -> dict[int, int]:
    """Where each node begins (a collection's closing token does not count)."""
    positions: dict[int, int] = {}
    for position, token in enumerate(every):
        if token is not None:
            positions.setdefault(id(token.node), position)
    return positions


def alias_targets(every: Sequence[Token]) -> set[int]:
    """The ids of the nodes that aliases among ``every`` stand for."""
    return {id(token.node.target) for token in every if isinstance(token.node, AliasNode)}
