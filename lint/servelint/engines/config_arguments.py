"""Settings of an engine that stand in a mapping: configuration files, keyword arguments, the ``config`` of a custom resource.

The engines turn such a mapping into options: vLLM's ``--config`` file (vllm/utils/argparse_utils.py, ``load_config_file``) and
SGLang's (sglang/srt/server_args_config_parser.py) put ``key: value`` in front of the command line as ``--key value``, a truth
value as a switch; keyword arguments are options with ``_`` for ``-``. Here they become the arguments they stand for, each at
its place in the mapping.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.engines.arguments import file_of
from servelint.engines.command import Argument, Command, Form, Program, Word
from servelint.engines.flags import flag_table
from servelint.engines.placeholders import placeholder
from servelint.source.nodes import MappingNode, ScalarNode, SequenceNode
from servelint.source.scalars import core_value

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from servelint.engines.flags import FlagTable
    from servelint.engines.versions import Version
    from servelint.source.nodes import Document, Node

    Files = Callable[[str], Document | None]

_MOST_NODES = 5000
_DEEPEST = 20


def arguments(
    document: Document,
    mapping: MappingNode,
    table: FlagTable,
    version: Version | None,
    ignored: Collection[str] = (),
) -> tuple[Argument, ...]:
    """The entries of ``mapping`` as arguments, in order; those that are null say nothing. ``ignored``: keys of others.

    TensorRT-LLM's settings are nested: there, each leaf is an argument with its dotted path as ``key``, null included.
    """
    if table.parser == "click":
        from servelint.engines.nested_settings import leaves  # lazy: only TensorRT-LLM nests

        return leaves(document, mapping, table, ignored)
    found: list[Argument] = []
    for key, key_node, value in mapping.pairs():
        name = key_node.resolved
        if key in ignored or not isinstance(name, ScalarNode) or (isinstance(value, ScalarNode) and value.is_null):
            continue
        written = "--" + key.strip().lstrip("-").replace("_", "-")
        flag, abbreviated = table.resolve(written, version)
        canonical = flag.name if flag is not None else table.spelled(written)
        dotted = written.partition(".")[2] if "." in written and table.parser == "flexible" else ""
        word = value_word(value, name)
        words = (Word(key, name.span, name, True, start=0, end=len(key)), word)
        text = word.text
        if flag is not None and flag.negates(written):
            text = {"true": "false", "false": "true"}.get(text.lower(), text)
        found.append(Argument(canonical, written, text, Form.ENTRY, words, flag, dotted, abbreviated, document))
    return tuple(found)


def command(
    engine: str,
    document: Document,
    mapping: MappingNode,
    table: FlagTable,
    version: Version | None,
    *,
    launcher: str,
    separator: str = "-",
    ignored: Collection[str] = (),
) -> Command:
    """The engine as it is started with the settings of ``mapping`` alone. ``launcher``: what starts it, for people.

    ``separator`` stands between the words of a key: ``-`` in files, ``_`` in keyword arguments and for TensorRT-LLM.
    """
    separator = "_" if table.parser == "click" else separator
    program = Program((), False, document, mapping)
    found = arguments(document, mapping, table, version, ignored)
    return Command(engine, document, mapping, program, launcher, found, table, separator=separator)


def with_file(
    command: Command, version: Version | None, files: Files, flag: str = "--config", *, section: str = "", last: bool = False
) -> Command:
    """``command`` with the settings of the file that ``flag`` names before its own arguments, which win over them.

    ``files`` gives the document at a path of the container, None where it is not at hand: then nothing changes. ``section``:
    the key of the file that holds them, "" for the file itself. ``last``: behind its own arguments, over which they win.
    """
    named = command.last(flag)
    if named is None or named.value is None or named.value_is_unknown:
        return command
    document = files(named.value)
    root = document.root if document is not None else None
    mapping = root.get(section) if root is not None and section else root
    if document is None or not isinstance(mapping, MappingNode):
        return command
    table = flag_table(command.engine)
    settings = arguments(document, mapping, table, version)
    elsewhere = "" if command.elsewhere == file_of(flag) else command.elsewhere
    every = (*command.arguments, *settings) if last else (*settings, *command.arguments)
    return command.with_arguments(every, elsewhere)


def value_word(node: Node, key: ScalarNode) -> Word:
    """The value as the engine reads it from its command line: a scalar, words with blanks between them, or JSON."""
    if isinstance(node, ScalarNode):
        value = core_value(node)
        text = str(value).lower() if isinstance(value, bool) else node.text
        return Word(text, node.span, node, True, _filled_in(node.text), False, 0, len(node.text))
    if isinstance(node, SequenceNode) and all(isinstance(item.resolved, ScalarNode) for item in node.items):
        text = " ".join(item.resolved.text for item in node.items if isinstance(item.resolved, ScalarNode))
        return Word(text, node.span, key, False)
    import json  # lazy: few settings are mappings

    try:
        text = json.dumps(_Plain().of(node), sort_keys=True, separators=(",", ":"))
    except OverflowError:
        return Word("", node.span, key, False, "<a value too large to read>")
    return Word(text, node.span, key, False)


def _filled_in(text: str) -> str:
    """What stands for a value that is filled in before the file is used, as ``<name>``; "" if nothing does."""
    dollar = text.find("$")
    name = text[dollar + 1 :].strip("{}()").partition(":")[0] if dollar >= 0 else ""
    return placeholder(text) or (f"<${name}>" if name[:1].isalpha() or name[:1] == "_" else "")


class _Plain:
    """Nodes as plain values. Aliases may make a small text endless: :class:`OverflowError` beyond what a setting has."""

    def __init__(self) -> None:
        self._left = _MOST_NODES

    def of(self, node: Node, depth: int = 0) -> Any:
        self._left -= 1
        if self._left < 0 or depth > _DEEPEST:
            raise OverflowError
        resolved = node.resolved
        if isinstance(resolved, MappingNode):
            return {key: self.of(value, depth + 1) for key, _, value in resolved.pairs()}
        if isinstance(resolved, SequenceNode):
            return [self.of(item, depth + 1) for item in resolved.items]
        return core_value(resolved) if isinstance(resolved, ScalarNode) else None
