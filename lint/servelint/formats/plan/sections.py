"""The sections that only a plan has: claims, targets, reasoning, critical path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.facts import Place
from servelint.formats.plan.model import DEGREES, Claims, MemoryClaims, Operation, ReasoningStep, Targets, most_of
from servelint.formats.plan.quantities import Dimension
from servelint.source.nodes import MappingNode, ScalarNode, SequenceNode

if TYPE_CHECKING:
    from servelint.facts import Fact
    from servelint.formats.plan.quantities import Quantity
    from servelint.formats.plan.statements import Statements


def claims_of(statements: Statements) -> Claims:
    node = statements.document.get("claims")
    memory = node.get("memory") if node is not None else None

    def part(key: str, dimension: Dimension = Dimension.MEMORY) -> Fact[Quantity]:
        return statements.quantity(f"claims.memory.{key}", dimension, memory, key)

    return Claims(
        statements.integer("claims.gpus", node, "gpus"),
        MemoryClaims(
            part("weights"),
            part("kv_cache"),
            part("activations"),
            part("overhead"),
            part("total"),
            part("utilization", Dimension.RATIO),
        ),
        statements.quantity("claims.ttft", Dimension.TIME, node, "ttft"),
        statements.quantity("claims.tpot", Dimension.TIME, node, "tpot"),
        statements.throughput("claims.throughput_per_gpu", node, "throughput_per_gpu"),
        statements.throughput("claims.throughput", node, "throughput"),
    )


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
        steps.append(ReasoningStep(name.text, Place.of(document, name), decides, because, uses, facts))
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
                    Operation(name.text, Place.of(document, name), seconds, statements.texts(f"{path}.after", item, "after"))
                )
        paths[phase] = tuple(operations)
    return paths
