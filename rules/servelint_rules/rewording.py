"""Rewording: edits that rename, replace or remove one argument of a command line, in lists and in shell scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from servelint.engines.command import Argument, Command, Word
    from servelint.finding import Edit

    Edits = tuple[Edit, ...]

# Importing the editors is left to the functions that edit: only findings pay for it.


def renamed(command: Command, argument: Argument, flag: str) -> Edits | None:
    """``flag`` in place of the flag as written; what follows it in the same word stays. None where unprovable."""
    word, written = argument.words[0], argument.written
    if word.variable or word.expanded or not word.text.startswith(written):
        return None
    if word.whole:
        return _whole(command, word, flag + word.text[len(written) :])
    end = word.start + len(written)
    if word.start < 0 or word.node.text[word.start : end] != written:
        return None
    return _part(command, word, word.start, end, flag)


def reworded(command: Command, argument: Argument, text: str, stray: Argument | None = None) -> Edits | None:
    """``text`` in place of the argument's first word; ``stray``, an argument behind it, is removed. None where unprovable."""
    word = argument.words[0]
    change: Edits | None = ()
    if word.text != text:
        if word.variable or word.expanded:
            return None
        if word.whole:
            change = _whole(command, word, text)
        elif word.start >= 0 and word.node.text[word.start : word.end] == word.text:
            change = _part(command, word, word.start, word.end, text)
        else:
            return None  # quoted or escaped: how it would have to look is the shell's business
    gone = removed(command, stray)
    return None if change is None or gone is None else (*change, *gone)


def removed(command: Command, *arguments: Argument | None) -> Edits | None:
    """The ``arguments`` (None among them is nothing) with their values taken out. None where unprovable."""
    from servelint.engines.argument_writer import remove_argument

    edits: list[Edit] = []
    for argument in arguments:
        change = remove_argument(command, argument) if argument is not None else ()
        if change is None:
            return None
        edits += change
    return tuple(edits)


def _whole(command: Command, word: Word, text: str) -> Edits | None:
    from servelint.source import edits

    return edits.set_scalar(command.document, word.node, text)


def _part(command: Command, word: Word, start: int, end: int, text: str) -> Edits | None:
    from servelint.source import edits

    return edits.replace_value_text(command.document, word.node, start, end, text)
