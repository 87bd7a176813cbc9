"""From one stack of a llm-d-benchmark scenario to a deployment. Imported when a scenario is recognised."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.deployment import Container, Deployment, Environment, Pool, Role
from servelint.facts import Fact, Origin, OriginKind, Place
from servelint.formats import containers, engine_processes, launches
from servelint.source.nodes import MappingNode, ScalarNode, SequenceNode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from servelint.engines.base import Engine
    from servelint.engines.command import Command
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document, Node

DEFAULTS = "the defaults of llm-d-benchmark (defaults.yaml) set it"
_REMEDY = "state it in the scenario"
# Variables of the engine's container, by what of the stack they hold (config/templates/jinja/_macros.j2).
_MODEL_VARIABLES = {
    "MODEL_NAME": "name", "MODEL_PATH": "path", "VLLM_MAX_MODEL_LEN": "maxModelLen", "VLLM_BLOCK_SIZE": "blockSize",
    "VLLM_MAX_NUM_SEQ": "maxNumSeq", "VLLM_MAX_NUM_BATCHED_TOKENS": "maxNumBatchedTokens",
    "VLLM_ACCELERATOR_MEM_UTIL": "gpuMemoryUtilization",
}  # fmt: skip
_DEGREE_VARIABLES = {
    "TP_SIZE": "tensor", "VLLM_TENSOR_PARALLELISM": "tensor", "DP_SIZE": "data", "DP_SIZE_LOCAL": "dataLocal",
    "LWS_GROUP_SIZE": "workers",
}  # fmt: skip
_OTHERS = ("VLLM_INFERENCE_PORT", "VLLM_METRICS_PORT", "VLLM_LOAD_FORMAT", "LWS_LEADER_ADDRESS", "LWS_WORKER_INDEX", "START_RANK")
_LIMITS = (
    ("max_model_len", "maxModelLen"), ("max_num_seqs", "maxNumSeq"), ("max_num_batched_tokens", "maxNumBatchedTokens"),
    ("block_size", "blockSize"), ("gpu_memory_utilization", "gpuMemoryUtilization"),
)  # fmt: skip
_DEGREES = (("tensor", "tensor", "parallelism.tensor"), ("data", "data", "parallelism.data"),
            ("data_local", "dataLocal", "parallelism.data_local"))  # fmt: skip


class _Stack:
    """One entry of ``scenario``. What it lacks, ``shared`` beside the list may have."""

    def __init__(self, document: Document, root: MappingNode, node: MappingNode) -> None:
        self.document = document
        self.node = node
        self.name = node.text_at("name") or "scenario"
        shared = root.get("shared")
        self._owners = [node, *([shared] if isinstance(shared, MappingNode) else [])]

    def common(self, *path: str) -> Node | None:
        """What all pools have in common: below ``common``, or directly in the stack."""
        for owner in self._owners:
            for place in (("common", *path), path):
                found = owner.get(*place)
                if found is not None:
                    return found
        return None

    def section(self, name: str, *path: str) -> Node | None:
        """What a section (``decode`` …) says; it stands in the stack or below ``modelservice``."""
        for owner in self._owners:
            for place in (("modelservice", name, *path), (name, *path)):
                found = owner.get(*place)
                if found is not None:
                    return found
        return None


def deployment(document: Document, root: MappingNode, node: MappingNode, surroundings: Surroundings) -> Deployment | None:
    """The deployment of one stack; None where it serves nothing that can be read here (kustomize guides, simulators)."""
    engine = next((engine for engine in surroundings.engines if engine.name == "vllm"), None)
    stack = _Stack(document, root, node)
    if engine is None or _is_on(stack.common("kustomize", "enabled")):
        return None
    sections = _sections(stack)
    pools = [pool for section in sections if (pool := _pool(stack, section, sections, engine)) is not None]
    return Deployment(stack.name, "llm-d-benchmark", document, tuple(pools)) if pools else None


def _sections(stack: _Stack) -> list[str]:
    """The sections that run: the standalone Deployment, or what the modelservice chart makes of the others."""
    if _is_on(stack.section("standalone", "enabled")):
        return ["standalone"]
    found = []
    for name, default in (("decode", True), ("prefill", False)):
        enabled, replicas = stack.section(name, "enabled"), stack.section(name, "replicas")
        none = isinstance(replicas, ScalarNode) and replicas.text == "0"
        if not none and (_is_on(enabled) if enabled is not None else default or replicas is not None):
            found.append(name)
    return found


def _is_on(node: Node | None) -> bool:
    return isinstance(node, ScalarNode) and node.text.lower() == "true"


def _pool(stack: _Stack, section: str, sections: Sequence[str], engine: Engine) -> Pool | None:
    document = stack.document
    image, reference = _image(stack, section)
    words = "".join(c if c.isalnum() else " " for c in reference.lower()).split()
    if "sim" in words:
        return None  # a simulator takes vLLM's arguments and runs no model
    owner = stack.section(section)
    node = owner if isinstance(owner, MappingNode) else stack.node
    variables = _variables(stack, section)
    command = _command(stack, section, engine, variables, reference)
    facts: dict[str, Fact[Any]] = engine.facts(command, variables) if command is not None else _generated(stack)
    facts["model"] = _model(stack)
    stated: dict[str, Fact[int]] = {}
    for field, key, name in _DEGREES:
        degree = launches.whole(document, stack.section(section, "parallelism", key), name, f"parallelism.{key}", least=1)
        stated[field] = degree or Fact.unknown(name, DEFAULTS, _REMEDY)
        own = facts.get(field)
        if (own is None and (command is None or not command.complete)) or (
            own is not None and own.is_known and own.values == stated[field].values
        ):
            facts[field] = stated[field]  # the same number, where it can be changed
    nodes = _nodes(stack, section)
    if "nodes" not in facts or not facts["nodes"].is_known:
        facts["nodes"] = nodes
    facts["gpus_per_node"], resource = _gpus(stack, section, stated)
    facts["replicas_min"], facts["replicas_max"] = _replicas(stack, section)
    accelerator = _accelerator(stack, section)
    if accelerator is not None:
        facts["accelerator"] = accelerator
    split = "prefill" in sections and "decode" in sections
    role = {"prefill": Role.PREFILL, "decode": Role.DECODE}[section] if split else Role.SERVE
    label = launches.label_of(node)
    origin = Origin(OriginKind.DERIVED, "llm-d-benchmark serves with vLLM", Place.of(document, label))
    return Pool(
        name=section,
        place=Place.of(document, label),
        role=role,
        containers=(Container(section, document, node, engine.name, image, None, command, variables),),
        gpu_resource=resource,
        engine=Fact.known("engine.name", engine.name, origin),
        version=engine.version(image),
    ).with_facts(facts)


def _image(stack: _Stack, section: str) -> tuple[Fact[str], str]:
    keys = ("vllmOpenai", "vllm") if section == "standalone" else ("vllm",)
    images = [stack.section(section, "image"), *(stack.common("images", key) for key in keys)]
    node = next((image for image in images if isinstance(image, MappingNode)), None)
    repository, tag = (node.text_at("repository"), node.text_at("tag")) if node is not None else (None, None)
    if node is None or not repository:
        return Fact.unknown(containers.IMAGE, DEFAULTS, _REMEDY), ""
    text = f"{repository}:{tag}" if tag else repository
    if not tag or tag == "auto":
        return Fact.unknown(containers.IMAGE, f"the tag of {repository} is not stated", _REMEDY), text
    place = node.get("tag") or node
    return Fact.known(containers.IMAGE, text, Origin(OriginKind.FILE, "image", Place.of(stack.document, place))), text


def _variables(stack: _Stack, section: str) -> Environment:
    """The container's environment: what the templates put there, then the section's own variables."""
    found: dict[str, Fact[str]] = {}
    for name in _OTHERS:
        found[name] = Fact.unknown(f"env.{name}", "the templates of llm-d-benchmark, or a controller, set it")
    for name, key in _MODEL_VARIABLES.items():
        found[name] = _variable(stack, name, stack.common("model", key))
    for name, key in _DEGREE_VARIABLES.items():
        found[name] = _variable(stack, name, stack.section(section, "parallelism", key))
    extra = stack.section(section, "extraEnvVars")
    for item in extra.items if isinstance(extra, SequenceNode) else []:
        own = item.text_at("name")
        if own:
            found[own] = _variable(stack, own, item.get("value"))
    return Environment(found)


def _variable(stack: _Stack, name: str, node: Node | None) -> Fact[str]:
    label = f"env.{name}"
    if not isinstance(node, ScalarNode) or "${" in node.text:
        return Fact.unknown(label, DEFAULTS, _REMEDY)
    return Fact.known(label, node.text, Origin(OriginKind.FILE, label, Place.of(stack.document, node)))


def _command(stack: _Stack, section: str, engine: Engine, variables: Mapping[str, Fact[str]], reference: str) -> Command | None:
    """The engine's command, where the scenario writes it; the templates write it otherwise."""
    from servelint.engines import shell

    script, args = stack.section(section, "vllm", "customCommand"), stack.section(section, "vllm", "args")
    if isinstance(script, ScalarNode):
        programs = shell.programs_of_text(stack.document, script, variables)
    elif isinstance(args, SequenceNode):
        programs = shell.programs(stack.document, (), [item.resolved for item in args.items], variables)
    else:
        return None
    found = engine_processes.processes_of(programs, reference, (engine,))
    return found[0].command if found else None


