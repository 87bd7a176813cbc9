"""InferenceService and ServingRuntime: a model, and the server that runs it.

An InferenceService names a model and a format (or a runtime by its name); the runtime's container runs with its own arguments
followed by those of the service. ``workerSpec`` makes groups of pods joined by Ray. A custom predictor brings its containers.

Sources: KServe 0.17 ``pkg/controller/v1beta1/inferenceservice/{components/predictor,utils/utils}.go``
(``MergeRuntimeContainers``, ``multiNodeProcess``), ``config/runtimes``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.deployment import Container, Deployment, Pod, Pool
from servelint.facts import Fact, Origin, OriginKind, Place
from servelint.formats import (
    containers,
    controller_words,
    devices,
    huggingface_server,
    knative_scale,
    kserve_workers as workers,
    launches,
    model_uris,
    objects,
    podspec,
    scheduling,
)
from servelint.formats.bare_podspecs import template_of, template_with
from servelint.formats.completed_commands import completed
from servelint.formats.environment import environment
from servelint.formats.unstated_facts import without_defaults
from servelint.formats.writers import together
from servelint.records import NamedTuple
from servelint.source.nodes import MappingNode, ScalarNode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from servelint.engines.command import Program, Word
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document, Node

MAIN = "kserve-container"
NOTE = "this is a serving runtime; the InferenceService that uses it names the model"
_GROUP = "serving.kserve.io/"
_RUNTIMES = ("ServingRuntime", "ClusterServingRuntime")
_FRAMEWORKS = ("model", "huggingface")  # the second: predictors of KServe before 0.14
_TELLING = ("--tensor-parallel-size", "--max-model-len", "--gpu-memory-utilization", "--max_model_len", "--tensor_parallel_size")
# How a runtime starts an engine, by the engine that its name or the model's format says.
_LAUNCHES = {
    "vllm": ("vllm", "serve", "/mnt/models"),
    "sglang": ("python3", "-m", "sglang.launch_server", "--model-path", "/mnt/models"),
    "tgi": ("text-generation-launcher", "--model-id", "/mnt/models"),
    "huggingface": (*huggingface_server.LAUNCH, "--model_dir=/mnt/models"),
}
_SPELLINGS = {
    "vllm": "vllm", "sglang": "sglang", "sgl": "sglang", "tgi": "tgi", "text-generation-inference": "tgi",
    "huggingfaceserver": "huggingface", "huggingface": "huggingface", "nvidia-nim": "nim",
}  # fmt: skip


def serving_runtime(document: Document, item: Node, surroundings: Surroundings) -> Iterator[Deployment]:
    unseen = "the InferenceService that uses this runtime"
    pools = [huggingface_server.settled(_open(pool, unseen)) for pool in _runtime(document, item, surroundings, unseen)]
    if pools:
        yield Deployment(controller_words.label_of(item).text, "kserve", document, tuple(pools), notes=(NOTE,))


def inference_service(document: Document, item: Node, surroundings: Surroundings) -> Iterator[Deployment]:
    predictor = item.get("spec", "predictor")
    if not isinstance(predictor, MappingNode):
        return
    framework = next((key for key in _FRAMEWORKS if isinstance(predictor.get(key), MappingNode)), "")
    if framework:
        pools = _modelled(document, item, predictor, framework, surroundings)
    else:
        pools = _custom(document, item, predictor, surroundings)
    if not pools:
        return
    name = controller_words.label_of(item).text
    for pool in pools:
        podspec.report_invalid(surroundings, name, pool.replicas_min)
    yield Deployment(name, "kserve", document, tuple(pools))


def _runtime(document: Document, item: Node, surroundings: Surroundings, unseen: str) -> list[Pool]:
    """The pools of a runtime. ``unseen``: whoever states the rest."""
    spec = item.get("spec")
    if not isinstance(spec, MappingNode):
        return []
    degrees = workers.degrees(document, spec.get("workerSpec"))
    kind = item.text_at("kind") or ""
    template = template_of(spec)
    started = huggingface_server.started(document)
    pools = podspec.engine_pools(document, template, surroundings, owner=kind, given=workers.given(degrees), started=started)
    finished = []
    for pool in pools:
        facts: dict[str, Fact[Any]] = {
            "model": Fact.unknown(model_uris.NAME, f"it is named by {unseen}"),
            "replicas_min": Fact.unknown(launches.REPLICAS, f"they are stated by {unseen}"),
            "replicas_max": Fact.unknown("replicas.max", f"they are stated by {unseen}"),
            "nodes": workers.nodes(spec.get("workerSpec"), pool, degrees),
        }
        if pool.model.is_known:
            del facts["model"]
        if not pool.gpu_resource:
            facts["gpus_per_node"] = Fact.unknown(devices.NAME, f"they are asked for by {unseen}")
        facts.update({field: fact for field, fact in degrees.items() if not getattr(pool, field).is_known})
        finished.append(_partial(pool.with_facts(facts)))
    return finished


def _modelled(document: Document, item: Node, predictor: MappingNode, framework: str, surroundings: Surroundings) -> list[Pool]:
    """The pools of a predictor that names a model; the runtime's container is the server."""
    container = predictor.get(framework)
    if not isinstance(container, MappingNode):
        return []
    runtime_name = container.text_at("runtime") or ""
    runtime = _runtime_of(surroundings, runtime_name)
    bases = _runtime(*runtime, surroundings, "the InferenceService") if runtime is not None else []
    base = next((pool for pool in bases if pool.containers[0].name == MAIN), bases[0] if len(bases) == 1 else None)
    if runtime is not None and base is None:
        return []  # the runtime is of another kind of server
    if base is not None:
        server = "huggingface" if huggingface_server.runs(base) else base.engine.get("")
    else:
        server = _server(framework, container, runtime_name)
    if not server:
        return []
    named = f"the ServingRuntime {runtime_name}" if runtime_name else "the ServingRuntime of its format"
    unseen = "" if base is not None else named
    degrees = workers.degrees(document, predictor.get("workerSpec"))
    service = _Service(document, predictor, container, degrees, unseen, item)
    template = template_with(predictor, container)
    if server in _LAUNCHES:
        started = _Starter(document, container, server, unseen).programs
        given = workers.given(degrees)
        pools = podspec.engine_pools(document, template, surroundings, owner="InferenceService", given=given, started=started)
    else:
        pools = [service.served_by(server, template)]
    finished = []
    for stated in pools:
        pool = service.placed(stated, alone=base is None)
        if base is not None:
            pool = completed(pool, base, surroundings.engines, appended=container.get("command") is None)
        finished.append(service.finished(pool))
    return finished


