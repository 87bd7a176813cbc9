"""Guards: what must hold before a rule about GPUs or pods may speak. Each one keeps out a kind of false finding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.case import once
from servelint.engines.placeholders import placeholder
from servelint.formats import containers, devices
from servelint.source.nodes import ScalarNode

if TYPE_CHECKING:
    from servelint.case import ContainerCase, PoolCase
    from servelint.deployment import Container, Pod, Pool
    from servelint.engines.command import Command

# Words of an image name or tag that say that no GPU is used, or that a unit of the resource is not a GPU.
_NO_GPU = frozenset(("cpu", "tpu", "neuron", "neuronx", "sim", "simulator", "mock", "mocker", "xpu", "ascend", "npu"))
PRETENDERS = frozenset(("sim", "simulator", "mock", "mocker"))
"""Words of the images that take an engine's arguments and run no model."""
ENGINES = ("vllm", "sglang", "tgi", "trtllm")
"""Engines of which it is described which port they open, and when."""
_OTHER_DEVICES = ("google.com/tpu", "aws.amazon.com/neuron", "huawei.com/")
_NO_GPU_DEVICES = frozenset(("cpu", "tpu", "neuron", "xpu", "npu"))
# Labels and annotations by which an operator marks the objects it builds or changes.
_OPERATORS = ("ray.io/", "nvidia.com/dynamo", "serving.kserve.io/", "kaito.sh/", "kubeai.org/", "workloads.x-k8s.io/",
              "orchestration.aibrix.ai/", "modelserving.volcano.sh/", "apps.nvidia.com/")  # fmt: skip
TEMPLATED = ("kubernetes", "leaderworkerset", "jobset", "rbg", "aibrix", "kthena", "llmaz")
"""Formats whose pods are made of a template that the user writes whole: their controllers add variables and, for some, an
init container that loads the model, but no probe and no volume at ``/dev/shm`` (pkg/discovery/injector.go of
sgl-project/rbg, pkg/controller of vllm-project/aibrix and InftyAI/llmaz, pkg/model-serving-controller of volcano-sh/kthena,
pkg/controllers of kubernetes-sigs/jobset).
"""
# Owners of those formats whose pods another controller completes: KubeRay mounts /dev/shm and adds probes.
_COMPLETED = frozenset(("RayClusterFleet", "RayClusterReplicaSet"))


def is_complete(pod: Pod | None) -> bool:
    """The pod template is one that is applied as it stands: no patch, no unfinished base."""
    return pod is not None and not pod.partial


def in_kustomize_base(pod: Pod) -> bool:
    """The file lies in a directory ``base``: what it lacks, an overlay may add."""
    return "base" in pod.document.source.path.replace("\\", "/").split("/")[:-1]


def may_lack(pod: Pod | None) -> bool:
    """What is absent from the pod template is absent from the pod, as far as the file can say."""
    if pod is None or pod.owner in _COMPLETED:
        return False
    return is_complete(pod) and not in_kustomize_base(pod) and not has_operator(pod)


def is_filled_in_later(name: str) -> bool:
    """What no object's name can be: a template's marks, a placeholder, or a word in upper case (but ``LLAMA-70B`` is a slip)."""
    return any(mark in name for mark in "${}<") or bool(placeholder(name)) or (name.isupper() and "-" not in name)


def waits_for_images(pod: Pod) -> bool:
    """An image is a bare name in upper case, which no registry takes: what the ``images`` of a kustomization replace in a base,
    beside what it adds."""
    names = [(each.text_at("image") or "").partition(":")[0] for each in pod.node.elements_at("spec", "containers")]
    return any(name.isupper() and name.replace("_", "").replace("-", "").isalnum() for name in names)


@once
def shows_all(case: ContainerCase) -> bool:
    """As :func:`may_lack`, of the container's pod."""
    return may_lack(case.container.pod)


