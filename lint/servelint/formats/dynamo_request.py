"""DynamoGraphDeploymentRequest: a model and the latencies it must reach; a profiler chooses the rest.

``v1beta1`` states ``sla``, ``workload`` and ``hardware``; ``v1alpha1`` the same below ``profilingConfig.config``. Latencies are
milliseconds. Sources: deploy/operator/api/{v1alpha1,v1beta1}/dynamographdeploymentrequest_types.go of ai-dynamo/dynamo.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.deployment import Deployment, Pool
from servelint.engines.values import fact_name
from servelint.facts import Fact, Origin, OriginKind, Place
from servelint.formats import controller_words, dynamo_targets, model_uris
from servelint.formats.unstated_facts import FROM_ARGUMENTS
from servelint.source.nodes import ScalarNode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document, Node

_CHOSEN = "Dynamo's profiler chooses it"
_REMEDY = "lint the DynamoGraphDeployment that it generates"
_MILLI = 1e-3
_TARGETS = ("ttft", "itl", "isl", "osl", "concurrency", "requestRate")
# Values of gpuSku, and of the profiler's own names for systems, that the catalogue writes otherwise.
_SKUS = {"gb200_sxm": "GB200", "mi300": "MI300X"}


def deployments(document: Document, item: Node, surroundings: Surroundings) -> Iterator[Deployment]:  # noqa: ARG001 - as all readers
    """What is asked for, unless the request names no model, or a simulated one."""
    spec = item.get("spec")
    model = spec.get("model") if spec is not None else None
    if spec is None or not isinstance(model, ScalarNode):
        return
    if "true" in ((spec.text_at(*path) or "").lower() for path in (("useMocker",), ("features", "mocker", "enabled"))):
        return
    facts: dict[str, Any] = {
        name: Fact.unknown(fact_name(name), _CHOSEN, _REMEDY)
        for name in (*FROM_ARGUMENTS, "gpus_per_node", "nodes", "replicas_min", "replicas_max", "version")
    }
    facts["model"] = model_uris.named(document, model, "model")
    facts["engine"] = _engine(document, spec.get("backend"))
    accelerator = _accelerator(document, spec)
    if accelerator is not None:
        facts["accelerator"] = accelerator
    stated: dict[str, dynamo_targets.Stated] = {}
    for path in (("profilingConfig", "config", "sla"), ("profilingConfig", "config"), ("workload",), ("sla",)):
        stated.update(dynamo_targets.of_mapping(document, spec.get(*path), _TARGETS))
    facts.update(dynamo_targets.facts(stated, _MILLI))
    name = controller_words.label_of(item)
    pool = Pool(name="serve", place=Place.of(document, model)).with_facts(facts)
    yield Deployment(name.text, "dynamo", document, (pool,), notes=("a profiler turns this request into a deployment",))


def _engine(document: Document, node: Node | None) -> Fact[str]:
    text = node.text.strip().lower() if isinstance(node, ScalarNode) else ""
    if node is None or not text or text == "auto":
        return Fact.unknown("engine.name", _CHOSEN, _REMEDY)
    return Fact.known("engine.name", text, Origin(OriginKind.FILE, "backend", Place.of(document, node)))


def _accelerator(document: Document, spec: Node) -> Fact[Any] | None:
    paths = (
        ("hardware", "gpuSku"),
        ("profilingConfig", "config", "hardware", "gpuModel"),
        ("profilingConfig", "config", "hardware", "gpu_model"),
        ("profilingConfig", "config", "sweep", "aicSystem"),
        ("profilingConfig", "config", "sweep", "aic_system"),
    )
    node = next((each for path in paths if (each := spec.get(*path)) is not None), None)
    if not isinstance(node, ScalarNode):
        return None
    from servelint.catalogue import accelerators  # lazy: few requests name one

    origin = Origin(OriginKind.FILE, "hardware", Place.of(document, node))
    found = accelerators.find_all(_SKUS.get(node.text, node.text))
    if found:
        return Fact.either("accelerator.name", tuple(found), origin)
    return Fact.unknown("accelerator.name", f"{node.text} is not in the catalogue", origin=origin)