class _Service(NamedTuple):
    """A predictor that names a model. ``unseen``: the runtime where it is not at hand, else "". ``item``: the object."""

    document: Document
    predictor: MappingNode
    container: MappingNode
    degrees: Mapping[str, Fact[int]]
    unseen: str
    item: Node

    def served_by(self, server: str, template: Node) -> Pool:
        """The pool of a server that reads no command line which could be put together here."""
        document, node = self.document, self.container
        label = node.get("runtime") or node.get("modelFormat", "name") or node
        place = Place.of(document, label)
        pod = Pod(document, template, "InferenceService", partial=True)
        variables = environment(document, node)
        asked = devices.devices(node)
        writer = together((document, asked.limit), (document, asked.request))
        pool = Pool(
            name=MAIN,
            place=place,
            containers=(Container(MAIN, document, node, server, containers.image(document, node), pod, None, variables),),
            gpu_resource=asked.resource,
            engine=Fact.known("engine.name", server, Origin(OriginKind.FILE, "runtime", place)),
            gpus_per_node=devices.count(document, node, writer),
        )
        accelerator = scheduling.accelerator(document, template)
        pool = pool if accelerator is None else pool._replace(accelerator=accelerator)
        return without_defaults(pool, f"{server} takes its arguments from {self.unseen or 'its runtime'}")

    def placed(self, pool: Pool, *, alone: bool) -> Pool:
        """The pool with what the predictor says of its pods. ``alone``: no runtime completes it."""
        facts: dict[str, Any] = {name: fact for name, fact in self.degrees.items() if not getattr(pool, name).is_known}
        facts["replicas_min"], facts["replicas_max"] = _replicas(self.document, self.item, self.predictor)
        worker = self.predictor.get("workerSpec")
        if worker is not None or alone:
            facts["nodes"] = workers.nodes(worker, pool, self.degrees)
        if alone and not pool.gpu_resource:
            facts["gpus_per_node"] = Fact.unknown(devices.NAME, f"{self.unseen} may ask for accelerators")
        pool = _partial(pool.with_facts(facts))
        return pool if self.container.text_at("name") else pool._replace(name=MAIN)

    def finished(self, pool: Pool) -> Pool:
        pool = _model(self.document, self.container, pool)
        return huggingface_server.settled(_open(pool, self.unseen) if self.unseen else pool)


