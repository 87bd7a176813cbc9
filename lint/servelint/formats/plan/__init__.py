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

    The needles are the kind and the ``apiVersion``, each alone, so that one in which the other is missing or misspelt is told so.
    """

    name = "plan"

    def recognise(self, document: Document, surroundings: Surroundings) -> Iterable[Deployment]:
        # Lazy imports (as elsewhere in this package): a run without a plan must not pay for reading plans.
        is_ours = document.text_at("kind") == "DeploymentPlan"
        if not is_ours and not (document.text_at("apiVersion") or "").startswith("servelint/"):
            return ()
        from servelint.formats.plan.recognise import recognise, report_kind

        if is_ours:
            return recognise(document, surroundings)
        report_kind(document, surroundings)
        return ()
