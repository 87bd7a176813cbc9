"""Readings of facts that may be open: the limits of a step, the workload, and the memory of a device, as intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from servelint.capacity.regimes import default_limits
from servelint.capacity.step import GIB
from servelint.engines.versions import VLLM_V1
from servelint.estimate import Estimate
from servelint.facts import FactState, UnknownFact

if TYPE_CHECKING:
    from servelint.catalogue.accelerators import Accelerator
    from servelint.deployment import Pool
    from servelint.engines.versions import Version
    from servelint.facts import Fact

_UNPRICED_STEP = 8192  # tokens of a step where neither the manifest nor the engine limits it


def device_bytes(accelerator: Accelerator) -> Estimate:
    """Memory that the runtime reports, which is less than the marketed size. Raises :class:`UnknownFact`."""
    visible = accelerator.visible_bytes
    if visible is None:
        raise UnknownFact(
            "accelerator.memory", f"how much memory {accelerator.name} has is not known", "state accelerator.memory"
        )
    return Estimate(*visible)


def readings(fact: Fact[Any]) -> tuple[Any, ...]:
    """The values a fact may have: one, several, or none where nobody knows."""
    return fact.values if fact.state is not FactState.UNKNOWN else ()


def missing(fact: Fact[Any]) -> NoReturn:
    """Raise the :class:`UnknownFact` of a fact that has no single value, with its reason and remedy."""
    fact.value  # noqa: B018
    raise AssertionError(f"{fact.name} is known")


def version_of(pool: Pool) -> Version | None:
    return pool.version.value if pool.version.is_known else None


def _whole_prompt(pool: Pool) -> int | None:
    """Tokens of a step of V0 that is a whole prompt: it cut prompts into chunks only beyond 32768 tokens of context and never of
    multimodal models (``vllm/engine/arg_utils.py`` 0.6), so its activations grew with the length that it accepts, stated or the
    model's own (vllm-project/vllm issue 10517)."""
    version = version_of(pool)
    longest = served_length(pool) if version is not None and version < VLLM_V1 else None
    if longest is None or (longest > 32768 and not (pool.architecture.is_known and pool.architecture.value.vision)):
        return None
    return max(2048, longest)


def _unsplit(pool: Pool, step: Estimate) -> Estimate:
    """A step that holds a whole prompt, as the prompts are not split; of vLLM only where it lets that be turned off."""
    longest = served_length(pool) or 1
    if pool.engine.get("") == "vllm":
        from servelint.engines.vllm_batch import splits_always  # lazily: few turn it off

        always = splits_always(version_of(pool))
        if always is not False:
            return step if always else step.at_least(longest)._replace(low=step.low)
    return step.at_least(longest)


def step_limits(pool: Pool, accelerator: Accelerator) -> tuple[Estimate, Estimate]:
    """Tokens and sequences of one step: stated, else what the engine's defaults may be."""
    tokens, sequences = readings(pool.max_num_batched_tokens), readings(pool.max_num_seqs)
    if pool.engine.get("") == "vllm":
        device = device_bytes(accelerator).mid / GIB
        tiers = default_limits(version_of(pool), device, accelerator.name)
        if not tokens and (whole := _whole_prompt(pool)):
            tokens = (whole,)
        tokens = tokens or tuple(tier[0] for tier in tiers)
        sequences = sequences or tuple(tier[1] for tier in tiers)
    else:
        if not tokens and pool.engine.get("") == "tgi":
            from servelint.capacity.tgi_pool import prefill_tokens  # lazily: only of TGI's pools

            tokens = (prefill_tokens(pool),)
        tokens = tokens or readings(pool.input_tokens_max) or readings(pool.max_model_len) or (_UNPRICED_STEP,)
        sequences = sequences or readings(pool.concurrency) or (1, 256)
    step = Estimate.spanning(*map(float, tokens))
    if pool.chunked_prefill.get(True) is False:
        step = _unsplit(pool, step)
    rows = Estimate.spanning(*map(float, sequences))
    return step.at_least(1), rows.at_least(1)


def output_tokens(pool: Pool) -> float:
    """Tokens a request generates: the mean, else the most; 0 where neither is stated."""
    for fact in (pool.output_tokens_mean, pool.output_tokens_max):
        if fact.is_known:
            return float(fact.value)
    return 0.0


def served_length(pool: Pool) -> int | None:
    """The longest sequence the engine accepts, stated or derived from the model; None where that is not known."""
    if pool.max_model_len.is_known:
        return int(pool.max_model_len.value)
    from servelint.capacity.model_length import unstated_length  # lazy: most manifests that care state their length

    derived = unstated_length(pool)
    return derived.tokens if derived is not None else None


def workload_tokens(pool: Pool) -> int | None:
    """Tokens of the longest request of the stated workload, within ``max_model_len``; None where none is stated."""
    if not pool.input_tokens_max.is_known:
        return None
    output = pool.output_tokens_max.value if pool.output_tokens_max.is_known else output_tokens(pool)
    total = int(pool.input_tokens_max.value + output)
    return min(total, pool.max_model_len.value) if pool.max_model_len.is_known else total


def speculates(pool: Pool) -> bool:
    """Whether speculative decoding is on, or may be: stated in a way that cannot be read."""
    stated = pool.speculative
    if stated.state is FactState.UNKNOWN:
        return stated.reason != "not stated"
    return any(str(value).strip().lower() not in {"", "none", "null", "false"} for value in stated.values)
