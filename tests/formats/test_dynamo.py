"""Dynamo: graphs of components in both versions of the API, their configuration files, and deployment requests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from format_reading import VerdictReading, format_named, written
from servelint.builtin import servelint_engines
from servelint.config import Config
from servelint.deployment import Role
from servelint.facts import FactState
from servelint.run import lint_texts, open_session
from servelint.source import edits
from servelint.source.reader import read_text
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from servelint.deployment import Deployment, Pool

FIXTURES = Path(__file__).parents[2] / "fixtures" / "dynamo"
ENGINES = tuple(servelint_engines())


def recognise(text: str, reading: VerdictReading | None = None) -> list[Deployment]:
    documents = read_text(SourceText("dgd.yaml", text)).documents
    found = reading or VerdictReading(documents)
    return [d for document in documents for d in format_named("dynamo").recognise(document, found)]


def one(text: str) -> Pool:
    [deployment] = recognise(text)
    [pool] = deployment.pools
    return pool


def fixture(name: str) -> str:
    return (FIXTURES / name).read_text(encoding="utf-8")


# v1alpha1


def pools() -> tuple[Pool, Pool]:
    [deployment] = recognise(fixture("disaggregated-v1alpha1.yaml"))
    assert (deployment.name, deployment.format) == ("llama-disagg", "dynamo")
    prefill, decode = deployment.pools
    return prefill, decode


def test_workers_are_pools_and_frontend_and_planner_are_not() -> None:
    assert [(pool.name, pool.role) for pool in pools()] == [("PrefillWorker", Role.PREFILL), ("DecodeWorker", Role.DECODE)]


def test_hosts_gpus_and_replicas() -> None:
    prefill, decode = pools()
    assert (prefill.gpus_per_node.value, prefill.nodes.value, prefill.replicas_min.value) == (2, 1, 2)
    assert (decode.gpus_per_node.value, decode.nodes.value, decode.replicas_min.value) == (4, 2, 1)
    assert {prefill.gpu_resource, decode.gpu_resource} == {"nvidia.com/gpu"}
    assert written(decode.gpus_per_node) == '"4"'
    assert [a.name for a in prefill.accelerator.values] == ["H100-SXM5-80GB"]


def test_the_model_comes_from_the_environment_of_the_graph() -> None:
    for pool in pools():
        assert pool.model.value == "meta-llama/Llama-3.3-70B-Instruct"


def test_the_engine_is_the_wrapped_one() -> None:
    prefill, decode = pools()
    assert (prefill.engine.value, prefill.tensor.value, decode.tensor.value) == ("vllm", 2, 8)
    assert written(decode.tensor) == '"8"'
    assert prefill.containers[0].command is not None
    assert prefill.containers[0].command.launcher == "python -m dynamo.vllm"


def test_the_planners_targets_are_those_of_the_phases() -> None:
    prefill, decode = pools()
    assert prefill.target_ttft_seconds.value == pytest.approx(0.8)
    assert decode.target_tpot_seconds.value == pytest.approx(0.025)
    assert not prefill.target_tpot_seconds.is_known
    assert not decode.target_ttft_seconds.is_known
    assert (prefill.input_tokens_max.value, decode.output_tokens_mean.value) == (3000, 150)
    assert written(decode.target_tpot_seconds) == '"25"'
    assert "planner scales" in decode.replicas_max.reason


def test_gpus_and_degrees_are_written_back() -> None:
    text = fixture("disaggregated-v1alpha1.yaml")
    prefill, decode = pools()
    assert prefill.gpus_per_node.writer is not None
    made = edits.apply(text, prefill.gpus_per_node.writer.write(4) or ())
    assert made == text.replace('gpu: "2"', 'gpu: "4"'), "the limit and the request"
    assert decode.nodes.writer is not None
    assert edits.apply(text, decode.nodes.writer.write(4) or ()) == text.replace("nodeCount: 2", "nodeCount: 4")
    assert decode.tensor.writer is not None
    assert edits.apply(text, decode.tensor.writer.write(16) or ()) == text.replace('- "8"', '- "16"')


def graph(service: str, head: str = "", name: str = "Worker") -> str:
    return (
        f"apiVersion: nvidia.com/v1alpha1\nkind: DynamoGraphDeployment\nmetadata: {{name: g}}\nspec:\n  {head}\n"
        f"  services:\n    {name}: {service}\n"
    )


def worker(args: str = "", rest: str = "resources: {limits: {gpu: '1'}}", image: str = "r/vllm-runtime:x") -> str:
    words = f", args: [{args}]" if args else ""
    command = "command: [python3, -m, dynamo.vllm]"
    return f"{{componentType: worker, {rest}, extraPodSpec: {{mainContainer: {{image: '{image}', {command}{words}}}}}}}"


@pytest.mark.parametrize(
    ("resources", "gpus", "resource"),
    [
        ("{limits: {gpu: '8'}}", 8, "nvidia.com/gpu"),
        ("{requests: {gpu: 8}}", 8, "nvidia.com/gpu"),
        ("{limits: {gpu: '2', gpuType: amd.com/gpu}}", 2, "amd.com/gpu"),
        ("{limits: {custom: {nvidia.com/gpu: '4'}}}", 4, "nvidia.com/gpu"),
        ("{limits: {gpu: '4'}, claims: [{name: compute-domain}]}", 4, "nvidia.com/gpu"),
        ("{limits: {gpu: '2', gpuType: gpu.intel.com/xe}}", None, "gpu.intel.com/xe"),
        ("{limits: {gpu: two}}", None, "nvidia.com/gpu"),
    ],
)
def test_ways_to_ask_for_gpus(resources: str, gpus: int | None, resource: str) -> None:
    pool = one(graph(worker("--model=a/b", f"resources: {resources}")))
    assert (pool.gpus_per_node.get(None), pool.gpu_resource) == (gpus, resource)


def test_claims_of_the_main_container_stay_beside_what_the_service_asks_for() -> None:
    service = worker("--model=a/b", "resources: {requests: {memory: 2Gi}}")
    service = service.replace("{image:", "{resources: {claims: [{name: gpu}]}, image:")
    service = service.replace("{mainContainer", "{resourceClaims: [{name: gpu, resourceClaimTemplateName: t}], mainContainer")
    assert one(graph(service)).gpu_resource == "dra"
    template = (
        "---\napiVersion: resource.k8s.io/v1\nkind: ResourceClaimTemplate\nmetadata: {name: t}\n"
        "spec: {spec: {devices: {requests: [{name: gpu, exactly: {deviceClassName: gpu.nvidia.com, count: 2}}]}}}\n"
    )
    report = lint_texts([SourceText("g.yaml", graph(service) + template)], open_session(Config(select=("DOC101",))))
    assert report.deployments[0].pools[0].gpus_per_node.value == 2


def test_environment_of_graph_service_and_container() -> None:
    rest = "resources: {limits: {gpu: 1}}, envs: [{name: TP, value: '2'}, {name: LEN, value: '4096'}], envFromSecret: s"
    service = worker("--model=$(MODEL), --tensor-parallel-size=$(TP), --max-model-len=$(LEN), --dtype=$(OPEN)", rest)
    service = service.replace("command:", "env: [{name: LEN, value: '8192'}], command:")
    pool = one(graph(service, head="envs: [{name: MODEL, value: a/b}, {name: TP, value: '1'}]"))
    assert (pool.model.value, pool.tensor.value, pool.max_model_len.value) == ("a/b", 2, 8192)
    assert "envFrom" in pool.dtype.reason


@pytest.mark.parametrize(("multinode", "nodes"), [("", 1), ("multinode: {nodeCount: 4}, ", 4), ("multinode: {}, ", 2)])
def test_hosts_and_their_defaults(multinode: str, nodes: int) -> None:
    assert one(graph(worker("--model=a/b", f"{multinode}resources: {{limits: {{gpu: 8}}}}"))).nodes.value == nodes


def test_replicas_by_default_and_by_an_adapter() -> None:
    pool = one(graph(worker("--model=a/b")))
    assert (pool.replicas_min.value, pool.replicas_max.value) == (1, 1)
    scaled = one(graph(worker("--model=a/b", "replicas: 2, scalingAdapter: {enabled: true}, resources: {limits: {gpu: 1}}")))
    assert scaled.replicas_min.value == 2
    assert not scaled.replicas_max.is_known


def test_a_wrong_number_of_replicas_is_reported() -> None:
    reading = VerdictReading(())
    recognise(graph(worker("--model=a/b", "replicas: several, resources: {limits: {gpu: 1}}")), reading)
    assert [code for code, _ in reading.problems] == ["DOC102"]


@pytest.mark.parametrize(
    ("flags", "role"),
    [("--is-prefill-worker", Role.PREFILL), ("--disaggregation-mode=prefill", Role.PREFILL), ("", Role.SERVE)],
)
def test_roles_from_the_command_line(flags: str, role: Role) -> None:
    args = ", ".join(filter(None, ("--model=a/b", flags)))
    assert one(graph(worker(args), name="VllmWorker")).role is role


def test_a_decode_worker_without_prefill_workers_serves_both_phases() -> None:
    assert one(graph(worker("--model=a/b"), name="VllmDecodeWorker")).role is Role.SERVE
    text = (
        graph(worker("--model=a/b"), name="VllmDecodeWorker")
        + f"    VllmPrefillWorker: {worker('--model=a/b, --is-prefill-worker')}\n"
    )
    [deployment] = recognise(text)
    assert [pool.role for pool in deployment.pools] == [Role.DECODE, Role.PREFILL]


def test_a_component_on_its_own() -> None:
    text = (
        "apiVersion: nvidia.com/v1alpha1\nkind: DynamoComponentDeployment\nmetadata: {name: c}\n"
        f"spec: {worker('--model=a/b')}\n"
    )
    pool = one(text)
    assert (pool.name, pool.model.value, pool.gpus_per_node.value) == ("c", "a/b", 1)


# Workers with a program of their own


def own(args: str, rest: str = "resources: {limits: {gpu: 1}}") -> str:
    main = f"mainContainer: {{image: 'r/x:1', command: [sh, -c], args: ['{args}']}}"
    return f"{{componentType: worker, {rest}, extraPodSpec: {{{main}}}}}"


def test_a_program_of_its_own_is_known_by_framework_model_and_gpus() -> None:
    pool = one(graph(own("python3 components/worker.py --model llava-hf/llava-1.5-7b-hf"), head="backendFramework: vllm"))
    assert (pool.engine.value, pool.model.value, pool.gpus_per_node.value) == ("vllm", "llava-hf/llava-1.5-7b-hf", 1)
    assert "program of its own" in pool.tensor.reason


@pytest.mark.parametrize(
    ("args", "rest"),
    [
        ("python3 router.py --model a/b", "replicas: 1"),
    ],
)
def test_workers_without_gpus_are_none_of_ours(args: str, rest: str) -> None:
    assert recognise(graph(own(args, rest))) == []


def test_the_simulator_is_named() -> None:
    [deployment] = recognise(graph(own("python3 -m dynamo.mocker --model-path a/b", "resources: {limits: {gpu: 1}}")))
    [pool] = deployment.pools
    assert (pool.engine.value, pool.model.value, pool.containers[0].command) == ("dynamo-mocker", "a/b", None)


# v1beta1 and configuration files


def test_a_pod_template_is_read_as_it_stands() -> None:
    pool = one(fixture("config-map-v1beta1.yaml"))
    assert (pool.name, pool.replicas_min.value, pool.nodes.value, pool.gpus_per_node.value) == ("Worker", 3, 1, 4)
    assert [a.name for a in pool.accelerator.values] == ["H200-SXM-141GB"]


@pytest.mark.skipif(not any(e.name == "sglang" for e in ENGINES), reason="the engine sglang is not there yet")
def test_settings_of_the_config_map_are_those_of_the_engine() -> None:
    text = fixture("config-map-v1beta1.yaml")
    pool = one(text)
    assert (pool.engine.value, pool.model.value, pool.tensor.value, pool.expert.value) == (
        "sglang",
        "zai-org/GLM-4.5-Air-FP8",
        4,
        4,
    )
    assert pool.tensor.place is not None
    assert pool.tensor.place.document.source.position(pool.tensor.place.span.start).line == 9
    assert pool.tensor.writer is not None
    made = edits.apply(text, pool.tensor.writer.write(8) or ())
    assert made == text.replace("tensor-parallel-size: 4", "tensor-parallel-size: 8")


def test_vllm_reads_the_same_from_its_own_file() -> None:
    text = fixture("config-map-v1beta1.yaml").replace("dynamo.sglang", "dynamo.vllm").replace("model-path", "model")
    text = text.replace("    ep-size: 4\n", "    max-model-len: 4096\n")
    pool = one(text)
    assert (pool.engine.value, pool.model.value, pool.tensor.value) == ("vllm", "zai-org/GLM-4.5-Air-FP8", 4)
    assert written(pool.max_model_len) == "4096"


# Requests


def test_a_request_states_a_model_its_load_and_its_targets() -> None:
    pool = one(fixture("request-v1beta1.yaml"))
    assert (pool.model.value, pool.engine.value) == ("Qwen/Qwen3-32B-FP8", "vllm")
    assert pool.target_ttft_seconds.value == pytest.approx(0.6)
    assert pool.target_tpot_seconds.value == pytest.approx(0.025)
    assert (pool.input_tokens_max.value, pool.output_tokens_mean.value, pool.concurrency.value) == (4000, 500, 64)
    assert [a.name for a in pool.accelerator.values] == ["H200-SXM-141GB"]
    assert written(pool.target_ttft_seconds) == "600"
    for fact in (pool.tensor, pool.replicas_min, pool.gpus_per_node):
        assert fact.reason == "Dynamo's profiler chooses it"


def test_a_request_of_the_older_version() -> None:
    pool = one(fixture("request-v1alpha1.yaml"))
    assert (pool.engine.value, pool.target_ttft_seconds.value) == ("trtllm", pytest.approx(0.2))
    assert [a.name for a in pool.accelerator.values] == ["H100-SXM5-80GB"]


@pytest.mark.parametrize(
    "spec",
    ["{}", "{model: [x]}", "{model: a/b, useMocker: true}", "{model: a/b, features: {mocker: {enabled: true}}}", "x"],
)
def test_requests_that_ask_for_nothing_real(spec: str) -> None:
    text = f"apiVersion: nvidia.com/v1beta1\nkind: DynamoGraphDeploymentRequest\nmetadata: {{name: r}}\nspec: {spec}\n"
    assert recognise(text) == []


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "services: x",
        "services: [a]",
        "services: {A: b}",
        "components: {a: b}",
        "components: [x, {name: y}]",
        "services: {A: {}}",
    ],
)
def test_wrong_shapes_are_nothing(spec: str) -> None:
    text = f"apiVersion: nvidia.com/v1beta1\nkind: DynamoGraphDeployment\nmetadata: {{name: r}}\nspec: {{{spec}}}\n"
    assert recognise(text) == []


@pytest.mark.parametrize(("spec", "field"), [("services: [a]", "services"), ("components: {a: b}", "components")])
def test_a_wrong_shape_is_reported(spec: str, field: str) -> None:
    reading = VerdictReading(())
    text = f"apiVersion: nvidia.com/v1beta1\nkind: DynamoGraphDeployment\nmetadata: {{name: r}}\nspec: {{{spec}}}\n"
    assert recognise(text, reading) == []
    [(code, verdict)] = reading.problems
    assert code == "DOC102"
    assert f"spec.{field} must be" in verdict.label


def test_a_template_in_place_of_a_map_is_not_reported() -> None:
    reading = VerdictReading(())
    recognise(graph("x").replace("services:\n    Worker: x", "services: '{{ .Values.services }}'"), reading)
    assert reading.problems == []


def test_the_containers_own_resources_count_where_the_service_is_silent() -> None:
    service = worker("--model=a/b", "resources: {limits: {memory: 1Gi}}")
    pool = one(graph(service.replace("command:", "resources: {limits: {nvidia.com/gpu: 4}}, command:")))
    assert pool.gpus_per_node.value == 4


def test_multinode_must_be_a_map() -> None:
    pool = one(graph(worker("--model=a/b", "multinode: 4, resources: {limits: {gpu: 8}}")))
    assert "not a map" in pool.nodes.reason


def test_another_group_is_not_read() -> None:
    assert recognise(graph(worker("--model=a/b")).replace("nvidia.com/", "example.org/")) == []


@pytest.mark.parametrize(
    ("args", "ttft", "itl"),
    [
        ("--ttft=0.2, --itl=0.01", 0.2, 0.01),
        ("--ttft=200, --itl=10", 0.2, 0.01),
        ('--config, \'{"ttft": 200, "itl": 10}\'', 0.2, 0.01),
        ("--ttft=200", None, None),
        ("--ttft=fast, --itl=10", None, 0.01),
    ],
)
def test_units_of_the_planner(args: str, ttft: float | None, itl: float | None) -> None:
    planner = f"{{componentType: planner, extraPodSpec: {{mainContainer: {{image: x, command: [python3], args: [{args}]}}}}}}"
    pool = one(graph(worker("--model=a/b")) + f"    Planner: {planner}\n")
    assert pool.target_ttft_seconds.get(None) == (pytest.approx(ttft) if ttft else None)
    assert pool.target_tpot_seconds.get(None) == (pytest.approx(itl) if itl else None)


def test_facts_nobody_states_have_defaults_of_the_engine_only() -> None:
    pool = one(graph(worker("--model=a/b")))
    assert pool.tensor.state is FactState.UNKNOWN
    assert pool.tensor.reason == "not stated"
