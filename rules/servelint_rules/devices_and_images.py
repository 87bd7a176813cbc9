"""HWQ506, HWQ509: devices that a pool asks for, and whether image and layout can use them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.finding import Certainty, Proposal, Related, Severity, Verdict
from servelint.formats import containers, devices
from servelint.rulebook import Scope, rule
from servelint_rules.places import place_of, related

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import ContainerCase, PoolCase

# Words of an image's name or tag that say for whose devices it was built, and the resources of those.
_BUILT_FOR = {
    "rocm": "amd.com/", "gaudi": "habana.ai/", "hpu": "habana.ai/", "xpu": "gpu.intel.com/", "tpu": "google.com/",
    "neuron": "aws.amazon.com/", "neuronx": "aws.amazon.com/", "cuda": "nvidia.com/", "ascend": "huawei.com/",
}  # fmt: skip
# Path elements of the repositories from which Intel gives its images for Gaudi, whose names do not say it.
_OWN_GAUDI = frozenset(("vault.habana.ai", "gaudi-docker", "habanalabs"))
_MAKERS = ("nvidia.com/", "amd.com/", "habana.ai/", "gpu.intel.com/", "google.com/tpu", "aws.amazon.com/neuron", "huawei.com/")


@rule(
    "HWQ506", "mig-multi-slice", "One engine over several MIG slices",
    severity=Severity.WARNING, certainty=Certainty.HEURISTIC, scope=Scope.POOL, since="0.1.0",
    engines=("vllm", "sglang", "trtllm", "tgi"),
)  # fmt: skip
def mig_multi_slice(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A pod that asks for `nvidia.com/mig-…` and an engine whose ranks exchange data: tensor or pipeline parallelism above 1.

    ## Why it matters

    Slices have no way to reach each other directly: neither NVLink nor peer access. With most drivers a CUDA process sees one
    slice only, or NCCL stops with "Duplicate GPU detected". Where it starts, every layer's exchange goes through the host.

    ## How to fix

    One larger slice, or a whole GPU, with a tensor-parallel size of 1.

    ## Certainty

    Heuristic: slices of different GPUs have been seen to work with recent drivers, and NCCL has begun to take slices.

    ## References

    - NVIDIA MIG user guide, application considerations
    - [nccl#1716](https://github.com/NVIDIA/nccl/issues/1716): support for slices, experimental, without peer access
    - [vllm#7211](https://github.com/vllm-project/vllm/issues/7211), [k8s-device-plugin#446](https://github.com/NVIDIA/k8s-device-plugin/issues/446)
    """
    pool = case.pool
    if not pool.gpu_resource.startswith("nvidia.com/mig-"):
        return
    ranks = pool.tensor.value * pool.pipeline.get(1)
    if ranks <= 1:
        return
    place = place_of(pool, pool.tensor, pool.pipeline)
    yield Verdict(
        place,
        f"{ranks} ranks on {pool.gpu_resource}: slices have no direct way to each other; most drivers show a process only one",
        related=related(place, (pool.gpus_per_node, pool.gpu_resource)),
        proposals=(Proposal("one larger slice or a whole GPU, tensor-parallel size 1", False, None),),
    )


@rule(
    "HWQ509", "vendor-mismatch", "The image is built for another maker's devices",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0",
)  # fmt: skip
def vendor_mismatch(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    The devices that a container asks for, as a resource or through a claim whose template stands in the same file, against
    what its image's name says it was built for: ROCm, CUDA, Gaudi, XPU, TPU, Neuron, Ascend.

    ## Why it matters

    The engine finds no device of its kind and stops, or falls back to the CPU.

    ## How to fix

    The image for the devices that are asked for, or the other resource or device class.

    ## Certainty

    Proven where the image's name or tag has exactly one of these words, or is one of Intel's own images for Gaudi. A warning
    where the container has other claims, too, whose devices are not known. Images without such a word are not judged.

    ## References

    - vLLM documentation, Installation: GPU, Gaudi, TPU, Neuron
    - [Intel resource drivers for Kubernetes](https://github.com/intel/intel-resource-drivers-for-kubernetes)
    """
    container = case.container
    if not container.image.is_known:
        return
    word, built = _built_for(container.image.value)
    asked = devices.devices(container.node)
    place = container.image.place or container.place
    if not built:
        return
    if asked.resource == devices.DYNAMIC:
        yield from _claimed(case, word, built)
        return
    if asked.written is None or not asked.resource.startswith(_MAKERS) or asked.resource.startswith(built):
        return
    yield Verdict(
        place,
        f"an image for {word} in a container that asks for {asked.resource}",
        related=related(place, (case.pool.gpus_per_node, asked.resource)),
        proposals=(Proposal(f"an image for {asked.resource}, or {built}… devices", False, None),),
        key=container.name,
    )


def _built_for(image: str) -> tuple[str, str]:
    """(the word that says it, the prefix of the resources) of the devices that an image is built for; "" where none does."""
    name = image.rpartition("@")[0] or image
    words = containers.words_of(name.rpartition("/")[2])
    found = {prefix: word for word, prefix in _BUILT_FOR.items() if word in words}
    if not _OWN_GAUDI.isdisjoint(name.lower().split("/")[:-1]):
        found["habana.ai/"] = "gaudi"
    if len(found) != 1:
        return "", ""
    prefix, word = next(iter(found.items()))
    return word, prefix


def _claimed(case: ContainerCase, word: str, built: str) -> Iterator[Verdict]:
    """The devices of the container's claims: none of the image's kind among those that are known."""
    from servelint_rules.claimed_devices import claims  # lazy: few containers claim their devices

    container = case.container
    claimed = claims(container)
    if not claimed.devices or any(device.resource == built for device in claimed.devices):
        return
    place = container.image.place or container.place
    device = claimed.devices[0]
    yield Verdict(
        place,
        f"an image for {word} in a container that claims {device.name}",
        related=(Related(device.place, "the class of the devices it gets"),),
        proposals=(Proposal(f"an image for the devices of {device.name}, or another class", False, None),),
        severity=Severity.ERROR if claimed.complete else Severity.WARNING,
        certainty=Certainty.PROVEN if claimed.complete else Certainty.HEURISTIC,
        key=container.name,
    )
