"""What the NIM operator makes of its objects, and what the NIM containers read from their environment.

A NIM is an image that holds one model (or, as ``llm-nim``, any) and chooses one of its profiles by the GPUs it finds. With
``multiNode`` the operator makes groups of ``parallelism.pipeline`` pods with ``parallelism.tensor`` GPUs each.

Source: NVIDIA/k8s-nim-operator ``api/apps/v1alpha1/nim{service,cache}_types.go`` (``getLWSCommonEnv``, ``GetLWSSize``) and
``internal/controller/platform/standalone/nimservice.go`` (``addGPUResources``); on KServe ``GetInferenceServiceParams``, whose
annotations KServe filters as any (:mod:`servelint.formats.knative_scale`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.deployment import Container, Deployment, Pod, Pool
from servelint.engines.versions import Version
from servelint.facts import Fact, FactState, Origin, OriginKind, Place
from servelint.formats import containers, controller_words, devices, engine_processes, launches, objects, podspec, scheduling
from servelint.formats.bare_podspecs import template_of
from servelint.formats.environment import environment
from servelint.formats.nim_models import cached_model, image_model, variable_model
from servelint.formats.unstated_facts import without_defaults
from servelint.formats.writers import together
from servelint.records import NamedTuple
from servelint.source.nodes import MappingNode, ScalarNode
from servelint.source.scalars import whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from servelint.deployment import Environment
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document, Node

ENGINE = "nim"
NOTE = "this is a cache of a model; the NIMService that uses it states the rest"
_NUMBERS = (
    ("tensor", "NIM_TENSOR_PARALLEL_SIZE", "parallelism.tensor"),
    ("pipeline", "NIM_PIPELINE_PARALLEL_SIZE", "parallelism.pipeline"),
    ("max_model_len", "NIM_MAX_MODEL_LEN", "limits.max_model_len"),
)
_CHOSEN = "NIM chooses a profile by the GPUs it finds"
_REMEDY = "state NIM_TENSOR_PARALLEL_SIZE, or name the profile's degree in a NIMCache"


class _Cache(NamedTuple):
    """A NIMCache at hand."""

    document: Document
    node: Node


def deployments(document: Document, item: Node, surroundings: Surroundings) -> Iterator[Deployment]:
    kind = item.text_at("kind") or ""
    name = controller_words.label_of(item).text
    spec = item.get("spec")
    if not isinstance(spec, MappingNode):
        return
    if kind == "NIMCache":
        if name not in _used(surroundings):
            yield Deployment(name, "nim", document, (_cache_pool(_Cache(document, item)),), notes=(NOTE,))
        return
    services = [(name, spec)] if kind == "NIMService" else _of_pipeline(spec)
    for title, service in services:
        pool = _Service(document, service, kind, _cache(service, surroundings)).pool(surroundings)
        podspec.report_invalid(surroundings, title, pool.replicas_min)
        yield Deployment(title, "nim", document, (pool,))


def _of_pipeline(spec: MappingNode) -> list[tuple[str, MappingNode]]:
    """The services of a pipeline that are not switched off."""
    found = []
    for service in spec.elements_at("services"):
        inner = service.get("spec")
        if isinstance(inner, MappingNode) and (service.text_at("enabled") or "true").lower() != "false":
            found.append((service.text_at("name") or "service", inner))
    return found


def _used(surroundings: Surroundings) -> set[str]:
    """The names of the caches that services at hand use."""
    specs = [item.get("spec") for _, item in objects.of_kind(surroundings, "NIMService")]
    for _, item in objects.of_kind(surroundings, "NIMPipeline"):
        specs += [service.get("spec") for service in item.elements_at("spec", "services")]
    return {spec.text_at("storage", "nimCache", "name") or "" for spec in specs if spec is not None}


def _cache(service: MappingNode, surroundings: Surroundings) -> _Cache | None:
    name = service.text_at("storage", "nimCache", "name")
    found = objects.named(surroundings, "NIMCache", name) if name else None
    return _Cache(*found) if found is not None and (found[1].text_at("apiVersion") or "").startswith("apps.nvidia.com/") else None


class _Service(NamedTuple):
    """One service. ``kind``: of the object that holds it."""

    document: Document
    node: MappingNode
    kind: str
    cache: _Cache | None

    def pool(self, surroundings: Surroundings) -> Pool:
        document, node = self.document, self.node
        template = template_of(node)
        variables = environment(document, node)
        image = _image(document, node.get("image"))
        place = Place.of(document, node.get("image", "repository") or node)
        pod = Pod(document, template, self.kind, partial=True)
        container = Container(ENGINE, document, node, ENGINE, image, pod, None, variables)
        degrees = self._degrees(variables)
        asked = devices.devices(node)
        low, high = self._replicas()
        facts: dict[str, Any] = {
            **degrees,
            "model": self._model(image, variables),
            "nodes": self._nodes(),
            "replicas_min": low,
            "replicas_max": high,
            "gpus_per_node": self._gpus(asked, degrees),
        }
        accelerator = scheduling.accelerator(document, template) or (_cached_accelerator(self.cache) if self.cache else None)
        device = self._claimed_device()
        if device is not None and not asked.resource:
            from servelint.formats import device_claims  # lazy: few services claim their devices

            placed = accelerator or Pool._field_defaults["accelerator"]
            facts["gpus_per_node"], claimed = device_claims.created(document, device, placed)
            accelerator = claimed or accelerator
        if accelerator is not None:
            facts["accelerator"] = accelerator
        resource = asked.resource or (devices.DYNAMIC if node.elements_at("draResources") else "nvidia.com/gpu")
        pool = Pool(
            name=ENGINE,
            place=place,
            containers=(container,),
            gpu_resource=resource,
            engine=_engine(image, place),
            version=_version(image),
        )
        pool = _read_by_engine(pool, surroundings)
        known = {name for name, fact in facts.items() if fact.state is not FactState.UNKNOWN}
        facts = {name: fact for name, fact in facts.items() if name in known or not getattr(pool, name).is_known}
        pool = pool.with_facts(facts)
        if resource == devices.DYNAMIC and device is None:
            from servelint.formats import device_claims  # lazy, as above

            pool = device_claims.by_claims(pool, [(claim, ()) for claim in node.elements_at("draResources")], surroundings)
        return without_defaults(pool, _CHOSEN, _REMEDY)

    def _claimed_device(self) -> Node | None:
        """The one kind of device of the one claim that the operator makes for the service."""
        claims = self.node.elements_at("draResources")
        wanted = claims[0].elements_at("claimCreationSpec", "devices") if len(claims) == 1 else []
        return wanted[0] if len(wanted) == 1 else None

    def _degrees(self, variables: Environment) -> dict[str, Fact[int]]:
        """Degrees and lengths by the container's environment, ``multiNode`` and the cache, in this order."""
        found: dict[str, Fact[int]] = {}
        for field, variable, name in _NUMBERS:
            if variable in variables.listed:
                found[field] = _number(variables[variable], name, variable)
        for field, key in (("tensor", "tensor"), ("pipeline", "pipeline")):
            fact = self._group(f"parallelism.{field}", "parallelism", key)
            ours = found.get(field)
            if fact is not None and ours is not None and ours.is_known and fact.is_known and ours.value != fact.value:
                reason = f"the environment says {ours.value}, multiNode.parallelism.{key} {fact.value}"
                origin = ours.origin or Origin(OriginKind.FILE, "env")
                found[field] = Fact.conflict(fact.name, (ours.value, fact.value), reason, origin)
            elif fact is not None and ours is None:
                found[field] = fact
        if "tensor" not in found:
            profile = self.node.text_at("storage", "nimCache", "profile") or variables.get("NIM_MODEL_PROFILE")
            cached = _cached_tensor(self.cache) if self.cache is not None and not profile else None
            why = "the NIM profile named here decides it" if profile else _CHOSEN
            found["tensor"] = cached or Fact.unknown("parallelism.tensor", why, _REMEDY)
        return found

    def _group(self, name: str, *path: str) -> Fact[int] | None:
        what = "multiNode." + ".".join(path)
        return launches.whole(self.document, self.node.get("multiNode", *path), name, what, least=1)

    def _model(self, image: Fact[str], variables: Environment) -> Fact[str]:
        if "NIM_MODEL_NAME" in variables.listed:
            return variable_model(variables["NIM_MODEL_NAME"])
        cached = cached_model(self.cache.document, self.cache.node) if self.cache is not None else None
        return cached if cached is not None and cached.is_known else image_model(image)

    def _nodes(self) -> Fact[int]:
        name = launches.NODES
        if self.node.get("multiNode") is None:
            return Fact.known(name, 1, Origin(OriginKind.DERIVED, "one pod, since multiNode is not set"))
        stated = self._group(name, "parallelism", "pipeline") or self._group(name, "size")
        return stated or Fact.unknown(name, "multiNode states no parallelism.pipeline, which is the number of pods")

    def _gpus(self, asked: devices.Devices, degrees: Mapping[str, Fact[int]]) -> Fact[int]:
        """GPUs of each pod: those asked for, else as many as the operator adds."""
        name = devices.NAME
        if asked.resource:
            writer = together((self.document, asked.limit), (self.document, asked.request))
            return devices.count(self.document, self.node, writer)
        if self.node.elements_at("draResources"):
            origin = Origin(OriginKind.FILE, "draResources", Place.of(self.document, self.node.get("draResources") or self.node))
            return Fact.unknown(name, "devices are claimed through dynamic resource allocation (draResources)", origin=origin)
        each = self._group(name, "gpusPerPod") or self._group(name, "gpuPerWorker")
        if each is not None:
            return each
        tensor = degrees.get("tensor")
        if tensor is not None and tensor.is_known:
            return Fact.known(name, tensor.value, Origin(OriginKind.DERIVED, "the operator asks for one GPU per tensor rank"))
        return Fact.unknown(name, "the NIM operator asks for as many GPUs as the profile it finds has tensor ranks")

    def _replicas(self) -> tuple[Fact[int], Fact[int]]:
        document, node = self.document, self.node
        if node.text_at("inferencePlatform") == "kserve":
            from servelint.formats import knative_scale  # lazy: few services run on KServe

            if node.text_at("annotations", knative_scale.KSERVE_MODE) not in knative_scale.WITHOUT_KNATIVE:
                return self._by_knative()
        if (node.text_at("scale", "enabled") or "").lower() == "true":
            low = launches.whole(document, node.get("scale", "hpa", "minReplicas"), launches.REPLICAS, "hpa.minReplicas")
            high = launches.whole(document, node.get("scale", "hpa", "maxReplicas"), "replicas.max", "hpa.maxReplicas")
            one = Fact.known(launches.REPLICAS, 1, Origin(OriginKind.DEFAULT, "default of the autoscaler for minReplicas"))
            return low or one, high or Fact.unknown("replicas.max", "scale.hpa states no maxReplicas")
        fixed = podspec.replicas(document, template_of(node))
        return fixed, fixed._replace(name="replicas.max")

    def _by_knative(self) -> tuple[Fact[int], Fact[int]]:
        """Under KServe's other mode, or the cluster's: there the operator leaves ``replicas`` and ``scale`` out."""
        from servelint.formats import knative_scale

        node, marks = self.node, self.node.get("annotations")
        low = Fact.known(launches.REPLICAS, 1, Origin(OriginKind.DEFAULT, "default of KServe for minReplicas"))
        stated = node.get("replicas") is not None or node.get("scale") is not None
        if stated and node.text_at("annotations", knative_scale.KSERVE_MODE) is None and not knative_scale.names_knative(marks):
            reason = "whether KServe makes Deployments of that many pods is set in the cluster"
            low = Fact.unknown(launches.REPLICAS, reason, f"annotate {knative_scale.KSERVE_MODE}")
        most = knative_scale.most_under_kserve(self.document, marks)
        return low, most or Fact.unknown("replicas.max", "nothing limits how far Knative scales it")


