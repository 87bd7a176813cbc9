"""Variables that set an option, and that the command line overrides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.finding import Related, Verdict
from servelint_rules.engine_options import is_written, shortened

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from servelint.deployment import Container
    from servelint.engines.command import Argument, Command


def contradicted(container: Container, command: Command, arguments: Iterable[Argument]) -> Iterator[Verdict]:
    """Variables of TGI (an option's name in capitals) with another value than the option has on the command line.

    Source: text-generation-inference 3.3, ``launcher/src/main.rs``: ``#[clap(long, env)]``; clap asks the environment last.
    """
    for argument in reversed(tuple(arguments)):
        name = argument.name.removeprefix("--").replace("-", "_").upper()
        variable = container.variable(name) if argument.value is not None and is_written(argument) else None
        if variable is None or not variable.is_known or variable.place is None or variable.value.strip() == argument.value:
            continue
        yield Verdict(
            variable.place,
            f"does not count: {shortened(f'{argument.written} {argument.value}', 50)} on the command line wins over {name}",
            related=(Related(command.place_of(argument), "the one that counts"),),
            key=name,
        )
