"""kthena: ModelServing and ModelBooster."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from format_reading import Reading, format_named, rewritten, written
from servelint.deployment import Role
from servelint.facts import FactState
from servelint.source.reader import read_text
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from servelint.deployment import Deployment, Pool

FIXTURES = Path(__file__).parents[2] / "fixtures" / "kthena"


def recognise(text: str, reading: Reading | None = None) -> list[Deployment]:
    documents = read_text(SourceText("x.yaml", text)).documents
    around = reading or Reading(documents)
    around.documents = documents
    return [deployment for document in documents for deployment in format_named("kthena").recognise(document, around)]


def fixture(name: str) -> dict[str, Pool]:
    found = recognise((FIXTURES / name).read_text(encoding="utf-8"))
    return {pool.name: pool for deployment in found for pool in deployment.pools}


BOOSTER = """
apiVersion: workload.serving.volcano.sh/v1alpha1
kind: ModelBooster
metadata: {name: x}
spec:
  backend:
    name: b
    type: %s
    modelURI: %s
    replicas: 1
    workers:
    - {type: server, image: '%s', replicas: 1, pods: %s, config: %s, resources: {limits: {nvidia.com/gpu: 2}}}
"""


def booster(
    config: str, *, kind: str = "vLLM", uri: str = "hf://org/model", image: str = "vllm/vllm-openai:v0.19.1", pods: int = 1
) -> Pool:
    [deployment] = recognise(BOOSTER % (kind, uri, image, pods, config))
    [pool] = deployment.pools
    return pool


def test_an_entry_pod_and_its_workers_are_one_replica() -> None:
    pool = fixture("model-serving.yaml")["server"]
    assert (pool.tensor.value, pool.pipeline.value, pool.gpus_per_node.value, pool.nodes.value) == (8, 2, 8, 2)
    assert pool.replicas_min.value == 4, "two roles in each of two groups"
    assert pool.model.value == "meta-llama/Llama-3.1-405B-Instruct"
    assert pool.accelerator.value.name == "H200-SXM-141GB"
    assert written(pool.pipeline) == "--pipeline-parallel-size 2"
    assert rewritten(pool.gpus_per_node, 4).count('nvidia.com/gpu: "4"') == 2, "leader and workers together"


def test_a_script_of_a_configmap_is_what_the_container_runs() -> None:
    pool = fixture("mounted-script.yaml")["server"]
    assert (pool.model.value, pool.tensor.value, pool.max_model_len.value) == ("Qwen/Qwen3-30B-A3B", 4, 40960)
    assert written(pool.max_model_len) == "--max-model-len 40960"
    assert "--max-model-len 8192\n" in rewritten(pool.max_model_len, 8192)
    assert pool.gpus_per_node.value == 4


def test_workers_of_a_booster_are_pools_by_their_type() -> None:
    pools = fixture("model-booster.yaml")
    assert {name: pool.role for name, pool in pools.items()} == {"prefill": Role.PREFILL, "decode": Role.DECODE}
    prefill, decode = pools["prefill"], pools["decode"]
    assert (prefill.tensor.value, prefill.max_model_len.value, prefill.gpu_memory_utilization.value) == (2, 32768, 0.9)
    assert (prefill.replicas_min.value, decode.replicas_min.value) == (6, 2)
    assert (prefill.gpus_per_node.value, decode.gpus_per_node.value) == (2, 4)
    assert prefill.model.value == "Qwen/Qwen3-14B"
    assert prefill.accelerator.value.name == "L40S", "the affinity stands beside the image"
    assert str(decode.version.value) == "0.19.1"


def test_an_entry_of_config_can_be_set_where_it_stands() -> None:
    prefill = fixture("model-booster.yaml")["prefill"]
    assert (written(prefill.tensor), written(prefill.max_model_len)) == ("2", "32768")
    assert "gpu_memory_utilization: 0.85" in rewritten(prefill.gpu_memory_utilization, 0.85)


def test_an_empty_value_is_a_switch() -> None:
    assert booster("{enforce-eager: ''}").enforce_eager.value is True
    assert booster("{enable-expert-parallel: '', tensor-parallel-size: 2}").expert.value == 2


def test_the_controller_turns_only_underscores_into_dashes() -> None:
    pool = booster("{maxModelLen: 4096}")
    command = pool.containers[0].command
    assert command is not None
    assert [a.written for a in command.arguments if a.flag is None] == ["--maxModelLen"]
    assert pool.max_model_len.state is FactState.UNKNOWN


@pytest.mark.parametrize(("pods", "nodes"), [(0, 1), (1, 1), (3, 3)])
def test_pods_of_a_replica(pods: int, nodes: int) -> None:
    assert booster("{}", pods=pods).nodes.value == nodes


@pytest.mark.parametrize(
    ("uri", "model"), [("hf://org/model", "org/model"), ("s3://bucket/org/model", None), ("pvc:///claim/path", None)]
)
def test_the_model_is_that_of_its_address(uri: str, model: str | None) -> None:
    assert booster("{}", uri=uri).model.get(None) == model


def test_other_engines_and_shapes_are_left_alone() -> None:
    assert recognise(BOOSTER % ("MindIE", "hf://org/model", "i:1", 1, "{}")) == []
    assert recognise("apiVersion: workload.serving.volcano.sh/v1alpha1\nkind: ModelBooster\nspec: {backend: 3}\n") == []
    assert recognise("apiVersion: workload.serving.volcano.sh/v1alpha1\nkind: ModelServing\nspec: {template: {roles: x}}\n") == []


def test_the_first_release_scaled_its_backends() -> None:
    text = BOOSTER.replace("  backend:\n    name", "  backends:\n  - name").replace(
        "    replicas: 1\n    workers", "    minReplicas: 1\n    maxReplicas: 4\n    workers"
    )
    [deployment] = recognise(text % ("vLLM", "hf://org/model", "vllm/vllm-openai:v0.19.1", 1, "{}"))
    [pool] = deployment.pools
    assert (pool.replicas_min.value, pool.replicas_max.value) == (1, 4)


@pytest.mark.parametrize(
    ("uri", "model"),
    [
        ("s3://bucket/Qwen/Qwen2.5-7B-Instruct", "Qwen/Qwen2.5-7B-Instruct"),
        ("s3://bucket/models/Qwen/Qwen2.5-7B-Instruct/", "Qwen/Qwen2.5-7B-Instruct"),
        ("s3://bucket/qwen/qwen2.5-7b-instruct", None),  # nobody mirrors a repository in lower case
        ("s3://Qwen/Qwen2.5-7B-Instruct", None),  # the first name is a bucket
        ("s3://bucket/Qwen/Qwen2.5-7B-Instruct/v2", None),
        ("s3://bucket/$ORG/Qwen2.5-7B-Instruct", None),
    ],
)
def test_an_address_may_spell_a_model_of_the_catalogue(uri: str, model: str | None) -> None:
    found = booster("{}", uri=uri).model
    assert found.get(None) == model
    assert not found.is_stated


SERVING = """
apiVersion: workload.serving.volcano.sh/v1alpha1
kind: ModelServing
metadata: {name: x}
spec:
  template:
    roles:
    - name: serve
      workerReplicas: 0
      entryTemplate:
        spec:
          initContainers: [{name: d, image: 'downloader:1', args: [--source, '%s', --output-dir, %s]}]
          containers: [{name: vllm, image: 'vllm/vllm-openai:v0.19.1', args: [%s]}]
