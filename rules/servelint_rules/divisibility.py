"""PAR203, PAR204: what else tensor parallelism has to divide, and what it cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.finding import Certainty, Proposal, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint_rules.changes import hosts_for, hosts_now, resized
from servelint_rules.figures import count
from servelint_rules.parallelism import largest_tensor_size
from servelint_rules.places import place_of, related
from servelint_rules.unaccounted import check_model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import PoolCase


@rule(
    "PAR203", "kv-heads-replicated", "More tensor-parallel ranks than KV heads: the KV cache is stored several times",
    severity=Severity.INFO, certainty=Certainty.PROVEN, scope=Scope.POOL, since="0.1.0",
    engines=("vllm", "sglang", "trtllm"), inputs=("model",), advice=True,
)  # fmt: skip
def kv_heads_replicated(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A tensor-parallel size above the model's number of KV heads, or above 1 for multi-head latent attention (DeepSeek, Kimi),
    without decode context parallelism or attention data parallelism.

    ## Why it matters

    KV heads are shared out like other heads, but there are few of them. Beyond their number each further rank holds a copy of
    the same keys and values: memory for the KV cache grows, the number of tokens in it does not.

    ## How to fix

    Fewer ranks and more replicas; or, where the weights need the ranks: decode context parallelism in vLLM
    (`--decode-context-parallel-size`), attention data parallelism in SGLang (`--enable-dp-attention`).

    ## Certainty

    Proven from the model's configuration. Advice: the ranks may be there for the weights or for speed.

    ## References

    - vLLM documentation, Context Parallel Deployment
    - vLLM, `vllm/config/model.py`, `get_num_kv_heads`
    """
    pool, layout = case.pool, case.layout
    ranks = layout.attention_tensor
    if ranks <= 1 or layout.decode_context > 1:
        return
    from servelint.capacity import shape  # lazy: only layouts with several GPUs need the model's shape

    heads = 1 if case.architecture.is_mla else shape.kv_heads(case.architecture)
    if ranks <= heads:
        return
    copies = ranks / heads
    place = place_of(pool, pool.tensor)
    kept = "one compressed latent per token" if case.architecture.is_mla else count(heads, "KV head")
    yield Verdict(
        place,
        f"each key and value is stored {copies:g} times: {ranks} ranks share {kept}",
        arithmetic=(f"{ranks} ranks / {heads} = {copies:g} copies",),
        related=related(place, (pool.model, kept)),
        proposals=(Proposal(f"tensor-parallel size {heads} and more replicas, or context parallelism", False, None),),
    )


@rule(
    "PAR204", "padded-vocab-not-divisible", "A width of the model cannot be divided over the tensor-parallel group",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.POOL, since="0.1.0",
    engines=("vllm",), fixable=True, inputs=("model",),
)  # fmt: skip
def padded_vocab_not_divisible(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    Where the attention heads can be divided: that the vocabulary (padded to a multiple of 64), the width of the feed-forward
    layers and, without expert parallelism, that of each expert are multiples of the tensor-parallel size too.

    ## Why it matters

    vLLM cuts each of them into equal parts and stops while it builds the model: "151936 is not divisible by 7". Sizes that
    are no power of two (3, 5, 6, 7) are the ones that fail.

    ## How to fix

    A size that divides everything; the finding names the largest.

    ## Certainty

    Proven, from the model's configuration and vLLM's own division.

    ## References

    - vLLM, `vllm/model_executor/layers/vocab_parallel_embedding.py`, `linear.py`; `vllm/distributed/utils.py`, `divide`
    """
    pool = case.pool
    size = pool.tensor.value
    if size <= 1 or size & (size - 1) == 0:
        return  # every width in use is a multiple of small powers of two
    check_model(case)
    from servelint.capacity import shape, tensors

    architecture, layout = case.architecture, case.layout
    if shape.heads(architecture) % size:
        return  # PAR202 has the word
    widths = [("padded vocabulary", tensors.padded_vocabulary(architecture, "vllm"), size)]
    kinds = {kind.mlp for kind in shape.layer_kinds(architecture)}
    if shape.DENSE in kinds:
        widths.append(("width of the feed-forward layers", tensors.dense_intermediate(architecture), size))
    if shape.MOE in kinds and layout.expert <= 1:
        widths.append(("width of each expert", tensors.expert_intermediate(architecture), layout.expert_shards))
    broken = [(name, width, ranks) for name, width, ranks in widths if width % ranks]
    if not broken:
        return
    best = largest_tensor_size(architecture, size)
    after = layout.with_(tensor=best)
    now = hosts_now(case)
    new = hosts_for(now, after.world_size) if now else None
    gpus = f" on {new}" if now and new and new != now else ""
    place = place_of(pool, pool.tensor)
    name, width, ranks = broken[0]
    yield Verdict(
        place,
        f"the {name}, {width}, cannot be shared by {ranks} GPUs",
        arithmetic=tuple(f"{name}: {width} / {ranks} = {width / ranks:.2f}" for name, width, ranks in broken),
        related=related(place, (pool.model, f"{name} {width}")),
        proposals=(
            Proposal(
                f"tensor-parallel size {best}{gpus}; fewer GPUs hold each copy of the model",
                False,
                lambda: resized(case, after, {"tensor": best}),
            ),
        ),
        severity=Severity.ERROR,
    )
