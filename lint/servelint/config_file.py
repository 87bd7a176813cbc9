"""Reads and checks a configuration file against its JSON Schema, with the line of what is wrong."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from servelint.errors import ConfigError
from servelint.finding import ReadError
from servelint.source.nodes import MappingNode, Node, ScalarNode, SequenceNode
from servelint.source.reader import decode, read_text
from servelint.source.scalars import core_value


def _plain(node: Node | None) -> Any:
    """The YAML 1.2 core schema value of a node."""
    if node is None:
        return None
    if isinstance(node, MappingNode):
        return {key: _plain(value) for key, _, value in node.pairs()}
    if isinstance(node, SequenceNode):
        return [_plain(item.resolved) for item in node.items]
    return core_value(node) if isinstance(node, ScalarNode) else None


def _check(content: Any, path: str, document: Any) -> None:
    from jsonschema import Draft202012Validator

    from servelint_schemas import load

    errors = sorted(Draft202012Validator(load("config")).iter_errors(content), key=lambda e: [str(p) for p in e.absolute_path])
    if not errors:
        return
    error = errors[0]
    message = error.message
    steps = list(error.absolute_path)
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = list(error.schema.get("properties", {}))
        unknown = next(key for key in error.instance if key not in known)
        near = get_close_matches(unknown, known, 1)
        message = f"unknown key {unknown!r}" + (f"; did you mean {near[0]!r}?" if near else f"; known keys: {', '.join(known)}")
        steps.append(unknown)
    line = 0
    if document is not None:
        node = document.get(*steps)
        if node is not None:
            line = document.source.position(node.span.start).line
    raise ConfigError(message, path, line)


def read_config(path: str) -> dict[str, Any]:
    """The checked content of a configuration file; raises :class:`ConfigError`."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror or error}", path) from error
    if path.endswith(".toml"):
        from tomllib import TOMLDecodeError, loads

        try:
            content = loads(data.decode("utf-8")).get("tool", {}).get("servelint", {})
        except (TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(str(error), path) from error
        _check(content, path, None)
        return dict(content)
    source = decode(path, data)
    if isinstance(source, ReadError):
        raise ConfigError(source.message, path, source.line)
    result = read_text(source)
    if result.errors:
        raise ConfigError(result.errors[0].message, path, result.errors[0].line)
    document = result.documents[0] if result.documents else None
    content = _plain(document.root) if document is not None else None
    content = {} if content is None else content
    _check(content, path, document)
    return dict(content)
