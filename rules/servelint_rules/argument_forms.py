"""CLI: the form of the arguments: one option to an item, values only where they are taken, each option once."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from servelint.engines.arguments import is_truth, stray_value
from servelint.engines.command import TRUE, Form
from servelint.engines.flag import Presence
from servelint.finding import Certainty, Proposal, Related, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint_rules import rewording
from servelint_rules.engine_options import ENGINES, is_written, options, refusal, shortened
from servelint_rules.figures import count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import ContainerCase
    from servelint.engines.command import Argument, Command
    from servelint.engines.flag import Flag
    from servelint.engines.versions import Version

# Options that collect what each of their occurrences says (action="append", vllm/entrypoints/openai/cli_args.py).
_COLLECTING = frozenset(("--middleware",))


@rule(
    "CLI104", "flag-and-value-in-one-item", "Flag and value in one item of an exec list",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0", fixable=True,
)  # fmt: skip
def flag_and_value_in_one_item(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    Items such as `--dtype auto` in a `command` or `args` list that no shell splits; and what a shell is made to leave in one
    word: a line that ends in a backslash with no blank before it, where the next one begins with an option of the engine,
    and options in a folded block (`>`) whose lines end in backslashes.

    ## Why it matters

    Kubernetes passes each item as one argument. The engine receives an option whose name is `--dtype auto`, blank
    included, and stops with "unrecognized arguments". A shell takes a backslash and the end of the line out, so that what
    stands before it runs into the option on the next line. YAML joins the lines of a folded block with blanks, so that a
    backslash at the end of one stands before a blank, which the shell then takes for a part of the next word.

    ## How to fix

    Write `--dtype=auto`, or two items. The fix writes the first. In a script put a blank before the backslash, and take a
    literal block (`|`) or leave the backslashes out.

    ## Certainty

    Proven: no shell stands between the list and the engine, or it is told to leave the word whole. A list in the values of a
    chart whose templates are not known is not judged: they may join its items for a shell.

    ## References

    - [vllm#8273](https://github.com/vllm-project/vllm/issues/8273), [vllm#22072](https://github.com/vllm-project/vllm/issues/22072)
    - [Kubernetes: command and arguments](https://kubernetes.io/docs/tasks/inject-data-application/define-command-argument-container/)
    """
    command = case.container.command
    if command is None or (command.engine == "tgi" and command.launcher == "image"):
        return  # the entrypoint of TGI's images is a script that splits its arguments at blanks (tgi-entrypoint.sh)
    version = case.pool.version.get(None)
    jammed: dict[int, list[Argument]] = {}  # several flags may be in one word
    for argument in command.arguments:
        if argument.form is Form.JAMMED:
            jammed.setdefault(id(argument.words[0]), []).append(argument)
    escaped = [group for group in jammed.values() if not group[0].words[0].whole and group[0].words[0].text[:1] == " "]
    if escaped:
        yield _escaped(command, escaped)
    for group in jammed.values():
        if group in escaped:
            continue
        word = group[0].words[0]
        meant = _meant(group, version)
        glued = not word.whole and len(word.text.split()) == 1  # its line ends in a backslash with no blank before it
        otherwise = "put a blank before the backslash" if glued else "one item for each flag, and = between flag and value"
        yield Verdict(
            command.place_of(group[0]),
            f"the engine receives this as one argument, “{shortened(word.text)}”",
            arithmetic=() if glued and len(group[-1].words) == 1 else (refusal(command),),
            proposals=(
                Proposal(
                    shortened(meant) if meant else otherwise,
                    True,
                    partial(rewording.reworded, command, group[0], meant) if meant else None,
                ),
            ),
            severity=Severity.ERROR,
            key=group[0].written or group[0].value or "",
        )


def _escaped(command: Command, groups: list[list[Argument]]) -> Verdict:
    """Options behind blanks that the shell is told to keep."""
    more = f", and {count(len(groups) - 1, 'more argument')} so" if len(groups) > 1 else ""
    return Verdict(
        command.place_of(groups[0][0]),
        f"a backslash before a blank makes it part of the argument: “ {shortened(groups[0][0].words[0].text)}”{more}",
        arithmetic=(refusal(command),),
        proposals=(Proposal("a literal block (|) in place of the folded one (>), or no backslashes", False, None),),
        severity=Severity.ERROR,
        key="escaped blanks",
    )


def _meant(group: list[Argument], version: Version | None) -> str:
    """What one item must read to say what was meant; "" where it takes several items."""
    argument = group[0]
    if len(group) > 1 or not argument.written:
        return ""
    if argument.value is None or len(argument.words) > 1:
        return argument.written
    flag = argument.flag
    several = flag is not None and flag.arity_at(version) not in ("1", "?")
    return "" if several else f"{argument.written}={argument.value}"


