"""Pods: small readings of a pod template that several rules share."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from servelint.facts import Place
from servelint.records import NamedTuple
from servelint.source.nodes import MappingNode, ScalarNode, walk

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from servelint.deployment import Container, Deployment, Pod, Pool
    from servelint.source.nodes import Document, Node

# Only paths inside of containers; nothing of this machine is touched.
SHARED_MEMORY = "/dev/shm"  # noqa: S108
GPUS_OF_A_NODE = 8
"""GPUs of the usual largest node, an HGX or DGX board."""
MOST_GPUS_OF_A_NODE = 16
"""GPUs of the largest node among the clouds' instance types."""


def key_place(document: Document, mapping: Node | None, key: str) -> Place | None:
    """The key's own place, so that one line is marked and not the whole block below it."""
    entry = mapping.entry(key) if isinstance(mapping, MappingNode) else None
    return Place.of(document, entry[0]) if entry is not None else None


def ranks_in_pod(pool: Pool) -> int:
    """Ranks that exchange data, at most; 1 where the degrees are not known. Data-parallel ranks do for the sake of experts."""
    degrees = [pool.tensor, pool.pipeline, pool.prefill_context]
    if pool.expert.get(1) > 1:
        degrees.append(pool.data)
    return prod(degree.get(1) for degree in degrees)


def is_first(container: Container, pool: Pool) -> bool:
    """The container is the one that answers requests: not a worker's of a group."""
    return bool(pool.containers) and container is pool.containers[0]


def speaks_for(container: Container, deployment: Deployment) -> bool:
    """Of the deployment's engines in one pod template, the first: what is wrong with the template is said once."""
    pod = container.pod
    every = (each for pool in deployment.pools for each in pool.containers)
    return pod is not None and container is next(
        (each for each in every if each.pod is not None and each.pod.node is pod.node), 0
    )


class Mount(NamedTuple):
    """A directory of a container. ``node``: the mount as written; ``volume``: None where the pod's template has none of that
    ``name``, or there is no pod."""

    node: Node
    path: str
    name: str
    volume: Node | None


def mounts(pod: Pod | None, container: Node) -> Iterator[Mount]:
    """The volume mounts of ``container``, with their volumes."""
    volumes = {}
    if pod is not None:
        volumes = {volume.text_at("name") or "": volume for volume in pod.node.elements_at("spec", "volumes")}
    for mount in container.elements_at("volumeMounts"):
        name = mount.text_at("name") or ""
        yield Mount(mount, (mount.text_at("mountPath") or "").rstrip("/") or "/", name, volumes.get(name))


def other_containers(pod: Pod, container: Node) -> list[Node]:
    """The containers that run beside ``container``: sidecars too, which are init containers that are restarted."""
    beside = [other for other in pod.node.elements_at("spec", "containers") if other is not container]
    started = pod.node.elements_at("spec", "initContainers")
    return beside + [other for other in started if other.text_at("restartPolicy") == "Always"]


def texts(node: Node | None) -> Iterator[str]:
    """Every text below ``node``."""
    for each in walk(node) if node is not None else ():
        resolved = each.resolved
        if isinstance(resolved, ScalarNode):
            yield resolved.text


def says(node: Node, *path: str) -> bool:
    """Whether the truth value at ``path`` is true."""
    return (node.text_at(*path) or "").lower() == "true"


def is_shared(modes: Iterable[str]) -> bool:
    """A claim with these access modes may be mounted on several nodes at once."""
    return not {"ReadWriteMany", "ReadOnlyMany"}.isdisjoint(modes)


def whole(node: Node | None) -> int | None:
    """The whole number of a Kubernetes field; None where it is absent or none."""
    from servelint.source.scalars import integer  # lazy: only rules that got this far read numbers

    return integer(node) if isinstance(node, ScalarNode) else None


def workload_of(pod: Pod) -> Node | None:
    """The object that holds the template: the document's root, or the item of a List."""
    root = pod.document.root
    for item in [root, *root.elements_at("items")] if root is not None else []:
        if item.get("spec", "template") is pod.node or item is pod.node:
            return item
    return None


def pinned_node(template: Node) -> Node | None:
    """Where the template of a pod asks for one certain node, by name or by host name."""
    name = template.get("spec", "nodeName") or template.get("spec", "nodeSelector", "kubernetes.io/hostname")
    return name if isinstance(name, ScalarNode) and name.text else None


_EMPTY = ("emptyDir", "downwardAPI", "configMap", "secret", "projected")


def has_content(pod: Pod, container: Node) -> bool:
    """Something that may hold a model is there before the engine starts: a mounted volume, or what an init container fetches."""
    if pod.node.elements_at("spec", "initContainers"):
        return True
    volumes = (mount.volume for mount in mounts(pod, container))
    return any(volume is None or all(volume.get(kind) is None for kind in _EMPTY) for volume in volumes)
