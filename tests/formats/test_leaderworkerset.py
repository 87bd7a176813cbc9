"""LeaderWorkerSet: groups of pods, and the three ways to start an engine in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from format_reading import VerdictReading, VllmReading, formats_of
from servelint.deployment import Deployment, Pool, Role
from servelint.facts import FactState, OriginKind
from servelint.formats.leaderworkerset import LeaderWorkerSet
from servelint.source.reader import read_text
from servelint.source.text import SourceText

FIXTURES = Path(__file__).parents[2] / "fixtures" / "kubernetes"


def recognise(text: str, path: str = "lws.yaml", reading: VerdictReading | None = None) -> list[Deployment]:
    reading = reading or VllmReading(())
    documents = read_text(SourceText(path, text)).documents
    return [deployment for document in documents for deployment in LeaderWorkerSet().recognise(document, reading)]


def fixture(name: str) -> Pool:
    [deployment] = recognise((FIXTURES / name).read_text(encoding="utf-8"), name)
    [pool] = deployment.pools
    return pool


def group(template: str, *, leader: str = "", spec: str = "", size: str = "size: 2, ") -> str:
    """A set around flow-style containers."""
    lead = f"leaderTemplate: {{spec: {{containers: [{leader}]}}}}, " if leader else ""
    return (
        "apiVersion: leaderworkerset.x-k8s.io/v1\nkind: LeaderWorkerSet\nmetadata: {name: x}\n"
        f"spec: {{{spec}leaderWorkerTemplate: {{{size}{lead}workerTemplate: {{spec: {{containers: [{template}]}}}}}}}}\n"
    )


def vllm(*args: str, gpus: int | None = 8, name: str = "vllm") -> str:
    words = ", ".join(f"'{word}'" for word in args)
    resources = f", resources: {{limits: {{nvidia.com/gpu: {gpus}}}}}" if gpus is not None else ""
    return f"{{name: {name}, image: 'vllm/vllm-openai:v0.19.1', command: [vllm, serve, m/m, {words}]{resources}}}"


RAY_WORKER = (
    "{name: worker, image: 'vllm/vllm-openai:v0.19.1', "
    "command: [sh, -c, 'bash multi-node-serving.sh worker --ray_address=$(LWS_LEADER_ADDRESS)'], "
    "resources: {limits: {nvidia.com/gpu: %s}}}"
)


def test_a_ray_group_is_the_plan_of_the_source_document() -> None:
    pool = fixture("lws-ten-billion-like.yaml")
    assert (pool.tensor.value, pool.pipeline.value) == (2, 2)
    assert (pool.nodes.value, pool.gpus_per_node.value, pool.replicas_min.value) == (2, 2, 2)
    assert pool.nodes.value * pool.gpus_per_node.value * pool.replicas_min.value == 8
    assert pool.model.value == "Qwen/Qwen3-8B"
    assert str(pool.version.value) == "0.19.1"
    assert pool.accelerator.value.name == "H100-SXM5-80GB"
    assert [c.name for c in pool.containers] == ["vllm"]


def test_every_number_of_a_group_can_be_written() -> None:
    from servelint.source.edits import apply

    path = FIXTURES / "lws-ten-billion-like.yaml"
    text = path.read_text(encoding="utf-8")
    pool = fixture(path.name)
    edits = []
    for fact, value in ((pool.nodes, 1), (pool.gpus_per_node, 4), (pool.replicas_min, 3)):
        assert fact.writer is not None
        written = fact.writer.write(value)
        assert written
        edits += written
    after = recognise(apply(text, edits))[0].pools[0]
    assert (after.nodes.value, after.gpus_per_node.value, after.replicas_min.value) == (1, 4, 3)
    # limits and requests of leader and workers alike
    assert apply(text, edits).count('nvidia.com/gpu: "4"') == 4


def test_data_parallel_ranks_in_every_pod() -> None:
    pool = fixture("lws-wide-expert-parallel.yaml")
    assert (pool.tensor.value, pool.data.value, pool.data_local.value) == (1, 32, 8)
    assert (pool.nodes.value, pool.gpus_per_node.value) == (4, 8)
    assert pool.role is Role.DECODE
    assert pool.replicas_min.value == 1
    assert pool.replicas_min.origin is not None
    assert pool.replicas_min.origin.kind is OriginKind.DEFAULT


def test_the_same_engine_in_every_pod() -> None:
    args = ("--tensor-parallel-size", "16", "--nnodes", "$(LWS_GROUP_SIZE)", "--node-rank", "$(LWS_WORKER_INDEX)")
    [deployment] = recognise(group(vllm(*args, "--headless"), leader=vllm(*args, name="leader")))
    [pool] = deployment.pools
    assert (pool.tensor.value, pool.nodes.value, pool.gpus_per_node.value) == (16, 2, 8)
    assert [c.name for c in pool.containers] == ["leader", "vllm"]


def test_leader_and_workers_that_disagree_are_a_conflict() -> None:
    leader = vllm("--tensor-parallel-size", "16", name="leader")
    [deployment] = recognise(group(vllm("--tensor-parallel-size", "8"), leader=leader))
    pool = deployment.pools[0]
    assert pool.tensor.state is FactState.CONFLICT
    assert pool.tensor.values == (16, 8)


def test_workers_with_other_gpus_are_a_conflict() -> None:
    [deployment] = recognise(group(RAY_WORKER % 4, leader=vllm("--tensor-parallel-size", "8", name="leader")))
    gpus = deployment.pools[0].gpus_per_node
    assert gpus.state is FactState.CONFLICT
    assert gpus.values == (8, 4)
    assert "each worker for 4" in gpus.reason


def test_a_leader_without_gpus_starts_ranks_on_the_workers() -> None:
    [deployment] = recognise(group(RAY_WORKER % 8, leader=vllm(gpus=None, name="leader"), size="size: 3, "))
    pool = deployment.pools[0]
    assert (pool.nodes.value, pool.gpus_per_node.value, pool.gpu_resource) == (2, 8, "nvidia.com/gpu")


def test_the_gpu_type_is_that_of_the_workers_where_the_leader_has_none() -> None:
    text = group(RAY_WORKER % 8, leader=vllm(gpus=None, name="leader"), size="size: 3, ")
    placed = text.replace(
        "workerTemplate: {spec: {", "workerTemplate: {spec: {nodeSelector: {nvidia.com/gpu.product: NVIDIA-L4}, "
    )
    [deployment] = recognise(placed)
    accelerator = deployment.pools[0].accelerator
    assert accelerator.value.name == "L4"
    assert accelerator.place is not None
    assert placed[accelerator.place.span.start : accelerator.place.span.end] == "NVIDIA-L4"


def test_a_group_of_one_never_runs_the_worker_template() -> None:
    [deployment] = recognise(group(RAY_WORKER % 4, leader=vllm(name="leader"), size="size: 1, "))
    assert deployment.pools[0].gpus_per_node.value == 8


def test_size_and_replicas_have_defaults_that_can_be_written() -> None:
    [deployment] = recognise(group(vllm(), size=""))
    pool = deployment.pools[0]
    assert (pool.nodes.value, pool.replicas_min.value) == (1, 1)
    assert pool.nodes.origin is not None
    assert pool.nodes.origin.kind is OriginKind.DEFAULT


@pytest.mark.parametrize("size", ["two", "0", "-2"])
def test_a_size_that_is_none_is_reported(size: str) -> None:
    reading = VllmReading(())
    [deployment] = recognise(group(vllm(), size=f"size: {size}, "), reading=reading)
    assert deployment.pools[0].nodes.state is FactState.UNKNOWN
    assert [code for code, _ in reading.problems] == ["DOC102"]


def test_a_set_without_an_engine_is_not_ours() -> None:
    assert recognise(group("{name: trainer, image: 'pytorch/pytorch:2', command: [torchrun]}")) == []
    assert recognise("apiVersion: leaderworkerset.x-k8s.io/v1\nkind: LeaderWorkerSet\nspec: {leaderWorkerTemplate: vllm}") == []


def test_a_patch_of_a_set() -> None:
    [deployment] = recognise(group(vllm(gpus=None), size=""), "patch.yaml")
    pool = deployment.pools[0]
    assert pool.nodes.state is FactState.UNKNOWN
    assert pool.replicas_min.state is FactState.UNKNOWN


def of_set(spec: str, scaling: str = "") -> str:
    """Two roles of two groups with one pod each."""
    sets = f"replicas: 2, leaderWorkerTemplate: {{workerTemplate: {{spec: {{containers: [{vllm('-tp', '8')}]}}}}}}"
    return (
        "apiVersion: disaggregatedset.x-k8s.io/v1\nkind: DisaggregatedSet\nmetadata: {name: x}\n"
        f"spec: {{{spec}roles: [{{name: prefill, spec: {{{sets}}}}}, {{name: decode, {scaling}spec: {{{sets}}}}}]}}\n"
    )


def test_the_roles_of_a_disaggregated_set_are_sets_of_their_own() -> None:
    [deployment] = recognise((FIXTURES / "disaggregated-set.yaml").read_text(encoding="utf-8"), reading=VerdictReading(()))
    assert [(pool.name, pool.role) for pool in deployment.pools] == [("prefill", Role.PREFILL), ("decode", Role.DECODE)]
    prefill, decode = deployment.pools
    assert (prefill.tensor.value, prefill.nodes.value, prefill.replicas_min.value, prefill.replicas_max.value) == (8, 1, 6, 6)
    assert (decode.tensor.value, decode.nodes.value, decode.replicas_min.value) == (16, 2, 2)
    assert decode.nodes.place is not None
    assert decode.nodes.place.span.start == deployment.document.source.text.index("size: 2") + len("size: ")


def test_replicas_of_a_role_that_is_scaled_from_outside_are_unknown() -> None:
    [deployment] = recognise(of_set("slices: 3, ", "scaling: {mode: External}, "))
    prefill, decode = deployment.pools
    assert (prefill.replicas_min.value, prefill.replicas_max.value) == (6, 6)
    assert "autoscaler" in decode.replicas_min.reason
    assert "autoscaler" in decode.replicas_max.reason


def test_slices_that_are_no_number_are_reported() -> None:
    reading = VllmReading(())
    [deployment] = recognise(of_set("slices: 0, "), reading=reading)
    assert deployment.pools[0].replicas_min.state is FactState.UNKNOWN
    assert {code for code, _ in reading.problems} == {"DOC102"}


def test_needles_match_our_fixtures() -> None:
    for path in FIXTURES.glob("lws-*.yaml"):
        assert "leaderworkerset" in formats_of(path.read_text(encoding="utf-8")), path.name
