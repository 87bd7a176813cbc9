"""PAR221: how the draft model of speculative decoding is laid out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.finding import Certainty, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint_rules.places import place_of, related

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import PoolCase

_KEY = "draft_tensor_parallel_size"


@rule(
    "PAR221", "draft-tp-invalid", "The draft model cannot be laid out like this",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.POOL, since="0.1.0",
    engines=("vllm",),
)  # fmt: skip
def draft_tp_invalid(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    In vLLM's `--speculative-config`: that `draft_tensor_parallel_size` is 1 or the tensor-parallel size, and that it is not
    written as `tensor_parallel_size`.

    ## Why it matters

    The draft runs on the ranks of the model, on all of them or on each alone. vLLM refuses anything else: "cannot be other
    value than 1 or target model tensor_parallel_size".

    ## How to fix

    `1`, or leave the key out: then it is that of the model.

    ## Certainty

    Proven from vLLM's own check.

    ## References

    - vLLM, `vllm/config/speculative.py`, `_verify_and_get_draft_tp`
    """
    pool = case.pool
    if not pool.speculative.is_stated:
        return
    import json  # lazy: few pools speculate

    try:
        config: Any = json.loads(pool.speculative.value)
    except ValueError:
        return  # CLI113 has the word
    if not isinstance(config, dict):
        return
    place = place_of(pool, pool.speculative)
    if _KEY not in config and "tensor_parallel_size" in config:
        yield Verdict(place, f"the key is {_KEY}, not tensor_parallel_size", key="name")
    size = config.get(_KEY)
    if not isinstance(size, int) or isinstance(size, bool):
        return
    tensor = pool.tensor.value
    if size not in {1, tensor}:
        yield Verdict(
            place,
            f"{_KEY} {size} is neither 1 nor the model's {tensor}",
            related=related(place, (pool.tensor, f"tensor-parallel size {tensor}")),
            key="size",
        )
