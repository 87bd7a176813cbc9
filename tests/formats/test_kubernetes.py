"""Plain Kubernetes workloads: which are read, and what is known of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from format_reading import Reading, VllmReading, formats_of
from servelint.deployment import Deployment, Pool, Role
from servelint.facts import FactState, OriginKind
from servelint.formats.kubernetes import Kubernetes
from servelint.source.reader import read_text
from servelint.source.text import SourceText

FIXTURES = Path(__file__).parents[2] / "fixtures" / "kubernetes"


def recognise(text: str, path: str = "deploy.yaml", reading: VllmReading | None = None) -> list[Deployment]:
    reading = reading or VllmReading(())
    documents = read_text(SourceText(path, text)).documents
    return [deployment for document in documents for deployment in Kubernetes().recognise(document, reading)]


def fixture(name: str) -> list[Deployment]:
    path = FIXTURES / name
    return recognise(path.read_text(encoding="utf-8"), name)


def workload(kind: str = "Deployment", api: str = "apps/v1", *, spec: str = "", pod: str = "", container: str = "") -> str:
    """A workload around one vLLM container; ``spec``, ``pod`` and ``container`` are further flow-style entries."""
    body = f"containers: [{{name: vllm, image: 'vllm/vllm-openai:v0.19.1'{container}}}]{pod}"
    return (
        f"apiVersion: {api}\nkind: {kind}\nmetadata: {{name: x}}\n"
        f"spec: {{selector: {{matchLabels: {{a: b}}}}{spec}, template: {{metadata: {{labels: {{a: b}}}}, spec: {{{body}}}}}}}\n"
    )


def test_a_deployment_states_its_facts_with_their_places() -> None:
    [deployment] = fixture("deployment-ten-billion-like.yaml")
    [pool] = deployment.pools
    assert (deployment.name, deployment.format) == ("ten-billion", "kubernetes")
    assert pool.engine.value == "vllm"
    assert str(pool.version.value) == "0.19.1"
    assert pool.model.value == "Qwen/Qwen3-8B"
    assert (pool.tensor.value, pool.pipeline.value) == (2, 2)
    assert (pool.gpus_per_node.value, pool.gpu_resource, pool.nodes.value) == (4, "nvidia.com/gpu", 1)
    assert (pool.replicas_min.value, pool.replicas_max.value) == (2, 2)
    assert pool.accelerator.value.name == "H100-SXM5-80GB"
    assert pool.max_model_len.value == 10240
    assert pool.role is Role.SERVE
    source = deployment.document.source
    for fact, text, line in (
        (pool.gpus_per_node, '"4"', 'nvidia.com/gpu: "4"'),
        (pool.replicas_min, "2", "replicas: 2  # DP=2"),
        (pool.accelerator, "NVIDIA-H100-80GB-HBM3", "nvidia.com/gpu.product: NVIDIA-H100-80GB-HBM3"),
        (pool.tensor, "--tensor-parallel-size=2", "- --tensor-parallel-size=2"),
    ):
        place = fact.place
        assert place is not None
        assert source.text[place.span.start : place.span.end] == text
        assert source.line(source.position(place.span.start).line).strip() == line


@pytest.mark.parametrize(
    ("kind", "api"),
    [("Deployment", "apps/v1"), ("StatefulSet", "apps/v1"), ("ReplicaSet", "apps/v1"), ("Job", "batch/v1")],
)
def test_kinds(kind: str, api: str) -> None:
    [deployment] = recognise(workload(kind, api, container=", args: [--model, m/m]"))
    assert deployment.pools[0].replicas_min.value == 1
    assert deployment.pools[0].replicas_min.origin is not None
    assert deployment.pools[0].replicas_min.origin.kind is OriginKind.DEFAULT


@pytest.mark.parametrize(
    ("kind", "api"),
    [
        ("Deployment", "v1"),
        ("Deployment", "example.com/v1"),
        ("Pod", "apps/v1"),
        ("RayCluster", "ray.io/v1"),
        ("DynamoGraphDeployment", "nvidia.com/v1alpha1"),
    ],
)
def test_other_objects_are_not_read(kind: str, api: str) -> None:
    assert recognise(workload(kind, api, container=", args: [--model, m/m]")) == []


def test_json_and_lists() -> None:
    pod = (
        '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"%s"},"spec":{"containers":[{"name":"c",'
        '"image":"vllm/vllm-openai:v0.19.1","args":["--model","m/m","--tensor-parallel-size","2"],'
        '"resources":{"limits":{"nvidia.com/gpu":"2"}}}]}}'
    )
    text = '{"apiVersion":"v1","kind":"List","items":[' + pod % "a" + "," + pod % "b" + "]}"
    assert [d.name for d in recognise(text)] == ["a", "b"]
    assert "kubernetes" in formats_of(text)
    assert recognise(text)[1].pools[0].gpus_per_node.value == 2


def test_an_object_of_a_list_is_read_as_it_is_alone() -> None:
    transfer = '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
    alone = workload(container=f", args: [--model, m/m, --kv-transfer-config, '{transfer}']").replace(
        "{name: x}", "{name: x-decode}"
    )
    listed = "apiVersion: v1\nkind: List\nitems:\n- " + alone.replace("\n", "\n  ").rstrip() + "\n"
    assert [p.role for text in (alone, listed) for d in recognise(text) for p in d.pools] == [Role.DECODE, Role.DECODE]
    template = "apiVersion: template.openshift.io/v1\nkind: Template\nobjects:\n- " + alone.replace("\n", "\n  ").rstrip()
    listed = "apiVersion: v1\nkind: List\nitems:\n- " + template.replace("\n", "\n  ") + "\n"
    assert [d.name for d in recognise(listed)] == ["x-decode"]


def test_needles_match_every_fixture_of_ours() -> None:
    for path in FIXTURES.glob("*.yaml"):
        assert "kubernetes" in formats_of(path.read_text(encoding="utf-8")), path.name


def test_each_phase_is_its_own_deployment() -> None:
    prefill, decode = fixture("prefill-decode.yaml")
    assert (prefill.name, prefill.pools[0].role, prefill.pools[0].replicas_min.value) == ("qwen-prefill", Role.PREFILL, 3)
    assert (decode.name, decode.pools[0].role, decode.pools[0].gpus_per_node.value) == ("qwen-decode", Role.DECODE, 2)
    # tp_size inside the JSON of a flag is another engine's
    assert prefill.pools[0].tensor.state is FactState.UNKNOWN
    assert prefill.pools[0].accelerator.state is FactState.ALTERNATIVES
    # the sidecar that comes first is no engine
    assert [p.name for p in decode.pools] == ["vllm"]


@pytest.mark.parametrize(
    ("args", "role"),
    [
        ("""--kv-transfer-config, '{"kv_role": "kv_producer"}'""", Role.PREFILL),
        ("""--kv-transfer-config, '{"kv_role": "kv_consumer"}'""", Role.DECODE),
        ("--kv-transfer-config.kv_role, kv_consumer", Role.DECODE),
        ("""--kv-transfer-config, '{"kv_role": "kv_both"}'""", Role.SERVE),
        ("--kv-transfer-config, not-json", Role.SERVE),
        ("--mm-encoder-only", Role.ENCODE),
        ("--port, '8000'", Role.SERVE),
    ],
)
def test_roles_by_the_command_line(args: str, role: Role) -> None:
    assert recognise(workload(container=f", args: [--model, m/m, {args}]"))[0].pools[0].role is role


def test_a_label_alone_is_no_role() -> None:
    text = workload(container=", args: [--model, m/m]").replace("labels: {a: b}", "labels: {llm-d.ai/role: decode}")
    assert recognise(text)[0].pools[0].role is Role.SERVE


def test_simulators_clients_and_init_containers_run_no_engine() -> None:
    assert fixture("not-an-engine.yaml") == []


def test_two_engines_in_one_pod_are_two_pools() -> None:
    second = "}, {name: embed, image: 'vllm/vllm-openai:v0.19.1', args: [--model, e/e], resources: {limits: {nvidia.com/gpu: 1}}"
    [deployment] = recognise(workload(container=", args: [--model, m/m], resources: {limits: {nvidia.com/gpu: 4}}" + second))
    assert [(p.name, p.model.value, p.gpus_per_node.value) for p in deployment.pools] == [("vllm", "m/m", 4), ("embed", "e/e", 1)]


def test_two_engines_in_one_container_share_unknown_gpus() -> None:
    script = ', command: [sh, -c, "vllm serve a/a --port 1 & vllm serve b/b --port 2"], resources: {limits: {nvidia.com/gpu: 2}}'
    [deployment] = recognise(workload(container=script))
    assert [p.name for p in deployment.pools] == ["vllm", "vllm-2"]
    assert [p.model.value for p in deployment.pools] == ["a/a", "b/b"]
    assert all("several engine processes" in p.gpus_per_node.reason for p in deployment.pools)


def test_a_patch_says_nothing_by_what_it_lacks() -> None:
    [deployment] = fixture("patch-decode.yaml")
    [pool] = deployment.pools
    assert pool.containers[0].pod is not None
    assert pool.containers[0].pod.partial
    assert pool.tensor.value == 4
    for fact in (pool.version, pool.gpus_per_node, pool.replicas_min):
        assert fact.state is FactState.UNKNOWN
        assert "patch" in fact.reason


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("name: vllm-gemma", "name: gemma"),  # nothing names an engine
        ("--quantization=awq", "--mode=random"),  # an option of a simulator
        ("          args:", "          command: [/start]\n          args:"),
        ("        - name: server", "        - name: server\n          image: example.com/own:1"),
    ],
)
def test_arguments_alone_are_an_engines_by_its_name_and_all_its_options(old: str, new: str) -> None:
    text = (FIXTURES / "patch-arguments-of-a-named-engine.yaml").read_text(encoding="utf-8")
    [deployment] = recognise(text)
    [pool] = deployment.pools
    assert (pool.engine.value, pool.model.value, pool.tensor.value) == ("vllm", "Qwen/Qwen2.5-7B-Instruct-AWQ", 1)
    assert not pool.gpus_per_node.is_known
    assert old in text
    assert recognise(text.replace(old, new)) == []


def test_a_patch_without_arguments_keeps_those_of_its_base() -> None:
    text = workload(container=', command: ["vllm", "serve"]').replace("selector: {matchLabels: {a: b}}, ", "")
    [deployment] = recognise(text)
    assert "patch" in deployment.pools[0].tensor.reason
    assert "patch" in deployment.pools[0].max_model_len.reason


@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("deploy.yaml", ("selector: {matchLabels: {a: b}}, ", "")),
        ("deploy.yaml", ("vllm/vllm-openai:v0.19.1", "replaced-by-kustomize")),
        ("deploy.yaml", ("{name: x}", "{name: x, namespace: replaced-by-kustomize}")),
        ("overlays/prod/deploy.yaml", ("", "")),
        ("components/shm/deploy.yaml", ("", "")),
        ("patch-decode.yaml", ("", "")),
        ("deployment.patch.yaml", ("", "")),
    ],
)
def test_signs_of_a_patch(path: str, change: tuple[str, str]) -> None:
    text = workload(container=', command: [vllm, serve, "m/m"]').replace(*change)
    assert recognise(text, path)[0].pools[0].containers[0].pod.partial  # type: ignore[union-attr]


def test_a_complete_deployment_is_no_patch() -> None:
    text = workload(container=', command: [vllm, serve, "m/m"]')
    for path in ("deploy.yaml", "base/deploy.yaml", "dispatch.yaml"):
        assert not recognise(text, path)[0].pools[0].containers[0].pod.partial  # type: ignore[union-attr]


def test_variables_are_replaced_where_kubernetes_replaces_them() -> None:
    env = "env: [{name: TP, value: '4'}, {name: MODEL, valueFrom: {configMapKeyRef: {name: runtime, key: model}}}]"
    [deployment] = recognise(workload(container=f", args: ['--model=$(MODEL)', '--tensor-parallel-size=$(TP)'], {env}"))
    pool = deployment.pools[0]
    assert pool.tensor.value == 4
    assert pool.model.state is FactState.UNKNOWN
    assert "MODEL" in pool.model.reason


def test_a_stateful_set_with_nnodes_is_one_group() -> None:
    args = ", args: [--model, m/m, --tensor-parallel-size, '16', --nnodes, '2', --node-rank, '0']"
    [deployment] = recognise(workload("StatefulSet", spec=", replicas: 4", container=args))
    pool = deployment.pools[0]
    assert (pool.nodes.value, pool.replicas_min.value) == (2, 2)


def test_a_ray_cluster_of_unknown_size() -> None:
    script = ', command: [sh, -c, "ray start --head --port=6379; vllm serve m/m --tensor-parallel-size 16"]'
    pool = recognise(workload(container=script))[0].pools[0]
    assert pool.nodes.state is FactState.UNKNOWN
    assert "Ray" in pool.nodes.reason
    assert pool.replicas_min.state is FactState.UNKNOWN


@pytest.mark.parametrize("count", ["two", "-1", "1.5"])
def test_a_number_of_replicas_that_is_none_is_reported(count: str) -> None:
    reading = VllmReading(())
    [deployment] = recognise(workload(spec=f", replicas: {count}", container=", args: [--model, m/m]"), reading=reading)
    assert deployment.pools[0].replicas_min.state is FactState.UNKNOWN
    [(code, verdict)] = reading.problems
    assert code == "DOC102"
    assert count in verdict.label


def test_a_placeholder_for_the_replicas_is_not_reported() -> None:
    reading = VllmReading(())
    [deployment] = recognise(workload(spec=', replicas: "${REPLICAS}"', container=", args: [--model, m/m]"), reading=reading)
    assert deployment.pools[0].replicas_min.state is FactState.UNKNOWN
    assert reading.problems == []


def test_gpus_and_replicas_can_be_written() -> None:
    from servelint.source.edits import apply

    [deployment] = fixture("deployment-ten-billion-like.yaml")
    pool = deployment.pools[0]
    assert pool.gpus_per_node.writer is not None
    assert pool.replicas_min.writer is not None
    edits = (*(pool.gpus_per_node.writer.write(2) or ()), *(pool.replicas_min.writer.write(3) or ()))
    text = apply(deployment.document.source.text, edits)
    assert text.count('nvidia.com/gpu: "2"') == 2
    assert "replicas: 3  # DP=2" in text


def test_a_default_can_be_written() -> None:
    from servelint.source.edits import apply

    text = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: x\nspec:\n  selector: {}\n  template:\n    spec:\n      containers:\n"
    text += "        - name: vllm\n          image: vllm/vllm-openai:v0.19.1\n          args: [--model, m/m]\n"
    pool = recognise(text)[0].pools[0]
    assert pool.replicas_min.writer is not None
    edits = pool.replicas_min.writer.write(3)
    assert edits is not None
    assert recognise(apply(text, edits))[0].pools[0].replicas_min.value == 3


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "kind: Deployment",
        "apiVersion: apps/v1\nkind: Deployment\nspec: vllm",
        "apiVersion: v1\nkind: Pod\nspec: {containers: vllm}",
        "apiVersion: v1\nkind: Pod\nspec: {containers: [vllm, {name: [vllm]}, {image: {a: b}}, null]}",
        "apiVersion: v1\nkind: List\nitems: vllm",
        "apiVersion: v1\nkind: Pod\nspec: {containers: [{image: vllm/vllm-openai:v1, args: --model, env: 3, resources: 4}]}",
        "apiVersion: [v1]\nkind: {a: b}",
    ],
)
def test_nonsense_is_read_without_error(text: str) -> None:
    for deployment in recognise(text):
        assert deployment.pools


@pytest.mark.parametrize(
    ("image", "environment", "found"),
    [
        ("example.com/ai/vllm-assistant:1", "{name: MODEL_ID, value: org/model}", True),
        (
            "example.com/ai/vllme:1",
            "{name: MODEL_ID, value: org/model}",
            False,
        ),  # an emulator: the engine's name is no word of it
        ("example.com/ai/vllm-mock:1", "{name: MODEL_ID, value: org/model}", False),
        ("example.com/ai/vllm-assistant:1", "{name: PORT, value: '8000'}", False),
        ("example.com/ai/vllm-assistant:1", "{name: PORT, value: '8000'}], envFrom: [{secretRef: {name: s}}", False),
    ],
)
def test_an_image_of_its_own_serves_where_a_variable_names_the_model(image: str, environment: str, found: bool) -> None:
    gpus = f", env: [{environment}], resources: {{limits: {{nvidia.com/gpu: 1}}}}"
    deployments = recognise(workload(container=gpus).replace("vllm/vllm-openai:v0.19.1", image))
    assert [pool.model.value for deployment in deployments for pool in deployment.pools] == (["org/model"] if found else [])


# -- Knative


def knative(marks: str, *, of_service: str = "", path: str = "x.yaml") -> Pool:
    text = (
        f"apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {{name: x, annotations: {{{of_service}}}}}\n"
        f"spec: {{template: {{metadata: {{annotations: {{{marks}}}}}, "
        "spec: {containers: [{name: vllm, image: 'vllm/vllm-openai:v0.19.1', args: [--model, m/m]}]}}}\n"
    )
    [deployment] = recognise(text, path)
    return deployment.pools[0]


A = "autoscaling.knative.dev"


@pytest.mark.parametrize(
    ("marks", "of_service", "low", "high"),
    [
        (f"{A}/min-scale: '1', {A}/max-scale: '10'", "", 1, 10),
        (f"{A}/minScale: '2', {A}/maxScale: '3'", "", 2, 3),
        (f"{A}/min-scale: '1', {A}/minScale: '2'", "", 1, None),
        (f"{A}/initial-scale: '4', {A}/target: '20'", "", 0, None),
        (f"{A}/max-scale: '0'", "", 0, None),
        (f"{A}/class: hpa.autoscaling.knative.dev", "", 1, None),
        (f"{A}/min-scale: many", "", None, None),
        ("", "run.googleapis.com/minScale: '1', run.googleapis.com/maxScale: '2'", 1, 2),
        (f"{A}/maxScale: '7'", "run.googleapis.com/minScale: '1'", 1, 7),
        ("", f"{A}/min-scale: '1'", 0, None),  # Knative refuses it there
    ],
)
def test_annotations_of_the_template_say_how_far_knative_scales(
    marks: str, of_service: str, low: int | None, high: int | None
) -> None:
    pool = knative(marks, of_service=of_service)
    assert (pool.replicas_min.get(None), pool.replicas_max.get(None)) == (low, high)
    for fact, value in ((pool.replicas_min, low), (pool.replicas_max, high)):
        if value is not None and fact.place is not None:
            assert fact.place.document.source.text[fact.place.span.start : fact.place.span.end] == f"'{value}'"


def test_a_part_of_a_knative_service_has_no_defaults() -> None:
    assert knative("", path="patch-scale.yaml").replicas_min.state is FactState.UNKNOWN


# -- one server over several pods


def over_pods(script: str, kind: str = "StatefulSet", *, replicas: int = 2, image: str = "t", env: str = "") -> Pool:
    """The pool of a workload of eight-GPU pods that run ``script``."""
    images = {"t": "nvcr.io/nvidia/tensorrt-llm/release:1.2.0", "v": "vllm/vllm-openai:v0.19.1", "s": "lmsysorg/sglang:v0.5.9"}
    lines = "\n".join(f"              {line}" for line in script.splitlines())
    text = (
        f"apiVersion: {'batch/v1' if kind == 'Job' else 'apps/v1'}\nkind: {kind}\nmetadata: {{name: llm}}\nspec:\n"
        f"  {'parallelism' if kind == 'Job' else 'replicas'}: {replicas}\n  selector: {{matchLabels: {{a: b}}}}\n"
        f"  template:\n    spec:\n      containers:\n        - name: llm\n          image: {images[image]}\n"
        f"          command: [bash, -c]\n          args:\n            - |\n{lines}\n          env: [{env}]\n"
        "          resources: {limits: {nvidia.com/gpu: 8}}\n"
    )
    documents = read_text(SourceText("x.yaml", text)).documents
    [deployment] = [each for document in documents for each in Kubernetes().recognise(document, Reading(documents))]
    return deployment.pools[0]


SERVES = "trtllm-llmapi-launch trtllm-serve m/m --tp_size 16"


@pytest.mark.parametrize(
    ("start", "nodes"),
    [
        (f"mpirun -np 16 --hostfile /etc/hosts.mpi {SERVES}", 2),
        (f"mpirun --allow-run-as-root -n 16 -H llm-0.llm:8,llm-1.llm:8 -x HF_TOKEN {SERVES}", 2),
        (f"mpirun -np $RANKS --host llm-0.$NAME,llm-1.$NAME {SERVES}", 2),
        (f"mpirun -np 16 --map-by ppr:4:node {SERVES}", 4),
        (f"mpiexec -n 16 -ppn 8 {SERVES}", 2),
        (f"mpirun -np 16 --hostfile h bash -c '{SERVES}'", 2),
        ("mpirun -n 8 trtllm-serve m/m --tp_size 8", 1),
        ("mpirun -n 1 --oversubscribe trtllm-serve m/m --tp_size 8", 1),
        ("trtllm-serve m/m --tp_size 8", 1),
    ],
)
def test_mpirun_says_over_how_many_pods_a_server_runs(start: str, nodes: int) -> None:
    pool = over_pods(f"service ssh start\n{start}", replicas=4)
    assert (pool.nodes.value, pool.replicas_min.value, pool.replicas_max.value) == (nodes, 4 // nodes, 4 // nodes)
    assert pool.tensor.value in (8, 16)
    assert over_pods(start, "Job", replicas=4).replicas_min.value == 4 // nodes


def test_the_number_of_ranks_is_what_the_fact_points_at() -> None:
    place = over_pods(f"mpirun --hostfile h -np 16 {SERVES}").nodes.place
    assert place is not None
    assert place.document.source.text[place.span.start : place.span.end] == "16"


@pytest.mark.parametrize(
    "start",
    [
        f"mpirun -np $RANKS --hostfile h {SERVES}",
        f"mpirun --host $HOSTS {SERVES}",
        f"mpirun -np 12 --hostfile h {SERVES}",
        f"mpirun --machinefile h {SERVES}",
        f"mpirun -np {'9' * 5000} --map-by ppr:{'9' * 5000}:node {SERVES}",
    ],
)
def test_ranks_on_hosts_that_nothing_states_leave_the_group_open(start: str) -> None:
    pool = over_pods(start)
    assert pool.nodes.reason == "mpirun starts the ranks on hosts that are not stated here"
    assert pool.replicas_min.state is FactState.UNKNOWN


def test_pods_of_a_deployment_have_no_index_by_which_they_could_form_a_group() -> None:
    pool = over_pods(f"mpirun -np 16 --hostfile h {SERVES}", "Deployment")
    assert (pool.nodes.value, pool.replicas_min.state) == (2, FactState.UNKNOWN)


INDEX = "{name: RANK, valueFrom: {fieldRef: {fieldPath: \"metadata.labels['apps.kubernetes.io/pod-index']\"}}}"


@pytest.mark.parametrize(
    ("script", "env", "nodes"),
    [
        ("SERVE --node-rank ${HOSTNAME##*-}", "", 4),
        ("RANK=${HOSTNAME##*-}\nSERVE --node-rank $RANK", "", 4),
        ("SERVE --node-rank=$RANK", INDEX, 4),
        ("SERVE --node-rank $RANK", "", None),
        ("SERVE --node-rank $((RANK % 2))", INDEX, None),
        ("SERVE --node-rank 0", "", None),
    ],
)
def test_pods_that_are_the_nodes_of_their_index_are_one_group(script: str, env: str, nodes: int | None) -> None:
    launch = "python3 -m sglang.launch_server --model-path m/m --tp 32 --nnodes $NODES --dist-init-addr llm-0.llm:5000"
    pool = over_pods(script.replace("SERVE", launch), image="s", replicas=4, env=env)
    assert pool.nodes.get(None) == nodes
    assert pool.replicas_min.get(None) == (1 if nodes else None)


@pytest.mark.parametrize(
    ("degree", "nodes"), [("--tensor-parallel-size 8", 2), ("-tp 4 -pp 2", 2), ("--tensor-parallel-size 4", 1)]
)
def test_a_data_rank_that_takes_all_gpus_of_its_pod_is_a_node(degree: str, nodes: int) -> None:
    script = f"vllm serve m/m {degree} --data-parallel-size 2 --data-parallel-rank ${{HOSTNAME##*-}} --data-parallel-address a"
    pool = over_pods(script, image="v")
    assert (pool.nodes.value, pool.replicas_min.value) == (nodes, 2 // nodes)


@pytest.mark.parametrize(
    ("image", "ports", "found"),
    [
        ("example.com/ai/llama3-vllm:8b", ", ports: [{containerPort: 8000}]", True),
        ("<REGISTRY>.example.com/llama3-vllm:8b", ", ports: [{containerPort: 8000}]", True),
        ("example.com/ai/llama3-vllm:8b", "", False),
        ("example.com/ai/vllm-router:1", ", ports: [{containerPort: 8000}]", False),
        ("example.com/vllm/notebook:1", ", ports: [{containerPort: 8888}]", False),
    ],
)
def test_an_image_of_its_own_serves_where_it_opens_a_port(image: str, ports: str, found: bool) -> None:
    gpus = f"{ports}, resources: {{limits: {{nvidia.com/gpu: 2}}}}"
    deployments = recognise(workload(container=gpus).replace("vllm/vllm-openai:v0.19.1", image))
    pools = [pool for deployment in deployments for pool in deployment.pools]
    assert [(pool.engine.value, pool.gpus_per_node.value) for pool in pools] == ([("vllm", 2)] if found else [])
    assert all(not pool.model.is_known and not pool.tensor.is_known for pool in pools)


RANKS = """vllm serve m/m --port 8200 --data-parallel-size 4 --data-parallel-rank %s &
      vllm serve m/m --port 8201 --data-parallel-size 4 --data-parallel-rank %s"""


def test_ranks_that_are_processes_of_one_container_are_one_engine() -> None:
    script = f', command: [sh, -c, "{RANKS % (0, 1)}"], resources: {{limits: {{nvidia.com/gpu: 2}}}}'
    [deployment] = recognise(workload(container=script))
    [pool] = deployment.pools
    assert (pool.data.value, pool.data_local.value, pool.gpus_per_node.value, pool.nodes.value) == (4, 2, 2, 2)
    place = pool.data_local.place
    assert place is not None
    assert place.document.source.text[place.span.start : place.span.end] == "--data-parallel-rank 0"


@pytest.mark.parametrize(("rank", "pods", "replicas"), [("0", 1, 1), ("1", 1, None), ("0", 3, None), ("$(RANK)", 1, None)])
def test_the_first_pod_of_a_group_whose_others_are_elsewhere_is_one_replica(rank: str, pods: int, replicas: int | None) -> None:
    args = f", args: [--model, m/m, --tensor-parallel-size, '16', --nnodes, '2', --node-rank, '{rank}']"
    [deployment] = recognise(workload("StatefulSet", spec=f", replicas: {pods}", container=args))
    assert deployment.pools[0].nodes.value == 2
    assert deployment.pools[0].replicas_min.get(None) == replicas
