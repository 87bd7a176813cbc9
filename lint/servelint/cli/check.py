"""``servelint check``: lint manifests, and fix what can be fixed."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from servelint.cli import output
from servelint.cli.exits import CLEAN, ERROR, FINDINGS
from servelint.cli.options import Parser, add_fact_options, add_format_options, configuration, selection
from servelint.config import PROFILES, SEVERITIES
from servelint.errors import UsageError
from servelint.reports.base import FORMATS, NEEDS_RULES, Options

if TYPE_CHECKING:
    from argparse import Namespace

    from servelint.config import Config
    from servelint.run import Report, Session

STDIN = "-"


def parser() -> Parser:
    """The options of ``check``."""
    made = Parser("check", "Lint LLM-serving manifests. A folder is searched for .yaml, .yml and .json files.", paths=True)
    add_format_options(made, tuple(FORMATS))
    made.add_argument("--statistics", action="store_true", help="count the findings by rule (text format)")

    rules = made.add_argument_group("rules")
    about = "default; strict: advice, too; gate: only errors that are proven"
    rules.add_argument("--profile", choices=PROFILES, help=about)
    rules.add_argument("--select", metavar="CODES", action="append", default=[], help="run only these: PAR207, PAR, …")
    rules.add_argument("--ignore", metavar="CODES", action="append", default=[], help="do not run these")
    rules.add_argument("--severity", metavar="CODE=LEVEL", action="append", default=[], help="give a rule another severity")

    verdict = made.add_argument_group("exit code")
    verdict.add_argument("--fail-on", choices=tuple(SEVERITIES), help="exit 1 from this severity on (default: error)")
    verdict.add_argument("--strict", action="store_true", help="exit 1 also if a check could not be evaluated")
    verdict.add_argument("--exit-zero", action="store_true", help="exit 0 whatever is found")

    fixes = made.add_argument_group("fixes")
    fixes.add_argument("--fix", action="store_true", help="apply the safe fixes")
    fixes.add_argument("--unsafe-fixes", action="store_true", help="with --fix or --diff: also those that change what is served")
    fixes.add_argument("--diff", action="store_true", help="print what --fix would change, and change nothing")

    files = made.add_argument_group("files")
    files.add_argument("--exclude", metavar="GLOB", action="append", default=[], help="skip these while searching folders")
    files.add_argument("--force-exclude", action="store_true", help="apply excludes to files named on the command line, too")
    files.add_argument("--stdin-filename", metavar="PATH", default="<stdin>", help="the name reported for standard input")
    files.add_argument("--complete", action="store_true", help="these are all the files: what is absent does not exist")
    add_fact_options(made)
    return made


def parse(arguments: list[str]) -> Namespace:
    """Options and paths in any order; after ``--`` everything is a path."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    options, paths = parser().parse_mixed(arguments[:end])
    options.paths = paths + arguments[end + 1 :]
    return options


def run(arguments: list[str]) -> int:
    """Runs ``check`` and returns the exit code."""
    options = parse(arguments)
    paths = options.paths or [os.curdir]
    _refuse_contradictions(options, paths)
    config = _configuration(options)

    from servelint.run import lint_paths, open_session  # after the options: --help and wrong usage cost nothing more

    session = open_session(config)
    stdin = sys.stdin.buffer.read() if STDIN in paths else None
    fixing = options.fix or options.diff
    report = lint_paths(paths, session, stdin=stdin, stdin_filename=options.stdin_filename, by_template=not fixing)
    for sentence in report.fatal:
        output.say(sentence)
    if report.fatal:
        if options.format != "text":
            _print(report, session, options)
        return ERROR
    if not report.deployments and not report.findings:
        output.say(f"nothing was checked: {_nothing(report, paths)}")
    rendered = stdin is not None and len(paths) == 1 and bool(report.sources) and options.stdin_filename not in report.sources
    if rendered and report.findings:
        output.say("paths are those of the templates, lines those of the standard input")
    elif any(finding.proposals for finding in report.findings):
        from servelint.fixes.verify import with_fixes  # lazy: only findings with proposals need it

        report = with_fixes(report, session)
    if fixing:
        from servelint.cli.fixing import fix  # lazy, for the same reason

        report = fix(report, session, options, stdin)
    if not options.diff:
        _print(report, session, options)
    return CLEAN if options.exit_zero else exit_code(report, config)


def _nothing(report: Report, paths: list[str]) -> str:
    """Why nothing was checked: silence would read as praise."""
    named = ", ".join("standard input" if path == STDIN else path for path in paths)
    return f"no LLM deployment in {named}" if report.files else f"no .yaml, .yml or .json file in {named}"


def exit_code(report: Report, config: Config) -> int:
    """1 if a finding reaches the threshold, or under ``strict`` if a check was not evaluated."""
    failed = any(finding.severity >= config.fail_on for finding in report.findings)
    return FINDINGS if failed or (config.strict and report.not_checked) else CLEAN


def _refuse_contradictions(options: Namespace, paths: list[str]) -> None:
    if options.unsafe_fixes and not (options.fix or options.diff):
        raise UsageError("--unsafe-fixes needs --fix (to apply them) or --diff (to see them)")
    if options.fix and options.diff:
        raise UsageError("--fix and --diff exclude each other: --diff shows what --fix would do")
    from servelint.cli.main import COMMANDS

    for path in paths:
        if not path:
            raise UsageError("a path is empty: name a manifest or a folder")
        if path in COMMANDS and not os.path.exists(path):
            raise UsageError(f"the command comes first: `servelint {path} …`; there is no file named {path}")
    if len(paths) > 1 and paths[0].isalpha() and not os.path.exists(paths[0]):
        from difflib import get_close_matches

        near = get_close_matches(paths[0], COMMANDS, 1)
        if near:
            raise UsageError(f"there is no command and no file {paths[0]}; did you mean `servelint {near[0]}`?")


def _configuration(options: Namespace) -> Config:
    config = selection(options, configuration(options))
    return config._replace(
        profile=options.profile or config.profile,
        fail_on=SEVERITIES[options.fail_on] if options.fail_on else config.fail_on,
        exclude=(*config.exclude, *options.exclude),
        force_exclude=config.force_exclude or options.force_exclude,
        complete=config.complete or options.complete,
        strict=config.strict or options.strict,
    )


def _print(report: Report, session: Session, options: Namespace) -> None:
    from importlib import import_module

    rules = {}
    if options.format in NEEDS_RULES:
        rules = {code: rule for code, rule in session.registry.rules().items() if session.config.runs(rule)}
    colour = output.wants_colour(options.colour, options.format, options.output_file)
    text = import_module(FORMATS[options.format]).render(report, Options(colour, options.statistics, rules))
    if options.fix and STDIN in options.paths:
        sys.stderr.write(text)  # standard output holds the fixed text
    else:
        output.write(text, options.output_file)
