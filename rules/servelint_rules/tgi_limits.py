"""LIM310: the token limits and shards of text-generation-inference, as its launcher checks them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.finding import Certainty, Related, Severity, Verdict
from servelint.records import NamedTuple
from servelint.rulebook import Scope, rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import ContainerCase
    from servelint.deployment import Container
    from servelint.facts import Place


class _Setting(NamedTuple):
    """``written``: the option or the variable that states it."""

    value: str
    written: str
    place: Place

    @property
    def number(self) -> int | None:
        return int(self.value) if self.value.strip().isdecimal() and len(self.value) < 19 else None


@rule(
    "LIM310", "tgi-token-limits", "Limits of TGI that exclude each other",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0",
    engines=("tgi",),
)  # fmt: skip
def tgi_token_limits(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    Options of text-generation-inference's launcher, or the variables that stand for them, against each other:
    `--max-input-tokens` (before 2.0.4 `--max-input-length`) must be below `--max-total-tokens`, which must not exceed
    `--max-batch-total-tokens`; `--sharded true` needs more than one shard; EXL2
    weights cannot be sharded.

    ## Why it matters

    The launcher stops at once: "`max_input_tokens` must be < `max_total_tokens`" and the like. A request is input and output
    together, so that equal numbers leave no token for the answer.

    ## How to fix

    Raise the larger limit, or lower the smaller one.

    ## Certainty

    Proven: the launcher of every release has these checks. An option wins over its variable.

    ## References

    - text-generation-inference, `launcher/src/main.rs`, `find_num_shards` and `main`
    """
    container = case.container
    total = _setting(container, "--max-total-tokens")
    inputs = [s for flag in ("--max-input-tokens", "--max-input-length") if (s := _setting(container, flag)) is not None]
    for setting in inputs[:1]:
        if total is not None and setting.number is not None and total.number is not None and setting.number >= total.number:
            label = f"{setting.number} tokens of input leave nothing of {total.number} for the answer"
            yield Verdict(setting.place, label, related=_beside(total), key="input")
    batch = _setting(container, "--max-batch-total-tokens")
    if batch is not None and total is not None and batch.number is not None and (total.number or 0) > batch.number:
        label = f"a request of {total.number} tokens does not fit in a batch of {batch.number}"
        yield Verdict(batch.place, label, related=_beside(total), key="batch")
    yield from _shards(container)


def _shards(container: Container) -> Iterator[Verdict]:
    shards, sharded = _setting(container, "--num-shard"), _setting(container, "--sharded")
    if shards is None or shards.number is None:
        return
    if sharded is not None and sharded.value.strip().lower() == "true" and shards.number <= 1:
        label = f"sharding is switched on for {shards.number} shard"
        yield Verdict(shards.place, label, related=_beside(sharded), key="sharded")
    quantize = _setting(container, "--quantize")
    if quantize is not None and quantize.value.strip() == "exl2" and shards.number > 1:
        yield Verdict(shards.place, f"EXL2 weights over {shards.number} shards", related=_beside(quantize), key="exl2")


def _beside(setting: _Setting) -> tuple[Related, ...]:
    return (Related(setting.place, f"{setting.written}: {setting.value}"),)


def _setting(container: Container, flag: str) -> _Setting | None:
    """What the launcher reads for ``flag``; None where it is not stated, or cannot be read."""
    command = container.command
    if command is None:
        return None
    argument = command.last(flag)
    if argument is not None:
        if argument.value is None or argument.value_is_unknown:
            return None
        return _Setting(argument.value, argument.written, command.place_of(argument))
    name = flag.removeprefix("--").replace("-", "_").upper()
    fact = container.variable(name) if command.complete else None
    return _Setting(fact.value, name, fact.place) if fact is not None and fact.is_known and fact.place is not None else None