def _generated(stack: _Stack) -> dict[str, Fact[Any]]:
    """The limits of a command that the templates write: those of the scenario's ``model``, and no default of the engine."""
    from servelint.engines.values import fact_name

    facts: dict[str, Fact[Any]] = {}
    for field, key in _LIMITS:
        name, node = fact_name(field), stack.common("model", key)
        facts[field] = Fact.unknown(name, DEFAULTS, _REMEDY)
        if isinstance(node, ScalarNode):
            try:
                value: Any = float(node.text) if field == "gpu_memory_utilization" else int(node.text)
            except ValueError:
                continue
            if value > 0:
                facts[field] = Fact.known(name, value, Origin(OriginKind.FILE, f"model.{key}", Place.of(stack.document, node)))
    for field in (
        "pipeline",
        "kv_cache_dtype",
        "dtype",
        "quantization",
        "enforce_eager",
        "chunked_prefill",
        "speculative",
        "expert",
    ):
        facts[field] = Fact.unknown(fact_name(field), "the templates of llm-d-benchmark write the command line", _REMEDY)
    return facts


def _model(stack: _Stack) -> Fact[str]:
    for key in ("huggingfaceId", "name"):
        node = stack.common("model", key)
        if isinstance(node, ScalarNode) and node.text and "$" not in node.text:
            return Fact.known("model.id", node.text, Origin(OriginKind.FILE, f"model.{key}", Place.of(stack.document, node)))
    return Fact.unknown("model.id", DEFAULTS, _REMEDY)


