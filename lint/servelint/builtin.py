"""The built-in formats and engines, as a plugin like anyone's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.hooks import hookimpl

if TYPE_CHECKING:
    from collections.abc import Sequence

    from servelint.engines.base import Engine
    from servelint.formats.base import Format


@hookimpl
def servelint_formats() -> Sequence[Format]:
    from servelint.formats.aibrix import AIBrix
    from servelint.formats.compose import Compose
    from servelint.formats.dstack import Dstack
    from servelint.formats.dynamo import Dynamo
    from servelint.formats.engine_config import EngineConfig
    from servelint.formats.helm_values import HelmValues
    from servelint.formats.kaito import Kaito
    from servelint.formats.kserve import KServe
    from servelint.formats.kthena import Kthena
    from servelint.formats.kubeai import KubeAI
    from servelint.formats.kubernetes import Kubernetes
    from servelint.formats.leaderworkerset import LeaderWorkerSet
    from servelint.formats.llm_d_benchmark import LlmDBenchmark
    from servelint.formats.llmaz import Llmaz
    from servelint.formats.nim import Nim
    from servelint.formats.ome import Ome
    from servelint.formats.plan import NativePlan
    from servelint.formats.ray import Ray
    from servelint.formats.rbg import RoleBasedGroups
    from servelint.formats.skypilot import SkyPilot
    from servelint.formats.srt_slurm import SrtSlurm
    from servelint.formats.vllm_runtime import VllmRuntime

    return (
        NativePlan(),
        Kubernetes(),
        LeaderWorkerSet(),
        Compose(),
        SkyPilot(),
        EngineConfig(),
        Dstack(),
        Ray(),
        Dynamo(),
        SrtSlurm(),
        LlmDBenchmark(),
        KServe(),
        Ome(),
        Nim(),
        Kaito(),
        AIBrix(),
        RoleBasedGroups(),
        Kthena(),
        KubeAI(),
        VllmRuntime(),
        Llmaz(),
        HelmValues(),
    )


@hookimpl
def servelint_engines() -> Sequence[Engine]:
    from servelint.engines.nim import Nim
    from servelint.engines.sglang import Sglang
    from servelint.engines.tgi import Tgi
    from servelint.engines.trtllm import Trtllm
    from servelint.engines.vllm import Vllm

    return (Vllm(), Sglang(), Trtllm(), Tgi(), Nim())
