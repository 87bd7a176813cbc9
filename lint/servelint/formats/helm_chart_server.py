"""One server in the values of a chart whose templates are not known: how it is recognised, and where its settings stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.formats import devices, launches
from servelint.formats.bare_podspecs import named_container
from servelint.formats.helm_chart_commands import STARTS, arguments, command_of, has_own_script, script_of, starts_engine
from servelint.formats.helm_chart_images import NAMED, engine_of, engine_word, fact_of, image_of, is_other_part, is_usual
from servelint.formats.helm_chart_keys import ARGUMENTS, ENGINE_KEYS, GPU_COUNTS, MODELS, SECTIONS, flag_of, kebab
from servelint.records import NamedTuple
from servelint.source.nodes import MappingNode, ScalarNode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from servelint.engines.base import Engine
    from servelint.facts import Fact
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document, Node

REASON = "the templates of the chart may set it"
NIM = "nim"
_ASKING = frozenset(("resources", "limits", "requests", "claims", *devices.COUNTED))
_MODEL_KEYS = ("id", "name", "repo", "repo-id", "repository", "uri", "path")
# What a server has, and is none itself.
_PARTS = frozenset(("resources", "limits", "requests", "autoscaling", "affinity", "image", "env"))
# NIMs that generate no text.
_OTHER_NIMS = (
    "embed", "rerank", "retriever", "ocr", "yolox", "parse", "asr", "tts", "riva", "elements", "structure", "detection",
    "guard", "diffusion", "flux", "whisper",
)  # fmt: skip


class Server(NamedTuple):
    """A server as the values describe it.

    ``sections``: its own mapping and others that hold settings of it, the nearest first.
    ``holder``: the mapping around it whose image it has, if it has none of its own.
    """

    document: Document
    name: str
    node: MappingNode
    engine: str
    reference: str
    image: Fact[str]
    sections: tuple[MappingNode, ...]
    around: tuple[MappingNode, ...] = ()
    holder: MappingNode | None = None

    @property
    def has_image(self) -> bool:
        """Its own mapping names an image."""
        return bool(self.reference) and self.holder is None

    @property
    def frame(self) -> MappingNode | None:
        """The mapping around it, if nothing else in that has an image: what it says of pods is said of the server's."""
        outer = self.around[0] if self.around else None
        if outer is None or self.holder is not None or outer.get("image") is not None:
            return None
        others = (value for key, _, value in outer.pairs() if value is not self.node and not is_other_part(key))
        return None if any(isinstance(other, MappingNode) and other.get("image") is not None for other in others) else outer

    @property
    def names_model(self) -> bool:
        return self.engine == NIM or _model_in(self.node, _sections(self.node)) is not None


def server(
    document: Document, name: str, node: MappingNode, around: tuple[MappingNode, ...], surroundings: Surroundings
) -> Server | None:
    """The server that ``node`` describes; None where it describes none. ``around``: the mappings it stands in."""
    if kebab(name) in ARGUMENTS or name in _PARTS or is_other_part(name):
        return None
    image, reference = image_of(node)
    if reference and "/nim/" in reference:
        if not _is_llm_nim(node, reference):
            return None
        return Server(document, name, node, NIM, reference, fact_of(document, image, reference), (node,))
    engine = engine_of(reference, surroundings.engines)
    needed, holder = int(bool(around) or not engine), None  # the image of a whole chart says enough
    if not engine and (script := script_of(node)) is not None:
        engine = next((found for launcher, found in STARTS.items() if launcher in script.text), "")
    if not engine and not reference:
        engine, needed = _named(name, node, around), 2
        if not engine:  # vllmArgs, also in notes on models: a server's where there are GPUs
            engine = next((found for key, _, _ in node.pairs() if kebab(key) in ARGUMENTS and (found := engine_word(key))), "")
            if engine and _count_in((node,), tuple(_sections(node))) is None:
                return None
    if not engine and not reference and kebab(name) not in SECTIONS:
        holder = next((outer for outer in around if image_of(outer)[1]), None)
        if holder is not None:
            image, reference = image_of(holder)
            engine = engine_of(reference, surroundings.engines)
    if not engine:
        return None
    own = tuple(_sections(node))
    fact = fact_of(document, image, reference)
    described = Server(document, name, node, engine, reference, fact, own, around, holder)
    evidence = _evidence(described)
    if holder is not None and ("model" not in evidence or len(evidence) < 2):
        return None
    if "model" not in evidence:
        described = described._replace(sections=(*own, *_outer_sections(around)))
        evidence |= _evidence(described)
    if not evidence and (outer := described.frame) is not None:
        described = described._replace(sections=(*own, outer))  # app: {image: …}, and what it is started with beside it
        evidence = _evidence(described)
    return described if len(evidence) >= needed and _is_evident(described, evidence, surroundings.engines) else None


def _outer_sections(around: tuple[MappingNode, ...]) -> tuple[MappingNode, ...]:
    """The sections of the nearest mapping around a server that names a model for it."""
    for outer in around:
        if _model_in(outer, _sections(outer)) is not None:
            return tuple(_sections(outer))
    return ()


def _is_llm_nim(node: MappingNode, reference: str) -> bool:
    if any(word in reference.rpartition("/")[2].lower() for word in _OTHER_NIMS):
        return False
    return bool(devices.devices(asking(node)).resource or node.elements_at("env") or node.get("model") is not None)


