"""What the tests of written variations share: the pools of a manifest that is read without errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.run import Session, lint_texts
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from servelint.deployment import Pool


def pools(session: Session, text: str) -> dict[str, Pool]:
    """The pools by the names of their deployment and their own."""
    report = lint_texts([SourceText("x.yaml", text)], session)
    assert report.errors == ()
    return {f"{d.name}/{p.name}": p for d in report.deployments for p in d.pools}