def _custom(document: Document, item: Node, predictor: MappingNode, surroundings: Surroundings) -> list[Pool]:
    degrees = workers.degrees(document, predictor.get("workerSpec"))
    started = huggingface_server.started(document)
    pools = podspec.engine_pools(
        document, template_of(predictor), surroundings, owner="InferenceService", given=workers.given(degrees), started=started
    )
    low, high = _replicas(document, item, predictor)
    finished = []
    for pool in pools:
        nodes = workers.nodes(predictor.get("workerSpec"), pool, degrees)
        placed = _partial(pool)._replace(replicas_min=low, replicas_max=high, nodes=nodes)
        finished.append(huggingface_server.settled(_from_environment(document, placed)))
    return finished


class _Starter:
    """The command line of the service's container, as far as the service says it."""

    def __init__(self, document: Document, container: MappingNode, server: str, unseen: str) -> None:
        self._document = document
        self._container = container
        self._server = server
        self._unseen = unseen

    def programs(self, container: Node, environment: Mapping[str, Fact[str]]) -> Sequence[Program] | None:
        if container.get("command") is not None:
            own = huggingface_server.started(self._document)
            return own(container, environment)
        label = self._container.get("modelFormat", "name") or self._container.get("storageUri")
        anchor = label if isinstance(label, ScalarNode) else controller_words.label_of(self._container)
        made: list[Word] = controller_words.words(anchor, *_LAUNCHES[self._server])
        if self._unseen and self._server == "vllm":
            made.append(controller_words.unseen(anchor, self._unseen))
        made += controller_words.of_items(self._document, container.elements_at("args"), environment)
        program = controller_words.program(self._document, made)
        return (huggingface_server.as_vllm(program) or program,)


def _runtime_of(surroundings: Surroundings, name: str) -> tuple[Document, Node] | None:
    found = (objects.named_of(surroundings, _GROUP, kind, name) for kind in _RUNTIMES)
    return next((each for each in found if each is not None), None)


def _server(framework: str, container: MappingNode, runtime: str) -> str:
    """The engine that the model's format, the runtime's name or the arguments say; "" for models of other kinds."""
    if framework == "huggingface":
        return "huggingface"
    named = (container.text_at("modelFormat", "name") or "").lower()
    if named in _SPELLINGS:
        return _SPELLINGS[named]
    for words in (runtime.lower(), named if named.startswith("nvidia-nim") else ""):
        for spelling, server in _SPELLINGS.items():
            if spelling in words and spelling != "sgl":
                return server
    arguments = [node.text for node in container.elements_at("args") if isinstance(node, ScalarNode)]
    return "vllm" if any(text.startswith(_TELLING) for text in arguments) else ""


