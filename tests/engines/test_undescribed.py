"""Engines whose options are not described: known by image or program, their model read, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from servelint.engines.undescribed import KNOWN, Undescribed
from servelint.facts import FactState

ENGINES = {known.name: Undescribed(known) for known in KNOWN}


@pytest.mark.parametrize(
    ("name", "text", "model"),
    [
        ("jetstream", "image: x/inference/jetstream-pytorch-server:v0.2.4\nargs: [--model_id=org/m, --override_batch_size=30]\n", "org/m"),
        ("jetstream", "image: x/maxengine-server:v0.2\nargs: [model_name=gemma-7b]\n", ""),
        ("ollama", "image: ollama/ollama:0.5\n", ""),
        ("ollama", "image: ubuntu\ncommand: [sh, -c, 'ollama serve & sleep 5; ollama pull qwen']\n", ""),
        ("llamacpp", "image: ghcr.io/ggml-org/llama.cpp:server-cuda\nargs: [-hf, 'org/m-GGUF:Q4_K_M', -ngl, '99']\n", "org/m-GGUF"),
        ("llamacpp", "image: x\ncommand: [/app/llama-server]\nargs: [-m, /models/a.gguf]\n", ""),
        ("lmdeploy", "image: openmmlab/lmdeploy:latest\ncommand: [lmdeploy, serve, api_server, org/m, --tp, '2']\n", "org/m"),
        ("mlc-llm", "image: x\ncommand: [mlc_llm, serve, 'HF://mlc-ai/m-MLC']\n", "mlc-ai/m-MLC"),
        ("triton", "image: nvcr.io/nvidia/tritonserver:25.01-trtllm-python-py3\n", ""),
        ("lorax", "image: ghcr.io/predibase/lorax:main\nenv: [{name: MODEL_ID, value: org/m}]\n", "org/m"),
        ("llm-d-inference-sim", "image: ghcr.io/llm-d/llm-d-inference-sim:v0.8\nargs: [--model, org/m, --data-parallel-size=2]\n", "org/m"),
        ("dynamo-mocker", "image: x\ncommand: [python3, -m, dynamo.mocker, --model-path, org/m]\n", "org/m"),
    ],
)  # fmt: skip
def test_what_runs_it_and_what_it_serves(name: str, text: str, model: str, started: Any) -> None:
    container = started(ENGINES[name], text)
    assert container.command.arguments == ()
    assert not container.command.complete
    fact = container.facts["model"]
    assert (fact.value if fact.is_known else "") == model
    if model:
        assert model in container.text_of("model") or "HF://" in container.text_of("model") or name == "lorax"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("triton", "image: nvcr.io/nvidia/tritonserver:25.01-py3\nargs: [tritonserver, --model-repository=/models]\n"),
        ("ollama", "image: ghcr.io/open-webui/open-webui:ollama\n"),
        ("ollama", "image: curlimages/curl:8\ncommand: [sh, -c, 'curl http://ollama:11434']\n"),
        ("lmdeploy", "image: openmmlab/lmdeploy:latest\ncommand: [sleep, infinity]\n"),
        ("jetstream", "image: x/jetstream-http:v0.2.3\n"),
    ],
)
def test_what_does_not(name: str, text: str, started: Any) -> None:
    assert started(ENGINES[name], text).found is None


def test_a_simulator_says_how_many_servers_it_plays(started: Any) -> None:
    container = started(ENGINES["llm-d-inference-sim"], "image: x/llm-d-inference-sim:1\nargs: [--data-parallel-size=4]\n")
    assert container.values["data"] == 4


def test_everything_else_is_unknown_for_that_reason() -> None:
    from servelint.deployment import Pool

    defaults = ENGINES["jetstream"].defaults(Pool("p", None))  # type: ignore[arg-type]
    assert {fact.state for fact in defaults.values()} == {FactState.UNKNOWN}
    assert defaults["tensor"].reason == "JetStream is an engine whose options are not described"
