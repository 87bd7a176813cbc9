"""Claimed devices: which makers' devices a container claims through dynamic resource allocation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.facts import Place
from servelint.records import NamedTuple
from servelint.source.nodes import ScalarNode

if TYPE_CHECKING:
    from servelint.deployment import Container
    from servelint.source.nodes import Node

# Device classes of the makers' drivers (their Helm charts), and the prefix of the resource that stands for the same devices.
_CLASSES = {
    "gpu.nvidia.com": "nvidia.com/", "mig.nvidia.com": "nvidia.com/", "gpu.amd.com": "amd.com/",
    "gaudi.intel.com": "habana.ai/", "gpu.intel.com": "gpu.intel.com/", "tpu.google.com": "google.com/",
}  # fmt: skip


class Claimed(NamedTuple):
    """``name``: the device class; ``resource``: the prefix of its maker's resources; ``place``: where the class is named."""

    name: str
    resource: str
    place: Place


class Claims(NamedTuple):
    """``complete``: every claim of the container was found, and asks for classes that are known."""

    devices: tuple[Claimed, ...]
    complete: bool


def claims(container: Container) -> Claims:
    """The device classes behind ``resources.claims``, by the ResourceClaimTemplates and ResourceClaims of the same file."""
    if container.pod is None:
        return Claims((), False)
    wanted = [claim.text_at("name") for claim in container.node.elements_at("resources", "claims")]
    listed = {claim.text_at("name"): claim for claim in container.pod.node.elements_at("spec", "resourceClaims")}
    found: list[Claimed] = []
    complete = True
    for name in wanted:
        claim = listed.get(name)
        classes = _classes(container, claim) if claim is not None else []
        complete = complete and bool(classes)
        for document, node in classes:
            if node.text in _CLASSES:
                found.append(Claimed(node.text, _CLASSES[node.text], Place.of(document, node)))
            else:
                complete = False
    return Claims(tuple(found), complete)


def _classes(container: Container, claim: Node) -> list[tuple[Any, ScalarNode]]:
    from servelint.formats.run_objects import in_file  # lazy: few containers claim their devices

    template, own = claim.text_at("resourceClaimTemplateName"), claim.text_at("resourceClaimName")
    kind, name = ("ResourceClaimTemplate", template) if template else ("ResourceClaim", own)
    at_hand = in_file(container.document.source, kind, name) if name else []
    if len(at_hand) != 1:
        return []
    path = ("spec", "spec", "devices", "requests") if template else ("spec", "devices", "requests")
    classes = []
    for request in at_hand[0].node.elements_at(*path):
        node = (request.get("exactly") or request).get("deviceClassName")
        if not isinstance(node, ScalarNode):
            return []
        classes.append((at_hand[0].document, node))
    return classes
