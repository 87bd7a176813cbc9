"""Recipes of srt-slurm (srtctl): prefill, decode or aggregated workers on the nodes of a Slurm job, and their load.

Source: srt-slurm, ``src/srtctl/core/schema.py`` (resources, benchmark), ``core/topology.py`` and ``backends``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.source.nodes import MappingNode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from servelint.deployment import Deployment
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document

CONFIGS = {"sglang": "sglang_config", "vllm": "vllm_config", "trtllm": "trtllm_config"}
"""Engine → the key of ``backend`` that holds its settings."""
_SIZES = ("gpu_type", "gpus_per_node", "prefill_nodes", "prefill_workers", "decode_workers", "agg_nodes", "agg_workers")


class SrtSlurm:
    """Recognised by the mappings ``model``, ``resources`` (with srt-slurm's own keys) and ``backend``."""

    name = "srt-slurm"

    def recognise(self, document: Document, surroundings: Surroundings) -> Iterable[Deployment]:
        root = document.root
        if not isinstance(root, MappingNode) or root.entry("apiVersion") is not None or root.entry("kind") is not None:
            return ()
        base = root.get("base")
        if isinstance(base, MappingNode) and _is_recipe(base):
            from servelint.formats.srt_slurm_variants import deployments as variants  # lazy: few recipes have any

            return variants(document, root, base, surroundings)
        if not _is_recipe(root):
            return ()
        from servelint.formats.srt_slurm_recipe import deployments  # lazy: only for recipes

        return deployments(document, root, surroundings)


def _is_recipe(root: MappingNode) -> bool:
    resources, backend = root.get("resources"), root.get("backend")
    if not isinstance(resources, MappingNode) or not isinstance(backend, MappingNode) or root.get("model") is None:
        return False
    if sum(resources.entry(key) is not None for key in _SIZES) < 2:
        return False
    return any(isinstance(backend.get(key), MappingNode) for key in CONFIGS.values())
