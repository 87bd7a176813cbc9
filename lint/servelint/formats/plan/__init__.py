"""The native plan: one document that states a deployment before there is a manifest, and what it claims of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from servelint.deployment import Deployment
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document


class NativePlan:
    """``kind: DeploymentPlan`` of ``apiVersion: servelint/v1``.

    The needle is the kind alone, so that a plan whose ``apiVersion`` is missing or misspelt is told so.
    """

    name = "plan"

    def recognise(self, document: Document, surroundings: Surroundings) -> Iterable[Deployment]:
        # Lazy imports (as elsewhere in this package): a run without a plan must not pay for reading plans.
        if document.text_at("kind") != "DeploymentPlan":
            return ()
        from servelint.formats.plan.recognise import recognise

        return recognise(document, surroundings)