def _cache_pool(cache: _Cache) -> Pool:
    """What a cache says of the model that it holds."""
    document, node = cache
    puller = next((n for key in ("ngc", "hf", "dataStore") if (n := node.get("spec", "source", key, "modelPuller"))), None)
    image: Fact[str] = Fact.unknown(containers.IMAGE, "the cache names no image")
    if isinstance(puller, ScalarNode) and puller.text:
        image = Fact.known(containers.IMAGE, puller.text, Origin(OriginKind.FILE, "modelPuller", Place.of(document, puller)))
    place = Place.of(document, controller_words.label_of(node))
    where = "a NIMCache serves nothing; the NIMService that uses it states it"
    model = cached_model(document, node) or image_model(image)
    tensor = _cached_tensor(cache) or Fact.unknown("parallelism.tensor", _CHOSEN, _REMEDY)
    facts: dict[str, Any] = {"model": model, "tensor": tensor}
    accelerator = _cached_accelerator(cache)
    if accelerator is not None:
        facts["accelerator"] = accelerator
    for field in ("gpus_per_node", "nodes", "replicas_min", "replicas_max"):
        facts[field] = Fact.unknown(Pool._field_defaults[field].name, where)
    container = Container(ENGINE, document, node, ENGINE, image)
    pool = Pool(
        name=ENGINE, place=place, containers=(container,), engine=_engine(image, place), version=_version(image)
    )  # fmt: skip
    return without_defaults(pool.with_facts(facts), _CHOSEN, _REMEDY)


