"""Ways of writing that say less than usual: images that are filled in, objects in templates, values of charts, own programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from linted_pools import pools

if TYPE_CHECKING:
    from servelint.run import Session


def pod(container: str, kind: str = "Deployment", version: str = "apiVersion: apps/v1\n", affinity: str = "") -> str:
    spec = "selector: {matchLabels: {a: b}}, replicas: 2"
    return f"{version}kind: {kind}\nmetadata: {{name: n}}\nspec: {{{spec}, template: {{spec: {{{affinity}containers: [{container}]}}}}}}\n"


TEMPLATE = """apiVersion: template.openshift.io/v1
kind: Template
parameters:
- {name: COPIES, value: '3'}
- {name: FORMAT, value: vLLM}
- {name: IMAGE, required: true}
objects:
- apiVersion: serving.kserve.io/v1alpha1
  kind: ServingRuntime
  metadata: {name: runtime}
  spec:
    supportedModelFormats: [{name: '${FORMAT}'}]
    containers:
    - {name: kserve-container, image: '${IMAGE}', command: [vllm, serve], args: [/mnt/models, --tensor-parallel-size=2]}
- apiVersion: serving.kserve.io/v1beta1
  kind: InferenceService
  metadata: {name: service}
  spec:
    predictor:
      minReplicas: ${{COPIES}}
      model:
        modelFormat: {name: '${FORMAT}'}
        runtime: runtime
        storageUri: hf://org/m
        resources: {limits: {nvidia.com/gpu: '2'}}
"""


def test_a_template_of_other_objects_is_filled_in(session: Session) -> None:
    found = pools(session, TEMPLATE)
    assert list(found) == ["runtime/kserve-container", "service/kserve-container"]
    service = found["service/kserve-container"]
    assert (service.model.value, service.tensor.value, service.replicas_min.value) == ("org/m", 2, 3)
    place = service.replicas_min.place
    assert place is not None
    assert place.document.source.text[place.span[0] : place.span[1]] == "${{COPIES}}"
    unset = pools(session, TEMPLATE.replace(", value: '3'", ", required: true"))["service/kserve-container"]
    assert not unset.replicas_min.is_known, "a parameter without a value is asked for later"
    assert not found["runtime/kserve-container"].containers[0].image.is_known


@pytest.mark.parametrize("image", ["${VLLM_IMAGE}", "$(vllm-cuda-image)", "quay.io/team/vllm-custom:1"])
def test_an_image_that_says_vllm_and_arguments_that_name_a_model(image: str, session: Session) -> None:
    [found] = pools(session, pod(f"{{name: c, image: '{image}', args: ['--model=org/m', '--port=8000']}}")).values()
    assert (found.engine.value, found.model.value) == ("vllm", "org/m")


@pytest.mark.parametrize("image", ["${VLLM_RENDER_IMAGE}", "ghcr.io/team/vllm-router:1", "team/vllm-proxy:1"])
def test_an_image_of_a_part_beside_vllm_is_none(image: str, session: Session) -> None:
    assert not pools(session, pod(f"{{name: c, image: '{image}', args: ['--model=org/m', '--port=8000']}}"))


def test_the_subcommand_of_an_unknown_entrypoint(session: Session) -> None:
    arguments = "args: [serve, --model, org/m, --max-model-len, '1']"
    [found] = pools(session, pod(f"{{name: c, image: 'team/vllm-spark:1', {arguments}}}")).values()
    assert found.model.value == "org/m"
    [found] = pools(session, pod(f"{{name: c, image: 'vllm/vllm-openai:v0.10.0', {arguments}}}")).values()
    assert not found.model.is_known, "this one's entrypoint takes it for the model"


def test_a_word_to_be_filled_in_may_be_several_arguments(session: Session) -> None:
    text = pod("{name: c, image: 'vllm/vllm-openai:v0.10.0', args: ['--model=org/m', '${EXTRA}']}")
    [found] = pools(session, text).values()
    assert not found.tensor.is_known
    assert "${EXTRA}" in found.tensor.reason


def test_a_deployment_whose_version_is_left_out(session: Session) -> None:
    container = "{name: c, image: 'vllm/vllm-openai:v0.10.0', args: [--model, org/m], resources: {limits: {amd.com/gpu: 1}}}"
    [found] = pools(session, pod(container, version="")).values()
    assert (found.model.value, found.gpus_per_node.value, found.replicas_min.value) == ("org/m", 1, 2)
    assert found.containers[0].pod is not None
    assert found.containers[0].pod.partial
    assert not pools(session, pod(container, kind="Service", version="")), "several kinds have this name"


def test_a_program_of_its_own_in_a_group_of_pods(session: Session) -> None:
    container = "{name: c, image: 'ecr/neuron-sdk2.20-vllm0.5.0:v8', command: [/run.sh], resources: {limits: {aws.amazon.com/neuron: '16'}}}"
    text = (
        "apiVersion: leaderworkerset.x-k8s.io/v1\nkind: LeaderWorkerSet\nmetadata: {name: n}\n"
        f"spec: {{replicas: 2, leaderWorkerTemplate: {{size: 4, workerTemplate: {{spec: {{containers: [{container}]}}}}}}}}\n"
    )
    [found] = pools(session, text).values()
    assert (found.engine.value, found.nodes.value, found.replicas_min.value) == ("vllm", 4, 2)
    assert not found.tensor.is_known


RAY = """apiVersion: ray.io/v1
kind: RayService
metadata: {name: n}
spec:
  serveConfigV2: |
    applications:
    - import_path: serve:model
      runtime_env: {env_vars: {MODEL_ID: org/m, VLLM_ENABLE_AUTO_TOOL_CHOICE: "true"}}
      deployments: [{name: VLLMDeployment, num_replicas: 1, ray_actor_options: {num_gpus: 1}}]
  rayClusterConfig:
    workerGroupSpecs:
    - {minReplicas: 1, maxReplicas: 4, template: {spec: {containers: [{name: w, image: w, resources: {limits: {nvidia.com/gpu: 1}}}]}}}
