"""What a container says besides its command: image, probes, shared memory, and signs that it uses no GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.facts import Fact, Origin, OriginKind, Place
from servelint.records import NamedTuple
from servelint.source.nodes import MappingNode, ScalarNode

if TYPE_CHECKING:
    from servelint.source.nodes import Document, Node

IMAGE = "engine.image"


def is_placeholder(image: str) -> bool:
    """True where ``image`` is no image reference: something fills it in before it is applied.

    A repository is lower case (Open Container Initiative distribution specification, "Pulling manifests").
    """
    repository = image.split("@", 1)[0]
    first, slash, rest = repository.partition("/")
    path = rest if slash and ("." in first or ":" in first) else repository
    path = path.rpartition(":")[0] or path
    return any(c in "${}<>()% " for c in image) or path != path.lower() or "replace" in path.lower()


def image(document: Document, container: Node, *, partial: bool = False) -> Fact[str]:
    node = container.get("image")
    if not isinstance(node, ScalarNode) or not node.text:
        where = "this file is a patch or base and names no image" if partial else "the container names no image"
        return Fact.unknown(IMAGE, where)
    return referred(node.text, Origin(OriginKind.FILE, "image", Place.of(document, node)), "lint the built manifest")


def referred(image: str, origin: Origin, remedy: str = "") -> Fact[str]:
    """The image of a reference as written, unknown with ``remedy`` where it is a placeholder."""
    if is_placeholder(image):
        return Fact.unknown(IMAGE, f"{image!r} stands for an image that is filled in later", remedy, origin)
    return Fact.known(IMAGE, image, origin)


def words_of(image: str) -> frozenset[str]:
    """The words of an image reference, or of a part of one, in lower case: ``vllm-cpu:v0.9`` has vllm, cpu, v0 and 9."""
    return frozenset("".join(c if c.isalnum() else " " for c in image.lower()).split())


_MOVING = frozenset(("latest", "nightly", "main", "master", "dev", "develop", "edge", "rolling", "head", "trunk", "snapshot"))


def tag_of(reference: str) -> str | None:
    """The tag of an image reference; None if it has none, "" where a digest pins it."""
    if "@" in reference:
        return ""
    name, colon, tag = reference.rpartition(":")
    return tag if colon and name and "/" not in tag else None


def is_moving(tag: str | None) -> bool:
    """The tag is none, or one that each build moves: not the build of a commit or a day (``nightly-f849ee739cdb``)."""
    if tag is None:
        return True
    words = tag.lower().replace("_", "-").replace(".", "-").split("-")
    return words[0] in _MOVING and not any(any(c.isdigit() for c in word) and not word.startswith("cu") for word in words[1:])


class Probe(NamedTuple):
    """A probe with Kubernetes' defaults filled in; times in seconds.

    Source: ``k8s.io/kubernetes/pkg/apis/core/v1/defaults.go`` (SetDefaults_Probe): periodSeconds 10, failureThreshold 3,
    timeoutSeconds 1; initialDelaySeconds is 0.
    """

    node: MappingNode
    initial_delay: int
    period: int
    failure_threshold: int
    handler: str

    @property
    def grace_seconds(self) -> int:
        """How long a container may fail the probe from its start before it is acted on."""
        return self.initial_delay + self.period * self.failure_threshold


def probe(container: Node, name: str) -> Probe | None:
    """The probe ``name`` (``livenessProbe`` …); None if it is absent or a number in it cannot be read."""
    from servelint.source.scalars import integer  # lazy: only rules about probes read them

    node = container.get(name)
    if not isinstance(node, MappingNode):
        return None
    numbers = []
    for key, default in (("initialDelaySeconds", 0), ("periodSeconds", 10), ("failureThreshold", 3)):
        written = node.get(key)
        value = default if written is None else integer(written) if isinstance(written, ScalarNode) else None
        if value is None or value < 0:
            return None
        numbers.append(value or (0 if key == "initialDelaySeconds" else default))  # 0 means the default
    handler = next((h for h in ("httpGet", "tcpSocket", "grpc", "exec") if node.get(h) is not None), "")
    return Probe(node, numbers[0], numbers[1], numbers[2], handler)


def probe_port(container: Node, node: Node) -> str:
    """The port an HTTP, TCP or gRPC handler asks, as a number; "" if it cannot be told. Named ports are looked up."""
    port = next((p for h in ("httpGet", "tcpSocket", "grpc") if (p := node.text_at(h, "port"))), "")
    if port.isdigit():
        return port
    for item in container.elements_at("ports"):
        if port and item.text_at("name") == port:
            return item.text_at("containerPort") or ""
    return ""


def has_shared_memory(template: Node, container: Node) -> bool:
    """True if the container gets a ``/dev/shm`` beyond the runtime's default, or the host's."""
    if (template.text_at("spec", "hostIPC") or "").lower() == "true":
        return True
    paths = {(mount.text_at("mountPath") or "").rstrip("/") for mount in container.elements_at("volumeMounts")}
    return bool(paths & {"/dev/shm", "/dev", ""})  # noqa: S108 - a path inside the container, not of this machine
