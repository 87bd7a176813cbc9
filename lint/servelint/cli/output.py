"""Where results go: standard output or a file; colour; and words to the user on standard error."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from servelint.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO


def colour_wanted(flag: bool | None, stream: TextIO, environment: Mapping[str, str]) -> bool:
    """A flag decides; then NO_COLOR, FORCE_COLOR and TERM=dumb; then whether ``stream`` is a terminal."""
    if flag is not None:
        return flag
    if environment.get("NO_COLOR"):
        return False
    if environment.get("FORCE_COLOR"):
        return True
    return environment.get("TERM") != "dumb" and stream.isatty()


def wants_colour(flag: bool | None, form: str, output_file: str | None) -> bool:
    """Whether this run's report is coloured: text on standard output only."""
    return form == "text" and output_file is None and colour_wanted(flag, sys.stdout, os.environ)


def write(text: str, output_file: str | None = None) -> None:
    """The results. What the terminal's encoding cannot show is escaped rather than a crash."""
    if output_file is None:
        _write_stream(sys.stdout, text)
        return
    try:
        with open(output_file, "w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            file.write(text)
    except OSError as error:
        raise UsageError(f"--output-file {output_file} cannot be written: {error.strerror or error}") from error


def say(sentence: str) -> None:
    """A sentence to the user, apart from the results."""
    from servelint.reports.terminal import printable

    _write_stream(sys.stderr, f"servelint: {printable(sentence)}\n")


def _write_stream(stream: TextIO, text: str) -> None:
    encoding = stream.encoding or "utf-8"
    try:
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except OSError as error:
        # What Python still holds for this stream must not raise a second time at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        if not isinstance(error, BrokenPipeError):  # a closed pipe is a reader (`| head`) that has had enough
            raise
