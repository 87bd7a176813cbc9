"""SEC: which revision of a model is served."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.engines.command import Form
from servelint.finding import Certainty, Proposal, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint_rules import guards
from servelint_rules.engine_options import flag_place, options
from servelint_rules.hub import MODEL_FLAGS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import ContainerCase
    from servelint.facts import Place

_REVISIONS = ("--revision", "--code-revision")
_TRUSTING = frozenset(("--trust-remote-code", "--trust_remote_code"))


def pinned(case: ContainerCase) -> bool:
    """The command line, or TGI's environment, names a revision of the model."""
    command = case.container.command
    if command is not None and any(command.last(name) is not None for name in _REVISIONS):
        return True
    return case.container.engine == "tgi" and case.container.variable("REVISION") is not None


def hub_model(case: ContainerCase) -> str | None:
    """The model's id where the command line (or TGI's environment) itself names it, so that it comes from the hub.

    None for a path, a folder of a cache, and a model that a controller fetches.
    """
    command, model = case.container.command, case.pool.model
    if command is None or not model.is_known or "/" not in model.value:
        return None
    first = command.arguments[0] if command.arguments else None
    for argument in command.arguments:
        names = argument.name in MODEL_FLAGS or (argument is first and argument.form is Form.POSITIONAL)
        if names and (argument.value or "").strip() == model.value:
            return model.value
    variable = case.container.variable("MODEL_ID") if case.container.engine == "tgi" else None
    return model.value if variable is not None and variable.get("") == model.value else None


def trusts_code(case: ContainerCase) -> Place | None:
    """Where remote code is allowed; None where it is not."""
    command = case.container.command
    for argument in options(case):
        if argument.name in _TRUSTING and argument.form is not Form.JAMMED and (argument.value or "true").lower() == "true":
            negated = argument.flag is not None and argument.flag.negates(argument.written)
            if command is not None and not negated:
                return flag_place(command, argument)
    variable = case.container.variable("TRUST_REMOTE_CODE") if case.container.engine == "tgi" else None
    return variable.place if variable is not None and variable.get("").lower() in ("true", "1") else None


@rule(
    "SEC102", "model-revision-unpinned", "Model without a revision",
    severity=Severity.INFO, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0", engines=guards.ENGINES, advice=True,
)  # fmt: skip
def model_revision_unpinned(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    Models that are named by their id on the hub without `--revision`. With `--trust-remote-code` it is SEC101.

    ## Why it matters

    The engine takes the repository's main branch at every start. Weights, configuration, tokenizer and chat template may
    change under a running deployment: replicas that started on different days answer differently, and what a review or a
    load test showed no longer holds.

    ## How to fix

    `--revision=<commit>`, the commit that was tested.

    ## Certainty

    Proven; a recommendation, not a fault. Command lines that may have further arguments are not judged.

    ## References

    - vLLM, `vllm/config/model.py`; SGLang, `python/sglang/srt/server_args.py`: `revision`
    """
    command, pod = case.container.command, case.container.pod
    if command is None or not command.complete or pinned(case) or (pod is not None and pod.partial):
        return
    model = hub_model(case)
    place = case.pool.model.place
    if model is None or place is None or trusts_code(case) is not None:
        return
    yield Verdict(
        place,
        f"{model} is taken as its main branch is when the pod starts",
        proposals=(Proposal("--revision=<the commit that was tested>", False, None),),
        key="revision",
    )
