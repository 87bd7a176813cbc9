"""Access to the model: tokens of the hub, where they are written, and models that nothing can fetch."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from servelint.engines.command import TRUE
from servelint.facts import Place
from servelint.finding import Certainty, Proposal, Related, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint.source.nodes import ScalarNode
from servelint_rules import guards, listening, pods
from servelint_rules.places import place_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import ContainerCase
    from servelint.deployment import Container, Pool

# Variables from which huggingface_hub (utils/_auth.py) and text-generation-inference take the token.
_TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_HUB_TOKEN", "HF_API_TOKEN", "HUGGINGFACE_TOKEN", "HF_ACCESS_TOKEN")
# Variables by which the files come from elsewhere than huggingface.co.
_ELSEWHERE = ("HF_ENDPOINT", "VLLM_USE_MODELSCOPE", "SGLANG_USE_MODELSCOPE", "HF_TOKEN_PATH")
# What is no token but the place of one: a bare prefix.
_UNFILLED = frozenset(("", "hf_"))


@rule(
    "K8S610", "gated-model-without-token", "Gated model, and no token to fetch it with",
    severity=Severity.WARNING, certainty=Certainty.HEURISTIC, scope=Scope.CONTAINER, since="0.1.0",
    formats=(*guards.TEMPLATED, "compose"),
)  # fmt: skip
def gated_model_without_token(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A model of a family that the Hugging Face hub gives only to accounts that accepted its licence (Llama, Gemma 1 to 3), in
    a container without `HF_TOKEN` (or with an empty one), without `envFrom`, and without a volume or init container that may
    hold the files.

    ## Why it matters

    The hub answers 401, and the engine ends with "Cannot access gated repo" or, misleadingly, "Repository Not Found", after
    the GPUs were allotted and the image pulled.

    ## How to fix

    Set `HF_TOKEN` from a Secret, of an account that has accepted the licence.

    ## Certainty

    Heuristic: a gate may be lifted, an image may hold the model. The list of families is in `gated_models.py`.

    ## References

    - [Hugging Face: gated models](https://huggingface.co/docs/hub/models-gated)
    - [GenAIInfra#100](https://github.com/opea-project/GenAIInfra/issues/100)
    """
    container, pool = case.container, case.pool
    if not pool.model.is_known or not _fetches(container, pool) or not pods.is_first(container, pool):
        return
    from servelint_rules import gated_models  # lazy, as below: few engines have to fetch their model
    from servelint_rules.hub import OFFLINE

    variables = container.environment
    empty = None
    for name in (*_TOKENS, *_ELSEWHERE, *OFFLINE):
        fact = variables.get(name)
        if fact is None:
            continue
        if not fact.is_known or fact.value not in _UNFILLED:
            return
        empty = fact
    if not gated_models.is_gated(pool.model.value):
        return
    place = empty.place if empty is not None and empty.place is not None else place_of(pool, pool.model)
    how = "the token is empty" if empty is not None else "the container gets no HF_TOKEN"
    yield Verdict(
        place,
        f"{pool.model.value} is gated, and {how}",
        proposals=(Proposal("set HF_TOKEN from a Secret (secretKeyRef)", False, None),),
    )


def _fetches(container: Container, pool: Pool) -> bool:
    """The engine has to fetch its model from the hub: nothing that is mounted, and no option, says otherwise."""
    command, pod = container.command, container.pod
    if command is None or not command.complete or pool.model.get("/").startswith("/") or pool.model.get("").count("/") != 1:
        return False
    if any(command.last(flag) is not None for flag in ("--hf-token", "--download-dir", "--model-loader-extra-config")):
        return False
    from servelint_rules.hub import reads_a_path

    if reads_a_path(container):
        return False  # what is fetched there is fetched by somebody else
    if pod is not None:
        return guards.may_lack(pod) and not pods.has_content(pod, container.node)
    return all(container.node.get(key) is None for key in ("volumes", "env_file", "secrets", "build", "extends"))


