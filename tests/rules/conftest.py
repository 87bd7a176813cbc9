"""A session with the built-in rules, without anything installed, and a small manifest to vary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import servelint_rules
from servelint import builtin
from servelint.config import Config
from servelint.plugins import Registry
from servelint.run import Session, lint_texts, model_lookup
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from collections.abc import Callable

    from servelint.run import Report


@pytest.fixture(scope="session")
def session() -> Session:
    config = Config(profile="strict")  # with advice: its examples are examples, too
    return Session(config, Registry([("builtin", builtin), ("rules", servelint_rules)]), model_lookup(config))


def deployment(
    *args: str,
    image: str = "vllm/vllm-openai:v0.19.1",
    gpus: int = 1,
    selector: str = "nvidia.com/gpu.product: NVIDIA-H100-80GB-HBM3",
    environment: tuple[str, ...] = (),
    command: str = "",
) -> str:
    """A Deployment whose container has these ``args`` (YAML scalars)."""
    lines = [
        "apiVersion: apps/v1", "kind: Deployment", "metadata: {name: llm}", "spec:", "  replicas: 1",
        "  selector: {matchLabels: {app: llm}}", "  template:", "    metadata: {labels: {app: llm}}", "    spec:",
        f"      nodeSelector: {{{selector}}}", "      containers:", "        - name: engine", f"          image: {image}",
    ]  # fmt: skip
    lines += [f"          command: {command}"] if command else []
    lines += ["          args:", *(f"            - {arg}" for arg in args)]
    lines += ["          env:", *(f"            - {{name: {pair.replace('=', ', value: ')}}}" for pair in environment)]
    lines += ["          resources:", f"            limits: {{nvidia.com/gpu: {gpus}}}"]
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="session")
def manifest() -> Callable[..., str]:
    return deployment


@pytest.fixture(scope="session")
def lint(session: Session) -> Callable[..., Report]:
    """Lints a Deployment with the given arguments."""

    def run(*args: str, **others: Any) -> Report:
        return lint_texts([SourceText("llm.yaml", deployment(*args, **others))], session)

    return run
