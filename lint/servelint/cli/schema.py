"""``servelint schema NAME``: the JSON Schemas that ship with servelint."""

from __future__ import annotations

from servelint.cli import output
from servelint.cli.exits import CLEAN
from servelint.cli.options import Parser
from servelint.errors import UsageError
from servelint_schemas import names, text


def run(arguments: list[str]) -> int:
    """Runs ``schema`` and returns the exit code."""
    parser = Parser("schema", "Print a JSON Schema (for editors and validators); without a name, list them.")
    parser.add_argument("name", metavar="NAME", nargs="?", help="one of: " + ", ".join(names()))
    options = parser.parse_args(arguments)
    if options.name is None:
        output.write("\n".join(names()) + "\n")
        return CLEAN
    try:
        output.write(text(options.name))
    except LookupError as error:
        raise UsageError(str(error.args[0])) from error
    return CLEAN
