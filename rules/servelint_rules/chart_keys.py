"""K8S650: values that no template of production-stack's chart reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.facts import Place
from servelint.finding import Certainty, Proposal, Related, Severity, Verdict
from servelint.formats import value_words
from servelint.rulebook import Scope, rule
from servelint.source.nodes import MappingNode, ScalarNode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import ContainerCase
    from servelint.source.nodes import Document, Node

# What the templates and the schema of any release of the chart (tags vllm-stack-0.0.2 to 0.1.12) or its main branch of August
# 2026 read of an entry of modelSpec: helm/templates/*.yaml, helm/templates/_helpers.tpl, helm/values.schema.json.
_ENTRY = """
affinity annotations chatTemplate chatTemplateConfigMap enableLoRA enableTool enabled env envFromSecret extraVolumeMounts
extraVolumes hf_token imagePullSecret initContainer keda labels limitCPU limitGPUCores limitGPUMem limitGPUMemPercentage
limitMemory lmcacheConfig modelRevision modelURL name nodeName nodeSelectorTerms pdb podAnnotations podLabels
priorityClassName pvcAccessMode pvcAnnotations pvcExistingClaimName pvcLabels pvcMatchLabels pvcStorage raySpec replicaCount
repository requestCPU requestGPU requestGPUCores requestGPUMem requestGPUMemPercentage requestGPUType requestMemory resources
runtimeClassName serviceAccountName serviceAnnotations shmSize storageClass tag tolerations tolerationsPolicy toolCallParser
vllmConfig
"""
_ENGINE = """
convert dtype enableChunkedPrefill enablePrefixCaching extraArgs gpuMemoryUtilization maxLoras maxModelLen maxNumSeqs
pipelineParallelSize prometheusMultiprocDir runner tensorParallelSize v0 v1
"""
_CACHE = """
controllerPort controllerReplyPort cpuOffloadingBufferSize cudaVisibleDevices diskOffloadingBufferSize enableController
enableNixl enablePD enabled instanceId kvRole logLevel nixlBufferDevice nixlBufferSize nixlEnableGc nixlPeerHost nixlPeerPort
nixlRole p2pHost p2pInitPorts workerHeartbeatTime workerPort workerPorts
"""
_SCALER = """
advanced cooldownPeriod enabled fallback idleReplicaCount initialCooldownPeriod maxReplicaCount minReplicaCount
pollingInterval triggers
"""
_PLACES = {"vllmConfig": _ENGINE, "lmcacheConfig": _CACHE, "keda": _SCALER}
# Keys of pods, of other charts and of the engine, and what takes their place here.
_INSTEAD = {
    "nodeSelector": "nodeSelectorTerms", "image": "repository and tag", "replicas": "replicaCount", "model": "modelURL",
    "gpu": "requestGPU", "accessMode": "pvcAccessMode", "storageClassName": "storageClass", "volumes": "extraVolumes",
    "volumeMounts": "extraVolumeMounts", "imagePullSecrets": "imagePullSecret", "args": "vllmConfig.extraArgs",
    "hfToken": "hf_token", "envFrom": "envFromSecret", "initContainers": "initContainer", "cpu": "requestCPU",
    "memory": "requestMemory",
}  # fmt: skip


@rule(
    "K8S650", "chart-key-without-effect", "Value that the chart does not read",
    severity=Severity.WARNING, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0",
    formats=("helm-values",),
)  # fmt: skip
def chart_key_without_effect(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    The values of production-stack's chart: keys in an entry of `servingEngineSpec.modelSpec`, in its `vllmConfig`,
    `lmcacheConfig` and `keda`, that no template of any release reads. And keys that are read only beside another one: the
    chart passes `pipelineParallelSize` on only with `raySpec`, it mounts `shmSize` only where `tensorParallelSize` is stated,
    and vLLM takes `--max-loras` into account only with `--enable-lora`.

    ## Why it matters

    Helm takes values that nothing asks for without a word. The options under `modelSpec[].extraArgs` never reach vLLM, a
    `nodeSelector` leaves the pod where the scheduler likes it, and what people read in the file is not what runs.

    ## How to fix

    Move the key to where the chart reads it (`vllmConfig.extraArgs`), or take the key that it reads (`nodeSelectorTerms`).

    ## Certainty

    Proven from the templates and the schema of the releases where the key belongs to another level or has a known
    counterpart. For any other key a heuristic: a chart that was made of this one may read it.

    ## References

    - [production-stack: helm/templates](https://github.com/vllm-project/production-stack/tree/main/helm/templates)
    - [production-stack: helm/values.schema.json](https://github.com/vllm-project/production-stack/blob/main/helm/values.schema.json)
    - vLLM, `vllm/engine/arg_utils.py`: a `LoRAConfig` is made only where `enable_lora` is set
    """
    container = case.container
    entry, document = container.node, container.document
    if not isinstance(entry, MappingNode) or not _is_entry(document, entry):
        return
    yield from _unread(document, entry, "modelSpec")
    for key in _PLACES:
        inner = entry.get(key)
        if isinstance(inner, MappingNode):
            yield from _unread(document, inner, key)
    yield from _alone(case, entry)


