"""CLI: variables that nobody expands on their way to the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.engines.command import Form
from servelint.facts import Place
from servelint.finding import Certainty, Proposal, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint.source.nodes import ScalarNode
from servelint_rules.engine_options import shortened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import ContainerCase
    from servelint.deployment import Container
    from servelint.engines.command import Argument, Command, Word


@rule(
    "CLI118", "variable-not-expanded", "Variable that nobody expands",
    severity=Severity.WARNING, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0",
)  # fmt: skip
def variable_not_expanded(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    `$NAME` and `${NAME}` on the engine's command line where nothing expands them: inside single quotes of a shell script
    (`'{"engine_id": "$ID"}'`), and in a `command` or `args` list that no shell reads. Only names that the manifest itself
    sets (in the container's `env`, or in the script) are judged: another one may be a placeholder that is filled in before
    the manifest is applied. And `${NAME}` in a value of `env`, where NAME is the variable itself or another one of the list.

    ## Why it matters

    The engine receives the letters `$ID`. Every replica then has the same id, the path is not there, or the number does not
    parse; only some of these stop it.

    ## How to fix

    In a script: end the single quotes around the variable (`'{"engine_id": "'"$ID"'"}'`). In a list: `$(NAME)`, which
    Kubernetes expands.

    ## Certainty

    Proven: a shell leaves single quotes alone, and Kubernetes expands `$(NAME)` only. Configuration files and formats whose
    tools interpolate variables themselves (compose) are left out.

    ## References

    - [kthena#937](https://github.com/volcano-sh/kthena/pull/937)
    - [Kubernetes: use environment variables to define arguments](https://kubernetes.io/docs/tasks/inject-data-application/define-command-argument-container/#use-environment-variables-to-define-arguments)
    - POSIX.1-2017, Shell Command Language, 2.2.2 Single-Quotes
    """
    yield from _in_environment(case.container)
    command = case.container.command
    if command is None or command.separator or (not command.program.shell and case.container.pod is None):
        return
    seen: set[int] = set()
    for argument in command.arguments:
        if argument.form is Form.ENTRY:
            continue
        for word in argument.words:
            if "$" not in word.text or word.variable or id(word) in seen:
                continue
            seen.add(id(word))
            for name in _names(word.text):
                if _is_literal(command, word, name) and (
                    case.container.variable(name) is not None or _is_assigned(command, word, name)
                ):
                    yield _not_expanded(command, argument, word, name)


def _in_environment(container: Container) -> Iterator[Verdict]:
    """Values of Kubernetes' ``env`` that refer to variables as a shell would."""
    if container.pod is None:
        return
    items = container.node.elements_at("env")
    listed = {item.text_at("name") or "" for item in items}
    texts = [(item.text_at("value") or "", item.text_at("name") or "") for item in items]
    if any(set(_names(text)) - listed or text == f"${{{own}}}" for text, own in texts if "$" in text):
        return  # something fills such names in before the manifest is applied
    for item in items:
        own, value = item.text_at("name") or "", item.get("value")
        if not isinstance(value, ScalarNode) or "$" not in value.text or value.text == f"${own}":
            continue
        name = next((name for name in _names(value.text) if name in listed), None)
        if name is None or _is_evaluated(container, own):
            continue
        again = f"$({name})"
        if name != own:
            why, fix = f"Kubernetes expands {again} only", f"write {again}, below the entry of {name}"
        else:
            why = "Kubernetes expands no ${…}, and what the image set is gone"
            fix = f"state the whole value: what the image sets for {name} cannot be referred to"
        yield Verdict(
            Place.of(container.document, value),
            f"{own} becomes these very letters: {why}",
            arithmetic=(f"the container gets {own}={shortened(value.text)}",),
            proposals=(Proposal(fix, False, None),),
            key=f"env {own}",
        )


def _is_evaluated(container: Container, name: str) -> bool:
    """A shell of the container may expand the value itself: it names the variable behind eval or envsubst."""
    items = [item for key in ("command", "args") for item in container.node.elements_at(key)]
    words = " ".join(item.text for item in items if isinstance(item, ScalarNode))
    return name in words and any(word in words for word in ("eval ", "envsubst"))


def _names(text: str) -> list[str]:
    """The variables that a shell would expand in ``text``, each once, in order."""
    import re  # lazy: few words hold a dollar sign

    return list(dict.fromkeys(a or b for a, b in re.findall(r"\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)\})", text)))


def _is_literal(command: Command, word: Word, name: str) -> bool:
    """The dollar sign stands in the file as such, and reaches the engine."""
    if not command.program.shell:
        return word.whole
    written = word.node.text[word.start : word.end] if word.start >= 0 else ""
    return "'" in written and (f"${name}" in written or f"${{{name}}}" in written) and "\\$" not in written


def _is_assigned(command: Command, word: Word, name: str) -> bool:
    """The script sets the variable."""
    import re

    return command.program.shell and re.search(rf"(?m)(?:^|[\s;&]){name}=", word.node.text) is not None


def _not_expanded(command: Command, argument: Argument, word: Word, name: str) -> Verdict:
    if command.program.shell:
        why, fix = "single quotes keep the shell from expanding it", f"end the single quotes around ${name}"
    else:
        why, fix = "no shell reads this list", f"write $({name})"
    return Verdict(
        command.place_of(argument),
        f"the engine gets the letters ${name}: {why}",
        arithmetic=(f"it receives “{shortened(word.text)}”",),
        proposals=(Proposal(fix, False, None),),
        key=name,
    )
