"""Models that an init container of kthena's downloader fetches to the path which the engine serves.

Source: kthena 0.1 to 1.0, ``python/kthena/downloader``: ``--source`` (``hf://``, ``s3://``, ``obs://``, ``ms://``, a hub id, a
path) and ``--output-dir``.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from servelint.facts import Fact, Origin, OriginKind, Place
from servelint.formats import model_uris
from servelint.source.nodes import ScalarNode

if TYPE_CHECKING:
    from servelint.deployment import Pool
    from servelint.source.nodes import Document, Node


def fetched(document: Document, pool: Pool, template: Node) -> Pool:
    """The pool with the model that is downloaded to the path its engine serves; as it is, where none is."""
    container = pool.containers[0]
    served = _served(container.command) if not pool.model.is_known else ""
    for init in template.elements_at("spec", "initContainers") if served else ():
        words = [node for key in ("command", "args") for node in init.elements_at(key)]
        source, target = _option(words, "--source"), _option(words, "--output-dir")
        if source is None or target is None or target.text.rstrip("/") != served:
            continue
        named = _named(source.text.strip())
        if named:
            origin = Origin(OriginKind.DERIVED, f"{source.text} is downloaded to {served}", Place.of(document, source))
            return pool._replace(model=Fact.known(model_uris.NAME, named, origin))
    return pool


def _named(source: str) -> str:
    from servelint.engines.model_names import hub_id  # lazy: few pods download their model

    if "://" in source:
        return model_uris.hub_id(source) or model_uris.by_path(source)
    try:
        return hub_id(source)
    except ValueError:
        return model_uris.by_path(source)


def _served(command: object) -> str:
    """The path that the command line serves; "" where it serves none."""
    from servelint.engines.command import Command, Form

    if not isinstance(command, Command):
        return ""
    first = command.arguments[0] if command.arguments else None
    for argument in command.arguments:
        if argument.name in ("--model", "--model-path") or (argument is first and argument.form is Form.POSITIONAL):
            path = "" if argument.value_is_unknown else argument.value or ""
            return path.rstrip("/") if path.startswith("/") else ""
    return ""


def _option(words: list[Node], name: str) -> ScalarNode | None:
    """The word after ``name``, where each is an item of its own."""
    for word, following in pairwise(words):
        if isinstance(word, ScalarNode) and word.text == name and isinstance(following, ScalarNode):
            return following
    return None
