"""Values of Helm charts: production-stack, llm-d-modelservice, and others by their shape."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from format_reading import Reading, rewritten, written
from servelint.deployment import Role
from servelint.engines.command import Form
from servelint.facts import FactState
from servelint.formats.helm_values import HelmValues
from servelint.source.reader import read_text
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from servelint.deployment import Deployment, Pool

FIXTURES = Path(__file__).parents[2] / "fixtures" / "helm-values"


def recognise(text: str, reading: Reading | None = None) -> list[Deployment]:
    documents = read_text(SourceText("x.yaml", text)).documents
    around = reading or Reading(documents)
    around.documents = documents
    return [deployment for document in documents for deployment in HelmValues().recognise(document, around)]


def fixture(name: str) -> dict[str, Pool]:
    found = recognise((FIXTURES / name).read_text(encoding="utf-8"))
    return {pool.name: pool for deployment in found for pool in deployment.pools}


STACK = """
servingEngineSpec:
  modelSpec:
  - name: x
    repository: vllm/vllm-openai
    tag: v0.19.1
    modelURL: org/model
    %s
"""


def stack(keys: str) -> Pool:
    [deployment] = recognise(STACK % keys)
    [pool] = deployment.pools
    return pool


# production-stack


def test_an_entry_of_production_stack_is_a_deployment() -> None:
    pool = fixture("production-stack.yaml")["llama-70b"]
    assert pool.model.value == "meta-llama/Llama-3.1-70B-Instruct"
    assert (pool.tensor.value, pool.max_model_len.value, pool.max_num_seqs.value) == (4, 32768, 128)
    assert (pool.gpu_memory_utilization.value, pool.kv_cache_dtype.value) == (0.9, "fp8")
    assert (pool.gpus_per_node.value, pool.gpu_resource, pool.nodes.value, pool.replicas_min.value) == (4, "nvidia.com/gpu", 1, 2)
    assert pool.accelerator.value.name == "A100-SXM4-80GB"
    assert str(pool.version.value) == "0.10.2"


def test_its_keys_can_be_set_where_they_stand() -> None:
    pool = fixture("production-stack.yaml")["llama-70b"]
    assert (written(pool.tensor), written(pool.max_model_len), written(pool.gpus_per_node)) == ("4", "32768", "4")
    assert written(pool.kv_cache_dtype) == '"fp8"'
    assert "maxModelLen: 8192\n" in rewritten(pool.max_model_len, 8192)
    assert 'gpuMemoryUtilization: "0.85"\n' in rewritten(pool.gpu_memory_utilization, 0.85)
    assert "requestGPU: 8\n" in rewritten(pool.gpus_per_node, 8)
    assert "replicaCount: 5\n" in rewritten(pool.replicas_min, 5)


def test_a_ray_cluster_is_one_replica_of_its_head_and_workers() -> None:
    pool = fixture("production-stack.yaml")["llama-405b"]
    assert (pool.tensor.value, pool.pipeline.value) == (8, 4)
    assert (pool.gpus_per_node.value, pool.nodes.value, pool.replicas_min.value, pool.replicas_max.value) == (8, 4, 1, 1)
    assert rewritten(pool.gpus_per_node, 4).count("requestGPU: 4") == 3, "head and workers (another entry has 4 already)"


def test_a_head_without_gpus_is_no_rank_and_a_different_one_a_conflict() -> None:
    ray = "replicaCount: 2\n    requestGPU: 4\n    raySpec: {enabled: true, headNode: {requestGPU: %s}}"
    assert stack(ray % 0).nodes.value == 2
    assert stack(ray % 4).nodes.value == 3
    assert stack(ray % 2).gpus_per_node.state is FactState.CONFLICT


def test_pipeline_parallelism_reaches_the_engine_only_through_ray() -> None:
    keys = "replicaCount: 1\n    requestGPU: 1\n    vllmConfig: {pipelineParallelSize: 2}"
    assert stack(keys).pipeline.state is FactState.UNKNOWN
    assert stack(keys + "\n    raySpec: {enabled: true, headNode: {requestGPU: 1}}").pipeline.value == 2
    assert stack(keys + "\n    raySpec: {enabled: false}").pipeline.state is FactState.UNKNOWN


def test_an_autoscaled_entry_on_a_slice_of_a_gpu() -> None:
    pool = fixture("production-stack.yaml")["phi-scaled"]
    assert (pool.replicas_min.value, pool.replicas_max.value) == (0, 8)
    assert pool.gpus_per_node.state is FactState.UNKNOWN
    assert pool.gpu_resource == "nvidia.com/mig-4g.71gb"


def test_entries_that_are_switched_off_and_other_images_are_left_out() -> None:
    assert set(fixture("production-stack.yaml")) == {"llama-70b", "llama-405b", "phi-scaled"}
    assert recognise("servingEngineSpec: {enableEngine: false, modelSpec: [{name: x, modelURL: a/b}]}") == []


def test_a_producer_and_a_consumer_of_one_model_are_one_deployment() -> None:
    [deployment] = recognise((FIXTURES / "production-stack-prefill-decode.yaml").read_text(encoding="utf-8"))
    assert [(pool.name, pool.role) for pool in deployment.pools] == [("prefill", Role.PREFILL), ("decode", Role.DECODE)]


@pytest.mark.parametrize(("gpus", "problem"), [("0.5", True), ("two", True), ("'2'", False), ("0", False)])
def test_a_count_that_asks_for_no_gpu_is_reported(gpus: str, problem: bool) -> None:
    reading = Reading(())
    recognise(STACK % f"replicaCount: 1\n    requestGPU: {gpus}", reading)
    assert [code for code, _ in reading.problems] == ["DOC102"] * problem


def test_resources_win_over_the_short_keys() -> None:
    pool = stack("requestGPU: 1\n    resources: {limits: {amd.com/gpu: 2}}")
    assert (pool.gpus_per_node.value, pool.gpu_resource) == (2, "amd.com/gpu")


# llm-d-modelservice


def test_the_chart_fills_in_degrees_and_devices() -> None:
    pools = fixture("modelservice-prefill-decode.yaml")
    decode, prefill = pools["decode"], pools["prefill"]
    assert (decode.role, prefill.role) == (Role.DECODE, Role.PREFILL)
    assert (decode.tensor.value, decode.gpus_per_node.value, decode.gpu_resource) == (4, 4, "nvidia.com/gpu")
    assert written(decode.tensor) == "4"
    assert "tensor: 8\n" in rewritten(decode.tensor, 8)
    assert (prefill.gpus_per_node.value, prefill.replicas_min.value, prefill.max_model_len.value) == (1, 4, 32000)
    assert decode.model.value == "RedHatAI/Llama-3.3-70B-Instruct-FP8-dynamic", "by the address, not by the served name"
    assert decode.accelerator.value.name == "H200-SXM-141GB"
    assert {a.name for a in prefill.accelerator.values} == {"H200-SXM-141GB", "B200"}


def test_data_parallel_ranks_are_spread_over_the_pods_of_a_group() -> None:
    pool = fixture("modelservice-wide-expert-parallel.yaml")["decode"]
    assert pool.role is Role.SERVE, "there is no prefill"
    assert (pool.tensor.value, pool.data.value, pool.data_local.value, pool.expert.value) == (1, 16, 8, 16)
    assert (pool.nodes.value, pool.gpus_per_node.value, pool.replicas_min.value) == (2, 8, 3)
    assert pool.model.value == "deepseek-ai/DeepSeek-R1-0528"


@pytest.mark.parametrize(
    ("uri", "model"),
    [
        ("hf://org/model", "org/model"),
        ("pvc+hf://claim/sub/org/model", "org/model"),
        ("pvc://claim/path/to/model", None),
        ("hf://{{ .Values.modelArtifacts.name }}", "org/named"),
        ("hf://{{ .Values.other }}", None),
    ],
)
def test_models_by_their_address(uri: str, model: str | None) -> None:
    text = (
        f"modelArtifacts: {{name: org/named, uri: '{uri}'}}\n"
        "decode: {containers: [{image: 'ghcr.io/llm-d/llm-d:v0.4.0', modelCommand: vllmServe}]}\n"
    )
    [deployment] = recognise(text)
    assert deployment.pools[0].model.get(None) == model


@pytest.mark.parametrize(
    ("accelerator", "resource", "gpus"),
    [
        ("{type: nvidia}", "nvidia.com/gpu", 1),
        ("{type: intel-gaudi}", "habana.ai/gaudi", 1),
        ("{type: google}", "google.com/tpu", None),
        ("{type: cpu}", "", None),
        ("{type: nvidia, dra: true}", "dra", None),
        ("{type: own, resources: {own: amd.com/gpu}}", "amd.com/gpu", 1),
    ],
)
def test_devices_by_the_type_of_accelerator(accelerator: str, resource: str, gpus: int | None) -> None:
    text = (
        f"modelArtifacts: {{name: org/m, uri: 'hf://org/m'}}\naccelerator: {accelerator}\n"
        "decode: {containers: [{image: 'ghcr.io/llm-d/llm-d:v0.4.0', modelCommand: vllmServe}]}\n"
    )
    [deployment] = recognise(text)
    [pool] = deployment.pools
    assert (pool.gpu_resource, pool.gpus_per_node.get(None)) == (resource, gpus)


def test_simulators_are_named_and_phases_that_are_not_created_are_left_out() -> None:
    text = (
        "modelArtifacts: {name: random, uri: 'hf://random'}\n"
        "decode: {containers: [{image: 'ghcr.io/llm-d/llm-d-inference-sim:v0.3.0', modelCommand: imageDefault}]}\n"
        "prefill: {create: false, containers: [{image: 'ghcr.io/llm-d/llm-d:v0.4.0', modelCommand: vllmServe}]}\n"
    )
    [deployment] = recognise(text)
    [pool] = deployment.pools
    assert pool.engine.value == "llm-d-inference-sim"
    assert pool.containers[0].command is None, "no rule about an engine's options is to read it"


# other charts


def test_keys_in_camel_case_are_options() -> None:
    pool = fixture("chart-with-camel-case.yaml")["serve"]
    assert pool.model.value == "google/gemma-3-12b-it"
    assert (pool.tensor.value, pool.max_model_len.value, pool.max_num_seqs.value) == (2, 16384, 64)
    assert (pool.gpus_per_node.value, pool.accelerator.value.name) == (2, "L4")
    assert (pool.replicas_min.value, pool.replicas_max.value) == (2, 5)
    assert str(pool.version.value) == "0.19.1"
    assert "maxModelLen: 8192\n" in rewritten(pool.max_model_len, 8192)
    assert "--max-num-seqs=32\n" in rewritten(pool.max_num_seqs, 32)


def test_nothing_is_a_default_where_the_templates_are_not_known() -> None:
    pool = fixture("chart-with-camel-case.yaml")["serve"]
    for name in ("pipeline", "data", "expert", "gpu_memory_utilization", "kv_cache_dtype"):
        assert getattr(pool, name).state is FactState.UNKNOWN, name
    assert pool.pipeline.reason == "the templates of the chart may set it"


def test_parts_of_an_application_are_told_apart() -> None:
    pools = fixture("chart-with-parts.yaml")
    assert set(pools) == {"vllm", "nim-llm"}
    vllm = pools["vllm"]
    assert (vllm.model.value, vllm.tensor.value, vllm.max_model_len.value) == ("Qwen/Qwen2.5-72B-Instruct", 4, 32768)
    assert (vllm.gpus_per_node.value, vllm.gpu_resource) == (4, "amd.com/gpu")
    assert written(vllm.tensor) == '"4"'
    assert pools["nim-llm"].model.value == "meta/llama-3.1-8b-instruct"
    assert pools["nim-llm"].engine.value == "nim"


@pytest.mark.parametrize(
    ("text", "engine", "tensor"),
    [
        ("tgi: {LLM_MODEL_ID: a/b, extraCmdArgs: ['--num-shard', '2'], resources: {limits: {amd.com/gpu: 2}}}", "tgi", 2),
        ("llm: {framework: sglang, model: a/b, image: 'lmsysorg/sglang:v0.5.6', tpSize: 8}", "sglang", 8),
        ("server: {engine: vllm, modelId: a/b, tensorParallelism: 4}", "vllm", 4),
        ("image: {repository: vllm/vllm-openai, command: [vllm, serve, a/b, -tp, '2']}", "vllm", 2),
        ("vllm: {model: {name: a/b}, args: '--tensor-parallel-size 2 --max-model-len 4096'}", "vllm", 2),
    ],
)
def test_shapes_of_charts(text: str, engine: str, tensor: int) -> None:
    [deployment] = recognise(text)
    [pool] = deployment.pools
    assert (pool.engine.value, pool.tensor.value, pool.model.value) == (engine, tensor, "a/b")


def test_a_server_is_completed_by_the_mappings_around_it() -> None:
    [pool] = fixture("chart-with-nested-server.yaml").values()
    assert (pool.name, pool.model.value) == ("modelServer", "mistralai/Mixtral-8x7B-Instruct-v0.1")
    assert (pool.tensor.value, pool.pipeline.value, pool.max_model_len.value) == (4, 1, 16384)
    assert (pool.gpus_per_node.value, pool.gpu_resource, pool.replicas_min.value) == (4, "nvidia.com/gpu", 1)
    assert pool.accelerator.value.name == "L4", "by the instance type"
    assert "tensorParallelSize: 2\n" in rewritten(pool.tensor, 2)


def test_sections_stand_around_one_server() -> None:
    [pool] = fixture("chart-with-sections.yaml").values()
    assert (pool.name, pool.model.value, pool.tensor.value) == ("engine", "Qwen/Qwen2.5-72B-Instruct", 4)
    assert (pool.gpus_per_node.value, pool.gpu_resource, pool.replicas_min.value) == (4, "nvidia.com/gpu", 2)
    assert pool.accelerator.value.name == "H100-SXM5-80GB"
    assert written(pool.max_model_len) == "8192"


def test_switches_of_a_mapping_take_no_value() -> None:
    [deployment] = recognise((FIXTURES / "chart-with-sections.yaml").read_text(encoding="utf-8"))
    command = deployment.pools[0].containers[0].command
    assert command is not None
    found = {argument.name: argument.value for argument in command.arguments}
    assert found["--enable-prefix-caching"] is None
    assert found["--enforce-eager"] is None
    assert "--enable-chunked-prefill" not in found, "templates differ in what they make of false"


@pytest.mark.parametrize(
    ("keys", "nodes"),
    [
        ("tensorParallelSize: 16", None),
        ("tensorParallelSize: 8, pipelineParallelSize: 2, resources: {limits: {nvidia.com/gpu: 8}}", None),
        ("tensorParallelSize: 16, resources: {limits: {nvidia.com/gpu: 16}}", 1),
        ("tensorParallelSize: 4, resources: {limits: {nvidia.com/gpu: 2}}", 1),
        ("tensorParallelSize: 16, nnodes: 2", 2),
    ],
)
def test_more_ranks_than_a_host_has_gpus_are_on_several(keys: str, nodes: int | None) -> None:
    [deployment] = recognise(f"vllm: {{image: 'vllm/vllm-openai:v0.11.2', model: a/b, {keys}}}")
    fact = deployment.pools[0].nodes
    assert (fact.value if fact.is_known else None) == nodes


def test_servers_of_a_list_share_the_image_around_it() -> None:
    pools = fixture("chart-with-many-models.yaml")
    assert {name: pool.model.value for name, pool in pools.items()} == {
        "qwen3-32b": "Qwen/Qwen3-32B",
        "llama-8b": "meta-llama/Llama-3.1-8B-Instruct",
    }
    pool = pools["qwen3-32b"]
    assert (pool.engine.value, str(pool.version.value), pool.tensor.value, pool.gpus_per_node.value) == ("sglang", "0.5.6", 2, 2)
    assert {pool.accelerator.value.name for pool in pools.values()} == {"H100-SXM5-80GB"}


def test_values_of_a_flux_release() -> None:
    [pool] = fixture("flux-release.yaml").values()
    assert (pool.model.value, pool.tensor.value, pool.gpus_per_node.value) == ("Qwen/Qwen3-8B", 2, 2)
    assert "maxModelLen: 8192}" in rewritten(pool.max_model_len, 8192)


def test_values_in_the_text_of_an_argo_application() -> None:
    [pool] = fixture("argo-application.yaml").values()
    assert (pool.model.value, pool.tensor.value, pool.gpus_per_node.value) == ("Qwen/Qwen3-14B", 2, 2)
    assert written(pool.tensor) == "--tensor-parallel-size=2"
    assert "- --tensor-parallel-size=4   # of the pod's two\n" in rewritten(pool.tensor, 4)


@pytest.mark.parametrize(
    "text",
    [
        "image: {repository: nginx, tag: '1'}\nresources: {limits: {nvidia.com/gpu: 1}}",
        "cacheserver: {repository: lmcache/vllm-openai, tag: latest, resources: {requests: {cpu: 1}}}",
        "vllm: {enabled: false, image: 'vllm/vllm-openai:v0.19.1', model: a/b}",
        "vllm: {url: 'http://vllm:8000', model: a/b}",
        "router: {image: 'vllm/router:1', replicas: 2}",
        "services: {vllm: {image: 'vllm/vllm-openai:v0.19.1', command: [--model, a/b]}}",
        "run: vllm serve a/b\nresources: {accelerators: 'H100:1'}\nimage: vllm/vllm-openai",
        "apiVersion: v1\nkind: ConfigMap\nvllm: {image: 'vllm/vllm-openai:v0.19.1', model: a/b}",
        "- {image: 'vllm/vllm-openai:v0.19.1', model: a/b}",
        "trainer: {image: 'nvcr.io/nvidia/nemo:24.07', gpus: 256}",
        "table: {image: {repository: nvcr.io/nim/nvidia/nemotron-table-structure-v1, tag: 1.8.0}, resources: {limits: {nvidia.com/gpu: 1}}}",
        "router: {image: 'vllm/vllm-openai:v0.19.1', model: a/b}",
        "engine: {image: 'ghcr.io/example/vllm-sim:v1', model: a/b, args: [--max-model-len=1024]}",
        "env: [{name: VLLM_DO_NOT_TRACK, value: '1', model: a/b, gpu: 1}]",
        "suite: values\ntests: [{set: {vllm: {image: 'vllm/vllm-openai:v0.19.1', model: a/b}}}]",
        "model_name: chat\nmodel_metadata: {vllm_config: {tensor_parallel_size: 2, max_model_len: 8192}}\nrequirements: [vllm==0.6.1]",
        "dsr1-sglang: {image: 'lmsysorg/sglang:v0.5.9', model: a/b, runner: h200, scenarios: {fixed-seq-len: [{isl: 1024}]}}",
    ],
)
def test_what_serves_nothing_is_left_alone(text: str) -> None:
    assert recognise(text) == []


# What is built around an engine bears its name, and may name a model, too.
AROUND = {
    "serving: {image: 'ghcr.io/team/vllm-sr:v0.3', model: a/b, args: [--config=/c], resources: {limits: {amd.com/gpu: 1}}}": 0,
    "bench: {image: 'r.example/vllm-benchmark:v1', model: a/b, resources: {limits: {nvidia.com/gpu: 1}}}": 0,
    "image: {repository: r.example/vllm-autotuner, tag: '1'}\nmodel: a/b": 0,
    "tuner: {image: 'r.example/vllm-autotuner:1', model: a/b}": 0,
    "tuner: {image: 'r.example/vllm-autotuner:1', model: a/b, maxModelLen: 4096}": 1,
    "tuner: {image: 'r.example/vllm-autotuner:1', model: a/b, resources: {limits: {nvidia.com/gpu: 1}}}": 1,
    "vllm: {image: 'r.example/vllm-autotuner:1', model: a/b}": 1,
    "chat: {image: 'r.example/nm-vllm-openai:1', model: a/b}": 1,
    "chat: {image: 'rocm/vllm-dev:nightly', model: a/b}": 1,
    "image: rocm/vllm:6.4\nmodel: a/b": 1,
    "image: rocm/vllm:6.4\ngpus: 1\nentrypoint: bash /mount/start.sh": 0,
    "image: rocm/vllm:6.4\ngpus: 1\nmodel: a/b\nentrypoint: bash /mount/start.sh": 1,
    "image: rocm/vllm:6.4\ngpus: 1\nentrypoint: exec vllm serve a/b": 1,
}


@pytest.mark.parametrize("text", AROUND, ids=str)
def test_an_image_that_is_only_named_for_an_engine(text: str) -> None:
    assert len(recognise(text + "\n")) == AROUND[text]


def test_a_part_of_a_server_is_none_itself() -> None:
    image = "image: {image: registry.example.com/vllm-cuda-rhel9, tag: 3.3.0}\nmodel: {args: [--max-model-len=4096]}\n"
    [deployment] = recognise(image)
    assert (deployment.name, deployment.pools[0].max_model_len.value) == ("values", 4096)
    variables = "env: {LLM_MODEL_ID: a/b, TENSOR_PARALLEL_SIZE: '2'}, resources: {limits: {amd.com/gpu: 2}}"
    [deployment] = recognise(f"vllm: {{image: {{repository: opea/vllm-rocm}}, {variables}}}\n")
    [pool] = deployment.pools
    assert (deployment.name, pool.model.value, pool.gpus_per_node.value) == ("vllm", "a/b", 2)
    for key in ("sglang_server_args", "tgi_engine_args", "vllm_engine_args"):
        image = {"s": "lmsysorg/sglang:v0.5.6", "t": "ghcr.io/huggingface/text-generation-inference:3.0.2"}
        reference = image.get(key[0], "vllm/vllm-openai:v0.19.1")
        assert len(recognise(f"image: {reference}\nmodel: a/b\ngpus: 1\n{key}: {{}}\n")) == 1


def test_a_port_that_is_named_for_the_server_is_none() -> None:
    ports = "service: {ports: [{name: http-vllm, port: 80, targetPort: 8000}]}\n"
    chart = "modelName: a/b\nimage: {repository: r.example/vllm-openai, tag: v0.11.2}\nextraArgs: [--tensor-parallel-size, '1']\n"
    assert len(recognise(chart + ports)) == 1


def test_endless_and_shared_mappings_are_walked_once() -> None:
    text = "a: &a {image: 'vllm/vllm-openai:v0.19.1', model: x/y, again: *a}\nb: *a\n"
    assert len(recognise(text)) == 1


def test_models_of_kubeais_chart() -> None:
    [pool] = fixture("kubeai-catalog.yaml").values()
    assert (pool.name, pool.model.value, pool.max_model_len.value) == ("qwen2.5-7b-l4", "Qwen/Qwen2.5-7B-Instruct", 16384)
    assert (pool.gpus_per_node.value, pool.accelerator.value.name, pool.replicas_min.value) == (1, "L4", 1)


def test_a_matrix_of_benchmark_runs_deploys_nothing() -> None:
    run = "{image: 'vllm/vllm-openai:v0.19.1', model: Qwen/Qwen3-32B, framework: vllm, %s: [{isl: 1024, tp: 2}]}"
    assert recognise(f"fp8-h200: {run % 'seq-len-configs'}") == []
    assert recognise(f"fp8-h200: {run % 'servers'}") != []


def test_the_model_that_the_arguments_name_is_read() -> None:
    [deployment] = recognise(
        "vllm:\n  image: {repository: vllm/vllm-openai, tag: v0.19.1}\n  args: [--model, org/model, --max-model-len, '2048']\n"
    )
    [pool] = deployment.pools
    assert pool.model.value == "org/model"
    [silent] = recognise("vllm:\n  image: {repository: vllm/vllm-openai, tag: v0.19.1}\n  args: [--max-model-len, '2048']\n")
    assert not silent.pools[0].model.is_known, "the templates may name it, so that no default of vLLM counts"


def test_objects_of_a_pipeline_are_no_servers() -> None:
    stage = "stages:\n  - _target_: curator.stages.Answer\n    vllm: {model: org/model, tensor_parallel_size: 2, image: vllm/vllm-openai}\n"
    assert recognise(stage) == []
    assert recognise(stage.replace("_target_", "name")) != []


def test_a_key_of_arguments_names_the_engine_where_there_are_gpus() -> None:
    notes = "recipe:\n  model: org/model\n  vllm_args: [--tensor-parallel-size=8, --max-model-len=4096]\n"
    assert recognise(notes) == []
    [deployment] = recognise(notes + "  resources: {gpu: 8}\n")
    assert (deployment.pools[0].engine.value, deployment.pools[0].gpus_per_node.value) == ("vllm", 8)


def test_ci_pipelines_and_parts_of_a_server_are_no_servers() -> None:
    pod = "{containers: [{image: 'vllm/vllm-openai:v0.19.1', resources: {limits: {nvidia.com/gpu: 8}}}]}"
    assert recognise(f"steps:\n  - plugins: [{{kubernetes: {{podSpec: {pod}}}}}]\n") == []
    service = "service:\n  runtime: vllm\n  storageUri: s3://models/chat\n  resources: {limits: {nvidia.com/gpu: 1}}\n"
    assert [deployment.name for deployment in recognise(service)] == ["service"]


def test_values_that_are_laid_over_those_of_modelservice_take_no_defaults() -> None:
    pools = fixture("modelservice-overlay.yaml")
    decode, prefill = pools["decode"], pools["prefill"]
    assert (decode.model.value, decode.tensor.value, decode.gpus_per_node.value) == ("openai/gpt-oss-120b", 8, 8)
    assert (decode.replicas_min.value, decode.role, prefill.role) == (2, Role.DECODE, Role.PREFILL)
    assert written(decode.model) == "openai/gpt-oss-120b"
    for fact in (prefill.replicas_min, prefill.gpus_per_node, prefill.tensor, prefill.model, prefill.nodes, decode.nodes):
        assert not fact.is_known, fact.name


def test_a_shell_of_a_chart_runs_the_script_among_the_arguments() -> None:
    [pool] = fixture("chart-with-script.yaml").values()
    assert (pool.model.value, pool.tensor.value, pool.replicas_min.value, pool.gpus_per_node.value) == ("Qwen/Qwen3-32B", 4, 3, 4)
    assert written(pool.tensor) == "--tensor-parallel-size 4"


def test_templates_may_join_the_items_of_a_list_for_a_shell() -> None:
    text = """
