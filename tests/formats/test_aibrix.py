"""AIBrix: roles of pods and of groups of pods, and fleets of Ray clusters."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from format_reading import Reading, format_named, rewritten, written
from servelint.deployment import Role
from servelint.facts import FactState
from servelint.source.reader import read_text
from servelint.source.text import SourceText

if TYPE_CHECKING:
    from servelint.deployment import Deployment, Pool

FIXTURES = Path(__file__).parents[2] / "fixtures" / "aibrix"


def recognise(text: str, reading: Reading | None = None) -> list[Deployment]:
    documents = read_text(SourceText("x.yaml", text)).documents
    around = reading or Reading(documents)
    around.documents = documents
    return [deployment for document in documents for deployment in format_named("aibrix").recognise(document, around)]


def fixture(name: str) -> dict[str, Pool]:
    found = recognise((FIXTURES / name).read_text(encoding="utf-8"))
    return {pool.name: pool for deployment in found for pool in deployment.pools}


STORM = """
apiVersion: orchestration.aibrix.ai/v1alpha1
kind: StormService
metadata: {name: x}
spec:
  replicas: %s
  template:
    spec:
      roles:
      - name: worker
        %s
        template:
          spec:
            containers:
            - {name: vllm, image: 'vllm/vllm-openai:v0.19.1', command: [vllm, serve, m/m, '--tensor-parallel-size=2'],
               resources: {limits: {nvidia.com/gpu: 2}}}
"""


def storm(replicas: object, role: str) -> Pool:
    [deployment] = recognise(STORM % (replicas, role))
    [pool] = deployment.pools
    return pool


def test_each_role_with_an_engine_is_a_pool() -> None:
    pools = fixture("stormservice-prefill-decode.yaml")
    assert {name: pool.role for name, pool in pools.items()} == {"prefill": Role.PREFILL, "decode": Role.DECODE}
    prefill, decode = pools["prefill"], pools["decode"]
    assert (prefill.tensor.value, prefill.gpus_per_node.value, prefill.nodes.value, prefill.replicas_min.value) == (4, 4, 1, 2)
    assert (decode.tensor.value, decode.gpus_per_node.value, decode.nodes.value, decode.replicas_min.value) == (16, 8, 2, 1)
    assert prefill.model.value == "meta-llama/Llama-3.1-70B-Instruct"
    assert prefill.accelerator.value.name == "H100-SXM5-80GB"
    assert str(prefill.version.value) == "0.19.1"


def test_facts_stand_where_they_are_written() -> None:
    decode = fixture("stormservice-prefill-decode.yaml")["decode"]
    assert written(decode.tensor) == "--tensor-parallel-size 16"
    assert (written(decode.nodes), written(decode.replicas_min), written(decode.gpus_per_node)) == ("2", "1", '"8"')
    assert "podGroupSize: 4" in rewritten(decode.nodes, 4)
    assert "--tensor-parallel-size 32 " in rewritten(decode.tensor, 32)


def test_replicas_of_a_role_count_in_every_role_set() -> None:
    pool = storm(3, "replicas: 2")
    assert pool.replicas_min.value == 6
    assert pool.replicas_min.writer is None, "a product stands nowhere"
    assert "replicas: 5" in rewritten(storm(1, "replicas: 2").replicas_min, 5)


def test_a_role_that_states_no_replicas_is_left_open() -> None:
    pool = storm(1, "stateful: true")
    assert pool.replicas_min.state is FactState.UNKNOWN
    assert pool.nodes.value == 1


def test_a_number_that_is_none_is_reported() -> None:
    reading = Reading(())
    recognise(STORM % (1, "replicas: two"), reading)
    assert reading.problems == [("DOC102", "replicas is 'two', not a whole number of at least 0")]


def test_a_fleet_is_sized_by_its_ray_clusters() -> None:
    [pool] = fixture("ray-cluster-fleet.yaml").values()
    assert (pool.tensor.value, pool.pipeline.value) == (2, 2)
    assert (pool.gpus_per_node.value, pool.nodes.value) == (2, 2), "the head has GPUs, and so has its one worker"
    assert (pool.replicas_min.value, pool.replicas_max.value) == (2, 2)
    assert written(pool.replicas_min) == "2"
    assert pool.model.value == "Qwen/Qwen2.5-Coder-32B-Instruct"


def test_other_groups_and_broken_shapes_are_left_alone() -> None:
    assert recognise(STORM.replace("aibrix.ai", "example.org") % (1, "replicas: 1")) == []
    assert recognise("apiVersion: orchestration.aibrix.ai/v1alpha1\nkind: StormService\nspec: []\n") == []
    assert (
        recognise("apiVersion: orchestration.aibrix.ai/v1alpha1\nkind: StormService\nspec: {template: {spec: {roles: 3}}}\n")
        == []
    )
    assert recognise("apiVersion: orchestration.aibrix.ai/v1alpha1\nkind: RayClusterFleet\nspec: {template: {spec: x}}\n") == []
