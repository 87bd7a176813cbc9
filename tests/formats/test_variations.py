"""Ways of writing that occur in public manifests beside each format's plain one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from linted_pools import pools
from servelint.config import Config
from servelint.run import open_session

if TYPE_CHECKING:
    from servelint.run import Session

GPUS = "resources: {limits: {nvidia.com/gpu: 4}}"


def workload(kind: str, version: str, container: str, spec: str = "selector: {matchLabels: {a: b}}, replicas: 2") -> str:
    return (
        f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: n}}\n"
        f"spec: {{{spec}, template: {{spec: {{containers: [{container}]}}}}}}\n"
    )


VLLM = "{name: c, image: 'vllm/vllm-openai:v0.10.0', args: [--model, org/m, -tp, '4'], " + GPUS + "}"


@pytest.mark.parametrize(
    ("kind", "version", "replicas"),
    [
        ("Rollout", "argoproj.io/v1alpha1", 2),
        ("CloneSet", "apps.kruise.io/v1alpha1", 2),
        ("DeploymentConfig", "apps.openshift.io/v1", 2),
        ("DaemonSet", "apps/v1", None),
        ("Service", "serving.knative.dev/v1", 0),
    ],
)
def test_what_is_made_like_a_deployment(kind: str, version: str, replicas: int | None, session: Session) -> None:
    [pool] = pools(session, workload(kind, version, VLLM)).values()
    assert (pool.model.value, pool.tensor.value, pool.gpus_per_node.value, pool.nodes.value) == ("org/m", 4, 4, 1)
    assert pool.replicas_min.get(None) == replicas


def test_a_cron_job(session: Session) -> None:
    text = f"apiVersion: batch/v1\nkind: CronJob\nmetadata: {{name: n}}\nspec: {{jobTemplate: {{spec: {{template: {{spec: {{containers: [{VLLM}]}}}}}}}}}}\n"
    [pool] = pools(session, text).values()
    assert pool.tensor.value == 4
    assert "by the clock" in pool.replicas_min.reason


def test_an_openshift_template(session: Session) -> None:
    item = workload("Deployment", "apps/v1", VLLM).replace("\n", "\n  ")
    [pool] = pools(session, f"apiVersion: template.openshift.io/v1\nkind: Template\nobjects:\n- {item}").values()
    assert (pool.tensor.value, pool.replicas_min.value) == (4, 2)


def test_variables_from_a_config_map_of_the_file(session: Session) -> None:
    container = (
        "{name: c, image: 'vllm/vllm-openai:v0.10.0', args: ['--model=$(MODEL)', '--tensor-parallel-size=$(LLM_TP)'],"
        " env: [{name: MODEL, valueFrom: {configMapKeyRef: {name: cfg, key: id}}}],"
        f" envFrom: [{{configMapRef: {{name: cfg}}, prefix: LLM_}}], {GPUS}}}"
    )
    config = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: cfg}\ndata: {id: org/m, TP: '4'}\n"
    [pool] = pools(session, workload("Deployment", "apps/v1", container) + config).values()
    assert (pool.model.value, pool.tensor.value) == ("org/m", 4)
    [pool] = pools(session, workload("Deployment", "apps/v1", container)).values()
    assert not pool.model.is_known


def test_an_entrypoint_script_runs_what_stands_behind_it(session: Session) -> None:
    container = (
        "{name: c, image: 'nvcr.io/nvidia/vllm:25.09-py3', command: [/opt/nvidia/nvidia_entrypoint.sh, bash, -c],"
        f" args: ['ulimit -n 65536; numactl -N 0 vllm serve org/m -tp 4 & wait'], {GPUS}}}"
    )
    [pool] = pools(session, workload("Deployment", "apps/v1", container)).values()
    assert (pool.model.value, pool.tensor.value) == ("org/m", 4)


def test_bare_arguments_of_an_image_of_ones_own(session: Session) -> None:
    own = "{name: c, image: 'registry/llm:1', args: [--model=org/m, --max-model-len=4096, --tensor-parallel-size=4]}"
    [pool] = pools(session, workload("Deployment", "apps/v1", own)).values()
    assert (pool.engine.value, pool.tensor.value) == ("vllm", 4)
    for other in (own.replace("registry/llm", "x/aphrodite"), own.replace(", --max-model-len=4096", "")):
        assert pools(session, workload("Deployment", "apps/v1", other)) == {}


def test_a_program_of_ones_own_on_an_engines_image(session: Session) -> None:
    own = "{name: c, image: 'vllm/vllm-openai:v0.10.0', command: [sh, -c, 'uvicorn launcher:app'], " + GPUS + "}"
    [pool] = pools(session, workload("Deployment", "apps/v1", own)).values()
    assert (pool.engine.value, str(pool.version.value), pool.gpus_per_node.value) == ("vllm", "0.10.0", 4)
    assert "program of its own" in pool.tensor.reason
    assert pool.containers[0].command is None
    for other in ("sleep infinity", "ray start --block", "python bench_serving.py"):
        assert pools(session, workload("Deployment", "apps/v1", own.replace("uvicorn launcher:app", other))) == {}


def test_kserve_takes_a_whole_command_for_arguments(session: Session) -> None:
    text = (
        "apiVersion: serving.kserve.io/v1alpha1\nkind: LLMInferenceService\nmetadata: {name: n}\n"
        "spec:\n  model: {uri: 'hf://org/m'}\n  template:\n    containers:\n    - name: main\n      args:\n      - |\n"
        "        python3 -m vllm.entrypoints.openai.api_server \\\n          --model=/mnt/models --tensor-parallel-size=4\n"
    )
    [pool] = pools(session, text).values()
    assert (pool.model.value, pool.tensor.value) == ("org/m", 4)


def test_chart_values_with_a_script_and_flat_resources(session: Session) -> None:
    text = "cli: 'ray start --head; python3 -m vllm.entrypoints.openai.api_server --model org/m -tp 4 -pp 2'\nresources: {nvidia.com/gpu: '4'}\ndistributed: {enabled: true}\n"
    [pool] = pools(session, text).values()
    assert (pool.model.value, pool.tensor.value, pool.pipeline.value, pool.gpus_per_node.value) == ("org/m", 4, 2, 4)


def test_a_single_model_of_the_production_stack_as_a_mapping(session: Session) -> None:
    text = "servingEngineSpec: {modelSpec: {name: n, repository: vllm/vllm-openai, tag: v0.10.0, modelURL: org/m, requestGPU: 1, replicaCount: 2}}\n"
    [pool] = pools(session, text).values()
    assert (pool.model.value, pool.replicas_min.value) == ("org/m", 2)


RECIPE = """
base:
  name: recipe
  model: {path: m, container: c.sqsh}
  resources: {gpu_type: h100, gpus_per_node: 8, prefill_nodes: 1, prefill_workers: 1, decode_nodes: 2, decode_workers: 2}
  backend: {sglang_config: {prefill: {tp-size: 8}, decode: {tp-size: 8, mem-fraction-static: 0.8}}}
