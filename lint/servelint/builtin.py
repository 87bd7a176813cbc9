"""The built-in formats and engines, as a plugin like anyone's."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from servelint.formats.needles import NEEDLES
from servelint.hooks import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from servelint.deployment import Deployment
    from servelint.engines.base import Engine
    from servelint.formats.base import Format, Surroundings
    from servelint.source.nodes import Document


class Deferred:
    """A built-in format, its module imported only for the first file that has its needles."""

    def __init__(self, name: str, module: str, reader: str) -> None:
        self.name = name
        self.needles = NEEDLES[name]
        self._module = module
        self._reader = reader

    def recognise(self, document: Document, surroundings: Surroundings) -> Iterable[Deployment]:
        found: Iterable[Deployment] = getattr(import_module(self._module), self._reader)().recognise(document, surroundings)
        return found


# In the order in which they are asked.
FORMATS = (
    Deferred("plan", "servelint.formats.plan", "NativePlan"),
    Deferred("kubernetes", "servelint.formats.kubernetes", "Kubernetes"),
    Deferred("leaderworkerset", "servelint.formats.leaderworkerset", "LeaderWorkerSet"),
    Deferred("compose", "servelint.formats.compose", "Compose"),
    Deferred("skypilot", "servelint.formats.skypilot", "SkyPilot"),
    Deferred("engine-config", "servelint.formats.engine_config", "EngineConfig"),
    Deferred("dstack", "servelint.formats.dstack", "Dstack"),
    Deferred("ray", "servelint.formats.ray", "Ray"),
    Deferred("dynamo", "servelint.formats.dynamo", "Dynamo"),
    Deferred("srt-slurm", "servelint.formats.srt_slurm", "SrtSlurm"),
    Deferred("llm-d-benchmark", "servelint.formats.llm_d_benchmark", "LlmDBenchmark"),
    Deferred("kserve", "servelint.formats.kserve", "KServe"),
    Deferred("ome", "servelint.formats.ome", "Ome"),
    Deferred("nim", "servelint.formats.nim", "Nim"),
    Deferred("kaito", "servelint.formats.kaito", "Kaito"),
    Deferred("aibrix", "servelint.formats.aibrix", "AIBrix"),
    Deferred("rbg", "servelint.formats.rbg", "RoleBasedGroups"),
    Deferred("kthena", "servelint.formats.kthena", "Kthena"),
    Deferred("kubeai", "servelint.formats.kubeai", "KubeAI"),
    Deferred("vllm-runtime", "servelint.formats.vllm_runtime", "VllmRuntime"),
    Deferred("llmaz", "servelint.formats.llmaz", "Llmaz"),
    Deferred("helm-values", "servelint.formats.helm_values", "HelmValues"),
)


@hookimpl
def servelint_formats() -> Sequence[Format]:
    return FORMATS


@hookimpl
def servelint_engines() -> Sequence[Engine]:
    from servelint.engines.nim import Nim
    from servelint.engines.sglang import Sglang
    from servelint.engines.tgi import Tgi
    from servelint.engines.trtllm import Trtllm
    from servelint.engines.undescribed import KNOWN, Undescribed
    from servelint.engines.vllm import Vllm

    return (Vllm(), Sglang(), Trtllm(), Tgi(), Nim(), *map(Undescribed, KNOWN))
