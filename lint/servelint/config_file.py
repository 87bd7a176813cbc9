"""Reads and checks a configuration file against its JSON Schema, with the line of what is wrong."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from servelint.errors import ConfigError
from servelint.finding import ReadError
from servelint.source.nodes import MappingNode, Node, ScalarNode, SequenceNode
from servelint.source.reader import decode, read_text

if TYPE_CHECKING:
    from servelint.source.nodes import Document


def _plain(document: Document | None, path: str) -> Any:
    """The YAML 1.2 core schema value of a document."""
    if document is None or document.root is None:
        return None
    from servelint.formats.plan.schema_check import NotPlainError, plain

    _no_key_twice(document.root, document, path)
    try:
        return plain(document.root)
    except NotPlainError as error:
        raise ConfigError(str(error), path, document.source.position(error.span.start).line) from error


def _no_key_twice(node: Node, document: Document, path: str) -> None:
    """Of two values for one setting, one would be dropped without a word."""
    if isinstance(node, MappingNode):
        seen = set()
        for key, value in node.entries:
            name = key.resolved.text if isinstance(key.resolved, ScalarNode) else None
            if name is not None and name in seen:
                line = document.source.position(key.span.start).line
                raise ConfigError(f"`{name}` is given twice in one mapping: keep one of them", path, line)
            seen.add(name)
            _no_key_twice(value, document, path)
    elif isinstance(node, SequenceNode):
        for item in node.items:
            _no_key_twice(item, document, path)


def _check(content: Any, path: str, document: Document | None, schema: str = "config") -> None:
    from jsonschema import Draft202012Validator

    from servelint.formats.plan.schema_check import sentence
    from servelint_schemas import load

    errors = sorted(Draft202012Validator(load(schema)).iter_errors(content), key=lambda e: [str(p) for p in e.absolute_path])
    if not errors:
        return
    error = errors[0]
    steps = list(error.absolute_path)
    message = sentence(error, steps, "the configuration" if schema == "config" else "a knowledge file")
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = list(error.schema.get("properties", {}))
        unknown = next(key for key in error.instance if key not in known)
        near = get_close_matches(unknown, known, 1)
        message = f"unknown key {unknown!r}" + (f"; did you mean {near[0]!r}?" if near else f"; known keys: {', '.join(known)}")
        steps.append(unknown)
    raise ConfigError(message, path, _line(document, *steps))


def read_config(path: str) -> dict[str, Any]:
    """The checked content of a configuration file; raises :class:`ConfigError`."""
    data = _bytes(path)
    if path.endswith(".toml"):
        from tomllib import TOMLDecodeError, loads

        try:
            tables = loads(data.decode("utf-8")).get("tool", {})
            content = tables.get("servelint", {}) if isinstance(tables, dict) else {}
        except (TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(str(error), path) from error
        _check(content, path, None)
        return dict(content)
    document = _document(path, data)
    content = _plain(document, path)
    content = {} if content is None else content
    _check(content, path, document)
    return dict(content)


def read_knowledge(path: str) -> dict[str, Any]:
    """The checked content of a knowledge file (docs/knowledge.md); raises :class:`ConfigError`."""
    document = _document(path, _bytes(path))
    content = _plain(document, path)
    if document is None or not isinstance(content, dict):
        raise ConfigError("a knowledge file is a mapping: `servelint schema knowledge` prints its schema", path)
    _check(content, path, document, "knowledge")
    names = [entry["step"] for entry in content.get("order", ())]
    for index, entry in enumerate(content.get("order", ())):
        for other in entry.get("after", ()):
            # A file that extends the built-in one may build on its steps, which only the rules know.
            if other not in names and "extends" not in content:
                reason = f"step {entry['step']!r} stands after {other!r}, which is no step"
                raise ConfigError(reason, path, _line(document, "order", index))
    return content


def _bytes(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror or error}", path) from error


def _document(path: str, data: bytes) -> Document | None:
    source = decode(path, data)
    if isinstance(source, ReadError):
        raise ConfigError(source.message, path, source.line)
    result = read_text(source)
    if result.errors:
        raise ConfigError(result.errors[0].message, path, result.errors[0].line)
    return result.documents[0] if result.documents else None


def _line(document: Document | None, *steps: str | int) -> int:
    """The line of what stands at ``steps``; 0 where nothing does."""
    node = document.get(*steps) if document is not None else None
    return document.source.position(node.span.start).line if document is not None and node is not None else 0
