"""Values of an engine's arguments as facts: numbers, sizes and switches, or unknown with the reason."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from servelint.deployment import Pool
from servelint.engines.argument_writer import ArgumentWriter
from servelint.engines.command import TRUE, TRUTHS, Form
from servelint.facts import Fact, Origin, OriginKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from servelint.engines.command import Argument, Command

_DECIMAL = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_BINARY = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SIZE = r"(\d+)(\.\d+)?([kmgtKMGT])"  # text: few sizes have a suffix, and it costs start-up time to compile

Settings = tuple[tuple[str, str, "Callable[[str], Any]"], ...]
"""(field of the pool, canonical flag, parser of its value) for each setting that is read as it stands."""


def fact_name(field: str) -> str:
    """The dotted path that people see for a field of :class:`Pool`."""
    name: str = Pool._field_defaults[field].name
    return name


def integer(text: str) -> int:
    """A whole number as Python's ``int`` reads it (blanks around it are allowed); ``ValueError`` for anything else."""
    stripped = text.strip()
    try:
        # What is longer is no setting, and from some length on Python refuses to read it.
        return int(stripped if len(stripped) <= 20 else "")
    except ValueError as error:
        raise ValueError(f"{text!r} is no whole number") from error


def human_readable_integer(text: str) -> int:
    """``4096``, ``32k`` = 32000, ``32K`` = 32768, ``25.6k`` = 25600; ``ValueError`` for anything else.

    Lower-case suffixes are powers of 1000, upper-case ones of 1024 (no decimals there).
    Source: ``human_readable_int`` in vllm/engine/arg_utils.py 0.8.5 to 0.19.1, vllm/utils/argparse_utils.py since.
    """
    match = re.fullmatch(_SIZE, text.strip()) if text.strip()[-1:].isalpha() else None
    if match is None:
        return integer(text)
    whole, fraction, suffix = match.groups()
    if len(whole) > 20:
        raise ValueError(f"{text!r} is no whole number")
    if suffix in _DECIMAL:
        return int(float(whole + (fraction or "")) * _DECIMAL[suffix])
    if fraction:
        raise ValueError(f"{text!r}: decimals are not allowed with {suffix}; {text.strip().lower()} would be")
    return int(whole) * _BINARY[suffix]


def at_least(least: int, what: str) -> Callable[[str], int]:
    """A parser of whole numbers that refuses those below ``least``; ``what`` says what they are."""

    def parse(text: str) -> int:
        value = integer(text)
        if value < least:
            raise ValueError(f"{value} is no {what}")
        return value

    return parse


degree = at_least(1, "positive whole number")


def tokens(text: str) -> int:
    """A positive number of tokens (or bytes), human-readable or not."""
    value = human_readable_integer(text)
    if value < 1:
        raise ValueError(f"{value} is not positive")
    return value


def share(text: str) -> float:
    """A share of the GPU's memory, in (0, 1]: vllm/config/cache.py, ``Field(gt=0, le=1)``; the other engines' alike."""
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{text!r} is no number") from None
    if not 0 < value <= 1:
        raise ValueError(f"{text.strip()} is not in (0, 1]")
    return value


def word(text: str) -> str:
    """Text that is not empty, without the blanks around it."""
    value = text.strip()
    if not value:
        raise ValueError("the value is empty")
    return value


def truth(text: str) -> bool:
    """``true``, ``yes``, ``on``, ``1`` and their opposites."""
    value = text.strip().lower()
    if value not in TRUTHS:
        raise ValueError(f"{text!r} is neither true nor false")
    return value in TRUE


