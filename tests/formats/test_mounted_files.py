"""Configuration files of a container: ConfigMaps it mounts, and here-documents of its script."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from format_reading import StrictReading
from servelint.formats.kubernetes import Kubernetes
from servelint.source import edits
from servelint.source.reader import read_text
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from servelint.deployment import Pool

CONFIG = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data:
  serve.yaml: |
    model: org/name
    tensor-parallel-size: 4
    max-model-len: 8192
---
"""
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: x}
spec:
  selector: {matchLabels: {a: b}}
  template:
    metadata: {labels: {a: b}}
    spec:
      volumes: [VOLUME]
      containers:
        - name: vllm
          image: vllm/vllm-openai:v0.11.0
          ARGS
          volumeMounts: [MOUNT]
"""


def pool(
    *,
    volume: str = "{name: c, configMap: {name: settings}}",
    mount: str = "{name: c, mountPath: /etc/vllm}",
    args: str = "args: [--config=/etc/vllm/serve.yaml, --max-model-len=4096]",
    config: str = CONFIG,
) -> tuple[Pool, str]:
    text = config + DEPLOYMENT.replace("VOLUME", volume).replace("MOUNT", mount).replace("ARGS", args)
    documents = read_text(SourceText("m.yaml", text)).documents
    found = [d for document in documents for d in Kubernetes().recognise(document, StrictReading(documents))]
    [deployment] = found
    [only] = deployment.pools
    return only, text


def test_the_file_stands_before_the_command_line() -> None:
    found, text = pool()
    assert found.model.value == "org/name"
    assert found.tensor.value == 4
    assert found.max_model_len.value == 4096, "the command line wins"
    place = found.tensor.place
    assert place is not None
    assert (place.document.index, text[place.span.start : place.span.end]) == (0, "4")
    command = found.containers[0].command
    assert command is not None
    assert command.complete


def test_a_setting_of_the_file_is_written_in_the_file() -> None:
    found, text = pool()
    assert found.tensor.writer is not None
    made = found.tensor.writer.write(8)
    assert made is not None
    assert edits.apply(text, made) == text.replace("tensor-parallel-size: 4", "tensor-parallel-size: 8")


@pytest.mark.parametrize(
    ("volume", "mount"),
    [
        ("{name: c, configMap: {name: settings}}", "{name: c, mountPath: /etc/vllm/serve.yaml, subPath: serve.yaml}"),
        (
            "{name: c, configMap: {name: settings, items: [{key: serve.yaml, path: x.yaml}]}}",
            "{name: c, mountPath: /etc/vllm/serve.yaml, subPath: x.yaml}",
        ),
        ("{name: c, projected: {sources: [{configMap: {name: settings}}]}}", "{name: c, mountPath: /etc/vllm/}"),
        ("{name: c, configMap: {name: settings}}", "{name: d, mountPath: /etc}, {name: c, mountPath: /etc/vllm}"),
    ],
)
def test_ways_to_mount_a_key(volume: str, mount: str) -> None:
    assert pool(volume=volume, mount=mount)[0].tensor.value == 4


@pytest.mark.parametrize(
    ("volume", "mount", "config"),
    [
        ("{name: c, configMap: {name: other}}", "{name: c, mountPath: /etc/vllm}", CONFIG),
        ("{name: c, configMap: {name: settings}}", "{name: c, mountPath: /etc/elsewhere}", CONFIG),
        ("{name: c, emptyDir: {}}", "{name: c, mountPath: /etc/vllm}", CONFIG),
        ("{name: c, configMap: {name: settings}}", "{name: c, mountPath: /etc/vllm}", CONFIG.replace("    model", "   : ["),),
        ("{name: c, configMap: {name: settings}}", "{name: c, mountPath: /etc/vllm}", CONFIG + CONFIG),
    ],
)  # fmt: skip
def test_a_file_that_is_not_at_hand_leaves_its_settings_unknown(volume: str, mount: str, config: str) -> None:
    found, _ = pool(volume=volume, mount=mount, config=config)
    command = found.containers[0].command
    assert command is not None
    assert not command.complete
    assert not found.tensor.is_known


def test_a_path_is_relative_to_the_folder_of_the_container() -> None:
    relative = "args: [--config=serve.yaml]"
    assert not pool(args=relative)[0].tensor.is_known
    assert pool(args=f"workingDir: /etc/vllm\n          {relative}")[0].tensor.value == 4
    assert not pool(args=f"workingDir: /etc\n          {relative}")[0].tensor.is_known


HEREDOC = """\
command: [bash, -c]
          args:
            - |
              REDIRECTION
              tensor-parallel-size: 2
              model: org/name
              EOF
              vllm serve --config /tmp/c.yaml
"""


@pytest.mark.parametrize(
    "redirection",
    [
        "cat > /tmp/c.yaml <<'EOF'",
        "cat <<EOF > /tmp/c.yaml",
        'tee "/tmp/c.yaml" <<EOF >/dev/null',
        "cat <<-EOF >/tmp/../tmp/c.yaml",
    ],
)
def test_a_here_document_is_a_file(redirection: str) -> None:
    found, text = pool(args=HEREDOC.replace("REDIRECTION", redirection), config="")
    assert (found.tensor.value, found.model.value) == (2, "org/name")
    place = found.tensor.place
    assert place is not None
    assert text[place.span.start : place.span.end] == "2"


def test_a_here_document_that_the_shell_completes_is_not_guessed() -> None:
    args = HEREDOC.replace("REDIRECTION", "cat > /tmp/c.yaml <<EOF").replace("-size: 2", "-size: $TP")
    assert not pool(args=args, config="")[0].tensor.is_known
