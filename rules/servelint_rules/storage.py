"""K8S611: room for the model's files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.estimate import Estimate
from servelint.finding import Certainty, Proposal, Related, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint.source.nodes import MappingNode
from servelint_rules.figures import GIB, in_gib
from servelint_rules.loading import checkpoint_size
from servelint_rules.model_storage import room_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import PoolCase
    from servelint.finding import Edit
    from servelint_rules.stated_rooms import Room

# Bytes per parameter of the narrowest checkpoints that are served (4 bits).
_NARROWEST = 0.5
# Beside the weights: tokenizer, configuration, compiled kernels, and what a file system keeps for itself.
_BESIDE = 1.02
# What is proposed: room for a second revision of a part of the files, and for caches.
_COMFORTABLE = 1.25


@rule(
    "K8S611", "ephemeral-storage-too-small", "Storage smaller than the model",
    severity=Severity.ERROR, certainty=Certainty.ESTIMATED, scope=Scope.POOL, since="0.1.0",
    fixable=True, inputs=("model",),
)  # fmt: skip
def ephemeral_storage_too_small(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    The size of the place to which the engine downloads its model against the size of the checkpoint: the container's limit
    of `ephemeral-storage`, an `emptyDir` with `sizeLimit`, a claim in the pod, in the StatefulSet's templates or in the same
    file. The place follows from `--download-dir`, `HF_HOME` and its kin, or the image's own default. So are the sizes that
    charts and operators are given: `pvcStorage` of production-stack and `storageConfig` of its VLLMRuntime,
    `modelArtifacts.size` of llm-d-modelservice, claims of NIMCache and NIMService, the ephemeral storage that KServe's
    storage initializer downloads to, and SkyPilot's `disk_size` (256 GB where it is not stated).

    ## Why it matters

    Minutes into the download the disk is full: "No space left on device", or the kubelet evicts the pod for its ephemeral
    storage. The next pod starts the same download.

    ## How to fix

    Make the volume or the limit larger than the checkpoint, with room for caches of compiled kernels beside it.

    ## Certainty

    Estimated: an error where even the least size that the checkpoint can have is larger, a warning where its probable size
    is, or where the stated size may be nominal: claims of shared file systems, and disks whose size the cloud may decide. The
    size is the published one, or follows from the tensors and their quantization. A model that is read from a path is not
    judged, nor one that a loader streams.

    ## References

    - [Kubernetes: local ephemeral storage](https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/#local-ephemeral-storage)
    - [huggingface_hub: environment variables](https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables)
    - [openrag#977](https://github.com/linagora/openrag/issues/977), [production-stack#616](https://github.com/vllm-project/production-stack/pull/616)
    """
    pool = case.pool
    for container in pool.containers[:1]:
        room = room_of(container, case.deployment.format)
        if room is None:
            continue
        model = pool.model.value
        size = checkpoint_size(pool)
        weights = f"{in_gib(size.mid)} GiB of weights"
        if room.any_width:
            least = min(size.low, _NARROWEST * (pool.architecture.value.parameters or size.low))
            if least < size.mid:
                weights += f", and would have {in_gib(least)} GiB even in 4 bits"
            size = Estimate(least, least, size.high)
        there = room.size.size_bytes
        if _BESIDE * size.mid <= there:
            continue
        certain = size.low > there and not room.nominal
        place = pool.model.place
        yield Verdict(
            room.size.place,
            f"{model} has {weights}; {room.what} holds {in_gib(there)} GiB",
            related=(Related(place, "the model"),) if place is not None and pool.model.is_stated else (),
            proposals=(_larger(room, size.high),),
            severity=Severity.ERROR if certain else Severity.WARNING,
            certainty=Certainty.HEURISTIC if room.nominal else Certainty.ESTIMATED,
            key=container.name,
        )


def _larger(room: Room, weights: float) -> Proposal:
    gib = -(-int(_COMFORTABLE * weights) // GIB)
    size = f"{gib}Gi" if room.key is None else f"{gib}"
    named = f"disk_size: {gib}" if room.key is not None else size

    def edits() -> tuple[Edit, ...] | None:
        from servelint.source import edits as editing  # lazy: only fixes write

        if room.key != "":
            return editing.set_scalar(room.size.document, room.size.node, size)
        resources = room.size.document.get("resources")
        if not isinstance(resources, MappingNode):
            return None
        return editing.insert_entry(room.size.document, resources, "disk_size", size, "accelerators")

    return Proposal(f"{named}: the weights, and a quarter more for caches", False, None if room.in_memory else edits)
