"""PLN906-PLN908: whether a plan's memory claim holds the KV cache and the activations that its own workload makes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.finding import Certainty, Severity
from servelint.rulebook import Scope, rule
from servelint_rules import plan_kv_claims

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import PlanCase
    from servelint.finding import Verdict


@rule(
    "PLN906", "kv-not-accounted", "KV cache is missing from the memory claim, or a factor of it",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.PLAN, since="0.1.0", formats=("plan",),
    inputs=("model", "workload", "claims"),
)  # fmt: skip
def kv_not_accounted(case: PlanCase) -> Iterator[Verdict]:
    """
    ## What it checks

    That `claims.memory` has a `kv_cache`, unless its total exceeds the parts stated; and that the figure holds what the
    workload puts there: keys *and* values, the KV heads (not the attention heads), every request of a rank, at its length.
    A figure that is off by exactly one of these is said to lack it. Any figure is accepted that is right for a length the
    workload states (shortest, mean, longest, with or without the answer, or `max_model_len`); one that lies below what all
    requests need at their shortest is reported whatever the reason, as a warning: prompts with a common prefix share its
    cache.

    ## Why it matters

    At serving time the KV cache is the largest thing on the GPU after the weights, and often before them. A plan without
    it, or with half of it, fits on paper and preempts or does not start in fact.

    ## How to fix

    State `claims.memory.kv_cache` as layers × KV heads × head size × 2 × bytes × tokens × requests of one rank; the finding
    shows the product with the plan's own numbers.

    ## Certainty

    Proven: arithmetic on figures of the same document. A figure so rounded that it only nearly matches is a warning, and so is
    one that is too small without matching any mistake.

    ## References

    - `rules/servelint_rules/knowledge.yaml`, principle `kv_cache`
    - vLLM `vllm/v1/kv_cache_interface.py` (`FullAttentionSpec`: 2 × block size × KV heads × head size × bytes)
    - [DeepSeek-V2](https://arxiv.org/abs/2405.04434), section 2.1, for latent attention
    """
    found = plan_kv_claims.kv_claim(case)
    if found is not None and found.code == "PLN906":
        yield found.verdict


@rule(
    "PLN907", "kv-shard-wrong", "KV cache is divided over other ranks than hold it",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.PLAN, since="0.1.0", formats=("plan",),
    inputs=("model", "workload", "claims"),
)  # fmt: skip
def kv_shard_wrong(case: PlanCase) -> Iterator[Verdict]:
    """
    ## What it checks

    `claims.memory.kv_cache` against what one GPU holds: the cache of the requests of its own data-parallel rank, of the
    layers of its stage, of its share of the KV heads (tensor parallelism beyond their number copies them, and latent
    attention is never divided by it), of its share of the tokens under context parallelism. Reported is a figure that is
    off by exactly the degrees that were forgotten, or that divide nothing.

    ## Why it matters

    Per-GPU memory decides how many GPUs are bought. A cache not divided by DP doubles it; one divided by SP, or by more TP
    than there are KV heads, is out of memory at half of the load.

    ## How to fix

    Divide by min(TP, KV heads) × PP × DP × context parallelism, and by nothing else. SP and EP divide no KV cache: it
    belongs to the attention ranks, experts or not.

    ## Certainty

    Proven: the claim is the right figure times named degrees, and right for no length that the workload states. A figure
    so rounded that it only nearly matches is a warning.

    ## References

    - vLLM `vllm/config/model.py` (`get_num_kv_heads`: max(1, KV heads / TP)) and `vllm/config/parallel.py`
    - vLLM documentation, *Context parallel deployment*: what decode context parallelism divides
    - docs/knowledge.md, where a public knowledge file says otherwise
    """
    found = plan_kv_claims.kv_claim(case)
    if found is not None and found.code == "PLN907":
        yield found.verdict


@rule(
    "PLN908", "activation-over-layers", "Activations are counted once for every layer",
    severity=Severity.WARNING, certainty=Certainty.HEURISTIC, scope=Scope.PLAN, since="0.1.0", formats=("plan",),
    inputs=("model", "accelerator", "workload", "claims"),
)  # fmt: skip
def activation_over_layers(case: PlanCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A `claims.memory.activations` that equals tokens × hidden size × bytes × *layers*, over some of the degrees, and is more
    than twice the upper end of what a step of the engine needs.

    ## Why it matters

    Training keeps the activations of every layer for the backward pass. Inference keeps those of one layer: the next
    overwrites them, and a step holds at most `max_num_batched_tokens` of all the tokens there are. What is set aside for
    them is missing from the KV cache.

    ## How to fix

    Claim the peak of one layer over the tokens of one step; `servelint derive` prints an estimate.

    ## Certainty

    Heuristic: that the figure equals the product is arithmetic, that it was computed so is a guess that fits.

    ## References

    - vLLM `vllm/v1/worker/gpu_worker.py` (`determine_available_memory`: the peak of one profiled step)
    - [Korthikanti et al., *Reducing activation recomputation*](https://arxiv.org/abs/2205.05198), for what training keeps
    """
    yield from plan_kv_claims.activation_verdicts(case)
