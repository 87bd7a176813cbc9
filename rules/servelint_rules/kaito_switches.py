"""CLI123: switches in KAITO's configuration of vLLM, where no value can switch one off."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from servelint.engines.command import Form
from servelint.engines.versions import Version
from servelint.finding import Certainty, Proposal, Related, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint_rules import rewording
from servelint_rules.engine_options import flag_place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import ContainerCase
    from servelint.engines.command import Argument
    from servelint.engines.flag import Flag

# vLLM in the first KAITO that serves kaito.sh/v1beta1 (0.5), and in the newest one (0.12): requirements.txt of each.
_RELEASES = (Version(0, 9, 0), Version(0, 25, 1))
_TRUTH = frozenset(("true", "false"))


@rule(
    "CLI123", "kaito-switch-with-value", "KAITO gives a switch a value that it does not take",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0",
    engines=("vllm",), formats=("kaito",), fixable=True,
)  # fmt: skip
def kaito_switch_with_value(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    Options of vLLM that take no value (`enforce-eager`, `enable-prefix-caching`, `trust-remote-code`) under `vllm` in KAITO's
    `inference_config.yaml`: two or more of them, or one that is set to `false`.

    ## Why it matters

    KAITO puts each entry behind its command line as `--key value`. A switch takes no value, so the word that is left over is
    read as the positional argument of `vllm serve`, which nothing uses: the switch is on, also where the file says `false`.
    A second word that is left over has no place any more, and vLLM stops: "unrecognized arguments: True".

    ## How to fix

    To switch off: leave the entry out, or write the negative option (`no-enable-prefix-caching: true`). One such entry at
    most; releases of KAITO up to 0.6 take none.

    ## Certainty

    Proven for two or more. A warning for a single `false`, whose effect depends on the release: either the switch is on, or
    vLLM stops.

    ## References

    - kaito, `presets/workspace/inference/vllm/inference_api.py`, `KAITOArgumentParser.parse_args`
    - vLLM, `vllm/entrypoints/openai/cli_args.py`, `model_tag`; Python, `argparse.BooleanOptionalAction`
    """
    command = case.container.command
    if command is None:
        return
    root = case.container.document.root
    recent = root is not None and (root.text_at("apiVersion") or "").endswith("/v1beta1")
    switches = [argument for argument in command.arguments if _is_switch(argument, recent)]
    if len(switches) > 1:
        first, second = switches[:2]
        place = flag_place(command, second)
        yield Verdict(
            place,
            f"{_said(second)} is the second switch with a value: vLLM stops with “unrecognized arguments”",
            related=(Related(flag_place(command, first), f"{_said(first)} is the first one"),),
            proposals=(Proposal(f"take {second.written} out", False, partial(rewording.removed, command, second)),),
            severity=Severity.ERROR,
            key="several",
        )
        return
    for argument in switches:
        if argument.words[-1].text == "false" and argument.flag is not None:
            negative = argument.flag.negative_spelling
            other = f", or write {negative.removeprefix('--')}: true" if negative and negative != argument.written else ""
            yield Verdict(
                flag_place(command, argument),
                f"KAITO passes {_said(argument)}: the switch is on, whatever its value is",
                proposals=(
                    Proposal(f"take {argument.written} out{other}", False, partial(rewording.removed, command, argument)),
                ),
                severity=Severity.WARNING,
                certainty=Certainty.HEURISTIC,
                key=argument.written,
            )


def _is_switch(argument: Argument, recent: bool) -> bool:
    """A truth value for an option that takes none in any release that may run here."""
    flag: Flag | None = argument.flag
    if flag is None or argument.form is not Form.ENTRY or argument.key or argument.words[-1].text not in _TRUTH:
        return False
    return flag.is_switch_at(None) or (recent and all(flag.is_switch_at(release) for release in _RELEASES))


def _said(argument: Argument) -> str:
    return f"{argument.written} {argument.words[-1].text.capitalize()}"