@rule(
    "K8S617", "hf-token-literal", "Token of the hub written into the manifest",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0",
)  # fmt: skip
def hf_token_literal(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A variable with the hub's token (`HF_TOKEN` and its older names) whose value is a token, or `$NAME`, which Kubernetes does
    not replace.

    ## Why it matters

    A token in a manifest is in the history of the repository, in the cluster's objects and in every log of an apply; whoever
    reads one of them can read and, by its rights, write as its owner. And `value: $HF_TOKEN` is passed on as these nine
    characters: Kubernetes replaces `$(NAME)` only. The hub refuses such a token even for models that need none.

    ## How to fix

    Revoke a token that was committed. Take it from a Secret: `valueFrom: {secretKeyRef: {name: hf-token, key: token}}`.

    ## Certainty

    Proven for tokens by their form (`hf_` and 30 letters or more). `$NAME` is a warning: a tool such as envsubst may fill it
    in before the manifest is applied.

    ## References

    - [Hugging Face: access tokens](https://huggingface.co/docs/hub/security-tokens)
    - [Kubernetes: dependent environment variables](https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/)
    """
    container = case.container
    if container.pod is None:
        return
    for item in container.node.elements_at("env"):
        value, name = item.get("value"), item.text_at("name") or ""
        if name not in _TOKENS or not isinstance(value, ScalarNode):
            continue
        real = re.fullmatch(r"hf_[A-Za-z0-9]{30,}", value.text) is not None
        if not real and re.fullmatch(r"\$\{?[A-Za-z_]\w*\}?", value.text) is None:
            continue
        label = (
            f"{name} is a token in clear text" if real else f"{name} is the text {value.text}: Kubernetes replaces only $(NAME)"
        )
        yield Verdict(
            Place.of(container.document, value),
            label,
            proposals=(Proposal("take it from a Secret (valueFrom: secretKeyRef)", False, None),),
            severity=Severity.ERROR if real else Severity.WARNING,
            certainty=Certainty.PROVEN if real else Certainty.HEURISTIC,
            key=f"{container.name} {name}",
        )


@rule(
    "K8S619", "offline-without-cache", "Offline, and nothing that holds the model",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0",
    formats=(*guards.TEMPLATED, "compose"),
)  # fmt: skip
def offline_without_cache(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    `HF_HUB_OFFLINE` (or `TRANSFORMERS_OFFLINE`) switched on for a model that is named by its id on the hub, in a container
    without a volume or init container from which its files could come.

    ## Why it matters

    Offline, the hub's library looks in its cache only, and the cache of a fresh container is empty. The engine ends with
    "Cannot find the requested files in the disk cache and outgoing traffic has been disabled".

    ## How to fix

    Mount the cache (`HF_HOME`) from a claim that holds the model, or let the engine go to the hub.

    ## Certainty

    Proven for images of the engine's project, which hold no model. For others a warning: the model may be in the image.

    ## References

    - [huggingface_hub: HF_HUB_OFFLINE](https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables#hfhuboffline)
    """
    container, pool = case.container, case.pool
    if not pool.model.is_known or not _fetches(container, pool) or container.command is None:
        return
    from servelint_rules.hub import OFFLINE

    switches = [container.environment.get(name) for name in OFFLINE]
    on = [fact for fact in switches if fact is not None and fact.is_known and fact.value.lower() in TRUE]
    if not on:
        return
    certain = listening.is_release(container.command)
    place = on[0].place or container.place
    model = pool.model.place
    yield Verdict(
        place,
        f"{pool.model.value} cannot be fetched, and no volume holds it",
        related=(Related(model, "the model"),) if model is not None and model != place else (),
        proposals=(Proposal("mount a volume that holds the model, or remove the switch", False, None),),
        severity=Severity.ERROR if certain else Severity.WARNING,
        certainty=Certainty.PROVEN if certain else Certainty.HEURISTIC,
        key=container.name,
    )
