"""KServe: LLMInferenceService with its configurations, InferenceService with its runtimes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from format_reading import VllmReading, format_named
from servelint.deployment import Deployment, Pool, Role
from servelint.facts import Fact, FactState, OriginKind
from servelint.source.edits import apply
from servelint.source.reader import read_text
from servelint.source.text import SourceText

FIXTURES = Path(__file__).parents[2] / "fixtures" / "kserve"


def recognise(text: str) -> dict[str, Deployment]:
    documents = read_text(SourceText("kserve.yaml", text)).documents
    reading = VllmReading(documents)
    return {found.name: found for document in documents for found in format_named("kserve").recognise(document, reading)}


def fixture(name: str) -> dict[str, Deployment]:
    return recognise((FIXTURES / name).read_text(encoding="utf-8"))


def only(deployments: dict[str, Deployment]) -> Pool:
    [deployment] = deployments.values()
    [pool] = deployment.pools
    return pool


def place(fact: Fact[Any]) -> str:
    """The text that the fact stands at."""
    assert fact.place is not None
    return fact.place.document.source.text[fact.place.span.start : fact.place.span.end]


def llm(spec: str, kind: str = "LLMInferenceService") -> str:
    return f"apiVersion: serving.kserve.io/v1alpha2\nkind: {kind}\nmetadata: {{name: x}}\nspec: {spec}\n"


# -- LLMInferenceService


def test_a_preset_runs_the_arguments_of_the_service() -> None:
    pool = only(fixture("llm-single-node.yaml"))
    assert (pool.engine.value, pool.model.value, pool.role) == ("vllm", "Qwen/Qwen3-32B", Role.SERVE)
    assert (pool.tensor.value, pool.nodes.value, pool.gpus_per_node.value) == (2, 1, 2)
    assert (pool.replicas_min.value, pool.replicas_max.value) == (2, 2)
    assert (pool.max_model_len.value, pool.gpu_memory_utilization.value, pool.max_num_seqs.value) == (32768, 0.9, 64)
    assert pool.accelerator.value.name == "H100-SXM5-80GB"
    assert str(pool.version.value) == "0.19.1"


def test_the_facts_of_a_service_stand_where_they_are_written() -> None:
    pool = only(fixture("llm-single-node.yaml"))
    assert place(pool.model) == "hf://Qwen/Qwen3-32B"
    assert place(pool.tensor) == "2"
    assert pool.tensor.origin is not None
    assert pool.tensor.origin.text == "spec.parallelism.tensor"
    assert place(pool.max_model_len) == "--max-model-len 32768"
    assert place(pool.speculative).startswith("--speculative-config '{")
    assert place(pool.max_num_seqs) == "--max-num-seqs=64"
    assert place(pool.replicas_min) == "2"
    assert place(pool.gpus_per_node) == '"2"'


def test_the_facts_of_a_service_can_be_written() -> None:
    pool = only(fixture("llm-single-node.yaml"))
    text = pool.place.document.source.text
    for fact, value, expected in (
        (pool.tensor, 4, "tensor: 4\n"),
        (pool.max_model_len, 8192, "--max-model-len 8192\n"),
        (pool.gpus_per_node, 4, 'nvidia.com/gpu: "4"\n'),
        (pool.replicas_min, 3, "replicas: 3\n"),
    ):
        assert fact.writer is not None
        edits = fact.writer.write(value)
        assert edits is not None
        assert expected in apply(text, edits)


def test_words_that_a_controller_adds_are_never_written() -> None:
    pool = only(recognise(llm("{model: {uri: 'hf://a/b'}, template: {containers: [{name: main}]}, parallelism: {expert: true}}")))
    command = pool.containers[0].command
    assert command is not None
    assert command.last("--enable-expert-parallel") is not None
    assert pool.expert.value == 1
    assert pool.expert.writer is None or pool.expert.writer.write(1) in (None, ())


def test_workers_make_groups_and_prefill_makes_a_pool() -> None:
    [deployment] = fixture("llm-wide-expert-parallel.yaml").values()
    decode, prefill = deployment.pools
    assert (decode.role, prefill.role) == (Role.DECODE, Role.PREFILL)
    for pool in (decode, prefill):
        assert (pool.tensor.value, pool.data.value, pool.data_local.value, pool.expert.value) == (1, 16, 8, 16)
        assert (pool.nodes.value, pool.gpus_per_node.value) == (2, 8)
        assert pool.max_model_len.value == 16384
    assert (decode.replicas_min.value, prefill.replicas_min.value) == (1, 3)
    assert (decode.name, prefill.name) == ("main", "prefill-main")


def test_a_service_is_laid_over_its_configuration() -> None:
    found = fixture("llm-config-and-service.yaml")
    config, service = found["h200-node"].pools[0], found["summaries"].pools[0]
    assert service.model.value == "meta-llama/Llama-3.3-70B-Instruct"
    assert (service.tensor.value, service.gpus_per_node.value, service.nodes.value) == (4, 4, 1)
    assert (service.max_model_len.value, service.kv_cache_dtype.value) == (65536, "fp8")
    assert (service.replicas_min.value, service.replicas_max.value) == (1, 6)
    assert place(service.max_model_len) == "--max-model-len 65536"
    command = service.containers[0].command
    assert command is not None
    assert command.complete
    assert found["h200-node"].notes
    for fact in (config.model, config.nodes, config.replicas_min):
        assert fact.state is FactState.UNKNOWN
        assert "LLMInferenceService" in fact.reason
    command = config.containers[0].command
    assert command is not None
    assert not command.complete


def test_arguments_of_the_service_replace_those_of_the_configuration() -> None:
    config = "{template: {containers: [{name: main, env: [{name: VLLM_ADDITIONAL_ARGS, value: '--max-model-len=1 --seed=1'}]}]}}"
    service = (
        "{baseRefs: [{name: x}], model: {uri: 'hf://a/b'}, "
        "template: {containers: [{name: main, env: [{name: VLLM_ADDITIONAL_ARGS, value: '--max-model-len=2'}]}]}}"
    )
    text = llm(config, "LLMInferenceServiceConfig") + "---\n" + llm(service).replace("name: x}\nspec", "name: y}\nspec")
    pool = recognise(text)["y"].pools[0]
    command = pool.containers[0].command
    assert pool.max_model_len.value == 2
    assert command is not None
    assert command.last("--seed") is None


def test_a_configuration_that_is_not_at_hand_leaves_everything_open() -> None:
    pool = only(recognise(llm("{baseRefs: [{name: elsewhere}], model: {uri: 'hf://a/b'}, replicas: 1}")))
    command = pool.containers[0].command
    assert command is not None
    assert not command.complete
    assert "elsewhere" in command.elsewhere
    assert pool.nodes.state is FactState.UNKNOWN
    assert "elsewhere" in pool.nodes.reason
    assert pool.model.value == "a/b"


@pytest.mark.parametrize(
    "uri", ["pvc://claim/path", "s3://bucket/x", "oci://quay.io/models/x:1", "hf://${MODEL}", "hf://only-a-name"]
)
def test_addresses_that_name_no_model(uri: str) -> None:
    pool = only(recognise(llm(f"{{model: {{uri: '{uri}', name: a/b}}}}")))
    assert pool.model.state is FactState.UNKNOWN
    assert uri in pool.model.reason


def test_revisions_are_no_part_of_a_model() -> None:
    assert only(recognise(llm("{model: {uri: 'hf://a/b:main'}}"))).model.value == "a/b"


def test_a_service_without_a_template_runs_the_preset() -> None:
    pool = only(recognise(llm("{model: {uri: 'hf://a/b'}, replicas: 3, parallelism: {tensor: 4}}")))
    assert (pool.tensor.value, pool.replicas_min.value, pool.nodes.value) == (4, 3, 1)
    assert pool.gpus_per_node.state is FactState.UNKNOWN


def test_an_own_command_does_not_get_the_degrees_of_the_spec() -> None:
    own = "containers: [{name: main, command: [vllm, serve, a/b], resources: {limits: {nvidia.com/gpu: 2}}}]"
    pool = only(recognise(llm(f"{{model: {{uri: 'hf://a/b'}}, parallelism: {{tensor: 2}}, template: {{{own}}}}}")))
    assert pool.tensor.state is FactState.CONFLICT
    assert pool.tensor.values == (2, 1)
    assert "--tensor-parallel-size" in pool.tensor.reason


def test_simulators_and_other_commands_are_no_engine() -> None:
    own = "containers: [{name: main, image: 'ghcr.io/llm-d/llm-d-inference-sim:v0.8.2', command: [/app/llm-d-inference-sim]}]"
    assert recognise(llm(f"{{model: {{uri: 'hf://a/b'}}, template: {{{own}}}}}")) == {}


def test_a_script_that_evaluates_the_command_is_a_preset() -> None:
    script = 'command: [/bin/bash, -c, "eval \\"exec vllm serve /mnt/models ${VLLM_ADDITIONAL_ARGS} $@\\"", --]'
    spec = f"{{template: {{containers: [{{name: main, {script}, env: [{{name: VLLM_ADDITIONAL_ARGS, value: '--max-model-len=64'}}]}}]}}}}"
    pool = only(recognise(llm(spec, "LLMInferenceServiceConfig")))
    assert pool.max_model_len.value == 64
    command = pool.containers[0].command
    assert command is not None
    assert not command.complete


def test_workers_that_ask_for_other_gpus_are_a_conflict() -> None:
    def pod(gpus: int) -> str:
        return f"{{containers: [{{name: main, resources: {{limits: {{nvidia.com/gpu: {gpus}}}}}}}]}}"

    spec = f"{{model: {{uri: 'hf://a/b'}}, parallelism: {{pipeline: 2, tensor: 8}}, template: {pod(8)}, worker: {pod(4)}}}"
    pool = only(recognise(llm(spec)))
    assert pool.gpus_per_node.state is FactState.CONFLICT
    assert (pool.nodes.value, pool.pipeline.value) == (2, 2)


def test_workers_without_degrees_do_not_say_how_many_pods_there_are() -> None:
    pool = only(recognise(llm("{model: {uri: 'hf://a/b'}, template: {containers: [{name: main}]}, worker: {}}")))
    assert pool.nodes.state is FactState.UNKNOWN


def test_managed_claims_count_whole_gpus() -> None:
    text = llm("{model: {uri: 'hf://a/b'}, template: {containers: [{name: main}]}}")
    notes = "{serving.kserve.io/exp-dra-device-class: gpu.nvidia.com, serving.kserve.io/exp-dra-device-count: '2'}"
    pool = only(recognise(text.replace("{name: x}", f"{{name: x, annotations: {notes}}}")))
    assert (pool.gpu_resource, pool.gpus_per_node.value) == ("dra", 2)
    assert place(pool.gpus_per_node) == "'2'"
    assert pool.accelerator.state is FactState.UNKNOWN


def test_each_line_of_a_managed_claims_selector_holds() -> None:
    product = "device.attributes['gpu.nvidia.com'].productName.contains('A100')"
    memory = "device.capacity['gpu.nvidia.com'].memory.compareTo(quantity('40Gi')) > 0"
    text = llm("{model: {uri: 'hf://a/b'}, template: {containers: [{name: main}]}}")
    notes = "\n    serving.kserve.io/exp-dra-device-class: gpu.nvidia.com\n    serving.kserve.io/exp-dra-cel-selector: |\n"
    notes += f"      {product}\n      {memory}\n"
    pool = only(recognise(text.replace("{name: x}", f"\n  name: x\n  annotations:{notes}")))
    assert [each.name for each in pool.accelerator.values] == ["A100-SXM4-80GB", "A100-PCIE-80GB"]
    assert place(pool.accelerator) == product


def test_a_variable_from_elsewhere_leaves_the_command_line_open() -> None:
    env = "[{name: VLLM_ADDITIONAL_ARGS, valueFrom: {configMapKeyRef: {name: a, key: b}}}]"
    pool = only(recognise(llm(f"{{model: {{uri: 'hf://a/b'}}, template: {{containers: [{{name: main, env: {env}}}]}}}}")))
    command = pool.containers[0].command
    assert command is not None
    assert not command.complete


def test_numbers_that_are_none_are_reported() -> None:
    documents = read_text(SourceText("x.yaml", llm("{model: {uri: 'hf://a/b'}, replicas: many}"))).documents
    reading = VllmReading(documents)
    [deployment] = format_named("kserve").recognise(documents[0], reading)
    assert deployment.pools[0].replicas_min.state is FactState.UNKNOWN
    assert [code for code, _ in reading.problems] == ["DOC102"]


# -- InferenceService and ServingRuntime


def test_a_service_runs_the_command_of_its_runtime_and_its_own_arguments() -> None:
    found = fixture("runtime-and-service.yaml")
    pool = found["granite"].pools[0]
    assert pool.model.value == "ibm-granite/granite-3.3-8b-instruct"
    assert (pool.tensor.value, pool.max_model_len.value, pool.gpus_per_node.value) == (4, 16384, 4)
    assert (pool.replicas_min.value, pool.replicas_max.value, pool.nodes.value) == (1, 3, 1)
    assert str(pool.version.value) == "0.19.1"
    assert pool.accelerator.value.name == "L4"
    command = pool.containers[0].command
    assert command is not None
    assert command.complete
    port = command.last("--port")
    assert port is not None
    assert place(Fact.known("x", 1, pool.tensor.origin)) == "--tensor-parallel-size=4"
    document = command.place_of(port).document
    assert document.text_at("kind") == "ServingRuntime"


def test_a_runtime_alone_leaves_the_model_and_the_gpus_open() -> None:
    pool = fixture("runtime-and-service.yaml")["vllm-cuda"].pools[0]
    assert pool.max_model_len.value == 8192
    for fact in (pool.model, pool.gpus_per_node, pool.replicas_min):
        assert fact.state is FactState.UNKNOWN
        assert "InferenceService" in fact.reason
    command = pool.containers[0].command
    assert command is not None
    assert not command.complete


def test_kserves_own_server_reads_the_options_of_vllm_and_its_own() -> None:
    pool = only(fixture("huggingface.yaml"))
    assert (pool.engine.value, pool.model.value) == ("vllm", "mistralai/Mistral-7B-Instruct-v0.3")
    assert (pool.tensor.value, pool.max_model_len.value, pool.gpus_per_node.value) == (2, 4096, 2)
    assert pool.replicas_min.value == 0
    assert pool.containers[0].command is None  # no rule about vLLM's command line is to read it
    assert pool.pipeline.state is FactState.UNKNOWN  # the runtime may state it
    assert pool.version.state is FactState.UNKNOWN


@pytest.mark.parametrize("args", ["[--backend=huggingface]", "[--backend, huggingface]"])
def test_kserves_own_server_without_vllm(args: str) -> None:
    pool = only(recognise(isvc(f"{{model: {{modelFormat: {{name: huggingface}}, storageUri: 'hf://a/b', args: {args}}}}}")))
    assert (pool.engine.value, pool.model.value) == ("transformers", "a/b")


def isvc(predictor: str) -> str:
    return f"apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nmetadata: {{name: x}}\nspec: {{predictor: {predictor}}}\n"


def test_a_custom_predictor_brings_its_containers() -> None:
    pool = only(fixture("custom-predictor.yaml"))
    assert (pool.model.value, pool.tensor.value, pool.gpus_per_node.value) == ("Qwen/Qwen3-8B", 2, 2)
    assert place(pool.model) == "hf://Qwen/Qwen3-8B"
    assert pool.replicas_min.value == 1
    assert pool.replicas_min.origin is not None
    assert pool.replicas_min.origin.kind is OriginKind.DEFAULT


@pytest.mark.parametrize(
    ("container", "engine"),
    [
        ("modelFormat: {name: vLLM}, runtime: elsewhere", "vllm"),
        ("modelFormat: {name: pytorch}, runtime: team-vllm-runtime", "vllm"),
        ("modelFormat: {name: custom}, args: [--max-model-len=8]", "vllm"),
        ("modelFormat: {name: nvidia-nim-llama3}, runtime: nvidia-nim-llama3-8b", "nim"),
    ],
)
def test_the_engine_of_a_service_whose_runtime_is_elsewhere(container: str, engine: str) -> None:
    pool = only(recognise(isvc(f"{{model: {{{container}, resources: {{limits: {{nvidia.com/gpu: 2}}}}}}}}")))
    assert (pool.engine.value, pool.gpus_per_node.value) == (engine, 2)
    assert pool.tensor.state is FactState.UNKNOWN


@pytest.mark.parametrize("name", ["sklearn", "onnx", "xgboost", "tensorflow"])
def test_models_of_other_servers_are_none_of_ours(name: str) -> None:
    assert recognise(isvc(f"{{model: {{modelFormat: {{name: {name}}}, storageUri: 's3://a/b'}}}}")) == {}


RUNTIME = """
apiVersion: serving.kserve.io/v1alpha1
kind: ServingRuntime
metadata: {name: multi}
spec:
  containers:
    - name: kserve-container
      image: vllm/vllm-openai:v0.19.1
      command: [bash, -c]
      args:
        - ray start --head && exec vllm serve /mnt/models --tensor-parallel-size=${TENSOR_PARALLEL_SIZE} --pipeline-parallel-size=${PIPELINE_PARALLEL_SIZE}
  workerSpec:
    tensorParallelSize: 8
    pipelineParallelSize: 2
    containers:
      - {name: worker-container, resources: {limits: {nvidia.com/gpu: 8}}}
