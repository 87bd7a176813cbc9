"""Shell scripts of ConfigMaps that a container runs: what they start is what the container starts."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from servelint.engines.command import SHELLS
from servelint.engines.shell import programs_of_text
from servelint.formats import mounted_files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from servelint.engines.command import Program, Word
    from servelint.facts import Fact
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Node

_SOURCES = frozenset((".", "source", "exec"))


def programs(
    started: Sequence[Program], template: Node, container: Node, variables: Mapping[str, Fact[str]], surroundings: Surroundings
) -> tuple[Program, ...]:
    """The programs of the mounted scripts among ``started``; none where no script is at hand."""
    folder = container.text_at("workingDir") or "/"
    found: list[Program] = []
    for program in started:
        words = program.words
        if words and words[0].text == "cd" and len(words) > 1 and not words[1].variable:
            folder = posixpath.join(folder, words[1].text)
            continue
        path = _script(words)
        if not path:
            continue
        script = mounted_files.script(template, container, surroundings, posixpath.join(folder, path))
        if script is not None:
            found += programs_of_text(*script, variables)
    return tuple(found)


def _script(words: Sequence[Word]) -> str:
    """The path of the script that a command runs by itself or through a shell; "" if it runs none."""
    position = 0
    while position < len(words) and words[position].program in _SOURCES:
        position += 1
    if position < len(words) and words[position].program in SHELLS:
        position += 1
        while position < len(words) and words[position].text.startswith("-"):
            if "c" in words[position].text:
                return ""
            position += 1
    if position >= len(words) or words[position].variable:
        return ""
    text = words[position].text
    return text if "/" in text or text.endswith((".sh", ".bash")) else ""
