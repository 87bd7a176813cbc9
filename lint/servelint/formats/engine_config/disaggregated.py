"""TensorRT-LLM's ``trtllm-serve disaggregated -c FILE``: context and generation servers, with settings of their own or common.

Source: tensorrt_llm/llmapi/disagg_utils.py, ``parse_disagg_config_file`` and ``extract_disagg_cfg``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.deployment import Deployment, Role
from servelint.formats import launches
from servelint.formats.engine_config import settings
from servelint.source.nodes import MappingNode

if TYPE_CHECKING:
    from servelint.deployment import Pool
    from servelint.engines.base import Engine
    from servelint.source.nodes import Document

_ROLES = {"context_servers": Role.PREFILL, "generation_servers": Role.DECODE}
_OWN = frozenset((
    "hostname", "port", "context-servers", "generation-servers", "max-retries", "perf-metrics-max-requests",
    "conditional-disagg-config",
    "disagg-cluster", "otlp-config", "num-instances", "urls", "router", "schedule-style", "node-id",
))  # fmt: skip
_LAUNCHER = "trtllm-serve disaggregated"


def is_disaggregated(root: MappingNode) -> bool:
    return all(isinstance(root.get(key), MappingNode) for key in _ROLES)


def deployment(document: Document, root: MappingNode, engine: Engine, name: str) -> Deployment:
    """A pool for the servers of each phase; ``num_instances`` of them."""
    from servelint.formats.engine_config.files import pool  # here, because that module asks for this one

    common = settings.command_of(engine, document, root, launcher=_LAUNCHER, ignored=_OWN)
    pools: list[Pool] = []
    for key, role in _ROLES.items():
        mapping = root.get(key)
        if not isinstance(mapping, MappingNode):
            continue
        own = settings.command_of(engine, document, mapping, launcher=_LAUNCHER, ignored=_OWN)
        started = own.with_arguments((*common.arguments, *own.arguments), own.elsewhere)
        made = pool(engine, started, document, role.value)._replace(role=role)
        count = launches.whole(document, mapping.get("num_instances"), launches.REPLICAS, f"{key}.num_instances")
        if count is not None:
            made = made._replace(replicas_min=count, replicas_max=count._replace(name="replicas.max"))
        pools.append(made)
    return Deployment(name, "engine-config", document, tuple(pools))
