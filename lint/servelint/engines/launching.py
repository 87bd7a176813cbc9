"""How an engine's process is found among the programs of a container, and its words parsed: what the engines share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.engines.command import Command

if TYPE_CHECKING:
    from servelint.engines.command import Program
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


def talks(program: Program) -> bool:
    """The program runs no engine, whatever its words name."""
    return not program.names or program.names[0] in TALKERS


def are_arguments(program: Program) -> bool:
    """The words of a container that states no command are arguments of the image's entrypoint, not a program."""
    return not program.names or program.names[0] not in PROGRAMS


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
    if "xargs" in program.names[:start]:
        elsewhere = elsewhere or "the input of xargs"
    return Command(engine, document, node, program, launcher, arguments, table, start=start, elsewhere=elsewhere, image=image)
