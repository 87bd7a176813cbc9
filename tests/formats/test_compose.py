"""Docker Compose files: services, what they extend, their devices and their engines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from format_reading import StrictReading
from servelint.deployment import Deployment, Pool, Role
from servelint.formats.compose import Compose
from servelint.source.edits import apply
from servelint.source.reader import read_text
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from servelint.facts import Fact

FIXTURES = Path(__file__).parents[2] / "fixtures" / "compose"


def recognise(text: str, path: str = "compose.yaml") -> list[Deployment]:
    documents = read_text(SourceText(path, text)).documents
    reading = StrictReading(documents)
    return [deployment for document in documents for deployment in Compose().recognise(document, reading)]


def fixture(name: str) -> list[Deployment]:
    return recognise((FIXTURES / name).read_text(encoding="utf-8"), name)


def service(keys: str, *, command: str = "[--model, m/m]") -> Pool:
    """The pool of one vLLM service with further flow-style ``keys``."""
    text = f"services: {{x: {{image: 'vllm/vllm-openai:v0.19.1', command: {command}, {keys}}}}}\n"
    [deployment] = recognise(text)
    [pool] = deployment.pools
    return pool


def shown(fact: Fact[Any]) -> str:
    assert fact.place is not None
    span = fact.place.span
    return fact.place.document.source.text[span.start : span.end]


def test_each_engine_of_a_file_is_a_deployment() -> None:
    chat, guard = fixture("two-models.yaml")
    assert (chat.name, guard.name, chat.format) == ("chat", "guard", "compose")
    [pool] = chat.pools
    assert pool.engine.value == "vllm"
    assert (str(pool.version.value), shown(pool.version)) == ("0.19.1", "${VLLM_IMAGE:-vllm/vllm-openai:v0.19.1}")
    assert (pool.model.value, shown(pool.model)) == ("Qwen/Qwen3-32B", "--model ${CHAT_MODEL:-Qwen/Qwen3-32B")
    assert (pool.tensor.value, shown(pool.tensor)) == (2, "--tensor-parallel-size ${CHAT_TP:-2")
    assert (pool.max_model_len.value, shown(pool.max_model_len)) == (32768, "--max-model-len 32768")
    assert (pool.gpus_per_node.value, shown(pool.gpus_per_node)) == (2, '["0", "1"]')
    assert (pool.nodes.value, pool.replicas_min.value, pool.gpu_resource) == (1, 1, "nvidia.com/gpu")
    [pool] = guard.pools
    assert (pool.model.value, pool.max_model_len.value) == ("meta-llama/Llama-Guard-3-8B", 8192)
    assert (pool.gpus_per_node.value, shown(pool.gpus_per_node)) == (1, '"2"'), "all of them, of which the engine sees one"


def test_a_script_that_starts_the_engine_in_two_ways_starts_it_once() -> None:
    [deployment] = fixture("script-entrypoint.yaml")
    [pool] = deployment.pools
    assert deployment.name == "engine", "a service that others extend and that runs nothing is no deployment"
    assert pool.model.value == "mistralai/Mistral-Small-24B-Instruct-2501"
    assert (pool.tensor.value, pool.max_num_seqs.value) == (4, 64)
    assert (pool.gpus_per_node.value, pool.gpus_per_node.reason) == (4, "")
    assert str(pool.version.value) == "0.19.1", "the image of the service it extends"
    [container] = pool.containers
    assert container.environment["NCCL_P2P_DISABLE"].value == "1"
    assert not container.environment["SPECULATE"].is_known


def test_prefill_and_decode_are_one_deployment() -> None:
    [deployment] = fixture("prefill-decode.yaml")
    assert [(p.name, p.role) for p in deployment.pools] == [("prefill", Role.PREFILL), ("decode", Role.DECODE)]
    assert [p.gpus_per_node.value for p in deployment.pools] == [1, 1]


def test_numbers_are_written_where_they_stand() -> None:
    path = FIXTURES / "script-entrypoint.yaml"
    text = path.read_text(encoding="utf-8")
    [deployment] = fixture(path.name)
    [pool] = deployment.pools
    for fact, value, before, after in (
        (pool.max_num_seqs, 32, '"64"', '"32"'),
        (pool.tensor, 2, "${TP:-4}", "${TP:-2}"),
        (pool.gpus_per_node, 2, "count: 4", "count: 2"),
    ):
        assert fact.writer is not None
        edits = fact.writer.write(value)
        assert edits is not None
        assert apply(text, edits) == text.replace(before, after, 1)


DEVICES = "deploy: {resources: {reservations: {devices: [%s]}}}"
COUNTS = {
    DEVICES % "{driver: nvidia, count: 4, capabilities: [gpu]}": ("nvidia.com/gpu", 4),
    DEVICES % "{driver: nvidia, count: '4', capabilities: [[gpu]]}": ("nvidia.com/gpu", 4),
    DEVICES % "{count: '${GPUS:-3}', capabilities: [gpu]}": ("nvidia.com/gpu", 3),
    DEVICES % "{driver: nvidia, device_ids: ['${IDS:-0,1}'], capabilities: [gpu]}": ("nvidia.com/gpu", 2),
    DEVICES % "{driver: cdi, device_ids: ['nvidia.com/gpu=0', 'nvidia.com/gpu=1']}": ("nvidia.com/gpu", 2),
    DEVICES % "{driver: cdi, device_ids: ['amd.com/gpu=0']}": ("amd.com/gpu", 1),
    DEVICES % "{driver: nvidia, device_ids: ['0'], capabilities: [gpu]}, {driver: nvidia, device_ids: ['1'], capabilities: [gpu]}": (
        "nvidia.com/gpu", 2,
    ),
    DEVICES % "{capabilities: [gpu]}" + ", environment: {CUDA_VISIBLE_DEVICES: '0,1'}": ("nvidia.com/gpu", 2),
    "gpus: [{count: 2}]": ("nvidia.com/gpu", 2),
    "gpus: all, environment: [CUDA_VISIBLE_DEVICES=3]": ("nvidia.com/gpu", 1),
    "runtime: nvidia, environment: {NVIDIA_VISIBLE_DEVICES: '0,1,2,3'}": ("nvidia.com/gpu", 4),
    "runtime: habana, environment: {HABANA_VISIBLE_DEVICES: '0'}": ("habana.ai/gaudi", 1),
    "devices: [/dev/kfd, /dev/dri/renderD128, /dev/dri/renderD129]": ("amd.com/gpu", 2),
    "devices: ['/dev/kfd:/dev/kfd', '/dev/dri:/dev/dri'], environment: {HIP_VISIBLE_DEVICES: '0,1'}": ("amd.com/gpu", 2),
    "devices: [/dev/nvidia0, /dev/nvidia1, /dev/nvidiactl]": ("nvidia.com/gpu", 2),
}  # fmt: skip


@pytest.mark.parametrize("keys", COUNTS, ids=str)
def test_devices_are_counted(keys: str) -> None:
    pool = service(keys)
    assert (pool.gpu_resource, pool.gpus_per_node.value) == COUNTS[keys]


UNCOUNTED = {
    DEVICES % "{driver: nvidia, count: all, capabilities: [gpu]}": "every device of the host",
    DEVICES % "{driver: nvidia, capabilities: [gpu]}": "every device of the host",
    DEVICES % "{driver: nvidia, device_ids: ['${IDS}'], capabilities: [gpu]}": "$IDS comes from the shell",
    DEVICES % "{driver: nvidia, count: some, capabilities: [gpu]}": "not a whole number",
    DEVICES % "{driver: other, capabilities: [tpu]}": "no accelerator",
    "gpus: all": "every device of the host",
    "runtime: nvidia": "every device of the host",
    "runtime: nvidia, environment: {NVIDIA_VISIBLE_DEVICES: '${GPUS}'}": "Compose takes it from the shell",
    "devices: [/dev/kfd, /dev/dri]": "every device of the host",
    "devices: {not: a list}": "no accelerator",
    "devices: [/dev/fuse]": "no accelerator",
    "deploy: [not, a, map]": "no accelerator",
}


@pytest.mark.parametrize("keys", UNCOUNTED, ids=str)
def test_devices_that_cannot_be_counted_are_unknown(keys: str) -> None:
    assert UNCOUNTED[keys] in service(keys).gpus_per_node.reason


REPLICAS = {"deploy: {replicas: 3}": 3, "scale: '2'": 2, "deploy: {replicas: '${N:-4}'}": 4, "restart: always": 1}


@pytest.mark.parametrize("keys", REPLICAS, ids=str)
def test_replicas(keys: str) -> None:
    pool = service(keys)
    assert (pool.replicas_min.value, pool.replicas_max.value) == (REPLICAS[keys], REPLICAS[keys])


def test_variables_without_default_are_unknown() -> None:
    pool = service("restart: always", command="'--model ${MODEL} --tensor-parallel-size $TP'")
    assert (pool.model.reason, pool.model.remedy) == (
        "$MODEL: Compose takes it from the shell or the .env file", "give it a default: ${MODEL:-VALUE}",
    )  # fmt: skip
    assert "$TP" in pool.tensor.reason


def test_the_shell_of_a_command_sees_the_environment() -> None:
    keys = "entrypoint: [bash, -c], environment: {TP: 8, MODEL: '${MODEL:-a/b}'}"
    pool = service(keys, command="['vllm serve $$MODEL --tensor-parallel-size $${TP} --port $$PORT']")
    assert (pool.model.value, pool.tensor.value) == ("a/b", 8)


def test_a_file_that_is_extended_is_not_at_hand() -> None:
    pool = service("extends: {file: common.yaml, service: base}")
    assert "completed by another file" in pool.replicas_min.reason
    assert service("extends: {service: x}").model.value == "m/m", "a service that extends itself"


OTHERS = [
    "services: {web: {image: 'nginx', command: [nginx]}}",
    "services: {ui: {image: 'ghcr.io/open-webui/open-webui:main', environment: {OPENAI_API_BASE_URL: 'http://vllm:8000'}}}",
    "services: {proxy: {image: litellm, command: --model openai/x --api_base http://vllm:8000}}",
    "services: [vllm]",
    "services: vllm",
    "apiVersion: v1\nkind: List\nservices: {x: {image: 'vllm/vllm-openai'}}",
    "image: vllm/vllm-openai:latest",
    "services: {x: null}",
    "services: {x: {image: {repository: vllm}}}",
]


@pytest.mark.parametrize("text", OTHERS, ids=str)
def test_what_runs_no_engine_is_silent(text: str) -> None:
    assert recognise(text) == []


def test_other_engines() -> None:
    text = """
services:
  tgi:
    image: ghcr.io/huggingface/text-generation-inference:3.3.0
    command: --model-id a/b --num-shard 2 --max-total-tokens 4096
    gpus: [{count: 2}]
  sglang:
    image: lmsysorg/sglang:v0.5.12
    entrypoint: python3 -m sglang.launch_server
    command: --model-path c/d --tp 4
  trtllm:
    image: nvcr.io/nvidia/tensorrt-llm/release:1.2.0
    command: bash -c "pip install x && trtllm-serve e/f --tp_size 8"
"""
    found = [(d.pools[0].engine.value, d.pools[0].model.value, d.pools[0].tensor.value) for d in recognise(text)]
    assert found == [("tgi", "a/b", 2), ("sglang", "c/d", 4), ("trtllm", "e/f", 8)]
