"""Stated rooms: how much room for a model charts and operators are told to make, in their own words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.records import NamedTuple
from servelint.source.nodes import MappingNode, ScalarNode
from servelint_rules import pods
from servelint_rules.figures import GIB
from servelint_rules.host_resources import Size, quantity

if TYPE_CHECKING:
    from servelint.deployment import Container
    from servelint.source.nodes import Document, Node

# SkyPilot's disk in GB where a task states none (sky/resources.py, _DEFAULT_DISK_SIZE_GB), and where it is not SkyPilot that
# makes the disk.
_SKYPILOT_GB = 256
_OWN_DISKS = ("kubernetes", "k8s", "ssh", "lambda", "runpod", "vast", "slurm")


class Room(NamedTuple):
    """Room for the model: ``size`` as stated, and ``what`` it is, for people.

    ``nominal``: what is stated may not be what is there. ``in_memory``: a volume in memory. ``any_width``: the engine picks
    one of several checkpoints of the model, perhaps a quantized one. ``key``: how a number of GB is written (None: a
    quantity), "" where nothing is written and ``size`` is a default.
    """

    size: Size
    what: str
    nominal: bool = False
    in_memory: bool = False
    any_width: bool = False
    key: str | None = None


def of_chart(container: Container) -> Room | None:
    """The volume that a chart makes for the model: production-stack's claim (``templates/pvc.yaml``), llm-d-modelservice's
    ``emptyDir`` (``templates/_helpers.tpl``)."""
    document, node = container.document, container.node
    if node.text_at("modelURL") and not node.text_at("pvcExistingClaimName") and node.get("pvcMatchLabels") is None:
        size = quantity(document, node.get("pvcStorage"))
        shared = pods.is_shared(pods.texts(node.get("pvcAccessMode")))
        return Room(size, "the claim of pvcStorage", nominal=shared) if size is not None else None
    root = document.root
    artifacts = root.get("modelArtifacts") if root is not None else None
    mounted = pods.says(node, "mountModelVolume")
    if artifacts is None or not mounted or not (artifacts.text_at("uri") or "").startswith("hf://"):
        return None
    size = quantity(document, artifacts.get("size"))
    return Room(size, "the emptyDir of modelArtifacts") if size is not None else None


def of_runtime(container: Container) -> Room | None:
    """The claim of a VLLMRuntime's ``storageConfig``, where the variables of the hub put the cache into it. The operator makes
    it with ``ReadWriteMany`` where no mode is stated (``operator/api/v1alpha1/vllmruntime_types.go``)."""
    storage = container.node.get("storageConfig")
    if storage is None or not pods.says(storage, "enabled"):
        return None
    path = (storage.text_at("mountPath") or "/data").rstrip("/")
    caches = (container.variable(name) for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME"))
    fact = next((each for each in caches if each is not None), None)
    cache = fact.get("") if fact is not None else ""
    size = quantity(container.document, storage.get("size"))
    if size is None or not f"{cache}/".startswith(f"{path}/"):
        return None
    return Room(size, "the claim of storageConfig", nominal=pods.is_shared([storage.text_at("accessMode") or "ReadWriteMany"]))


def of_kserve(container: Container) -> Room | None:
    """KServe's storage initializer downloads into an ``emptyDir``, which counts as the pod's ephemeral storage
    (``pkg/utils/storage.go``)."""
    root = container.document.root
    uri = ""
    if root is not None:
        uri = root.text_at("spec", "model", "uri") or root.text_at("spec", "predictor", "model", "storageUri") or ""
    if not uri.startswith("hf://") or container.pod is None or len(container.pod.node.elements_at("spec", "containers")) > 1:
        return None
    limit = quantity(container.document, container.node.get("resources", "limits", "ephemeral-storage"))
    return Room(limit, "the pod's ephemeral storage, into which KServe downloads it,") if limit is not None else None


def of_nim(container: Container) -> Room | None:
    """The claim of a NIMService, or of the NIMCache that it names (same file)."""
    name = container.node.text_at("storage", "nimCache", "name")
    if name:
        from servelint.formats.run_objects import in_file  # lazy: few caches stand beside their services

        found = in_file(container.document.source, "NIMCache", name)
        claim = found[0].node.get("spec", "storage", "pvc") if len(found) == 1 else None
        return _of_nim_claim(found[0].document, claim, f"the claim of the NIMCache {name}") if claim is not None else None
    claim = container.node.get("storage", "pvc")
    return _of_nim_claim(container.document, claim, "the claim of the NIMService") if claim is not None else None


def _of_nim_claim(document: Document, claim: Node, what: str) -> Room | None:
    size = quantity(document, claim.get("size"))
    if size is None or not pods.says(claim, "create"):
        return None
    return Room(size, what, nominal=pods.is_shared([claim.text_at("volumeAccessMode") or ""]), any_width=True)


def of_skypilot(container: Container) -> Room | None:
    """The disk of a SkyPilot task: ``disk_size``, or what SkyPilot takes where it is not stated."""
    document = container.document
    resources = container.node.get("resources")
    if not isinstance(resources, MappingNode) or any(container.node.get(key) is not None for key in ("file_mounts", "volumes")):
        return None
    where = f"{resources.text_at('infra') or ''} {resources.text_at('cloud') or ''}".lower()
    choices = resources.get("any_of") is not None or resources.get("ordered") is not None
    if choices or any(name in where for name in _OWN_DISKS):
        return None
    node = resources.get("disk_size")
    if node is None:
        anchor = resources.get("accelerators")
        if not isinstance(anchor, ScalarNode):
            return None
        size = Size(_SKYPILOT_GB * GIB, anchor, document)
        return Room(size, "SkyPilot's disk, where disk_size is not stated,", nominal=True, key="")
    if not isinstance(node, ScalarNode) or not node.text.isdecimal() or len(node.text) > 9:
        return None
    return Room(Size(int(node.text) * GIB, node, document), "the disk of disk_size", nominal=True, key="disk_size")
