"""CLI, advice: what the engine accepts today and a later release will not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.engines.command import Form
from servelint.engines.flags import Presence
from servelint.finding import Certainty, Proposal, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint_rules import flag_history, rewording
from servelint_rules.engine_options import ENGINES, flag_place, is_written, options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import ContainerCase
    from servelint.engines.command import Argument, Command


@rule(
    "CLI107", "deprecated-flag", "Flag that the engine is about to drop",
    severity=Severity.INFO, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0",
    engines=ENGINES, fixable=True, inputs=("image tag",), advice=True,
)  # fmt: skip
def deprecated_flag(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    Options that the release in the image's tag still accepts but marks as deprecated. Where a later scanned release has
    dropped the option already, the finding says which.

    ## Why it matters

    It works today. The next version bump turns it into "unrecognized arguments", usually at the worst time.

    ## How to fix

    Use the successor that the engine's deprecation message names. Where the successor is the same option under another
    name, the fix writes it.

    ## Certainty

    Proven from the releases as scanned, and only a note: nothing is wrong yet.

    ## References

    - vLLM, `vllm/engine/arg_utils.py`, SGLang, `python/sglang/srt/server_args.py`, and text-generation-inference,
      `launcher/src/main.rs`, releases as scanned
    """
    command = case.container.command
    version = case.pool.version.get(None)
    if command is None or version is None or not flag_history.covers(command.table, version):
        return
    engine = flag_history.NAMES[command.engine]
    for argument in options(command):
        flag = argument.flag
        if flag is None or argument.form is Form.JAMMED:
            continue
        since = flag.deprecated_since
        if since is None or version < since or flag.presence(version) is not Presence.PRESENT:
            continue
        gone = next((i.end for i in flag.intervals if i.end is not None and i.end > version), None)
        successor = flag_history.RENAMED.get(flag.name, "")
        yield Verdict(
            flag_place(command, argument),
            f"deprecated in {engine} {since}" + (f", gone by {gone}" if gone else ""),
            proposals=_renaming(command, argument, successor) if successor and is_written(argument) else (),
            key=flag.name,
        )


def _renaming(command: Command, argument: Argument, successor: str) -> tuple[Proposal, ...]:
    return (Proposal(f"{successor} instead", True, lambda: rewording.renamed(command, argument, successor)),)


@rule(
    "CLI116", "prefix-abbreviated-flag", "Option that is not spelled out",
    severity=Severity.INFO, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0",
    engines=("vllm", "sglang"), fixable=True, advice=True,
)  # fmt: skip
def prefix_abbreviated_flag(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    Beginnings of options that the engine's parser completes because only one option begins so: `--gpu-memory-util`,
    `--max-num-seq`.

    ## Why it matters

    It works until a release adds a second option that begins the same. Then the parser calls the beginning ambiguous and
    the engine does not start.

    ## How to fix

    Spell it out. The fix does.

    ## Certainty

    Proven from the options of the release that runs (the newest one scanned where it is not known); nothing is wrong yet,
    so it is a note.

    ## References

    - Python, `argparse`: `allow_abbrev`
    """
    command = case.container.command
    if command is None:
        return
    version = case.pool.version.get(None)
    for argument in options(command):
        if not argument.abbreviated or argument.form is Form.JAMMED or not is_written(argument):
            continue
        full = command.table.candidates(argument.written, version)
        if len(full) == 1:
            yield _abbreviated(command, argument, full[0])


def _abbreviated(command: Command, argument: Argument, full: str) -> Verdict:
    edits = None if argument.form is Form.ENTRY else lambda: rewording.renamed(command, argument, full)
    return Verdict(
        flag_place(command, argument),
        f"short for {full} as long as no other option begins so",
        proposals=(Proposal(f"{full} instead", True, edits),),
        key=argument.written,
    )
