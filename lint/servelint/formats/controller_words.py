"""Words that a controller puts on an engine's command line from fields of its object."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.engines.command import Program, Word
from servelint.source.nodes import ScalarNode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from servelint.facts import Fact
    from servelint.source.nodes import Document, Node


def words(node: ScalarNode, *texts: str) -> list[Word]:
    """Words that come from the field at ``node``: findings about them point there, and no edit is made through them."""
    return [Word(text, node.span, node, False, "", True) for text in texts]


def unseen(node: ScalarNode, where: str) -> Word:
    """Stands for arguments that something else may add; ``where`` names it. It must follow a positional argument."""
    return Word(where, node.span, node, False, f"<{where}>", True)


def of_items(document: Document, items: Sequence[Node], environment: Mapping[str, Fact[str]]) -> list[Word]:
    """The words of an exec list whose program a controller sets."""
    from servelint.engines import shell  # lazy: only recognised objects have arguments

    programs = shell.programs(document, (), items, environment)
    return [word for program in programs for word in program.words]


def of_text(document: Document, node: ScalarNode, environment: Mapping[str, Fact[str]]) -> list[Word]:
    """The words of a text that a controller's script has a shell split."""
    from servelint.engines import shell

    programs = shell.programs_of_text(document, node, environment)
    return [word for program in programs for word in program.words]


def program(document: Document, made: Sequence[Word], *, shell: bool = False) -> Program:
    return Program(tuple(made), shell, document, made[0].node if made else None)


def label_of(item: Node) -> ScalarNode:
    """What a finding about the object as a whole points at: its name, or its kind."""
    for path in (("metadata", "name"), ("metadata", "generateName"), ("kind",)):
        node = item.get(*path)
        if isinstance(node, ScalarNode) and node.text:
            return node
    return ScalarNode(item.span, "", "")
