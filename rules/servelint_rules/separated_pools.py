"""DIS703 and DIS712: pools of one phase only, whether the other one is there and each is tuned for its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.deployment import Role
from servelint.finding import Certainty, Proposal, Related, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint_rules import guards
from servelint_rules.disaggregation import joined
from servelint_rules.kv_transfer import command_of, transfer_of
from servelint_rules.places import place_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import GroupCase, WorkspaceCase
    from servelint.deployment import Deployment
    from servelint.facts import Fact


@rule(
    "DIS703", "unpaired-role", "Prefill without decode, or decode without prefill",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.WORKSPACE, since="0.1.0",
    inputs=("other files of the run",),
)  # fmt: skip
def unpaired_role(case: WorkspaceCase) -> Iterator[Verdict]:
    """
    ## What it checks

    Prefill and decode pools of vLLM that belong together, of which one configures a KV connector and the other none. In a
    run that is said to hold every file (`--complete`) also pools whose command line makes them prefill or decode instances,
    in a namespace in which nothing plays the other part.

    ## Why it matters

    A prefill instance answers with a KV cache that nobody fetches, a decode instance waits for one that nobody computes
    (or computes it itself, and the separation is for nothing). Requests hang or fail although all pods are ready.

    ## How to fix

    Give both pools a `--kv-transfer-config`, with the same connector. Add the pool that is missing, or let this one serve
    both phases (`kv_both`, no `--disaggregation-mode`).

    ## Certainty

    Proven: for two pools from their command lines, where those are complete. That a pool is missing is only said where the
    run holds every file; otherwise it may stand in a file that was not named.

    ## References

    - [vLLM: disaggregated prefilling](https://docs.vllm.ai/en/stable/features/disagg_prefill/)
    - [SGLang: PD disaggregation](https://docs.sglang.io/advanced_features/pd_disaggregation.html)
    """
    for group in case.groups:
        yield from _one_end(group)
    if not case.complete:
        return
    grouped = {id(pool.pool) for group in case.groups for pool in group.pools}
    for deployment in case.deployments:
        if deployment.plan is not None or deployment.format == "engine-config":
            continue
        for pool in deployment.pools:
            other = {Role.PREFILL: Role.DECODE, Role.DECODE: Role.PREFILL}.get(pool.role)
            if other is None or id(pool) in grouped or any(c.pod is not None and c.pod.partial for c in pool.containers):
                continue
            if not any(_plays(each, other) for each in case.deployments if _namespace(each) in ("", _namespace(deployment))):
                yield Verdict(
                    pool.place,
                    f"a {pool.role.value} instance, and no file of the run has a {other.value} instance for it",
                    proposals=(Proposal(f"add the {other.value} pool, or serve both phases here", False, None),),
                    key=pool.name,
                )


def _one_end(group: GroupCase) -> Iterator[Verdict]:
    """Pools without a connector beside pools of the other role that have one."""
    pairs = [(p, d) for p in group.of_role(Role.PREFILL) for d in group.of_role(Role.DECODE)]
    for one, other in (*pairs, *((d, p) for p, d in pairs)):
        command, theirs = command_of(one.pool), command_of(other.pool)
        transfer = transfer_of(theirs)
        if transfer is None or theirs is None or command is None or not command.complete or command.engine != "vllm":
            continue
        if one.deployment.format not in guards.TEMPLATED or not guards.is_complete(one.pool.containers[0].pod):
            continue
        if any(a.name == "--kv-transfer-config" for a in command.arguments) or "dynamo" in command.launcher:
            continue
        connector = transfer.connectors[0]
        yield Verdict(
            one.pool.place,
            f"the {other.pool.role.value} pool {other.pool.name} hands the KV cache over through {connector}, and this "
            f"{one.pool.role.value} pool has no connector",
            arithmetic=joined(group),
            related=(Related(theirs.place_of(transfer.argument), f"the connector of {other.pool.name}"),),
            proposals=(Proposal(f"add --kv-transfer-config with {connector}", False, None),),
            key=f"connector {one.pool.name}",
        )


def _plays(deployment: Deployment, role: Role) -> bool:
    """It has a pool of the role, or one that may serve in it."""
    return any(pool.role is role or (pool.role is Role.SERVE and transfer_of(command_of(pool))) for pool in deployment.pools)


def _namespace(deployment: Deployment) -> str:
    return deployment.document.text_at("metadata", "namespace") or ""


@rule(
    "DIS712", "pd-pool-tuning-swapped", "Prefill tuned like decode, or decode like prefill",
    severity=Severity.INFO, certainty=Certainty.HEURISTIC, scope=Scope.GROUP, since="0.1.0",
    inputs=("other files of the run",), advice=True,
)  # fmt: skip
def tuning_swapped(case: GroupCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A decode pool that states more tokens per step (`max_num_batched_tokens`) than its prefill pool, and a prefill pool that
    states more sequences at once (`max_num_seqs`) than its decode pool.

    ## Why it matters

    Prefill is bound by arithmetic: a few thousand tokens fill the GPU, from one request or two. Decode is bound by memory
    bandwidth: it wants many sequences, each with one token. A decode pool that reserves activations for a large step has
    less KV cache, and a prefill pool that runs many requests at once delays all of their first tokens.

    ## How to fix

    Swap the two values, or leave both to the engine's defaults.

    ## Certainty

    Heuristic: the best values come from a load test. SGLang is left out: its decode instances never prefill, whatever their
    chunk is, and in a prefill instance the limit of running requests bounds a queue.

    ## References

    - [vLLM: optimization and tuning](https://docs.vllm.ai/en/stable/configuration/optimization/)
    """
    for prefill in case.of_role(Role.PREFILL):
        for decode in case.of_role(Role.DECODE):
            pairs = (
                (decode.pool, prefill.pool, "max_num_batched_tokens", "tokens per step", "decode", "prefill"),
                (prefill.pool, decode.pool, "max_num_seqs", "sequences at once", "prefill", "decode"),
            )
            if "sglang" in (prefill.pool.engine.get(""), decode.pool.engine.get("")):
                continue
            for more, less, name, what, role, other in pairs:
                large: Fact[int] = getattr(more, name)
                small: Fact[int] = getattr(less, name)
                if large.is_stated and small.is_stated and large.value > small.value and small.place is not None:
                    yield Verdict(
                        place_of(more, large),
                        f"{large.value} {what} in the {role} pool, {small.value} in the {other} pool",
                        related=(Related(small.place, f"the {other} pool"),),
                        key=f"{name} {prefill.pool.name} {decode.pool.name}",
                    )
