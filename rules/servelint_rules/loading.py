"""Loading: how long a probe lets an engine load, and what it has to load: the arithmetic of K8S602."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.finding import Proposal
from servelint.formats import containers

if TYPE_CHECKING:
    from servelint.deployment import Container, Pool
    from servelint.formats.containers import Probe

# Hardly an engine with weights of this size answers within a minute of its start (import, load, compile, graph capture).
LARGE_WEIGHTS_BYTES = 10e9
SMALL_WEIGHTS_BYTES = 2e9
CERTAIN_SECONDS = 60
SUSPECT_SECONDS = 300
# For the proposed budget: bytes/s of a slow but usual way to the weights, doubled time, and vLLM's own time limit.
_SLOW_BYTES_PER_SECOND = 0.25e9
_LEAST_BUDGET_SECONDS = 600
# Endpoints of vLLM's API server, which opens its port when the model is loaded.
_AFTER_LOADING = frozenset(("/health", "/v1/models", "/ping", "/version", "/metrics"))
_DEFAULT_PORT = "8000"
_FAST_LOADERS = frozenset(("dummy", "runai_streamer", "runai_streamer_sharded", "tensorizer", "fastsafetensors"))


def asks_engine(container: Container, probe: Probe) -> bool:
    """The probe goes to the port on which the engine answers once it is loaded."""
    command = container.command
    if command is None or probe.handler not in ("httpGet", "tcpSocket"):
        return False
    if probe.handler == "httpGet" and (probe.node.text_at("httpGet", "path") or "/") not in _AFTER_LOADING:
        return False
    port = command.last("--port")
    if port is not None and port.value_is_unknown:
        return False
    expected = port.value if port is not None else _DEFAULT_PORT
    elsewhere = any(command.last(flag) is not None for flag in ("--data-parallel-supervisor-port", "--headless"))
    return not elsewhere and containers.probe_port(container.node, probe.node) == expected


def starts_fast(container: Container) -> bool:
    command = container.command
    if command is None:
        return False
    loader = command.last("--load-format")
    return command.last("--enforce-eager") is not None or (loader is not None and loader.value in _FAST_LOADERS)


def checkpoint_bytes(pool: Pool) -> float | None:
    """Size of the checkpoint, at least; None where the model is not known."""
    if not pool.architecture.is_known:
        return None
    architecture = pool.architecture.value
    if architecture.checkpoint_bytes is not None:
        return float(architecture.checkpoint_bytes)
    if architecture.parameters is None:
        return None
    return architecture.parameters * (0.5 if architecture.quantization is not None else 2)


def startup_proposal(container: Container, weights: float | None) -> Proposal:
    from servelint.formats.snippets import add_startup_probe  # lazy: only findings edit

    period = 10
    budget = max(_LEAST_BUDGET_SECONDS, 2 * (weights or 0) / _SLOW_BYTES_PER_SECOND)
    failures = -(-int(budget) // period)
    edits = add_startup_probe(container.document, container.node, period, failures)
    return Proposal(f"add a startup probe with the same handler and {period * failures} s", True, edits)