def _nodes(stack: _Stack, section: str) -> Fact[int]:
    """Pods of one replica: the workers of a LeaderWorkerSet, else one."""
    workers = launches.whole(
        stack.document, stack.section(section, "parallelism", "workers"), launches.NODES, "parallelism.workers", least=1
    )
    if _is_on(stack.common("multinode", "enabled")):
        return workers or Fact.unknown(launches.NODES, DEFAULTS, _REMEDY)
    return Fact.known(launches.NODES, 1, Origin(OriginKind.DERIVED, "one pod, as multinode is not enabled"))


def _gpus(stack: _Stack, section: str, degrees: Mapping[str, Fact[int]]) -> tuple[Fact[int], str]:
    """(GPUs of a pod, their resource): a stated count, else tensor × dataLocal, as the chart asks for."""
    name = launches.GPUS
    resource_node = stack.common("accelerator", "resource")
    resource = resource_node.text if isinstance(resource_node, ScalarNode) else "nvidia.com/gpu"
    if _is_on(stack.common("dra", "enabled")):
        return Fact.unknown(name, "devices are claimed through dynamic resource allocation"), "dra"
    for owner, what in (
        (stack.section(section, "accelerator", "count"), f"{section}.accelerator.count"),
        (stack.common("accelerator", "count"), "accelerator.count"),
    ):
        stated = launches.whole(stack.document, owner, name, what)
        if stated is not None:
            return stated, resource if stated.get(1) else ""
    if resource not in {"nvidia.com/gpu", "amd.com/gpu", "habana.ai/gaudi"}:
        kind = "chosen for the cluster" if resource == "auto" else "not one whose units are known to be devices"
        return Fact.unknown(name, f"the accelerator resource is {kind} ({resource})"), "" if resource == "auto" else resource
    tensor, local = degrees["tensor"], degrees["data_local"]
    if not tensor.is_known or not local.is_known:
        return Fact.unknown(name, DEFAULTS, _REMEDY), resource
    origin = Origin(OriginKind.DERIVED, "tensor × dataLocal, as the chart asks for", tensor.place)
    return Fact.known(name, tensor.value * local.value, origin), resource


