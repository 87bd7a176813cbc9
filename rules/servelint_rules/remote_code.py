"""SEC: code that comes with the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.finding import Certainty, Proposal, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint_rules import model_code, revisions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import ContainerCase
    from servelint.facts import Place


@rule(
    "SEC101", "trust-remote-code-unpinned", "Remote code allowed at no pinned revision",
    severity=Severity.WARNING, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0",
)  # fmt: skip
def trust_remote_code_unpinned(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    `--trust-remote-code` (or TGI's `TRUST_REMOTE_CODE`) with a model from the hub and without `--revision` or
    `--code-revision`, where the model's repository brings code (`auto_map` in its `config.json`) or may bring some. Models of
    families that bring none (Llama, Qwen2 and Qwen3, gpt-oss, …) are SEC107. Models from a local path or an object store are
    left out: their code is the one that lies there.

    ## Why it matters

    The option runs Python from the model's repository in the serving container, with its GPUs, its network and its tokens.
    Without a revision that is whatever the repository's main branch holds when the pod starts: whoever can push there runs
    code in the cluster.

    ## How to fix

    Pin the commit that was reviewed: `--revision=<commit>`. Many models that once needed the option no longer do; leave it
    out where the engine has the architecture itself.

    ## Certainty

    Proven: both are on the command line, or are not. Command lines that may have further arguments are not judged. Whether the
    repository brings code is taken from the configurations in the catalogue; of a model that is not there it is not known.

    ## References

    - Hugging Face Transformers, `trust_remote_code` and `revision`; `AutoConfig.from_pretrained` runs what `auto_map` names
    - text-generation-inference, `launcher/src/main.rs`: the help of `--trust-remote-code` asks for a revision
    """
    found = _unpinned(case)
    if found is None:
        return
    place, model = found
    code = model_code.brings_code(model, case.pool.architecture.get(None))
    if code is False:
        return
    label = (
        f"{model} brings code, and what its main branch holds when the pod starts may run here"
        if code
        else f"whatever code {model} holds when the pod starts may run here"
    )
    yield Verdict(place, label, proposals=(Proposal("--revision=<the commit that was reviewed>", False, None),), key="revision")


@rule(
    "SEC107", "trust-remote-code-needless", "Remote code allowed where the model brings none",
    severity=Severity.INFO, certainty=Certainty.HEURISTIC, scope=Scope.CONTAINER, since="0.1.0", advice=True,
)  # fmt: skip
def trust_remote_code_needless(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    `--trust-remote-code` without a revision for a model from the hub whose `config.json` names no code (no `auto_map`): Llama,
    Qwen2 and Qwen3, gpt-oss, DeepSeek-V4, GLM-5 and others that the engines and Transformers have built in.

    ## Why it matters

    Today nothing is run by it. It stays in the manifest as a standing permission: the day the repository, or the next model in
    its place, brings code, that code runs without anybody having decided so.

    ## How to fix

    Take the option out.

    ## Certainty

    Heuristic: the configuration was read once, and a tokenizer or processor may name code of its own. Advice.

    ## References

    - Hugging Face Transformers, `trust_remote_code`; `AutoConfig.from_pretrained` runs what `auto_map` names
    """
    found = _unpinned(case)
    if found is None or model_code.brings_code(found[1], case.pool.architecture.get(None)) is not False:
        return
    yield Verdict(
        found[0],
        f"{found[1]} brings no code of its own",
        proposals=(Proposal("take the option out", False, None),),
        key="needless",
    )


def _unpinned(case: ContainerCase) -> tuple[Place, str] | None:
    """(where remote code is allowed, the model on the hub whose revision nothing states); None where there is none such."""
    command, pod = case.container.command, case.container.pod
    if command is None or not command.complete or (pod is not None and pod.partial):
        return None
    place = revisions.trusts_code(case)
    if place is None or revisions.pinned(case):
        return None
    model = revisions.hub_model(case)
    return (place, model) if model is not None else None
