"""How an engine's process is found among the programs of a container, and its words parsed: what the engines share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.engines.command import Command

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from servelint.engines.command import Program, Word
    from servelint.engines.flags import FlagTable
    from servelint.engines.versions import Version

# Programs that may name an engine's command among their words without running it.
TALKERS = frozenset(
    (
        "[", "apk", "apt", "apt-get", "awk", "cat", "chmod", "cp", "curl", "cut", "echo", "egrep", "find", "git", "grep", "kill",
        "killall", "ls", "mkdir", "mv", "pgrep", "pip", "pip3", "pkill", "printf", "ps", "rm", "sed", "sleep", "tee", "test",
        "touch", "wait", "wget", "which", "yum",
    )
)  # fmt: skip
# First words that are a program of their own, not an argument of the image's entrypoint.
PROGRAMS = frozenset(("sh", "bash", "python", "python3", "ray", "sleep", "tail"))


def talks(words: Sequence[Word]) -> bool:
    """The words run no engine, whatever they name."""
    return not words or words[0].program in TALKERS


def modules(words: Sequence[Word]) -> Iterator[tuple[str, int]]:
    """(module, index of the word behind it) for every ``-m module`` and ``-mmodule``."""
    for index, word in enumerate(words):
        if word.text == "-m" and index + 1 < len(words):
            yield words[index + 1].text, index + 2
        elif word.text.startswith("-m") and "." in word.text:
            yield word.text[2:], index + 1


def are_arguments(words: Sequence[Word]) -> bool:
    """The words of a container that states no command are arguments of the image's entrypoint, not a program."""
    return not words or words[0].program not in PROGRAMS


def parsed(
    engine: str, program: Program, launcher: str, start: int, table: FlagTable, version: Version | None, image: str
) -> Command:
    """The engine's command: its arguments are the words of ``program`` from ``start`` on."""
    from servelint.engines.arguments import parse  # lazy: only containers that run an engine pay for its flags

    document = program.document
    node = program.node or (document.root if document is not None else None)
    if document is None or node is None:
        raise ValueError("a program that runs an engine must know its document")
    arguments, elsewhere = parse(program.words, start, table, version)
    if any(word.program == "xargs" for word in program.words[:start]):
        elsewhere = elsewhere or "the input of xargs"
    complete = not elsewhere
    return Command(engine, document, node, program, launcher, arguments, table, complete, start, elsewhere=elsewhere, image=image)
