"""Ray: services, jobs and clusters, Serve configurations, and applications of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from format_reading import VerdictReading, written
from servelint.case import PoolCase
from servelint.deployment import Role
from servelint.facts import FactState, OriginKind
from servelint.formats.ray import Ray
from servelint.reports.pool_values import pool_object
from servelint.source import edits
from servelint.source.reader import read_text
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from servelint.deployment import Deployment, Pool

FIXTURES = Path(__file__).parents[2] / "fixtures" / "ray"


def recognise(text: str, reading: VerdictReading | None = None) -> list[Deployment]:
    documents = read_text(SourceText("ray.yaml", text)).documents
    found = reading or VerdictReading(documents)
    return [d for document in documents for d in Ray().recognise(document, found)]


def one(text: str) -> Pool:
    [deployment] = recognise(text)
    [pool] = deployment.pools
    return pool


def fixture(name: str) -> str:
    return (FIXTURES / name).read_text(encoding="utf-8")


# Ray Serve LLM in a RayService


def test_each_model_of_a_service_is_a_deployment() -> None:
    large, small = recognise(fixture("service-llm.yaml"))
    assert [d.name for d in (large, small)] == ["chat/llama-405b", "chat/Qwen/Qwen2.5-7B-Instruct"]
    assert {d.format for d in (large, small)} == {"ray"}


def test_degrees_of_the_string_have_places_in_the_file() -> None:
    [pool] = recognise(fixture("service-llm.yaml"))[0].pools
    assert (pool.tensor.value, pool.pipeline.value, pool.max_model_len.value) == (8, 2, 32768)
    assert written(pool.pipeline) == "2"
    assert pool.pipeline.place is not None
    document = pool.pipeline.place.document
    assert document.source.position(pool.pipeline.place.span.start).line == 21
    assert document.pointer(pool.pipeline.place.span) == "/spec/serveConfigV2"
    assert written(pool.model) == pool.model.value == "meta-llama/Llama-3.1-405B-Instruct-FP8"


def test_a_large_model_spans_pods_and_a_small_one_shares_them() -> None:
    [large], [small] = (d.pools for d in recognise(fixture("service-llm.yaml")))
    assert (large.gpus_per_node.value, large.nodes.value, large.shares_nodes) == (8, 2, False)
    assert (small.gpus_per_node.value, small.nodes.value, small.shares_nodes) == (8, 1, True)
    assert large.gpu_resource == "nvidia.com/gpu"
    assert [a.name for a in large.accelerator.values] == ["H100-SXM5-80GB"]
    assert written(large.accelerator) == "nvidia-h100-80gb"


def test_replicas_are_those_of_the_serve_deployment() -> None:
    [large], [small] = (d.pools for d in recognise(fixture("service-llm.yaml")))
    assert (large.replicas_min.value, large.replicas_max.value) == (1, 3)
    assert (small.replicas_min.value, small.replicas_max.value) == (4, 4)
    assert written(large.replicas_max) == "3"


def test_the_version_is_that_of_the_requirement_not_of_ray() -> None:
    [large], [small] = (d.pools for d in recognise(fixture("service-llm.yaml")))
    assert large.version.state is FactState.UNKNOWN
    assert "ray-llm" in large.version.reason
    assert str(small.version.value) == "0.11.0"
    assert written(small.version) == '"vllm==0.11.0"'


def test_a_degree_is_written_into_the_string() -> None:
    text = fixture("service-llm.yaml")
    [pool] = recognise(text)[0].pools
    assert pool.pipeline.writer is not None
    made = pool.pipeline.writer.write(1)
    assert made is not None
    assert edits.apply(text, made) == text.replace("pipeline_parallel_size: 2 ", "pipeline_parallel_size: 1 ")
    assert pool.replicas_max.writer is not None
    assert edits.apply(text, pool.replicas_max.writer.write(5) or ()) == text.replace("max_replicas: 3", "max_replicas: 5")
    assert pool.nodes.writer is not None
    assert pool.nodes.writer.write(1) == (), "Ray places the ranks"


def test_a_model_without_a_source_is_its_id() -> None:
    pool = recognise(fixture("service-llm.yaml"))[1].pools[0]
    assert (pool.model.value, written(pool.model)) == ("Qwen/Qwen2.5-7B-Instruct",) * 2


# Serve configurations


def test_prefill_and_decode_are_two_pools_of_one_model() -> None:
    [deployment] = recognise(fixture("prefill-decode.yaml"))
    prefill, decode = deployment.pools
    assert (prefill.role, decode.role) == (Role.PREFILL, Role.DECODE)
    assert (prefill.tensor.value, decode.tensor.value) == (1, 4)
    assert {p.model.value for p in deployment.pools} == {"openai/gpt-oss-120b"}
    assert (prefill.replicas_min.value, prefill.replicas_max.value, decode.replicas_min.value) == (2, 6, 2)
    assert prefill.gpus_per_node.reason == "the Ray cluster is not in this file"
    assert not prefill.nodes.is_known


def serve(config: str) -> str:
    return (
        f"applications:\n- name: app\n  import_path: ray.serve.llm:build_openai_app\n  args:\n    llm_configs:\n    - {config}\n"
    )


LOADING = "model_loading_config: {model_id: m, model_source: org/name}"


@pytest.mark.parametrize(
    ("options", "least", "most"),
    [
        ("{}", 1, 1),
        ("{num_replicas: 3}", 3, 3),
        ("{num_replicas: '2'}", 2, 2),
        ("{num_replicas: auto}", 1, 100),
        ("{num_replicas: auto, autoscaling_config: {max_replicas: 8}}", 1, 8),
        ("{autoscaling_config: {min_replicas: 0, max_replicas: 4}}", 0, 4),
        ("{autoscaling_config: {target_ongoing_requests: 64}}", 1, 1),
    ],
)
def test_replicas_and_their_defaults(options: str, least: int, most: int) -> None:
    pool = one(serve(f"{{{LOADING}, deployment_config: {options}}}"))
    assert (pool.replicas_min.value, pool.replicas_max.value) == (least, most)


def test_a_wrong_number_of_replicas_is_unknown() -> None:
    pool = one(serve(f"{{{LOADING}, deployment_config: {{num_replicas: many}}}}"))
    assert pool.replicas_min.state is FactState.UNKNOWN


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("model_source: 's3://bucket/llama'", "s3://bucket/llama"),
        ("model_source: {bucket_uri: 's3://bucket/llama'}", "s3://bucket/llama"),
        ("model_source: /mnt/weights", "/mnt/weights"),
        ("model_source: '$MODEL'", "filled in later"),
    ],
)
def test_weights_from_elsewhere_name_no_model(source: str, reason: str) -> None:
    pool = one(serve(f"{{model_loading_config: {{model_id: m, {source}}}}}"))
    assert pool.model.state is FactState.UNKNOWN
    assert reason in pool.model.reason


def test_what_nobody_states_is_vllms_default() -> None:
    pool = one(serve(f"{{{LOADING}}}"))
    assert (pool.engine.value, pool.tensor.state) == ("vllm", FactState.UNKNOWN)
    assert pool.tensor.reason == "not stated", "a default fills it in"


def test_an_accelerator_that_the_pods_do_not_have_is_a_conflict() -> None:
    text = fixture("service-llm.yaml").replace("accelerator_type: H100", "accelerator_type: L40S")
    [pool] = recognise(text)[0].pools
    assert pool.gpus_per_node.state is FactState.UNKNOWN, "no group of the cluster has it"
    assert [a.name for a in pool.accelerator.values] == ["L40S"]


def test_a_configuration_in_another_file_is_unknown() -> None:
    pool = one(serve("./models/llama--8b.yaml"))
    assert pool.name == "llama--8b"
    assert pool.engine.value == "vllm", "the only engine that such a configuration may name"
    for fact in (pool.model, pool.tensor, pool.replicas_min):
        assert "./models/llama--8b.yaml" in fact.reason


def test_that_file_is_read_on_its_own() -> None:
    [deployment] = recognise(f"{LOADING}\nengine_kwargs:\n  tensor_parallel_size: 2\n")
    [pool] = deployment.pools
    assert (deployment.name, pool.model.value, pool.tensor.value) == ("m", "org/name", 2)


def test_data_parallel_ranks_are_one_replica() -> None:
    text = (
        "applications:\n- import_path: ray.serve.llm:build_dp_openai_app\n  args:\n    llm_config:\n"
        f"      {LOADING}\n      engine_kwargs: {{data_parallel_size: 4, tensor_parallel_size: 2}}\n"
    )
    pool = one(text)
    assert (pool.data.value, pool.replicas_min.value) == (4, 1)
    counted = one(text + "      deployment_config: {num_replicas: 4}\n")
    assert "depends on the release of Ray" in counted.replicas_min.reason


# Clusters


def service(workers: str, kwargs: str = "tensor_parallel_size: 4", extra: str = "") -> str:
    return (
        "apiVersion: ray.io/v1\nkind: RayService\nmetadata: {name: x}\nspec:\n  serveConfigV2: |\n"
        "    applications:\n    - import_path: ray.serve.llm:build_openai_app\n      args:\n        llm_configs:\n"
        f"        - {{{LOADING}, engine_kwargs: {{{kwargs}}}{extra}}}\n"
        f"  rayClusterConfig:\n    headGroupSpec: {{template: {{spec: {{containers: [{{name: head, image: i}}]}}}}}}\n"
        f"    workerGroupSpecs: [{workers}]\n"
    )


def group(gpus: object, replicas: str = "replicas: 2", selector: str = "", resource: str = "nvidia.com/gpu") -> str:
    return (
        f"{{groupName: g, {replicas}, template: {{spec: {{{selector}containers: "
        f"[{{name: w, image: i, resources: {{limits: {{{resource}: {gpus}}}}}}}]}}}}}}"
    )


@pytest.mark.parametrize(
    ("ranks", "gpus", "nodes", "shared"),
    [(4, 4, 1, False), (4, 8, 1, True), (16, 8, 2, False), (6, 4, None, False)],
)
def test_pods_of_a_replica(ranks: int, gpus: int, nodes: int | None, shared: bool) -> None:
    pool = one(service(group(gpus, "replicas: 4"), f"tensor_parallel_size: {ranks}"))
    assert pool.nodes.get(None) == nodes
    assert pool.shares_nodes is shared
    assert pool.gpus_per_node.value == gpus


def test_a_spreading_placement_group_decides_otherwise() -> None:
    pool = one(service(group(8), extra=", placement_group_config: {strategy: SPREAD}"))
    assert "spreads" in pool.nodes.reason


def test_groups_with_other_numbers_of_gpus_are_not_told_apart() -> None:
    pool = one(service(f"{group(8)}, {group(4)}"))
    assert "several groups" in pool.gpus_per_node.reason


def test_the_accelerator_chooses_the_group() -> None:
    selectors = ("nodeSelector: {nvidia.com/gpu.product: NVIDIA-L4}, ", "nodeSelector: {nvidia.com/gpu.product: NVIDIA-H200}, ")
    workers = f"{group(2, selector=selectors[0])}, {group(8, selector=selectors[1])}"
    pool = one(service(workers, extra=", accelerator_type: H200"))
    assert pool.gpus_per_node.value == 8


def test_tpu_chips_are_not_counted() -> None:
    pool = one(service(group(4, "replicas: 1, numOfHosts: 2", resource="google.com/tpu"), "tensor_parallel_size: 8"))
    assert "google.com/tpu" in pool.gpus_per_node.reason
    assert pool.nodes.value == 2


def test_a_cluster_whose_head_starts_the_engine() -> None:
    text = (
        "apiVersion: ray.io/v1\nkind: RayCluster\nmetadata: {name: x}\nspec:\n  headGroupSpec:\n    template:\n      spec:\n"
        "        containers:\n        - name: head\n          image: vllm/vllm-openai:v0.8.5\n"
        "          command: [sh, -c, 'vllm serve org/name --tensor-parallel-size 8 --pipeline-parallel-size 2']\n"
        f"          resources: {{limits: {{nvidia.com/gpu: 8}}}}\n  workerGroupSpecs: [{group(8, 'replicas: 1')}]\n"
    )
    pool = one(text)
    assert (pool.model.value, pool.nodes.value, pool.gpus_per_node.value, pool.replicas_max.value) == ("org/name", 2, 8, 1)


def head(container: str) -> str:
    return (
        "apiVersion: ray.io/v1\nkind: RayCluster\nmetadata: {name: x}\nspec:\n"
        f"  headGroupSpec: {{template: {{spec: {{containers: [{{name: h, image: 'vllm/vllm-openai:v0.8.5'{container}}}]}}}}}}\n"
    )


def test_kuberay_replaces_the_entrypoint_of_the_image() -> None:
    assert recognise(head("")) == []
    pool = one(head(", args: ['vllm serve org/name', '--tensor-parallel-size 2']"))
    assert (pool.model.value, pool.tensor.value) == ("org/name", 2), "KubeRay joins the items by blanks"
    assert one(head(", args: ['vllm serve org/name --tensor-parallel-size 2']")).tensor.value == 2


def test_a_job_whose_entrypoint_serves() -> None:
    pool = one(fixture("job-entrypoint.yaml"))
    assert (pool.model.value, pool.tensor.value, pool.nodes.value, pool.gpus_per_node.value) == (
        "Qwen/Qwen2.5-14B-Instruct",
        2,
        2,
        1,
    )
    assert str(pool.version.value) == "0.8.5"
    assert written(pool.tensor) == "--tensor-parallel-size 2"
    assert pool.replicas_min.value == 1


def test_a_job_on_a_cluster_it_selects() -> None:
    text = (
        "apiVersion: ray.io/v1\nkind: RayJob\nmetadata: {name: j}\nspec:\n  entrypoint: vllm serve org/name -tp 2\n"
        "  clusterSelector: {ray.io/cluster: c}\n---\napiVersion: ray.io/v1\nkind: RayCluster\nmetadata: {name: c}\nspec:\n"
        "  headGroupSpec: {template: {spec: {containers: [{name: h, image: 'vllm/vllm-openai:v0.8.5'}]}}}\n"
        f"  workerGroupSpecs: [{group(2)}]\n"
    )
    [deployment] = recognise(text)
    [pool] = deployment.pools
    assert (deployment.name, pool.gpus_per_node.value, pool.nodes.value) == ("j", 2, 1)


# Applications of one's own


def test_an_application_of_ones_own_is_read_by_its_variables() -> None:
    pool = one(fixture("own-application.yaml"))
    assert (pool.engine.value, str(pool.version.value)) == ("vllm", "0.6.2")
    assert (pool.model.value, pool.tensor.value, pool.max_model_len.value) == ("mistralai/Mistral-7B-Instruct-v0.3", 2, 8192)
    assert written(pool.tensor) == '"2"'
    assert (pool.replicas_min.value, pool.gpus_per_node.value, pool.nodes.value) == (2, 2, 1)
    assert "code decides" in pool.pipeline.reason
    assert "code decides" in pool.gpu_memory_utilization.reason


def test_its_variables_are_written_back() -> None:
    text = fixture("own-application.yaml")
    pool = one(text)
    assert pool.tensor.writer is not None
    assert edits.apply(text, pool.tensor.writer.write(4) or ()) == text.replace(
        'TENSOR_PARALLELISM: "2"', 'TENSOR_PARALLELISM: "4"'
    )


def test_arguments_of_the_application_may_be_the_engines() -> None:
    text = (
        "applications:\n- name: llm\n  import_path: serve_vllm:build_app\n"
        "  args: {model: org/name, tensor-parallel-size: '4', max-model-len: 8192, accelerator: GPU}\n"
    )
    pool = one(text)
    assert (pool.engine.value, pool.model.value, pool.tensor.value, pool.max_model_len.value) == ("vllm", "org/name", 4, 8192)
    assert written(pool.tensor) == "'4'"
    assert "code decides" in pool.pipeline.reason
    strange = one(text.replace("max-model-len", "my-own-setting"))
    assert "code decides" in strange.tensor.reason


def test_models_of_the_older_rayllm_are_files() -> None:
    pool = one("applications:\n- import_path: rayllm.backend:router_application\n  args: {models: [./models/llama.yaml]}\n")
    assert "./models/llama.yaml" in pool.model.reason


@pytest.mark.parametrize("value", ["$MODEL_ID", "${MODEL_ID}"])
def test_a_placeholder_is_no_model(value: str) -> None:
    pool = one(fixture("own-application.yaml").replace("mistralai/Mistral-7B-Instruct-v0.3", value))
    assert "filled in later" in pool.model.reason


def test_two_models_are_not_guessed_from() -> None:
    pool = one(fixture("own-application.yaml").replace("TENSOR_PARALLELISM", "HF_MODEL").replace('"2"', '"org/other"'))
    assert "several variables" in pool.model.reason


@pytest.mark.parametrize(
    "text",
    [
        "applications:\n- import_path: fruit.app\n  runtime_env: {env_vars: {MODEL_ID: stabilityai/sdxl}}\n",
        "applications:\n- import_path: text_ml:app\n",
        "applications: [x]\n",
        "applications: {import_path: x}\n",
        "apiVersion: ray.io/v1\nkind: RayCluster\nmetadata: {name: x}\nspec: {headGroupSpec: {template: {spec: {}}}}\n",
        "apiVersion: ray.io/v1\nkind: RayJob\nmetadata: {name: x}\nspec: {entrypoint: python train.py}\n",
        "apiVersion: example.org/v1\nkind: RayService\nspec: {serveConfigV2: 'applications: []'}\n",
    ],
)
def test_what_serves_no_llm_is_not_read(text: str) -> None:
    assert recognise(text) == []


@pytest.mark.parametrize("spec", ["", "serveConfigV2: [a]", "serveConfigV2: {a: b}", "rayClusterConfig: x, serveConfigV2: ''"])
def test_wrong_shapes_are_nothing(spec: str) -> None:
    assert recognise(f"apiVersion: ray.io/v1\nkind: RayService\nmetadata: {{name: x}}\nspec: {{{spec}}}\n") == []


def test_a_map_in_place_of_the_string_is_reported() -> None:
    reading = VerdictReading(())
    text = "apiVersion: ray.io/v1\nkind: RayService\nmetadata: {name: x}\nspec: {serveConfigV2: {applications: []}}\n"
    assert recognise(text, reading) == []
    [(code, verdict)] = reading.problems
    assert code == "DOC102"
    assert "must be a text" in verdict.label


def test_gpus_of_a_shared_host_are_not_one_replicas() -> None:
    deployment = recognise(fixture("service-llm.yaml"))[1]
    [pool] = deployment.pools
    gpus = pool_object(PoolCase(pool, deployment, None))["gpus"]
    assert gpus["requested"] is None


def test_a_broken_string_is_reported_once_and_a_template_is_not() -> None:
    text = "apiVersion: ray.io/v1\nkind: RayService\nmetadata: {name: x}\nspec:\n  serveConfigV2: |\n    applications: ["
    reading = VerdictReading(())
    assert recognise(text, reading) == []
    [(code, verdict)] = reading.problems
    assert code == "DOC101"
    assert "serveConfigV2" in verdict.label
    quiet = VerdictReading(())
    assert recognise(text + "{{ .Values.apps }}", quiet) == []
    assert quiet.problems == []


def test_defaults_have_their_origin() -> None:
    pool = one(serve(f"{{{LOADING}}}"))
    assert pool.replicas_min.origin is not None
    assert pool.replicas_min.origin.kind is OriginKind.DEFAULT
