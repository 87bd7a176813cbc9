"""Listening: on which port and address an engine answers, on which paths, and whether anything else in its pod does.

Sources: the flag tables for the defaults; for the paths vLLM 0.19.1 and 0.33.0 (vllm/entrypoints), SGLang 0.4.10, 0.5.9 and
0.5.23 (sglang/srt/entrypoints/http_server.py), text-generation-inference 3.3 (router/src/server.rs).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from servelint.records import NamedTuple
from servelint.source.scalars import whole
from servelint_rules import pods

if TYPE_CHECKING:
    from servelint.deployment import Container, Pod
    from servelint.engines.command import Argument, Command
    from servelint.facts import Place


def _paths(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What a GET is answered on when the model is loaded; all of these servers open their port only then.
AFTER_LOADING = {
    "vllm": _paths("/health /ping /version /v1/models /metrics /load /docs /openapi.json /tokenizer_info /server_info"),
    "sglang": _paths(
        "/health /health_generate /ping /v1/models /get_model_info /model_info /get_server_info /server_info /metrics /ready"
    ),
    "tgi": _paths("/ /health /ping /info /metrics /v1/models"),
    "trtllm": _paths("/health /version /v1/models"),
}
# Further paths that some release or mode of the server answers.
_OTHERS = {
    "vllm": _paths("/is_sleeping /is_paused /get_world_size /weight_info /kv_event_sources /redoc /ready /readyz"),
    "sglang": _paths("/ /docs /redoc /openapi.json /get_load /weight_version /get_weight_version /readyz"),
    "tgi": _paths("/docs /v2 /v2/health/ready /v2/health/live /openapi.json /api-doc/openapi.json"),
}
# Options by which the port is another's, or nothing listens in this container.
_ELSEWHERE = ("--headless", "--data-parallel-supervisor-port", "--uds", "--data-parallel-multi-port-external-lb")
# vLLM, vllm/envs.py (NIXL's side channel, Mooncake's bootstrap) and vllm/config/kv_transfer.py (kv_port).
_VLLM_TRANSFER_PORTS = frozenset((5600, 8998, 14579))
_VLLM_RANKS_PORT = 29550  # vllm/config/parallel.py: data_parallel_rpc_port
# SGLang, srt/server_args.py (PortArgs) and srt/managers/data_parallel_controller.py: under attention data parallelism it opens
# ports for its schedulers behind that of --dist-init-addr, up to 13 and one for each rank.
_SGLANG_PORTS = 32
_LOCAL = frozenset(("127.0.0.1", "localhost", "::1"))


class Address(NamedTuple):
    """``port``: None where it cannot be told. ``argument``: what states it, None for the engine's default."""

    port: int | None
    argument: Argument | None = None


def address(container: Container) -> Address:
    """The port on which the engine of ``container`` answers requests."""
    command = container.command
    if command is None or "dynamo" in command.launcher or any(command.last(flag) is not None for flag in _ELSEWHERE):
        return Address(None)
    argument = command.last("--port")
    if argument is not None:
        return Address(None if argument.value_is_unknown else whole(argument.value or ""), argument)
    if not command.complete:
        return Address(None)
    if command.engine == "tgi":
        return Address(_tgi_port(container, command))
    if command.launcher == "image" and not is_release(command):
        return Address(None)  # another maker's entrypoint may state a port of its own
    return Address(_default(command, "--port"))


def _default(command: Command, name: str) -> int | None:
    flag = command.table.flag(name)
    text = flag.default_at(None) if flag is not None else None
    return whole(text) if text is not None else None


def _tgi_port(container: Container, command: Command) -> int | None:
    """The launcher reads PORT, which TGI's own images set to 80 (Dockerfile*)."""
    stated = container.environment.get("PORT")
    if stated is not None:
        return whole(stated.get(""))
    return 80 if is_release(command) else None


def is_release(command: Command) -> bool:
    """The image is one of the engine's own project."""
    name = command.image.partition("@")[0].lower()
    projects = ("vllm/vllm-openai", "lmsysorg/sglang", "huggingface/text-generation-inference", "nvidia/tensorrt-llm/release")
    return any(f"{project}:" in f"{name}:" for project in projects)


