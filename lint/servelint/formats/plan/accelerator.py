"""The accelerator of a plan: a name of the catalogue, its figures inline, or a name with figures that override it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.catalogue import accelerators
from servelint.catalogue.accelerators import Accelerator
from servelint.estimate import Estimate
from servelint.facts import Fact, UnknownFact
from servelint.formats.plan.model import NOT_STATED, stated
from servelint.formats.plan.quantities import Dimension

if TYPE_CHECKING:
    from servelint.formats.plan.statements import Statements
    from servelint.source.nodes import Node

# Number formats of a plan → keys of Accelerator.peak_flops.
PEAK_KEYS = {
    "float16": "fp16", "half": "fp16", "fp16": "fp16", "bfloat16": "bf16", "bf16": "bf16", "float32": "fp32", "float": "fp32",
    "fp32": "fp32", "float8_e4m3fn": "fp8", "float8_e5m2": "fp8", "fp8": "fp8", "fp8_e4m3": "fp8", "fp8_e5m2": "fp8",
    "int8": "int8", "int4": "int4", "fp4": "fp4", "nvfp4": "fp4", "mxfp4": "fp4",
}  # fmt: skip


def accelerator_of(statements: Statements, node: Node | None, name: str) -> Fact[Accelerator]:
    """The accelerator that the section ``node`` states, every figure in it replacing the catalogue's.

    A figure that cannot be read makes the accelerator unknown; a name that may mean several leaves them as alternatives.
    """
    fact_name = "accelerator.name"
    if node is None:
        return Fact.unknown(fact_name, NOT_STATED)
    here = statements.origin(node, "accelerator of the plan")
    title = statements.text(f"{name}.name", node, "name")
    try:
        figures = _figures(statements, node, name)
    except UnknownFact as unknown:
        return Fact.unknown(fact_name, f"{unknown.fact} {unknown.reason}", unknown.remedy, statements.origin(node))
    if not title.is_known:
        if "visible_bytes" not in figures:
            return Fact.unknown(fact_name, f"{name} states neither name nor memory", f"state {name}.name", here)
        return Fact.known(fact_name, _inline(figures), here)
    found = accelerators.find_all(title.value)
    if not found and "visible_bytes" in figures:
        return Fact.known(fact_name, _inline({**figures, "name": title.value}), here)
    if not found:
        near = accelerators.suggest(title.value)
        remedy = f"did you mean {near[0]}? Or state" if near else "state"
        remedy += " memory, bandwidth and compute beside the name"
        return Fact.unknown(fact_name, f"`{title.value[:60]}` is not in the catalogue", remedy, title.origin)
    return Fact.either(fact_name, tuple(_overridden(one, figures) for one in found), title.origin or here, title.writer)


def _figures(statements: Statements, node: Node, name: str) -> dict[str, Any]:
    """Field of :class:`Accelerator` → what the plan states of it; raises :class:`UnknownFact` for what cannot be read."""

    def quantity(key: str, dimension: Dimension) -> float | None:
        most = 1.0 if dimension is Dimension.RATIO else None
        value = stated(statements.quantity(f"{name}.{key}", dimension, node, *key.split("."), positive=True, most=most))
        return value.value_si if value is not None else None

    memory = quantity("memory", Dimension.MEMORY)
    peaks = {
        PEAK_KEYS[key]: value
        for key, _, _ in node.entries_at("compute")
        if key in PEAK_KEYS and (value := quantity(f"compute.{key}", Dimension.COMPUTE)) is not None
    }
    figures = {
        "visible_bytes": Estimate.exact(memory) if memory is not None else None,
        "memory_gb": memory / 1e9 if memory is not None else None,
        "bandwidth_bytes_per_second": quantity("bandwidth", Dimension.BANDWIDTH),
        "link_bytes_per_second": quantity("link", Dimension.BANDWIDTH),
        "devices_per_node": stated(statements.integer(f"{name}.per_node", node, "per_node")),
        "mfu": quantity("mfu", Dimension.RATIO),
        "mbu": quantity("mbu", Dimension.RATIO),
        "peak_flops": peaks or None,
    }
    return {field: value for field, value in figures.items() if value is not None}


def _inline(figures: dict[str, Any]) -> Accelerator:
    """An accelerator of which only what the plan states is known. Its memory is exactly what is stated."""
    visible: Estimate = figures["visible_bytes"]
    return Accelerator(
        name=figures.get("name") or f"{visible.mid / 1e9:g} GB accelerator",
        vendor="",
        architecture="",
        memory_gb=figures["memory_gb"],
        memory_type="",
        visible_bytes=visible,
        visible_measured=True,
        bandwidth_bytes_per_second=figures.get("bandwidth_bytes_per_second"),
        peak_flops=figures.get("peak_flops", {}),
        peak_flops_highest=figures.get("peak_flops", {}),
        compute_capability=None,
        link="stated in the plan" if "link_bytes_per_second" in figures else "",
        link_bytes_per_second=figures.get("link_bytes_per_second"),
        has_nvlink=None,
        pcie_generation=None,
        fabric_devices=None,
        devices_per_node=figures.get("devices_per_node"),
        devices_per_unit=1,
        source="accelerator of the plan",
        notes=(),
        mfu=figures.get("mfu"),
        mbu=figures.get("mbu"),
    )


def _overridden(one: Accelerator, figures: dict[str, Any]) -> Accelerator:
    if not figures:
        return one
    peaks = figures.get("peak_flops", {})
    changes: dict[str, Any] = {
        **figures,
        "peak_flops": {**one.peak_flops, **peaks},
        "peak_flops_highest": {**one.peak_flops_highest, **peaks},
    }
    if "visible_bytes" in figures:
        changes["visible_measured"] = True
    return one._replace(source=f"accelerator of the plan over: {one.source}", **changes)
