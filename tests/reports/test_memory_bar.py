"""The budget as a bar and as a table."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from servelint.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

MANIFEST = """\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: served}}
spec:
  template:
    spec:
      nodeSelector: {{nvidia.com/gpu.product: {gpu}}}
      containers:
        - name: vllm
          image: vllm/vllm-openai:{version}
          args: [--model={model}]
          resources: {{limits: {{nvidia.com/gpu: 1}}}}
"""


def derive(path: Path, capsys: pytest.CaptureFixture[str], form: str, **facts: str) -> str:
    values = {"gpu": "NVIDIA-H100-80GB-HBM3", "version": "v0.19.1", "model": "meta-llama/Llama-3.1-8B-Instruct", **facts}
    file = path / "served.yaml"
    file.write_text(MANIFEST.format(**values), encoding="utf-8")
    assert main(["derive", "--isolated", str(file), "--format", form]) == 0
    return capsys.readouterr().out


def test_a_bar_in_the_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = derive(tmp_path, capsys, "text")
    (bar,) = re.findall(r"\|([WAOGK. ]+)\| 79\.2 GiB", text)
    assert len(bar) == 50
    assert bar == "".join(sorted(bar, key="WAOGK. ".index)), "in the order in which an engine takes them"
    assert 8 <= bar.count("W") <= 10, "15 of 79 GiB"
    assert "W weights 15.0" in text
    assert "G CUDA graphs" not in text, "outside the budget before 0.20"
    assert "G CUDA graphs" in derive(tmp_path, capsys, "text", version="v0.22.0")


def test_a_table_in_markdown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = derive(tmp_path, capsys, "markdown")
    assert "| Part of one GPU | GiB | Between | Of the device |" in text
    assert re.search(r"\| weights \| 14\.99 \| 14\.\d\d to 15\.\d\d \| 19% \|", text)


def test_what_does_not_fit_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = derive(tmp_path, capsys, "text", model="meta-llama/Llama-3.1-70B-Instruct")
    assert re.search(r"\|W{50}\| 79\.2 GiB  exceeds the device by \d+\.\d GiB", text)


def test_no_bar_without_a_budget(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = derive(tmp_path, capsys, "text", model="nobody/knows-this")
    assert "outside the budget" not in text
    assert "Part of one GPU" not in derive(tmp_path, capsys, "markdown", model="nobody/knows-this")
