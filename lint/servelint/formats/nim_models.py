"""The model of a NIM: by its environment, by the cache that holds it, or by the path of its image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.engines.nim_facts import ANY_MODEL, REMEDY
from servelint.facts import Fact, Origin, OriginKind, Place
from servelint.formats import model_uris
from servelint.source.nodes import ScalarNode

if TYPE_CHECKING:
    from servelint.source.nodes import Document, Node

NAME = model_uris.NAME


def variable_model(variable: Fact[str]) -> Fact[str]:
    """The model by NIM_MODEL_NAME: ``hf://org/name``, ``ngc://…``, a name in NGC, or a directory."""
    if not variable.is_known:
        return Fact.unknown(NAME, f"NIM_MODEL_NAME: {variable.reason}", variable.remedy, variable.origin)
    origin = variable.origin or Origin(OriginKind.FILE, "NIM_MODEL_NAME")
    text = variable.value.strip()
    plain = text.removeprefix("ngc://")
    name = model_uris.hub_id(text) or ("" if "://" in plain else plain.partition(":")[0])
    if not name or name.startswith("/") or "$" in name:
        return Fact.unknown(NAME, f"the weights come from {text}, which names no model", REMEDY, origin)
    return Fact.known(NAME, name, origin._replace(text="NIM_MODEL_NAME"))


def cached_model(document: Document, cache: Node) -> Fact[str] | None:
    """The model that a NIMCache holds, where it says so itself or by the image it takes it from."""
    for key in ("hf", "dataStore"):
        node = cache.get("spec", "source", key, "modelName")
        if isinstance(node, ScalarNode) and node.text:
            owner = cache.text_at("spec", "source", key, "namespace")
            name = node.text if "/" in node.text or not owner else f"{owner}/{node.text}"
            return Fact.known(NAME, name, Origin(OriginKind.FILE, "modelName of the NIMCache", Place.of(document, node)))
    endpoint = cache.get("spec", "source", "ngc", "modelEndpoint")
    if isinstance(endpoint, ScalarNode) and endpoint.text:
        name = model_uris.hub_id(endpoint.text) or endpoint.text.partition("://")[2] or endpoint.text
        origin = Origin(OriginKind.FILE, "modelEndpoint of the NIMCache", Place.of(document, endpoint))
        return Fact.known(NAME, name.partition(":")[0], origin)
    puller = cache.get("spec", "source", "ngc", "modelPuller")
    if not isinstance(puller, ScalarNode):
        return None
    origin = Origin(OriginKind.FILE, "modelPuller of the NIMCache", Place.of(document, puller))
    return image_model(Fact.known("engine.image", puller.text, origin))


def image_model(image: Fact[str]) -> Fact[str]:
    """``org/name`` of ``nvcr.io/nim/org/name:tag``; mirrors keep the path below ``nim/``."""
    if not image.is_known:
        return Fact.unknown(NAME, image.reason, REMEDY, image.origin)
    path = image.value.partition("@")[0]
    head, colon, tag = path.rpartition(":")
    path = head if colon and "/" not in tag else path
    _, found, name = path.partition("/nim/")
    name = name.partition(":")[0]  # a repository that was given a tag of its own
    origin = image.origin or Origin(OriginKind.FILE, "image")
    if not found or name.count("/") != 1:
        return Fact.unknown(NAME, f"the image {image.value} does not say which model it holds", REMEDY, origin)
    if name.rpartition("/")[2] in ANY_MODEL:
        return Fact.unknown(NAME, f"{name} runs any model, and which one is not stated", REMEDY, origin)
    return Fact.known(NAME, name, origin)
