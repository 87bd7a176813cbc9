"""``docker run IMAGE ARGUMENTS`` in a script: the program that the image's container runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.engines.command import Program
from servelint.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from servelint.engines.command import Word

_CLIENTS = frozenset(("docker", "podman", "nerdctl"))
# Options without a value (docker run --help); every other one takes the next word unless "=" joins it.
_SWITCHES = frozenset((
    "--detach", "--init", "--interactive", "--no-healthcheck", "--oom-kill-disable", "--privileged", "--publish-all", "--quiet",
    "--read-only", "--rm", "--sig-proxy", "--tty", "--disable-content-trust",
))  # fmt: skip
_SHORT_SWITCHES = frozenset("ditPq")


class Run(NamedTuple):
    """``image``: the word that names it. ``program``: what runs in the container, its own entrypoint in front."""

    image: Word
    program: Program


def runs(programs: Sequence[Program]) -> Iterator[Run]:
    """Every ``docker run`` among ``programs`` whose image is named."""
    for program in programs:
        words = program.words
        start = 1 if words and words[0].text.rpartition("/")[2] == "sudo" else 0
        if len(words) < start + 3 or words[start].text.rpartition("/")[2] not in _CLIENTS or words[start + 1].text != "run":
            continue
        entrypoint: Word | None = None
        position = start + 2
        while position < len(words) and words[position].text.startswith("-"):
            text = words[position].text
            position += 1
            if text in _SWITCHES or "=" in text or (text[1:2] != "-" and set(text[1:]) <= _SHORT_SWITCHES):
                continue
            if text == "--entrypoint" and position < len(words):
                entrypoint = words[position]
            position += 1
        if position < len(words):
            given = words[position + 1 :] if entrypoint is None else (entrypoint, *words[position + 1 :])
            inner = Program(given, program.shell, program.document, words[position].node, entrypoint is None)
            yield Run(words[position], inner)
