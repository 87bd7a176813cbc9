"""Scripts of ConfigMaps that a container runs."""

from __future__ import annotations

import pytest

from format_reading import StrictReading
from servelint.formats.kubernetes import Kubernetes
from servelint.source.reader import read_text
from servelint.source.text import SourceText

MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata: {{name: x}}
spec:
  selector: {{}}
  template:
    spec:
      containers:
      - name: engine
        image: registry.example/serving:1
        command: {command}
        {more}
        env: [{{name: TP, value: "2"}}]
        volumeMounts: [{{name: scripts, mountPath: /scripts}}]
      volumes:
      - name: scripts
        configMap: {{name: scripts}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: scripts}}
data:
  run.sh: |
    set -e
    vllm serve org/model --tensor-parallel-size $TP
  other.txt: vllm serve other/model
"""


def model(command: str, more: str = "") -> str | None:
    documents = read_text(SourceText("x.yaml", MANIFEST.format(command=command, more=more))).documents
    found = [d for document in documents for d in Kubernetes().recognise(document, StrictReading(documents))]
    if not found:
        return None
    [pool] = found[0].pools
    assert pool.tensor.value == 2
    assert pool.tensor.place is not None
    return pool.model.value


@pytest.mark.parametrize(
    ("command", "more"),
    [
        ("[/scripts/run.sh]", ""),
        ("[bash, /scripts/run.sh]", ""),
        ("[bash, -ex, /scripts/run.sh, extra]", ""),
        ("[sh, -c, 'cd /scripts && ./run.sh']", ""),
        ("[sh, -c, 'echo start; exec bash /scripts/run.sh']", ""),
        ("[sh, -c, 'source /scripts/run.sh']", ""),
        ("[./run.sh]", "workingDir: /scripts"),
    ],
)
def test_ways_to_run_a_script(command: str, more: str) -> None:
    assert model(command, more) == "org/model"


@pytest.mark.parametrize("command", ["[/elsewhere/run.sh]", "[cat, /scripts/run.sh]", "[/scripts/missing.sh]", "[bash]"])
def test_what_runs_no_script_at_hand(command: str) -> None:
    assert model(command) is None
