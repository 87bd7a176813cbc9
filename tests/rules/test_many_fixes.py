"""Fixes in a file of very many deployments: the first are proven, the others are said in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.fixes import verify
from servelint.run import lint_texts
from servelint.source.text import SourceText

if TYPE_CHECKING:
    import pytest

    from servelint.run import Session

DEPLOYMENT = """apiVersion: apps/v1
kind: Deployment
metadata: {name: %s}
spec:
  selector: {matchLabels: {app: %s}}
  template:
    metadata: {labels: {app: %s}}
    spec:
      containers:
        - name: vllm
          image: vllm/vllm-openai:v0.19.1
          args: [--model=Qwen/Qwen3-8B, --swap-space=4]
          resources: {limits: {nvidia.com/gpu: "1"}}
"""


def test_the_first_fixes_are_proven_and_the_others_are_words(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "_MOST_DEPLOYMENTS", 2)
    text = "---\n".join(DEPLOYMENT.replace("%s", name) for name in ("one", "two"))
    report = verify.with_fixes(lint_texts([SourceText("many.yaml", text)], session), session)
    first, second = [finding for finding in report.findings if finding.code == "CLI102"]
    assert [fix.title for fix in first.fixes] == [second.help[-1]]
    assert second.fixes == ()