def has_operator(pod: Pod) -> bool:
    """Another controller owns the object, and may change its pods."""
    root = pod.document.root
    if root is None:
        return False
    described = [metadata for node in (root, pod.node) if (metadata := node.get("metadata")) is not None]
    if any(metadata.get("ownerReferences") is not None for metadata in described):
        return True
    marks = [
        key
        for metadata in described
        for what in ("labels", "annotations")
        for key, _, _ in metadata.entries_at(what)
        if key.startswith(_OPERATORS)
    ]
    own = f"{(root.text_at('apiVersion') or '').partition('/')[0]}/"  # labels of its own API say nothing of another controller
    return any(not key.startswith(own) for key in marks)


# Labels by which a pod asks for a node that is made for it: GKE's compute classes and flex start, Karpenter, EKS Auto Mode.
_PROVISIONERS = (
    "cloud.google.com/compute-class", "cloud.google.com/gke-flex-start", "autoscaling.gke.io/", "karpenter.", "karpenter-",
    "eks.amazonaws.com/compute-type",
)  # fmt: skip


def gets_new_nodes(pod: Pod) -> bool:
    """The pod is bound to nodes that an autoscaler makes on demand, so that one more pod is no matter of a spare node."""
    spec = pod.node.get("spec")
    if spec is None:
        return False
    names = [key for key, _, _ in spec.entries_at("nodeSelector")]
    for term in spec.elements_at(
        "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms"
    ):
        names += [each.text_at("key") or "" for each in term.elements_at("matchExpressions")]
    return any(name.startswith(_PROVISIONERS) for name in names)


def runs_on_gpus(container: Container) -> bool:
    """Nothing says that the engine runs on CPUs, TPUs or another kind of device, or only pretends to run."""
    if not _NO_GPU.isdisjoint(containers.words_of(container.node.text_at("image") or "")):
        return False
    for name in ("VLLM_TARGET_DEVICE", "PJRT_DEVICE", "TPU_BACKEND_TYPE", "VLLM_CPU_KVCACHE_SPACE"):
        fact = container.variable(name)
        if fact is not None and (name != "VLLM_TARGET_DEVICE" or fact.get("").lower() != "cuda"):
            return False
    argument = container.command.last("--device") if container.command is not None else None
    return argument is None or (argument.value or "").lower() not in _NO_GPU_DEVICES


@once
def on_gpus(case: PoolCase | ContainerCase) -> bool:
    """As :func:`runs_on_gpus`, of all containers of the case."""
    return all(map(runs_on_gpus, case.containers))


def has_own_kernels(pool: Pool) -> bool:
    """The engine's plugin for the devices that the pods ask for (TPUs, Neuron, Ascend) multiplies weights in its own way."""
    return pool.gpu_resource.startswith(_OTHER_DEVICES)


def counts_devices(pool: Pool) -> bool:
    """One unit of the resource the pods ask for is one device of the engine."""
    return pool.gpu_resource in devices.COUNTED


def is_literal(command: Command | None, *flags: str) -> bool:
    """The values of ``flags`` stand in the command line, or in a variable that Kubernetes itself puts there.

    What a shell computes (``$((A * B))``, a default in ``${A:-1}``) may differ from what can be read.
    """
    if command is None:
        return True
    for flag in flags:
        argument = command.last(flag)
        if argument is None:
            continue
        word = argument.words[-1] if argument.words else None
        if argument.value_is_unknown or (word is not None and word.expanded and command.program.shell):
            return False
    return True


def sees_host_devices(container: Container) -> bool:
    """The container gets GPUs past the device plugin: privileged, by host path, by runtime class or by variable."""
    pod = container.pod
    if pod is None or (container.node.text_at("securityContext", "privileged") or "").lower() == "true":
        return True
    if pod.node.get("spec", "runtimeClassName") is not None or container.variable("NVIDIA_VISIBLE_DEVICES") is not None:
        return True
    paths = [volume.get("hostPath", "path") for volume in pod.node.elements_at("spec", "volumes")]
    return any(isinstance(path, ScalarNode) and path.text.startswith("/dev") for path in paths)


def is_local_image(image: str) -> bool:
    """A name alone, which no registry has for an engine: built or loaded beside the manifest, or replaced by kustomize."""
    return bool(image) and "/" not in image
