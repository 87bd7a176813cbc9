"""LIM: sequence lengths against what the model was made for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.finding import Certainty, Proposal, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint_rules.changes import edits_of, setting
from servelint_rules.model_length import derived_length
from servelint_rules.places import place_of, related

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import PoolCase
    from servelint.deployment import Pool

# Flags that change the model's configuration, so that the catalogue's is not what the engine sees.
_OVERRIDES = ("--hf-overrides", "--rope-scaling", "--rope-theta", "--hf-config-path", "--config-format")
_ALLOW_LONG = "VLLM_ALLOW_LONG_MAX_MODEL_LEN"


@rule(
    "LIM301", "max-len-exceeds-model", "max_model_len is beyond what the model was made for",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.POOL, since="0.1.0",
    engines=("vllm",), fixable=True, inputs=("model", "image tag"),
)  # fmt: skip
def max_len_exceeds_model(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A stated `--max-model-len` against the length that vLLM derives from the model's configuration: the smallest of
    `max_position_embeddings` and its kin, multiplied by the rope scaling factor where the version does so (`yarn` up to
    0.29; `su`, `longrope` and `llama3` never).

    ## Why it matters

    vLLM stops at start-up: "User-specified max_model_len (…) is greater than the derived max_model_len (…)". With
    `VLLM_ALLOW_LONG_MAX_MODEL_LEN=1` it starts, and answers beyond that length are noise or crash the kernel; the rule
    is silent then, because the operator has taken that decision.

    ## How to fix

    Lower `--max-model-len` to the derived length (unsafe: longer requests are refused then), or, where the model's card
    describes it, extend the context by `--hf-overrides` with a rope scaling.

    ## Certainty

    Proven, and an error, where the configuration is the checkpoint's own (given in the plan or by `--model-config`).
    From the catalogue it is an estimate and a warning: the served revision may be another, and the tokenizer's
    `model_max_length` counts as well.

    ## References

    - vLLM, `vllm/config/model.py`, `_get_and_verify_max_len`
    - [vllm#3676](https://github.com/vllm-project/vllm/issues/3676), [vllm#20241](https://github.com/vllm-project/vllm/issues/20241)
    """
    pool = case.pool
    if not pool.max_model_len.is_stated or _is_overridden(pool):
        return
    wanted = pool.max_model_len.value
    longest = derived_length(case.architecture, pool.version.get(None))
    if longest is None or wanted <= longest.tokens:
        return
    own = _is_checkpoints_own(pool)
    place = place_of(pool, pool.max_model_len)
    yield Verdict(
        place,
        f"{wanted} tokens; {case.architecture.id} is made for {longest.tokens}",
        arithmetic=(longest.words,),
        related=related(place, (pool.model, f"longest sequence: {longest.tokens} tokens")),
        proposals=(
            Proposal(setting(case, "max_model_len", longest.tokens), False, edits_of(pool.max_model_len, longest.tokens)),
        ),
        severity=Severity.ERROR if own else Severity.WARNING,
        certainty=Certainty.PROVEN if own else Certainty.ESTIMATED,
    )


def _is_checkpoints_own(pool: Pool) -> bool:
    from servelint.facts import OriginKind

    origin = pool.architecture.origin
    return origin is not None and origin.kind in (OriginKind.FILE, OriginKind.CONFIG)


def _is_overridden(pool: Pool) -> bool:
    """Whether the command line changes the model's configuration, or the operator allows longer sequences."""
    for container in pool.containers:
        allowed = container.environment.get(_ALLOW_LONG)
        if allowed is not None and allowed.get("1") not in ("0", "", "false", "False"):
            return True
        command = container.command
        if command is not None and any(argument.name in _OVERRIDES for argument in command.arguments):
            return True
    return False
