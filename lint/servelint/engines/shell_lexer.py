"""Splits a shell script into simple commands, without executing anything.

Continuations, comments, here-documents, redirections, assignments and arrays are read as POSIX shells and bash read them
(POSIX.1-2017, Shell Command Language, sections 2.3, 2.7, 2.9). Control flow is not followed: every command that may run is
returned, and a variable that a branch, a loop, a function or the right side of a test may set is unresolved after it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from servelint.engines.shell_variables import RawWord
from servelint.engines.shell_words import DEEPEST, NAME, WordReader, closing
from servelint.records import NamedTuple

if TYPE_CHECKING:
    from servelint.engines.command import Word
    from servelint.engines.shell_variables import Variables
    from servelint.engines.shell_words import CommandWords

_TOKEN = re.compile(r"([^\s'\"\\$`;&|()<>#]+)|[^\S\n]+")  # a stretch of plain text, or blanks
_PLACEHOLDER = re.compile(r"<[A-Za-z][\w -]*>")  # <model-path>: somebody is to fill it in
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)(\+?)=")
_OPENERS = frozenset(("if", "while", "until", "{"))
_CLOSERS = frozenset(("fi", "done", "esac", "}"))
_LEADERS = _OPENERS | _CLOSERS | {"then", "else", "elif", "do", "!", "time"}
_HEADS = frozenset(("for", "select", "case", "function"))
_DECLARERS = frozenset(("export", "declare", "local", "readonly", "typeset"))
_READERS = frozenset(("read", "getopts", "mapfile", "readarray"))
_TESTS = frozenset(("[", "[[", "test", "grep", "command", "which", "type", "false"))
_EVALUATES = re.compile(r"eval|(?:.*/)?(?:ba|da|a|z|k)?sh")
_EVALUATES_ENDS = ("sh", "eval")


class SimpleCommand(NamedTuple):
    """``variables``: those of the shell at that place, with what stands in front of the command; only where the words may
    hold a script of their own (``sh -c``, ``eval``)."""

    words: CommandWords
    variables: Variables | None = None


def simple_commands(text: str, variables: Variables) -> list[SimpleCommand]:
    """The simple commands of a script, in order of its text; ``variables`` end as the script leaves them."""
    return _Lexer(text, variables).run()


class _Lexer(WordReader):
    def __init__(self, text: str, variables: Variables, level: int = 0) -> None:
        super().__init__(text, variables, level)
        self._commands: list[SimpleCommand] = []
        self._depth = 0  # constructs around this place that may run not at all, or more than once
        self._parentheses = 0
        self._guarded = False  # behind a test and `&&`, or behind `||`
        self._heredocs: list[tuple[str, bool]] = []

    def run(self, position: int = 0) -> list[SimpleCommand]:
        text = self.text
        length = len(text)
        self.position = position
        while self.position < length:
            at = self.position
            character = text[at]
            token = _TOKEN.match(text, at)
            if token is not None:
                if token.lastindex:
                    self.add(token.group(), at, token.end())
                else:
                    self.end_word()
                self.position = token.end()
            elif character == "\n":
                self._newline()
            elif character == "#":
                if self.start >= 0:
                    self.position += 1
                    self.add("#", at, at + 1)
                else:
                    stop = text.find("\n", at)
                    self.position = length if stop < 0 else stop
            elif character in "'\"\\$`":
                self.quoting(character)
            else:
                self._operator(character)
        self.end_word()
        self._end_command("")
        return self._commands

    def _newline(self) -> None:
        self.end_word()
        self._end_command("\n")
        self.position += 1
        for delimiter, strip in self._heredocs:
            while self.position < len(self.text):
                stop = self.text.find("\n", self.position)
                stop = len(self.text) if stop < 0 else stop
                line = self.text[self.position : stop].removesuffix("\r")
                self.position = min(stop + 1, len(self.text))
                if (line.lstrip("\t") if strip else line) == delimiter:
                    break
        self._heredocs.clear()

    # -- operators

    def _operator(self, character: str) -> None:
        text, at = self.text, self.position
        if character in "<>" or text[at : at + 2] == "&>":
            self._redirection(character)
        elif character == "(":
            self._parenthesis()
        elif character == ")":
            self.end_word()
            self._end_command(")")
            if self._parentheses:  # else it ends a pattern of `case`
                self._parentheses -= 1
                self._depth = max(0, self._depth - 1)
            self.position += 1
        else:
            self.end_word()
            operator = character * 2 if text[at + 1 : at + 2] == character else character
            self.position += 2 if text[at : at + 2] == "|&" else len(operator)
            self._end_command(operator)

    def _parenthesis(self) -> None:
        text, at = self.text, self.position
        assignment = _ASSIGNMENT.fullmatch(self.written)
        if assignment is not None and not self.quoted and self.level < DEEPEST:
            self._array(assignment.group(1), append=bool(assignment.group(2)))
        elif NAME.fullmatch(self.written) and (empty := re.compile(r"\(\s*\)").match(text, at)):
            self.position = empty.end()  # a function: its name is no command, its body follows
            self.begin()
        else:
            self.end_word()
            self._end_command("(")
            self._depth += 1
            self._parentheses += 1
            self.position += 1

    def _array(self, name: str, *, append: bool) -> None:
        stop = closing(self.text, self.position, "(", ")")
        inner = _Lexer(self.text[: max(self.position + 1, stop - 1)], self.variables, self.level + 1)
        elements = [word for command in inner.run(self.position + 1) for word in command.words if isinstance(word, RawWord)]
        self.begin()
        self.position = stop
        self.variables.assign_array(name, tuple(elements), append=append, conditional=self._conditional)

    def _redirection(self, character: str) -> None:
        text, at = self.text, self.position
        placeholder = _PLACEHOLDER.match(text, at)
        if placeholder is not None or (character in "<>" and text[at + 1 : at + 2] == "("):
            self.position = placeholder.end() if placeholder is not None else closing(text, at + 1, "(", ")")
            self.unresolved(text[at : self.position], at)
            return
        if not self.quoted and self.written.isdigit():
            self.begin()  # the number of a file descriptor
        self.end_word()
        match = re.compile(r"&>>?|<<<|<<-?|<>|[<>]&|>>|>\||[<>]").match(text, at)
        operator = match.group() if match is not None else character
        self.position = at + len(operator)
        if operator not in {"<<", "<<-"}:
            self.skip_next = True
            return
        word = re.compile(r"[ \t]*(\\?[\w.-]+|'[^']*'|\"[^\"]*\")").match(text, self.position)
        if word is not None:
            self.position = word.end()
            self._heredocs.append((word.group(1).strip("'\"\\"), operator == "<<-"))

    # -- commands

    @property
    def _conditional(self) -> bool:
        return self._depth > 0 or self._guarded

    def _end_command(self, operator: str) -> None:
        words, self.words = self.words, []
        self.skip_next = False
        while words and words[0].text in _LEADERS:
            self._track(words.pop(0).text)
        if words and words[0].text in _HEADS:
            words = self._head(words)
        first = words[0].text if words else ""
        count = _leading_assignments(words)
        if count == len(words):
            for word in words:
                self._assign(word, self.variables)
        else:
            self._builtin(words[count:])
            self._commands.append(self._command(words[:count], words[count:]))
        if operator == "||":
            self._guarded = True
        elif operator == "&&":
            self._guarded = self._guarded or first in _TESTS
        elif operator != "|":
            self._guarded = False

    def _track(self, word: str) -> None:
        if word in _OPENERS:
            self._depth += 1
        elif word in _CLOSERS:
            self._depth = max(0, self._depth - 1)

    def _head(self, words: CommandWords) -> CommandWords:
        """What is a command behind ``for x in …``, ``case x in …``, ``function x {``: only the last may have one."""
        head = words[0].text
        if head == "function":
            brace = next((i for i, word in enumerate(words) if word.text == "{"), None)
            self._depth += brace is not None
            return words[brace + 1 :] if brace is not None else []
        self._depth += 1
        if head in {"for", "select"} and len(words) > 1:
            self.variables.forget(words[1].text)
        return []

    def _command(self, assignments: CommandWords, words: CommandWords) -> SimpleCommand:
        if not any(word.text.endswith(_EVALUATES_ENDS) and _EVALUATES.fullmatch(word.text) for word in words):
            return SimpleCommand(words)
        variables = self.variables.snapshot()
        for word in assignments:
            self._assign(word, variables, export=True)
        return SimpleCommand(words, variables)

    def _assign(self, word: RawWord | Word, variables: Variables, *, export: bool = False) -> None:
        match = _ASSIGNMENT.match(word.text)
        if match is not None:
            written = word.text[match.end() :]
            variables.assign(
                match.group(1),
                None if word.variable else written,
                append=bool(match.group(2)),
                conditional=self._conditional and not export,
                written=written,
            )
        if export:
            variables.export(match.group(1) if match is not None else word.text)

    def _builtin(self, words: CommandWords) -> None:
        name = words[0].text
        rest = words[1:]
        if name in _DECLARERS:
            exports = name == "export" or any(word.text == "-x" for word in rest)
            for word in rest:
                self._assign(word, self.variables)
                if exports:
                    self.variables.export(word.text.partition("=")[0].removesuffix("+"))
        elif name in _READERS:
            for word in rest:
                if NAME.fullmatch(word.text):
                    self.variables.forget(word.text)
        elif name == "unset":
            for word in rest:
                self.variables.unset(word.text, conditional=self._conditional)
        elif name == "shift" or (name == "set" and any(word.text == "--" for word in rest)):
            self.variables.positional = None


def _leading_assignments(words: CommandWords) -> int:
    """How many of the first words are ``NAME=…`` with an unquoted name."""
    for count, word in enumerate(words):
        match = _ASSIGNMENT.match(word.text)
        if match is None or not isinstance(word, RawWord) or len(word.pieces[0].text) < match.end():
            return count
    return len(words)
