"""Models as command lines and variables name them: a hub id, or a place where the weights lie."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from servelint.engines.arguments import is_truth
from servelint.engines.command import Form
from servelint.facts import Fact

if TYPE_CHECKING:
    from servelint.engines.command import Argument, Command
    from servelint.engines.values import ArgumentFacts

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
REMEDY = "give the model by its hub id (org/name)"


def hub_id(text: str) -> str:
    """The id (org/name) that ``text`` gives, itself or as a folder of the hub's cache; ``ValueError`` with the reason.

    A path says nothing of what lies there.
    """
    name = text.strip()
    if "models--" in name and (cached := re.search(r"(?:^|/)models--([\w.-]+?)--([\w.-]+)(?:/|$)", name)) is not None:
        return f"{cached.group(1)}/{cached.group(2)}"
    if _HUB_ID.fullmatch(name) is not None:
        return name
    if "://" in name:
        raise ValueError(f"the weights come from {name}, which names no model")
    if name.startswith(("/", "./", "../", "~")) or name.count("/") > 1:
        raise ValueError(f"the weights come from a local path ({name})")
    raise ValueError(f"{name!r} is no hub id (org/name)")


def named(reader: ArgumentFacts, argument: Argument) -> Fact[Any]:
    """The model that ``argument`` names; unknown where it does not say which one that is."""
    if argument.value_is_unknown:
        return reader.unresolved("model.id", argument)
    try:
        return reader.known("model", argument, hub_id(argument.value or ""))
    except ValueError as error:
        return reader.unknown("model", argument, str(error), REMEDY)


def positional(command: Command) -> Argument | None:
    """The first word that is no option, nor the truth value behind a switch."""
    previous: Argument | None = None
    for argument in command.arguments:
        if not argument.name and argument.form in (Form.POSITIONAL, Form.JAMMED):
            stray = previous is not None and previous.form is Form.BARE and is_truth(argument.value)
            if not stray:
                return argument
        previous = argument
    return None


def unnamed(elsewhere: str) -> Fact[Any]:
    """No argument names a model; ``elsewhere`` says where further arguments may come from."""
    reason = f"the model may come from {elsewhere}" if elsewhere else "the command line names no model"
    return Fact.unknown("model.id", reason, "name the model on the command line")
