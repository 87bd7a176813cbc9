"""LIM: the limits of one scheduler step against each other: tokens, sequences, lengths."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from servelint.engines.versions import VLLM_V1
from servelint.finding import Certainty, Proposal, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint_rules.changes import edits_of, setting
from servelint_rules.places import place_of, related
from servelint_rules.workload import accepted_length

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import PoolCase
    from servelint.deployment import Pool

# The V0 engine cut prompts into chunks of its own accord from this length on (vllm/engine/arg_utils.py 0.7.3).
_V0_LONG_CONTEXT = 32768
# V1 overwrote --no-enable-chunked-prefill up to the first of these releases and honours it from the second on
# (vllm/engine/arg_utils.py, `_set_default_args` of 0.11.0 and `_set_default_args` of 0.11.2).
_CHUNKS_FORCED_UNTIL, _CHUNKS_OPTIONAL_FROM = (0, 11, 0), (0, 11, 2)
# The smallest default of a step's tokens (DEFAULT_MAX_NUM_BATCHED_TOKENS_FOR_BATCHED_DP, vllm/config/scheduler.py).
_LEAST_DEFAULT = 256


@rule(
    "LIM303", "batched-tokens-below-max-len", "max_num_batched_tokens below max_model_len without chunked prefill",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.POOL, since="0.1.0",
    engines=("vllm",), fixable=True, inputs=("image tag",),
)  # fmt: skip
def batched_tokens_below_max_len(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A stated `--max-num-batched-tokens` below `max_model_len` (stated, or the model's own) where prompts are not cut into
    chunks: chunked prefill is switched off, or the release is one before 0.8 that leaves it off at this length.

    ## Why it matters

    Without chunks a prompt is one step, and a step holds at most that many tokens. vLLM stops at start-up:
    "max_num_batched_tokens (…) is smaller than max_model_len (…)".

    ## How to fix

    Raise `--max-num-batched-tokens` to `max_model_len` (activations grow with it), take it out (the default is raised by
    itself), lower `--max-model-len`, or let prompts be cut into chunks.

    ## Certainty

    Proven, and an error, where the image names a release that honours the switch: V1 from 0.11.2 on, and releases before 0.8.
    From 0.8 to 0.11.0 V1 cut prompts all the same: then nothing is said. A warning where the release is not known, or where
    the length is derived from the catalogue.

    ## References

    - vLLM, `vllm/config/scheduler.py`, `verify_max_model_len`; `vllm/engine/arg_utils.py`, `_set_default_args`
    - [vllm#18547](https://github.com/vllm-project/vllm/issues/18547): the switch was overwritten
    - [verl#7632](https://github.com/verl-project/verl/pull/7632), [vllm#28981](https://github.com/vllm-project/vllm/issues/28981)
    """
    pool = case.pool
    tokens = pool.max_num_batched_tokens
    if not tokens.is_stated:
        return
    chunks = pool.chunked_prefill
    if chunks.get(False):
        return
    version = pool.version.get(None)
    early = version is not None and version < VLLM_V1
    accepted = accepted_length(pool)
    if tokens.value >= accepted.tokens:
        return
    whole = all(container.command is not None and container.command.complete for container in pool.containers)
    if not chunks.is_known and not (early and whole):
        chunks.value  # noqa: B018 - raises: whether prompts are cut cannot be told
    if early and not chunks.is_known and accepted.tokens > _V0_LONG_CONTEXT:
        return
    if version is not None and not early and version < _CHUNKS_OPTIONAL_FROM:
        if version <= _CHUNKS_FORCED_UNTIL and not _asks_for_v0(pool):
            return
        version = None  # between two releases that differ
    proven = version is not None and accepted.certain
    place = place_of(pool, tokens)
    source = f" ({accepted.source})" if accepted.source else ""
    why = "chunked prefill is off" if chunks.is_known else f"vLLM {version} cuts no prompts of up to {_V0_LONG_CONTEXT} tokens"
    yield Verdict(
        place,
        f"a step of {tokens.value} tokens holds no prompt of {accepted.tokens}{source}, and {why}",
        related=related(place, (pool.max_model_len, f"up to {accepted.tokens} tokens"), (chunks, "prompts are not cut")),
        proposals=(
            Proposal(
                f"{setting(case, 'max_num_batched_tokens', accepted.tokens)}; activations grow with it",
                False,
                partial(edits_of, tokens, accepted.tokens),
            ),
            Proposal("let prompts be cut into chunks: --enable-chunked-prefill", False, None),
        ),
        severity=Severity.ERROR if proven else Severity.WARNING,
        certainty=Certainty.PROVEN if proven else Certainty.HEURISTIC,
    )


def _asks_for_v0(pool: Pool) -> bool:
    variables = (container.environment.get("VLLM_USE_V1") for container in pool.containers)
    return any(variable is not None and variable.get("") == "0" for variable in variables)


@rule(
    "LIM304", "batched-tokens-below-max-seqs", "max_num_batched_tokens below max_num_seqs",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.POOL, since="0.1.0",
    engines=("vllm",), fixable=True, inputs=("image tag", "accelerator"),
)  # fmt: skip
def batched_tokens_below_max_seqs(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    That a step may hold one token of each sequence it may hold: `--max-num-seqs` as stated against `--max-num-batched-tokens`,
    stated or by the release's default for this GPU. A small `--max-num-batched-tokens` alone is fine: vLLM lowers its own
    default for the sequences to it.

    ## Why it matters

    vLLM stops at start-up: "max_num_batched_tokens (…) must be greater than or equal to max_num_seqs (…)".

    ## How to fix

    Lower `--max-num-seqs`, or raise `--max-num-batched-tokens`.

    ## Certainty

    Proven where both are stated: every release has the check. Where the tokens are a default that depends on a GPU or release
    which is not known, a warning, and only if some of the possible defaults are too small.

    ## References

    - vLLM, `vllm/config/scheduler.py`, `verify_max_model_len`
    """
    pool = case.pool
    sequences, tokens = pool.max_num_seqs, pool.max_num_batched_tokens
    if not sequences.is_stated or (not tokens.is_stated and sequences.value <= _LEAST_DEFAULT):
        return
    values = tokens.values or (tokens.value,)
    small = [value for value in values if value < sequences.value]
    if not small:
        return
    certain = tokens.is_stated or (len(small) == len(values) and pool.version.is_known)
    place = place_of(pool, sequences)
    source = "" if tokens.is_stated else f" ({tokens.origin.text})" if tokens.origin is not None else ""
    yield Verdict(
        place,
        f"{sequences.value} sequences in steps of {max(small)} tokens{source}",
        related=related(place, (tokens, f"{max(small)} tokens")),
        proposals=(Proposal(setting(case, "max_num_seqs", min(small)), False, partial(edits_of, sequences, min(small))),),
        severity=Severity.ERROR if certain else Severity.WARNING,
        certainty=Certainty.PROVEN if certain else Certainty.HEURISTIC,
    )
