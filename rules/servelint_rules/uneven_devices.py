"""Uneven devices: accelerators of which one unit holds one or two of the engine's devices, and how many it holds at most."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.facts import Place
from servelint.finding import Severity, Verdict
from servelint.formats import devices
from servelint_rules import gpu_counts, guards
from servelint_rules.figures import count
from servelint_rules.places import related

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import PoolCase

# An Ascend 910C is two dies, each a device of its own, and so is a TPU chip of v2, v3 and v7; all others are one.
_MOST = 2
_KINDS = ("huawei.com/ascend", "huawei.com/npu", "google.com/tpu")
_PARTS = ("mem", "core")  # resources beside the device, of plugins that share it


def too_few(case: PoolCase, *, plain: bool) -> Iterator[Verdict]:
    """Pods that ask for fewer than the tensor and pipeline ranks need, however many devices each unit holds. ``plain``: they
    are of Kubernetes' own objects, which an operator may own and change."""
    pool = case.pool
    container, resource = pool.containers[0], pool.gpu_resource
    name = resource.lower()
    if not name.startswith(_KINDS) or any(part in name for part in _PARTS):
        return
    pod = container.pod
    if pod is not None and (not guards.is_complete(pod) or (plain and guards.has_operator(pod))):
        return
    if not guards.is_literal(container.command, *gpu_counts.DEGREE_FLAGS) or gpu_counts.is_launched_from_outside(container):
        return
    asked = devices.devices(container.node)
    written = asked.written
    units = devices.whole(written) if written is not None and not asked.others else None
    if written is None or units is None or pool.shares_nodes or not pool.tensor.is_stated or pool.nodes.value != 1:
        return
    needed = pool.tensor.value * pool.pipeline.value
    if needed <= _MOST * units:
        return
    place = Place.of(container.document, written)
    yield Verdict(
        place,
        f"{count(needed, 'device')} needed by a replica; {units} × {resource} are {_MOST * units} at most",
        arithmetic=(
            f"tensor-parallel size {pool.tensor.value} × pipeline-parallel size {pool.pipeline.value} = {needed}",
            f"{units} × {resource}, of one or two devices each",
        ),
        related=related(place, (pool.tensor, f"tensor-parallel size {pool.tensor.value}")),
        severity=Severity.ERROR,
        key="fewer",
    )
