"""Values of Helm charts that serve LLMs: production-stack, llm-d-modelservice, and others by their shape.

They stand in files of their own, or in the objects by which Flux and Argo CD install a chart. What the templates of a chart
make of its values is known for the first two. Of any other chart only what the values say themselves is taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.source.nodes import MappingNode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.deployment import Deployment
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document, Node

_RELEASES = frozenset(("HelmRelease", "Application", "ApplicationSet"))


class HelmValues:
    name = "helm-values"

    def recognise(self, document: Document, surroundings: Surroundings) -> Iterator[Deployment]:
        root = document.root
        if not isinstance(root, MappingNode):
            return
        if root.entry("apiVersion") is None and root.get("kind") is None:
            yield from _values(document, root, surroundings)
        elif root.text_at("kind") in _RELEASES:
            from servelint.formats.helm_releases import values_of  # lazy: only for objects that carry values

            for owner, values in values_of(document, root):
                yield from _values(owner, values, surroundings)


def _values(document: Document, root: MappingNode, surroundings: Surroundings) -> Iterator[Deployment]:
    known = False
    for chart in _charts(root):
        if chart.get("servingEngineSpec", "modelSpec") is not None:
            from servelint.formats.helm_production_stack import deployments  # lazy: only for values of its chart

            known = True
            yield from deployments(document, chart, surroundings)
        elif _is_modelservice(chart):
            from servelint.formats.helm_modelservice import deployment

            known = True
            yield from deployment(document, chart, surroundings)
    if not known and not _is_other(root):
        from servelint.formats.helm_charts import deployments as others

        yield from others(document, root, surroundings)


def _is_modelservice(chart: Node) -> bool:
    """Its phases beside the model; or phases whose containers say how the chart makes their command, in values that are laid
    over others."""
    phases = [phase for name in ("decode", "prefill") if isinstance(phase := chart.get(name), MappingNode)]
    if chart.get("modelArtifacts") is not None:
        return bool(phases)
    return any(c.get("modelCommand") is not None for phase in phases for c in phase.elements_at("containers"))


def _charts(root: MappingNode) -> Iterator[Node]:
    """The root, and what may be the values of a subchart."""
    yield root
    for _, _, value in root.pairs():
        if isinstance(value, MappingNode):
            yield value


# Keys that together stand at the root of documents of other formats that have no kind: SkyPilot, Ray Serve, dstack,
# Truss, llm-d-benchmark, srt-slurm, workflows of GitHub and Buildkite, tests of charts.
_OTHERS = (
    ("run", "resources"), ("applications",), ("import_path",), ("type", "commands"), ("scenario",), ("backend", "benchmark"),
    ("jobs", "on"), ("jobs", "name"), ("suite", "tests"), ("docker_server",), ("model_name", "base_image"),
    ("model_name", "trt_llm"), ("model_metadata", "requirements"), ("steps",),
)  # fmt: skip


def _is_other(root: MappingNode) -> bool:
    """A document of another format that has no kind."""
    services = root.get("services")
    if isinstance(services, MappingNode) and any(s.get("image") or s.get("build") for _, _, s in services.pairs()):
        return True  # compose
    return any(all(root.entry(key) is not None for key in keys) for keys in _OTHERS)
