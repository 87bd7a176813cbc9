"""HWQ503 where the checkpoint's format is not its own configuration's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from servelint.finding import Certainty

if TYPE_CHECKING:
    from collections.abc import Callable

    from servelint.run import Report


@pytest.mark.parametrize(
    ("model", "certainty", "method"),
    [
        ("meta-llama/Llama-3.1-405B-Instruct-FP8", Certainty.PROVEN, "fbgemm_fp8"),
        ("neuralmagic/Meta-Llama-3.1-405B-Instruct-FP8", Certainty.HEURISTIC, "FP8"),  # of the same name, by another maker
    ],
)
def test_a_format_borrowed_from_another_checkpoint_is_not_proven(
    lint: Callable[..., Report], model: str, certainty: Certainty, method: str
) -> None:
    selector = "nvidia.com/gpu.product: NVIDIA-A100-SXM4-80GB"
    report = lint(f"--model={model}", "--tensor-parallel-size=8", gpus=8, selector=selector)
    (finding,) = (finding for finding in report.findings if finding.code == "HWQ503")
    assert finding.certainty is certainty
    assert f"; {method} is widened" in finding.label
