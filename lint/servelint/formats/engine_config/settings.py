"""An engine as a mapping of its options configures it: what configuration files and recipes have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.engines.config_arguments import command
from servelint.engines.flags import flag_table
from servelint.source.nodes import ScalarNode

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from servelint.engines.base import Engine
    from servelint.engines.command import Command
    from servelint.engines.flags import FlagTable
    from servelint.facts import Fact
    from servelint.source.nodes import Document, MappingNode


def command_of(
    engine: Engine, document: Document, mapping: MappingNode, *, launcher: str, ignored: Collection[str] = ()
) -> Command:
    """The engine as ``mapping`` configures it; ``ignored``: keys that are none of its options, with ``-`` between words."""
    table = flag_table(engine.name)
    names = [name for name, _, _ in mapping.pairs()]
    left_out = {name for name in names if name.replace("_", "-") in ignored}
    if engine.name in {"vllm", "sglang"}:
        left_out.update(_without_effect(mapping, table))
        left_out.update(_of_wrapper(names, table))
    return command(engine.name, document, mapping, table, None, launcher=launcher, ignored=left_out)


def _of_wrapper(names: Collection[str], table: FlagTable) -> list[str]:
    """Options of Dynamo's workers, which read the engine's options beside their own (``dyn-tool-call-parser``)."""
    unknown = [name for name in names if table.flag(_option(name)) is None]
    if not unknown:
        return []
    wrapper = flag_table("dynamo")
    return [name for name in unknown if wrapper.flag(_option(name)) is not None]


def _option(key: str) -> str:
    return "--" + key.replace("_", "-")


def facts_of(engine: Engine, started: Command, environment: Mapping[str, Fact[str]]) -> dict[str, Fact[Any]]:
    """What the settings state, by field of the pool."""
    return engine.facts(started, environment)


def _without_effect(mapping: MappingNode, table: FlagTable) -> list[str]:
    """Switches set to false: vLLM and SGLang leave them out, so that the default stands.

    Sources: vllm/utils/argparse_utils.py ``load_config_file``; sglang/srt/server_args_config_parser.py.
    """
    found = []
    for key, _, value in mapping.pairs():
        flag = table.flag(_option(key))
        off = isinstance(value, ScalarNode) and not value.style and value.text.lower() in {"false", "no", "off"}
        if off and flag is not None and flag.is_switch_at(None):
            found.append(key)
    return found
