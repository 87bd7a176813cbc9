"""SEC: code that comes with the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.finding import Certainty, Proposal, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint_rules import revisions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import ContainerCase


@rule(
    "SEC101", "trust-remote-code-unpinned", "Remote code allowed at no pinned revision",
    severity=Severity.WARNING, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0",
)  # fmt: skip
def trust_remote_code_unpinned(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    `--trust-remote-code` (or TGI's `TRUST_REMOTE_CODE`) with a model from the hub and without `--revision` or
    `--code-revision`. Models from a local path or an object store are left out: their code is the one that lies there.

    ## Why it matters

    The option runs Python from the model's repository in the serving container, with its GPUs, its network and its tokens.
    Without a revision that is whatever the repository's main branch holds when the pod starts: whoever can push there runs
    code in the cluster.

    ## How to fix

    Pin the commit that was reviewed: `--revision=<commit>`. Many models that once needed the option no longer do; leave it
    out where the engine has the architecture itself.

    ## Certainty

    Proven: both are on the command line, or are not. Command lines that may have further arguments are not judged.

    ## References

    - Hugging Face Transformers, `trust_remote_code` and `revision`
    - text-generation-inference, `launcher/src/main.rs`: the help of `--trust-remote-code` asks for a revision
    """
    place = revisions.trusts_code(case)
    command, pod = case.container.command, case.container.pod
    if pod is not None and pod.partial:
        return
    if place is None or command is None or not command.complete or revisions.pinned(case):
        return
    model = revisions.hub_model(case)
    if model is None:
        return
    yield Verdict(
        place,
        f"whatever code {model} holds when the pod starts may run here",
        proposals=(Proposal("--revision=<the commit that was reviewed>", False, None),),
        key="revision",
    )
