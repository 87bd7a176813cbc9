"""``servelint``: finds the command, runs it, and turns what goes wrong into one sentence and an exit code."""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING

from servelint.cli import output
from servelint.cli.exits import CLEAN, ERROR, INTERRUPTED
from servelint.errors import UsageError

if TYPE_CHECKING:
    from typing import NoReturn

# Command → what its line in the help says. Each is a module of this package with ``run(arguments) -> exit code``.
COMMANDS = {
    "check": "lint manifests (the default: `servelint PATH` is `servelint check PATH`)",
    "derive": "show how memory, latency and throughput of each deployment are worked out",
    "compare": "summarise what a change to a deployment does",
    "explain": "print the page of a rule",
    "rules": "list the rules",
    "schema": "print a JSON Schema: of plans, of the configuration, of the JSON output",
}

USAGE = """usage: servelint [COMMAND] [OPTION…] [PATH…]

Finds what will crash, miss its targets or waste GPUs in LLM-serving manifests.

commands:
{commands}

`servelint COMMAND --help` lists a command's options.
Exit codes: 0 clean, 1 findings, 2 wrong usage or nothing could be read.
"""


def program() -> NoReturn:
    """The console script: runs the command line and ends the process at once.

    Results are written by then. Taking apart all that a run made, as Python does at its end, takes longer than the rules.
    """
    code = main()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with suppress(OSError):  # the reader has gone, and there is nobody left to tell
                stream.flush()
    os._exit(code)


def main(arguments: list[str] | None = None) -> int:
    """Runs one command line and returns its exit code. Users never see a traceback unless they ask for it."""
    # A run is short and makes few cycles: collecting at every 700 allocations would cost a tenth of it.
    gc.set_threshold(100_000, 20, 20)
    words = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in words or bool(os.environ.get("SERVELINT_DEBUG"))
    try:
        return _run([word for word in words if word != "--debug"])
    except UsageError as error:
        return _fail(str(error), debug)
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the last resort: whatever it is, people get a sentence
        if isinstance(error, OSError):
            return _fail(f"{error.filename or 'input or output'}: {error.strerror or error}", debug)
        return _fail(
            f"internal error ({type(error).__name__}: {error}); please report it with the manifest and the traceback "
            "that --debug prints",
            debug,
        )


def _run(words: list[str]) -> int:
    first = words[0] if words else ""
    if first in COMMANDS:
        command, rest = first, words[1:]
    elif first in ("-h", "--help", "help"):
        output.write(usage())
        return CLEAN
    elif first in ("-V", "--version"):
        from servelint import __version__

        output.write(f"servelint {__version__}\n")
        return CLEAN
    elif not words:
        raise UsageError("nothing to check: name a manifest or a folder, as in `servelint deploy/` (see `servelint --help`)")
    else:
        command, rest = "check", words
    run = import_module(f"servelint.cli.{command}").run
    code: int = run(rest)
    return code


def usage() -> str:
    width = max(map(len, COMMANDS))
    return USAGE.format(commands="\n".join(f"  {name:<{width}}  {text}" for name, text in COMMANDS.items()))


def _fail(message: str, debug: bool) -> int:
    if debug:
        import traceback

        traceback.print_exc()
    output.say(message)
    return ERROR
