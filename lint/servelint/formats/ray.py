"""Ray on Kubernetes and Ray Serve: RayService, RayJob and RayCluster, Serve configuration files, and single LLM configurations.

Sources: KubeRay API ``ray.io/v1`` (ray-operator/apis/ray/v1), the Ray Serve configuration (``ServeDeploySchema`` in
python/ray/serve/schema.py) and Ray Serve LLM (``LLMConfig`` in python/ray/llm/_internal/serve).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.formats import custom_resources
from servelint.source.nodes import MappingNode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.deployment import Deployment
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document

_KINDS = frozenset(("RayService", "RayJob", "RayCluster"))


class Ray:
    name = "ray"

    def recognise(self, document: Document, surroundings: Surroundings) -> Iterator[Deployment]:
        for _, item in custom_resources.of(document, "ray.io/", _KINDS):
            from servelint.formats.ray_objects import deployments  # lazy, as below: few documents are Ray's

            yield from deployments(document, item, surroundings)
        root = document.root
        if not isinstance(root, MappingNode) or root.text_at("kind"):
            return
        if root.elements_at("applications"):
            from servelint.formats.ray_serve import of_configuration

            yield from of_configuration(document, surroundings)
        elif isinstance(root.get("model_loading_config"), MappingNode):
            from servelint.formats.ray_serve import of_llm_configuration

            yield from of_llm_configuration(document, surroundings)
