"""Scenarios of llm-d-benchmark: stacks of one model, served by the llm-d-modelservice chart or by a Deployment of its own.

Source: llm-d-benchmark, ``config/templates/values/defaults.yaml`` and ``config/templates/jinja`` (13_ms-values, 14_standalone,
_macros).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.source.nodes import MappingNode, SequenceNode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from servelint.deployment import Deployment
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document

_PARTS = ("common", "modelservice", "standalone", "decode", "prefill", "model")


class LlmDBenchmark:
    """Recognised by a top-level list ``scenario`` of named mappings with parts of a stack."""

    name = "llm-d-benchmark"

    def recognise(self, document: Document, surroundings: Surroundings) -> Iterable[Deployment]:
        root = document.root
        if not isinstance(root, MappingNode) or not isinstance(root.get("scenario"), SequenceNode):
            return ()
        stacks = [item for item in root.elements_at("scenario") if isinstance(item, MappingNode)]
        if not any(stack.get("name") is not None and any(stack.entry(p) for p in _PARTS) for stack in stacks):
            return ()
        from servelint.formats.llm_d_benchmark_stack import deployment  # lazy: only for scenarios

        found = (deployment(document, root, stack, surroundings) for stack in stacks)
        return [each for each in found if each is not None]
