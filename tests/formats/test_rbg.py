"""RoleBasedGroup: both versions, templates by reference, and sets of groups."""

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

FIXTURES = Path(__file__).parents[2] / "fixtures" / "rbg"


def recognise(text: str, reading: Reading | None = None) -> list[Deployment]:
    documents = read_text(SourceText("x.yaml", text)).documents
    around = reading or Reading(documents)
    around.documents = documents
    return [deployment for document in documents for deployment in format_named("rbg").recognise(document, around)]


def fixture(name: str) -> dict[str, Pool]:
    found = recognise((FIXTURES / name).read_text(encoding="utf-8"))
    return {pool.name: pool for deployment in found for pool in deployment.pools}


GROUP = """
apiVersion: workloads.x-k8s.io/v1alpha2
kind: RoleBasedGroup
metadata: {name: x}
spec:
  roles:
  - name: backend
    %s
"""
ENGINE = "{containers: [{name: e, image: 'vllm/vllm-openai:v0.19.1', command: [vllm, serve, m/m]%s}]}"


def group(role: str) -> list[Pool]:
    return [pool for deployment in recognise(GROUP % role) for pool in deployment.pools]


def test_the_first_version_has_the_size_of_a_group_in_leaderworkerset() -> None:
    pool = fixture("v1alpha1-leader-worker.yaml")["backend"]
    assert (pool.tensor.value, pool.pipeline.value, pool.gpus_per_node.value) == (8, 2, 8)
    assert (pool.nodes.value, pool.replicas_min.value) == (2, 3)
    assert (written(pool.nodes), written(pool.replicas_min)) == ("2", "3")
    assert "size: 4" in rewritten(pool.nodes, 4)
    assert pool.accelerator.value.name == "H200-SXM-141GB", "by the instance type"


def test_a_patch_is_laid_over_the_template_it_refers_to() -> None:
    pools = fixture("v1alpha2-prefill-decode.yaml")
    assert {name: pool.role for name, pool in pools.items()} == {"prefill": Role.PREFILL, "decode": Role.DECODE}
    prefill, decode = pools["prefill"], pools["decode"]
    assert (prefill.tensor.value, prefill.gpus_per_node.value, prefill.nodes.value, prefill.replicas_min.value) == (2, 2, 1, 4)
    assert (decode.tensor.value, decode.gpus_per_node.value, decode.nodes.value, decode.replicas_min.value) == (8, 4, 2, 2)
    assert [str(pool.version.value) for pool in (prefill, decode)] == ["0.19.1", "0.19.1"], "the image is the template's"
    assert decode.model.value == "Qwen/Qwen3-32B", "the patch keeps the variables that it does not name"
    assert {pool.accelerator.value.name for pool in pools.values()} == {"H100-SXM5-80GB"}


def test_facts_of_template_and_patch_stand_where_they_are_written() -> None:
    pools = fixture("v1alpha2-prefill-decode.yaml")
    assert written(pools["prefill"].gpus_per_node) == '"2"'
    assert written(pools["decode"].gpus_per_node) == '"4"'
    changed = rewritten(pools["decode"].gpus_per_node, 8)
    assert changed.count('nvidia.com/gpu: "8"') == 1
    assert changed.count('nvidia.com/gpu: "2"') == 1


def test_a_set_multiplies_its_groups() -> None:
    text = (
        GROUP.replace("kind: RoleBasedGroup", "kind: RoleBasedGroupSet") % f"replicas: 2\n    template: {{spec: {ENGINE % ''}}}"
    )
    for holder in ("groupTemplate:\n    spec:", "template:"):
        indent = "      " if "spec" in holder else "    "
        nested = text.replace(
            "spec:\n  roles:\n  - name: backend\n    ",
            f"spec:\n  replicas: 3\n  {holder}\n{indent}roles:\n{indent}- name: backend\n{indent}  ",
        )
        [deployment] = recognise(nested.replace("\n    template", f"\n{indent}  template"))
        assert deployment.pools[0].replicas_min.value == 6


def test_components_of_one_pod_each_are_pools_and_larger_ones_are_open() -> None:
    parts = [f"{{name: {name}, size: {size}, template: {{spec: {ENGINE % ''}}}}}" for name, size in (("one", 1), ("two", 2))]
    one, two = group(f"customComponentsPattern: {{components: [{', '.join(parts)}]}}")
    assert (one.name, one.nodes.value) == ("backend-one", 1)
    assert two.nodes.state is FactState.UNKNOWN


def test_leader_and_workers_with_their_own_patches_must_agree() -> None:
    gpus = ENGINE % ", resources: {limits: {nvidia.com/gpu: 8}}"
    patch = "{spec: {containers: [{name: e, resources: {limits: {nvidia.com/gpu: 4}}}]}}"
    [pool] = group(f"leaderWorkerPattern: {{size: 2, template: {{spec: {gpus}}}, workerTemplatePatch: {patch}}}")
    assert pool.gpus_per_node.state is FactState.CONFLICT
    assert set(pool.gpus_per_node.values) == {8, 4}


def test_a_template_that_is_not_there_is_no_engine() -> None:
    assert group("standalonePattern: {templateRef: {name: nowhere}}") == []
    assert group("replicas: 1") == []
    assert recognise("apiVersion: workloads.x-k8s.io/v1alpha2\nkind: RoleBasedGroup\n") == []
