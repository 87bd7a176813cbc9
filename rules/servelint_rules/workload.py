"""Workload: how many requests of which length a pool must hold, as far as anybody says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.records import NamedTuple

if TYPE_CHECKING:
    from servelint.deployment import Pool
    from servelint.estimate import Estimate
    from servelint.facts import Fact


class Demand(NamedTuple):
    """``sequences`` requests at once over the whole replica, each of ``tokens`` tokens. ``stated``: by a workload."""

    sequences: int
    tokens: int
    stated: bool

    @property
    def words(self) -> str:
        return f"{self.tokens} tokens"


def output_tokens(pool: Pool) -> float:
    """The longest answer that the workload states, else its mean, else none."""
    if pool.output_tokens_max.is_known:
        return pool.output_tokens_max.value
    return pool.output_tokens_mean.get(0.0)


def longest_request(pool: Pool) -> int | None:
    """Tokens of the longest stated request; None where the workload states no length."""
    if not pool.input_tokens_max.is_known:
        return None
    return int(pool.input_tokens_max.value + output_tokens(pool))


def demand_of(pool: Pool) -> Demand:
    """What must fit: the stated workload at its longest, else one request of the longest accepted length (unknown: raises)."""
    longest = longest_request(pool)
    if pool.concurrency.is_known and longest is not None:
        return Demand(pool.concurrency.value, longest, True)
    return Demand(1, accepted_length(pool).tokens, False)


class Accepted(NamedTuple):
    """The longest request a pool must be able to hold. ``source``: where the length comes from, "" if it is ``max_model_len``.
    ``certain``: False where the engine may derive a shorter one."""

    tokens: int
    source: str = ""
    certain: bool = True


def accepted_length(pool: Pool) -> Accepted:
    """``max_model_len``; where nobody states one, what vLLM derives from the model, or the longest request of the workload.

    Raises :class:`UnknownFact` where nothing says so. The tokenizer's own limit counts too and is in no catalogue, so a
    derived length is not certain.
    """
    fact = pool.max_model_len
    if fact.is_known or fact.reason != "not stated":
        return Accepted(fact.value)
    if pool.engine.get("") == "vllm":  # SGLang starts with a smaller pool, too
        from servelint.capacity.model_length import unstated_length  # lazy: most manifests that care state their length

        derived = unstated_length(pool)
        if derived is not None:
            return Accepted(derived.tokens, "the model's own length", certain=False)
    longest = longest_request(pool)
    if longest:
        return Accepted(longest, "the longest request of the workload")
    return Accepted(fact.value)


def typical_tokens(pool: Pool) -> Estimate | None:
    """Tokens of a request: from the shortest to the longest stated, the mean (else the middle) between them."""
    from servelint.estimate import Estimate

    longest = longest_request(pool)
    if longest is None:
        return None
    answer = pool.output_tokens_mean.get(output_tokens(pool))
    low = pool.input_tokens_min.get(pool.input_tokens_max.value) + answer
    mean: Fact[float] = pool.input_tokens_mean
    middle = mean.value + answer if mean.is_known else (low + longest) / 2
    return Estimate(min(low, middle), middle, max(longest, middle))
