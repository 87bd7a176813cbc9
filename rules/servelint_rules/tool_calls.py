"""CLI: tool calling, which takes two options together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.finding import Certainty, Proposal, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint_rules import guards, rewording
from servelint_rules.engine_options import flag_place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import ContainerCase


@rule(
    "CLI117", "auto-tool-choice-without-parser", "Automatic tool choice without a parser for tool calls",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0", engines=("vllm",),
    fixable=True,
)  # fmt: skip
def auto_tool_choice_without_parser(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    `--enable-auto-tool-choice` on a complete command line of vLLM's server that has no `--tool-call-parser`.

    ## Why it matters

    The server stops while it reads its arguments: "--enable-auto-tool-choice requires --tool-call-parser". Models write
    tool calls in formats of their own, and vLLM does not guess which.

    ## How to fix

    Add the parser of the model's family (`hermes` for Qwen 2.5 and 3, `llama3_json` for Llama 3.1 to 3.3, `mistral`,
    `openai` for gpt-oss), or take the option out. The fix does the latter.

    ## Certainty

    Proven, and an error. Command lines that may have further arguments (a file that is not at hand, a variable, a patch or
    a controller) are not judged.

    ## References

    - vLLM, `vllm/entrypoints/openai/cli_args.py`: `validate_parsed_serve_args`
    - [vLLM documentation: tool calling](https://docs.vllm.ai/en/latest/features/tool_calling.html)
    """
    command = case.container.command
    if command is None or not command.complete or command.separator:
        return
    switch = command.last("--enable-auto-tool-choice")
    if switch is None or (switch.value or "true").lower() == "false" or command.last("--tool-call-parser") is not None:
        return
    if switch.flag is not None and switch.flag.negates(switch.written):
        return
    if case.container.pod is not None and not guards.shows_all(case):
        return
    yield Verdict(
        flag_place(command, switch),
        "vLLM wants --tool-call-parser beside it, and there is none",
        proposals=(
            Proposal("add --tool-call-parser with the parser of the model's family", False, None),
            Proposal(f"take {switch.written} out", False, lambda: rewording.removed(command, switch)),
        ),
    )
