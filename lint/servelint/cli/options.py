"""The options that commands share, and the configuration they make of them."""

from __future__ import annotations

import argparse
import os
from argparse import SUPPRESS, ArgumentParser, HelpFormatter
from typing import TYPE_CHECKING, NoReturn

from servelint.config import SEVERITIES, load
from servelint.errors import UsageError

if TYPE_CHECKING:
    from argparse import Namespace

    from servelint.config import Config


# Our help is in English whatever the language is; looking for translations of argparse's own words costs every run 1.2 ms.
setattr(argparse, "_", str)  # noqa: B010 - the name is private to argparse, and absent from its stubs


class Parser(ArgumentParser):
    """An argument parser whose errors are ours to print, and whose options are never abbreviated.

    ``paths``: it takes paths as well (:meth:`parse_mixed`).
    """

    def __init__(self, command: str, description: str, *, paths: bool = False) -> None:
        super().__init__(
            f"servelint {command}",
            usage=f"servelint {command} [OPTION…] [PATH…]" if paths else None,
            epilog="PATH: a file or a folder; - reads standard input (default: .)" if paths else None,
            description=description,
            allow_abbrev=False,
            # A fixed width: asking the terminal's imports shutil, which costs 4 ms on every run.
            formatter_class=lambda prog: HelpFormatter(prog, max_help_position=28, width=110),
        )
        self.add_argument("--debug", action="store_true", help=SUPPRESS)

    def parse_mixed(self, words: list[str]) -> tuple[Namespace, list[str]]:
        """The options, and the words that are neither options nor their values, in whatever order they come.

        argparse's own way (``parse_intermixed_args``) parses twice and formats the usage each time.
        """
        options, rest = self.parse_known_args(words)
        unknown = [word for word in rest if word.startswith("-") and word != "-"]
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return options, rest

    def error(self, message: str) -> NoReturn:
        """argparse's message in our words: what is wrong with which option, and what would be right."""
        subject, _, rest = message.partition(": ")
        if subject == "unrecognized arguments":
            from difflib import get_close_matches

            word = rest.split()[0].partition("=")[0]
            near = get_close_matches(word, self._option_string_actions, 1, 0.7) if word.startswith("-") else []
            message = f"there is no option {word}" if word.startswith("-") else f"{word} is one word too many"
            message += f"; did you mean {near[0]}?" if near else ""
        elif rest.startswith("invalid choice: ") and "(choose from " in rest:
            value, _, choices = rest.removeprefix("invalid choice: ").partition(" (choose from ")
            message = f"{subject.removeprefix('argument ')} does not take {value}; choose one of {choices.rstrip(')')}".replace(
                "'", ""
            )
        elif subject == "the following arguments are required":
            message = f"{rest} is missing" if "," not in rest else f"{rest} are missing"
        elif subject.startswith("argument "):
            said = {
                "expected one argument": "needs a value",
                "not allowed with argument ": "excludes ",
                "ignored explicit": "takes no value",
            }
            name = subject.removeprefix("argument ")
            words = next(
                (
                    ours + rest.removeprefix(theirs) * theirs.endswith(" ")
                    for theirs, ours in said.items()
                    if rest.startswith(theirs)
                ),
                rest,
            )
            message = f"{name} {words}"
        raise UsageError(f"{message} (see `{self.prog} --help`)")


def codes(text: str) -> list[str]:
    """``PAR207,MEM``: codes and prefixes of codes."""
    return [code.strip().upper() for code in text.split(",") if code.strip()]


def add_format_options(parser: Parser, formats: tuple[str, ...]) -> None:
    """``--format``, ``--output-file`` and the colour switches."""
    parser.add_argument("--format", choices=formats, default="text", help="what to print (default: text)")
    parser.add_argument("--output-file", metavar="FILE", help="write the report to FILE instead of standard output")
    colour = parser.add_mutually_exclusive_group()
    colour.add_argument("--color", dest="colour", action="store_true", default=None, help="colour the text output")
    colour.add_argument("--no-color", dest="colour", action="store_false", help="never colour (default: on a terminal)")


def add_fact_options(parser: Parser) -> None:
    """Where configuration, plugins and facts that the manifests do not state come from."""
    group = parser.add_argument_group("configuration and facts")
    group.add_argument("--config", metavar="FILE", help="use this configuration (default: the nearest servelint.yaml upwards)")
    group.add_argument("--isolated", action="store_true", help="use no configuration file")
    group.add_argument("--plugin", metavar="PATH", action="append", default=[], help="load rules from this Python module")
    group.add_argument(
        "--model-config", metavar="ID=PATH", action="append", default=[], help="config.json of a model, by the id it is served as"
    )
    group.add_argument("--hf-cache", metavar="DIR", help="look models up in this local Hugging Face cache")


def configuration(options: Namespace) -> Config:
    """The configuration file's content with the command line laid over it. Raises :class:`UsageError`."""
    if options.config and options.isolated:
        raise UsageError("--config and --isolated exclude each other")
    config = load(options.config, options.isolated, os.curdir)
    if options.hf_cache and not os.path.isdir(options.hf_cache):
        raise UsageError(f"--hf-cache {options.hf_cache}: there is no such folder")
    if config.plugins and not options.config:
        # It was found in the tree under review, and whoever proposes a change there must not get code run here.
        raise UsageError(
            f"{config.path} names plugins, and code runs only if the command line says so: "
            f"give --config {config.path}, or --plugin PATH, or --isolated"
        )
    return config._replace(
        plugins=(*config.plugins, *options.plugin),
        model_configs={**config.model_configs, **_assignments("--model-config", "ID=PATH", options.model_config)},
        hf_cache=options.hf_cache or config.hf_cache,
    )


def selection(options: Namespace, config: Config) -> Config:
    """``--select`` replaces the configured selection; ``--ignore`` and ``--severity`` add to it."""
    severity = dict(config.severity)
    for code, level in _assignments("--severity", "CODE=LEVEL", options.severity).items():
        if level not in SEVERITIES:
            raise UsageError(f"--severity {code}={level}: a level is one of {', '.join(SEVERITIES)}")
        severity[code.upper()] = SEVERITIES[level]
    return config._replace(
        select=tuple(code for text in options.select for code in codes(text)) or config.select,
        ignore=(*config.ignore, *(code for text in options.ignore for code in codes(text))),
        severity=severity,
    )


def _assignments(option: str, form: str, texts: list[str]) -> dict[str, str]:
    assigned = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not (name and separator and value):
            raise UsageError(f"{option} takes {form}, not {text!r}")
        assigned[name] = value
    return assigned
