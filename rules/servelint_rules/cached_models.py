"""CLI122: a folder of the hub's cache that is another model's than the one the manifest declares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.facts import FactState
from servelint.finding import Certainty, Proposal, Severity, Verdict
from servelint.rulebook import Scope, rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import PoolCase
    from servelint.engines.command import Argument

_FOLDER = "models--"


@rule(
    "CLI122", "model-path-of-another-model", "The path in the command line is another model's",
    severity=Severity.WARNING, certainty=Certainty.PROVEN, scope=Scope.POOL, since="0.1.0",
)  # fmt: skip
def model_path_of_another_model(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A path of the Hugging Face cache (`…/models--org--name`) in the engine's command line against the model that the same
    manifest declares, and that its controller loads: llmaz' `modelClaims` with their OpenModel.

    ## Why it matters

    The controller downloads the declared model into a folder of that model's name. The folder in the command line stays
    empty, and the engine stops: "No such file or directory", or an invalid repository id. Where both models are on the disk,
    another one is served than everybody thinks.

    ## How to fix

    Write the path of the declared model, or declare the one that is meant.

    ## Certainty

    Proven that they disagree; a warning, because a volume may hold both.

    ## References

    - llmaz, `pkg/controller_helper/modelsource/modelhub.go`; huggingface_hub, `file_download.repo_folder_name`
    """
    pool = case.pool
    if pool.model.state is not FactState.CONFLICT:
        return
    values = {str(value).lower(): str(value) for value in pool.model.values}
    found = []
    for container in pool.containers:
        for argument in container.command.arguments if container.command is not None else ():
            named = _named(argument)
            if named.lower() in values and container.command is not None:
                found.append((container, container.command.place_of(argument), named))
    others = [value for key, value in values.items() if all(named.lower() != key for _, _, named in found)]
    if len(others) != 1:
        return  # the paths disagree among themselves, or none of them is one
    for container, place, named in found:
        folder = _FOLDER + others[0].replace("/", "--")
        yield Verdict(
            place,
            f"this is the folder of {named}; the manifest declares {others[0]}",
            proposals=(Proposal(f"the folder {folder}, or declare {named}", False, None),),
            key=container.name,
        )


def _named(argument: Argument) -> str:
    """The id (org/name) whose folder of the cache an argument's value is or lies in; "" where it is none."""
    value = argument.value if not argument.value_is_unknown else None
    folder = next((part for part in (value or "").split("/") if part.startswith(_FOLDER)), "")
    return folder.removeprefix(_FOLDER).replace("--", "/", 1)