def _cached_tensor(cache: _Cache) -> Fact[int] | None:
    """The degree to which the cache restricts its profiles."""
    node = cache.node.get("spec", "source", "ngc", "model", "tensorParallelism")
    what = "tensorParallelism of the NIMCache"
    return launches.whole(cache.document, node, "parallelism.tensor", what, least=1)


def _cached_accelerator(cache: _Cache) -> Fact[Any] | None:
    """The GPUs to which the cache restricts its profiles."""
    from servelint.catalogue import accelerators  # lazy: few caches name any

    found: dict[str, Any] = {}
    first: ScalarNode | None = None
    for item in cache.node.elements_at("spec", "source", "ngc", "model", "gpus"):
        node = item.get("product")
        if not isinstance(node, ScalarNode) or not (matches := accelerators.find_all(node.text)):
            return None
        first = first or node
        found.update((match.name, match) for match in matches)
    if first is None:
        return None
    return Fact.either(
        scheduling.NAME, tuple(found.values()), Origin(OriginKind.FILE, "gpus of the NIMCache", Place.of(cache.document, first))
    )


def _image(document: Document, node: Node | None) -> Fact[str]:
    repository = node.get("repository") if node is not None else None
    if node is None or not isinstance(repository, ScalarNode) or not repository.text:
        return Fact.unknown(containers.IMAGE, "the service names no image")
    tag = node.text_at("tag")
    reference = f"{repository.text}:{tag}" if tag else repository.text
    origin = Origin(OriginKind.FILE, "image", Place.of(document, repository))
    return containers.referred(reference, origin)


