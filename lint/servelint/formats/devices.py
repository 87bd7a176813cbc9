"""Accelerators a container asks for: which resource, how many, and where that is written.

Kubernetes counts extended resources in whole devices. For the resources in :data:`COUNTED` one unit is one device of the
engine, so that the degrees of a layout can be compared with the count. For all others (chips with several devices, cores,
slices of a GPU, claims of dynamic resource allocation) the number of engine devices is not in the manifest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.facts import Fact, Origin, OriginKind, Place
from servelint.records import NamedTuple
from servelint.source.nodes import ScalarNode

if TYPE_CHECKING:
    from servelint.source.nodes import Document, Node
    from servelint.writer import Writer

NAME = "gpus.per_node"

COUNTED = frozenset(("nvidia.com/gpu", "amd.com/gpu", "habana.ai/gaudi"))
"""Resources of which one unit is one device of the engine."""

DYNAMIC = "dra"
"""What stands for the resource where devices are claimed through dynamic resource allocation."""

# Why one unit of a resource is not one device of the engine; the first prefix that fits decides.
_UNEVEN = (
    ("nvidia.com/mig-", "a MIG slice is a part of a GPU"),
    ("nvidia.com/gpu.shared", "a time-sliced GPU is shared with other pods"),
    ("nvidia.com/gpu", "the device plugin was configured to rename or share GPUs"),
    ("nvidia.com/pgpu", "a GPU passed through to a virtual machine"),
    ("google.com/tpu", "a TPU chip holds one or two devices, by generation"),
    ("aws.amazon.com/neuron", "Neuron counts chips, devices or cores, and the engine counts cores"),
    ("huawei.com/", "an Ascend card holds one or two devices, by generation"),
    ("gpu.intel.com/", "an Intel GPU may hold several tiles, or be shared"),
    ("amd.com/", "a partitioned GPU shows up as several devices"),
    ("habana.ai/", "not a resource whose devices are known"),
    ("k8s.amazonaws.com/vgpu", "a share of a GPU"),
    ("aliyun.com/gpu", "a share of a GPU"),
    ("volcano.sh/vgpu", "a share of a GPU"),
    ("tencent.com/vcuda", "a share of a GPU"),
    ("cambricon.com/", "not a resource whose devices are known"),
    ("hygon.com/dcu", "not a resource whose devices are known"),
    ("metax-tech.com/", "not a resource whose devices are known"),
    ("mthreads.com/", "not a resource whose devices are known"),
    ("iluvatar.ai/", "not a resource whose devices are known"),
    ("enflame.com/", "not a resource whose devices are known"),
    ("kunlunxin.com/", "not a resource whose devices are known"),
    ("rebellions.ai/", "not a resource whose devices are known"),
    ("furiosa.ai/", "not a resource whose devices are known"),
)
# A DeviceClass may offer its devices under a name of the cluster's (extendedResourceName, resource.k8s.io/v1 of Kubernetes 1.34),
# and does so under `deviceclass.resource.kubernetes.io/` and its own.
_OF_A_CLASS = "what a device of that name is, is set in the cluster"
# Parts of a GPU that are asked for beside the GPU itself.
_SHARES = ("nvidia.com/gpumem", "nvidia.com/gpumem-percentage", "nvidia.com/gpucores")
_PARTS = ("mem", "memory", "cores")  # ends of their names: huawei.com/Ascend910B4-memory
_MODIFIERS = (*_SHARES, "gpu.intel.com/millicores", "gpu.intel.com/memory.max", "gpu.intel.com/tiles")


class Devices(NamedTuple):
    """One container's request for accelerators.

    ``resource``: its key, :data:`DYNAMIC` for claims alone, "" if there is none. ``limit`` and ``request``: the values as
    written, None where absent. ``others``: further accelerator resources of the same container. ``shared``: asks for a
    part of each GPU's memory or cores.
    """

    resource: str
    limit: ScalarNode | None = None
    request: ScalarNode | None = None
    others: tuple[str, ...] = ()
    shared: bool = False

    @property
    def written(self) -> ScalarNode | None:
        """The value a finding about the count points at: the limit decides."""
        return self.limit or self.request

    @property
    def number(self) -> int:
        """How many are asked for; 0 where there is none, or the number cannot be read."""
        return (whole(self.written) or 0) if self.written is not None else 0


def unevenness(resource: str) -> str:
    """Why one unit of ``resource`` is not one device of the engine; "" for :data:`COUNTED` and for no accelerator."""
    if "/" not in resource or resource in COUNTED or resource in _MODIFIERS:
        return ""
    known = next((reason for prefix, reason in _UNEVEN if resource.startswith(prefix)), "")
    return known or (_OF_A_CLASS if resource.partition("/")[2].lower().startswith("gpu") else "")


def is_accelerator(resource: str) -> bool:
    return resource in COUNTED or ("/" in resource and bool(unevenness(resource)))


def devices(container: Node) -> Devices:
    """What ``container`` asks for. Of several accelerator resources a counted one is taken first."""
    resources = container.get("resources")
    if resources is None:
        return Devices("")
    written: dict[str, dict[str, ScalarNode]] = {}
    shared = False
    for side in ("limits", "requests"):
        for key, _, value in resources.entries_at(side):
            if is_accelerator(key) and isinstance(value, ScalarNode) and not value.is_null:
                written.setdefault(key, {})[side] = value
            shared = shared or key in _SHARES
    parts = [key for key in written if key.lower().endswith(_PARTS)] if len(written) > 1 else []
    if len(parts) < len(written):
        shared = shared or bool(parts)
        written = {key: sides for key, sides in written.items() if key not in parts}
    if not written:
        claimed = bool(resources.elements_at("claims"))
        return Devices(DYNAMIC if claimed else "", shared=shared)
    resource = min(written, key=lambda key: (key not in COUNTED, list(written).index(key)))
    sides = written[resource]
    others = tuple(key for key in written if key != resource)
    return Devices(resource, sides.get("limits"), sides.get("requests"), others, shared)


def amount(node: ScalarNode) -> float | None:
    """The quantity a resource is set to (``4``, ``"4"``, ``4000m`` are four); None if it is none."""
    from servelint.source.scalars import kubernetes_value, quantity  # lazy: only containers with accelerators need it

    value = kubernetes_value(node)
    if isinstance(value, str):
        return quantity(value)
    return None if value is None or isinstance(value, bool) else float(value)


def whole(node: ScalarNode) -> int | None:
    """The number of devices a resource is set to; None if it is no whole number of at least zero."""
    number = amount(node)
    return int(number) if number is not None and number >= 0 and number.is_integer() else None


def count(
    document: Document, container: Node, writer: Writer | None = None, *, partial: bool = False, asked: Devices | None = None
) -> Fact[int]:
    """Devices the container asks for (``asked``, if that is known already), as a fact. ``writer`` sets it in every place that
    states it."""
    asked = asked or devices(container)
    if asked.resource == DYNAMIC:
        return Fact.unknown(
            NAME,
            "devices are claimed through dynamic resource allocation (resources.claims)",
            "the count stands in the ResourceClaimTemplate",
            _origin(document, container.get("resources", "claims") or container),
        )
    node = asked.written
    if node is None:
        if partial:
            return Fact.unknown(NAME, "this file is a patch or base and states no accelerator", "lint the built manifest")
        return Fact.unknown(NAME, "the container requests no accelerator", "set resources.limits, such as nvidia.com/gpu")
    origin = _origin(document, node)
    if asked.others:
        every = ", ".join((asked.resource, *asked.others))
        return Fact.unknown(NAME, f"the container asks for several kinds of accelerators: {every}", origin=origin)
    uneven = unevenness(asked.resource)
    if uneven:
        return Fact.unknown(NAME, f"{asked.resource} does not count the engine's devices: {uneven}", origin=origin)
    numbers = []
    for side in (asked.limit, asked.request):
        if side is None:
            continue
        number = whole(side)
        if number is None:
            reason = f"{asked.resource}: {side.text!r} is not a whole number of devices"
            return Fact.unknown(NAME, reason, "write a whole number", _origin(document, side))
        numbers.append(number)
    if len(set(numbers)) > 1:
        limit, request = numbers
        reason = f"{asked.resource} has limit {limit} and request {request}; they must be equal"
        return Fact.conflict(NAME, (limit, request), reason, origin)
    return Fact.known(NAME, numbers[0], origin, writer)


def _origin(document: Document, node: Node) -> Origin:
    return Origin(OriginKind.FILE, "resources", Place.of(document, node))
