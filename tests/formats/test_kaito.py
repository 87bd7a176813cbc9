"""KAITO: presets on a type of machine, and vLLM's options in a ConfigMap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from format_reading import VllmReading, format_named
from servelint.deployment import Deployment, Pool, Role
from servelint.facts import Fact, FactState, OriginKind
from servelint.formats.kaito_presets import hub_id
from servelint.source.edits import apply
from servelint.source.reader import read_text
from servelint.source.text import SourceText

FIXTURES = Path(__file__).parents[2] / "fixtures" / "kaito"


def read(text: str) -> tuple[list[Deployment], VllmReading]:
    documents = read_text(SourceText("kaito.yaml", text)).documents
    reading = VllmReading(documents)
    return [found for document in documents for found in format_named("kaito").recognise(document, reading)], reading


def pools(name: str) -> tuple[Pool, ...]:
    [deployment], _ = read((FIXTURES / name).read_text(encoding="utf-8"))
    return deployment.pools


def place(fact: Fact[Any]) -> str:
    assert fact.place is not None
    return fact.place.document.source.text[fact.place.span.start : fact.place.span.end]


def workspace(inference: str, *, resource: str = "instanceType: Standard_NC24ads_A100_v4", version: str = "v1beta1") -> str:
    return (
        f"apiVersion: kaito.sh/{version}\nkind: Workspace\nmetadata: {{name: x}}\n"
        f"resource: {{{resource}, labelSelector: {{matchLabels: {{apps: x}}}}}}\ninference: {inference}\n"
    )


def only(text: str) -> Pool:
    [deployment], _ = read(text)
    [pool] = deployment.pools
    return pool


def test_a_workspace_is_one_replica_on_its_machine() -> None:
    [pool] = pools("workspace-with-config.yaml")
    assert (pool.engine.value, pool.model.value) == ("vllm", "meta-llama/Llama-3.3-70B-Instruct")
    assert (pool.gpus_per_node.value, pool.nodes.value, pool.replicas_min.value) == (4, 1, 1)
    assert pool.accelerator.value.name == "A100-PCIE-80GB"
    assert pool.gpus_per_node.origin is not None
    assert pool.gpus_per_node.origin.kind is OriginKind.CATALOGUE
    assert place(pool.gpus_per_node) == "Standard_NC96ads_A100_v4"
    assert place(pool.model) == "llama-3.3-70b-instruct"


def test_options_in_the_config_map_have_their_own_places() -> None:
    [pool] = pools("workspace-with-config.yaml")
    assert (pool.tensor.value, pool.max_model_len.value, pool.gpu_memory_utilization.value) == (4, 16384, 0.9)
    assert pool.kv_cache_dtype.value == "fp8"
    assert place(pool.tensor).endswith("4")
    assert "tensor-parallel-size" in pool.tensor.origin.text if pool.tensor.origin else False
    text = pool.place.document.source.text
    assert pool.tensor.place is not None
    assert text[: pool.tensor.place.span.start].count("\n") + 1 == 13


def test_options_in_the_config_map_can_be_written() -> None:
    [pool] = pools("workspace-with-config.yaml")
    assert pool.tensor.writer is not None
    edits = pool.tensor.writer.write(2)
    assert edits is not None
    assert "tensor-parallel-size: 2   # all GPUs of the machine\n" in apply(pool.place.document.source.text, edits)


def test_what_kaito_chooses_is_unknown() -> None:
    [pool] = pools("workspace-with-config.yaml")
    for fact in (pool.pipeline, pool.data, pool.max_num_seqs, pool.version):
        assert fact.state is FactState.UNKNOWN
        assert "KAITO" in fact.reason
    command = pool.containers[0].command
    assert command is not None
    assert not command.complete


def test_a_set_of_replicas_that_grows() -> None:
    [pool] = pools("inference-set.yaml")
    assert (pool.replicas_min.value, pool.model.value) == (2, "microsoft/Phi-4-mini-instruct")
    assert pool.replicas_max.state is FactState.UNKNOWN
    assert (pool.gpus_per_node.value, pool.accelerator.value.name) == (1, "A10")
    assert pool.nodes.state is FactState.UNKNOWN
    assert place(pool.replicas_min) == "2"


def test_prefill_and_decode_serve_one_model() -> None:
    prefill, decode = pools("prefill-decode.yaml")
    assert (prefill.role, decode.role) == (Role.PREFILL, Role.DECODE)
    assert {prefill.model.value, decode.model.value} == {"deepseek-ai/DeepSeek-V3"}
    assert (prefill.replicas_min.value, decode.replicas_min.value) == (2, 1)
    assert (prefill.gpus_per_node.value, decode.max_num_seqs.value) == (8, 32)


def test_the_runtime_may_be_transformers() -> None:
    text = workspace("{preset: {name: phi-4}}").replace("{name: x}", "{name: x, annotations: {kaito.sh/runtime: transformers}}")
    assert only(text).engine.value == "transformers"
    old = only(workspace("{preset: {name: falcon-7b}}", version="v1alpha1"))
    assert old.engine.values == ("vllm", "transformers")
    listed = "apiVersion: v1\nkind: List\nitems:\n- " + workspace("{preset: {name: falcon-7b}}", version="v1alpha1").replace(
        "\n", "\n  "
    )
    assert only(listed.rstrip() + "\n").engine.values == old.engine.values


def test_a_config_map_that_is_not_at_hand() -> None:
    pool = only(workspace("{preset: {name: phi-4}, config: elsewhere}"))
    assert pool.tensor.state is FactState.UNKNOWN
    assert "elsewhere" in pool.tensor.reason


@pytest.mark.parametrize("content", ["vllm: [", "vllm: text", "vllm:\n    - a"])
def test_a_configuration_of_the_wrong_shape_is_reported(content: str) -> None:
    lines = content.replace("\n", "\n    ")
    text = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c}}\ndata:\n  inference_config.yaml: |\n    {lines}\n---\n"
    [deployment], reading = read(text + workspace("{preset: {name: phi-4}, config: c}"))
    assert [code for code, _ in reading.problems] == ["DOC102"]
    assert deployment.pools[0].tensor.state is FactState.UNKNOWN


def test_an_own_pod_template_is_read_as_one() -> None:
    container = "{name: a, image: 'vllm/vllm-openai:v0.19.1', args: [--model, a/b], resources: {limits: {nvidia.com/gpu: 1}}}"
    pool = only(workspace(f"{{template: {{spec: {{containers: [{container}]}}}}}}"))
    assert (pool.model.value, pool.gpus_per_node.value, pool.nodes.value) == ("a/b", 1, 1)
    assert pool.accelerator.value.name == "A100-PCIE-80GB"


@pytest.mark.parametrize(
    ("resource", "resource_name"),
    [
        ("partition: {mode: mig, profile: 1g.10gb}", "nvidia.com/mig"),
        ("instanceType: <your-vm-sku>", "nvidia.com/gpu"),
        ("preferredNodes: [a]", "nvidia.com/gpu"),
        ("instanceType: Standard_Nothing", "nvidia.com/gpu"),
    ],
)
def test_machines_whose_gpus_are_not_known(resource: str, resource_name: str) -> None:
    pool = only(workspace("{preset: {name: phi-4}}", resource=resource))
    assert pool.gpus_per_node.state is FactState.UNKNOWN
    assert pool.gpu_resource == resource_name


def test_a_partition_counts_whole_gpus() -> None:
    pool = only(workspace("{preset: {name: phi-4}}", resource="partition: {mode: accelerator, count: 2}"))
    assert pool.gpus_per_node.value == 2


@pytest.mark.parametrize(
    ("preset", "model"),
    [
        ("falcon-40b-instruct", "tiiuae/falcon-40b-instruct"),
        ("mistral-7b-instruct", "mistralai/Mistral-7B-Instruct-v0.3"),
        ("llama-2-13b-chat", "meta-llama/Llama-2-13b-chat-hf"),
        ("Qwen/Qwen3-8B", "Qwen/Qwen3-8B"),
        ("some-new-preset", "some-new-preset"),
    ],
)
def test_names_of_presets(preset: str, model: str) -> None:
    assert hub_id(preset) == model


@pytest.mark.parametrize(
    "text",
    [
        "apiVersion: kaito.sh/v1beta1\nkind: Workspace\nmetadata: {name: x}\ntuning: {preset: {name: phi-4}, method: qlora}\n",
        "apiVersion: kaito.sh/v1beta1\nkind: Workspace\ninference: text\n",
        "apiVersion: kaito.sh/v1beta1\nkind: Workspace\ninference: {preset: null}\n",
        "apiVersion: kaito.sh/v1alpha1\nkind: InferenceSet\nspec: [template]\n",
        "apiVersion: kaito.sh/v1alpha1\nkind: RAGEngine\nspec: {}\n",
        "apiVersion: other.sh/v1\nkind: Workspace\ninference: {preset: {name: phi-4}}\n",
    ],
)
def test_objects_that_serve_nothing(text: str) -> None:
    assert read(text)[0] == []