model: {name: Qwen/Qwen3-8B, args: [--enforce-eager, --tensor-parallel-size 2, "--max-model-len 8192 --dtype 'half'", '--x {a}']}
image: {repository: vllm/vllm-openai, tag: v0.11.0}
"""
    [deployment] = recognise(text)
    [pool] = deployment.pools
    assert (pool.tensor.value, written(pool.tensor)) == (2, "--tensor-parallel-size 2")
    assert (pool.max_model_len.value, written(pool.max_model_len)) == (8192, "--max-model-len 8192")
    command = pool.containers[0].command
    assert command is not None
    assert {a.name: a.form for a in command.arguments if a.form is Form.JAMMED} == {"--x": Form.JAMMED}


def test_copies_beside_the_image_are_those_of_the_server_that_has_it() -> None:
    text = "replicaCount: 2\nimage: {repository: ghcr.io/huggingface/text-generation-inference, tag: '3.0'}\n"
    [deployment] = recognise(text + "llm: {modelId: org/model, maxTotalTokens: 8192}\nresources: {limits: {nvidia.com/gpu: 1}}\n")
    [pool] = deployment.pools
    assert (pool.model.value, pool.replicas_min.value, pool.gpus_per_node.value) == ("org/model", 2, 1)


def test_a_nim_whose_pods_are_described_beside_its_image() -> None:
    text = """
inference:
  modelServer:
    image: {repository: nvcr.io/nim/meta/llama3-8b-instruct, tag: 1.0.3}
    deployment:
      replicas: 2
      instanceType: g6e.2xlarge
      resources: {gpu: {limits: {nvidia.com/gpu: "1"}}}
"""
    [deployment] = recognise(text)
    [pool] = deployment.pools
    assert (pool.engine.value, pool.model.value, pool.replicas_min.value) == ("nim", "meta/llama3-8b-instruct", 2)
    assert (pool.gpus_per_node.value, pool.gpu_resource, pool.accelerator.value.name) == (1, "nvidia.com/gpu", "L40S")
    assert recognise(text.replace("meta/llama3-8b-instruct", "stabilityai/stable-diffusion-3.5-large")) == []