def _replicas(stack: _Stack, section: str) -> tuple[Fact[int], Fact[int]]:

    low, high = launches.REPLICAS, "replicas.max"
    document = stack.document
    fixed = launches.whole(document, stack.section(section, "replicas"), low, f"{section}.replicas")
    if fixed is None:
        fixed = Fact.known(low, 1, Origin(OriginKind.DEFAULT, f"default of llm-d-benchmark for {section}.replicas"))
    if not _is_on(stack.section(section, "autoscaling", "enabled")):
        return fixed, fixed._replace(name=high)
    least = launches.whole(document, stack.section(section, "autoscaling", "minReplicas"), low, "minReplicas")
    most = launches.whole(document, stack.section(section, "autoscaling", "maxReplicas"), high, "maxReplicas")
    return least or fixed, most or Fact.unknown(high, DEFAULTS, _REMEDY)


def _accelerator(stack: _Stack, section: str) -> Fact[Any] | None:
    """From the labels that the pods select: ``acceleratorType`` and the node selector of ``affinity``."""
    labels: list[ScalarNode] = []
    for owner in (stack.section(section, "acceleratorType"), stack.common("acceleratorType")):
        if isinstance(owner, MappingNode):
            values = owner.elements_at("labelValues") or [value for value in (owner.get("labelValue"),) if value is not None]
            if _names_gpus(owner.text_at("labelKey") or ""):
                labels += [value for value in values if isinstance(value, ScalarNode)]
    selector = stack.common("affinity", "nodeSelector")
    if isinstance(selector, MappingNode):
        labels += [value for key, _, value in selector.pairs() if _names_gpus(key) and isinstance(value, ScalarNode)]
    from servelint.catalogue import accelerators  # lazy: few scenarios name one

    kind = stack.common("accelerator", "type")
    if isinstance(kind, ScalarNode) and kind.text not in {"nvidia", "amd", "auto"}:
        origin = Origin(OriginKind.FILE, "accelerator.type", Place.of(stack.document, kind))
        return Fact.unknown("accelerator.name", f"{kind.text} is not in the catalogue", origin=origin)
    for label in labels:
        found = accelerators.find_all(label.text)
        if found:
            return Fact.either("accelerator.name", found, Origin(OriginKind.FILE, label.text, Place.of(stack.document, label)))
    return None


def _names_gpus(key: str) -> bool:
    return any(word in key.lower() for word in ("gpu", "accelerator"))
