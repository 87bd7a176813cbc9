"""Flag history: when an option went, how surely a release lacks it, and what takes its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.finding import Proposal, Severity
from servelint_rules import rewording

if TYPE_CHECKING:
    from servelint.engines.command import Argument, Command
    from servelint.engines.flag import Flag
    from servelint.engines.flags import FlagTable
    from servelint.engines.versions import Version
    from servelint.facts import Fact


NAMES = {"vllm": "vLLM", "sglang": "SGLang", "tgi": "TGI", "trtllm": "TensorRT-LLM"}


def covers(table: FlagTable, version: Version | None) -> bool:
    """Whether the scanned releases speak for ``version``."""
    return version is not None and bool(table.scanned) and table.scanned[0] <= version <= table.scanned[-1]


def has_wrapper(command: Command) -> bool:
    """The engine is started by Dynamo's worker, which has options of its own."""
    return command.launcher.startswith("python -m dynamo.")


def unsaid(image: Fact[str]) -> str:
    """Why it is not known which release runs."""
    return (
        "the image does not say which one runs" if image.is_known else "no image is named, so which one reads this is not known"
    )


def removal(
    flag: Flag, version: Version | None, command: Command, image: Fact[str], newest: bool, so_called: str = ""
) -> tuple[Severity, str, str] | None:
    """What is to be said of a flag's absence, how surely, and its history; None if nothing is. ``newest``: the image is the
    project's own under a tag that moves with its releases. ``so_called``: the version and how it is known, for people."""
    engine, table = NAMES[command.engine], command.table
    known = version is not None and covers(table, version)
    upto = next(r for r in table.scanned if r >= version) if version is not None and known else None
    found = flag.removal(upto)
    if found is None:
        return None
    had, lacks = found
    history = f"{engine} {had} has {flag.name}, {lacks} has not"
    again = next((i.start for i in flag.intervals if i.start is not None and i.start > lacks), None)
    if again is not None:
        history += f", {again} has it again"
    if version is None or not known:
        if flag.in_newest():
            return Severity.INFO, f"some {engine} releases refuse it, and {unsaid(image)}", history
        severity = Severity.WARNING if newest else Severity.INFO
        return severity, f"gone since {engine} {lacks}; {unsaid(image)}", history
    if flag.removed_before(version):
        return Severity.ERROR, f"gone since {engine} {lacks}; {so_called or f'this is {version}'}", history
    if had < version < lacks:
        return Severity.WARNING, f"gone by {engine} {lacks}, perhaps in {version} already", history
    return None


class _Successor:
    """What to do about a removed flag: take it out (no replacement) or write another in its place."""

    __slots__ = ("flag", "safe", "why")

    def __init__(self, why: str, *, safe: bool, flag: str = "") -> None:
        self.why, self.safe, self.flag = why, safe, flag


# From the releases' own notes and deprecation texts: what the option did is the default now, or has another name.
_SUCCESSORS = {
    "--disable-log-requests": _Successor("requests are logged only with --enable-log-requests", safe=True),
    "--use-v2-block-manager": _Successor("the only block manager there is", safe=True),
    "--enable-reasoning": _Successor("--reasoning-parser alone does it", safe=True),
    "--swap-space": _Successor("the V1 engine never swapped", safe=True),
    "--max-seq-len-to-capture": _Successor("the V1 engine captures by batch size", safe=True),
    "--worker-use-ray": _Successor("the executor is chosen by name", safe=False, flag="--distributed-executor-backend=ray"),
    "--engine-use-ray": _Successor("the executor is chosen by name", safe=False, flag="--distributed-executor-backend=ray"),
}


# Deprecated options and the same ones under their new names (TGI: launcher/src/main.rs 2.0.4).
RENAMED = {"--max-input-length": "--max-input-tokens"}


def replacements(command: Command, argument: Argument, gone: bool) -> tuple[Proposal, ...]:
    successor = _SUCCESSORS.get(argument.name)
    if successor is not None and successor.flag:
        edits = rewording.reworded(command, argument, successor.flag) if len(argument.words) == 1 else None
        return (Proposal(f"{successor.flag} instead: {successor.why}", gone and successor.safe, edits),)
    why = f": {successor.why}" if successor is not None else ""
    safe = gone and successor is not None and successor.safe  # an older release may have had another default
    return (Proposal(f"take {argument.written} out{why}", safe, lambda: rewording.removed(command, argument)),)
