"""The programs that a container starts: from its ``command`` and ``args``, through any shell, to simple commands.

Kubernetes' ``$(NAME)`` is expanded first, from the container's own environment, as the kubelet does; then, where the program
is a shell with ``-c``, its script is taken apart. Nothing is executed. Every word keeps its place in the source.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from servelint.engines.command import SHELLS, Program, Word
from servelint.engines.mapped_text import MappedText, Piece
from servelint.source.nodes import ScalarNode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from servelint.engines.shell_lexer import SimpleCommand
    from servelint.engines.shell_variables import RawWord, Variables
    from servelint.facts import Fact
    from servelint.source.nodes import Document, Node
    from servelint.source.offsets import OffsetMap

WRAPPERS = frozenset(
    (
        "busybox", "catatonit", "command", "dumb-init", "env", "exec", "ionice", "nice", "nohup", "numactl", "setsid", "stdbuf",
        "sudo", "taskset", "time", "timeout", "tini", "unbuffer",
    )
)  # fmt: skip
"""Programs that run the one named behind their own options; so do the entrypoint scripts of images."""
LAUNCHERS = frozenset(("mpirun", "mpiexec", "mpiexec.hydra", "orterun"))
"""Programs that run it on several hosts, by their options."""
_DEEPEST = 4  # shells within shells
_LEFT = r"\$\(([A-Za-z_]\w*)\)"  # text: few values refer to variables, and it costs start-up time to compile


def programs(
    document: Document,
    command: Sequence[Node],
    args: Sequence[Node],
    environment: Mapping[str, Fact[str]],
    node: Node | None = None,
) -> tuple[Program, ...]:
    """What a container with these ``command`` and ``args`` items runs, in order of the text.

    ``environment`` maps the names that are set to facts of their values; a name it does not have may still be set by the image
    or by a controller. ``node`` stands for the program where the container gives no words at all. Items that are no scalars
    are left out.
    """
    words = tuple([_item(item, environment) for item in (*command, *args) if isinstance(item, ScalarNode)])
    return _programs(document, words, environment, node, entrypoint=not command)


def programs_of_text(
    document: Document, node: ScalarNode, environment: Mapping[str, Fact[str]], positional: tuple[Word, ...] | None = None
) -> tuple[Program, ...]:
    """The programs of a shell script that is the value of ``node``; ``positional`` are the words its ``$@`` stands for."""
    from servelint.engines.shell_variables import Variables  # lazy, here and below: many containers have no shell

    return _script(document, node, MappedText(node.text), Variables(environment, positional), 0)


def programs_of_texts(document: Document, nodes: Sequence[Node], environment: Mapping[str, Fact[str]]) -> tuple[Program, ...]:
    """The programs of a script that is written as several scalars, one behind the other: what one sets, the next ones see."""
    from servelint.engines.shell_variables import Variables

    variables = Variables(environment)
    found: list[Program] = []
    for node in nodes:
        if isinstance(node, ScalarNode):
            found += _script(document, node, MappedText(node.text), variables, 0)
    return tuple(found)


def programs_of_words(
    document: Document,
    words: tuple[Word, ...],
    environment: Mapping[str, Fact[str]],
    text_of: Callable[[Word], MappedText],
    node: Node | None = None,
    *,
    entrypoint: bool,
) -> tuple[Program, ...]:
    """What the ``words`` of a command line run, as another format has expanded them.

    ``text_of`` gives the text of a word that a shell is to read, mapped to the word's scalar. ``entrypoint``: the image's own
    entrypoint gets them as its arguments.
    """
    script = _script_index(words)
    if script is None:
        own = words[0].node if words else node
        return (Program(words, False, document, own, entrypoint),)
    from servelint.engines.shell_variables import Variables

    variables = Variables(environment, words[script + 2 :])
    _set_by_env(words[:script], variables)
    inner = _script(document, words[script].node, text_of(words[script]), variables, 1)
    return (*_launcher(Program(words[:script], False, document, words[0].node)), *inner)


def _launcher(program: Program) -> tuple[Program, ...]:
    """What starts a script on several hosts is a program, too; a wrapper says nothing that its script does not."""
    return (program,) if program.names[0] in LAUNCHERS else ()


def _set_by_env(words: Sequence[Word | RawWord], variables: Variables) -> None:
    """``env NAME=value sh -c …``: what stands in front of the shell is in its environment."""
    for word in words:
        name, equals, value = word.text.partition("=")
        if equals and name.isidentifier():
            variables.assign(name, None if word.variable else value, append=False, conditional=False)


def _programs(
    document: Document, words: tuple[Word, ...], environment: Mapping[str, Fact[str]], node: Node | None, *, entrypoint: bool
) -> tuple[Program, ...]:
    def text_of(word: Word) -> MappedText:
        return _kubelet_text(word.node.text, environment)[0]

    return programs_of_words(document, words, environment, text_of, node, entrypoint=entrypoint)


def _script_index(words: Sequence[Word | RawWord]) -> int | None:
    """The index of the script in ``[wrapper …] sh [options] -c script``; None where no shell is given one."""
    for index, word in enumerate(words):
        name = word.text.rpartition("/")[2]
        if name in SHELLS:
            return _option_c(words, index + 1)
        if index == 0 and name not in WRAPPERS and name not in LAUNCHERS and not name.endswith("entrypoint.sh"):
            return None
    return None


def _option_c(words: Sequence[Word | RawWord], index: int) -> int | None:
    found = False
    while index < len(words):
        text = words[index].text
        if text in {"--", "-"}:
            index += 1
            break
        if text[:1] not in {"-", "+"} or len(text) < 2:
            break
        if not text.startswith("--"):
            found = found or "c" in text[1:]
            if text[-1] in "oO" and index + 1 < len(words) and words[index + 1].text[:1].isalpha():
                index += 1  # the name of a shell option: -o pipefail, -euo pipefail
        index += 1
    return index if found and index < len(words) else None


def _item(node: ScalarNode, environment: Mapping[str, Fact[str]]) -> Word:
    """An item of an exec list as the program receives it."""
    if "$" not in node.text:
        return Word(node.text, node.span, node, True, start=0, end=len(node.text))
    text, unresolved, expanded = _kubelet_text(node.text, environment)
    return Word(text.text, node.span, node, True, unresolved, expanded, 0, len(node.text))


def _kubelet_text(value: str, environment: Mapping[str, Fact[str]]) -> tuple[MappedText, str, bool]:
    """(``value`` with ``$(NAME)`` expanded, the first name that is not known, whether anything was expanded).

    A name that is not in ``environment`` stays as written: it may be one that a controller injects.
    Source: ``k8s.io/kubernetes/third_party/forked/golang/expansion``.
    """
    pieces: list[Piece] = []
    unresolved = ""
    expanded = False
    position = done = 0
    while True:
        position = value.find("$", position)
        if position < 0 or position + 1 == len(value):
            break
        following = value[position + 1]
        end = value.find(")", position) if following == "(" else -1
        replacement = "$" if following == "$" else None
        stop = position + 2
        if end > 0:
            name = value[position + 2 : end]
            stop = end + 1
            fact = environment.get(name)
            if fact is not None and fact.is_known:
                replacement = fact.value
                expanded = True
                left = (
                    re.search(_LEFT, replacement) if "$(" in replacement else None
                )  # its own value refers to a variable that nothing here sets
                unresolved = unresolved or (left.group(1) if left is not None else "")
            elif fact is not None or name.isidentifier():
                unresolved = unresolved or name
        if replacement is not None:
            pieces += (Piece(value[done:position], done, position, True), Piece(replacement, position, stop, False))
            done = stop
        position = stop
    if not pieces:
        return MappedText(value), unresolved, False
    pieces.append(Piece(value[done:], done, len(value), True))
    return MappedText.of(pieces), unresolved, expanded


def _script(document: Document, node: ScalarNode, text: MappedText, variables: Variables, level: int) -> tuple[Program, ...]:
    from servelint.engines.shell_lexer import simple_commands
    from servelint.source.offsets import offset_map

    found: list[Program] = []
    offsets = offset_map(node, document.source)
    for command in simple_commands(text.text, variables):
        placed = tuple([_word(node, offsets, text, word) for word in command.words])
        inner = _nested(text, command, placed) if level < _DEEPEST else None
        if inner is not None:
            found += _launcher(Program(placed[: _script_index(placed)], True, document, node))
            found += _script(document, node, *inner, level + 1)
        else:
            found.append(Program(placed, True, document, node))
    return tuple(found)


def _nested(text: MappedText, command: SimpleCommand, placed: tuple[Word, ...]) -> tuple[MappedText, Variables] | None:
    """The script that a command of a script runs (``sh -c``, ``eval``), and its variables; None if it runs none."""
    words, variables = command.words, command.variables
    if variables is None:
        return None
    if words[0].text == "eval":
        scripts = words[1:]
    else:
        index = _script_index(words)
        if index is None:
            return None
        scripts = words[index : index + 1]
        variables = variables.of_child(placed[index + 2 :])
        _set_by_env(words[:index], variables)
    pieces: list[Piece] = []
    for word in scripts:
        if isinstance(word, Word):
            return None
        pieces += [text.located(piece) for piece in word.pieces]
        pieces.append(Piece(" ", pieces[-1].end if pieces else 0, pieces[-1].end if pieces else 0, False))
    return MappedText.of(pieces), variables


def _word(node: ScalarNode, offsets: OffsetMap | None, text: MappedText, word: RawWord | Word) -> Word:
    if isinstance(word, Word):
        return word
    start, end, literal = text.locate(word.start, word.end)
    span = offsets.span(start, end) if offsets is not None else None
    return Word(word.text, span, node, False, word.variable, word.expanded or not literal, start, end)
