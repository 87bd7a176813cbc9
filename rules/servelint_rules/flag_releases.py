"""CLI: whether the release that runs has the options it is given: gone, not there yet, or on their way out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.engines.command import Form
from servelint.engines.flags import Presence
from servelint.finding import Certainty, Proposal, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint_rules import flag_history, rewording
from servelint_rules.engine_options import ENGINES, flag_place, is_fork, is_newest, is_written, options, refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import ContainerCase
    from servelint.engines.command import Argument, Command
    from servelint.engines.versions import Version


def _how_to_say_it(case: ContainerCase) -> tuple[str, ...]:
    """How the version becomes known, where it is not."""
    version = case.pool.version
    return (version.remedy,) if not version.is_known and version.remedy else ()


@rule(
    "CLI102", "removed-flag", "Flag that the engine no longer has",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0",
    engines=ENGINES, fixable=True, inputs=("image tag",),
)  # fmt: skip
def removed_flag(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    Options that earlier releases of the engine had and the release in the image's tag has not. "Removed" is a set of
    intervals: `--disable-log-requests` is absent from 0.17.1 to 0.32 and accepted again in 0.33.

    ## Why it matters

    The commonest way for a version bump to fail: the same arguments, a newer image, and "unrecognized arguments" at
    start-up.

    ## How to fix

    Take the option out, or use what replaced it. Where it only chose what is now the default the fix is safe.

    ## Certainty

    Proven, and an error, where the release surely lacks the option. A warning between two scanned releases of which only
    one has it, and where the project's own image moves with its releases and the newest one lacks it. A note where the
    version is unknown otherwise; a configuration file names no image, and its engine's version is given by
    `engine_versions` in the configuration. Images of forks for other hardware (Gaudi, Neuron, TPU, Ascend) are left out:
    they have options of their own.

    ## References

    - vLLM, `vllm/engine/arg_utils.py`, SGLang, `python/sglang/srt/server_args.py`, and text-generation-inference,
      `launcher/src/main.rs`, releases as scanned
    - [kserve#6037](https://github.com/kserve/kserve/pull/6037), [kserve#4883](https://github.com/kserve/kserve/pull/4883)
    """
    command = case.container.command
    if command is None or is_fork(case):
        return
    version = case.pool.version.get(None)
    for argument in options(command):
        flag = argument.flag
        if flag is None or argument.form is Form.JAMMED:
            continue
        judged = flag_history.removal(flag, version, command, case.container.image, is_newest(case))
        if judged is None or _is_beginning(command, argument, version):
            continue
        severity, label, history = judged
        yield Verdict(
            flag_place(command, argument),
            label,
            arithmetic=(history, refusal(command)) if severity is Severity.ERROR else (history,),
            help=_how_to_say_it(case),
            proposals=flag_history.replacements(command, argument, severity is Severity.ERROR),
            severity=severity,
            certainty=Certainty.PROVEN if severity is Severity.ERROR else Certainty.HEURISTIC,
            key=flag.name,
        )


def _is_beginning(command: Command, argument: Argument, version: Version | None) -> bool:
    """What went is the beginning of one option that is there, so that the parser accepts it."""
    left = command.table.candidates(argument.written, version)
    return len(left) == 1 and command.table.flag(left[0]) is not argument.flag


@rule(
    "CLI103", "flag-newer-than-image", "Flag that the image's release does not have yet",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0",
    engines=ENGINES, fixable=True, inputs=("image tag",),
)  # fmt: skip
def flag_newer_than_image(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    Options, and spellings of options, that came with a later release than the one in the image's tag. One patch release of
    each minor version was scanned; in a release between two of them, of which only the later one has the option, nothing is
    said.

    ## Why it matters

    Arguments copied from a current guide into a manifest with an older image stop the engine with "unrecognized
    arguments".

    ## How to fix

    Raise the image to a release that has the option, or leave the option out; either changes what runs and is left to you.
    Where only the spelling is new, the fix writes the older one.

    ## Certainty

    Proven, and an error, where the release was scanned or lies between two that both lack the option. A warning under
    Dynamo's workers, which have options of their own.

    ## References

    - vLLM, `vllm/engine/arg_utils.py`, SGLang, `python/sglang/srt/server_args.py`, and text-generation-inference,
      `launcher/src/main.rs`, releases as scanned
    - [kserve#5154](https://github.com/kserve/kserve/pull/5154): an option was held back because the image was older
    """
    command = case.container.command
    version = case.pool.version.get(None)
    if command is None or version is None or not flag_history.covers(command.table, version):
        return
    engine = flag_history.NAMES[command.engine]
    for argument in options(command):
        flag = argument.flag
        if flag is None or argument.form is Form.JAMMED or argument.abbreviated or flag.removed_before(version):
            continue
        since = flag.first_with(command.table.spelled(argument.written), version)
        if since is None or _is_beginning(command, argument, version):
            continue
        older = flag.name if flag.presence(version) is Presence.PRESENT else ""
        what = (
            f"the spelling came with {engine} {since}; {version} calls it {older}" if older else f"{engine} has it since {since}"
        )
        wrapped = flag_history.has_wrapper(command)
        yield Verdict(
            flag_place(command, argument),
            what if older else f"{what}; this is {version}",
            arithmetic=(refusal(command),),
            proposals=(_raised(command, argument, older, f"{engine} {since}"),),
            severity=Severity.WARNING if wrapped else Severity.ERROR,
            certainty=Certainty.HEURISTIC if wrapped else Certainty.PROVEN,
            key=argument.written,
        )


def _raised(command: Command, argument: Argument, older: str, since: str) -> Proposal:
    if older and is_written(argument):
        return Proposal(f"{older} instead", True, lambda: rewording.renamed(command, argument, older))
    return Proposal(f"an image with {since} or later, or without {argument.written}", False, None)
