"""The sections that only a plan has: claims, alternatives, targets, reasoning, critical path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.facts import Place
from servelint.formats.plan.model import (
    DEGREES,
    NOT_STATED,
    Alternative,
    Claims,
    MemoryClaims,
    Operation,
    ReasoningStep,
    Targets,
    most_of,
)
from servelint.formats.plan.quantities import Dimension
from servelint.formats.plan.statements import default
from servelint.source.nodes import MappingNode, ScalarNode, SequenceNode

if TYPE_CHECKING:
    from servelint.facts import Fact
    from servelint.formats.plan.quantities import Quantity
    from servelint.formats.plan.statements import Statements
    from servelint.source.nodes import Node


def claims_of(statements: Statements, node: Node | None, name: str = "claims") -> Claims:
    """The claims that ``node``, the section called ``name``, makes."""
    memory = node.get("memory") if node is not None else None

    def part(key: str, dimension: Dimension = Dimension.MEMORY) -> Fact[Quantity]:
        return statements.quantity(f"{name}.memory.{key}", dimension, memory, key)

    def own(key: str, dimension: Dimension = Dimension.TIME) -> Fact[Quantity]:
        return statements.quantity(f"{name}.{key}", dimension, node, key)

    return Claims(
        statements.integer(f"{name}.gpus", node, "gpus"),
        MemoryClaims(
            part("weights"),
            part("kv_cache"),
            part("activations"),
            part("overhead"),
            part("total"),
            part("utilization", Dimension.RATIO),
        ),
        own("ttft"),
        own("tpot"),
        statements.throughput(f"{name}.throughput_per_gpu", node, "throughput_per_gpu"),
        statements.throughput(f"{name}.throughput", node, "throughput"),
        own("latency"),
        own("prefill_flops", Dimension.OPERATIONS),
        statements.text(f"{name}.source", node, "source"),
        statements.text(f"{name}.provenance", node, "provenance"),
        statements.texts(f"{name}.meets", node, "meets"),
        statements.texts(f"{name}.follows", node, "follows"),
    )


def alternatives_of(statements: Statements) -> tuple[Alternative, ...]:
    """The layouts weighed against the plan's own; what is no mapping is left to the schema."""
    document = statements.document
    found = []
    for index, node in enumerate(document.elements_at("alternatives")):
        if not isinstance(node.resolved, MappingNode):
            continue
        path = f"alternatives[{index}]"
        stated = node.get("parallelism")
        degrees: dict[str, Fact[int]] = {}
        for key in DEGREES:
            fact = statements.integer(f"{path}.parallelism.{key}", stated, key, most=most_of(key))
            absent = fact.reason == NOT_STATED and isinstance(stated, MappingNode)
            degrees[key] = default(fact.name, 1) if absent else fact
        name = node.text_at("name") or f"alternative {index + 1}"
        place = Place.of(document, stated or node)
        found.append(Alternative(name, place, degrees, claims_of(statements, node.get("claims"), f"{path}.claims")))
    return tuple(found)


def targets_of(statements: Statements) -> Targets:
    node = statements.document.get("targets")
    return Targets(
        statements.quantity("targets.ttft", Dimension.TIME, node, "ttft"),
        statements.quantity("targets.tpot", Dimension.TIME, node, "tpot"),
        statements.throughput("targets.throughput_per_gpu", node, "throughput_per_gpu"),
    )


def reasoning_of(statements: Statements) -> tuple[ReasoningStep, ...] | None:
    """The steps as written; None where the plan has no ``reasoning``. A step without a name is left to the schema."""
    document = statements.document
    if not isinstance(document.get("reasoning"), SequenceNode):
        return None
    steps = []
    for index, node in enumerate(document.elements_at("reasoning")):
        name = node.get("step")
        if not isinstance(name, ScalarNode):
            continue
        path = f"reasoning[{index}]"
        decided = node.get("decides")
        decides = {
            key: statements.integer(f"{path}.decides.{key}", decided, key, most=most_of(key))
            for key in DEGREES
            if isinstance(decided, MappingNode) and decided.get(key) is not None
        }
        facts = tuple(f.value for f in statements.texts(f"{path}.facts", node, "facts"))
        because = node.text_at("because") or ""
        uses = statements.texts(f"{path}.uses", node, "uses")
        improves = statements.texts(f"{path}.improves", node, "improves")
        steps.append(ReasoningStep(name.text, Place.of(document, name), decides, because, uses, facts, improves))
    return tuple(steps)


def critical_path_of(statements: Statements) -> dict[str, tuple[Operation, ...]]:
    """Phase → its operations as written; an operation without a name is left to the schema."""
    document = statements.document
    paths = {}
    for phase, _, node in document.entries_at("critical_path"):
        operations = []
        for index, item in enumerate(node.elements_at()):
            name = item.get("name")
            if isinstance(name, ScalarNode):
                path = f"critical_path.{phase}[{index}]"
                seconds = statements.quantity(f"{path}.seconds", Dimension.TIME, item, "seconds")
                operations.append(
                    Operation(
                        name.text,
                        Place.of(document, name),
                        seconds,
                        statements.texts(f"{path}.after", item, "after"),
                        statements.text(f"{path}.kind", item, "kind"),
                        statements.quantity(f"{path}.flops", Dimension.OPERATIONS, item, "flops"),
                        statements.quantity(f"{path}.bytes", Dimension.MEMORY, item, "bytes"),
                    )
                )
        paths[phase] = tuple(operations)
    return paths
