"""``servelint derive``: how the figures of each deployment come about."""

from __future__ import annotations

import os
import sys
from importlib import import_module

from servelint.cli import output
from servelint.cli.exits import CLEAN, ERROR
from servelint.cli.options import Parser, add_fact_options, configuration

STDIN = "-"


def run(arguments: list[str]) -> int:
    """Runs ``derive`` and returns the exit code."""
    parser = Parser(
        "derive", "Show how memory, latency and throughput of each deployment are worked out, and from what.", paths=True
    )
    parser.add_argument("--format", choices=("text", "json", "markdown"), default="text", help="what to print (default: text)")
    parser.add_argument("--output-file", metavar="FILE", help="write the derivation to FILE instead of standard output")
    parser.add_argument("--stdin-filename", metavar="PATH", default="<stdin>", help="the name reported for standard input")
    add_fact_options(parser)
    options, named = parser.parse_mixed(arguments)
    # The rules are not asked: what is wrong with a deployment is for `check` to say.
    config = configuration(options)._replace(select=("DOC101",), ignore=())
    paths = named or [os.curdir]

    from servelint.judge import pool_cases  # lazy: --help and wrong usage cost nothing more
    from servelint.run import lint_paths, open_session

    stdin = sys.stdin.buffer.read() if STDIN in paths else None
    report = lint_paths(paths, open_session(config), stdin=stdin, stdin_filename=options.stdin_filename, by_template=True)
    for error in report.errors:
        output.say(f"{error.path}:{error.line}: {error.message}" if error.line else f"{error.path}: {error.message}")
    if report.fatal:
        return ERROR
    if not report.deployments:
        output.say(f"no LLM deployment in {', '.join(paths)}")
    # Of several GPU types the first is worked out; the title and `alternatives` name the others.
    reports = import_module("servelint.reports.derivation")
    derivations = [reports.Derivation(d, [pool_cases(pool, d)[0] for pool in d.pools]) for d in report.deployments]
    renderer = getattr(reports, options.format)
    output.write(renderer(derivations), options.output_file)
    return CLEAN