"""


def test_an_actor_that_holds_its_gpus_runs_on_one_node(session: Session) -> None:
    [found] = pools(session, RAY).values()
    assert (found.model.value, found.nodes.value) == ("org/m", 1)
    bundles = RAY.replace("num_replicas: 1,", "num_replicas: 1, placement_group_bundles: [{GPU: 1}, {GPU: 1}],")
    [found] = pools(session, bundles).values()
    assert not found.nodes.is_known


def test_the_engine_of_a_dynamo_runtime(session: Session) -> None:
    text = (
        "apiVersion: nvidia.com/v1alpha1\nkind: DynamoGraphDeployment\nmetadata: {name: n}\nspec: {services: {VllmWorker: {"
        "componentType: worker, resources: {limits: {gpu: '2'}}, extraPodSpec: {mainContainer: {"
        "image: 'nvcr.io/nvidia/ai-dynamo/vllm-runtime:0.3.2', args: [dynamo, serve, 'graphs.disagg:Frontend']}}}}}\n"
    )
    [found] = pools(session, text).values()
    assert (found.engine.value, found.gpus_per_node.value) == ("vllm", 2)


def test_gpus_of_a_chart_under_a_short_name_or_beside_the_server(session: Session) -> None:
    counted = "vllm: {image: 'vllm/vllm-openai:v0.10.0', model: org/m, resources: {limits: {gpuCount: '2'}}}\n"
    [found] = pools(session, counted).values()
    assert found.gpus_per_node.value == 2
    beside = (
        "vllmService: {predictor: {resources: {limits: {nvidia.com/gpu: '4'}}}}\n"
        "vllmRuntime: {image: {repository: quay.io/modh/vllm, tag: x}, args: ['--model=org/m', --enforce-eager]}\n"
        "router: {resources: {limits: {nvidia.com/gpu: '1'}}}\n"
    )
    [found] = pools(session, beside).values()
    assert found.gpus_per_node.value == 4
    two = beside.replace("router:", "other:")
    [found] = pools(session, two).values()
    assert not found.gpus_per_node.is_known, "which of the two asks for the server's is not said"


def test_a_subchart_that_is_off_by_default(session: Session) -> None:
    text = "enabled: false\nimage: {repository: reg/sglang, tag: v0.5.2}\nreplicaCount: 1\ntensorParallelSize:\n"
    [found] = pools(session, text).values()
    assert (found.engine.value, found.replicas_min.value) == ("sglang", 1)
    assert not pools(session, "server:\n" + "".join(f"  {line}\n" for line in text.splitlines()))


def test_a_service_on_an_image_named_for_its_engine(session: Session) -> None:
    text = "services: {s: {image: '${REGISTRY:-team}/sglang:1', shm_size: 10g, environment: {MODEL_ID: org/m}}}\n"
    [found] = pools(session, text).values()
    assert (found.engine.value, found.model.value, found.replicas_min.value) == ("sglang", "org/m", 1)
    assert not found.tensor.is_known
    assert not pools(session, text.replace("MODEL_ID", "OTHER")), "nothing says that it serves"
    assert not pools(session, text.replace("/sglang:1", "/sglang-router:1"))


def test_the_other_name_of_accelerators(session: Session) -> None:
    text = "resources: {gpus: 'H100:8'}\nnum_nodes: 2\nrun: vllm serve org/m -tp $SKYPILOT_NUM_GPUS_PER_NODE\n"
    [found] = pools(session, text).values()
    assert (found.gpus_per_node.value, found.tensor.value) == (8, 8)
    assert "H100" in found.accelerator.values[0].name


@pytest.mark.parametrize(
    ("key", "values", "names"),
    [
        ("machine.example.com/gpu-name", "[Tesla-L4, NVIDIA-Z9000]", ["L4"]),
        ("machine.example.com/gpu-name", "[NVIDIA-Z9000]", []),
        ("node.kubernetes.io/npu.chip.name", "[Ascend910]", ["Ascend 910B"]),
    ],
)
def test_labels_of_other_origin(key: str, values: str, names: list[str], session: Session) -> None:
    affinity = (
        "affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions:"
        f" [{{key: {key}, operator: In, values: {values}}}]}}]}}}}}}, "
    )
    container = "{name: c, image: 'vllm/vllm-openai:v0.10.0', args: [--model, org/m]}"
    [found] = pools(session, pod(container, affinity=affinity)).values()
    assert [accelerator.name for accelerator in found.accelerator.values] == names


def test_the_placement_of_a_whole_runtime(session: Session) -> None:
    text = (
        "apiVersion: ome.io/v1beta1\nkind: ClusterServingRuntime\nmetadata: {name: n}\nspec: {nodeSelector: {nvidia.com/gpu.product: NVIDIA-L4},"
        " engineConfig: {runner: {name: ome-container, image: 'lmsysorg/sglang:v0.5.2',"
        " command: [python3, -m, sglang.launch_server], args: ['--model-path=$(MODEL_PATH)', '--tp-size=2']}}}\n"
    )
    [found] = pools(session, text).values()
    assert [accelerator.name for accelerator in found.accelerator.values] == ["L4"]