def _is_evident(described: Server, evidence: set[str], engines: Sequence[Engine]) -> bool:
    """Whether an image that is only named for an engine runs it here: beside a script of one's own something says what is served,
    beside an unusual name more than a model does."""
    if not described.reference or any(engine.owns_image(described.reference) for engine in engines):
        return True
    if evidence <= {"accelerator"} and has_own_script(described.node):
        return False
    usual = is_usual(described.reference) or kebab(described.name) in NAMED
    return usual or not evidence <= {"model"}


def _named(name: str, node: MappingNode, around: tuple[MappingNode, ...]) -> str:
    """The engine that the server is named for, or that one of its keys, or of those around it, names."""
    for mapping in (node, *around[:1]):
        for value in engine_names(mapping):
            if found := engine_word(value.text):
                return found
    return engine_word(name)


def engine_names(mapping: MappingNode) -> Iterator[ScalarNode]:
    """The values of keys that name an engine, or a framework around it."""
    for key, _, value in mapping.pairs():
        if kebab(key) in ENGINE_KEYS and isinstance(value, ScalarNode):
            yield value


def _sections(node: MappingNode) -> Iterator[MappingNode]:
    yield node
    for key, _, value in node.pairs():
        if isinstance(value, MappingNode) and kebab(key) in SECTIONS:
            yield value


def _evidence(server: Server) -> set[str]:
    """What says that this is a server."""
    found = set()
    if model(server) is not None:
        found.add("model")
    if any(True for _ in arguments(server)) or starts_engine(command_of(server.node)) or script_of(server.node) is not None:
        found.add("arguments")
    if devices.devices(asking(server.node)).resource or count_of(server) is not None:
        found.add("accelerator")
    if any(flag_of(server.engine, key) for section in server.sections for key, _, _ in section.pairs()):
        found.add("settings")
    return found


def model(server: Server) -> ScalarNode | None:
    return _model_in(server.node, server.sections)


def _model_in(node: MappingNode, sections: Iterable[MappingNode]) -> ScalarNode | None:
    """What names the model: a hub id, else where the weights are, else a name."""
    found: list[ScalarNode] = []
    inner: list[Node | None] = [node.get("model")]
    for section in sections:
        inner.append(section.get("model"))
        for key, _, value in section.pairs():
            if isinstance(value, ScalarNode) and value.text and not value.is_null and kebab(key) in MODELS:
                found.append(value)
    for mapping in inner:
        if isinstance(mapping, MappingNode):
            named = {kebab(key): value for key, _, value in mapping.pairs()}
            found += [n for key in _MODEL_KEYS if isinstance(n := named.get(key), ScalarNode) and n.text]
    return min(found, key=lambda scalar: (not _is_hub_id(scalar.text), "/" not in scalar.text), default=None)


def _is_hub_id(text: str) -> bool:
    plain = text.strip().removeprefix("hf://").removeprefix("huggingface://")
    organisation, slash, model = plain.partition("/")
    return bool(slash and organisation and model) and "/" not in model and "://" not in plain


def label_of(node: MappingNode) -> ScalarNode:
    key = launches.label_of(node)
    return key if isinstance(key, ScalarNode) else ScalarNode(node.span, "", "")


def count_of(server: Server) -> ScalarNode | None:
    """A number of GPUs that stands beside ``resources``, or in it under a short name."""
    return _count_in((server.node, *([server.frame] if server.frame is not None else ())), server.sections)


def _count_in(framed: tuple[MappingNode, ...], sections: tuple[MappingNode, ...]) -> ScalarNode | None:
    resources = [resources for node in framed if isinstance(resources := node.get("resources"), MappingNode)]
    sides = [side for node in resources for key in ("limits", "requests") if isinstance(side := node.get(key), MappingNode)]
    for section in (*sections, *resources, *sides):
        for key, _, value in section.pairs():
            if kebab(key) in GPU_COUNTS and isinstance(value, ScalarNode) and devices.whole(value) is not None:
                return value
    return None


def asking(node: MappingNode) -> Node:
    """What asks for accelerators with ``resources``: the server, or a mapping in it that has limits for them."""
    if devices.devices(node).resource:
        return node
    found: list[tuple[bool, int, Node]] = []
    for inner in inside(node):
        if inner.tabulated().keys().isdisjoint(_ASKING):
            continue
        # resources: {nvidia.com/gpu: 4}; a node selector's nvidia.com/gpu.product is none.
        counts = any(inner.get(name) is not None for name in devices.COUNTED)
        flat = named_container(inner, "limits", **({"limits": inner} if counts else {}))
        for holder in (
            inner,
            named_container(inner, "resources", resources=inner),
            named_container(inner, "flat", resources=flat),
        ):
            resource = devices.devices(holder).resource
            if resource:
                found.append((resource not in devices.COUNTED, len(found), holder))
    return min(found)[2] if found else node


def asking_beside(server: Server) -> Node | None:
    """What asks for accelerators in the mapping around a server, where that holds one server only: the chart's templates bring
    the runtime and the service, or the server and its pods, together."""
    if server.frame is None:
        return None
    siblings = [
        value for key, _, value in server.frame.pairs() if isinstance(value, MappingNode) and not is_other_part(key)
    ]  # fmt: skip
    found = [holder for value in siblings if devices.devices(holder := asking(value)).resource]
    return found[0] if len(found) == 1 else None


def inside(node: MappingNode) -> Iterator[MappingNode]:
    """The mappings below ``node`` down to the third level, but for those that have an image of their own."""
    level, seen = [node], {id(node)}
    for _ in range(3):
        inner = [value for mapping in level for _, _, value in mapping.pairs() if isinstance(value, MappingNode)]
        level = []
        for value in inner:
            if id(value) not in seen and value.get("image") is None:
                seen.add(id(value))
                level.append(value)
        yield from level
