"""``servelint compare OLD NEW``: what a change to a deployment does."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

from servelint.cli import output
from servelint.cli.exits import CLEAN
from servelint.cli.options import Parser, add_fact_options, configuration
from servelint.errors import UsageError

if TYPE_CHECKING:
    from servelint.source.text import SourceText


def run(arguments: list[str]) -> int:
    """Runs ``compare`` and returns the exit code."""
    parser = Parser("compare", "Summarise a change: what changes, what was wrong, whether every target still holds.")
    parser.add_argument("old", metavar="OLD", help="a file, or REV:PATH of git")
    parser.add_argument("new", metavar="NEW", help="a file, or REV:PATH of git")
    parser.add_argument("--format", choices=("text", "markdown", "json"), default="text", help="what to print (default: text)")
    parser.add_argument("--output-file", metavar="FILE", help="write the summary to FILE instead of standard output")
    add_fact_options(parser)
    options = parser.parse_args(arguments)
    config = configuration(options)
    old, new = read(options.old), read(options.new)

    from servelint.compare import compare_texts  # lazy: wrong usage costs nothing more
    from servelint.run import open_session

    comparison = compare_texts(old, new, open_session(config))
    renderer = getattr(import_module("servelint.reports.comparison"), options.format)
    output.write(renderer(comparison), options.output_file)
    return CLEAN


def read(name: str) -> SourceText:
    """The text of a file or of a file in a git revision; raises :class:`UsageError`."""
    from servelint.finding import ReadError
    from servelint.source.reader import decode

    source = decode(name, _bytes(name))
    if isinstance(source, ReadError):
        raise UsageError(f"{name}:{source.line}: {source.message}")
    return source


def _bytes(name: str) -> bytes:
    revision, separator, path = name.partition(":")
    if separator and revision and path and not os.path.exists(name):
        return _from_git(revision, path)
    try:
        with open(name, "rb") as file:
            return file.read()
    except OSError as error:
        raise UsageError(f"{name}: cannot be read: {error.strerror or error}") from error


def _from_git(revision: str, path: str) -> bytes:
    """``git show REV:PATH``; a relative path is meant from the working directory, as everywhere on the command line."""
    import subprocess

    name = f"{revision}:{path}" if path.startswith(("./", "../")) or os.path.isabs(path) else f"{revision}:./{path}"
    if revision.startswith("-"):
        raise UsageError(f"{revision}:{path}: not a git revision")
    # No textconv and no external diff: nothing that the repository configures is to run.
    command = ["git", "show", "--no-textconv", "--no-ext-diff", name]
    try:
        done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - a fixed program, no shell
    except OSError as error:
        raise UsageError(f"{name}: git cannot be run: {error.strerror or error}") from error
    if done.returncode:
        reason = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise UsageError(
            f"{revision}:{path}: git: {reason[-1].removeprefix('fatal: ') if reason else 'no such file or revision'}"
        )
    return done.stdout
