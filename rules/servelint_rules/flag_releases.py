"""CLI: whether the release that runs has the options it is given: gone, not there yet, or on their way out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.case import once
from servelint.engines.flag import Presence
from servelint.finding import Certainty, Proposal, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint_rules import flag_history, rewording
from servelint_rules.engine_options import (
    ENGINES,
    at_most_heuristic,
    flag_place,
    is_fork,
    is_newest,
    is_written,
    known_options,
    refusal,
    release,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import ContainerCase
    from servelint.engines.command import Argument, Command
    from servelint.engines.versions import Version


# KAITO's own images: the release of vLLM in the newest one (presets/workspace/dependencies/requirements.txt of 0.12).
_KAITO = "KAITO brings a vLLM of its own, 0.25.1 in KAITO 0.12"


def how_to_say_it(case: ContainerCase) -> tuple[str, ...]:
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
    one has it, where the project's own image moves with its releases and the newest one lacks it, where the image is
    KAITO's, which moves with KAITO, and where another project's image is named and tagged like the engine's own
    (`org/vllm-openai:v0.10.2-cu128`, Ray's `ray-llm`). Where the
    version is unknown otherwise it is CLI120, advice. Images of forks for other hardware (Gaudi, Neuron, TPU, Ascend) are
    left out: they have options of their own.

    ## References

    - vLLM, `vllm/engine/arg_utils.py`, SGLang, `python/sglang/srt/server_args.py`, and text-generation-inference,
      `launcher/src/main.rs`, releases as scanned
    - [kserve#6037](https://github.com/kserve/kserve/pull/6037), [kserve#4883](https://github.com/kserve/kserve/pull/4883)
    """
    command = case.container.command
    if command is None:
        return
    found = release(case)
    for argument, name, (worst, label, history) in removals(case):
        if worst is Severity.INFO:
            continue
        surely = Certainty.PROVEN if worst is Severity.ERROR else Certainty.HEURISTIC
        severity, certainty = at_most_heuristic(found, worst, surely)
        yield Verdict(
            flag_place(command, argument),
            label,
            arithmetic=(history, refusal(command)) if worst is Severity.ERROR else (history,),
            help=found.caveat or how_to_say_it(case),
            proposals=flag_history.replacements(command, argument, severity is Severity.ERROR),
            severity=severity,
            certainty=certainty,
            key=name,
        )


@once
def removals(case: ContainerCase) -> tuple[tuple[Argument, str, tuple[Severity, str, str]], ...]:
    """The options that the release lacks or may lack, with the option's name and what :func:`flag_history.removal` says."""
    command = case.container.command
    if command is None or is_fork(case):
        return ()
    found, lacking = release(case), []
    from_kaito = case.deployment.format == "kaito" and not case.container.image.is_known
    newest = from_kaito or is_newest(case)
    for argument, flag in known_options(case):
        if not flag.was_removed:
            continue
        if found.likely is not None and found.likely.at_least and flag.in_newest():
            continue  # a later release than the least one may have it again
        judged = flag_history.removal(flag, found.version, command, case.container.image, newest, found.so_called)
        if judged is None or _is_beginning(command, argument, found.version):
            continue
        severity, label, history = judged
        if from_kaito:
            label = label.replace(flag_history.unsaid(case.container.image), _KAITO)
        lacking.append((argument, flag.name, (severity, label, history)))
    return tuple(lacking)


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
    Dynamo's workers, which have options of their own, and where another project's image is only named and tagged like the
    engine's own.

    ## References

    - vLLM, `vllm/engine/arg_utils.py`, SGLang, `python/sglang/srt/server_args.py`, and text-generation-inference,
      `launcher/src/main.rs`, releases as scanned
    - [kserve#5154](https://github.com/kserve/kserve/pull/5154): an option was held back because the image was older
    """
    command = case.container.command
    found = release(case)
    version = found.version
    if command is None or version is None or not flag_history.covers(command.table, version):
        return
    if found.likely is not None and (found.likely.at_least or is_fork(case)):
        return
    engine = flag_history.NAMES[command.engine]
    for argument, flag in known_options(case):
        if argument.abbreviated:
            continue
        since = flag.first_with(command.table.spelled(argument.written), version)
        if since is None or flag.removed_before(version) or len(command.table.candidates(argument.written, version)) == 1:
            continue  # the release reads it as the beginning of the one option that it has
        older = flag.name if flag.presence(version) is Presence.PRESENT else ""
        what = (
            f"the spelling came with {engine} {since}; {version} calls it {older}" if older else f"{engine} has it since {since}"
        )
        wrapped = flag_history.has_wrapper(command)
        severity, certainty = at_most_heuristic(found, Severity.ERROR, Certainty.PROVEN)
        yield Verdict(
            flag_place(command, argument),
            what if older else f"{what}; {found.so_called}",
            arithmetic=(refusal(command),),
            help=found.caveat,
            proposals=(_raised(command, argument, older, f"{engine} {since}"),),
            severity=Severity.WARNING if wrapped else severity,
            certainty=Certainty.HEURISTIC if wrapped else certainty,
            key=argument.written,
        )


def _raised(command: Command, argument: Argument, older: str, since: str) -> Proposal:
    if older and is_written(argument):
        return Proposal(f"{older} instead", True, lambda: rewording.renamed(command, argument, older))
    return Proposal(f"an image with {since} or later, or without {argument.written}", False, None)
