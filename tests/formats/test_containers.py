"""Images, probes and shared memory of a container."""

from __future__ import annotations

import pytest

from servelint.formats import containers
from servelint.source.reader import read_text
from servelint.source.text import SourceText


def node(text: str):
    root = read_text(SourceText("pod.yaml", text)).documents[0].root
    assert root is not None
    return root


@pytest.mark.parametrize(
    ("reference", "tag"),
    [
        ("vllm/vllm-openai:v0.19.1", "v0.19.1"),
        ("vllm/vllm-openai", None),
        ("registry:5000/vllm", None),
        ("registry:5000/vllm:latest", "latest"),
        ("vllm@sha256:00", ""),
        ("vllm:v1@sha256:00", ""),
    ],
)
def test_tags(reference: str, tag: str | None) -> None:
    assert containers.tag_of(reference) == tag


@pytest.mark.parametrize(
    ("reference", "placeholder"),
    [
        ("vllm/vllm-openai:v0.19.1", False),
        ("docker.io/vllm/vllm-openai:V0.19", False),
        ("REGION-docker.pkg.dev/project/vllm:v1", False),
        ("${VLLM_IMAGE}", True),
        ("<your-image>", True),
        ("{{ .Values.image }}", True),
        ("V_VLLM_IMAGE_URL", True),
        ("REPLACE_MODEL_SERVER_IMAGE", True),
        ("replaced-by-kustomize", True),
    ],
)
def test_placeholders(reference: str, placeholder: bool) -> None:
    assert containers.is_placeholder(reference) is placeholder


def test_probes_have_the_defaults_of_kubernetes() -> None:
    probe = containers.probe(node("livenessProbe: {httpGet: {path: /health, port: 8000}}"), "livenessProbe")
    assert probe is not None
    assert (probe.initial_delay, probe.period, probe.failure_threshold, probe.handler) == (0, 10, 3, "httpGet")
    assert probe.grace_seconds == 30


def test_a_zero_means_the_default_and_nonsense_means_nothing() -> None:
    zero = containers.probe(
        node("livenessProbe: {tcpSocket: {port: 1}, periodSeconds: 0, failureThreshold: '5'}"), "livenessProbe"
    )
    assert zero is not None
    assert zero.grace_seconds == 50
    assert containers.probe(node("livenessProbe: {tcpSocket: {port: 1}, periodSeconds: soon}"), "livenessProbe") is None
    assert containers.probe(node("name: x"), "livenessProbe") is None


def test_named_ports_are_looked_up() -> None:
    text = "ports: [{name: http, containerPort: 8080}]\nlivenessProbe: {httpGet: {path: /health, port: http}}"
    container = node(text)
    probe = containers.probe(container, "livenessProbe")
    assert probe is not None
    assert containers.probe_port(container, probe.node) == "8080"


@pytest.mark.parametrize(
    ("pod", "container", "shared"),
    [
        ("spec: {}", "volumeMounts: [{name: a, mountPath: /dev/shm}]", True),
        ("spec: {}", "volumeMounts: [{name: a, mountPath: /dev/shm/}]", True),
        ("spec: {}", "volumeMounts: [{name: a, mountPath: /models}]", False),
        ("spec: {hostIPC: true}", "name: x", True),
        ("spec: {hostIPC: false}", "name: x", False),
    ],
)
def test_shared_memory(pod: str, container: str, shared: bool) -> None:
    assert containers.has_shared_memory(node(pod), node(container)) is shared
