"""Images in the values of charts: how they are written, and whose they are by their name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.engines import images
from servelint.facts import Fact, Origin, OriginKind, Place
from servelint.formats import containers
from servelint.formats.containers import IMAGE
from servelint.formats.helm_chart_keys import kebab
from servelint.source.nodes import MappingNode, ScalarNode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from servelint.engines.base import Engine
    from servelint.source.nodes import Document

REMEDY = "lint the rendered chart: helm template … | servelint check -"
NAMED = {
    "vllm": "vllm", "sglang": "sglang", "tgi": "tgi", "trtllm": "trtllm", "tensorrtllm": "trtllm", "textgeneration": "tgi",
}  # fmt: skip
_IMAGES = frozenset(("image", "imageRepository"))
# Images that are named for an engine they do not run; vllm-sr is vLLM's semantic router.
_NO_ENGINES = frozenset((
    "router", "gateway", "bench", "exporter", "client", "frontend", "proxy", "operator", "sidecar", "webui", "benchmark",
    "tokenizer", "render", "renderer", "downloader", "sr", "controller", "playground", "metrics",
))  # fmt: skip
# What builds of an engine add to its name: for what they are built, and that they serve. Other words may name anything that is
# built around it, and then an image and a model are too little.
_BUILDS = frozenset((
    "openai", "server", "serve", "serving", "cpu", "gpu", "cuda", "rocm", "gaudi", "hpu", "xpu", "tpu", "neuron", "spyre",
    "openvino", "arm64", "amd64", "ubi8", "ubi9", "rhel8", "rhel9", "dev", "nightly", "base", "runtime", "nm", "odh", "text",
    "generation", "inference", "tensorrt", "llm", *NAMED,
))  # fmt: skip


def image_of(node: MappingNode) -> tuple[ScalarNode | None, str]:
    """``image`` as a text or as a mapping: what names it, and its reference, with the tag that stands in it or beside it."""
    if node.tabulated().keys().isdisjoint(_IMAGES):
        return None, ""
    image = node.get("image")
    if isinstance(image, MappingNode):
        name, tag = image.get("repository") or image.get("name") or image.get("image"), image.get("tag")
        registry = image.text_at("registry") or ""
    else:
        name, tag = image or node.get("imageRepository"), node.get("tag") or node.get("imageTag")
        registry = ""
    if not isinstance(name, ScalarNode) or not name.text.strip():
        return None, ""
    reference = name.text.strip()
    if registry and not reference.startswith(registry):
        reference = f"{registry.rstrip('/')}/{reference}"
    if isinstance(tag, ScalarNode) and tag.text.strip() and ":" not in reference.rpartition("/")[2] and "@" not in reference:
        reference = f"{reference}:{tag.text.strip()}"
    return name, reference


def fact_of(document: Document, name: ScalarNode | None, reference: str) -> Fact[str]:
    if name is None:
        return Fact.unknown(IMAGE, "the values name no image")
    return containers.referred(reference, Origin(OriginKind.FILE, "image", Place.of(document, name)), REMEDY)


def engine_of(reference: str, engines: Sequence[Engine]) -> str:
    if not reference:
        return ""
    owner = next((e.name for e in engines if e.name in NAMED and e.owns_image(reference)), "")
    if owner:
        return owner
    # An image whose own name is the engine's: rocm/vllm, lmsysorg/sglang, my-registry/vllm-custom. A router's is not.
    words = containers.words_of(_last(reference))
    return "" if words & _NO_ENGINES or images.is_stand_in(reference) else engine_word(_last(reference))


def _last(reference: str) -> str:
    return images.split(reference)[0].rpartition("/")[2].lower()


def is_usual(reference: str) -> bool:
    """Whether the name of an image says no more than the engine and what it is built for."""
    return containers.words_of(_last(reference)) <= _BUILDS


def engine_word(text: str) -> str:
    """The engine that one of the words of ``text`` is the name of."""
    words = kebab(text).replace("/", "-").split("-")
    joined = "".join(words)
    return next((found for word in (*words, joined) if (found := NAMED.get(word, ""))), "")


def is_other_part(name: str) -> bool:
    """A part of the chart that is named for what stands around servers, though it may have the engine's image."""
    return not _NO_ENGINES.isdisjoint(kebab(name).split("-"))
