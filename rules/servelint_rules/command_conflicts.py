"""CLI: options that the engine refuses side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.finding import Certainty, Proposal, Related, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint_rules import flag_history, rewording
from servelint_rules.engine_options import is_certain, is_fork, is_written

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import ContainerCase
    from servelint.engines.command import Argument, Command
    from servelint_rules.exclusions import Exclusion


@rule(
    "CLI112", "mutually-exclusive-options", "Options that exclude each other",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0",
    engines=("vllm", "sglang", "tgi"), fixable=True, inputs=("image tag",),
)  # fmt: skip
def mutually_exclusive_options(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    Pairs of options that the engine does not take together: an option and the same setting inside a JSON option
    (`--attention-backend` and `--attention-config`, `--cudagraph-capture-sizes` and `--compilation-config`), two modes
    (`--data-parallel-hybrid-lb` and `--data-parallel-external-lb`, `--encoder-only` and `--language-only`), a cache on top
    of one that is switched off (`--enable-hierarchical-cache` and `--disable-radix-cache`), and TGI's two names for one
    limit.

    ## Why it matters

    The engine stops while it builds its configuration, with a sentence about the pair.

    ## How to fix

    Keep one. The fix takes out the first of the pair as named above.

    ## Certainty

    Proven, and an error, where the release is known and has the check. A warning where it is not known. Options that a
    script may leave out are not judged.

    ## References

    - vLLM, `vllm/engine/arg_utils.py`: `create_engine_config`
    - SGLang, `python/sglang/srt/server_args.py`: `_handle_cache_compatibility`, `_handle_encoder_disaggregation`
    - text-generation-inference, `launcher/src/main.rs`
    """
    command = case.container.command
    if command is None or is_fork(case):
        return
    from servelint_rules.exclusions import exclusions  # lazy: only files that name one of the options come here

    version = case.pool.version.get(None)
    known = flag_history.covers(command.table, version)
    for pair in exclusions(command.engine):
        if known and version is not None and version < pair.since:
            continue
        first, second = _on(command, pair.first), _other(command, pair)
        if first is None or second is None:
            continue
        certain = known and is_certain(case, command) and is_written(first) and is_written(second)
        what = f"{pair.second}.{pair.key}" if pair.key else pair.second
        yield Verdict(
            command.place_of(first),
            f"{first.written} and {what} exclude each other",
            arithmetic=(f"the engine stops: {pair.message}",),
            related=(Related(command.place_of(second), "the other one"),),
            proposals=(_without(command, first),),
            severity=Severity.ERROR if certain else Severity.WARNING,
            certainty=Certainty.PROVEN if certain else Certainty.HEURISTIC,
            key=f"{pair.first} {what}",
        )


def _without(command: Command, argument: Argument) -> Proposal:
    return Proposal(f"take {argument.written} out", False, lambda: rewording.removed(command, argument))


def _on(command: Command, name: str) -> Argument | None:
    """The option where it says something: not a switch that is off, nor nothing."""
    argument = command.last(name)
    if argument is None or argument.value_is_unknown:
        return None
    value = (argument.value or "").strip().lower()
    off = argument.flag is not None and argument.flag.negates(argument.written)
    return None if off or value in ("false", "none", "null") else argument


def _other(command: Command, pair: Exclusion) -> Argument | None:
    if not pair.key:
        return _on(command, pair.second)
    for argument in command.arguments:
        if argument.name != pair.second or argument.value_is_unknown:
            continue
        if argument.key == pair.key or (not argument.key and pair.key in _keys(argument.value or "")):
            return argument
    return None


def _keys(value: str) -> frozenset[str]:
    """The keys of a JSON object that say something; none where it is no object."""
    import json  # lazy: only where both options of a pair are given

    try:
        stated = json.loads(value)
    except (ValueError, RecursionError):
        return frozenset()
    return frozenset(key for key, said in stated.items() if said is not None) if isinstance(stated, dict) else frozenset()
