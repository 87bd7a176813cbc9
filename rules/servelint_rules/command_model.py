"""CLI: whether the server is told which model to serve, once, and under a name it accepts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.engines.command import Form
from servelint.engines.versions import Version
from servelint.finding import Certainty, Proposal, Related, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint_rules import flag_history, guards, rewording
from servelint_rules.engine_options import is_certain, is_written, stated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import ContainerCase
    from servelint.engines.command import Argument, Command

_MODEL = {"vllm": "--model", "sglang": "--model-path"}
# The first release seen to refuse it (python/sglang/srt/server_args.py, check_server_args).
_NO_COLON_SINCE = Version(0, 5, 6)
# Addresses of object stores that SGLang's loader reads; their colon is accepted (is_runai_obj_uri).
_STORES = ("s3://", "gs://", "az://")


@rule(
    "CLI114", "model-given-twice-or-missing", "Model named twice, or not at all",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0",
    engines=("vllm", "sglang"), fixable=True,
)  # fmt: skip
def model_given_twice_or_missing(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    That the server's command line names one model: no word `serve` before the arguments of an image that starts the server
    itself, no positional model beside another one in `--model`, and a model at all.

    ## Why it matters

    `args: [serve, org/model]` under vLLM's own image asks for a model called "serve", and the server stops. Two models: the
    positional one wins and the option is ignored. None: vLLM downloads and serves its default, a tiny model, without
    complaint; SGLang stops.

    ## How to fix

    Take `serve` out of `args` (or write `command: [vllm, serve]`), and name the model once.

    ## Certainty

    Proven. An error for `serve` under an image that is known to start the server, and for SGLang without a model; a warning
    otherwise. Command lines that may have further arguments (a file, a variable, a patch, a controller, a base whose image is a
    placeholder) are not said to lack anything.

    ## References

    - vLLM, `vllm/entrypoints/cli/serve.py` and docker/Dockerfile (`ENTRYPOINT`)
    - [vllm#22072](https://github.com/vllm-project/vllm/issues/22072)
    """
    command = case.container.command
    if command is None or command.separator:
        return
    first = next((a for a in command.arguments if a.form is Form.POSITIONAL), None)
    option = command.last(_MODEL.get(command.engine, ""))
    if command.engine == "vllm" and first is not None and is_written(first):
        if first is command.arguments[0] and first.value == "serve" and command.launcher == "image":
            yield _serve_twice(command, first)
            return
        if "serve" in command.launcher and option is not None and command.complete:
            yield from _named_twice(command, first, option)
            return
    if option is None and first is None and command.complete:
        yield from _unnamed(case, command)


def _serve_twice(command: Command, word: Argument) -> Verdict:
    return Verdict(
        command.place_of(word),
        "the image starts the server itself, so this is read as the name of the model",
        proposals=(Proposal("take serve out", True, lambda: rewording.removed(command, word)),),
        severity=Severity.ERROR,
        key="serve",
    )


def _named_twice(command: Command, first: Argument, option: Argument) -> Iterator[Verdict]:
    if first.value_is_unknown or first is not command.arguments[0]:
        return
    same = first.value == option.value
    yield Verdict(
        command.place_of(option),
        "the model stands here and as the positional argument" + ("" if same else ", which wins"),
        related=(Related(command.place_of(first), "the model that is served"),),
        proposals=(Proposal(f"take {option.written} out", same, lambda: rewording.removed(command, option)),),
        severity=Severity.INFO if same else Severity.WARNING,
        key="twice",
    )


def _unnamed(case: ContainerCase, command: Command) -> Iterator[Verdict]:
    pod = case.container.pod
    if pod is None or not guards.shows_all(case) or case.pool.model.is_known or not command.arguments:
        return
    if guards.waits_for_images(pod):
        return  # whoever sets the image completes the command, too
    flag = command.table.flag(_MODEL[command.engine])
    default = flag.default_at(case.pool.version.get(None)) if flag is not None else None
    stops = command.engine == "sglang"
    if stops:
        label = "no --model-path: SGLang requires one"
    else:
        label = "no model is named: vLLM serves its default" + (f", {default}" if default else "")
    yield Verdict(
        command.place_of(command.arguments[0]),
        label,
        proposals=(Proposal("name the model", False, None),),
        severity=Severity.ERROR if stops else Severity.WARNING,
        key="missing",
    )


@rule(
    "CLI115", "served-name-invalid", "Name of the served model that the engine refuses",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0", engines=("sglang",),
    inputs=("image tag",),
)  # fmt: skip
def served_name_invalid(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A colon in SGLang's `--served-model-name` (`qwen3:8b`, as other servers write it).

    ## Why it matters

    SGLang reads `model:adapter` in requests as a model with a LoRA adapter, and since 0.5.6 refuses to start under a name
    with a colon.

    ## How to fix

    Another name, and the same one in the clients and routers that ask for it.

    ## Certainty

    Proven, and an error, where the image's release is known and has the check. A warning where it is not known.

    ## References

    - SGLang, `python/sglang/srt/server_args.py`: `check_server_args`
    """
    command = case.container.command
    if command is None:
        return
    version = case.pool.version.get(None)
    known = version is not None and flag_history.covers(command.table, version)
    if known and version is not None and version < _NO_COLON_SINCE:
        return
    for argument, _, value in stated(case):
        if argument.name != "--served-model-name" or ":" not in value or value.startswith(_STORES):
            continue
        certain = known and is_certain(case, command) and is_written(argument)
        yield Verdict(
            command.place_of(argument),
            "a colon is refused: model:adapter names a LoRA adapter",
            arithmetic=(f"SGLang refuses it since {_NO_COLON_SINCE}",),
            proposals=(Proposal(f"a name without colons, such as {value.replace(':', '-')}", False, None),),
            severity=Severity.ERROR if certain else Severity.WARNING,
            certainty=Certainty.PROVEN if certain else Certainty.HEURISTIC,
        )
