"""llmaz: Playground and Service, joined with the OpenModel they claim."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from format_reading import Reading, format_named, rewritten, written
from servelint.facts import FactState
from servelint.source.reader import read_text
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from servelint.deployment import Deployment, Pool

FIXTURES = Path(__file__).parents[2] / "fixtures" / "llmaz"


def recognise(text: str, reading: Reading | None = None) -> list[Deployment]:
    documents = read_text(SourceText("x.yaml", text)).documents
    around = reading or Reading(documents)
    around.documents = documents
    return [deployment for document in documents for deployment in format_named("llmaz").recognise(document, around)]


def fixture(name: str) -> dict[str, Pool]:
    found = recognise((FIXTURES / name).read_text(encoding="utf-8"))
    return {pool.name: pool for deployment in found for pool in deployment.pools}


PLAYGROUND = """
apiVersion: inference.llmaz.io/v1alpha1
kind: Playground
metadata: {name: x}
spec: {modelClaim: {modelName: m}, backendRuntimeConfig: %s}
"""


def playground(config: str, others: str = "") -> list[Pool]:
    return [pool for deployment in recognise(PLAYGROUND % config + others) for pool in deployment.pools]


def test_a_playground_is_completed_by_its_model() -> None:
    pool = fixture("playground.yaml")["qwen2-5-72b"]
    assert pool.model.value == "Qwen/Qwen2.5-72B-Instruct"
    assert written(pool.model) == "Qwen/Qwen2.5-72B-Instruct"
    assert (pool.gpus_per_node.value, pool.tensor.value) == (4, 4), "of the flavor that is claimed"
    assert pool.accelerator.value.name == "H100-SXM5-80GB"
    assert str(pool.version.value) == "0.10.0"
    assert pool.max_model_len.value == 16384
    assert (pool.replicas_min.value, pool.replicas_max.value) == (2, 6)
    assert "nvidia.com/gpu: 8" in rewritten(pool.gpus_per_node, 8)


def test_without_a_claimed_flavor_all_may_serve() -> None:
    pool = fixture("playground.yaml")["any-flavor"]
    assert pool.gpus_per_node.values == (4, 2)
    assert pool.tensor.values == (4, 2)
    assert {a.name for a in pool.accelerator.values} == {"H100-SXM5-80GB", "H200-SXM-141GB"}


def test_what_a_backend_adds_is_unknown_unless_it_is_at_hand() -> None:
    [pool] = playground("{backendName: vllm}")
    command = pool.containers[0].command
    assert command is not None
    assert "BackendRuntime" in command.elsewhere
    runtime = """---
apiVersion: inference.llmaz.io/v1alpha1
kind: BackendRuntime
metadata: {name: vllm}
spec: {recommendedConfigs: [{name: default, args: [--model, '{{ .ModelPath }}', --max-model-len, '4096']}]}
"""
    [pool] = playground("{backendName: vllm, args: [--max-num-seqs, '8']}", runtime)
    assert (pool.max_model_len.value, pool.max_num_seqs.value) == (4096, 8)
    command = pool.containers[0].command
    assert command is not None
    assert command.complete


def test_a_model_that_is_not_at_hand_is_unknown() -> None:
    [pool] = playground("{backendName: vllm}")
    assert pool.model.state is FactState.UNKNOWN
    assert pool.model.reason == "the OpenModel m is not at hand"


@pytest.mark.parametrize(
    ("backend", "engine"), [("vllm", "vllm"), ("sglang", "sglang"), ("tgi", "tgi"), ("tensorrt-llm", "trtllm")]
)
def test_the_backends_that_llmaz_comes_with(backend: str, engine: str) -> None:
    [pool] = playground(f"{{backendName: {backend}}}")
    assert pool.engine.value == engine


@pytest.mark.parametrize("backend", ["llamacpp", "ollama"])
def test_backends_whose_options_are_not_described(backend: str) -> None:
    [pool] = playground(f"{{backendName: {backend}}}")
    assert pool.engine.value == backend
    assert pool.containers[0].command is None


def test_a_service_is_a_group_of_pods() -> None:
    pool = fixture("service.yaml")["model-runner"]
    assert pool.model.value == "meta-llama/Llama-3.1-405B-Instruct", "of the model it claims; the path names none"
    assert (pool.tensor.value, pool.pipeline.value, pool.nodes.value, pool.gpus_per_node.value) == (8, 2, 2, 8)
    assert pool.replicas_min.value == 2
    assert written(pool.nodes) == "2"


def test_services_of_kubernetes_are_none_of_its_business() -> None:
    assert recognise("apiVersion: v1\nkind: Service\nspec: {ports: []}\n") == []
    assert recognise("apiVersion: inference.llmaz.io/v1alpha1\nkind: Service\nspec: {workloadTemplate: 1}\n") == []
