"""Roles: which phase of disaggregated serving an engine has, by what its command line hands to others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.deployment import Role
from servelint.source.nodes import ScalarNode

if TYPE_CHECKING:
    from servelint.engines.command import Command
    from servelint.source.nodes import Document, Node

_ROLES = {
    "prefill": Role.PREFILL, "prefiller": Role.PREFILL, "kv_producer": Role.PREFILL,
    "decode": Role.DECODE, "decoder": Role.DECODE, "kv_consumer": Role.DECODE,
    "encode": Role.ENCODE, "encoder": Role.ENCODE, "ec_producer": Role.ENCODE,
    "context": Role.PREFILL, "generation": Role.DECODE, "mm_encoder": Role.ENCODE,  # TensorRT-LLM's server roles
}  # fmt: skip
# Switches of vLLM, of SGLang and of Dynamo's workers.
_ROLE_FLAGS = (
    ("--mm-encoder-only", Role.ENCODE), ("--encoder-only", Role.ENCODE), ("--multimodal-encode-worker", Role.ENCODE),
    ("--is-prefill-worker", Role.PREFILL), ("--is-decode-worker", Role.DECODE),
)  # fmt: skip


def role_of(template: Node, document: Document, command: Command, name: str = "") -> Role:
    """The role of an engine, where its command line hands KV (or encoder output) to others.

    A name or label alone is no role: charts call a pool that serves both phases "decode". ``name``: of what holds the
    engine, where that is not the document.
    """
    mode = command.last("--disaggregation-mode")
    if mode is not None:
        return _ROLES.get(mode.value or "", Role.SERVE)
    for flag, role in _ROLE_FLAGS:
        if command.last(flag) is not None:
            return role
    server = command.last("--server_role")
    if server is not None:
        return _ROLES.get((server.value or "").lower(), Role.SERVE)
    transfer = next((a for a in reversed(command.arguments) if a.name == "--kv-transfer-config"), None)
    if transfer is None:
        return Role.SERVE
    stated = _kv_role(command)
    if stated in _ROLES:
        return _ROLES[stated]
    for key, _, value in template.entries_at("metadata", "labels"):
        if key.endswith("role") and isinstance(value, ScalarNode) and value.text.lower() in _ROLES:
            return _ROLES[value.text.lower()]
    name = (name or document.text_at("metadata", "name") or "").lower()
    for separator in "._":
        name = name.replace(separator, "-")
    roles = {_ROLES[part] for part in name.split("-") if part in _ROLES}
    return roles.pop() if len(roles) == 1 else Role.SERVE


def _kv_role(command: Command) -> str:
    """``kv_role`` of ``--kv-transfer-config``, given as JSON or as a dotted key; "" if it is not stated."""
    role = ""
    for argument in command.arguments:
        if argument.name != "--kv-transfer-config" or argument.value is None:
            continue
        if argument.key:
            role = argument.value if argument.key == "kv_role" else role
            continue
        import json  # lazy: only disaggregated deployments have it

        try:
            config = json.loads(argument.value)
        except ValueError:
            continue
        if isinstance(config, dict) and isinstance(config.get("kv_role"), str):
            role = config["kv_role"]
    return role
