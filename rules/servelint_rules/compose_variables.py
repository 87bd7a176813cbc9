"""Compose variables: dollar signs with which Compose refuses a file, and those that it takes from the container's own shell."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from servelint.facts import Place
from servelint.finding import Certainty, Proposal, Severity, Verdict
from servelint.formats.compose.interpolation import refused
from servelint.rulebook import Scope, rule
from servelint.source.nodes import MappingNode, ScalarNode, SequenceNode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import ContainerCase, WorkspaceCase
    from servelint.finding import Edit
    from servelint.source.nodes import Document, Node

# A variable that Compose takes: $NAME or ${NAME…} behind an even number of dollar signs.
_TAKEN = re.compile(r"(?<!\$)(?:\$\$)*(?P<at>\$)(?:(?P<bare>[A-Za-z_]\w*)|\{(?P<braced>[A-Za-z_]\w*))")


@rule(
    "K8S631", "compose-interpolation-invalid", "Compose refuses the file for a variable in it",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.WORKSPACE, since="0.1.0",
    formats=("compose",), fixable=True,
)  # fmt: skip
def interpolation_invalid(case: WorkspaceCase) -> Iterator[Verdict]:
    """
    ## What it checks

    `${…}` in a Compose file with an engine, with anything but a name and one of Compose's operators (`:-`, `-`, `:?`, `?`,
    `:+`, `+`) between the braces: what shells have beyond that, such as `${1}`, `${#LIST[@]}`, `${NAME%%.*}`.

    ## Why it matters

    Compose replaces variables in every value of the file before anything is started, scripts of `command` and `entrypoint`
    among them. What it does not understand it does not leave alone: it ends with "invalid interpolation format", and no
    service of the file starts.

    ## How to fix

    Double the dollar sign (`$${1}`): Compose makes one of it, and the shell in the container gets its expansion.

    ## Certainty

    Proven, by the pattern of compose-go. A `$` that neither a name nor a brace follows (`"$@"`) it takes as it is since 1.6
    (September 2022), so that is not reported.

    ## References

    - `DefaultPattern` of [compose-go](https://github.com/compose-spec/compose-go/blob/main/template/template.go)
    - [Compose file reference: interpolation](https://docs.docker.com/reference/compose-file/interpolation/)
    """
    seen: set[int] = set()
    for deployment in case.deployments:
        document = deployment.document
        if deployment.format != "compose" or id(document) in seen or document.root is None:
            continue
        seen.add(id(document))
        for node in _values(document.root):
            found = refused(node.text) if "${" in node.text else None
            if found is not None:
                yield _refusal(document, node, *found)


def _values(root: Node) -> Iterator[ScalarNode]:
    """The scalars that Compose interpolates, in document order: values, not keys."""
    pending = [root]
    while pending:
        node = pending.pop()
        if isinstance(node, ScalarNode):
            yield node  # what an alias stands for is reported where it stands
        elif isinstance(node, MappingNode):
            pending += [value for _, value in reversed(node.entries)]
        elif isinstance(node, SequenceNode):
            pending += reversed(node.items)


def _refusal(document: Document, node: ScalarNode, start: int, end: int) -> Verdict:
    span = node.source_span(document.source, start, end)
    written = node.text[start:end]

    def edits() -> tuple[Edit, ...] | None:
        from servelint.source.edits import replace_value_text  # lazy: only fixes edit

        return replace_value_text(document, node, start, start + 1, "$$")

    return Verdict(
        Place(document.physical, span) if span is not None else Place.of(document, node),
        f"Compose takes {written} for a variable of its own, and refuses the file: no service in it starts",
        proposals=(Proposal(f"double the dollar sign: ${written}", True, edits),),
        key=written,
    )


@rule(
    "K8S632", "compose-takes-shell-variable", "Compose replaces a variable that the container was to expand",
    severity=Severity.WARNING, certainty=Certainty.HEURISTIC, scope=Scope.CONTAINER, since="0.1.0",
    formats=("compose",), fixable=True,
)  # fmt: skip
def takes_shell_variable(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    `$NAME` and `${NAME…}` in the `command` or `entrypoint` of a Compose service, where the same script sets the variable
    (`NAME=…`, `for NAME in`, `read NAME`) or the service's `environment` gives it a fixed value.

    ## Why it matters

    Compose replaces it when it reads the file, with what its own shell or the `.env` file has under this name, and with
    nothing where neither has it. What the script or the `environment` sets comes too late: the option gets an empty value, or
    swallows the next one.

    ## How to fix

    Double the dollar sign (`$$NAME`), so that the shell in the container expands it. Without a shell in `command` nothing
    does: write the value there.

    ## Certainty

    Heuristic: the `.env` file, which is not read here, may set the same name.

    ## References

    - [Compose file reference: interpolation](https://docs.docker.com/reference/compose-file/interpolation/)
    """
    container = case.container
    document = container.document
    fixed = _fixed(container.node)
    seen: set[str] = set()
    for key in ("entrypoint", "command"):
        value = container.node.get(key)
        for node in _values(value) if value is not None else ():
            if "$" not in node.text:
                continue
            for found in _TAKEN.finditer(node.text):
                name = found["bare"] or found["braced"]
                why = "the script sets it" if _sets(node.text, name) else "the environment of the service sets it"
                if (
                    name in seen
                    or (name not in fixed and why != "the script sets it")
                    or _is_assigned_to_itself(node.text, found)
                ):
                    continue
                seen.add(name)
                yield _too_early(document, node, found, why)


def _too_early(document: Document, node: ScalarNode, found: re.Match[str], why: str) -> Verdict:
    at, name = found.start("at"), found["bare"] or found["braced"]

    def edits() -> tuple[Edit, ...] | None:
        from servelint.source.edits import replace_value_text  # lazy: only fixes edit

        made: list[Edit] = []
        for each in _TAKEN.finditer(node.text):
            if (each["bare"] or each["braced"]) == name and not _is_assigned_to_itself(node.text, each):
                edit = replace_value_text(document, node, each.start("at"), each.start("at") + 1, "$$")
                if edit is None:
                    return None
                made += edit
        return tuple(made)

    span = node.source_span(document.source, at, found.end())
    return Verdict(
        Place(document.physical, span) if span is not None else Place.of(document, node),
        f"{why}, but Compose has replaced ${name} by then: with its own variable of this name, or with nothing",
        proposals=(
            Proposal(
                f"write $${name}, for the shell in the container to expand", False, edits if _sets(node.text, name) else None
            ),
        ),
        key=name,
    )


def _sets(script: str, name: str) -> bool:
    code = "\n".join(line for line in script.splitlines() if not line.lstrip().startswith("#"))
    return re.search(rf"(?m)(?:^|[\s;&(]){name}=|\bfor {name} in\b|\bread (?:-\w+ )*{name}\b", code) is not None


def _is_assigned_to_itself(script: str, found: re.Match[str]) -> bool:
    """``NAME=${NAME:-1}`` means Compose's variable, or can do without it."""
    name = found["bare"] or found["braced"]
    before = script[: found.start("at")].rpartition("\n")[2].rstrip("\"'")
    line = script[found.start("at") - len(before) :].partition("\n")[0]
    return before.lstrip().endswith(f"{name}=") or line.lstrip().startswith("#")


def _fixed(service: Node) -> set[str]:
    """The variables to which ``environment`` gives a value of its own."""
    listed = service.get("environment")
    if isinstance(listed, MappingNode):
        return {
            name for name, _, value in listed.pairs() if isinstance(value, ScalarNode) and value.text and "$" not in value.text
        }
    pairs = [item.text.partition("=") for item in service.elements_at("environment") if isinstance(item, ScalarNode)]
    return {name for name, _, value in pairs if value and "$" not in value}
