"""Chart requests: entries of production-stack's chart that ask for no GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.facts import Place
from servelint.finding import Certainty, Proposal, Related, Severity, Verdict
from servelint.formats import containers
from servelint.source.nodes import MappingNode, ScalarNode
from servelint_rules import guards

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import ContainerCase
    from servelint.finding import Edit
    from servelint.source.nodes import Node

# What else says how the container comes by its devices (helm/templates/_helpers.tpl, chart.resources).
_OTHERWISE = (
    "requestGPU",
    "resources",
    "requestGPUType",
    "requestGPUMem",
    "requestGPUMemPercentage",
    "requestGPUCores",
    "raySpec",
)
_CPU_WORDS = frozenset(("cpu", "tpu", "neuron", "xpu", "hpu", "ascend", "npu", "sim"))


def none_asked(case: ContainerCase) -> Iterator[Verdict]:
    """A warning for an entry without ``requestGPU`` whose image runs on GPUs, and whose runtime class is set to none: the
    chart's own (``nvidia``) shows every GPU of the node to such a pod."""
    container = case.container
    entry, root = container.node, container.document.root
    if root is None or not isinstance(entry, MappingNode) or not entry.text_at("modelURL") or not guards.on_gpus(case):
        return
    if any(entry.get(key) is not None for key in _OTHERWISE) or _runtime_class(root, entry) != "":
        return
    image = container.image.get("").lower()
    if "vllm-openai" not in image or not _CPU_WORDS.isdisjoint(containers.words_of(image)):
        return
    document = container.document
    chosen = entry.get("lmcacheConfig", "cudaVisibleDevices")

    def edits() -> tuple[Edit, ...] | None:
        from servelint.source.edits import insert_entry  # lazy: only findings edit

        return insert_entry(document, entry, "requestGPU", "1", "requestMemory")

    name = entry.get("name") or entry.get("modelURL")
    yield Verdict(
        Place.of(document, name) if name is not None else container.place,
        "the entry asks for no GPU: its pod may land on a node without one, and shares what it finds there",
        related=(Related(Place.of(document, chosen), "picks one of the GPUs that the pod happens to see"),)
        if chosen is not None
        else (),
        proposals=(Proposal("requestGPU: 1", False, edits),),
        severity=Severity.WARNING,
        certainty=Certainty.HEURISTIC,
        key="none",
    )


def _runtime_class(root: Node, entry: Node) -> str | None:
    """The runtime class of the pods; None where nothing is stated."""
    for node in (entry.get("runtimeClassName"), root.get("servingEngineSpec", "runtimeClassName")):
        if isinstance(node, ScalarNode):
            return "" if node.is_null else node.text
    return None