"""


@pytest.mark.parametrize(
    ("source", "target", "served", "model"),
    [
        ("s3://b/Qwen/Qwen2.5-7B-Instruct", "/cache/1f", "--model, /cache/1f", "Qwen/Qwen2.5-7B-Instruct"),
        ("Qwen/Qwen2.5-7B-Instruct", "/cache/1f/", "--model=/cache/1f", "Qwen/Qwen2.5-7B-Instruct"),
        ("hf://org/model", "/cache/1f", "--model=/cache/1f/", "org/model"),
        ("hf://org/model", "/cache/2e", "--model=/cache/1f", None),
        ("s3://b/finetuned/v2", "/cache/1f", "--model=/cache/1f", None),
        ("hf://org/model", "/cache/1f", "--model=org/other", "org/other"),
    ],
)
def test_the_downloader_says_which_model_is_served(source: str, target: str, served: str, model: str | None) -> None:
    [deployment] = recognise(SERVING % (source, target, served))
    assert deployment.pools[0].model.get(None) == model


def test_a_role_that_runs_a_script_of_its_own_is_known_by_its_image() -> None:
    pools = fixture("own-scripts.yaml")
    assert list(pools) == ["prefill"], "a proxy asks for no accelerator"
    pool = pools["prefill"]
    assert (pool.engine.value, pool.nodes.value, pool.replicas_min.value) == ("vllm", 2, 2)
    assert written(pool.engine) == "quay.io/ascend/vllm-ascend:v0.11.0"
    assert not pool.tensor.is_known
    assert "program of its own" in pool.tensor.reason
