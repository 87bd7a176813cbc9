"""TGI's cache: what the largest prefill it admits leaves free, less a margin.

``flash_causal_lm.py`` ``warmup``: 2.x took 0.95 of what was free after the prefill; since 3.0 0.90 of the share (0.95 at first,
``TGI_WIGGLE_ROOM``) stands for the device. The prefill's memory stays with the allocator while that is measured. Up to 2.x it
computed logits of every token of the prompts and their softmax (``REQUEST_LOGPROBS``, off since 3.0): Llama 3.1 70B on two A100
had 30816 tokens after a prefill of 10049 (issue 2744), of which the logits are 7.2 GiB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.capacity import shape, stated
from servelint.capacity.limits import readings, version_of
from servelint.capacity.regimes import hull
from servelint.estimate import Estimate
from servelint.records import NamedTuple

if TYPE_CHECKING:
    from servelint.deployment import Pool

_FREE = 0.95
_OF_ALL = (0.90, 0.85, 0.95)
_DEFAULT_INPUT, _ROOM = 4095, 50  # of 2.x
_PREFILL_SINCE_3 = 4096


class TgiTerms(NamedTuple):
    """What stands against the device, in bytes."""

    budget: Estimate
    activation: Estimate
    left: Estimate
    formula: str


def _stated_input(pool: Pool) -> int | None:
    """``--max-input-tokens`` or its older name, on the command line or in the environment; None where neither can be read."""
    for name in ("--max-input-tokens", "--max-input-length"):
        text = stated.flag(pool, name)
        if text is None:
            text = stated.variable(pool, name.removeprefix("--").replace("-", "_").upper())
        if text and text.isdecimal():
            return int(text)
    return None


def prefill_tokens(pool: Pool) -> int:
    """The largest prefill where ``--max-batch-prefill-tokens`` does not say: up to 2.x the longest input and 50 more, since 3.0
    4096 whatever the input, but for what the compute or the memory of the device suggest (``launcher/src/main.rs``)."""
    version = version_of(pool)
    if version is not None and version >= (3, 0, 0):
        return _PREFILL_SINCE_3
    longest_input = _stated_input(pool)
    if longest_input is not None:
        return longest_input + _ROOM
    longest = pool.max_model_len.get(0)
    return min(_DEFAULT_INPUT, longest) + _ROOM if longest else _DEFAULT_INPUT + _ROOM


def _logits(pool: Pool, element: float) -> Estimate:
    """Of every token of a prefill in the model's dtype, and at most their softmax in 32 bits beside them."""
    tokens = readings(pool.max_num_batched_tokens) or (prefill_tokens(pool),)
    values = max(tokens) * float(shape.vocabulary(pool.architecture.value))
    return Estimate(0.0, values * (element + 4), values * (element + 8))


def accounted(pool: Pool, device: Estimate, weights: Estimate, forward: Estimate, overhead: Estimate, element: float) -> TgiTerms:
    """The terms of the release, or of both accounts where it is open."""
    version = version_of(pool)
    shares = [float(share) for share in readings(pool.gpu_memory_utilization) or (1.0,)]
    found = []
    if version is None or version >= (3, 0, 0):
        budget = hull([device.times(share * margin) for share in shares for margin in _OF_ALL])
        left = budget.minus(weights).minus(forward).minus(overhead)
        found.append(TgiTerms(budget, forward, left, "share × margin × device − weights − prefill − context"))
    if version is None or version < (3, 1, 0):
        activation = forward.plus(_logits(pool, element))
        budget = hull([device.times(share) for share in shares])
        left = budget.minus(weights).minus(activation).minus(overhead)
        left = Estimate(*(part * _FREE if part > 0 else part for part in left))
        found.append(TgiTerms(budget, activation, left, "0.95 × (share × device − weights − prefill − context)"))
    if len(found) == 1:
        return found[0]
    return TgiTerms(
        hull([f.budget for f in found]), hull([f.activation for f in found]), hull([f.left for f in found]), found[0].formula
    )
