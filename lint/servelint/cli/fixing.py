"""``--fix`` and ``--diff``: verified fixes into files, on standard output, or as a unified diff."""

from __future__ import annotations

import os
import sys
from difflib import unified_diff
from typing import TYPE_CHECKING

from servelint.cli import output
from servelint.errors import UsageError
from servelint.fixes.apply import fix_all
from servelint.reports.base import count
from servelint.reports.terminal import Palette, printable
from servelint.source.reader import encode

if TYPE_CHECKING:
    from argparse import Namespace

    from servelint.run import Report, Session
    from servelint.source.text import SourceText


def fix(report: Report, session: Session, options: Namespace, stdin: bytes | None) -> Report:
    """Applies (or with ``--diff`` shows) the fixes; the report of what is left (with ``--diff``: of what is there)."""
    applied = fix_all(report, session, options.unsafe_fixes)
    if options.diff:
        colour = output.wants_colour(options.colour, "text", options.output_file)
        output.write(_diff(report, applied.texts, Palette(colour)), options.output_file)
        output.say(f"would fix {_amount(len(applied.done), len(applied.texts))}")
        return report
    contents = {path: encode(report.sources[path], text.text) for path, text in applied.texts.items()}
    if stdin is not None:
        sys.stdout.buffer.write(contents.pop(options.stdin_filename, stdin))
        sys.stdout.buffer.flush()
    for path, content in contents.items():
        write_back(path, content)
    if applied.done:
        output.say(f"fixed {_amount(len(applied.done), len(applied.texts))}")
    return applied.report


def _amount(findings: int, files: int) -> str:
    return f"{count(findings, 'finding')} in {count(files, 'file')}"


def _diff(report: Report, texts: dict[str, SourceText], palette: Palette) -> str:
    """A patch that `git apply` and `patch -p1` take: every byte as it is, unless a person looks at it on a terminal."""
    for_people = sys.stdout.isatty()
    lines = []
    for path in sorted(texts):
        name = path.lstrip("/")
        before, after = _lines(report.sources[path]), _lines(texts[path])
        for line in unified_diff(before, after, f"a/{name}", f"b/{name}"):
            content = line.removesuffix("\n")
            shown = printable(content) if for_people else content
            if line.startswith("+"):
                shown = palette.added(shown)
            elif line.startswith("-"):
                shown = palette.removed(shown)
            lines.append(shown + "\n")
            if content == line:
                lines.append("\\ No newline at end of file\n")
    return "".join(lines)


def _lines(source: SourceText) -> list[str]:
    text = ("\ufeff" if source.had_bom else "") + source.text
    lines = text.split("\n")
    return [line + "\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])


def write_back(path: str, content: bytes) -> None:
    """Replaces a file's content at once: a crash leaves the old or the new, never half. Links and modes stay."""
    target = os.path.realpath(path)
    temporary = f"{target}.servelint-{os.getpid()}"
    try:
        with open(temporary, "xb") as file:
            os.chmod(temporary, os.stat(target).st_mode & 0o7777)
            file.write(content)
        os.replace(temporary, target)
    except OSError as error:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise UsageError(f"{path}: cannot be written: {error.strerror or error}") from error
