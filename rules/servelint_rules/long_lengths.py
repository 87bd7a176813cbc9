"""LIM302: the guard against lengths that the model was not made for, switched off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.capacity.model_length import derived_length
from servelint.finding import Certainty, Proposal, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint.source.nodes import SequenceNode
from servelint_rules.changes import edits_of
from servelint_rules.places import related

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import ContainerCase
    from servelint.deployment import Container
    from servelint.finding import Edit

_VARIABLE = "VLLM_ALLOW_LONG_MAX_MODEL_LEN"


@rule(
    "LIM302", "allow-long-env", "Guard against too long sequences is switched off",
    severity=Severity.WARNING, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0",
    engines=("vllm",), fixable=True, inputs=("model",),
)  # fmt: skip
def allow_long_env(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    `VLLM_ALLOW_LONG_MAX_MODEL_LEN` set to a true value beside a stated `--max-model-len`, and the length that vLLM derives
    from the model.

    ## Why it matters

    With it vLLM accepts a `--max-model-len` beyond the length that it derives from the model. Beyond that length rotary
    positions give noise, up to NaN, and absolute ones read outside of their table, which ends the engine. The variable stays
    when the model or the length is changed later, and then nobody is warned.

    ## How to fix

    Take it out. If a longer context is meant and the model's card describes how, extend it by `--hf-overrides` with a rope
    scaling: then the derived length is the longer one.

    ## Certainty

    Proven that the guard is off; the model's length is the catalogue's, or that of a configuration that is given. Where the
    stated length is within the model's, the variable has no effect yet: a note, and the fix is safe. Where the model is not
    known, nothing is said.

    ## References

    - vLLM, `vllm/config/model.py`, `_get_and_verify_max_len`
    - [vllm#17924](https://github.com/vllm-project/vllm/issues/17924), [vllm#20904](https://github.com/vllm-project/vllm/pull/20904)
    """
    container, pool = case.container, case.pool
    fact = container.variable(_VARIABLE)
    if fact is None or fact.place is None or not fact.is_known or fact.value.strip().lower() not in ("1", "true"):
        return
    length = pool.max_model_len
    if not length.is_known and length.reason == "not stated":
        return  # the model's own length holds, and nothing is beyond it
    longest = derived_length(pool.architecture.value, pool.version.get(None))
    if longest is None:
        return
    idle = length.value <= longest.tokens
    label = f"{length.value} tokens are accepted of a model made for {longest.tokens}"
    if idle:
        label = f"{length.value} tokens are within the model's {longest.tokens}: it only hides later mistakes"

    def both() -> tuple[Edit, ...] | None:
        changes = _removed(container), edits_of(length, longest.tokens)
        return None if changes[0] is None or changes[1] is None else (*changes[0], *changes[1])

    yield Verdict(
        fact.place,
        label,
        arithmetic=(longest.words,) if not idle else (),
        related=related(fact.place, (length, f"{length.value} tokens")),
        proposals=(
            Proposal(f"take {_VARIABLE} out", True, lambda: _removed(container))
            if idle
            else Proposal(f"take {_VARIABLE} out, and lower the length to {longest.tokens}", False, both),
        ),
        severity=Severity.INFO if idle else Severity.WARNING,
        key=container.name,
    )


def _removed(container: Container) -> tuple[Edit, ...] | None:
    from servelint.source.edits import remove_item  # lazy: only fixes write

    listed = container.node.get("env")
    if not isinstance(listed, SequenceNode):
        return None
    names = [item.resolved.text_at("name") for item in listed.items]
    return remove_item(container.document, listed, names.index(_VARIABLE)) if names.count(_VARIABLE) == 1 else None
