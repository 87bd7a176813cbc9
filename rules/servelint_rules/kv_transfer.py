"""The KV transfer that a command line of vLLM configures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from servelint.deployment import Pool
    from servelint.engines.command import Argument, Command

ROLES = ("kv_producer", "kv_consumer", "kv_both")
# Connectors that register the KV cache's memory with a network card.
REGISTERING = ("NixlConnector", "MooncakeConnector", "MooncakeConnectorV1", "P2pNcclConnector")


class Transfer(NamedTuple):
    """``connectors``: the connector and those that it combines. ``role``: None where it is not stated. ``degrees``: what it is
    told of the pools' degrees (``tp_size``, ``dp_size``), by role."""

    argument: Argument
    connectors: tuple[str, ...]
    role: str | None
    degrees: Mapping[str, Mapping[str, int]]

    def uses(self, *names: str) -> bool:
        return any(name in self.connectors for name in names)


def transfer_of(command: Command | None) -> Transfer | None:
    """What ``--kv-transfer-config`` says, as JSON or by dotted keys; None where there is none or it cannot be read."""
    found = [a for a in command.arguments if a.name == "--kv-transfer-config"] if command is not None else []
    if not found or any(a.value is None or a.value_is_unknown for a in found):
        return None
    config: dict[str, object] = {}
    for argument in found:
        if argument.key:
            config[argument.key] = argument.value
            continue
        import json  # lazy: few command lines transfer anything

        try:
            stated = json.loads(argument.value or "")
        except ValueError:
            return None  # CLI113
        if not isinstance(stated, dict):
            return None
        config = {**stated}
    connector, role = config.get("kv_connector"), config.get("kv_role")
    if not isinstance(connector, str) or not connector:
        return None
    extra = config.get("kv_connector_extra_config")
    inner = extra.get("connectors") if isinstance(extra, dict) else None
    names = [each.get("kv_connector") for each in inner if isinstance(each, dict)] if isinstance(inner, list) else []
    degrees = {}
    for each in ("prefill", "decode"):
        told = extra.get(each) if isinstance(extra, dict) else None
        if isinstance(told, dict):
            degrees[each] = {key: value for key, value in told.items() if isinstance(key, str) and type(value) is int}
    connectors = (connector, *(n for n in names if isinstance(n, str)))
    return Transfer(found[-1], connectors, role if isinstance(role, str) and role else None, degrees)


def command_of(pool: Pool) -> Command | None:
    return pool.containers[0].command if pool.containers else None