"""


def test_the_degrees_of_a_group_reach_the_command_line() -> None:
    pool = only(recognise(RUNTIME))
    assert (pool.tensor.value, pool.pipeline.value, pool.nodes.value) == (8, 2, 2)
    assert pool.tensor.origin is not None


def test_workers_whose_gpus_are_not_stated() -> None:
    without = RUNTIME.replace("{limits: {nvidia.com/gpu: 8}}", "{}")
    assert only(recognise(without)).nodes.state is FactState.UNKNOWN
    one = without.replace("tensorParallelSize: 8", "tensorParallelSize: 1")
    assert only(recognise(one)).nodes.value == 2


@pytest.mark.parametrize(
    "text",
    [
        "apiVersion: ome.io/v1beta1\nkind: ServingRuntime\nspec: {containers: [{image: 'vllm/vllm-openai:v0.19.1'}]}\n",
        "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceGraph\nspec: {}\n",
        "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nspec: text\n",
        "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nspec: {predictor: [model]}\n",
        "apiVersion: serving.kserve.io/v1alpha2\nkind: LLMInferenceService\nspec:\n",
        "apiVersion: serving.kserve.io/v1alpha2\nkind: LLMInferenceServiceConfig\nspec: {router: {scheduler: {}}}\n",
    ],
)
def test_objects_without_an_engine(text: str) -> None:
    assert recognise(text) == {}


def test_items_of_a_list_count() -> None:
    item = llm("{model: {uri: 'hf://a/b'}}").strip().replace("\n", "\n  ")
    assert list(recognise(f"apiVersion: v1\nkind: List\nitems:\n- {item}\n")) == ["x"]


def test_variables_of_the_runtime_reach_the_command_line_of_the_service() -> None:
    runtime = (
        "apiVersion: serving.kserve.io/v1alpha1\nkind: ServingRuntime\nmetadata: {name: r}\nspec:\n  containers:\n"
        "    - name: kserve-container\n      image: vllm/vllm-openai:v0.19.1\n      command: [vllm, serve, /mnt/models]\n"
        "      args: [--max-model-len=$(LENGTH)]\n      env: [{name: LENGTH, value: '4096'}]\n---\n"
    )
    found = recognise(runtime + isvc("{model: {modelFormat: {name: vLLM}, runtime: r, storageUri: 'hf://a/b'}}"))
    assert found["x"].pools[0].max_model_len.value == 4096
    assert "LENGTH" in set(found["x"].pools[0].containers[0].environment)


@pytest.mark.parametrize(
    ("marks", "stated", "low", "high"),
    [
        ("", "", 1, None),
        ("", "minReplicas: 0", 0, None),
        ("", "minReplicas: 0, maxReplicas: 3", 0, 3),
        ("serving.kserve.io/deploymentMode: RawDeployment", "", 1, 1),
        ("serving.kserve.io/deploymentMode: Standard", "minReplicas: 2", 2, 2),
        ("serving.kserve.io/deploymentMode: Standard", "minReplicas: 0, maxReplicas: 3", 1, 3),
        ("serving.kserve.io/deploymentMode: Standard, serving.kserve.io/autoscalerClass: keda", "minReplicas: 0", 0, None),
        ("serving.kserve.io/deploymentMode: Standard, serving.kserve.io/autoscalerClass: keda", "minReplicas: 1", 1, 1),
        ("serving.kserve.io/deploymentMode: Standard, serving.kserve.io/autoscalerClass: none", "minReplicas: 2, maxReplicas: 5", 2, 2),
        ("serving.kserve.io/deploymentMode: Standard, serving.kserve.io/autoscalerClass: external", "minReplicas: 2", 2, None),
        ("serving.kserve.io/deploymentMode: Serverless", "minReplicas: 2", 2, None),
        ("autoscaling.knative.dev/min-scale: '3', autoscaling.knative.dev/max-scale: '4'", "", 1, None),  # KServe drops both
        ("autoscaling.knative.dev/minScale: '3', autoscaling.knative.dev/maxScale: '4'", "", 1, 4),  # and sets min-scale alone
        ("autoscaling.knative.dev/maxScale: '4'", "maxReplicas: 2", 1, 2),
        ("autoscaling.knative.dev/maxScale: '0'", "", 1, None),
        ("", "annotations: {autoscaling.knative.dev/max-scale: '4'}", 1, None),
        ("autoscaling.knative.dev/maxScale: '4'", "annotations: {autoscaling.knative.dev/maxScale: '3'}", 1, 3),
        ("serving.kserve.io/deploymentMode: Standard, autoscaling.knative.dev/maxScale: '4'", "", 1, 1),
    ],
)  # fmt: skip
def test_replicas_by_the_mode_and_the_autoscaler(marks: str, stated: str, low: int, high: int | None) -> None:
    text = (
        f"apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nmetadata: {{name: x, annotations: {{{marks}}}}}\n"
        f"spec: {{predictor: {{model: {{modelFormat: {{name: vLLM}}, storageUri: 'hf://a/b'}}, {stated}}}}}\n"
    )
    pool = only(recognise(text))
    assert (pool.replicas_min.value, pool.replicas_max.get(None)) == (low, high)


def test_a_command_that_a_script_keeps_in_a_variable_is_run() -> None:
    pool = fixture("runtime-command-in-a-variable.yaml")["two-stages"].pools[0]
    assert (pool.engine.value, pool.tensor.value, pool.pipeline.value, pool.nodes.value) == ("vllm", 1, 2, 2)
    assert place(pool.tensor) == "$CMD"
    command = pool.containers[0].command
    assert command is not None
    assert "$@" in command.elsewhere, "the InferenceService appends arguments"
