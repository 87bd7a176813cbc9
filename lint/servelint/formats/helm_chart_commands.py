"""How a server is started in the values of a chart whose templates are not known: its command, a script, its arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.engines.command import SHELLS
from servelint.formats.helm_chart_keys import ARGUMENTS, kebab
from servelint.source.nodes import MappingNode, ScalarNode, SequenceNode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from servelint.formats.helm_chart_server import Server
    from servelint.source.nodes import Node

STARTS = {
    "vllm serve": "vllm", "vllm.entrypoints": "vllm", "sglang": "sglang", "trtllm-serve": "trtllm",
    "text-generation-launcher": "tgi",
}  # fmt: skip
"""What starts an engine, and which."""
_SCRIPTS = frozenset(("cli", "cmd", "command", "script", "run-command", "start-command", "launch-command", "entrypoint"))


def command_of(node: MappingNode) -> list[Node]:
    for path in (("command",), ("image", "command"), ("extraCmd", "command"), ("customCommand",)):
        found = node.elements_at(*path)
        if found:
            return found
    return []


def script_of(node: MappingNode) -> ScalarNode | None:
    """A text that a shell is to run and that starts an engine."""
    for key, _, value in node.pairs():
        if kebab(key) in _SCRIPTS and isinstance(value, ScalarNode) and any(word in value.text for word in STARTS):
            return value
    return None


def has_own_script(node: MappingNode) -> bool:
    """A text that a shell is to run, and that starts no engine."""
    texts = (value.text for key, _, value in node.pairs() if kebab(key) in _SCRIPTS and isinstance(value, ScalarNode))
    return any(text.strip() for text in texts) and script_of(node) is None


def starts_engine(command: Sequence[Node]) -> bool:
    """A command of more than a shell's or an interpreter's name."""
    text = " ".join(item.text for item in command if isinstance(item, ScalarNode))
    return any(word in text for word in STARTS)


def states_program(server: Server) -> bool:
    """Its command starts an engine, or is a shell whose script among the arguments does."""
    command = command_of(server.node)
    if starts_engine(command):
        return True
    shell = command[0] if command else None
    if not isinstance(shell, ScalarNode) or shell.text.rpartition("/")[2] not in SHELLS:
        return False
    return starts_engine(argument_items(server))


def argument_items(server: Server) -> list[Node]:
    return [item.resolved for value in arguments(server) if isinstance(value, SequenceNode) for item in value.items]


def arguments(server: Server) -> Iterator[Node]:
    """The lists, texts and mappings of arguments, in order."""
    nested = [child for key, _, child in server.node.pairs() if isinstance(child, MappingNode) and child.get("image") is None]
    for section in (*server.sections, *(child for child in nested if child not in server.sections)):
        for key, _, value in section.pairs():
            if kebab(key) not in ARGUMENTS:
                continue
            text = value.text.strip() if isinstance(value, ScalarNode) and not value.is_null else ""
            items = value.items if isinstance(value, SequenceNode) else ()
            entries = value.entries if isinstance(value, MappingNode) else ()
            if text.startswith("-") or items or entries:
                yield value
