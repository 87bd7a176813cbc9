"""dstack services and tasks: commands, GPU specifications, replicas and groups of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from format_reading import StrictReading
from servelint.formats.dstack import Dstack
from servelint.source.reader import read_text
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from servelint.deployment import Deployment, Pool

FIXTURES = Path(__file__).parents[2] / "fixtures" / "dstack"


def recognise(text: str, path: str = "x.dstack.yml") -> list[Deployment]:
    documents = read_text(SourceText(path, text)).documents
    return [d for document in documents for d in Dstack().recognise(document, StrictReading(documents))]


def fixture(name: str) -> Pool:
    [deployment] = recognise((FIXTURES / name).read_text(encoding="utf-8"), name)
    [pool] = deployment.pools
    return pool


def service(keys: str) -> Pool:
    text = f"type: service\nimage: vllm/vllm-openai:v0.19.1\ncommands: [vllm serve m/m -tp $DSTACK_GPUS_NUM]\n{keys}\n"
    [deployment] = recognise(text)
    [pool] = deployment.pools
    return pool


def test_a_service_runs_its_commands_one_behind_the_other() -> None:
    pool = fixture("service.dstack.yml")
    assert (pool.name, pool.model.value) == ("reasoning", "deepseek-ai/DeepSeek-R1-Distill-Llama-70B")
    assert (pool.tensor.value, pool.max_model_len.value) == (4, 16384), "one command sets what the next one uses"
    assert (pool.gpus_per_node.value, pool.nodes.value) == (4, 1)
    assert (pool.replicas_min.value, pool.replicas_max.value) == (1, 4)
    assert str(pool.version.value) == "0.19.1"
    assert {a.name for a in pool.accelerator.values} == {"H100-SXM5-80GB", "H100-PCIE-80GB"}


def test_a_task_counts_the_gpus_of_all_its_nodes() -> None:
    pool = fixture("task.dstack.yml")
    assert (pool.tensor.value, pool.nodes.value, pool.gpus_per_node.value) == (16, 2, 8)
    assert pool.gpus_per_node.writer is not None
    assert {"A100-SXM4-80GB", "H100-SXM5-80GB"} <= {a.name for a in pool.accelerator.values}


GPUS = {"H100:2": 2, "nvidia:A100:80GB:4": 4, "24GB..:2": 2, "'4'": 4, "{name: H100, count: 8}": 8, "{count: 2..2, memory: 24GB}": 2,
        "MI300X:8": 8, "H100,H200:8": 8}  # fmt: skip


@pytest.mark.parametrize("spec", GPUS, ids=str)
def test_gpu_specifications(spec: str) -> None:
    pool = service(f"resources: {{gpu: {spec}}}" if spec[0] in "{'" else f"resources:\n  gpu: {spec}")
    assert (pool.gpus_per_node.value, pool.tensor.value) == (GPUS[spec], GPUS[spec])
    assert pool.gpu_resource == ("amd.com/gpu" if spec.startswith("MI") else "nvidia.com/gpu")


OPEN = {"H100": "one GPU or more", "H100:2..8": "allows 2..8 GPUs", "80GB": "one GPU or more"}


@pytest.mark.parametrize("spec", OPEN, ids=str)
def test_an_open_number_is_unknown(spec: str) -> None:
    pool = service(f"resources:\n  gpu: {spec}")
    assert OPEN[spec] in pool.gpus_per_node.reason
    assert not pool.tensor.is_known


REPLICAS = {"replicas: 3": (3, 3), "replicas: 0..4": (0, 4), "port: 8000": (1, 1)}


@pytest.mark.parametrize("keys", REPLICAS, ids=str)
def test_replicas(keys: str) -> None:
    pool = service(keys)
    assert (pool.replicas_min.value, pool.replicas_max.value) == REPLICAS[keys]


def test_groups_of_replicas_are_pools() -> None:
    text = """
type: service
image: vllm/vllm-openai:v0.19.1
env: {MODEL: m/m}
replicas:
  - name: prefill
    count: 2
    commands: ['vllm serve $MODEL -tp $DSTACK_GPUS_NUM']
    resources: {gpu: "H100:4"}
  - count: 1..3
    commands: ['vllm serve $MODEL -tp 2']
    resources: {gpu: "H200:2"}
  - name: router
    count: 1
    commands: [python -m router]
"""
    [deployment] = recognise(text, "pd.dstack.yml")
    assert [(p.name, p.tensor.value, p.gpus_per_node.value) for p in deployment.pools] == [("prefill", 4, 4), ("pd-1", 2, 2)]
    assert [(p.replicas_min.value, p.replicas_max.value) for p in deployment.pools] == [(2, 2), (1, 3)]


OTHERS = [
    "type: service\ncommands: [python app.py]\nimage: python:3.12\n",
    "type: dev-environment\nide: vscode\nimage: vllm/vllm-openai\n",
    "type: service\nspec: {image: vllm/vllm-openai}\ncommands: [vllm serve m/m]\n",
    "type: [service]\ncommands: [vllm serve m/m]\n",
    "kind: x\ntype: task\ncommands: [vllm serve m/m]\n",
]


@pytest.mark.parametrize("text", OTHERS, ids=str)
def test_other_files_are_silent(text: str) -> None:
    assert recognise(text) == []
