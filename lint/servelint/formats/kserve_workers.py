"""Groups of pods of an InferenceService: ``workerSpec``, its degrees, and how many pods they make.

Source: KServe 0.17 ``pkg/controller/v1beta1/inferenceservice/components/predictor.go`` (``computeRayNodeAndGPUs``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.facts import Fact, Origin, OriginKind
from servelint.formats import devices, launches
from servelint.source.nodes import MappingNode, SequenceNode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from servelint.deployment import Pool
    from servelint.source.nodes import Document, Node


def degrees(document: Document, worker: Node | None) -> dict[str, Fact[int]]:
    """The degrees of a ``workerSpec``, by field of the pool; KServe's default for both is 1."""
    if not isinstance(worker, MappingNode):
        return {}
    found = {}
    for field, key, name in (
        ("pipeline", "pipelineParallelSize", "parallelism.pipeline"),
        ("tensor", "tensorParallelSize", "parallelism.tensor"),
    ):
        fact = launches.whole(document, worker.get(key), name, f"workerSpec.{key}", least=1)
        if fact is not None:
            found[field] = fact
    return found


def given(stated: Mapping[str, Fact[int]]) -> dict[str, Fact[str]]:
    """The variables that the controller puts into the containers of a group."""
    names = {"pipeline": "PIPELINE_PARALLEL_SIZE", "tensor": "TENSOR_PARALLEL_SIZE"}
    return {names[field]: fact.map(str)._replace(name=f"env.{names[field]}") for field, fact in stated.items()}


def nodes(worker: Node | None, pool: Pool, stated: Mapping[str, Fact[int]]) -> Fact[int]:
    """Pods of one replica: as many as hold TP × PP GPUs. Where workers state none, one pod for each pipeline stage if TP is 1.

    With a larger TP, releases differ: workers of one GPU each, or of TP GPUs.
    """
    if not isinstance(worker, MappingNode):
        if not pool.nodes.is_known and pool.nodes.reason != "not stated":
            return pool.nodes
        return Fact.known(launches.NODES, 1, Origin(OriginKind.DERIVED, "one pod, since workerSpec is not set"))
    tensor, pipeline = stated.get("tensor"), stated.get("pipeline")
    if pipeline is None or not pipeline.is_known or (tensor is not None and not tensor.is_known):
        return Fact.unknown(launches.NODES, "workerSpec does not state pipelineParallelSize")
    degree = tensor.value if tensor is not None else 1
    total = pipeline.value * degree
    asked = _worker_gpus(worker)
    if asked:
        text = f"TP × PP = {total} GPUs, {asked} in each worker"
        return Fact.known(launches.NODES, -(-total // asked), Origin(OriginKind.DERIVED, text))
    if degree == 1:
        return Fact.known(launches.NODES, pipeline.value, Origin(OriginKind.DERIVED, "one pod for each pipeline stage"))
    reason = "releases of KServe count pods in different ways where no worker states its GPUs"
    return Fact.unknown(launches.NODES, reason, "state the GPUs of workerSpec.containers")


def _worker_gpus(worker: MappingNode) -> int:
    items = worker.get("containers")
    for container in items.items if isinstance(items, SequenceNode) else ():
        asked = devices.devices(container.resolved)
        if asked.written is not None:
            return devices.whole(asked.written) or 0
    return 0
