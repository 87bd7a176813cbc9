"""Ray Serve applications of one's own: Python code that starts an engine by settings it takes from environment variables.

What the code does with them is not in the manifest. A variable counts where its name can mean one thing only, as in the
samples of KubeRay (``MODEL_ID``, ``TENSOR_PARALLELISM``, ``MAX_MODEL_LEN``; ray-operator/config/samples/vllm/serve.py).
Everything else that an engine has a default for is unknown, since the code may set it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.deployment import Container, Pool
from servelint.engines.values import fact_name, integer
from servelint.facts import Fact, Origin, OriginKind, Place
from servelint.formats import model_uris, ray_cluster, ray_serve
from servelint.formats.unstated_facts import FROM_ARGUMENTS
from servelint.formats.writers import ScalarWriter
from servelint.records import NamedTuple
from servelint.source.nodes import MappingNode, ScalarNode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from servelint.formats.base import Surroundings
    from servelint.formats.ray_serve import Application
    from servelint.source.nodes import Document, Node

_CODE = "the application's own code decides it"
_REMEDY = "lint the deployment as Ray Serve LLM writes it, or give the fact in a plan"
_MODELS = ("MODEL_ID", "MODEL_NAME", "MODEL", "HF_MODEL_ID", "HF_MODEL", "LLM_MODEL_ID", "LLM_MODEL", "MODEL_PATH")
_SETTINGS: tuple[tuple[str, tuple[str, ...], Callable[[str], Any]], ...] = (
    ("tensor", ("TENSOR_PARALLELISM", "TENSOR_PARALLEL_SIZE", "TP_SIZE"), integer),
    ("pipeline", ("PIPELINE_PARALLELISM", "PIPELINE_PARALLEL_SIZE", "PP_SIZE"), integer),
    ("max_model_len", ("MAX_MODEL_LEN",), integer),
    ("gpu_memory_utilization", ("GPU_MEMORY_UTILIZATION",), float),
)
_ENGINES = ("vllm", "sglang")


class Variable(NamedTuple):
    """``document``: the one in which ``node`` can be set."""

    document: Document
    node: ScalarNode


def pool(application: Application, surroundings: Surroundings) -> Pool | None:
    """The pool of an application that serves an LLM; None where nothing says that it does."""
    own = _own_variables(application)
    placed = ray_cluster.place(application.cluster, Fact.unknown("world_size", ""))
    variables = {**_pod_variables(placed.group), **own}
    engine = _engine(application, placed.group, variables, surroundings)
    if engine is None and not _serves_llm(application, placed.group, own):
        return None
    document, label = application.document, application.label
    facts = _facts(variables)
    facts["model"] = _model(variables)
    facts.update(_arguments(application, engine.name if engine is not None else "", surroundings))
    placement = ray_cluster.place(application.cluster, ray_cluster.world_of(facts))
    if not placement.nodes.is_known and placement.group is not None and (actor := _actor(application)) is not None:
        placement = placement._replace(nodes=actor)
    found = ray_cluster.accelerator_of(None, placement.group)
    if found is not None:
        facts["accelerator"] = found
    facts["replicas_min"], facts["replicas_max"] = _replicas(application)
    for name in FROM_ARGUMENTS:
        facts.setdefault(name, Fact.unknown(fact_name(name), _CODE, _REMEDY))
    group = placement.group
    place = group.container if group is not None else application.node
    image = ray_cluster.image_of(group)
    name = application.node.text_at("name") or "application"
    origin = Origin(OriginKind.FILE, engine.sign, Place.of(engine.document, engine.node)) if engine is not None else None
    known = engine.name if engine is not None else ""
    version = _version(application, known, image, surroundings)
    if version is not None:
        facts["version"] = version
    code = application.node.text_at("import_path") or "the application"
    facts["engine"] = Fact.unknown("engine.name", f"{code} is code of its own, and nothing names its engine", _REMEDY)
    if origin is not None:
        facts["engine"] = Fact.known("engine.name", known, origin)
    container = Container(name, document.physical, place, known, image, group.pod(application.owner) if group else None)
    result = Pool(name=name, place=Place.of(document, label), containers=(container,), **placement.facts())
    return result.with_facts(facts)


def _actor(application: Application) -> Fact[int] | None:
    """One node, where the actor of the application's one deployment holds the GPUs of the engine itself; None otherwise.

    An engine over several actors has them in a placement group, and the actor that starts it then asks for no GPU.
    """
    listed = application.node.elements_at("deployments")
    if len(listed) != 1 or listed[0].get("placement_group_bundles") is not None:
        return None
    asked = listed[0].get("ray_actor_options", "num_gpus")
    if not isinstance(asked, ScalarNode) or not asked.text.isdigit() or asked.text == "0":
        return None
    origin = Origin(OriginKind.DERIVED, "the actor holds the GPUs itself", Place.of(application.document, asked))
    return Fact.known("nodes", 1, origin)


class _Engine(NamedTuple):
    """``sign``: what says so, for people."""

    name: str
    sign: str
    document: Document
    node: Node


def _own_variables(application: Application) -> dict[str, Variable]:
    """``runtime_env.env_vars`` of the application and of its deployments."""
    found: dict[str, Variable] = {}
    for environment in _environments(application):
        for name, _, value in environment.entries_at("env_vars"):
            if isinstance(value, ScalarNode):
                found.setdefault(name, Variable(application.document, value))
    return found


def _environments(application: Application) -> Iterator[Node]:
    nodes = [application.node.get("runtime_env")]
    nodes += [d.get("ray_actor_options", "runtime_env") for d in application.node.elements_at("deployments")]
    yield from (node for node in nodes if isinstance(node, MappingNode))


def _pod_variables(group: ray_cluster.Group | None) -> dict[str, Variable]:
    """The variables of the pods that run the engine; those whose value is elsewhere are left out."""
    found: dict[str, Variable] = {}
    for item in group.container.elements_at("env") if group is not None else []:
        name, value = item.text_at("name"), item.get("value")
        if group is not None and name and isinstance(value, ScalarNode):
            found[name] = Variable(group.document, value)
    return found


def _engine(
    application: Application, group: ray_cluster.Group | None, variables: dict[str, Variable], surroundings: Surroundings
) -> _Engine | None:
    """The engine that a requirement, the image, a class or a variable of its own names."""
    known = [name for name in _ENGINES if any(engine.name == name for engine in surroundings.engines)]
    signs: list[tuple[Document, Node, str, str]] = []
    for environment in _environments(application):
        listed = (*environment.elements_at("pip"), *environment.elements_at("pip", "packages"), *environment.elements_at("uv"))
        signs += [(application.document, item, item.text, "pip") for item in listed if isinstance(item, ScalarNode)]
    for path, what in ((("import_path",), "import_path"), (("name",), "name")):
        node = application.node.get(*path)
        if isinstance(node, ScalarNode):
            signs.append((application.document, node, node.text, what))
    for deployment in application.node.elements_at("deployments"):
        node = deployment.get("name")
        if isinstance(node, ScalarNode):
            signs.append((application.document, node, node.text, "deployments[].name"))
    image = group.container.get("image") if group is not None else None
    if group is not None and isinstance(image, ScalarNode):
        signs.append((group.document, image, image.text, "image"))
    signs += [(variable.document, variable.node, name, name) for name, variable in variables.items()]
    for document, node, text, what in signs:
        for name in known:
            if name in text.lower():
                return _Engine(name, what, document, node)
    return None


def _serves_llm(application: Application, group: ray_cluster.Group | None, own: dict[str, Variable]) -> bool:
    """It names a model, and its code, its classes or its image say LLM."""
    if not any(name in own for name in _MODELS):
        return False
    texts = [application.node.text_at("import_path"), application.node.text_at("name")]
    texts += [deployment.text_at("name") for deployment in application.node.elements_at("deployments")]
    texts.append(group.container.text_at("image") if group is not None else None)
    return any(mark in (text or "").lower() for text in texts for mark in ("llm", "chat", "llama"))


def _model(variables: dict[str, Variable]) -> Fact[str]:
    facts = [model_uris.named(variables[name].document, variables[name].node, name) for name in _MODELS if name in variables]
    named = {fact.value: fact for fact in facts if fact.is_known}
    if len(named) == 1:
        return next(iter(named.values()))
    if named:
        return Fact.unknown("model.id", "several variables name models: " + ", ".join(named), _REMEDY)
    return facts[0] if facts else Fact.unknown("model.id", f"{_CODE}: no variable names the model", _REMEDY)


def _arguments(application: Application, engine: str, surroundings: Surroundings) -> dict[str, Fact[Any]]:
    """Facts of ``args`` where all of them that are written with dashes are options of the engine.

    So does the vLLM example in Ray's documentation: its builder hands ``args`` to vLLM's own parser.
    """
    args = application.node.get("args")
    runs = next((e for e in surroundings.engines if e.name == engine), None)
    if runs is None or not isinstance(args, MappingNode):
        return {}
    from servelint.engines import config_arguments  # lazy: few applications have arguments
    from servelint.engines.flags import flag_table

    command = config_arguments.command(engine, application.document, args, flag_table(engine), None, launcher="Ray Serve")
    strange = [a for a in command.arguments if a.flag is None and "-" in a.words[0].text]
    if strange or not any(a.flag is not None and "-" in a.words[0].text for a in command.arguments):
        return {}
    stated = runs.facts(command, {})
    return {field: fact for field, fact in stated.items() if fact.is_known or fact.origin is not None}


def _facts(variables: dict[str, Variable]) -> dict[str, Fact[Any]]:
    found: dict[str, Fact[Any]] = {}
    for field, names, parse in _SETTINGS:
        written = [name for name in names if name in variables]
        if not written:
            continue
        document, node = variables[written[0]]
        origin = Origin(OriginKind.FILE, written[0], Place.of(document, node))
        name = fact_name(field)
        try:
            value = parse(node.text)
        except ValueError:
            reason = f"{written[0]} is {node.text!r}, which is filled in later or no number"
            found[field] = Fact.unknown(name, reason, origin=origin)
            continue
        found[field] = Fact.known(name, value, origin, ScalarWriter(document, node))
    return found


def _replicas(application: Application) -> tuple[Fact[int], Fact[int]]:
    """Replicas of the one deployment of the application; which of several holds the engine is not stated."""
    listed = application.node.elements_at("deployments")
    if len(listed) == 1:
        return ray_serve.replicas(application.document, listed)
    reason = "the application's code says how many replicas its deployments have"
    if listed:
        reason = "the application has several deployments; which of them runs the engine is not stated"
    return Fact.unknown("replicas.min", reason), Fact.unknown("replicas.max", reason)


def _version(application: Application, engine: str, image: Fact[str], surroundings: Surroundings) -> Fact[Any] | None:
    found = ray_serve.installed(application.document, list(_environments(application)), engine) if engine else None
    if found is not None:
        return found
    runs = next((e for e in surroundings.engines if e.name == engine), None)
    return runs.version(image) if runs is not None else None
