"""Visible devices: variables that show an engine other GPUs than those which the device plugin allotted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.facts import Place
from servelint.finding import Certainty, Proposal, Related, Severity, Verdict
from servelint.formats import devices
from servelint.rulebook import Scope, rule
from servelint.source.scalars import whole
from servelint_rules import guards, pods
from servelint_rules.figures import count
from servelint_rules.places import related

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import ContainerCase
    from servelint.deployment import Container
    from servelint.facts import Fact

_INDICES = {
    "nvidia.com/gpu": ("CUDA_VISIBLE_DEVICES",),
    "amd.com/gpu": ("HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"),
    devices.DYNAMIC: ("CUDA_VISIBLE_DEVICES",),
}  # fmt: skip


@rule(
    "K8S628", "visible-devices-override", "Variable shows the engine other GPUs than its own",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0",
    formats=(*guards.TEMPLATED, "helm-values"),
)  # fmt: skip
def visible_devices_override(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    In a container that gets its GPUs from a device plugin or by a claim: `CUDA_VISIBLE_DEVICES` (for AMD also
    `HIP_VISIBLE_DEVICES`, `ROCR_VISIBLE_DEVICES`) against the number of GPUs that are asked for and the ranks that need one,
    `ZE_AFFINITY_MASK` against the number of Intel's GPUs, and `NVIDIA_VISIBLE_DEVICES` set to more than `none`. The containers
    in the values of a chart are judged as they stand there.

    ## Why it matters

    A container sees its own GPUs, numbered from 0. A variable that names fewer hides the others: the engine ends with "World
    size (2) is larger than the number of available GPUs". An index beyond the last one hides all that follow. And
    `NVIDIA_VISIBLE_DEVICES=all` takes the place of what the device plugin says: the engine sees every GPU of the node and
    starts on the first, which belongs to another pod.

    ## How to fix

    Remove the variable: the device plugin sets what is right.

    ## Certainty

    Proven where fewer GPUs are visible than the engine has ranks. A warning where some stay idle, for
    `NVIDIA_VISIBLE_DEVICES`, which some runtimes ignore, and for an index of `ZE_AFFINITY_MASK` that only a GPU of two tiles has
    (each of them is a device by default).

    ## References

    - [CUDA C++ programming guide: CUDA_VISIBLE_DEVICES](https://docs.nvidia.com/cuda/cuda-c-programming-guide/#env-vars)
    - [oneAPI Level Zero: ZE_AFFINITY_MASK](https://oneapi-src.github.io/level-zero-spec/level-zero/latest/core/PROG.html#affinity-mask)
    - [NVIDIA container toolkit: NVIDIA_VISIBLE_DEVICES](https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/docker-specialized.html)
    """
    container, pool = case.container, case.pool
    if not guards.is_complete(container.pod) and case.deployment.format != "helm-values":
        return
    yield from _affinity_mask(container)
    if not guards.on_gpus(case):
        return
    resource = devices.devices(container.node).resource
    exposed = container.environment.get("NVIDIA_VISIBLE_DEVICES")
    if resource == "nvidia.com/gpu" and exposed is not None and _is_said(exposed) and exposed.value not in ("none", "void", ""):
        yield from _said(
            exposed, f"NVIDIA_VISIBLE_DEVICES={exposed.value} instead of what the device plugin allots", Severity.WARNING
        )
    if not pool.gpus_per_node.is_known:
        return
    for name in _INDICES.get(resource, ()):
        fact = container.environment.get(name)
        if fact is None or not _is_said(fact):
            continue
        named = [part.strip() for part in fact.value.split(",")]
        if not all(whole(part) is not None for part in named):
            continue
        gpus = pool.gpus_per_node.value
        visible = next((at for at, part in enumerate(named) if int(part) >= gpus), len(named))
        ranks = min(pods.ranks_in_pod(pool), gpus)
        shown = f"{name}={fact.value} shows {count(visible, 'GPU')} of {gpus}"
        if visible < ranks:
            label, severity = f"{shown}, and the engine has {count(ranks, 'rank')} here", Severity.ERROR
        elif visible < gpus and visible != ranks:  # else PAR201 counts those that idle
            label, severity = f"{shown}: the others idle", Severity.WARNING
        else:
            continue
        place = fact.place
        if place is not None:
            yield Verdict(
                place,
                label,
                related=related(
                    place, (pool.tensor, f"tensor-parallel size {pool.tensor.get(1)}"), (pool.gpus_per_node, f"{gpus} GPUs")
                ),
                proposals=(Proposal(f"remove {name}", False, None),),
                severity=severity,
                key=name,
            )


_TILES = 2  # devices that one of Intel's GPUs shows at most (Data Center GPU Max 1550)


def _affinity_mask(container: Container) -> Iterator[Verdict]:
    """Intel's mask: devices by number, ``1`` or ``1.0`` for the first tile of the second."""
    asked, fact = devices.devices(container.node), container.environment.get("ZE_AFFINITY_MASK")
    if fact is None or not _is_said(fact) or fact.place is None or not asked.resource.startswith("gpu.intel.com/"):
        return
    gpus = devices.whole(asked.written) if asked.written is not None else None
    named = [part.partition(".")[0].strip() for part in str(fact.value).split(",")]
    if not gpus or not all(whole(part) is not None for part in named):
        return
    beyond = [int(part) for part in named if int(part) >= gpus]
    if not beyond:
        return
    certain = min(beyond) >= _TILES * gpus
    lone = "" if certain else ", unless it has two tiles"
    yield Verdict(
        fact.place,
        f"ZE_AFFINITY_MASK={fact.value} names device {beyond[0]}: the container gets {count(gpus, 'GPU')}, from 0 on{lone}",
        related=(Related(Place.of(container.document, asked.written), f"{gpus} × {asked.resource}"),) if asked.written else (),
        proposals=(Proposal("remove ZE_AFFINITY_MASK: the device plugin gives each container its own", False, None),),
        severity=Severity.ERROR if certain else Severity.WARNING,
        certainty=Certainty.PROVEN if certain else Certainty.HEURISTIC,
        key="ZE_AFFINITY_MASK",
    )


def _is_said(fact: Fact[str]) -> bool:
    return fact.is_known and fact.place is not None


def _said(fact: Fact[str], label: str, severity: Severity) -> Iterator[Verdict]:
    if fact.place is not None:
        yield Verdict(
            fact.place,
            label,
            proposals=(Proposal("remove NVIDIA_VISIBLE_DEVICES", False, None),),
            severity=severity,
            certainty=Certainty.HEURISTIC,
            key="NVIDIA_VISIBLE_DEVICES",
        )
