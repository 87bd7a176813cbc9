"""Variables that set an option, and that the command line overrides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.finding import Related, Verdict
from servelint_rules.engine_options import is_written, shortened

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from servelint.deployment import Container
    from servelint.engines.command import Argument, Command

# They mean something to others, too: the name of the machine is no address to listen on, and who gives that does so for it.
_OF_OTHERS = frozenset(("HOSTNAME",))


def contradicted(container: Container, command: Command, arguments: Iterable[Argument]) -> Iterator[Verdict]:
    """Variables of TGI (an option's name in capitals) with another value than the option has on the command line.

    Source: text-generation-inference 3.3, ``launcher/src/main.rs``: ``#[clap(long, env)]``; clap asks the environment last.
    """
    for argument in reversed(tuple(arguments)):
        name = argument.name.removeprefix("--").replace("-", "_").upper()
        if argument.value is None or name in _OF_OTHERS or not is_written(argument):
            continue
        variable = container.variable(name)
        if variable is None or not variable.is_known or variable.place is None or variable.value.strip() == argument.value:
            continue
        yield Verdict(
            variable.place,
            f"does not count: {shortened(f'{argument.written} {argument.value}', 50)} on the command line wins over {name}",
            related=(Related(command.place_of(argument), "the one that counts"),),
            key=name,
        )