def _is_entry(document: Document, entry: MappingNode) -> bool:
    """The mapping stands in the list ``servingEngineSpec.modelSpec``; charts that have a single model read keys of their own."""
    root = document.root
    every = root.elements_at("servingEngineSpec", "modelSpec") if root is not None else ()
    return any(each is entry for each in every)


def _unread(document: Document, mapping: MappingNode, level: str) -> Iterator[Verdict]:
    known = _PLACES.get(level, _ENTRY).split()
    for key, _ in mapping.entries:
        name = key.resolved
        if not isinstance(name, ScalarNode) or name.text in known or name.text == "<<" or name.text.startswith(("x-", "_")):
            continue
        fix = _instead(name.text, level, known)
        yield Verdict(
            Place.of(document, key),
            f"no template of the chart reads {name.text} in {level}",
            proposals=(Proposal(fix, False, None),) if fix else (),
            certainty=Certainty.PROVEN if fix else Certainty.HEURISTIC,
            key=f"{level} {name.text}",
        )


def _instead(name: str, level: str, known: list[str]) -> str:
    """What to write instead, for people; "" where that is open."""
    for place, keys in (("the entry of modelSpec", _ENTRY), *_PLACES.items()):
        if place != level and not (level == "modelSpec" and keys is _ENTRY) and name in keys.split():
            return f"move it to {place}, where it is read"
    if level == "modelSpec" and name in _INSTEAD:
        return f"write {_INSTEAD[name]}, which the chart reads"
    from servelint_rules.slips import nearest  # lazy: few values have unknown keys

    near = nearest(name, known)
    return f"write {near}" if near else ""


def _alone(case: ContainerCase, entry: MappingNode) -> Iterator[Verdict]:
    document, config, command = case.container.document, entry.get("vllmConfig"), case.container.command
    if not isinstance(config, MappingNode):
        return
    ray = entry.get("raySpec")
    on_ray = ray is not None and not value_words.is_false(ray, "enabled")
    stage = config.get("pipelineParallelSize")
    if isinstance(stage, ScalarNode) and not on_ray and stage.text.strip() not in ("", "1"):
        yield _lonely(document, config, "pipelineParallelSize", "the chart passes it on only with raySpec", entry.get("name"))
    if entry.get("shmSize") is not None and config.get("tensorParallelSize") is None:
        why = "the chart mounts /dev/shm only where vllmConfig.tensorParallelSize is stated"
        yield _lonely(document, entry, "shmSize", why, None)
    with_lora = command is not None and any(command.last(flag) is not None for flag in ("--enable-lora", "--default-mm-loras"))
    if config.get("maxLoras") is not None and command is not None and command.complete and not with_lora:
        yield _lonely(document, config, "maxLoras", "vLLM ignores --max-loras without --enable-lora", entry.get("enableLoRA"))


def _lonely(document: Document, mapping: MappingNode, name: str, why: str, beside: Node | None) -> Verdict:
    entry = mapping.entry(name)
    key = entry[0] if entry is not None else mapping
    fix = {
        "pipelineParallelSize": "add raySpec, or take the number of stages out",
        "shmSize": "state tensorParallelSize (1 will do)",
        "maxLoras": "set enableLoRA: true in the entry, or take maxLoras out",
    }[name]
    related = (Related(Place.of(document, beside), "the entry"),) if beside is not None else ()
    return Verdict(
        Place.of(document, key),
        f"{name} does nothing here: {why}",
        related=related,
        proposals=(Proposal(fix, False, None),),
        key=name,
    )
