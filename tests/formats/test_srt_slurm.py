"""Recipes of srt-slurm: roles, workers, nodes and the settings of their engines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from format_reading import StrictReading
from servelint.deployment import Deployment, Role
from servelint.formats.srt_slurm import SrtSlurm
from servelint.source.reader import read_text
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from servelint.facts import Fact

FIXTURES = Path(__file__).parents[2] / "fixtures" / "srt-slurm"


def recognise(text: str, path: str = "recipe.yaml") -> list[Deployment]:
    documents = read_text(SourceText(path, text)).documents
    return [d for document in documents for d in SrtSlurm().recognise(document, StrictReading(documents))]


def recipe(
    resources: str, *, model: str = "{path: 'hf:m/m', container: 'vllm/vllm-openai:v0.19.1'}", more: str = ""
) -> Deployment:
    text = (
        f"name: x\nmodel: {model}\nresources: {{gpu_type: h200, {resources}}}\n"
        f"backend: {{type: vllm, vllm_config: {{prefill: {{tensor-parallel-size: 4}}, decode: {{tensor-parallel-size: 8}}, "
        f"aggregated: {{tensor-parallel-size: 8}}}}}}\n{more}"
    )
    [deployment] = recognise(text)
    return deployment


def shown(fact: Fact[Any]) -> str:
    assert fact.place is not None
    span = fact.place.span
    return fact.place.document.source.text[span.start : span.end]


def test_prefill_and_decode_are_pools() -> None:
    name = "disaggregated.yaml"
    [deployment] = recognise((FIXTURES / name).read_text(encoding="utf-8"), name)
    prefill, decode = deployment.pools
    assert (deployment.name, prefill.role, decode.role) == ("gpt-oss-120b-1p1d", Role.PREFILL, Role.DECODE)
    assert (prefill.tensor.value, prefill.gpus_per_node.value, prefill.nodes.value, prefill.replicas_min.value) == (4, 4, 1, 2)
    assert (decode.tensor.value, decode.data.value, decode.expert.value) == (8, 2, 16)
    assert (decode.gpus_per_node.value, decode.nodes.value, decode.replicas_min.value) == (8, 2, 1)
    assert (prefill.model.value, shown(prefill.model)) == ("openai/gpt-oss-120b", '"hf:openai/gpt-oss-120b"')
    assert str(prefill.version.value) == "0.19.1"
    assert {a.name for a in decode.accelerator.values} == {"H200-SXM-141GB", "H200-NVL-141GB"}
    assert (decode.input_tokens_max.value, decode.output_tokens_mean.value) == (8192, 1024)
    assert (decode.kv_cache_dtype.value, shown(decode.kv_cache_dtype)) == ("fp8", "fp8")
    assert not decode.concurrency.is_known, "what a benchmark tries is no need"


SIZES = {
    # resources: (role, GPUs on a host, hosts of a worker, workers)
    "gpus_per_node: 8, prefill_nodes: 1, prefill_workers: 1, gpus_per_prefill: 4": (Role.PREFILL, 8, 1, 1),
    "gpus_per_node: 8, prefill_nodes: 1, prefill_workers: 2": (Role.PREFILL, 4, 1, 2),
    "gpus_per_node: 4, decode_nodes: 12, decode_workers: 1": (Role.DECODE, 4, 12, 1),
    "gpus_per_node: 4, decode_nodes: 6, decode_workers: 6": (Role.DECODE, 4, 1, 6),
    "gpus_per_node: 8, decode_nodes: 0, decode_workers: 2, gpus_per_decode: 2": (Role.DECODE, 2, 1, 2),
    "agg_nodes: 4, agg_workers: 2": (Role.SERVE, 4, 2, 2),
    "gpus_per_node: 8, agg_workers: 1": (Role.SERVE, 8, 1, 1),
}


@pytest.mark.parametrize("resources", SIZES, ids=str)
def test_hosts_and_gpus_of_a_worker(resources: str) -> None:
    [pool] = recipe(resources).pools
    assert (pool.role, pool.gpus_per_node.value, pool.nodes.value, pool.replicas_min.value) == SIZES[resources]


def test_numbers_that_are_none_are_unknown() -> None:
    [pool] = recipe("gpus_per_node: eight, agg_nodes: 1, agg_workers: 1").pools
    assert "'eight'" in pool.gpus_per_node.reason
    assert not pool.nodes.is_known


AGGREGATED = "gpus_per_node: 8, agg_nodes: 1, agg_workers: 1"
MODELS = {
    "{path: 'hf:org/name', container: x}": "org/name",
    "{path: alias, container: x}": "alias",
    "{path: /models/x, container: x}": None,
    "{path: $MODEL, container: x}": None,
}


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_models(model: str) -> None:
    [pool] = recipe(AGGREGATED, model=model).pools
    assert pool.model.get(None) == MODELS[model]
    assert "an alias" in pool.version.reason


def test_the_identity_says_what_an_alias_stands_for() -> None:
    identity = "identity: {model: {repo: org/name}, container: {image: 'vllm/vllm-openai:v0.12.0'}}\n"
    [pool] = recipe(AGGREGATED, model="{path: alias, container: alias}", more=identity).pools
    assert (pool.model.value, str(pool.version.value)) == ("org/name", "0.12.0")


def test_a_name_for_clients_says_nothing_of_the_weights() -> None:
    text = (
        "model: {path: r1-fp4, container: x}\nresources: {gpu_type: b200, agg_nodes: 1, agg_workers: 1}\n"
        "backend: {type: vllm, vllm_config: {aggregated: {served-model-name: deepseek-ai/DeepSeek-R1, tensor-parallel-size: 4}}}\n"
    )
    [deployment] = recognise(text, "agg/r1.yaml")
    [pool] = deployment.pools
    assert (deployment.name, pool.model.value) == ("r1", "deepseek-ai/DeepSeek-R1")
    assert "r1-fp4, an alias" in pool.architecture.reason


def test_options_of_dynamo_and_of_the_launcher_are_not_the_engines() -> None:
    text = (
        "model: {path: x, container: x}\nresources: {gpu_type: b200, agg_nodes: 1, agg_workers: 1}\n"
        "backend: {type: vllm, vllm_config: {aggregated: {tensor-parallel-size: 4, dyn-tool-call-parser: a, headless: true, "
        "connector: nixl, no-such-option: 1}}}\n"
    )
    [deployment] = recognise(text)
    command = deployment.pools[0].containers[0].command
    assert command is not None
    assert [a.name for a in command.arguments] == ["--tensor-parallel-size", "--no-such-option"]


OTHERS = [
    "model: x\nresources: {gpus_per_node: 8, cpu: 4}\nbackend: {vllm_config: {prefill: {}}}\n",
    "resources: {gpu_type: a, gpus_per_node: 8}\nbackend: {vllm_config: {prefill: {}}}\n",
    "model: x\nresources: {gpu_type: a, gpus_per_node: 8}\nbackend: {image: vllm}\n",
    "model: x\nresources: {gpu_type: a, gpus_per_node: 8}\nbackend: {type: mocker, vllm_config: {}}\n",
    "apiVersion: v1\nmodel: x\nresources: {gpu_type: a, gpus_per_node: 8}\nbackend: {vllm_config: {prefill: {}}}\n",
]


@pytest.mark.parametrize("text", OTHERS, ids=str)
def test_other_files_are_silent(text: str) -> None:
    assert recognise(text) == []


def test_aggregated_workers_of_sglang() -> None:
    name = "aggregated.yaml"
    [deployment] = recognise((FIXTURES / name).read_text(encoding="utf-8"), name)
    [pool] = deployment.pools
    assert (pool.role, pool.engine.value, str(pool.version.value)) == (Role.SERVE, "sglang", "0.5.12")
    assert (pool.tensor.value, pool.attention_data.value, pool.expert.value) == (8, 8, 8)
    assert (pool.nodes.value, pool.gpus_per_node.value, pool.replicas_min.value) == (2, 4, 2)
    assert pool.accelerator.value.name == "GB200"


def test_settings_of_tensorrt_llm() -> None:
    text = (
        "model: {path: 'hf:m/m', container: x}\nresources: {gpu_type: gb300, gpus_per_node: 4, agg_nodes: 2, agg_workers: 1}\n"
        "backend: {type: trtllm, trtllm_config: {aggregated: {tensor_parallel_size: 8, moe_expert_parallel_size: 8, "
        "max_batch_size: 64, enable_attention_dp: false, cuda_graph_config: null, kv_cache_config: {dtype: fp8}}}}\n"
    )
    [deployment] = recognise(text)
    [pool] = deployment.pools
    assert (pool.engine.value, pool.tensor.value, pool.expert.value, pool.max_num_seqs.value) == ("trtllm", 8, 8, 64)
    assert (pool.nodes.value, pool.gpus_per_node.value, pool.kv_cache_dtype.value) == (2, 4, "fp8")
