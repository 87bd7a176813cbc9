"""Checks a plan against its JSON Schema and says each violation at its own node, in one sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.facts import Place
from servelint.finding import Proposal, Verdict
from servelint.formats.plan import quantities
from servelint.records import NamedTuple
from servelint.source.nodes import MappingNode, Node, ScalarNode, SequenceNode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from jsonschema.exceptions import ValidationError

    from servelint.source.nodes import Document
    from servelint.source.text import Span

# More nodes than any plan has; what is larger got so by aliases of aliases.
MOST_NODES = 20_000

_TYPES = {
    "object": "a mapping", "array": "a list", "string": "text", "integer": "a whole number", "number": "a number",
    "boolean": "true or false", "null": "nothing",
}  # fmt: skip


class Problem(NamedTuple):
    """One violation: the code it is reported under, and the verdict."""

    code: str
    verdict: Verdict


class NotPlainError(ValueError):
    """The node is no finite tree of plain values; ``span`` is where that shows."""

    def __init__(self, message: str, span: Span) -> None:
        super().__init__(message)
        self.span = span


def plain(node: Node) -> Any:
    """The YAML 1.2 core schema value of ``node``: dicts, lists and scalars.

    Raises :class:`NotPlainError` for an alias inside what it stands for, and where aliases would expand it beyond
    :data:`MOST_NODES`.
    """
    from servelint.source.scalars import core_value

    sizes: dict[int, int] = {}
    values: dict[int, Any] = {}
    entered: set[int] = set()

    def convert(written: Node) -> Any:
        target = written.resolved
        key = id(target)
        if key in values:
            return values[key]
        if key in entered:
            raise NotPlainError("an alias stands inside the node that it means: write out what is meant", written.span)
        entered.add(key)
        value: Any
        size = 1
        if isinstance(target, MappingNode):
            value = {}
            for label, _ in target.entries:
                if not isinstance(label.resolved, ScalarNode):
                    raise NotPlainError("a key must be plain text here", label.span)
            for name, _, child in target.pairs():
                value[name] = convert(child)
                size += sizes[id(child.resolved)]
        elif isinstance(target, SequenceNode):
            value = []
            for item in target.items:
                value.append(convert(item))
                size += sizes[id(item.resolved)]
        elif isinstance(target, ScalarNode):
            # A number of hundreds of digits is none of ours, and Python refuses to read it.
            value = core_value(target) if len(target.text) <= 300 else target.text
        else:
            value = None
        if size > MOST_NODES:
            raise NotPlainError(f"aliases expand this to more than {MOST_NODES:,} nodes: write it out", written.span)
        values[key], sizes[key] = value, size
        return value

    return convert(node)


def violations(document: Document, content: Any, schema: Mapping[str, Any]) -> list[Problem]:
    """What ``schema`` objects to in ``content``, the plain value of ``document``, in the order of the document."""
    from servelint.formats.plan.validity import surely_valid

    if surely_valid(content, schema):
        return []
    # Lazy import, and of the validator alone: only plans with something wrong, configuration and policies pay for jsonschema.
    from jsonschema.validators import Draft202012Validator

    errors = list(Draft202012Validator(schema).iter_errors(content))
    # What is no whole number is not too large a number as well.
    mistyped = {tuple(error.absolute_path) for error in errors if error.validator == "type"}
    errors = [error for error in errors if error.validator == "type" or tuple(error.absolute_path) not in mistyped]
    found = [p for error in errors for p in _problems(document, error)]
    return sorted(found, key=lambda p: (p.verdict.place.span, p.code))


def dotted(path: Sequence[str | int]) -> str:
    """``reasoning[1].decides.pipeline``"""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def _problems(document: Document, error: ValidationError) -> Iterator[Problem]:
    path = list(error.absolute_path)
    schema: Any = error.schema
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = list(schema["properties"])
        for key in error.instance:
            if key not in known:
                yield Problem("DOC103", _unknown_key(document, path, key, known))
        return
    key, value = _located(document, path)
    # A key missing from a mapping is said at that mapping's own key, not over its whole block; so is a missing value.
    at = key if key is not None and (isinstance(value, MappingNode) or value.span.start == value.span.end) else value
    yield Problem("DOC102", Verdict(Place.of(document, at), sentence(error, path), key=dotted(path)))


def _located(document: Document, path: Sequence[str | int]) -> tuple[Node | None, Node]:
    """(key node, value node as written) at ``path``; of the document itself, its ``kind``."""
    key: Node | None = document.get("kind")
    node = document.root
    for step in path:
        target = node.resolved if node is not None else None
        if isinstance(step, int) and isinstance(target, SequenceNode):
            key, node = None, target.items[step]
        elif isinstance(step, str) and isinstance(target, MappingNode):
            entry = target.entry(step)
            key, node = entry if entry is not None else (None, None)
        else:
            node = None
    if node is None:
        raise LookupError(f"{dotted(path)} is in the content but not in the document")
    return key, node


def _unknown_key(document: Document, path: Sequence[str | int], name: str, known: Sequence[str]) -> Verdict:
    mapping = _located(document, path)[1].resolved
    there = {entry: key for entry, key, _ in mapping.pairs()} if isinstance(mapping, MappingNode) else {}
    key = there[name]
    where = f"in `{dotted(path)}`" if path else "in a plan"
    guess = quantities.nearest(name, [each for each in known if each not in there])
    shown = name if len(name) <= 40 else name[:37] + "..."
    if guess is None:
        return Verdict(
            Place.of(document, key), f"there is no `{shown}` {where}", help=(f"known keys: {', '.join(known)}",), key=name[:80]
        )
    from servelint.source.edits import set_scalar

    edits = set_scalar(document, key, guess) if isinstance(key, ScalarNode) else None
    return Verdict(
        Place.of(document, key),
        f"there is no `{shown}` {where}: did you mean `{guess}`?",
        proposals=(Proposal(f"rename it to {guess}", False, edits),) if edits else (),
        key=name[:80],
    )


def sentence(error: ValidationError, path: Sequence[str | int], whole: str = "a plan") -> str:
    """What is wrong at ``path``, and what would be right; ``whole`` names the document itself."""
    name = f"`{dotted(path)}`" if path else whole
    value: Any
    rule: Any
    schema: Any
    value, rule, schema = error.instance, error.validator_value, error.schema
    match error.validator:
        case "required":
            missing = [k for k in rule if k not in value]
            # jsonschema says one missing key per error, in its message; the first quoted word is it.
            key = error.message.split("'")[1] if "'" in error.message else missing[0]
            return f"{name} needs `{key}`"
        case "anyOf":
            return f"{name} needs " + " or ".join(f"`{part['required'][0]}`" for part in rule)
        case "type":
            return _wrong_type(name, value, [rule] if isinstance(rule, str) else list(rule), schema)
        case "exclusiveMinimum":
            return f"{name}: `{value:g}` is nothing: it must be more than zero"
        case "pattern" | "minimum" | "maximum":
            dimension = schema.get("x-dimension")
            if dimension is not None:
                return f"{name}: {_quantity_sentence(value, quantities.Dimension(dimension))}"
            relation = "at least" if error.validator == "minimum" else "at most"
            return f"{name} is {_shown(value)}; it must be {relation} {rule}"
        case "const":
            return f"{name} is {_shown(value)}; it must be `{rule}`"
        case "enum":
            guess = quantities.nearest(str(value), rule)
            choice = f"did you mean `{guess}`?" if guess else f"it must be one of {', '.join(map(str, rule))}"
            return f"{name} is {_shown(value)}; {choice}"
        case "minLength" | "minItems" | "minProperties":
            return f"{name} is empty"
    return f"{name} is not what the schema allows ({error.validator})"


def _quantity_sentence(value: Any, dimension: quantities.Dimension) -> str:
    try:
        if isinstance(value, str):
            quantities.parse(value, dimension)
        else:
            quantities.bare(value, dimension, str(value))
    except quantities.QuantityError as error:
        return str(error)
    return f"{_shown(value)} is not a {dimension.value}"


def _wrong_type(name: str, value: Any, types: list[str], schema: Mapping[str, Any]) -> str:
    if value is None:
        return f"{name} has no value: give one or remove the key"
    wanted = " or ".join(_TYPES[t] for t in types)
    if "x-dimension" in schema:
        wanted = f"a {schema['x-dimension']} such as {quantities.example(quantities.Dimension(schema['x-dimension']))}"
    hint = ""
    if isinstance(value, str) and len(value) < 20 and {"integer", "number"} & set(types) and value.strip().isdigit():
        hint = f": write {value.strip()} without quotes"
    elif isinstance(value, bool | int | float) and "string" in types and "x-dimension" not in schema:
        hint = ": quote it"
    return f"{name} is {_shown(value)}; it must be {wanted}{hint}"


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return f"the text `{value if len(value) <= 40 else value[:37] + '...'}`"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return "empty" if value is None else f"{value:g}" if isinstance(value, float) else str(value)[:40]