class Binding(NamedTuple):
    """``host`` as stated, or the engine's default where ``argument`` is None."""

    host: str
    argument: Argument | None


def local_binding(container: Container) -> Binding | None:
    """The address, where the engine listens for requests of its own pod only; None where it does not, or nobody can tell."""
    command = container.command
    if command is None or "dynamo" in command.launcher or any(command.last(flag) is not None for flag in _ELSEWHERE):
        return None
    name = "--hostname" if command.engine == "tgi" else "--host"
    argument = command.last(name)
    if argument is not None:
        host = (argument.value or "").strip("[]'\"")
        return Binding(host, argument) if not argument.value_is_unknown and host in _LOCAL else None
    flag = command.table.flag(name)
    host = (flag.default_at(None) or "") if flag is not None and command.complete else ""
    if host not in _LOCAL or (command.launcher == "image" and not is_release(command)):
        return None
    return Binding(host, None)


def serves_tls(container: Container) -> bool:
    command = container.command
    return command is not None and any(command.last(flag) is not None for flag in ("--ssl-keyfile", "--ssl-certfile"))


def answers(engine: str, path: str) -> bool | None:
    """Whether the engine's server answers a GET of ``path``; None for engines whose paths are not listed."""
    known = _OTHERS.get(engine)
    if known is None:
        return None
    bare = path.partition("?")[0]
    bare = bare.rstrip("/") or "/"
    return bare in known or bare in AFTER_LOADING[engine] or bare.startswith(("/v1/", "/metrics", "/static"))


def something_else_listens(container: Container, port: int) -> bool:
    """Something else in the pod may listen on ``port``: a sidecar, a program beside the engine, or a setting that names it."""
    pod, command = container.pod, container.command
    if pod is None or command is None or pods.other_containers(pod, container.node) or _starts_others(command):
        return True
    if _gets_sidecar(pod) or port in _ports_beside(command):
        return True
    number = re.compile(rf"(?<!\d){port}(?!\d)")
    here = (container.node.get(key) for key in ("command", "args", "env"))
    return any(number.search(text) for node in here for text in pods.texts(node))


def _ports_beside(command: Command) -> frozenset[int]:
    """The ports that an engine opens beside its own without naming them: to hand the KV cache over, or for its other nodes."""
    defaults: list[str] = []
    ports: set[int] = set()
    if command.engine == "sglang":
        defaults += ["--disaggregation-bootstrap-port"] if command.last("--disaggregation-mode") is not None else []
        group = command.last("--dist-init-addr")
        number = whole((group.value or "").rpartition(":")[2]) if group is not None else None
        ports |= set(range(number, number + _SGLANG_PORTS)) if number is not None else set()
    if command.engine == "vllm":
        ports |= _VLLM_TRANSFER_PORTS if command.last("--kv-transfer-config") is not None else set()
        ports |= {_VLLM_RANKS_PORT} if command.last("--data-parallel-size") is not None else set()
        defaults += ["--master-port"] if command.last("--nnodes") is not None else []
    return frozenset((*ports, *(port for name in defaults if (port := _default(command, name)) is not None)))


def _gets_sidecar(pod: Pod) -> bool:
    """An annotation or label asks a webhook to add a container (AIBrix's runtime, a mesh's proxy)."""
    workload = pods.workload_of(pod)
    return any(
        "sidecar" in key or "inject" in key
        for node in (workload, pod.node)
        if node is not None
        for what in ("annotations", "labels")
        for key, _, _ in node.entries_at("metadata", what)
    )


def _starts_others(command: Command) -> bool:
    """A script that starts more than the engine."""
    if not command.program.shell:
        return False
    script = "\n".join(dict.fromkeys(word.node.text for word in command.program.words)).lower()
    return bool(re.search(r"(?<!&)&(?![&0-9])|\bray\b|multi-node-serving|nginx|envoy|haproxy|proxy|router|frontend", script))


def place_of(container: Container, argument: Argument | None, otherwise: Place) -> Place:
    """Where the address is stated, else ``otherwise``."""
    command = container.command
    return command.place_of(argument) if command is not None and argument is not None else otherwise
