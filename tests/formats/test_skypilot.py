"""SkyPilot tasks and services: their script, accelerators, nodes and replicas."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from format_reading import StrictReading
from servelint.facts import FactState
from servelint.formats.skypilot import SkyPilot
from servelint.source.edits import apply
from servelint.source.reader import read_text
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from servelint.deployment import Deployment, Pool

FIXTURES = Path(__file__).parents[2] / "fixtures" / "skypilot"
RUN = "run: vllm serve m/m --tensor-parallel-size $SKYPILOT_NUM_GPUS_PER_NODE\n"


def recognise(text: str, path: str = "task.yaml") -> list[Deployment]:
    documents = read_text(SourceText(path, text)).documents
    return [d for document in documents for d in SkyPilot().recognise(document, StrictReading(documents))]


def fixture(name: str) -> Pool:
    [deployment] = recognise((FIXTURES / name).read_text(encoding="utf-8"), name)
    [pool] = deployment.pools
    return pool


def task(keys: str) -> Pool:
    [deployment] = recognise(keys + "\n" + RUN)
    [pool] = deployment.pools
    return pool


def test_a_service_with_alternatives_of_one_size() -> None:
    pool = fixture("service.yaml")
    assert (pool.name, pool.engine.value, pool.model.value) == ("support-chat", "vllm", "Qwen/Qwen3-235B-A22B")
    assert (pool.tensor.value, pool.max_model_len.value) == (8, 32768)
    assert (pool.gpus_per_node.value, pool.nodes.value) == (8, 1)
    assert (pool.replicas_min.value, pool.replicas_max.value) == (2, 6)
    assert str(pool.version.value) == "0.19.1"
    assert pool.version.origin is not None
    assert pool.version.origin.text == "pip install vllm==0.19.1"
    assert pool.accelerator.state is FactState.ALTERNATIVES
    assert {"H100-SXM5-80GB", "H200-SXM-141GB"} <= {a.name for a in pool.accelerator.values}


def test_a_task_on_two_nodes_is_one_replica() -> None:
    pool = fixture("two-nodes.yaml")
    assert (pool.tensor.value, pool.pipeline.value, pool.nodes.value, pool.gpus_per_node.value) == (8, 2, 2, 8)
    assert (pool.replicas_min.value, pool.replicas_max.value) == (1, 1)
    assert str(pool.version.value) == "0.19.1"
    assert [a.name for a in pool.accelerator.values] == ["A100-SXM4-80GB", "A100-PCIE-80GB"]
    text = (FIXTURES / "two-nodes.yaml").read_text(encoding="utf-8")
    assert pool.nodes.writer is not None
    edits = pool.nodes.writer.write(1)
    assert edits is not None
    assert apply(text, edits) == text.replace("num_nodes: 2", "num_nodes: 1")


ACCELERATORS = {
    "resources: {accelerators: 'H100:8'}": (8,),
    "resources: {accelerators: L4}": (1,),
    "resources: {accelerators: {H100: 4}}": (4,),
    "resources: {accelerators: {H100:8, H200:8}}": (8,),
    "resources: {accelerators: ['H100:8', 'A100-80GB:4']}": (8, 4),
    "resources:\n  accelerators:\n    - L4:1\n    - A10g:1": (1,),
    "resources: {any_of: [{accelerators: 'H100:8'}, {accelerators: 'H200:8', infra: aws}]}": (8,),
    "resources: {accelerators: 'H100:8', ordered: [{infra: aws}, {infra: gcp}]}": (8,),
    "resources: {instance_type: p4d.24xlarge}": (8,),
}


@pytest.mark.parametrize("keys", ACCELERATORS, ids=str)
def test_accelerators_in_all_their_forms(keys: str) -> None:
    pool = task(keys)
    counts = ACCELERATORS[keys]
    assert pool.gpus_per_node.values == counts
    if len(counts) == 1:
        assert pool.tensor.value == counts[0]
    else:
        assert "different numbers of GPUs: 4, 8" in pool.tensor.reason
    assert pool.accelerator.values
    assert pool.gpu_resource == "nvidia.com/gpu"


UNCLEAR = {
    "resources: {accelerators: 'H100:0.5'}": "share of a GPU",
    "resources: {accelerators: 'H100:many'}": "no number",
    "resources: {accelerators: 'tpu-v6e-8'}": "TPU",
    "resources: {accelerators: '${ACC}'}": "filled in",
    "resources: {cpus: 8+}": "no accelerator",
    "resources: 8": "no accelerator",
}


@pytest.mark.parametrize("keys", UNCLEAR, ids=str)
def test_numbers_that_are_not_stated_are_unknown(keys: str) -> None:
    pool = task(keys)
    assert UNCLEAR[keys] in pool.gpus_per_node.reason
    assert not pool.tensor.is_known


def test_a_short_name_means_the_size_that_skypilot_means() -> None:
    assert {a.name for a in task("resources: {accelerators: 'A100:8'}").accelerator.values} == {
        "A100-SXM4-40GB", "A100-PCIE-40GB",
    }  # fmt: skip
    assert "B777 is not in the catalogue" in task("resources: {accelerators: 'B777:8'}").accelerator.reason
    several = task("resources: {accelerators: {B777:8, H100:8, H200:8}}").accelerator
    assert several.state is FactState.ALTERNATIVES, "a new name does not keep the known ones from being judged"


REPLICAS = {
    "service: {replicas: 2}": (2, 2),
    "service: {replica_policy: {min_replicas: 1, max_replicas: 3}}": (1, 3),
    "service: {replica_policy: {min_replicas: 2}}": (2, 2),
    "service: {readiness_probe: /}": (1, 1),
    "envs: {A: b}": (1, 1),
}


@pytest.mark.parametrize("keys", REPLICAS, ids=str)
def test_replicas(keys: str) -> None:
    pool = task(keys)
    assert (pool.replicas_min.value, pool.replicas_max.value) == REPLICAS[keys]


VERSIONS = {
    "pip install vllm==0.6.2": "0.6.2",
    "uv pip install 'vllm[audio]==0.10.1.1' --torch-backend=auto": "0.10.1",
    "pip install vllm==0.5.3post1\\npip install vllm-flash-attn==2.5.9": "0.5.3",
    "python -m pip install -U vllm==0.19.1": "0.19.1",
}


@pytest.mark.parametrize("script", VERSIONS, ids=str)
def test_the_setup_script_says_the_version(script: str) -> None:
    assert str(task(f'setup: "{script}"').version.value) == VERSIONS[script]


NO_VERSIONS = {
    "uv pip install vllm": "no single release",
    "uv pip install 'vllm>=0.8.3'": "no single release",
    "pip install git+https://github.com/vllm-project/vllm.git@e24336b": "from source",
    "pip install vllm==$VERSION": "no single release",
    "conda create -n vllm python=3.10": "the task runs in no container image",
}


@pytest.mark.parametrize("script", NO_VERSIONS, ids=str)
def test_a_version_that_is_not_pinned_is_unknown(script: str) -> None:
    assert NO_VERSIONS[script] in task(f'setup: "{script}"').version.reason


def test_secrets_and_open_variables_are_unknown() -> None:
    text = (
        "envs: {MODEL: null}\nsecrets: {LEN: null}\nresources: {accelerators: L4}\nrun: vllm serve $MODEL --max-model-len $LEN\n"
    )
    [deployment] = recognise(text, "a/serve.sky.yaml")
    [pool] = deployment.pools
    assert deployment.name == "serve"
    assert "when the task is launched" in pool.model.reason
    assert "when the task is launched" in pool.max_model_len.reason


OTHERS = [
    "resources: {accelerators: L4}\nrun: python train.py --backend vllm\n",
    "run: vllm serve m/m\n",
    "jobs: {x: {}}\nresources: {}\nrun: vllm serve m/m\n",
    "apiVersion: v1\nkind: X\nresources: {}\nrun: vllm serve m/m\n",
    "resources: {}\nrun: [vllm, serve]\n",
    "- run: vllm serve m/m\n  resources: {}\n",
]


@pytest.mark.parametrize("text", OTHERS, ids=str)
def test_other_files_are_silent(text: str) -> None:
    assert recognise(text) == []


def test_a_container_that_the_script_starts() -> None:
    run = "run: |\n  docker run -d --gpus all --shm-size 1g -p 8080:8000 -v ~/x:/x vllm/vllm-openai:v0.19.1 \\\n    --model m/m -tp 2\n"
    [deployment] = recognise("resources: {accelerators: 'L4:2'}\n" + run)
    [pool] = deployment.pools
    assert (pool.model.value, pool.tensor.value, str(pool.version.value)) == ("m/m", 2, "0.19.1")
    other = "run: sudo docker run --rm -it --ipc=host --entrypoint bash vllm/vllm-openai:v0.19.1 -c 'vllm --version'\n"
    assert recognise("resources: {accelerators: 'L4:2'}\n" + other) == []