def from_environment(field: str, variable: Fact[str], parse: Callable[[str], Any]) -> Fact[Any]:
    """The fact that a variable of the container states for the pool's ``field``; ``parse`` raises ``ValueError``."""
    name, label = fact_name(field), variable.name.removeprefix("env.")
    if not variable.is_known:
        return Fact.unknown(name, f"{label}: {variable.reason}", variable.remedy, variable.origin)
    origin = (variable.origin or Origin(OriginKind.FILE, label))._replace(text=label)
    try:
        value = parse(variable.value)
    except ValueError as error:
        return Fact.unknown(name, f"{label}: {error}", origin=origin)
    return Fact.known(name, value, origin, variable.writer)


class ArgumentFacts:
    """Makes facts of the arguments of one command."""

    def __init__(self, command: Command, environment: Mapping[str, Fact[str]]) -> None:
        self.command = command
        self._environment = environment

    def read(self, field: str, argument: Argument, parse: Callable[[str], Any]) -> Fact[Any]:
        """The fact that ``argument`` states for the pool's ``field``. ``parse`` raises ``ValueError`` with the reason."""
        name = fact_name(field)
        if argument.value_is_unknown:
            return self.unresolved(name, argument)
        origin = self.origin(argument)
        if argument.value is None:
            return Fact.unknown(name, f"{argument.written} has no value", origin=origin)
        try:
            value = parse(argument.value)
        except ValueError as error:
            reason = f"{argument.written}: {error}"
            return Fact.unknown(name, reason + self._unexpanded(argument), origin=origin)
        return Fact.known(name, value, origin, ArgumentWriter(self.command, argument))

    def read_all(self, settings: Settings, last: Mapping[str, Argument]) -> dict[str, Fact[Any]]:
        """The facts of the ``settings`` that ``last`` (the argument that wins, by canonical flag) has."""
        return {field: self.read(field, last[flag], parse) for field, flag, parse in settings if flag in last}

    def switch(self, field: str, argument: Argument) -> Fact[bool]:
        """Whether a switch is on: bare, or with a truth value where a file or an older release gives it one."""
        on = argument.flag is None or not argument.flag.negates(argument.written)
        if argument.value is None:
            return self.known(field, argument, on)
        return self.read(field, argument, lambda text: truth(text) is on)

    def known(self, field: str, argument: Argument, value: Any) -> Fact[Any]:
        return Fact.known(fact_name(field), value, self.origin(argument), ArgumentWriter(self.command, argument))

    def unknown(self, field: str, argument: Argument, reason: str, remedy: str = "") -> Fact[Any]:
        return Fact.unknown(fact_name(field), reason, remedy, self.origin(argument))

    def origin(self, argument: Argument) -> Origin:
        text = argument.written or (argument.value or "")
        if argument.form is Form.ENTRY:
            text = argument.words[0].node.text
        return Origin(OriginKind.FILE, text, self.command.place_of(argument))

    def unresolved(self, name: str, argument: Argument) -> Fact[Any]:
        """The value holds a variable that the manifest does not settle."""
        variable = argument.words[-1].variable
        origin = self.origin(argument)
        if not variable.isidentifier():
            what = "stands for a value to be filled in" if variable[0] == "<" else "is computed when the container starts"
            shown = "$@" if variable == "@" else variable
            return Fact.unknown(name, f"{shown} {what}", "write the value itself", origin)
        fact = self._environment.get(variable)
        reason = f"${variable} is not set in this manifest"
        if fact is not None and not fact.is_known and fact.reason:
            reason = f"${variable}: {fact.reason}"
        elif fact is not None and fact.is_known:
            reason = f"${variable} is changed by the script"
        remedy = fact.remedy if fact is not None and fact.remedy else f"set {variable} to a literal in the container's env"
        return Fact.unknown(name, reason, remedy, origin)

    def _unexpanded(self, argument: Argument) -> str:
        """What to add where a shell's variable stands in a list that no shell reads."""
        if self.command.program.shell or not argument.value or not argument.value.startswith("$"):
            return ""
        variable = argument.value[1:].strip("{}")
        return f" (no shell expands it here: write $({variable}))" if variable.isidentifier() else ""
