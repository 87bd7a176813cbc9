"""PLN, PAR219: what a native plan says of itself against what follows from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.finding import Certainty, Severity
from servelint.rulebook import Scope, rule
from servelint_rules import plan_claims, plan_reasoning, plan_throughput

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import PlanCase
    from servelint.finding import Verdict


@rule(
    "PLN901", "utilisation-arithmetic", "Claimed memory utilization is not total / capacity",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.PLAN, since="0.1.0", formats=("plan",), fixable=True,
    inputs=("accelerator", "claims"),
)  # fmt: skip
def utilisation_arithmetic(case: PlanCase) -> Iterator[Verdict]:
    """
    ## What it checks

    `claims.memory.utilization`, of the plan and of each of its `alternatives`, against `claims.memory.total` (or the sum of
    its parts, where no total is given) divided by the memory of one GPU, to half a percentage point. A memory stated in
    the plan is taken as it stands. Of an accelerator from the catalogue every reading counts: its marketed size in GB,
    the same in GiB, and what the engine sees of it; with `limits.gpu_memory_utilization`, its share of each.

    ## Why it matters

    Utilization is the figure that decisions are made by: "30 % used" calls for fewer GPUs, "36 %" may not. 23.19 GB of
    64 GB is 36.2 %; a plan that says 30.2 % was not computed from its own figures.

    ## How to fix

    Write the utilization that follows (`--fix` does). If the percentage is the one that was measured, correct the total or
    the capacity instead: the finding says which total it would stand for.

    ## Certainty

    Proven: a quotient of two figures of the same document, reported only if none of the readings of the capacity gives it.

    ## References

    - vLLM `vllm/v1/worker/gpu_worker.py`: a share of the device's total memory
    """
    yield from plan_claims.utilization_verdicts(case)


@rule(
    "PLN902", "memory-sum", "Parts of the memory claim do not add up to its total",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.PLAN, since="0.1.0", formats=("plan",), fixable=True,
    inputs=("claims",),
)  # fmt: skip
def memory_sum(case: PlanCase) -> Iterator[Verdict]:
    """
    ## What it checks

    `claims.memory.total`, of the plan and of its `alternatives`, against the sum of `weights`, `kv_cache`, `activations`
    and `overhead`, to 1 % (or to the rounding of the figures as written, at most 5 %). Where some parts are not given,
    only a sum above the total is a fault. Figures in GB and GiB are converted, and a sum that only holds if they are
    taken for one unit is said to be that.

    ## Why it matters

    The total decides whether the model fits. A part that was forgotten in it, or 7.4 % lost between GB and GiB, is found
    at start-up as an out-of-memory error.

    ## How to fix

    Correct the part or the total that is wrong. The fix offered writes the sum; it is unsafe because the error may be in a
    part.

    ## Certainty

    Proven: a sum of figures of the same document.

    ## References

    - [NIST: prefixes for binary multiples](https://physics.nist.gov/cuu/Units/binary.html)
    """
    yield from plan_claims.memory_sum_verdicts(case)


@rule(
    "PLN903", "gpu-count-law", "Claimed GPU count is not what the degrees make",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.PLAN, since="0.1.0", formats=("plan",), fixable=True,
    inputs=("claims",),
)  # fmt: skip
def gpu_count_law(case: PlanCase) -> Iterator[Verdict]:
    """
    ## What it checks

    `claims.gpus`, of the plan and of each of its `alternatives`, against the GPUs that the degrees make by the law of
    the engine, summed over pools and replicas. Each engine multiplies some degrees (tensor, pipeline, data, the context
    parallelism of prefill) and runs others on ranks that are there already. A count that multiplies those as well is
    reported as PAR219.

    ## Why it matters

    With fewer GPUs than ranks the engine does not start; with more, some are paid for and idle.

    ## How to fix

    Claim the count that follows, or change a degree so that the GPUs you have are all used. The finding names the degree
    that was left out where exactly that explains the difference.

    ## Certainty

    Proven: the engine's own arithmetic, whose source the finding names.

    ## References

    - vLLM `vllm/config/parallel.py` (world_size, world_size_across_dp)
    - [Megatron Bridge: parallelisms](https://docs.nvidia.com/nemo/megatron-bridge/latest/parallelisms.html)
    """
    found = plan_claims.gpu_count_claim(case)
    for each in (*((found,) if found is not None else ()), *plan_claims.alternative_counts(case)):
        if each.code == "PLN903":
            yield each.verdict


@rule(
    "PAR219", "naive-multiplication", "GPU count multiplies degrees that share GPUs",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.PLAN, since="0.1.0", formats=("plan",), fixable=True,
    inputs=("claims",),
)  # fmt: skip
def naive_multiplication(case: PlanCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A `claims.gpus` that equals the engine's GPU count times one or more degrees that add no GPUs there: sequence
    parallelism runs on the tensor-parallel ranks, expert parallelism on the ranks of tensor and data parallelism, decode
    context parallelism and the attention data parallelism of SGLang and TensorRT-LLM inside the tensor-parallel group.

    ## Why it matters

    TP 2 × PP 2 × DP 2 with SP 2 is 8 GPUs, not 16. Multiplying every letter is the commonest error in plans; it doubles
    the budget, or has one GPU stand for several in the figures that follow.

    ## How to fix

    Claim the count that the law gives. Where the overlaying degree was meant to add GPUs, it is another degree: context
    parallelism of prefill, or data parallelism.

    ## Certainty

    Proven: the count is the product of the law and of named overlaying degrees. Any other count is PLN903.

    ## References

    - vLLM docs, *Expert parallel deployment*: EP_SIZE = TP_SIZE × DP_SIZE
    - [Megatron Bridge: parallelisms](https://docs.nvidia.com/nemo/megatron-bridge/latest/parallelisms.html)
    - SGLang `python/sglang/srt/server_args.py` (compute_world_size)
    """
    found = plan_claims.gpu_count_claim(case)
    for each in (*((found,) if found is not None else ()), *plan_claims.alternative_counts(case)):
        if each.code == "PAR219":
            yield each.verdict


@rule(
    "PLN904", "reasoning-order", "Reasoning does not follow the mandatory order",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.PLAN, since="0.1.0", formats=("plan",), fixable=True,
    inputs=("reasoning",),
)  # fmt: skip
def reasoning_order(case: PlanCase) -> Iterator[Verdict]:
    """
    ## What it checks

    `reasoning` against the knowledge file: the steps stand in its order (model structure, structural, operator, request);
    a step uses only steps above it or what they establish; it decides only degrees of its own kind; pipeline and expert
    parallelism above 1 have a `because`; every degree above 1 is decided by a step; and what a step decides is what the
    plan deploys. A plan without `reasoning` is not judged.

    ## Why it matters

    Each decision limits the next. Data parallelism decided first hides that the model would fit on fewer GPUs; a pipeline
    decided before the memory is known is the pipeline nobody needed.

    ## How to fix

    Bring the steps into order and decide each degree in its step. Where a decision contradicts what is deployed, correct
    the one that is out of date.

    ## Certainty

    Proven: the order is a policy, and the plan states its steps. An organization replaces the policy by its own knowledge
    file.

    ## References

    - `rules/servelint_rules/knowledge.yaml`
    """
    yield from plan_reasoning.order_verdicts(case)


@rule(
    "PLN905", "unit-scope-mismatch", "Throughput figure is of another unit or scope",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.PLAN, since="0.1.0", formats=("plan",), fixable=True,
    inputs=("model", "accelerator", "claims"),
)  # fmt: skip
def unit_scope_mismatch(case: PlanCase) -> Iterator[Verdict]:
    """
    ## What it checks

    First, `claims.throughput` (of the whole deployment) against `claims.throughput_per_gpu` × GPUs: reported where their
    quotient is exactly that of one scope taken for another (the figure of one GPU, of one replica) or of tokens/ms taken
    for tokens/s. Second, a claim per GPU beyond the hardware's bound in every reading of the model, where the same figure
    in another unit, or as the total of all GPUs, would lie below the bound of the parameters stated.

    ## Why it matters

    A factor of 1000 turns a plan that misses its target five times over into one that meets it 190 times over. It is the
    commonest slip wherever requirements are in tokens per millisecond and measurements in tokens per second.

    ## How to fix

    Write each figure in one unit and scope, and compare it with the target again.

    ## Certainty

    The first is proven: arithmetic within the document. The second is heuristic, and a warning: that the claim is
    impossible is proven (PLN916), what was meant instead is a guess that fits.

    ## References

    - PLN916 for the bound
    """
    yield from plan_throughput.scope_verdicts(case)


@rule(
    "PLN909", "params-vs-shape", "Parameter count does not fit the architecture",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.PLAN, since="0.1.0", formats=("plan",),
    inputs=("model",),
)  # fmt: skip
def params_vs_shape(case: PlanCase) -> Iterator[Verdict]:
    """
    ## What it checks

    `model.parameters` against the sum over the tensors of `model.architecture` (or of the catalogue's entry for
    `model.id`), to 10 %. Where the vocabulary is not stated, embeddings of up to a million entries are allowed for.

    ## Why it matters

    Weights, times and throughput follow from one number or the other. 16 layers of hidden size 512 are 42M parameters; a
    plan that calls them 10 billion gives every estimate two values that differ by a factor of 238.

    ## How to fix

    Correct the number or the shape. Until then servelint evaluates both, and calls a bound proven only where it holds in
    both.

    ## Certainty

    Proven: both are stated, and the sum over the tensors is exact for the architectures described.

    ## References

    - The model's `config.json` and the tensor index of its checkpoint
    """
    yield from plan_claims.parameter_verdicts(case)


@rule(
    "PLN916", "throughput-claim-above-roofline", "Claimed throughput is beyond the hardware's bound",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.PLAN, since="0.1.0", formats=("plan",),
    inputs=("model", "accelerator", "claims"),
)  # fmt: skip
def throughput_claim_above_roofline(case: PlanCase) -> Iterator[Verdict]:
    """
    ## What it checks

    `claims.throughput_per_gpu` (or `claims.throughput` over the GPUs) against the most that one GPU can compute: its peak
    divided by the floating-point operations of a token, twice the parameters that a token uses. Where stated parameters
    and shape disagree, the more favourable reading counts.

    ## Why it matters

    No layout, batch or engine passes this bound, so the claim was not measured on this hardware with this model. Capacity
    planned from it will be short by at least the factor shown.

    ## How to fix

    Look for a unit (tokens/ms, tokens/s), a scope (per GPU, total), a model of another size, or a count that includes
    tokens served from a prefix cache: such tokens are not computed, so claim the others.

    ## Certainty

    Proven: the peak is the highest that any listed source gives, every GPU is counted, and no other cost is.

    ## References

    - Kaplan et al., *Scaling laws for neural language models*, 2020, table 1: 2 operations per parameter and token
    - Williams et al., *Roofline: an insightful visual performance model*, 2009
    """
    yield from plan_throughput.beyond_roofline_verdicts(case)
