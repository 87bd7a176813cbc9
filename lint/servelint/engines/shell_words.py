"""Reads the words of a shell script: quoting and parameter expansion, without executing anything.

As POSIX shells and bash read them (POSIX.1-2017, Shell Command Language, sections 2.2 and 2.6). What cannot be settled from
the text (command substitution, patterns in ``${…}``, arithmetic on unknowns) leaves its word with an unresolved variable.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from servelint.engines.mapped_text import Piece
from servelint.engines.shell_variables import UNSET, RawWord

if TYPE_CHECKING:
    from servelint.engines.command import Word
    from servelint.engines.shell_variables import Value, Variables

    CommandWords = list[RawWord | Word]

NAME = re.compile(r"[A-Za-z_]\w*")
_QUOTED = re.compile(r'[^"\\$`]+')
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "e": "\x1b", "f": "\f", "v": "\v"}
_LONGEST_NAME = 60
DEEPEST = 20  # ${a:-${b:-…}}, a=(b=(…))


class WordReader:
    """The word that is being read, and the words of the command read so far."""

    def __init__(self, text: str, variables: Variables, level: int = 0) -> None:
        self.text = text
        self.variables = variables
        self.level = level
        self.position = 0
        self.words: CommandWords = []
        self.skip_next = False  # the next word is a redirection's target
        self.begin()

    def begin(self) -> None:
        self.pieces: list[Piece] = []
        self.start = -1  # where the word begins; -1: there is none yet
        self.quoted = False
        self._variable = ""
        self._expanded = False

    @property
    def written(self) -> str:
        """The word as far as it is read."""
        return "".join(piece.text for piece in self.pieces)

    def add(self, text: str, start: int, end: int, *, literal: bool = True) -> None:
        if self.start < 0:
            self.start = start
        self.pieces.append(Piece(text, start, end, literal))

    def end_word(self, end: int | None = None) -> None:
        if self.start < 0:
            return
        stop = self.position if end is None else end
        pieces = self.pieces
        text = pieces[0].text if len(pieces) == 1 else self.written
        if self.skip_next:
            self.skip_next = False
        elif text or self.quoted:  # an unquoted variable without a value leaves no word
            self.words.append(RawWord(text, self.start, stop, tuple(pieces), self._variable, self._expanded))
        self.begin()

    # -- quoting

    def quoting(self, character: str) -> None:
        r"""Read on from ``\``, ``'``, ``"``, a backquote or ``$``."""
        text, at = self.text, self.position
        if character == "\\":
            self._escaped(at)
        elif character == "'":
            stop = text.find("'", at + 1)
            stop = len(text) if stop < 0 else stop
            self._open_quote(at)
            self.add(text[at + 1 : stop], at + 1, stop)
            self.position = min(stop + 1, len(text))
        elif character == '"':
            self._double_quoted(at)
        elif character == "`":
            self._backquoted(at)
        else:
            self._dollar(quoted=False)

    def _open_quote(self, at: int) -> None:
        self.quoted = True
        if self.start < 0:
            self.start = at

    def _escaped(self, at: int) -> None:
        following = self.text[at + 1 : at + 2]
        if following == "\n" or self.text[at + 1 : at + 3] == "\r\n":
            self.position = at + (2 if following == "\n" else 3)
            return
        self._open_quote(at)
        self.position = min(at + 2, len(self.text))
        self.add(following or "\\", self.position - 1, self.position)

    def _double_quoted(self, opening: int) -> None:
        text = self.text
        self._open_quote(opening)
        at = opening + 1
        while at < len(text) and text[at] != '"':
            character, following = text[at], text[at + 1 : at + 2]
            self.position = at
            if character == "\\" and following == "\n":
                at += 2
            elif character == "\\" and following and following in '$`"\\':
                self.add(following, at + 1, at + 2)
                at += 2
            elif character == "$":
                self._dollar(quoted=True)
                at = self.position
            elif character == "`":
                self._backquoted(at)
                at = self.position
            else:
                plain = _QUOTED.match(text, at + 1)
                stop = plain.end() if plain is not None else at + 1
                self.add(text[at:stop], at, stop)
                at = stop
        self.position = min(at + 1, len(text))

    def _backquoted(self, at: int) -> None:
        stop = self.text.find("`", at + 1)
        self.position = len(self.text) if stop < 0 else stop + 1
        self.unresolved(self.text[at : self.position], at)

    def _ansi_quoted(self, at: int) -> None:
        text = self.text
        self._open_quote(at)
        position = at + 2
        while position < len(text) and text[position] != "'":
            if text[position] == "\\" and position + 1 < len(text):
                self.add(_ESCAPES.get(text[position + 1], text[position + 1]), position, position + 2, literal=False)
                position += 2
            else:
                self.add(text[position], position, position + 1)
                position += 1
        self.position = min(position + 1, len(text))

    # -- expansion

    def _dollar(self, *, quoted: bool) -> None:
        text, at = self.text, self.position
        following = text[at + 1 : at + 2]
        name = NAME.match(text, at + 1)
        if name is not None:
            self.position = name.end()
            self._expand(name.group(), self.variables.get(name.group()), at, quoted)
        elif following == "{":
            self.position = closing(text, at + 1, "{", "}")
            self._braces(text[at + 2 : self.position - 1], at, quoted)
        elif following == "(":
            self.position = closing(text, at + 1, "(", ")")
            inner = text[at + 2 : self.position - 1]
            if inner[:1] == "(" and inner[-1:] == ")" and self._arithmetic(inner[1:-1], at):
                return
            # What looks like Kubernetes' $(NAME) was left by it: a variable that a controller injects, or a command.
            self.unresolved(inner if NAME.fullmatch(inner) else text[at : self.position], at)
        elif following and following in "@*":
            self.position = at + 2
            self._several(self.variables.positional, "@", at)
        elif following and (following.isdigit() or following in "#?$!-"):
            self.position = at + 2
            self.unresolved(text[at : at + 2], at)
        elif following == "'" and not quoted:
            self._ansi_quoted(at)
        elif following == '"' and not quoted:
            self._open_quote(at)
            self._double_quoted(at + 1)
        else:
            self.position = at + 1
            self.add("$", at, at + 1)

    def _arithmetic(self, inner: str, at: int) -> bool:
        from servelint.engines.shell_arithmetic import evaluate  # lazy: few scripts compute

        value = evaluate(inner, self.variables)
        if value is None:
            return False
        self._expanded = True
        self.add(value, at, self.position, literal=False)
        return True

    def _braces(self, inner: str, at: int, quoted: bool) -> None:
        """``${inner}``."""
        name = NAME.match(inner)
        if inner in {"@", "*"}:
            self._several(self.variables.positional, "@", at)
        elif name is None:
            self.unresolved(self.text[at : self.position], at)
        elif inner[name.end() :] in {"[@]", "[*]"}:
            self._several(self.variables.array(name.group()), name.group(), at)
        else:
            self._parameter(name.group(), inner[name.end() :], at, quoted)

    def _parameter(self, name: str, rest: str, at: int, quoted: bool) -> None:
        """``${name}``, or with one of the operators ``:-``, ``:=``, ``:+``, ``:?`` and its word."""
        value = self.variables.get(name)
        operator = rest.lstrip(":")[:1]
        missing = value is UNSET or (rest[:1] == ":" and value == "")
        if not rest:
            self._expand(name, value, at, quoted)
        elif value is None or operator not in {"-", "=", "+", "?"}:
            self.unresolved(name, at)
        elif operator == "?" or (operator != "+" and not missing):
            self._expand(name, value, at, quoted)
        elif operator == "+" and missing:
            self._expand(name, "", at, quoted)
        else:
            default = self._word_value(rest.lstrip(":")[1:])
            if operator == "=":
                self.variables.assign(name, default, append=False, conditional=False)
            self._expand(name, default, at, quoted)

    def _word_value(self, text: str) -> Value:
        """The word of ``${name:-word}`` after its own expansion; None where that is not settled."""
        if self.level >= DEEPEST:
            return None
        inner = WordReader(text, self.variables, self.level + 1)
        while inner.position < len(text):
            at = inner.position
            if text[at] in "'\"\\$`":
                inner.quoting(text[at])
            else:
                inner.position = at + 1
                inner.add(text[at], at, at + 1)
        if inner._variable or inner.words:
            return None
        return inner.written

    def _expand(self, name: str, value: Value, at: int, quoted: bool) -> None:
        """Put in a variable's value; unquoted, its blanks separate words."""
        end = self.position
        if not isinstance(value, str) or not self.variables.spend(len(value)):
            whole = self.variables.text(name) if quoted else None
            fields = ((whole,) if whole is not None else ()) if quoted else self.variables.fields(name)
            if not fields or not self.variables.spend(sum(len(field.text) for field in fields)):
                self.unresolved(name, at)
                return
            for number, part in enumerate(fields):
                if number:
                    self.end_word(end)
                self._expanded = True
                self._variable = self._variable or part.variable
                self.add(part.text, at, end, literal=False)
            return
        self._expanded = True
        if quoted or not any(character.isspace() for character in value):
            self.add(value, at, end, literal=False)
            return
        if value[0].isspace() and self.start >= 0:
            self.end_word(at)
        for number, field in enumerate(value.split()):
            if number:
                self.end_word(end)
            self._expanded = True
            self.add(field, at, end, literal=False)
        if value[-1].isspace():
            self.end_word(end)

    def unresolved(self, name: str, at: int) -> None:
        self.add(self.text[at : self.position], at, self.position)
        self._variable = self._variable or " ".join(name.split())[:_LONGEST_NAME]

    def _several(self, words: tuple[RawWord, ...] | tuple[Word, ...] | None, name: str, at: int) -> None:
        """``$@`` or ``${name[@]}``: words of their own, where they are known and stand alone."""
        behind = self.text[self.position : self.position + 2].lstrip('"')
        alone = not self.written and (not behind or behind[0].isspace() or behind[0] in ";&|)")
        if words is None or not alone or not self.variables.spend(sum(len(word.text) for word in words)):
            self.unresolved(name, at)
            return
        self.begin()
        self.words.extend(words)


def closing(text: str, opening: int, left: str, right: str) -> int:
    """The position behind the bracket that closes the one at ``opening``, quotes respected; the end where none does."""
    depth = 0
    position = opening
    while position < len(text):
        character = text[position]
        if character == "\\":
            position += 1
        elif character == "'":
            stop = text.find("'", position + 1)
            position = stop if stop > 0 else position
        elif character == left:
            depth += 1
        elif character == right:
            depth -= 1
            if depth == 0:
                return position + 1
        position += 1
    return len(text)
