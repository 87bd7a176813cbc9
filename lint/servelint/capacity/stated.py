"""What a pool's containers state that no fact of a deployment is for: single flags, switches and variables."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from servelint.facts import FactState

if TYPE_CHECKING:
    from servelint.deployment import Pool
    from servelint.engines.command import Argument


def _argument(pool: Pool, name: str) -> Argument | None:
    found = (each.command.last(name) for each in pool.containers if each.command is not None)
    return next((argument for argument in found if argument is not None), None)


def flag(pool: Pool, name: str) -> str | None:
    """The value of a flag; "" for what cannot be read, None where nobody states it."""
    argument = _argument(pool, name)
    if argument is None:
        return None
    return "" if argument.value_is_unknown else (argument.value or "").strip()


def number(pool: Pool, name: str) -> float | None:
    """The number that a flag states; None where nobody states one that can be read and is no less than 0."""
    try:
        value = float(flag(pool, name) or "")
    except ValueError:
        return None
    return value if 0 <= value < inf else None


def is_on(pool: Pool, name: str) -> bool:
    """Whether a switch is given, and not in its negative form."""
    argument = _argument(pool, name)
    return argument is not None and not (argument.flag is not None and argument.flag.negates(argument.written))


def variable(pool: Pool, name: str) -> str | None:
    """The value of a variable that a manifest lists; "" for what cannot be read, None where none does."""
    listed = (each.variable(name) for each in pool.containers)
    fact = next((fact for fact in listed if fact is not None), None)
    if fact is None:
        return None
    return str(fact.value).strip() if fact.state is FactState.KNOWN else ""
