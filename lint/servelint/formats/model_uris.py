"""Models named by where their weights are: ``hf://org/name``, ``pvc://…``, ``s3://…``, ``oci://…``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.facts import Fact, Origin, OriginKind, Place

if TYPE_CHECKING:
    from servelint.source.nodes import Document, ScalarNode

NAME = "model.id"
_REMEDY = "name the model by its hub id: hf://org/name"
_HUBS = ("hf", "huggingface", "hub")


def hub_id(text: str) -> str:
    """``org/name`` of ``hf://org/name``, its revision left out; "" where the text is no such address."""
    scheme, separator, rest = text.strip().partition("://")
    if not separator or scheme.lower() not in _HUBS:
        return ""
    name = rest.strip("/").partition("@")[0].partition(":")[0]
    organisation, slash, model = name.partition("/")
    plain = bool(slash and organisation and model) and all(c.isalnum() or c in "._-/" for c in name) and "/" not in model
    return name if plain else ""


def by_path(text: str) -> str:
    """The id that the last two names of an address or a path spell (``s3://bucket/Qwen/Qwen2.5-7B-Instruct``), where the
    catalogue has exactly it; "" otherwise. Whoever mirrors a repository under its own name says what lies there, but does not
    prove it."""
    text = text.strip()
    names = [name for name in (text.partition("://")[2] or text).split("/") if name]
    if len(names) < 3 or any("$" in name or "{" in name for name in names):
        return ""
    from servelint.catalogue import models  # lazy: few addresses get here

    wanted = "/".join(names[-2:])
    entry = models.entry(wanted)
    return wanted if entry is not None and entry.id == wanted else ""


def model(document: Document, node: ScalarNode, what: str) -> Fact[str]:
    """The model whose weights ``node`` gives the address of. ``what`` names the field for people. One that only the address's
    last names spell is derived, not stated."""
    text = node.text.strip()
    origin = Origin(OriginKind.FILE, what, Place.of(document, node))
    found = hub_id(text)
    if found:
        return Fact.known(NAME, found, origin)
    if "$" in text or "{{" in text or text.startswith("<"):
        return Fact.unknown(NAME, f"{what} is filled in later ({text})", _REMEDY, origin)
    if not text:
        return Fact.unknown(NAME, f"{what} is empty", _REMEDY, origin)
    found = by_path(text)
    if found:
        return Fact.known(NAME, found, Origin(OriginKind.DERIVED, f"the last names of {what} {text}", Place.of(document, node)))
    return Fact.unknown(NAME, f"the weights come from {text}, which names no model", _REMEDY, origin)


def named(document: Document, node: ScalarNode, what: str) -> Fact[str]:
    """The model that ``node`` names, as a hub id without a scheme or as the address of its weights; it can be set there."""
    from servelint.engines.model_names import REMEDY, hub_id as plain_id  # lazy: most formats have addresses
    from servelint.formats.writers import ScalarWriter

    try:
        found = plain_id(node.text)
    except ValueError:
        return model(document, node, what)._replace(remedy=REMEDY)
    origin = Origin(OriginKind.FILE, what, Place.of(document, node))
    return Fact.known(NAME, found, origin, ScalarWriter(document, node))
