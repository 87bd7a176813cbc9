"""Model storage: where in a container an engine downloads its model to, and how much room is there."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Any

from servelint_rules import guards, pods
from servelint_rules.host_resources import memory_limit, mount_of, quantity
from servelint_rules.hub import OFFLINE, cache_of_image, reads_a_path
from servelint_rules.stated_rooms import Room, of_chart, of_kserve, of_nim, of_runtime, of_skypilot

if TYPE_CHECKING:
    from servelint.deployment import Container, Pod
    from servelint.source.nodes import Node
    from servelint_rules.pods import Mount

# Variables that name the directory of downloads, in the order in which huggingface_hub asks (constants.py), with what it
# appends to their value.
_VARIABLES = (
    ("HF_HUB_CACHE", ""), ("HUGGINGFACE_HUB_CACHE", ""), ("HF_HOME", "hub"), ("XDG_CACHE_HOME", "huggingface/hub"),
)  # fmt: skip
_DOWNLOAD_FLAGS = ("--download-dir", "--huggingface-hub-cache")
_ELSEWHERE = frozenset(("dummy", "runai_streamer", "runai_streamer_sharded", "tensorizer", "gguf", "remote", "remote_instance"))


def room_of(container: Container, form: str) -> Room | None:
    """The room that a manifest of the format ``form`` states for the model; None where it states none, or nobody can tell."""
    if form == "nim":
        return of_nim(container)
    if not _downloads(container) or (form != "kserve" and reads_a_path(container)):
        return None  # KServe's own path is where its storage initializer downloads to
    if container.pod is None:
        return {"skypilot": of_skypilot, "vllm-runtime": of_runtime}.get(form, of_chart)(container)
    if form == "kserve":
        return of_kserve(container)
    path = _directory(container)
    if path is not None:
        mount = mount_of(container, path)
        if mount is not None:
            return _of_mount(container, mount)
    elif any(not _is_beside_the_point(mount) for mount in pods.mounts(container.pod, container.node)):
        return None
    if not guards.may_lack(container.pod):
        return None  # another file may mount a volume there
    limit = quantity(container.document, container.node.get("resources", "limits", "ephemeral-storage"))
    return Room(limit, "the container's own file system") if limit is not None else None


def _downloads(container: Container) -> bool:
    command = container.command
    if command is None:
        return False
    for name in OFFLINE:
        switch = container.variable(name)
        if switch is not None and switch.get("1").lower() not in ("0", "false", "no", ""):
            return False
    loader = command.last("--load-format")
    return loader is None or (not loader.value_is_unknown and loader.value not in _ELSEWHERE)


def _directory(container: Container) -> str | None:
    """Where the model is downloaded to; None where the manifest does not settle it."""
    command = container.command
    for flag in _DOWNLOAD_FLAGS:
        argument = command.last(flag) if command is not None else None
        if argument is not None:
            known = argument.value is not None and not argument.value_is_unknown and argument.value.startswith("/")
            return posixpath.normpath(argument.value or "") if known else None
    for name, below in _VARIABLES:
        fact = container.variable(name)
        if fact is not None:
            value = fact.get("")
            return posixpath.normpath(posixpath.join(value, below)) if value.startswith("/") else None
    if container.open_environment or container.variable("HOME") is not None or _has_user(container):
        return None
    return cache_of_image(container)


def _has_user(container: Container) -> bool:
    """Another user than the image's, whose home is not known."""
    pod = container.pod
    own = container.node.get("securityContext", "runAsUser") or container.node.get("securityContext", "runAsNonRoot")
    return own is not None or (pod is not None and pod.node.get("spec", "securityContext", "runAsUser") is not None)


def _is_beside_the_point(mount: Mount) -> bool:
    """A mount that is nobody's home: shared memory, and files of configuration."""
    volume = mount.volume
    return mount.path == pods.SHARED_MEMORY or (
        volume is not None and any(volume.get(kind) is not None for kind in ("configMap", "secret", "downwardAPI", "projected"))
    )


def _of_mount(container: Container, mount: Mount) -> Room | None:
    pod = container.pod
    if pod is None:
        return None
    if mount.volume is None:
        return _of_template(pod, mount)
    if mount.volume.entries_at("emptyDir") or mount.volume.get("emptyDir") is not None:
        return _of_empty_dir(container, pod, mount)
    claim = mount.volume.get("ephemeral", "volumeClaimTemplate", "spec")
    if claim is not None:
        return _of_claim(pod, claim, f"the volume at {mount.path}")
    name = mount.volume.text_at("persistentVolumeClaim", "claimName")
    if name:
        from servelint.formats.run_objects import in_file  # lazy: few claims stand beside their pods

        found = in_file(pod.document.source, "PersistentVolumeClaim", name)
        spec = found[0].node.get("spec") if len(found) == 1 else None
        if spec is not None and spec.get("volumeName") is None:
            return _of_claim(found[0], spec, f"the claim {name}")
    return None


def _of_empty_dir(container: Container, pod: Pod, mount: Mount) -> Room | None:
    volume = mount.volume
    in_memory = volume is not None and volume.text_at("emptyDir", "medium") == "Memory"
    size = quantity(pod.document, volume.get("emptyDir", "sizeLimit") if volume is not None else None)
    where = f"the emptyDir at {mount.path}"
    if in_memory:
        limit = memory_limit(container)
        if limit is not None and (size is None or limit.size_bytes < size.size_bytes):
            return Room(limit, f"{where}, which is memory of the container", in_memory=True)
    if size is not None:
        return Room(size, where, in_memory=in_memory)
    if in_memory or len(pod.node.elements_at("spec", "containers")) != 1:
        return None
    limit = quantity(container.document, container.node.get("resources", "limits", "ephemeral-storage"))
    return Room(limit, f"{where}, which counts as the pod's ephemeral storage") if limit is not None else None


def _of_template(pod: Pod, mount: Mount) -> Room | None:
    """A volume that the controller makes for each pod: ``volumeClaimTemplates`` of a StatefulSet."""
    root = pod.document.root
    for template in root.elements_at("spec", "volumeClaimTemplates") if root is not None else ():
        spec = template.get("spec")
        if template.text_at("metadata", "name") == mount.name and spec is not None:
            return _of_claim(pod, spec, f"the claim template {mount.name}")
    return None


def _of_claim(owner: Any, spec: Node, what: str) -> Room | None:
    size = quantity(owner.document, spec.get("resources", "requests", "storage"))
    if size is None:
        return None
    return Room(size, what, nominal=pods.is_shared(pods.texts(spec.get("accessModes"))))