def _partial(pool: Pool) -> Pool:
    """What the pod lacks, the runtime or the controller may add."""
    first, *rest = pool.containers
    if first.pod is not None:
        first = first._replace(pod=first.pod._replace(partial=True))
    if not first.image.is_known and first.node.get("image") is None:
        first = first._replace(image=Fact.unknown(containers.IMAGE, "the image is set by the ServingRuntime"))
    return pool._replace(containers=(first, *rest))


def _open(pool: Pool, unseen: str) -> Pool:
    """Arguments that ``unseen`` may add: what is not stated has no default."""
    first, *rest = pool.containers
    if first.command is not None and first.command.complete:
        first = first._replace(command=first.command.with_arguments(first.command.arguments, unseen))
        return pool._replace(containers=(first, *rest))
    return pool


def _model(document: Document, container: MappingNode, pool: Pool) -> Pool:
    """The model by its storage, unless the command line names one by its id."""
    if pool.model.is_known:
        return pool
    node = container.get("storageUri")
    if isinstance(node, ScalarNode):
        return pool._replace(model=model_uris.model(document, node, "storageUri"))
    storage = container.get("storage", "path") or container.get("storage", "key")
    if isinstance(storage, ScalarNode):
        reason = f"the weights come from the storage {storage.text}, which names no model"
        return pool._replace(model=Fact.unknown(model_uris.NAME, reason))
    return pool


def _from_environment(document: Document, pool: Pool) -> Pool:
    """The model by the variable from which KServe's storage initializer downloads it."""
    node = pool.containers[0].node
    for variable in node.elements_at("env"):
        value = variable.get("value")
        if variable.text_at("name") == "STORAGE_URI" and isinstance(value, ScalarNode) and not pool.model.is_known:
            return pool._replace(model=model_uris.model(document, value, "STORAGE_URI"))
    return pool


def _replicas(document: Document, item: Node, predictor: MappingNode) -> tuple[Fact[int], Fact[int]]:
    """``minReplicas`` (1 by default; 0 scales to zero) and ``maxReplicas`` (0 or absent: no limit).

    In the mode that makes Deployments its autoscaler has no ``maxReplicas`` below ``minReplicas``, so that without one the
    number is fixed, and a HorizontalPodAutoscaler keeps one replica at least (reconcilers/{hpa,keda,deployment}).
    """
    one = Fact.known(launches.REPLICAS, 1, Origin(OriginKind.DEFAULT, "default of KServe for minReplicas"))
    low = launches.whole(document, predictor.get("minReplicas"), launches.REPLICAS, "minReplicas") or one
    high = launches.whole(document, predictor.get("maxReplicas"), "replicas.max", "maxReplicas")
    scaler = item.text_at("metadata", "annotations", f"{_GROUP}autoscalerClass") or "hpa"
    mode = item.text_at("metadata", "annotations", knative_scale.KSERVE_MODE)
    plain = mode in knative_scale.WITHOUT_KNATIVE and scaler in ("hpa", "keda", "none") and predictor.get("workerSpec") is None
    if plain and scaler == "hpa" and low.is_known and low.value == 0:
        low = one._replace(origin=Origin(OriginKind.DERIVED, "its HorizontalPodAutoscaler keeps one replica", low.place))
    unbound = high is None or (high.is_known and high.value == 0)
    if plain and (scaler == "none" or (unbound and low.get(0) > 0)):
        return low, low._replace(name="replicas.max")
    if high is None or unbound:
        kept = None
        if mode not in knative_scale.WITHOUT_KNATIVE and predictor.get("workerSpec") is None:
            kept = knative_scale.most_under_kserve(document, predictor.get("annotations"), item.get("metadata", "annotations"))
        high = kept or Fact.unknown("replicas.max", "maxReplicas is not set, so the autoscaler decides")
    return low, high
