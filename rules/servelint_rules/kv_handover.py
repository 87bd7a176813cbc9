"""DIS710: the time that a KV cache travels from the prefill to the decode pool, against the time to first token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.deployment import Role
from servelint.facts import UnknownFact
from servelint.finding import Certainty, Proposal, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint_rules.figures import duration, gib
from servelint_rules.places import place_of, related

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import GroupCase

# Of the time to first token; what is spent on the way is not spent on computing.
_LARGEST_SHARE = 0.2


@rule(
    "DIS710", "kv-transfer-breaks-ttft", "Handing the KV cache over takes a large part of the time to first token",
    severity=Severity.WARNING, certainty=Certainty.HEURISTIC, scope=Scope.GROUP, since="0.1.0",
    inputs=("model", "accelerator", "targets"),
)  # fmt: skip
def transfer_breaks_ttft(case: GroupCase) -> Iterator[Verdict]:
    """
    ## What it checks

    The KV cache of the longest stated prompt, over the link of each GPU, against the time to first token that is to be met:
    more than a fifth of it is said.

    ## Why it matters

    With separated pools the first token waits for the cache to arrive (or the second one does, where the prefill pool sends
    the first). The cache of a long prompt has gigabytes: 10 GiB over a network card of 25 GB/s take 0.4 s.

    ## How to fix

    Keep the KV cache small (fp8, a model with latent attention or fewer KV heads), spread it over more ranks, give each GPU
    a faster link, or let short prompts be served by one pool.

    ## Certainty

    Heuristic: the share is a rule of thumb, and connectors overlap the transfer with the computation of later layers. The
    time itself is a lower bound: the link that the plan states, or the GPU's own fabric, which between hosts is slower.

    ## References

    - [vLLM: disaggregated prefilling](https://docs.vllm.ai/en/stable/features/disagg_prefill/)
    - DistServe, OSDI 2024, section 3.3
    """
    for prefill in case.of_role(Role.PREFILL) if case.of_role(Role.DECODE) else ():
        pool = prefill.pool
        if not (pool.target_ttft_seconds.is_known and pool.input_tokens_max.is_known):
            continue
        link = prefill.accelerator.link_bytes_per_second
        if link is None:
            name = prefill.accelerator.name
            raise UnknownFact(
                "accelerator.link", f"the link between the devices of {name} is not known", "state accelerator.link"
            )
        tokens, target = pool.input_tokens_max.value, pool.target_ttft_seconds.value
        size = prefill.memory.request_bytes(tokens)
        seconds = size / link
        if seconds <= _LARGEST_SHARE * target:
            continue
        place = place_of(pool, pool.target_ttft_seconds)
        yield Verdict(
            place,
            f"{duration(seconds)} s of {duration(target)} s go into handing over the KV cache of a prompt of {tokens} tokens",
            arithmetic=(f"{gib(size)} GiB on each GPU / {link / 1e9:.3g} GB/s = {duration(seconds)} s",),
            related=related(place, (pool.input_tokens_max, "the longest prompt")),
            proposals=(Proposal("a smaller KV cache (fp8), more ranks, or faster links", False, None),),
            key=pool.name,
        )
