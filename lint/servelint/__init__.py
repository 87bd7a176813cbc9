"""servelint: the linter for LLM-serving deployments.

``servelint.lint(paths, config)`` returns a :class:`servelint.run.Report`; ``rule``, ``hookimpl`` and the records of
:mod:`servelint.finding` are what an organization's own rules need. Everything is imported on first use, so that
``import servelint`` costs nothing on the command line's start-up path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from servelint.case import ContainerCase, DeploymentCase, PlanCase, PoolCase
    from servelint.config import Config
    from servelint.deployment import Container, Deployment, Pod, Pool
    from servelint.estimate import Estimate
    from servelint.facts import Fact, Origin, Place, UnknownFact
    from servelint.finding import Certainty, Edit, Finding, Fix, Proposal, Related, Severity, Verdict
    from servelint.hooks import hookimpl
    from servelint.rulebook import Rule, Scope, Theme, rule
    from servelint.run import Report, lint

_HOMES = {
    "ContainerCase": "case", "DeploymentCase": "case", "PlanCase": "case", "PoolCase": "case",
    "Config": "config",
    "Container": "deployment", "Deployment": "deployment", "Pod": "deployment", "Pool": "deployment",
    "Estimate": "estimate",
    "Fact": "facts", "Origin": "facts", "Place": "facts", "UnknownFact": "facts",
    "Certainty": "finding", "Edit": "finding", "Finding": "finding", "Fix": "finding", "Proposal": "finding",
    "Related": "finding", "Severity": "finding", "Verdict": "finding",
    "hookimpl": "hooks",
    "Rule": "rulebook", "Scope": "rulebook", "Theme": "rulebook", "rule": "rulebook",
    "Report": "run", "lint": "run",
}  # fmt: skip

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'servelint' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"servelint.{home}"), name)
