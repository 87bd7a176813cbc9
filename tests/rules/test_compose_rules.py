"""The rules about Compose files beyond their examples: what Compose refuses, takes for itself, and asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from servelint.finding import Certainty, Severity
from servelint.run import lint_texts
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from servelint.finding import Finding
    from servelint.run import Session

GPU = "    deploy: {resources: {reservations: {devices: [{driver: nvidia, count: 1, capabilities: [gpu]}]}}}\n"


def compose(*lines: str, image: str = "vllm/vllm-openai:v0.19.1", others: str = "") -> str:
    """One service of an engine, with further lines of it."""
    return "services:\n  llm:\n" + f"    image: {image}\n" + "".join(f"    {line}\n" for line in lines) + GPU + others


def findings(text: str, session: Session, code: str) -> list[Finding]:
    return [f for f in lint_texts([SourceText("compose.yaml", text)], session).findings if f.code == code]


def test_a_refused_value_of_any_service_is_said_once_for_the_file(session: Session) -> None:
    other = "  web:\n    image: nginx:1.29.1\n    command: sh -c 'echo ${1}'\n"
    second = "  small:\n    image: vllm/vllm-openai:v0.19.1\n    command: --model Qwen/Qwen3-0.6B\n" + GPU
    text = compose("command: --model Qwen/Qwen3-8B", others=second + other)
    [finding] = findings(text, session, "K8S631")
    assert text[finding.place.span.start : finding.place.span.end] == "${1}"


def test_keys_are_not_interpolated(session: Session) -> None:
    text = compose("command: --model Qwen/Qwen3-8B", "labels: {'${1}': a}")
    assert not findings(text, session, "K8S631")


SCRIPT = 'entrypoint: [/bin/bash, -c, "{}"]'


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("LEN=1; vllm serve Qwen/Qwen3-8B --max-model-len $LEN", True),
        ("for LEN in 1 2; do vllm serve Qwen/Qwen3-8B --max-model-len ${LEN}; done", True),
        ("read -r LEN; vllm serve Qwen/Qwen3-8B --max-model-len ${LEN:-1}", True),
        ("LEN=1; vllm serve Qwen/Qwen3-8B --max-model-len $$LEN", False),
        ("LEN=1; vllm serve Qwen/Qwen3-8B --max-model-len $$$LEN", True),  # one dollar sign, and a variable
        ("LEN=${LEN:-1}; vllm serve Qwen/Qwen3-8B --max-model-len $$LEN", False),
        ("vllm serve Qwen/Qwen3-8B --max-model-len $LEN", False),
        ("MAXLEN=1; vllm serve Qwen/Qwen3-8B --max-model-len $LEN", False),
        ("vllm serve Qwen/Qwen3-8B --max-model-len $LEN --seed=$SEED", False),
    ],
)
def test_variables_of_the_script(script: str, found: bool, session: Session) -> None:
    assert bool(findings(compose(SCRIPT.format(script)), session, "K8S632")) is found


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ("environment: {NAME: qwen}", True), ("environment: [NAME=qwen]", True), ("environment: [NAME]", False),
        ("environment: {NAME: '${NAME}'}", False), ("environment: {OTHER: qwen}", False),
    ],
)  # fmt: skip
def test_variables_of_the_environment(environment: str, found: bool, session: Session) -> None:
    text = compose("command: --model Qwen/Qwen3-8B --served-model-name $NAME", environment)
    assert bool(findings(text, session, "K8S632")) is found


def check(url: str) -> str:
    return f'healthcheck: {{test: [CMD-SHELL, "curl -f {url} || exit 1"]}}'


@pytest.mark.parametrize(
    ("lines", "severity"),
    [
        (("command: --model Qwen/Qwen3-8B", check("http://localhost:8000/health")), None),
        (("command: --model Qwen/Qwen3-8B", check("http://localhost:9000/health")), Severity.ERROR),
        (("command: --model Qwen/Qwen3-8B", check("http://localhost/health")), Severity.ERROR),  # port 80
        (("command: --model Qwen/Qwen3-8B", check("http://127.0.0.1:${P:-9000}/health")), Severity.ERROR),
        (("command: --model Qwen/Qwen3-8B", check("http://localhost:$P/health")), None),
        (("command: --model Qwen/Qwen3-8B --port ${P:-9000}", check("http://localhost:9000/health")), None),
        (("command: --model Qwen/Qwen3-8B --port $P", check("http://localhost:9000/health")), None),
        (("command: --model Qwen/Qwen3-8B", "network_mode: host", check("http://localhost:9000/health")), None),
        (("command: --model Qwen/Qwen3-8B", "environment: {PORT: '9000'}", check("http://localhost:9000/health")), None),
        (("command: --model Qwen/Qwen3-8B", "ports: ['81:8000']", check("http://$HOST_IP:81/health")), None),
        (("command: --model Qwen/Qwen3-8B", "ports: ['81:8000']", check("http://$HOST_IP:82/health")), Severity.WARNING),
        (("command: --model Qwen/Qwen3-8B", "ports: ['$P:8000']", check("http://$HOST_IP:82/health")), None),
        (("command: --model Qwen/Qwen3-8B", "ports: ['80-90:8000']", check("http://$HOST_IP:82/health")), None),
        (("command: --model Qwen/Qwen3-8B", "ports: ['8000']", check("http://$HOST_IP:82/health")), None),
        (("command: --model Qwen/Qwen3-8B", "ports: ['127.0.0.1:81:8000/tcp']", check("http://$IP:81/h")), None),
        (
            ("command: --model Qwen/Qwen3-8B", "ports: [{target: 8000, published: 81}]", check("http://$IP:82/h")),
            Severity.WARNING,
        ),
        (("command: --model Qwen/Qwen3-8B", check("http://$HOST_IP:82/health")), None),
        (("command: --model Qwen/Qwen3-8B", check("http://gateway:82/health")), None),
    ],
)
def test_what_a_health_check_asks(lines: tuple[str, ...], severity: Severity | None, session: Session) -> None:
    found = findings(compose(*lines), session, "K8S633")
    assert [f.severity for f in found] == ([] if severity is None else [severity])
    assert all((f.certainty is Certainty.PROVEN) == (severity is Severity.ERROR) for f in found)


def test_another_makers_image_may_listen_elsewhere(session: Session) -> None:
    lines = ("command: --model Qwen/Qwen3-8B", check("http://localhost:9000/health"))
    assert not findings(compose(*lines, image="example.com/vllm-openai:v1"), session, "K8S633")
