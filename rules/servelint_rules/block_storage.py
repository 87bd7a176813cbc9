"""K8S636: claims for volumes that several nodes are to write, from storage that one node can mount."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.facts import Place
from servelint.finding import Certainty, Proposal, Related, Severity, Verdict
from servelint.records import NamedTuple
from servelint.rulebook import Scope, rule
from servelint.source.nodes import MappingNode, ScalarNode, SequenceNode, walk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import WorkspaceCase
    from servelint.source.nodes import Document, Node

# Provisioners whose file systems one node mounts at a time: their drivers refuse ReadWriteMany but for raw block volumes
# (aws-ebs-csi-driver docs/faq.md; gcp-compute-persistent-disk-csi-driver, validateVolumeCapabilities; azuredisk-csi-driver
# docs/driver-parameters.md; oci-cloud-controller-manager docs/tutorial.md; ceph-csi docs/rbd/deploy.md; csi-digitalocean,
# linode-blockstorage-csi-driver, ibm-vpc-block-csi-driver and local-path-provisioner, their READMEs).
_PROVISIONERS = {
    "ebs.csi.aws.com": "Amazon EBS", "ebs.csi.eks.amazonaws.com": "Amazon EBS", "kubernetes.io/aws-ebs": "Amazon EBS",
    "pd.csi.storage.gke.io": "Google's Persistent Disk", "kubernetes.io/gce-pd": "Google's Persistent Disk",
    "disk.csi.azure.com": "Azure Disk", "kubernetes.io/azure-disk": "Azure Disk",
    "blockvolume.csi.oraclecloud.com": "OCI Block Volume", "rbd.csi.ceph.com": "Ceph RBD",
    "openshift-storage.rbd.csi.ceph.com": "Ceph RBD", "dobs.csi.digitalocean.com": "DigitalOcean Block Storage",
    "linodebs.csi.linode.com": "Linode Block Storage", "vpc.block.csi.ibm.io": "IBM VPC Block Storage",
    "rancher.io/local-path": "a directory of one node",
}  # fmt: skip
# Classes that the clouds set up by themselves, or that their guides name.
_CLASSES = {
    "gp2": "Amazon EBS", "gp3": "Amazon EBS", "io1": "Amazon EBS", "io2": "Amazon EBS", "ebs-sc": "Amazon EBS",
    "auto-ebs-sc": "Amazon EBS", "ebs-csi-gp3": "Amazon EBS", "gp2-csi": "Amazon EBS", "gp3-csi": "Amazon EBS",
    "standard-rwo": "Google's Persistent Disk", "premium-rwo": "Google's Persistent Disk",
    "managed-csi": "Azure Disk", "managed-csi-premium": "Azure Disk", "managed-premium": "Azure Disk",
    "oci": "OCI Block Volume", "oci-bv": "OCI Block Volume", "oci-bv-encrypted": "OCI Block Volume",
    "oci-block-storage-enc": "OCI Block Volume", "oci-block-storage": "OCI Block Volume",
    "ocs-storagecluster-ceph-rbd": "Ceph RBD", "do-block-storage": "DigitalOcean Block Storage",
    "linode-block-storage": "Linode Block Storage", "linode-block-storage-retain": "Linode Block Storage",
    "local-path": "a directory of one node",
}  # fmt: skip
_MANY = "ReadWriteMany"
_CLASS_KEYS = ("storageClassName", "storageClass", "storageclass")
_MODE_KEYS = ("accessModes", "accessMode", "volumeAccessMode", "pvcAccessMode", "pvcAccessModes")


class _Claim(NamedTuple):
    mode: ScalarNode
    storage: ScalarNode


@rule(
    "K8S636", "access-mode-unsupported", "Storage cannot be mounted by several nodes",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.WORKSPACE, since="0.1.0",
    fixable=True,
)  # fmt: skip
def access_mode_unsupported(case: WorkspaceCase) -> Iterator[Verdict]:
    """
    ## What it checks

    Claims for a volume in the files of an engine (a PersistentVolumeClaim, a claim template, the `storage` of a NIMCache or a
    chart) that ask for `ReadWriteMany` from a class of block storage: EBS, Persistent Disk, Azure Disk, OCI Block Volume, Ceph
    RBD and their like.

    ## Why it matters

    A disk with a file system is attached to one node. The driver refuses to make the volume; the claim stays `Pending`, and so
    does every pod that mounts it, or the job that was to fill the cache.

    ## How to fix

    `ReadWriteOnce` where one node reads the model. For several nodes a shared file system (EFS, FSx, Filestore, Azure Files, OCI
    File Storage, CephFS), or `ReadOnlyMany` from a disk that was filled before.

    ## Certainty

    Proven where the class stands in the same file with its provisioner. A warning where only its name says so: a cluster may
    have given the name to something else. Raw block volumes (`volumeMode: Block`) are left out.

    ## References

    - [Kubernetes: persistent volumes, access modes](https://kubernetes.io/docs/concepts/storage/persistent-volumes/#access-modes)
    - [aws-ebs-csi-driver: FAQ](https://github.com/kubernetes-sigs/aws-ebs-csi-driver/blob/master/docs/faq.md)
    """
    seen: set[str] = set()
    for deployment in case.deployments:
        source = deployment.document.source
        if source.path in seen or _MANY not in source.text:
            continue
        seen.add(source.path)
        reading = source.reading
        documents = list(reading.documents) if reading is not None else [deployment.document]
        classes = dict(_defined(documents))
        for document in documents:
            for claim in _claims(document.root):
                yield from _judge(document, claim, classes)


def _judge(document: Document, claim: _Claim, classes: dict[str, Place]) -> Iterator[Verdict]:
    name = claim.storage.text
    defined = classes.get(name)
    what = _PROVISIONERS.get(_provisioner(defined)) if defined is not None else _CLASSES.get(name)
    if what is None:
        return
    place = Place.of(document, claim.storage)

    def edits(node: ScalarNode = claim.mode) -> object:
        from servelint.source import edits as editing  # lazy: only fixes edit

        return editing.set_scalar(document, node, "ReadWriteOnce")

    yield Verdict(
        Place.of(document, claim.mode),
        f"{name} is {what}, which one node mounts at a time: the claim stays pending",
        related=(Related(defined, "its provisioner"),) if defined is not None else (Related(place, f"the class {name}"),),
        proposals=(Proposal("ReadWriteOnce, where one node is enough", False, edits),),  # type: ignore[arg-type]
        severity=Severity.ERROR if defined is not None else Severity.WARNING,
        certainty=Certainty.PROVEN if defined is not None else Certainty.HEURISTIC,
    )


def _provisioner(place: Place) -> str:
    return place.document.source.text[place.span.start : place.span.end].strip("\"'")


def _defined(documents: list[Document]) -> Iterator[tuple[str, Place]]:
    """The storage classes of a file by name, with the place of their provisioner."""
    for document in documents:
        name, provisioner = document.text_at("metadata", "name"), document.get("provisioner")
        if document.text_at("kind") == "StorageClass" and name and isinstance(provisioner, ScalarNode):
            yield name, Place.of(document, provisioner)


def _claims(root: Node | None) -> Iterator[_Claim]:
    """Mappings that ask a storage class by name for a volume that several nodes write."""
    for node in walk(root) if root is not None else ():
        if not isinstance(node, MappingNode) or node.text_at("volumeMode") == "Block":
            continue
        storage = next((each for key in _CLASS_KEYS if isinstance(each := node.get(key), ScalarNode)), None)
        mode = next((each for key in _MODE_KEYS if (each := _many(node.get(key))) is not None), None)
        if storage is not None and mode is not None:
            yield _Claim(mode, storage)


def _many(node: Node | None) -> ScalarNode | None:
    items = [item.resolved for item in node.items] if isinstance(node, SequenceNode) else [node]
    if not all(isinstance(item, ScalarNode) and item.text in (_MANY, "RWX") for item in items):
        return None  # of several modes, the claim is bound to a volume that has all of them
    return items[0] if items and isinstance(items[0], ScalarNode) else None