@rule(
    "CLI105", "value-on-boolean-flag", "Value given to a switch",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0",
    engines=ENGINES, fixable=True,
)  # fmt: skip
def value_on_boolean_flag(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    `true`, `false` and the like after an option that takes no value: `--enable-prefix-caching true`,
    `--trust-remote-code=true`.

    ## Why it matters

    The engine stops: "ignored explicit argument 'true'", or "unrecognized arguments: true". In the Python API and in a
    configuration file the same option does take a value, which is where the habit comes from.

    ## How to fix

    The bare option switches on. To switch off: its `--no-…` form where the release has one, else leave it out.

    ## Certainty

    Proven: in no release that may run here does the option take a value.

    ## References

    - [ai-on-eks-charts#13](https://github.com/awslabs/ai-on-eks-charts/pull/13)
    - Python, `argparse.BooleanOptionalAction`
    """
    command = case.container.command
    if command is None:
        return
    version = case.pool.version.get(None)
    for argument in command.arguments:
        flag = argument.flag
        if flag is None or argument.key or argument.form in (Form.JAMMED, Form.ENTRY) or not flag.is_switch_at(version):
            continue
        stray = stray_value(command, argument)
        value = stray.value if stray is not None else argument.value
        if value is None or not is_truth(value):
            continue
        yield Verdict(
            command.place_of(stray or argument),
            f"{argument.written} takes no value; “{value}” is refused",
            proposals=(_switched(command, argument, flag, stray, value, version),),
            severity=Severity.ERROR,
            key=argument.written,
        )


def _switched(
    command: Command, argument: Argument, flag: Flag, stray: Argument | None, value: str, version: Version | None
) -> Proposal:
    """The switch without its value, in the sense the value had."""
    negative = flag.negates(argument.written)
    on = (value.strip().lower() in TRUE) != negative
    off = flag.negative_spelling
    if on:
        new = flag.name if negative else argument.written
    elif off is not None and (version is None or flag.presence(version, off) is Presence.PRESENT):
        new = off
    elif flag.default_at(version) == "False":
        title = f"take {argument.written} out: off is the default"
        return Proposal(title, True, partial(rewording.removed, command, argument, stray))
    else:
        return Proposal(f"take {argument.written} out, and see what the default is", False, None)
    return Proposal(new, True, partial(rewording.reworded, command, argument, new, stray))


@rule(
    "CLI106", "duplicate-flag", "Option given twice",
    severity=Severity.WARNING, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0", fixable=True,
)  # fmt: skip
def duplicate_flag(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    Options that stand twice on one command line, under the same name or under two of its names (`-tp 2 …
    --tensor-parallel-size 4`). Options that collect what each occurrence says, keys set one by one
    (`--compilation-config.level`), a command line that overrides a configuration file, and an object that overrides what its
    runtime gives are left out. TGI reads a variable for each of its options, too: one that says otherwise than the command
    line counts as a second occurrence (but `HOSTNAME`, which names the machine).

    ## Why it matters

    The last one wins and the other one is silently nothing: the reader of the manifest sees 2 and the engine runs with 4.
    The launcher of TGI refuses a second occurrence, and prefers the command line to the environment.

    ## How to fix

    Keep the one that was meant. The fix takes the one out that does not count: safe where both say the same.

    ## Certainty

    Proven: argparse and click keep the last value, clap refuses. A warning where the values differ, a note where they are
    equal, an error for TGI.

    ## References

    - Python, `argparse`: the action `store`
    - [kthena#937](https://github.com/volcano-sh/kthena/pull/937)
    """
    command = case.container.command
    if command is None:
        return
    winners: dict[str, Argument] = {}
    for argument in reversed(options(case)):
        collects = argument.key or argument.name in _COLLECTING or argument.form in (Form.JAMMED, Form.ENTRY)
        if argument.flag is None or collects:
            continue
        winner = winners.setdefault(argument.name, argument)
        # What a runtime or a base gives, an object that uses it may give anew: that is what it is for.
        overrides = argument.document is not winner.document and command.table.parser != "clap"
        if winner is not argument and is_written(argument) and not overrides and not _is_written_once(argument, winner):
            yield _given_twice(command, argument, winner)
    if command.engine == "tgi":
        from servelint_rules.variables_of_options import contradicted  # lazy: TGI alone reads its options from the environment

        yield from contradicted(case.container, command, winners.values())


def _is_written_once(argument: Argument, other: Argument) -> bool:
    """Two arguments of one text (an alias, a list that is given by two ways): to take it out would take out both."""
    one, two = argument.words[0], other.words[0]
    return one.node is two.node and one.start == two.start


def _given_twice(command: Command, argument: Argument, winner: Argument) -> Verdict:
    same = _meaning(argument) == _meaning(winner) and not winner.value_is_unknown
    refused = command.table.parser == "clap"
    if refused:
        label = f"the launcher takes {argument.written} only once"
    elif same:
        label = f"the same stands again as {winner.written}" if winner.written != argument.written else "the same stands again"
    else:
        label = f"does not count: {shortened(f'{winner.written} {winner.value or str()}'.strip(), 50)} stands behind it"
    severity = Severity.ERROR if refused else Severity.INFO if same else Severity.WARNING
    return Verdict(
        command.place_of(argument),
        label,
        related=(Related(command.place_of(winner), "the one that counts"),),
        proposals=(Proposal("take this one out", same, lambda: rewording.removed(command, argument)),),
        severity=severity,
        key=argument.name,
    )


def _meaning(argument: Argument) -> tuple[str | None, bool]:
    """(its value, whether it switches off)."""
    return argument.value, argument.flag is not None and argument.flag.negates(argument.written)
