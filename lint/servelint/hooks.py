"""Hook specifications: the three ways to extend servelint. The built-in rules, formats and engines use the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from servelint.engines.base import Engine
    from servelint.formats.base import Format
    from servelint.rulebook import Rule, Theme

PROJECT = "servelint"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def servelint_rules() -> Sequence[Rule | Theme]:
    """Rules of this plugin, or themes: modules whose ``Rule`` objects are loaded when a document needs them."""
    return ()


@hookspec
def servelint_formats() -> Sequence[Format]:
    """Manifest formats of this plugin."""
    return ()


@hookspec
def servelint_engines() -> Sequence[Engine]:
    """Engines of this plugin."""
    return ()
