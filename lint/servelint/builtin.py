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
    from servelint.formats.compose import Compose
    from servelint.formats.dstack import Dstack
    from servelint.formats.dynamo import Dynamo
    from servelint.formats.engine_config import EngineConfig
    from servelint.formats.kaito import Kaito
    from servelint.formats.kserve import KServe
    from servelint.formats.kubernetes import Kubernetes
    from servelint.formats.leaderworkerset import LeaderWorkerSet
    from servelint.formats.llm_d_benchmark import LlmDBenchmark
    from servelint.formats.nim import Nim
    from servelint.formats.ome import Ome
    from servelint.formats.plan import NativePlan
    from servelint.formats.ray import Ray
    from servelint.formats.skypilot import SkyPilot
    from servelint.formats.srt_slurm import SrtSlurm

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
    )


@hookimpl
def servelint_engines() -> Sequence[Engine]:
    from servelint.engines.vllm import Vllm

    return (Vllm(),)
