"""Path models: the model that a local path names, where a rule may be wrong about it (warnings, no more)."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from servelint.engines.command import Form
from servelint.facts import Fact, Origin, OriginKind
from servelint_rules.hub import MODEL_FLAGS

if TYPE_CHECKING:
    from servelint.catalogue.architecture import Architecture
    from servelint.deployment import Pool
    from servelint.engines.command import Command


def named_by_path(pool: Pool) -> Pool | None:
    """The pool with the architecture of the one model of the catalogue that the last segment of its model's path spells
    (``/models/Qwen3-32B``); None where its model is no path, is known already, or where the name fits none or several.

    Nothing proves that the files are that model's: what follows is a guess, good for heuristic warnings about sizes.
    """
    if pool.architecture.is_known or pool.model.is_known or not pool.containers:
        return None
    path = _path(pool.containers[0].command)
    architecture = _architecture(path.rstrip("/").rpartition("/")[2]) if path else None
    if architecture is None:
        return None
    origin = Origin(OriginKind.DERIVED, f"the name at the end of {path}", pool.model.place)
    return pool._replace(architecture=Fact.known(pool.architecture.name, architecture, origin))


def _path(command: Command | None) -> str:
    """The one local path that a command line serves; "" where there is none, or it cannot be read."""
    if command is None:
        return ""
    first = command.arguments[0] if command.arguments else None
    named = [argument for argument in command.arguments if argument.name in (*MODEL_FLAGS, "--model_path")]
    if first is not None and first.form is Form.POSITIONAL:
        named.append(first)
    values = {"" if argument.value_is_unknown else argument.value or "" for argument in named}
    path = next(iter(values)) if len(values) == 1 else ""
    return path if path.startswith("/") else ""


@cache
def _architecture(segment: str) -> Architecture | None:
    from servelint.catalogue import models  # lazy: few manifests serve a model from a path

    wanted = segment.lower()
    found = {}
    for name in models.names():
        if name.lower().partition("/")[2] == wanted and (entry := models.entry(name)) is not None:
            found[entry.id] = entry.architecture
    return next(iter(found.values())) if len(found) == 1 else None
