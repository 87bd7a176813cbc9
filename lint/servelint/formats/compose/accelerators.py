"""The accelerators a service gets: device reservations, ``gpus``, runtimes with their variables, and devices by path.

Source: Compose specification, ``deploy.resources.reservations.devices``, ``gpus``, ``runtime``, ``devices``; the container
runtimes of NVIDIA and Habana for ``NVIDIA_VISIBLE_DEVICES`` and ``HABANA_VISIBLE_DEVICES``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from servelint.facts import Fact, Origin, OriginKind, Place
from servelint.formats.compose.interpolation import interpolate
from servelint.formats.launches import GPUS
from servelint.records import NamedTuple
from servelint.source.nodes import MappingNode, ScalarNode, SequenceNode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from servelint.formats.compose.service import Service
    from servelint.source.nodes import Node
    from servelint.writer import Writer

NVIDIA, AMD, GAUDI = "nvidia.com/gpu", "amd.com/gpu", "habana.ai/gaudi"
INTEL, ASCEND = "gpu.intel.com/xe", "huawei.com/ascend"
_NARROWERS = {
    NVIDIA: ("CUDA_VISIBLE_DEVICES",),
    AMD: ("HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"),
    GAUDI: ("HABANA_VISIBLE_DEVICES",),
    INTEL: ("ZE_AFFINITY_MASK",),
}
_RUNTIMES = {"nvidia": (NVIDIA, "NVIDIA_VISIBLE_DEVICES"), "habana": (GAUDI, "HABANA_VISIBLE_DEVICES")}
_NUMBERED = (
    (re.compile(r"/dev/nvidia\d+"), NVIDIA),
    (re.compile(r"/dev/dri/renderD\d+"), AMD),
    (re.compile(r"/dev/davinci\d+"), ASCEND),
)
_ALL = "every device of the host"
_REMEDY = "write the number of devices: count: N"


class Asked(NamedTuple):
    """``resource`` is named as Kubernetes names it; "" for none."""

    resource: str
    gpus: Fact[int]


def asked(service: Service, environment: Mapping[str, Fact[str]]) -> Asked:
    """What ``service`` asks for. A request for all devices is narrowed by the variables that hide some from the engine."""
    found = _reserved(service) or _gpus_key(service) or _runtime(service, environment) or _devices(service)
    if found is None:
        return Asked("", Fact.unknown(GPUS, "the service asks for no accelerator", "reserve devices: deploy.resources"))
    if found.gpus.is_known or not found.gpus.reason.endswith(_ALL):
        return found
    for name in _NARROWERS.get(found.resource, ()):
        fact = environment.get(name)
        number = _listed(fact.value) if fact is not None and fact.is_known else None
        if fact is not None and number is not None:
            return Asked(found.resource, Fact.known(GPUS, number, Origin(OriginKind.FILE, name, fact.place)))
    return found


def _every(resource: str, service: Service, node: Node, what: str) -> Asked:
    origin = Origin(OriginKind.FILE, what, Place.of(service.document, node))
    return Asked(resource, Fact.unknown(GPUS, f"{what} takes {_ALL}", _REMEDY, origin))


def _reserved(service: Service) -> Asked | None:
    """``deploy.resources.reservations.devices``: the entries for GPUs, added up."""
    node = service.get("deploy", "resources", "reservations", "devices")
    return _requests(service, node) if isinstance(node, SequenceNode) else None


def _gpus_key(service: Service) -> Asked | None:
    """``gpus: all`` or a list like that of a reservation."""
    node = service.get("gpus")
    if isinstance(node, SequenceNode):
        return _requests(service, node, short=True)
    if not isinstance(node, ScalarNode):
        return None
    text = interpolate(node.text).text.text
    if text == "all":
        return _every(NVIDIA, service, node, "gpus: all")
    return Asked(NVIDIA, _counted(service, node, "gpus"))


def _requests(service: Service, node: SequenceNode, *, short: bool = False) -> Asked | None:
    parts = []
    for item in node.items:
        request = item.resolved
        if isinstance(request, MappingNode) and (short or _is_gpu(request)):
            parts.append(_request(service, request))
    if len(parts) < 2:
        return parts[0] if parts else None
    unknown = next((part for part in parts if not part.gpus.is_known), None)
    if unknown is not None:
        return unknown
    total = sum(part.gpus.value for part in parts)
    return Asked(parts[0].resource, Fact.known(GPUS, total, Origin(OriginKind.DERIVED, "sum of the device requests")))


def _is_gpu(request: MappingNode) -> bool:
    words: set[str] = set()
    for item in request.elements_at("capabilities"):
        words |= {part.text for part in getattr(item, "items", [item]) if isinstance(part, ScalarNode)}
    return "gpu" in words or (request.text_at("driver") or "") in {"nvidia", "amd"} or _is_device_name(request)


def _is_device_name(request: MappingNode) -> bool:
    """Container Device Interface: ``driver: cdi`` with names like ``nvidia.com/gpu=0``."""
    return any("/gpu=" in item.text for item in request.elements_at("device_ids") if isinstance(item, ScalarNode))


def _request(service: Service, request: MappingNode) -> Asked:
    driver = request.text_at("driver") or ""
    ids = request.get("device_ids")
    if isinstance(ids, SequenceNode):
        return _identified(service, ids, driver)
    resource = AMD if driver == "amd" else NVIDIA
    count = request.get("count")
    if not isinstance(count, ScalarNode):
        return _every(resource, service, request, "a device request without a count")
    if interpolate(count.text).text.text in {"all", "-1"}:
        return _every(resource, service, count, "count: all")
    return Asked(resource, _counted(service, count, "count"))


def _identified(service: Service, ids: SequenceNode, driver: str) -> Asked:
    names: list[str] = []
    resource = AMD if driver == "amd" else NVIDIA
    for item in ids.items:
        scalar = item.resolved
        if not isinstance(scalar, ScalarNode):
            continue
        value = interpolate(scalar.text)
        if value.unset:
            return Asked(resource, _outside(service, scalar, value.unset[0]))
        names += [part.strip() for part in value.text.text.split(",") if part.strip()]
    if any(name.startswith("amd.com/") for name in names):
        resource = AMD
    names = [name.rpartition("=")[2] for name in names]
    if "all" in names:
        return _every(resource, service, ids, "device_ids: all")
    return Asked(resource, Fact.known(GPUS, len(names), Origin(OriginKind.FILE, "device_ids", Place.of(service.document, ids))))


def _runtime(service: Service, environment: Mapping[str, Fact[str]]) -> Asked | None:
    node = service.get("runtime")
    if not isinstance(node, ScalarNode):
        return None
    known = _RUNTIMES.get(interpolate(node.text).text.text)
    if known is None:
        return None
    resource, variable = known
    fact = environment.get(variable)
    if fact is None:
        return _every(resource, service, node, f"runtime: {node.text}")
    if not fact.is_known:
        return Asked(resource, Fact.unknown(GPUS, f"{variable}: {fact.reason}", fact.remedy, fact.origin))
    number = _listed(fact.value)
    if number is None:
        return _every(resource, service, node, f"{variable}={fact.value}")
    return Asked(resource, Fact.known(GPUS, number, Origin(OriginKind.FILE, variable, fact.place)))


def _listed(text: str) -> int | None:
    """How many devices ``0,1`` or ``GPU-…,GPU-…`` name; None for ``all``, ``none`` and the like."""
    names = [part.strip() for part in text.split(",") if part.strip()]
    if not names or not all(name.isdigit() or name.startswith(("GPU-", "MIG-")) for name in names):
        return None
    return len(names)


def _devices(service: Service) -> Asked | None:
    """``devices``: ``/dev/kfd`` and ``/dev/dri`` give every GPU; devices with a number are counted."""
    node = service.get("devices")
    if not isinstance(node, SequenceNode):
        return None
    paths = {
        str(item.text_at("source") or getattr(item.resolved, "text", "")).partition(":")[0].rstrip("/") for item in node.items
    }
    for pattern, resource in _NUMBERED:
        found = [path for path in paths if pattern.fullmatch(path)]
        if found and (resource is not AMD or "/dev/kfd" in paths):
            place = Place.of(service.document, node)
            return Asked(resource, Fact.known(GPUS, len(found), Origin(OriginKind.FILE, "devices", place)))
    if "/dev/kfd" in paths:
        return _every(AMD, service, node, "/dev/kfd")
    if any(path.startswith("/dev/dri") for path in paths):
        return _every(INTEL, service, node, "/dev/dri")
    return None


def _counted(service: Service, node: ScalarNode, what: str) -> Fact[int]:
    from servelint.formats.writers import ScalarWriter

    value = interpolate(node.text)
    text = value.text.text.strip()
    if value.unset:
        return _outside(service, node, value.unset[0])
    origin = Origin(OriginKind.FILE, what, Place.of(service.document, node))
    if not text.isdecimal() or len(text) > 9:
        return Fact.unknown(GPUS, f"{what} is {text!r}, not a whole number", _REMEDY, origin)
    writer: Writer | None = None if value.changed else ScalarWriter(service.document, node)
    return Fact.known(GPUS, int(text), origin, writer)


def _outside(service: Service, node: Node, name: str) -> Fact[int]:
    reason = f"${name} comes from the shell or the .env file"
    origin = Origin(OriginKind.FILE, "devices", Place.of(service.document, node))
    return Fact.unknown(GPUS, reason, f"give it a default: ${{{name}:-VALUE}}", origin)


def has_shared_memory(service: Service) -> bool:
    """``/dev/shm`` is enlarged, or the host's: ``shm_size``, ``ipc: host``, a volume or a tmpfs on it."""
    if service.get("shm_size") is not None or (service.text_at("ipc") or "").startswith(("host", "service:", "container:")):
        return True
    mounted = [*_items(service, "volumes"), *_items(service, "tmpfs")]
    return any("/dev/shm" in text for text in mounted)  # noqa: S108 - a path in a container


def _items(service: Service, key: str) -> list[str]:
    node = service.get(key)
    if isinstance(node, ScalarNode):
        return [node.text]
    items = [item.resolved for item in node.items] if isinstance(node, SequenceNode) else []
    return [item.text if isinstance(item, ScalarNode) else item.text_at("target") or "" for item in items]
