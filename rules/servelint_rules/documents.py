"""DOC: what the reader, the schemas and the suppressions say of a document. All but the last have no function to run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.facts import Place
from servelint.finding import Certainty, Related, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint.source.nodes import MappingNode, ScalarNode, SequenceNode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import DeploymentCase
    from servelint.source.nodes import Document, Node


@rule(
    "DOC101", "unreadable-document", "Document cannot be read",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.DOCUMENT, since="0.1.0",
)  # fmt: skip
def unreadable_document(_: object) -> Iterator[Verdict]:
    """
    ## What it checks

    That a file is text in UTF-8 (or UTF-16 with a byte order mark) and well-formed YAML within the nesting the reader
    allows. Only files that look like a serving manifest, or that are named on the command line, are judged.

    ## Why it matters

    Nothing of an unreadable file is checked, and nothing of it will be applied: `kubectl apply`, Helm and the engines
    refuse the same text. The other files of the run are linted all the same.

    ## How to fix

    The finding stands at the line and column where reading stopped; the cause is there or on the line above. The
    commonest ones are a tab used for indentation, a quote that is not closed, and a `: ` inside an unquoted value.

    ## Certainty

    Proven: the reader follows the YAML specification and stops where the text leaves it.

    ## References

    - [YAML 1.2.2](https://yaml.org/spec/1.2.2/)
    """
    yield from ()


@rule(
    "DOC102", "schema-violation", "Value is not what the schema allows",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.DOCUMENT, since="0.1.0",
    inputs=("schema",),
)  # fmt: skip
def schema_violation(_: object) -> Iterator[Verdict]:
    """
    ## What it checks

    Documents of servelint's own formats against their published JSON Schema: wrong types, missing required keys,
    values out of range (a degree of zero, a negative rate), quantities without a unit that can be read, a `kind` that
    `servelint/v1` does not have. In Kubernetes
    objects, the numbers that a replica's GPUs follow from: `replicas`, and the `size` of a LeaderWorkerSet; and in objects
    of which nothing could be read, a text or a list where the API has a map, a map where it has a list, or a `spec` around
    the fields of a kind that has none (KAITO's Workspace).

    ## Why it matters

    A value that is not understood is a value that is not checked: the plan would look verified where it was not.

    ## How to fix

    The finding names the value, what is allowed there and, for a quantity, the units that are understood.
    `servelint schema plan` prints the schema; editors that know JSON Schema complete and check it while typing.

    ## Certainty

    Proven: the schema is the definition of the format, and the Kubernetes API refuses such a number or shape.

    ## References

    - [JSON Schema 2020-12](https://json-schema.org/draft/2020-12)
    """
    yield from ()


@rule(
    "DOC103", "unknown-key", "Key is not part of the format",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.DOCUMENT, since="0.1.0",
    inputs=("schema",), fixable=True,
)  # fmt: skip
def unknown_key(_: object) -> Iterator[Verdict]:
    """
    ## What it checks

    Keys in documents of servelint's own formats that the schema does not define.

    ## Why it matters

    A misspelt key is silently nothing: `concurency: 128` leaves the workload unstated, and every check that needs it
    is not evaluated although the author believes it was.

    ## How to fix

    Use the key the finding suggests, where one is near; otherwise remove it. Notes for people belong in comments or
    under `metadata`.

    ## Certainty

    Proven: the schema is the definition of the format.

    ## References

    - `servelint schema plan`
    """
    yield from ()


@rule(
    "DOC104", "unused-suppression", "Suppression that suppresses nothing",
    severity=Severity.WARNING, certainty=Certainty.PROVEN, scope=Scope.DOCUMENT, since="0.1.0",
)  # fmt: skip
def unused_suppression(_: object) -> Iterator[Verdict]:
    """
    ## What it checks

    Comments `# servelint: ignore[CODE] reason` whose node has no finding of that code in this run, and codes in them
    that no rule has. A rule that was not run (deselected, or not checked because a fact is unknown) does not make its
    suppressions unused.

    ## Why it matters

    A suppression that outlives its cause hides the next, different fault at the same place.

    ## How to fix

    Delete the comment, or the one code that is not needed any more.

    ## Certainty

    Proven: from the findings of this very run.

    ## References

    - `servelint explain CODE` for the code that is suppressed
    """
    yield from ()


@rule(
    "DOC105", "duplicate-key", "Key given twice in one mapping",
    severity=Severity.WARNING, certainty=Certainty.PROVEN, scope=Scope.DEPLOYMENT, since="0.1.0",
)  # fmt: skip
def duplicate_key(case: DeploymentCase) -> Iterator[Verdict]:
    """
    ## What it checks

    Two entries of one mapping with the same key, in a document from which a deployment was read.

    ## Why it matters

    YAML forbids it, yet most loaders keep the last entry and drop the others without a word. `kubectl` with strict
    validation refuses the object; a templating tool or a controller in between may keep either. What was reviewed is
    then not what runs.

    ## How to fix

    Keep one of them. servelint itself reads the last one, as most loaders do, and judges that.

    ## Certainty

    Proven that the key is doubled; a warning because many tools accept it.

    ## References

    - [YAML 1.2.2, 3.2.1.3: keys of a mapping are unique](https://yaml.org/spec/1.2.2/#nodes)
    - [Kubernetes: field validation](https://kubernetes.io/docs/reference/using-api/api-concepts/#field-validation)
    """
    document = case.deployment.document
    for node in _with_doubled_keys(document):
        first: dict[str, Node] = {}
        for key, _ in node.entries:
            name = _name(key)
            if name == "<<":
                continue  # merge keys may be repeated: each adds its own mapping
            if name in first:
                earlier = Place.of(document, first[name])
                yield Verdict(
                    Place.of(document, key),
                    f"`{name}` is already given above, which is dropped",
                    related=(Related(earlier, "dropped by most loaders"),),
                    key=name,
                )
            first.setdefault(name, key)


def _with_doubled_keys(document: Document) -> list[MappingNode]:
    """The mappings in which a key stands twice, in document order. Every mapping of a file is looked at, but not its scalars."""
    reading = document.source.reading
    if reading is not None and not reading.duplicates and document.physical is document:
        return []  # nearly always, and the reader knows
    found: list[MappingNode] = []
    pending: list[Node] = [document.root] if document.root is not None else []
    for node in pending:
        if isinstance(node, MappingNode):
            names = {key.text if type(key) is ScalarNode else _name(key) for key, _ in node.entries}
            if len(names) < len(node.entries):
                found.append(node)
            pending += [each for entry in node.entries for each in entry if type(each) is not ScalarNode]
        elif isinstance(node, SequenceNode):
            pending += [each for each in node.items if type(each) is not ScalarNode]
    return sorted(found, key=lambda node: node.span.start)


def _name(key: Node) -> str:
    """What tells two keys apart: the text of a scalar; every other key is its own."""
    resolved = key.resolved
    return resolved.text if isinstance(resolved, ScalarNode) else f"\0{id(key)}"
