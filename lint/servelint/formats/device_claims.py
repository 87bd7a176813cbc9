"""Devices that containers claim through dynamic resource allocation: how many, and of which accelerator.

A pod's claims name ResourceClaimTemplates or ResourceClaims, their requests a DeviceClass; the selectors of the class and of
the request hold together.

Sources: ``resource.k8s.io`` v1beta1 (fields of the request), v1beta2 and v1 (below ``exactly``, alternatives below
``firstAvailable``); ``count`` defaults to 1, ``allocationMode`` to ExactCount. The classes of NVIDIA's driver in its chart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.facts import Fact, Origin, OriginKind, Place
from servelint.formats import devices, objects
from servelint.formats.controller_words import label_of
from servelint.formats.device_selectors import VENDORS, Selection, selection
from servelint.formats.writers import ScalarWriter
from servelint.records import NamedTuple
from servelint.source.nodes import ScalarNode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from servelint.deployment import Pool
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document, Node

ACCELERATOR = "accelerator.name"
_SLICES = "mig.nvidia.com"
# The classes that come with the drivers, of which one device is one device of the engine.
_WHOLE = frozenset(("gpu.nvidia.com", "gpu.amd.com", "gaudi.intel.com"))
# What `type` says of whole devices, by driver.
_WHOLE_TYPES = {"gpu.nvidia.com": "gpu", "gpu.amd.com": "amdgpu"}


class _Claim(NamedTuple):
    """``document`` and ``item``: the object. ``requests``: those that the container uses. ``shared``: by all pods."""

    document: Document
    item: Node
    requests: Sequence[Node]
    shared: bool

    @property
    def kind(self) -> str:
        return self.item.text_at("kind") or ""


class _Asked(NamedTuple):
    """What one request, or an alternative of it, asks for. ``gpus``: devices of the engine. ``accelerator``: None where any
    will do. ``unsure``: whether it may ask for devices of another kind, for the network or else."""

    gpus: Fact[int]
    accelerator: Fact[Any] | None
    unsure: bool = False


def claimed(pool: Pool, surroundings: Surroundings) -> Pool:
    """The pool with the count and the accelerator that the claims of its first container say; as it is where none is at hand."""
    container = pool.containers[0]
    listed = container.pod.node.elements_at("spec", "resourceClaims") if container.pod is not None else []
    wanted = [
        (next((each for each in listed if each.text_at("name") == use.text_at("name")), None), [use])
        for use in container.node.elements_at("resources", "claims")
    ]
    return by_claims(pool, wanted, surroundings)


def by_claims(pool: Pool, wanted: Sequence[tuple[Node | None, Sequence[Node]]], surroundings: Surroundings) -> Pool:
    """The same of claims that are given: each with what names its object and the uses of it, which may name one ``request``."""
    claims = _at_hand(wanted, surroundings)
    every = [(claim, _asked(claim, each, pool.accelerator, surroundings)) for claim in claims for each in claim.requests]
    gpus = [(claim, asked) for claim, asked in every if asked is not None]
    sure = [(claim, asked) for claim, asked in gpus if not asked.unsure] or gpus
    if not sure:
        return pool
    count = _together([asked.gpus for _, asked in sure])
    if any(claim.shared for claim, _ in sure) and not (pool.replicas_max.get(0) == 1 and pool.nodes.get(0) == 1):
        reason = "all pods share the devices of one ResourceClaim"
        count = Fact.unknown(devices.NAME, reason, "claim them with a ResourceClaimTemplate", count.origin)
    accelerators = [asked.accelerator for _, asked in sure]
    stated = accelerators[0]
    if stated is None or any(each is None or each.values != stated.values for each in accelerators):
        stated = pool.accelerator
    return pool._replace(gpus_per_node=count, accelerator=stated)


def _at_hand(wanted: Sequence[tuple[Node | None, Sequence[Node]]], surroundings: Surroundings) -> list[_Claim]:
    """The claims; none where one of them is not at hand, which may ask for devices, too."""
    found = []
    for claim, uses in wanted:
        template = claim.text_at("resourceClaimTemplateName") if claim is not None else None
        name = claim.text_at("resourceClaimName") if claim is not None else None
        kind = "ResourceClaimTemplate" if template else "ResourceClaim"
        item = objects.named(surroundings, kind, template or name or "") if template or name else None
        if item is None:
            return []
        requests = item[1].elements_at(*(("spec", "spec") if template else ("spec",)), "devices", "requests")
        named = [one for use in uses if (one := use.text_at("request"))]
        found.append(_Claim(*item, [r for r in requests if not named or r.text_at("name") in named], not template))
    return found


def _asked(claim: _Claim, request: Node, placed: Fact[Any], surroundings: Surroundings) -> _Asked | None:
    """What a request asks for; None where it is for no accelerators."""
    alternatives = request.elements_at("firstAvailable")
    if not alternatives:
        return _exactly(claim, request.get("exactly") or request, placed, surroundings)
    every = [_exactly(claim, each.get("exactly") or each, placed, surroundings) for each in alternatives]
    asked = [each for each in every if each is not None]
    if not asked:
        return None
    unknown = next((each.gpus for each in asked if not each.gpus.is_known), None)
    first = asked[0].gpus
    counts = tuple(dict.fromkeys(value for each in asked for value in each.gpus.values))
    place = Place.of(claim.document, label_of(claim.item))
    count = unknown or (
        first if len(counts) == 1 else Fact.either(first.name, counts, Origin(OriginKind.FILE, "firstAvailable", place))
    )
    return _Asked(count, _either([each.accelerator for each in asked]), any(each.unsure for each in asked))


def _either(alternatives: Sequence[Fact[Any] | None]) -> Fact[Any] | None:
    """The accelerator is that of one of the alternatives; what is known of several is judged."""
    stated = [each for each in alternatives if each is not None]
    if len(stated) < len(alternatives):
        return None
    found = {value.name: value for each in stated for value in each.values}
    origin = next((each.origin for each in stated if each.values), None)
    return Fact.either(ACCELERATOR, tuple(found.values()), origin) if origin is not None else stated[0]


def _exactly(claim: _Claim, request: Node, placed: Fact[Any], surroundings: Surroundings) -> _Asked | None:
    """What ``request`` asks for by its class, selectors, mode and count; None if no accelerators."""
    named = request.text_at("deviceClassName") or ""
    own = objects.named_of(surroundings, "resource.k8s.io/", "DeviceClass", named)
    of_class = _expressions(own[0], own[1], "spec", "selectors") if own is not None else ()
    selected = selection([*of_class, *_expressions(claim.document, request, "selectors")])
    driver = driver_of(named, selected)
    if (driver and driver not in VENDORS) or (not driver and "gpu" not in named.lower() and not selected.names_product):
        return None
    why = _unevenness(claim.kind, request, named, selected) if driver or own else f"the DeviceClass {named} is not at hand"
    gpus = _count(claim.document, claim.kind, request, label_of(claim.item), why)
    return _Asked(gpus, accelerator_of(named, selected, placed), not driver)


def created(document: Document, device: Node, placed: Fact[Any]) -> tuple[Fact[int], Fact[Any] | None]:
    """Devices and accelerator of a claim that the NIM operator makes of one entry of ``claimCreationSpec.devices``.

    Source: the NIM operator's type ``DRADeviceSpec`` (class and driver gpu.nvidia.com, count 1 by default).
    """
    named = device.text_at("deviceClassName") or "gpu.nvidia.com"
    written = [node for node in device.elements_at("celExpressions") if isinstance(node, ScalarNode)]
    expressions = [(document, node, node.text) for node in written]
    for selector in device.elements_at("attributeSelectors"):
        node = selector.get("value", "stringValue")
        if (selector.text_at("op") or "Equal") == "Equal" and isinstance(node, ScalarNode):
            driver, _, key = f"{device.text_at('driverName') or named}/{selector.text_at('key')}".rpartition("/")
            expressions.append((document, node, f'device.attributes["{driver.rpartition("/")[2]}"].{key} == "{node.text}"'))
    selected = selection(expressions)
    what = "claimCreationSpec"
    gpus = _count(document, what, device, label_of(device), _unevenness(what, device, named, selected))
    return gpus, accelerator_of(named, selected, placed)


def _expressions(document: Document, owner: Node, *path: str) -> Iterator[tuple[Document, ScalarNode, str]]:
    for selector in owner.elements_at(*path):
        node = selector.get("cel", "expression")
        if isinstance(node, ScalarNode):
            yield document, node, node.text


def driver_of(named: str, selected: Selection) -> str:
    """The driver whose devices a class has, by its name or its selectors; "" where neither says so."""
    return "gpu.nvidia.com" if named == _SLICES else named if named in VENDORS else selected.driver


def accelerator_of(named: str, selected: Selection, placed: Fact[Any]) -> Fact[Any] | None:
    """The accelerator, or the alternatives, that the selectors of a request for the class ``named`` leave of ``placed``, which
    the nodes are said to have; None where they say nothing of it."""
    origin = Origin(OriginKind.FILE, selected.text, selected.place) if selected.place is not None else None
    slices = named == _SLICES or selected.type == "mig" or bool(selected.profiles)
    if slices and not selected.profiles:
        return Fact.unknown(ACCELERATOR, "the claim asks for a MIG slice of any size", origin=origin)
    if origin is None or not (selected.names_product or slices):
        if not selected.misread or placed.values:
            return None
        return Fact.unknown(ACCELERATOR, f"the claim names the GPU in a way that is not understood: {selected.misread}")
    if not selected.names_product and not placed.values:
        wanted = " or ".join(selected.profiles)
        return Fact.unknown(ACCELERATOR, f"the claim asks for a MIG slice {wanted} of any GPU", origin=origin)
    found = selected.accelerators(VENDORS.get(driver_of(named, selected), ""))
    if not found:
        return Fact.unknown(ACCELERATOR, f"no accelerator of the catalogue satisfies {selected.text}", origin=origin)
    there = {value.name for value in placed.values}
    common = tuple(each for each in found if not there or each.name in there or each.slice_of in there)
    if common:
        return Fact.either(ACCELERATOR, common, origin)
    reason = f"the nodes have {placed.values[0]}, and the claim asks for {found[0]}"
    return Fact.conflict(ACCELERATOR, (placed.values[0], found[0]), reason, origin)


def _unevenness(what: str, request: Node, named: str, selected: Selection) -> str:
    """Why the devices of a request are not counted; "" where each is one of the engine's."""
    mode = request.text_at("allocationMode") or "ExactCount"
    if mode != "ExactCount":
        return f"the {what} asks for {mode.lower()} devices that there are"
    if named == _SLICES or selected.type == "mig" or selected.profiles:
        return f"the {what} asks for MIG slices, which are parts of a GPU"
    whole = _WHOLE_TYPES.get(driver_of(named, selected))
    if selected.type == whole if selected.type else named in _WHOLE:
        return ""
    return f"the DeviceClass {named} does not say that its devices are whole GPUs"


def _count(document: Document, what: str, request: Node, label: Node, why_not: str) -> Fact[int]:
    node = request.get("count")
    name, origin = devices.NAME, Origin(OriginKind.FILE, what, Place.of(document, node or label))
    if why_not:
        return Fact.unknown(name, why_not, origin=origin)
    if node is None:
        return Fact.known(name, 1, origin)
    from servelint.source.scalars import integer  # lazy: few containers claim their devices

    value = integer(node) if isinstance(node, ScalarNode) else None
    if not isinstance(node, ScalarNode) or value is None or value < 1:
        return Fact.unknown(name, f"count of the {what} is not a positive whole number", origin=origin)
    return Fact.known(name, value, origin, ScalarWriter(document, node))


def _together(counts: Sequence[Fact[int]]) -> Fact[int]:
    """The devices of several requests."""
    first = counts[0]
    if len(counts) == 1:
        return first
    unknown = next((count for count in counts if not count.is_known), None)
    if unknown is not None:
        return unknown
    text = " + ".join(str(count.value) for count in counts)
    return Fact.known(
        first.name, sum(count.value for count in counts), Origin(OriginKind.DERIVED, f"{text} devices", first.place)
    )
