"""Containers that run a program of their own on an engine's image, or an image of their own that is named for an engine, and ask
for accelerators.

The engine is known by the image, and a variable may name the model of an image of its own, which also opens a port where it
starts by itself; what the program makes of the rest is not known: every fact of the engine's options is unknown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.deployment import Container, Pod, Pool
from servelint.engines import images
from servelint.facts import Fact, Origin, OriginKind, Place
from servelint.formats import containers, devices, scheduling
from servelint.formats.environment import environment
from servelint.formats.unstated_facts import without_defaults
from servelint.formats.writers import together
from servelint.source.nodes import ScalarNode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from servelint.deployment import Environment
    from servelint.engines.base import Engine
    from servelint.source.nodes import Node

MODELS = ("MODEL_ID", "MODEL_PATH", "LLM_MODEL_ID", "HF_MODEL_ID", "VLLM_MODEL", "MODEL_NAME", "MODEL")
"""Variables by which such programs are told the model."""
REASON = "the container runs a program of its own, which decides it"
# Words of what is no server: waiting, joining a cluster, measuring, fetching, training.
_OTHERS = (
    "sleep",
    "tail -f",
    "ray start",
    "bench",
    "perf",
    "download",
    "train",
    "eval",
    "nvidia-smi",
    "nccl",
    "multi-node-serving",
    "mini_lb",
    "router",
)
_PARTS = ("router", "gateway", "proxy", "bench", "client", "exporter", "sidecar", "frontend", "operator", "webui", "cache", "nim")
_SIGNS = (".py", ".sh", ":app", " -m ", "uvicorn", "serve")


def pools(pod: Pod, engines: Sequence[Engine]) -> list[Pool]:
    """A pool for each container of ``pod`` whose program is its own."""
    found = [_pool(pod, container, engines) for container in pod.node.elements_at("spec", "containers")]
    return [pool for pool in found if pool is not None]


def _pool(pod: Pod, node: Node, engines: Sequence[Engine]) -> Pool | None:
    document = pod.document
    asked = devices.devices(node)
    reference = node.text_at("image") or ""
    starts_itself = node.get("command") is None and node.get("args") is None
    if not asked.resource or not reference or not (starts_itself or _runs_a_program(node)):
        return None
    engine = engine_of(reference, engines)
    if engine is None:
        return None
    variables = environment(document, node)
    named = model_variable(variables) if starts_itself else ""
    own = engine.name in containers.words_of(reference.rpartition("/")[2]) and not engine.owns_image(reference)
    if starts_itself and not (own and (named or node.elements_at("ports"))):
        return None  # nothing says that it serves: no port, and no variable for the model
    image = containers.image(document, node, partial=pod.partial)
    label = node.get("name") or node
    name = node.text_at("name") or engine.name
    place = Place.of(document, label)
    facts: dict[str, Fact[Any]] = {"model": model(variables, named)}
    accelerator = scheduling.accelerator(document, pod.node)
    if accelerator is not None:
        facts["accelerator"] = accelerator
    pool = Pool(
        name=name,
        place=place,
        containers=(Container(name, document, node, engine.name, image, pod, None, variables),),
        gpu_resource=asked.resource,
        engine=Fact.known("engine.name", engine.name, Origin(OriginKind.FILE, "image", image.place)),
        version=engine.version(image),
        gpus_per_node=devices.count(document, node, together((document, asked.limit), (document, asked.request))),
    )
    return without_defaults(pool.with_facts(facts), REASON)


def model_variable(variables: Environment) -> str:
    """The variable that is listed and tells the model; "" where none is."""
    return next((name for name in MODELS if name in variables.listed), "")


def model(variables: Mapping[str, Fact[str]], name: str) -> Fact[str]:
    """The model that the variable ``name`` names; "" for none."""
    from servelint.engines.model_names import REMEDY, hub_id  # lazy: few containers get here

    if not name:
        return Fact.unknown("model.id", REASON)
    stated = variables[name]
    if not stated.is_known:
        return Fact.unknown("model.id", f"{name}: {stated.reason}", stated.remedy, stated.origin)
    try:
        return Fact.known("model.id", hub_id(stated.value), stated.origin or Origin(OriginKind.DERIVED, name))
    except ValueError as error:
        return Fact.unknown("model.id", f"{name}: {error}", REMEDY, stated.origin)


def engine_of(reference: str, engines: Sequence[Engine]) -> Engine | None:
    """The engine that an image is known for, or named for; None for parts that are built beside one."""
    described = [engine for engine in engines if getattr(engine, "described", True)]
    image = Fact.known(containers.IMAGE, reference, Origin(OriginKind.DERIVED, "image"))
    name = images.split(reference)[0].rpartition("/")[2].lower()
    other = images.is_stand_in(reference) or any(part in name for part in _PARTS)
    known = (e for e in described if e.owns_image(reference) or e.version(image).is_known or (e.name in name and not other))
    return next(known, None)


def is_no_server(text: str) -> bool:
    """The words of a command wait, measure, fetch or train."""
    return any(word in text.lower() for word in _OTHERS)


def _runs_a_program(node: Node) -> bool:
    items = (*node.elements_at("command"), *node.elements_at("args"))
    text = " ".join(item.text for item in items if isinstance(item, ScalarNode)).lower()
    has_command = node.get("command") is not None
    return has_command and any(sign in text for sign in _SIGNS) and not is_no_server(text)