def _engine(image: Fact[str], place: Place) -> Fact[str]:
    return Fact.known("engine.name", ENGINE, Origin(OriginKind.FILE, "image", image.place or place))


def _version(image: Fact[str]) -> Fact[Version]:
    """The release of the NIM, which is not that of the engine in it."""
    tag = containers.tag_of(image.value) if image.is_known else None
    version = Version.parse(tag) if tag else None
    if version is None or image.origin is None:
        return Fact.unknown("engine.version", "the image's tag does not say it", "pin the image by a tag", image.origin)
    return Fact.known("engine.version", version, image.origin._replace(text=f"image tag {tag}"))


def _read_by_engine(pool: Pool, surroundings: Surroundings) -> Pool:
    """What the engine module for NIM reads from the environment, where there is one."""
    engine = next((e for e in surroundings.engines if e.name == ENGINE), None)
    image = pool.containers[0].image
    if engine is None or not image.is_known:
        return pool
    document, node = pool.containers[0].document, pool.containers[0].node
    from servelint.engines import shell  # lazy: only NIM services are read here

    variables = pool.containers[0].environment
    command, args = node.elements_at("command"), node.elements_at("args")
    programs = shell.programs(document, command, args, variables, node.get("image", "repository"))
    found = engine_processes.processes_of(programs, image.value, [engine])
    if not found:
        return pool
    facts = {name: fact for name, fact in found[0].facts(variables).items() if fact.state is not FactState.UNKNOWN}
    return pool.with_facts(facts)


def _number(fact: Fact[str], name: str, variable: str) -> Fact[int]:
    if not fact.is_known:
        return Fact.unknown(name, fact.reason, fact.remedy, fact.origin)
    text = fact.value.strip()
    origin = fact.origin or Origin(OriginKind.FILE, variable)
    value = whole(text)
    if not value:
        return Fact.unknown(name, f"{variable} is {fact.value!r}, no positive whole number", origin=origin)
    return Fact.known(name, value, origin._replace(text=variable))


def values_pool(document: Document, node: MappingNode, surroundings: Surroundings) -> Pool:
    """The pool of a NIM that a chart's values describe with the keys of a NIMService (image, resources, env, …)."""
    return _Service(document, node, "values", None).pool(surroundings)
