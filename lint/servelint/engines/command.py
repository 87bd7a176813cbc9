"""Commands: the words a container runs, each with its place, and an engine's arguments parsed from them."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from servelint.facts import Place
from servelint.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from servelint.engines.flag import Flag
    from servelint.engines.flags import FlagTable
    from servelint.source.nodes import Document, Node, ScalarNode
    from servelint.source.text import Span


TRUE = frozenset(("true", "1", "yes", "on"))
FALSE = frozenset(("false", "0", "no", "off"))
TRUTHS = TRUE | FALSE
"""What engines and the libraries below them read as a truth value, in lower case."""
SHELLS = frozenset(("sh", "bash", "ash", "dash", "zsh", "ksh"))


class Word(NamedTuple):
    """One argument as the program receives it.

    ``text`` is after expansion; ``span`` covers it in the source (None where the offsets cannot be proven). ``variable``
    names an unresolved variable in it ("" if none): such a word's value is unknown. ``node`` is the scalar it stands in;
    ``whole`` says that it is that whole scalar (an item of an exec list). ``expanded``: some of it came from a variable,
    so writing to its span would not change the value alone. ``start`` and ``end`` are its place in ``node.text``, quotes
    included (-1: it does not stand there).
    """

    text: str
    span: Span | None
    node: ScalarNode
    whole: bool
    variable: str = ""
    expanded: bool = False
    start: int = -1
    end: int = -1

    @property
    def program(self) -> str:
        """The name of the program that the word names, without its directories."""
        return self.text.rpartition("/")[2]


class Program:
    """One simple command: its words, and whether a shell splits them (``sh -c``) or an exec list gives them.

    ``entrypoint``: no command is given, so the image's own entrypoint runs and ``words`` are its arguments. ``node``: what
    stands for the program as a whole (its first word's scalar, or the container). ``names``: what each word is called as a
    program, without its directories; ``modules``: (module, index of the word behind it) for every ``-m module`` and ``-mmodule``.
    """

    __slots__ = ("document", "entrypoint", "modules", "names", "node", "shell", "words")

    def __init__(
        self,
        words: tuple[Word, ...],
        shell: bool,
        document: Document | None = None,
        node: Node | None = None,
        entrypoint: bool = False,
    ) -> None:
        self.words = words
        self.shell = shell
        self.document = document
        self.node = node
        self.entrypoint = entrypoint
        texts = [word.text for word in words]
        self.names = tuple([text.rpartition("/")[2] for text in texts])  # every engine looks for its own among them
        self.modules = tuple(_modules(texts)) if any(text.startswith("-m") for text in texts) else ()

    def continued(self, words: tuple[Word, ...]) -> Program:
        """The same program with further words behind its own."""
        return Program((*self.words, *words), self.shell, self.document, self.node, self.entrypoint)


def _modules(texts: Sequence[str]) -> Iterator[tuple[str, int]]:
    for index, text in enumerate(texts):
        if text == "-m" and index + 1 < len(texts):
            yield texts[index + 1], index + 2
        elif text.startswith("-m") and "." in text:
            yield text[2:], index + 1


class Form(Enum):
    """How an argument is written."""

    SEPARATE = "separate"  # --flag value: two words
    JOINED = "joined"  # --flag=value
    BARE = "bare"  # --flag
    POSITIONAL = "positional"
    JAMMED = "jammed"  # one exec-list item "--flag value", which the engine receives as a single word
    ENTRY = "entry"  # key: value in a mapping of settings (a configuration file, keyword arguments)


class Argument(NamedTuple):
    """One option (or positional) of the engine's command line.

    ``name``: canonical spelling, e.g. ``--tensor-parallel-size`` ("" for a positional); ``written``: the flag as it stands.
    ``key``: what follows the first dot of a dotted flag. ``value``: text or None. ``flag``: its table entry, None if unknown
    to every version. ``abbreviated``: resolved as a unique prefix. ``words``: one or two words (flag, value), more where the
    flag takes several values; ``value`` then joins them by blanks. Several jammed arguments may share one word.
    ``document``: where it stands, if that is not the command's own (a configuration file).
    """

    name: str
    written: str
    value: str | None
    form: Form
    words: tuple[Word, ...]
    flag: Flag | None = None
    key: str = ""
    abbreviated: bool = False
    document: Document | None = None

    @property
    def value_is_unknown(self) -> bool:
        return bool(self.words) and bool(self.words[-1].variable) and self.value is not None


class Command:
    """An engine process: its arguments in order, from ``program.words[start:]``.

    ``elsewhere`` says where further arguments may come from (a ``--config`` file not at hand, ``$@``, an unresolved variable
    among the words), "" if nowhere: the command is ``complete`` then; if it is not, absence of a flag proves nothing.
    ``launcher``: "vllm serve", "python -m …", "image". ``separator``: "" for a command line; for settings of a mapping (the
    program's node, which has no words then) what stands between the words of a key. ``image``: the reference of the container's
    image, for engines whose image says what they run.
    """

    __slots__ = (
        "_last", "arguments", "complete", "document", "elsewhere", "engine", "image", "launcher", "node", "program", "separator",
        "start", "table",
    )  # fmt: skip

    def __init__(
        self,
        engine: str,
        document: Document,
        node: Node,
        program: Program,
        launcher: str,
        arguments: tuple[Argument, ...],
        table: FlagTable,
        *,
        start: int = 0,
        elsewhere: str = "",
        separator: str = "",
        image: str = "",
    ) -> None:
        self.engine = engine
        self.document = document
        self.node = node
        self.program = program
        self.launcher = launcher
        self.arguments = arguments
        self.table = table
        self.start = start
        self.elsewhere = elsewhere
        self.complete = not elsewhere
        self.separator = separator
        self.image = image
        self._last = {argument.name: argument for argument in arguments if not argument.key}

    def with_arguments(self, arguments: tuple[Argument, ...], elsewhere: str) -> Command:
        """The same process with ``arguments`` in place of its own."""
        return Command(
            self.engine, self.document, self.node, self.program, self.launcher, arguments, self.table,
            start=self.start, elsewhere=elsewhere, separator=self.separator, image=self.image,
        )  # fmt: skip

    def last(self, name: str) -> Argument | None:
        """The argument that wins for the canonical flag ``name`` (the last one given, as argparse does)."""
        return self._last.get(name)

    @property
    def launch_place(self) -> Place:
        """Where the words stand that start the engine: without what is in front of them in a script, and without arguments."""
        known = len(self.launcher.split())
        words = self.program.words[max(self.start - known, 0) : self.start] or self.program.words[:1]
        here = [word.span for word in words if word.node is words[0].node and word.span is not None]
        if not here or words[0].span is None:
            return Place.of(self.document, self.node)
        return Place(self.document.physical, type(here[0])(here[0].start, here[-1].end))

    def place_of(self, argument: Argument) -> Place:
        """Where the argument stands: from its flag to its value, or the scalar that holds it."""
        spans = [w.span for w in argument.words]
        first, last = argument.words[0], argument.words[-1]
        document = (argument.document or self.document).physical
        if spans[0] is None or spans[-1] is None:
            return Place(document, first.node.span)
        if first.node is not last.node:
            # In a list, flag and value are two items with dashes between them: point at the value, which is what is judged.
            return Place(document, spans[-1])
        return Place(document, type(spans[0])(spans[0].start, spans[-1].end))

    def flag_place_of(self, argument: Argument) -> Place:
        """Where its flag stands, for what is wrong with the flag itself: without its value where both are items of a list."""
        first, last = argument.words[0], argument.words[-1]
        if first.node is last.node or first.span is None:
            return self.place_of(argument)
        return Place((argument.document or self.document).physical, first.span)
