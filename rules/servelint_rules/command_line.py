"""CLI: whether the engine knows the options it is started with."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from servelint.engines.command import Form
from servelint.finding import Certainty, Proposal, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint_rules import flag_history, rewording
from servelint_rules.engine_options import ENGINES, flag_place, is_fork, is_own_build, listed, options, refusal, scanned

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import ContainerCase
    from servelint.engines.command import Command
    from servelint.engines.versions import Version


@rule(
    "CLI101", "unknown-flag", "Flag that the engine does not know",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0",
    engines=(*ENGINES, "trtllm"), fixable=True, inputs=("image tag",),
)  # fmt: skip
def unknown_flag(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    Every option on the engine's command line against the options of its releases, read as the engine reads them: `_` for
    `-` and dotted keys (`--kv-transfer-config.kv_role`) for vLLM, unambiguous beginnings for vLLM and SGLang, aliases and
    `--no-…`. Options of other programs in the same script are not judged. Of TensorRT-LLM one release was read: there, only
    options that `trtllm-serve` spells with `_` are judged (`--tp-size` for `--tp_size`).

    ## Why it matters

    One option the engine does not know, and it stops at once with "unrecognized arguments". In a rolling update the new
    pods never become ready; in an autoscaler every new replica fails.

    ## How to fix

    Use the name that the finding suggests, where one is near; otherwise take the option out. Options of a wrapper or of
    Ray belong to that program.

    ## Certainty

    Proven, and an error, where the image's tag names a release that was scanned. Otherwise (no version in the tag, or
    one newer than those scanned) it is a heuristic and a warning; so it is for Dynamo's workers, which have options of their
    own. Images of forks for other hardware are left out, and so is, in an image that is built beside the manifest, that a
    variable or a chart names, or that others than the project publish without a release's number, what is no slip of an
    option's name.

    ## References

    - vLLM, `vllm/engine/arg_utils.py` and `vllm/utils/argparse_utils.py`, SGLang, `python/sglang/srt/server_args.py`, and
      text-generation-inference, `launcher/src/main.rs`, releases as scanned
    - [LLMKube#1030](https://github.com/defilantech/LLMKube/issues/1030): one unknown option took down every pod
    """
    command = case.container.command
    if command is None or is_fork(case):
        return
    version = case.pool.version.get(None)
    table = command.table
    if table.parser == "click" or command.engine == "trtllm":
        yield from _misspelled(case, command)
        return
    engine = flag_history.NAMES[command.engine]
    certain = flag_history.covers(table, version) and not flag_history.has_wrapper(command)
    for argument in options(case):
        if argument.flag is not None or argument.form is Form.JAMMED:
            continue
        written = argument.written
        several = table.candidates(written, version)
        near = None if len(several) > 1 else table.nearest(written)
        if len(several) > 1:
            label = f"{written} may mean {listed(several)}"
        else:
            label = f"{engine} {version} has no {written}" if certain else f"no {engine} release from {scanned(table)} has it"
            label += f"; the nearest is {near}" if near else ""
        proposals = [Proposal(f"take {written} out", False, partial(rewording.removed, command, argument))]
        slip = bool(near) and _is_slip(table.spelled(written), str(near))
        if not slip and not several and version is None and (is_own_build(case.container) or _leaves_image_to_chart(case)):
            continue
        if near and slip:
            proposals.insert(0, Proposal(f"{near} instead", False, partial(rewording.renamed, command, argument, near)))
        yield Verdict(
            flag_place(command, argument),
            label,
            arithmetic=(refusal(command),) if certain else (_open(command, version),),
            proposals=tuple(proposals),
            severity=Severity.ERROR if certain else Severity.WARNING,
            certainty=Certainty.PROVEN if certain else Certainty.HEURISTIC,
            key=written,
        )


def _leaves_image_to_chart(case: ContainerCase) -> bool:
    """Values that name no image: the chart, or the tool that reads them, has one, which may be a build of its own."""
    return case.deployment.format == "helm-values" and not case.container.image.is_known


def _open(command: Command, version: Version | None) -> str:
    """Why it is not certain that the engine lacks an option."""
    if version is not None and flag_history.has_wrapper(command):
        return "Dynamo's workers have options of their own, of which not every release was read"
    here = "which one runs here is not known" if version is None else f"{version} is none of them"
    return f"releases scanned: {scanned(command.table)}; {here}"


def _misspelled(case: ContainerCase, command: Command) -> Iterator[Verdict]:
    """Options of ``trtllm-serve``, which reads no ``-`` for ``_``."""
    if command.table.parser != "click":
        return
    for argument in options(case):
        meant = "--" + argument.written.removeprefix("--").replace("-", "_")
        if argument.flag is not None or argument.form in (Form.JAMMED, Form.ENTRY) or command.table.flag(meant) is None:
            continue
        yield Verdict(
            flag_place(command, argument),
            f"trtllm-serve spells it {meant}",
            arithmetic=(refusal(command),),
            proposals=(Proposal(f"{meant} instead", False, partial(rewording.renamed, command, argument, meant)),),
            severity=Severity.WARNING,
            certainty=Certainty.HEURISTIC,
            key=argument.written,
        )


def _is_slip(written: str, meant: str, most: int = 2) -> bool:
    """Whether ``written`` is ``meant`` but for its style (``maxModelLen``) or a slip of the keyboard of ``most`` characters."""
    if written.replace("-", "").replace("_", "").lower() == meant.replace("-", "").lower():
        return True
    from difflib import SequenceMatcher  # lazy: only findings compare

    same = sum(block.size for block in SequenceMatcher(None, written, meant, autojunk=False).get_matching_blocks())
    return max(len(written), len(meant)) - same <= most
