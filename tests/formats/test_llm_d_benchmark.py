"""Scenarios of llm-d-benchmark: stacks, their sections, and the variables of their command lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from format_reading import StrictReading
from servelint.deployment import Deployment, Role
from servelint.formats.llm_d_benchmark import LlmDBenchmark
from servelint.source.reader import read_text
from servelint.source.text import SourceText

FIXTURES = Path(__file__).parents[2] / "fixtures" / "llm-d-benchmark"


def recognise(text: str, path: str = "scenario.yaml") -> list[Deployment]:
    documents = read_text(SourceText(path, text)).documents
    return [d for document in documents for d in LlmDBenchmark().recognise(document, StrictReading(documents))]


def fixture(name: str) -> list[Deployment]:
    return recognise((FIXTURES / name).read_text(encoding="utf-8"), name)


def stack(text: str) -> list[Deployment]:
    return recognise(f"scenario: [{{name: x, {text}}}]\n")


def test_prefill_and_decode() -> None:
    [deployment] = fixture("prefill-decode.yaml")
    decode, prefill = deployment.pools
    assert (deployment.name, decode.role, prefill.role) == ("qwen-pd", Role.DECODE, Role.PREFILL)
    assert (decode.tensor.value, prefill.tensor.value) == (4, 1)
    assert (decode.replicas_min.value, prefill.replicas_min.value) == (2, 3)
    assert (decode.gpus_per_node.value, decode.nodes.value) == (4, 1), "as the chart asks for"
    assert (decode.model.value, decode.max_model_len.value) == ("Qwen/Qwen3-32B", 16384)
    assert prefill.gpu_memory_utilization.value == 0.92
    assert "defaults of llm-d-benchmark" in prefill.block_size.reason
    assert str(decode.version.value) == "0.19.1"
    assert decode.accelerator.value.name == "H100-SXM5-80GB"
    assert decode.tensor.writer is not None


def test_every_stack_is_a_deployment() -> None:
    group, alone = fixture("standalone.yaml")
    [pool] = group.pools
    assert (pool.tensor.value, pool.pipeline.value, pool.nodes.value, pool.gpus_per_node.value) == (8, 2, 2, 8)
    assert "defaults" in pool.version.reason
    [pool] = alone.pools
    assert (alone.name, pool.name, pool.replicas_min.value) == ("alone", "standalone", 2)
    assert (pool.model.value, pool.max_num_seqs.value, pool.gpus_per_node.value) == ("facebook/opt-125m", 16, 2)


DECODE = "model: {name: m/m, maxModelLen: 4096}, decode: {replicas: 2, parallelism: {tensor: 2, dataLocal: 1, workers: 3}%s}"


def test_what_the_templates_write_is_not_guessed() -> None:
    [deployment] = stack(DECODE % "")
    [pool] = deployment.pools
    assert (pool.role, pool.tensor.value, pool.max_model_len.value, pool.nodes.value) == (Role.SERVE, 2, 4096, 1)
    assert pool.containers[0].command is None
    for fact in (pool.kv_cache_dtype, pool.max_num_seqs, pool.pipeline, pool.data):
        assert not fact.is_known
        assert "llm-d-benchmark" in fact.reason


SILENT = [
    "kustomize: {enabled: true}, " + DECODE % "",
    "images: {vllm: {repository: ghcr.io/llm-d/llm-d-inference-sim, tag: v1}}, " + DECODE % "",
    "model: {name: m/m}, decode: {replicas: 0}",
    "model: {name: m/m}, decode: {enabled: false}, prefill: {replicas: 0}",
]


@pytest.mark.parametrize("text", SILENT, ids=str)
def test_stacks_that_serve_nothing_here(text: str) -> None:
    assert stack(text) == []


GPUS = {
    "accelerator: {count: 8}, ": (8, ""),
    "accelerator: {resource: habana.ai/gaudi}, ": (2, ""),
    "accelerator: {resource: ibm.com/spyre_pf, type: spyre}, ": (None, "not one whose units"),
    "accelerator: {resource: auto}, ": (None, "chosen for the cluster"),
    "dra: {enabled: true}, ": (None, "dynamic resource allocation"),
}


@pytest.mark.parametrize("keys", GPUS, ids=str)
def test_gpus_of_a_pod(keys: str) -> None:
    [deployment] = stack(keys + DECODE % "")
    [pool] = deployment.pools
    number, reason = GPUS[keys]
    assert pool.gpus_per_node.get(None) == number
    assert reason in pool.gpus_per_node.reason


def test_autoscaled_replicas() -> None:
    [deployment] = stack(DECODE % ", autoscaling: {enabled: true, minReplicas: 1, maxReplicas: 5}")
    [pool] = deployment.pools
    assert (pool.replicas_min.value, pool.replicas_max.value) == (1, 5)


def test_shared_parts_are_those_of_every_stack() -> None:
    text = "shared: {images: {vllm: {repository: vllm/vllm-openai, tag: v0.12.0}}}\nscenario: [{name: x, %s}]\n" % (DECODE % "")
    [deployment] = recognise(text)
    assert str(deployment.pools[0].version.value) == "0.12.0"


OTHERS = ["scenario: vllm", "scenario: [1, 2]", "scenario: [{name: x, steps: [vllm]}]", "scenario: {name: x}", "[]"]


@pytest.mark.parametrize("text", OTHERS, ids=str)
def test_other_files_are_silent(text: str) -> None:
    assert recognise(text) == []
