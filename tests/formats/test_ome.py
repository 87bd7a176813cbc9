"""OME: engines and decoders of serving runtimes, and the services that refer to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from format_reading import VllmReading, format_named
from servelint.deployment import Deployment, Role
from servelint.facts import Fact, FactState
from servelint.source.edits import apply
from servelint.source.reader import read_text
from servelint.source.text import SourceText

FIXTURES = Path(__file__).parents[2] / "fixtures" / "ome"


def recognise(text: str) -> dict[str, Deployment]:
    documents = read_text(SourceText("ome.yaml", text)).documents
    reading = VllmReading(documents)
    return {found.name: found for document in documents for found in format_named("ome").recognise(document, reading)}


def fixture(name: str) -> dict[str, Deployment]:
    return recognise((FIXTURES / name).read_text(encoding="utf-8"))


def place(fact: Fact[Any]) -> str:
    assert fact.place is not None
    return fact.place.document.source.text[fact.place.span.start : fact.place.span.end]


def test_a_runtime_states_all_but_the_model_and_the_replicas() -> None:
    found = fixture("runtime-model-service.yaml")
    [pool] = found["vllm-qwen3-32b"].pools
    assert (pool.name, pool.role, pool.engine.value) == ("engine", Role.SERVE, "vllm")
    assert (pool.tensor.value, pool.gpus_per_node.value, pool.nodes.value) == (2, 2, 1)
    assert place(pool.tensor) == "--tensor-parallel-size=2"
    assert {a.name for a in pool.accelerator.values} == {"H100-SXM5-80GB", "H200-SXM-141GB"}
    for fact in (pool.model, pool.replicas_min):
        assert fact.state is FactState.UNKNOWN
        assert "InferenceService" in fact.reason
    assert found["vllm-qwen3-32b"].notes


def test_a_service_is_its_runtime_with_its_model() -> None:
    [pool] = fixture("runtime-model-service.yaml")["qwen3-32b"].pools
    assert (pool.model.value, pool.tensor.value, pool.max_model_len.value) == ("Qwen/Qwen3-32B", 2, 32768)
    assert (pool.replicas_min.value, pool.replicas_max.value) == (2, 4)
    assert place(pool.model) == "hf://Qwen/Qwen3-32B"
    assert place(pool.replicas_min) == "2"
    assert pool.replicas_min.writer is not None
    edits = pool.replicas_min.writer.write(3)
    assert edits is not None
    assert "minReplicas: 3\n" in apply(pool.place.document.source.text, edits)


def test_groups_run_on_the_gpus_of_all_their_pods() -> None:
    [deployment] = fixture("prefill-decode-groups.yaml").values()
    engine, decoder = deployment.pools
    assert (engine.name, engine.role, decoder.name, decoder.role) == ("engine", Role.PREFILL, "decoder", Role.DECODE)
    assert (engine.nodes.value, engine.tensor.value, engine.gpus_per_node.value) == (2, 16, 8)
    assert (decoder.nodes.value, decoder.tensor.value) == (4, 32)
    assert engine.replicas_min.value == 1
    assert decoder.replicas_min.state is FactState.UNKNOWN


def runtime(engine: str, kind: str = "ClusterServingRuntime") -> str:
    return f"apiVersion: ome.io/v1beta1\nkind: {kind}\nmetadata: {{name: x}}\nspec: {{engineConfig: {engine}}}\n"


def runner(gpus: int) -> str:
    return f"{{image: 'vllm/vllm-openai:v0.19.1', args: [--model, $(MODEL_PATH)], resources: {{limits: {{nvidia.com/gpu: {gpus}}}}}}}"


def test_workers_that_ask_for_other_gpus_are_a_conflict() -> None:
    text = runtime(f"{{leader: {{runner: {runner(8)}}}, worker: {{size: 1, runner: {runner(4)}}}}}")
    [pool] = recognise(text)["x"].pools
    assert pool.gpus_per_node.state is FactState.CONFLICT
    assert pool.gpus_per_node.values == (8, 4)


@pytest.mark.parametrize("size", ["many", "1.5", "-1"])
def test_a_size_that_is_no_number(size: str) -> None:
    text = runtime(f"{{leader: {{runner: {runner(8)}}}, worker: {{size: {size}, runner: {runner(8)}}}}}")
    [pool] = recognise(text)["x"].pools
    assert pool.nodes.state is FactState.UNKNOWN
    assert size in pool.nodes.reason


def test_a_service_whose_runtime_is_elsewhere_names_it() -> None:
    text = (
        "apiVersion: ome.io/v1beta1\nkind: InferenceService\nmetadata: {name: x}\n"
        "spec: {model: {name: m}, runtime: {name: elsewhere}, engine: {minReplicas: 2}, decoder: {minReplicas: 1}}\n"
    )
    engine, decoder = recognise(text)["x"].pools
    assert engine.engine.state is FactState.UNKNOWN
    assert "elsewhere" in engine.engine.reason
    assert engine.model.state is FactState.UNKNOWN
    assert "ClusterBaseModel" in engine.model.reason
    assert (engine.replicas_min.value, engine.replicas_max.value, engine.role) == (2, 2, Role.PREFILL)
    assert (decoder.replicas_min.value, decoder.role) == (1, Role.DECODE)


def test_services_and_runtimes_of_the_first_releases() -> None:
    text = (
        "apiVersion: ome.io/v1beta1\nkind: ServingRuntime\nmetadata: {name: r}\n"
        f"spec: {{containers: [{runner(2)}]}}\n---\n"
        "apiVersion: ome.io/v1beta1\nkind: InferenceService\nmetadata: {name: s}\n"
        "spec: {predictor: {model: {baseModel: m, runtime: r}, minReplicas: 3}}\n"
    )
    found = recognise(text)
    assert found["r"].pools[0].gpus_per_node.value == 2
    assert found["s"].pools[0].gpus_per_node.value == 2
    assert found["s"].pools[0].replicas_min.value == 3


@pytest.mark.parametrize(
    "text",
    [
        runtime("{runner: {image: 'nginx:1'}}"),
        runtime("text"),
        runtime(f"{{runner: {runner(1)}}}").replace("ome.io/v1beta1", "serving.kserve.io/v1alpha1"),
        "apiVersion: ome.io/v1beta1\nkind: ClusterBaseModel\nspec: {storage: {storageUri: 'hf://a/b'}}\n",
        "apiVersion: ome.io/v1beta1\nkind: InferenceService\nspec: {router: {}}\n",
    ],
)
def test_objects_without_an_engine(text: str) -> None:
    assert recognise(text) == {}
