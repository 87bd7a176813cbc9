"""The value of ``$((…))`` where whole numbers, settled variables and ``+ - * / %`` make it up."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from servelint.engines.shell_variables import Variables

_TOKEN = re.compile(r"\s*(?:(\d+)|\$?\{?([A-Za-z_]\w*)\}?|([-+*/%()]))")
_LONGEST = 400


class _UnsettledError(Exception):
    """The expression is more than this module reads, or one of its variables is not settled; never leaves it."""


def evaluate(text: str, variables: Variables) -> str | None:
    """The value as text; None where it is not settled. Division truncates towards zero, as in the shell."""
    try:
        tokens = _tokens(text)
        reader = _Reader(tokens, variables)
        value = reader.sum()
        if reader.rest():
            return None
    except (_UnsettledError, ZeroDivisionError):
        return None
    return str(value)


def _tokens(text: str) -> list[str]:
    if len(text) > _LONGEST:
        raise _UnsettledError
    tokens: list[str] = []
    position = 0
    stripped = text.rstrip()
    while position < len(stripped):
        match = _TOKEN.match(stripped, position)
        if match is None:
            raise _UnsettledError
        tokens.append(match.group(1) or match.group(2) or match.group(3))
        position = match.end()
    return tokens


class _Reader:
    def __init__(self, tokens: list[str], variables: Variables) -> None:
        self._tokens = tokens
        self._variables = variables
        self._position = 0
        self._depth = 0

    def rest(self) -> bool:
        return self._position < len(self._tokens)

    def _accept(self, operators: str) -> str:
        if self.rest() and self._tokens[self._position] in operators:
            self._position += 1
            return self._tokens[self._position - 1]
        return ""

    def sum(self) -> int:
        value = self._product()
        while operator := self._accept("+-"):
            other = self._product()
            value = value + other if operator == "+" else value - other
        return value

    def _product(self) -> int:
        value = self._unary()
        while operator := self._accept("*/%"):
            other = self._unary()
            quotient = 0 if operator == "*" else abs(value) // abs(other)
            quotient = quotient if (value < 0) == (other < 0) else -quotient
            value = value * other if operator == "*" else quotient if operator == "/" else value - quotient * other
        return value

    def _unary(self) -> int:
        sign = 1
        while operator := self._accept("+-"):
            sign = -sign if operator == "-" else sign
        return sign * self._atom()

    def _atom(self) -> int:
        if self._accept("("):
            self._depth += 1
            if self._depth > 20:
                raise _UnsettledError
            value = self.sum()
            if not self._accept(")"):
                raise _UnsettledError
            self._depth -= 1
            return value
        if not self.rest():
            raise _UnsettledError
        token = self._tokens[self._position]
        self._position += 1
        settled = token if token.isdigit() else self._variables.get(token)
        if not isinstance(settled, str):
            raise _UnsettledError
        number = settled.strip()
        if not number.isascii() or not number.isdigit() or len(number) > 12 or (number[0] == "0" and len(number) > 1):
            raise _UnsettledError  # a leading zero makes it octal
        return int(number)
