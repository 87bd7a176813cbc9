"""The published JSON Schemas (draft 2020-12) of servelint: native plan, configuration, JSON output."""

from __future__ import annotations

import json
import os
from typing import Any

_FOLDER = os.path.dirname(__file__)
_SUFFIX = ".schema.json"


def names() -> tuple[str, ...]:
    """The names :func:`load` takes, sorted."""
    return tuple(sorted(name.removesuffix(_SUFFIX) for name in os.listdir(_FOLDER) if name.endswith(_SUFFIX)))


def text(name: str) -> str:
    """The schema ``name`` as published. Raises :class:`LookupError` naming the known ones."""
    if name not in names():
        raise LookupError(f"no schema {name!r}; there are {', '.join(names())}")
    with open(os.path.join(_FOLDER, name + _SUFFIX), encoding="utf-8") as file:
        return file.read()


def load(name: str) -> dict[str, Any]:
    """The schema ``name`` as an object. Raises :class:`LookupError` naming the known ones."""
    schema: dict[str, Any] = json.loads(text(name))
    return schema