"""


def test_variants_of_a_recipe_are_laid_over_its_base(session: Session) -> None:
    over = "override_small:\n  resources: {decode_nodes: 1, decode_workers: 1}\n"
    zipped = (
        "zip_override_tp:\n  name: [a, b]\n  resources: {decode_nodes: [2, 4], decode_workers: [1]}\n"
        "  backend: {sglang_config: {decode: {tp-size: [16, 32]}}}\n"
    )
    found = pools(session, RECIPE + over + zipped)
    assert {name: (p.tensor.value, p.nodes.value, p.replicas_min.value) for name, p in found.items()} == {
        "recipe_small/prefill": (8, 1, 1), "recipe_small/decode": (8, 1, 1),
        "a/prefill": (8, 1, 1), "a/decode": (16, 2, 1),
        "b/prefill": (8, 1, 1), "b/decode": (32, 4, 1),
    }  # fmt: skip
    place = found["b/decode"].tensor.place
    assert place is not None
    assert "32" in place.document.source.text[place.span[0] : place.span[1]]
    assert list(pools(session, RECIPE)) == ["recipe/prefill", "recipe/decode"]


def test_an_unknown_alternative_leaves_the_known_ones(session: Session) -> None:
    affinity = (
        "affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions:"
        " [{key: nvidia.com/gpu.product, operator: In, values: [NVIDIA-L4, NVIDIA-Z9000]}]}]}}}"
    )
    text = workload("Deployment", "apps/v1", VLLM).replace("containers:", f"{affinity}, containers:")
    [pool] = pools(session, text).values()
    assert [a.name for a in pool.accelerator.values] == ["L4"]


def test_what_a_configuration_says_of_labels_and_profiles() -> None:
    config = Config(
        select=("DOC101",), path="c.yaml", labels={"pool=big": "L4", "kind": "H200"}, resource_profiles={"own": "Gaudi2"},
        default_accelerator="A100",
    )  # fmt: skip
    explained = open_session(config)
    pod = workload("Deployment", "apps/v1", VLLM)
    for selector, name in (("{pool: big}", "L4"), ("{kind: any}", "H200-SXM-141GB"), ("{pool: small}", "A100-SXM4-80GB")):
        [pool] = pools(explained, pod.replace("containers:", f"nodeSelector: {selector}, containers:")).values()
        assert pool.accelerator.values[0].name == name, selector
    kubeai = "apiVersion: kubeai.org/v1\nkind: Model\nmetadata: {name: n}\nspec: {engine: VLLM, url: 'hf://org/m', resourceProfile: 'own:2'}\n"
    [pool] = pools(explained, kubeai).values()
    assert [a.name for a in pool.accelerator.values] == ["Gaudi2"]
    assert pool.accelerator.origin is not None
    assert pool.accelerator.origin.text == "own in c.yaml"
