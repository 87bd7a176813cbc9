"""CLI, advice: what the engine accepts today and a later release will not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.engines.command import Form
from servelint.engines.flag import Presence
from servelint.finding import Certainty, Proposal, Related, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint_rules import flag_history, flag_releases, rewording
from servelint_rules.engine_options import ENGINES, flag_place, is_written, known_options, listed, options

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
    for argument, flag in known_options(case):
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
    for argument in options(case):
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


@rule(
    "CLI120", "flag-missing-in-some-releases", "Options that some releases refuse, and no release is named",
    severity=Severity.INFO, certainty=Certainty.HEURISTIC, scope=Scope.CONTAINER, since="0.1.0",
    engines=ENGINES, inputs=("image tag",), advice=True,
)  # fmt: skip
def flag_missing_in_some_releases(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    Options that the engine had and dropped, for good or for some releases, on a command line whose release nothing says: no
    image is named, or its tag is not the engine's version. One finding for all of them.

    ## Why it matters

    The manifest works with some releases and stops with "unrecognized arguments" under others. Which ones, only who knows
    the image can tell.

    ## How to fix

    Name a release in the image's tag, or say it with `engine_versions` in the configuration: then CLI102 tells for sure. Or
    take the options out.

    ## Certainty

    Proven from the releases as scanned that releases differ; advice, because the one that runs may have the option.

    ## References

    - vLLM, `vllm/engine/arg_utils.py`, SGLang, `python/sglang/srt/server_args.py`, and text-generation-inference,
      `launcher/src/main.rs`, releases as scanned
    """
    command = case.container.command
    found = [(a, name, history) for a, name, (severity, _, history) in flag_releases.removals(case) if severity is Severity.INFO]
    if command is None or not found:
        return
    places = [flag_place(command, argument) for argument, _, _ in found]
    names = tuple(dict.fromkeys(name for _, name, _ in found))
    engine = flag_history.NAMES[command.engine]
    yield Verdict(
        places[0],
        f"some {engine} releases have no {listed(names, 4)}, and {_unsaid(case)}",
        arithmetic=tuple(dict.fromkeys(history for _, _, history in found)),
        help=flag_releases.how_to_say_it(case),
        related=tuple(
            Related(place, f"{name} too") for place, (_, name, _) in zip(places[1:], found[1:], strict=True) if place != places[0]
        ),
        key="releases",
    )


def _unsaid(case: ContainerCase) -> str:
    version = case.pool.version.get(None)
    return f"{version} is none of those scanned" if version is not None else flag_history.unsaid(case.container.image)
