"""Visible devices: variables that show an engine other GPUs than those which the device plugin allotted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.finding import Certainty, Proposal, Severity, Verdict
from servelint.formats import devices
from servelint.rulebook import Scope, rule
from servelint_rules import guards, pods
from servelint_rules.figures import count
from servelint_rules.places import related

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import ContainerCase
    from servelint.facts import Fact

_INDICES = {
    "nvidia.com/gpu": ("CUDA_VISIBLE_DEVICES",),
    "amd.com/gpu": ("HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"),
    devices.DYNAMIC: ("CUDA_VISIBLE_DEVICES",),
}  # fmt: skip


@rule(
    "K8S628", "visible-devices-override", "Variable shows the engine other GPUs than its own",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0",
    formats=guards.TEMPLATED,
)  # fmt: skip
def visible_devices_override(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    In a container that gets its GPUs from a device plugin or by a claim: `CUDA_VISIBLE_DEVICES` (for AMD also
    `HIP_VISIBLE_DEVICES`, `ROCR_VISIBLE_DEVICES`) against the number of GPUs that are asked for and the ranks that need one,
    and `NVIDIA_VISIBLE_DEVICES` set to more than `none`.

    ## Why it matters

    A container sees its own GPUs, numbered from 0. A variable that names fewer hides the others: the engine ends with "World
    size (2) is larger than the number of available GPUs". An index beyond the last one hides all that follow. And
    `NVIDIA_VISIBLE_DEVICES=all` takes the place of what the device plugin says: the engine sees every GPU of the node and
    starts on the first, which belongs to another pod.

    ## How to fix

    Remove the variable: the device plugin sets what is right.

    ## Certainty

    Proven where fewer GPUs are visible than the engine has ranks. A warning where some stay idle, and for
    `NVIDIA_VISIBLE_DEVICES`, which some runtimes ignore.

    ## References

    - [CUDA C++ programming guide: CUDA_VISIBLE_DEVICES](https://docs.nvidia.com/cuda/cuda-c-programming-guide/#env-vars)
    - [NVIDIA container toolkit: NVIDIA_VISIBLE_DEVICES](https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/docker-specialized.html)
    """
    container, pool = case.container, case.pool
    if not guards.is_complete(container.pod) or not guards.runs_on_gpus(container):
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
        if not all(part.isdecimal() for part in named):
            continue
        gpus = pool.gpus_per_node.value
        visible = next((at for at, part in enumerate(named) if int(part) >= gpus), len(named))
        ranks = min(pods.ranks_in_pod(pool), gpus)
        shown = f"{name}={fact.value} shows {count(visible, 'GPU')} of {gpus}"
        if visible < ranks:
            label, severity = f"{shown}, and the engine has {count(ranks, 'rank')} here", Severity.ERROR
        elif visible < gpus:
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
