"""NIM: services, pipelines of them, and caches."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from format_reading import VllmReading, format_named
from servelint.facts import Fact, FactState
from servelint.source.edits import apply
from servelint.source.reader import read_text
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from servelint.deployment import Deployment, Pool

FIXTURES = Path(__file__).parents[2] / "fixtures" / "nim"


def recognise(text: str) -> dict[str, Deployment]:
    documents = read_text(SourceText("nim.yaml", text)).documents
    reading = VllmReading(documents)
    return {found.name: found for document in documents for found in format_named("nim").recognise(document, reading)}


def fixture(name: str) -> dict[str, Deployment]:
    return recognise((FIXTURES / name).read_text(encoding="utf-8"))


def service(spec: str, image: str = "{repository: nvcr.io/nim/meta/llama-3.1-8b-instruct, tag: 1.8.6}", after: str = "") -> Pool:
    text = f"apiVersion: apps.nvidia.com/v1alpha1\nkind: NIMService\nmetadata: {{name: x}}\nspec: {{image: {image}, {spec}}}\n"
    [pool] = recognise(text + after)["x"].pools
    return pool


def place(fact: Fact[Any]) -> str:
    assert fact.place is not None
    return fact.place.document.source.text[fact.place.span.start : fact.place.span.end]


def test_a_service_and_the_cache_it_uses_are_one() -> None:
    found = fixture("cache-and-service.yaml")
    assert list(found) == ["llama"]
    [pool] = found["llama"].pools
    assert (pool.engine.value, pool.model.value) == ("nim", "meta/llama-3.3-70b-instruct")
    assert (pool.tensor.value, pool.gpus_per_node.value, pool.nodes.value) == (4, 4, 1)
    assert (pool.replicas_min.value, pool.replicas_max.value) == (2, 5)
    assert pool.max_model_len.value == 32768
    assert str(pool.version.value) == "1.8.6"
    assert {a.name for a in pool.accelerator.values} == {"H100-SXM5-80GB", "H100-PCIE-80GB", "H100-NVL-94GB"}


def test_the_facts_of_a_service_stand_where_they_are_written() -> None:
    [pool] = fixture("cache-and-service.yaml")["llama"].pools
    assert place(pool.tensor) == '"4"'  # of the cache
    assert place(pool.gpus_per_node) == "4"
    assert place(pool.max_model_len) == '"32768"'
    assert place(pool.model) == "nvcr.io/nim/meta/llama-3.3-70b-instruct:1.8.6"
    assert pool.gpus_per_node.writer is not None
    edits = pool.gpus_per_node.writer.write(8)
    assert edits is not None
    assert "nvidia.com/gpu: 8\n" in apply(pool.place.document.source.text, edits)


def test_a_group_has_a_pod_for_each_pipeline_stage() -> None:
    [pool] = fixture("multi-node.yaml")["deepseek"].pools
    assert (pool.tensor.value, pool.pipeline.value, pool.nodes.value, pool.gpus_per_node.value) == (8, 2, 2, 8)
    assert (pool.replicas_min.value, pool.replicas_max.value) == (2, 2)


def test_a_pipeline_is_its_services_that_are_on() -> None:
    found = fixture("pipeline.yaml")
    assert list(found) == ["chat"]
    [pool] = found["chat"].pools
    assert (pool.model.value, pool.tensor.value, pool.gpus_per_node.value) == ("Qwen/Qwen3-14B", 2, 2)
    assert place(pool.model) == '"hf://Qwen/Qwen3-14B"'


def test_a_cache_alone_says_what_it_holds() -> None:
    text = (FIXTURES / "cache-and-service.yaml").read_text(encoding="utf-8").partition("\n---\n")[0]
    found = recognise(text)
    [pool] = found["llama-cache"].pools
    assert found["llama-cache"].notes
    assert (pool.model.value, pool.tensor.value) == ("meta/llama-3.3-70b-instruct", 4)
    for fact in (pool.replicas_min, pool.nodes, pool.gpus_per_node):
        assert fact.state is FactState.UNKNOWN


@pytest.mark.parametrize(
    ("source", "model"),
    [
        (
            "hf: {namespace: nvidia, modelName: Nemotron-Nano, modelPuller: 'nvcr.io/nim/nvidia/llm-nim:1.12'}",
            "nvidia/Nemotron-Nano",
        ),
        ("dataStore: {namespace: default, modelName: team/tuned}", "team/tuned"),
        ("ngc: {modelEndpoint: 'ngc://nvidia/nemo/llama:2', modelPuller: 'nvcr.io/nim/nvidia/llm-nim:1'}", "nvidia/nemo/llama"),
    ],
)
def test_models_of_caches(source: str, model: str) -> None:
    text = f"apiVersion: apps.nvidia.com/v1alpha1\nkind: NIMCache\nmetadata: {{name: x}}\nspec: {{source: {{{source}}}}}\n"
    assert recognise(text)["x"].pools[0].model.value == model


@pytest.mark.parametrize("name", ["/opt/models/llama", "s3://bucket/llama", "${MODEL}"])
def test_names_that_name_no_model(name: str) -> None:
    pool = service(f"env: [{{name: NIM_MODEL_NAME, value: '{name}'}}]")
    assert pool.model.state is FactState.UNKNOWN
    assert name in pool.model.reason


def test_an_image_for_any_model_names_none() -> None:
    pool = service("replicas: 1", image="{repository: nvcr.io/nim/nvidia/llm-nim, tag: '1.12'}")
    assert pool.model.state is FactState.UNKNOWN
    mirrored = service("replicas: 1", image="{repository: registry.example/nim/meta/llama-3.1-8b-instruct}")
    assert mirrored.model.value == "meta/llama-3.1-8b-instruct"
    assert mirrored.version.state is FactState.UNKNOWN


def test_a_named_profile_decides_the_degree() -> None:
    pool = service("env: [{name: NIM_MODEL_PROFILE, value: abc}], resources: {limits: {nvidia.com/gpu: 2}}")
    assert pool.tensor.state is FactState.UNKNOWN
    assert "profile" in pool.tensor.reason


def test_the_operator_adds_the_gpus_of_the_degree() -> None:
    pool = service("env: [{name: NIM_TENSOR_PARALLEL_SIZE, value: '4'}]")
    assert (pool.gpu_resource, pool.gpus_per_node.value) == ("nvidia.com/gpu", 4)
    assert service("replicas: 1").gpus_per_node.state is FactState.UNKNOWN


def test_environment_and_group_that_disagree_are_a_conflict() -> None:
    pool = service("env: [{name: NIM_TENSOR_PARALLEL_SIZE, value: '4'}], multiNode: {parallelism: {tensor: 8, pipeline: 2}}")
    assert pool.tensor.state is FactState.CONFLICT
    assert pool.tensor.values == (4, 8)


def test_claims_and_other_devices_are_not_counted() -> None:
    claimed = service("draResources: [{resourceClaimTemplateName: gpus}]")
    assert (claimed.gpu_resource, claimed.gpus_per_node.state) == ("dra", FactState.UNKNOWN)
    passed = service("resources: {limits: {nvidia.com/pgpu: 1}}")
    assert passed.gpus_per_node.state is FactState.UNKNOWN


def test_a_template_that_the_service_names_is_read() -> None:
    template = (
        "---\napiVersion: resource.k8s.io/v1\nkind: ResourceClaimTemplate\nmetadata: {name: gpus}\n"
        "spec: {spec: {devices: {requests: [{name: gpu, exactly: {deviceClassName: gpu.nvidia.com, count: 2}}]}}}\n"
    )
    pool = service("draResources: [{resourceClaimTemplateName: gpus}]", after=template)
    assert (pool.gpu_resource, pool.gpus_per_node.value) == ("dra", 2)


def test_a_claim_that_the_operator_makes_is_read() -> None:
    device = "{name: gpu, count: 2, celExpressions: [\"device.attributes['gpu.nvidia.com'].productName == 'NVIDIA L40S'\"]}"
    claimed = service(f"draResources: [{{claimCreationSpec: {{devices: [{device}]}}}}]")
    assert (claimed.gpus_per_node.value, claimed.accelerator.value.name) == (2, "L40S")
    selector = "{key: productName, op: Equal, value: {stringValue: NVIDIA L4}}"
    claimed = service(f"draResources: [{{claimCreationSpec: {{devices: [{{name: gpu, attributeSelectors: [{selector}]}}]}}}}]")
    assert (claimed.gpus_per_node.value, claimed.accelerator.value.name) == (1, "L4")
    slices = "{name: gpu, deviceClassName: mig.nvidia.com}"
    claimed = service(f"draResources: [{{claimCreationSpec: {{devices: [{slices}]}}}}]")
    assert (claimed.gpus_per_node.state, claimed.accelerator.state) == (FactState.UNKNOWN, FactState.UNKNOWN)


KNATIVE = "autoscaling.knative.dev"
MODE = "serving.kserve.io/deploymentMode"


@pytest.mark.parametrize(
    ("marks", "stated", "low", "high"),
    [
        (f"{MODE}: Standard", "replicas: 3", 3, 3),
        (f"{MODE}: RawDeployment", "scale: {enabled: true, hpa: {minReplicas: 2, maxReplicas: 5}}", 2, 5),
        (f"{MODE}: Knative", "replicas: 3", 1, None),  # the operator states it for Deployments alone
        (f"{MODE}: Serverless", "scale: {enabled: true, hpa: {minReplicas: 2, maxReplicas: 5}}", 1, None),
        (f"{KNATIVE}/min-scale: '2', {KNATIVE}/max-scale: '10'", "replicas: 3", 1, None),  # KServe drops both
        (f"{KNATIVE}/minScale: '2', {KNATIVE}/maxScale: '10'", "", 1, 10),  # and lets these through, but sets min-scale
        ("", "", 1, None),
        ("", "replicas: 3", None, None),  # the mode is the cluster's
    ],
)
def test_replicas_on_kserve_are_those_of_its_mode(marks: str, stated: str, low: int | None, high: int | None) -> None:
    pool = service(f"inferencePlatform: kserve, annotations: {{{marks}}}" + (f", {stated}" if stated else ""))
    assert (pool.replicas_min.get(None), pool.replicas_max.get(None)) == (low, high)


@pytest.mark.parametrize("value", ["many", "0", "-1", "1.5"])
def test_numbers_that_are_none(value: str) -> None:
    pool = service(f"env: [{{name: NIM_TENSOR_PARALLEL_SIZE, value: '{value}'}}]")
    assert pool.tensor.state is FactState.UNKNOWN
    assert value in pool.tensor.reason


@pytest.mark.parametrize(
    "text",
    [
        "apiVersion: apps.nvidia.com/v1alpha1\nkind: NemoGuardrail\nspec: {image: {repository: a}}\n",
        "apiVersion: apps.nvidia.com/v1alpha1\nkind: NIMService\nspec: text\n",
        "apiVersion: apps.nvidia.com/v1alpha1\nkind: NIMPipeline\nspec: {services: {name: a}}\n",
        "apiVersion: apps.other.com/v1alpha1\nkind: NIMService\nspec: {image: {repository: a}}\n",
    ],
)
def test_objects_that_are_no_service(text: str) -> None:
    assert recognise(text) == {}
