"""K8S652: fields that a custom resource does not have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.facts import Place
from servelint.finding import Certainty, Proposal, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint.source.nodes import MappingNode, ScalarNode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from servelint.case import ContainerCase
    from servelint.source.nodes import Document, Node

# Fields by level, of all releases together: production-stack 0.1.3 to 0.1.12 and its main branch of August 2026
# (operator/config/crd/bases/production-stack.vllm.ai_vllmruntimes.yaml), kthena 0.1.0 to 1.0.0
# (charts/kthena/charts/workload/crds). "[]" is each element of a list.
_RUNTIME = {
    "spec": "autoscalingConfig deploymentConfig lmCacheConfig model storageConfig vllmConfig",
    "spec.model": "chatTemplate dtype enableLoRA enableTool hfTokenName hfTokenSecret maxModelLen maxNumSeqs modelURL "
    "toolCallParser",
    "spec.vllmConfig": "enableChunkedPrefill enablePrefixCaching env extraArgs gpuMemoryUtilization maxLoras port "
    "tensorParallelSize v1",
    "spec.deploymentConfig": "deploymentStrategy image nodeSelectorTerms podAnnotations replicas resources runtimeClass shmSize "
    "sidecarConfig toleration",
    "spec.deploymentConfig.resources": "cpu gpu gpuType memory",
    "spec.deploymentConfig.image": "name pullPolicy pullSecretName registry",
    "spec.storageConfig": "accessMode enabled mountPath size storageClassName volumeName",
    "spec.lmCacheConfig": "cpuOffloadingBufferSize diskOffloadingBufferSize enabled remoteSerde remoteUrl",
    "spec.autoscalingConfig": "enabled maxReplicas minReplicas pollingInterval scaleDownPolicy scaleUpPolicy triggers",
}
# production-stack 0.1.3 and 0.1.4 had these in spec itself, and neither vllmConfig nor deploymentConfig.
_FLAT = (
    "deploymentStrategy enableChunkedPrefill enablePrefixCaching env extraArgs gpuMemoryUtilization hfTokenName hfTokenSecret "
    "image maxLoras port replicas resources tensorParallelSize v1"
)
_WORKER = "affinity config image pods replicas resources tolerations type"
_BACKEND = (
    "autoscalingPolicy cacheURI env envFrom loraAdapters maxReplicas minReplicas modelURI name replicas routeWeight "
    "runtimeClassName scaleToZeroGracePeriod scalingCost schedulerName type workers"
)
_BOOSTER = {
    "spec": "autoscalingPolicy backend backends costExpansionRatePercent modelMatch name owner",
    "spec.backend": _BACKEND,
    "spec.backend.workers[]": _WORKER,
    "spec.backends[]": _BACKEND,
    "spec.backends[].workers[]": _WORKER,
}
_SERVING = {
    "spec": "plugins recoveryPolicy replicas rolloutStrategy schedulerName template topologySpreadConstraints",
    "spec.template": "gangPolicy networkTopology restartGracePeriodSeconds roles",
    "spec.template.roles[]": "entryTemplate maxUnavailable name partition replicas workerReplicas workerTemplate",
}
_KINDS = {"VLLMRuntime": _RUNTIME, "ModelBooster": _BOOSTER, "ModelServing": _SERVING}


@rule(
    "K8S652", "custom-resource-field-unknown", "Field that the custom resource does not have",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0",
    formats=("vllm-runtime", "kthena"),
)  # fmt: skip
def custom_resource_field_unknown(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    The keys of a VLLMRuntime (production-stack's operator), a ModelBooster and a ModelServing (kthena) against the fields of
    their resource definitions, level by level.

    ## Why it matters

    `kubectl apply` refuses the object ("strict decoding error: unknown field"). Where the client does not validate, the API
    server drops what the definition does not have: `podTemplate` with its volumes, or a `tensorParallelSize` in the wrong
    place, and the engine runs without it.

    ## How to fix

    Move the field to the level that has it, or correct its spelling.

    ## Certainty

    Proven, an error, where the field belongs to another level or is a slip of one of this level. A field that no release
    knows at all is a warning, since a newer one may. So is a VLLMRuntime that has all fields in `spec` itself: production-stack
    0.1.3 and 0.1.4 took it, and every later release requires `vllmConfig` and `deploymentConfig`. In such an object a field
    that those two do not know is an error again.

    ## References

    - [production-stack: vllmruntimes](https://github.com/vllm-project/production-stack/blob/main/operator/config/crd/bases/production-stack.vllm.ai_vllmruntimes.yaml),
      [production-stack#479](https://github.com/vllm-project/production-stack/pull/479): the fields were sorted into levels
    - [kthena: resource definitions](https://github.com/volcano-sh/kthena/tree/main/charts/kthena/charts/workload/crds)
    - [Kubernetes: field validation](https://kubernetes.io/docs/reference/using-api/api-concepts/#field-validation)
    """
    document = case.container.document
    root = document.root
    levels = _KINDS.get(root.text_at("kind") or "") if root is not None else None
    pools = case.deployment.pools
    if root is None or levels is None or case.container is not pools[0].containers[0]:
        return
    spec = root.get("spec")
    flat = levels is _RUNTIME and spec is not None and not any(spec.get(key) for key in ("vllmConfig", "deploymentConfig"))
    for path, fields in levels.items():
        known = frozenset(fields.split() if not (flat and path == "spec") else (*fields.split(), *_FLAT.split()))
        for node in _at(root, path):
            yield from _unknown(document, node, path, known, {} if flat else levels)
    if flat and isinstance(spec, MappingNode):
        yield from _old_layout(document, spec)


