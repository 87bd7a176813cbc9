"""TensorRT-LLM's settings as arguments: the fields of its LlmArgs, nested, in a YAML file or as JSON on the command line.

Source: tensorrt_llm/llmapi/llm_args.py and ``update_llm_args_with_extra_dict`` in llm_utils.py.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from servelint.engines.command import Argument, Form, Word
from servelint.engines.config_arguments import value_word
from servelint.source.nodes import MappingNode, ScalarNode

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from servelint.engines.flags import FlagTable
    from servelint.source.nodes import Document

_DEEPEST = 4


def leaves(document: Document, mapping: MappingNode, table: FlagTable, ignored: Collection[str] = ()) -> tuple[Argument, ...]:
    """An argument for each leaf: ``--kv_cache_config`` with key ``free_gpu_memory_fraction``. A null is the text ``null``."""
    found: list[Argument] = []
    for key, key_node, value in mapping.pairs():
        name = key_node.resolved
        if key not in ignored and isinstance(name, ScalarNode):
            found += _leaves(document, table, "--" + key.strip(), "", name, value)
    return tuple(found)


def _leaves(document: Document, table: FlagTable, option: str, path: str, name: ScalarNode, value: Any) -> Iterator[Argument]:
    if isinstance(value, MappingNode) and path.count(".") < _DEEPEST and value.entries:
        for key, key_node, inner in value.pairs():
            if isinstance(key_node.resolved, ScalarNode):
                yield from _leaves(document, table, option, f"{path}.{key}" if path else key, key_node.resolved, inner)
        return
    word = value_word(value, name)
    text = "null" if isinstance(value, ScalarNode) and value.is_null else word.text
    flag = table.flag(option)
    words = (Word(name.text, name.span, name, True, start=0, end=len(name.text)), word)
    canonical = flag.name if flag is not None else option
    yield Argument(canonical, option, text, Form.ENTRY, words, flag, path, document=document)


def of_json(argument: Argument, table: FlagTable) -> tuple[Argument, ...]:
    """An argument for each leaf of the JSON object that is the value of ``argument``; none where it is no object.

    They cannot be written one by one: they share one word.
    """
    try:
        value = json.loads(argument.value or "null")
    except ValueError:
        return ()
    if not isinstance(value, dict):
        return ()
    found = []
    for option, path, text in _flat(value, ""):
        flag = table.flag(f"--{option}")
        name = flag.name if flag is not None else f"--{option}"
        found.append(Argument(name, argument.written, text, Form.JAMMED, argument.words, flag, path))
    return tuple(found)


def _flat(value: dict[str, Any], path: str) -> Iterator[tuple[str, str, str]]:
    for key, inner in value.items():
        whole = f"{path}.{key}" if path else str(key)
        if isinstance(inner, dict) and inner and whole.count(".") < _DEEPEST:
            yield from _flat(inner, whole)
        else:
            option, _, rest = whole.partition(".")
            yield option, rest, inner if isinstance(inner, str) else json.dumps(inner)