def _at(root: Node, path: str) -> list[MappingNode]:
    """The mappings at ``path``."""
    found: list[Node] = [root]
    for part in path.split("."):
        name = part.removesuffix("[]")
        if name != part:
            found = [each for node in found for each in node.elements_at(name)]
        else:
            found = [each for node in found if (each := node.get(name)) is not None]
    return [node for node in found if isinstance(node, MappingNode)]


def _unknown(
    document: Document, node: MappingNode, path: str, known: frozenset[str], levels: Mapping[str, str]
) -> Iterator[Verdict]:
    """``levels``: where a field may belong instead; none where only releases that are past have the layout, and no newer one
    may have the field."""
    for key, _ in node.entries:
        name = key.resolved
        if not isinstance(name, ScalarNode) or name.text in known or name.text == "<<" or "{{" in name.text:
            continue
        fix = _instead(name.text, path, known, levels)
        closed = bool(fix) or not levels
        yield Verdict(
            Place.of(document, key),
            f"{path.replace('[]', '')} has no field {name.text}" + ("" if fix else ", in any release"),
            proposals=(Proposal(fix, False, None),) if fix else (),
            severity=Severity.ERROR if closed else Severity.WARNING,
            certainty=Certainty.PROVEN if closed else Certainty.HEURISTIC,
            key=f"{path} {name.text}",
        )


def _instead(name: str, path: str, known: frozenset[str], levels: Mapping[str, str]) -> str:
    homes = [level.replace("[]", "") for level, fields in levels.items() if level != path and name in fields.split()]
    if homes:
        return f"it belongs in {homes[0]}"
    from servelint_rules.slips import nearest  # lazy: few objects have unknown fields

    near = nearest(name, known)
    return f"write {near}" if near else ""


def _old_layout(document: Document, spec: MappingNode) -> Iterator[Verdict]:
    for key, _ in spec.entries:
        name = key.resolved
        if isinstance(name, ScalarNode) and name.text in _FLAT.split():
            yield Verdict(
                Place.of(document, key),
                f"{name.text} in spec itself: production-stack 0.1.5 and later refuse the object without vllmConfig and "
                "deploymentConfig",
                proposals=(Proposal("sort the fields into vllmConfig, deploymentConfig and model", False, None),),
                severity=Severity.WARNING,
                key="layout",
            )
            return
