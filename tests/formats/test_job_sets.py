"""JobSet: Jobs of several templates, and the groups that their pods form."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from format_reading import VerdictReading, recognised, written
from servelint.deployment import Role
from servelint.formats.podspec import PATCHED

if TYPE_CHECKING:
    from servelint.deployment import Pool

FIXTURES = Path(__file__).parents[2] / "fixtures" / "jobset"

SET = """
apiVersion: jobset.x-k8s.io/v1alpha2
kind: JobSet
metadata: {name: x}
spec:
  replicatedJobs:
  - name: server
    replicas: %s
    template:
      spec:
        parallelism: %s
        template:
          spec:
            containers:
            - name: engine
              image: vllm/vllm-openai:v0.19.1
              args: [--model, org/model, -tp, '8', %s]
              resources: {limits: {nvidia.com/gpu: 8}}
              env:
              - {name: JOB, valueFrom: {fieldRef: {fieldPath: "metadata.labels['jobset.sigs.k8s.io/job-index']"}}}
"""
BY_POD = "--nnodes, '2', --node-rank, $(JOB_COMPLETION_INDEX)"
BY_JOB = "--nnodes, $(NODES), --node-rank, $(JOB)"


recognise = partial(recognised, "jobset")


def only(text: str) -> Pool:
    [deployment] = recognise(text)
    [pool] = deployment.pools
    return pool


def fixture(name: str) -> Pool:
    return only((FIXTURES / name).read_text(encoding="utf-8"))


def test_the_pods_of_an_indexed_job_are_one_server() -> None:
    pool = fixture("sglang-over-two-nodes.yaml")
    assert (pool.name, pool.engine.value, pool.tensor.value, pool.gpus_per_node.value) == ("server", "sglang", 16, 8)
    assert (pool.nodes.value, pool.replicas_min.value, pool.replicas_max.value) == (2, 1, 1)
    assert (written(pool.nodes), written(pool.gpus_per_node)) == ("--nnodes 2", '"8"')
    assert pool.accelerator.value.name == "H100-SXM5-80GB"


def test_a_server_beside_each_worker_is_one_replica_a_pod() -> None:
    pool = fixture("offline-batch.yaml")
    assert (pool.nodes.value, pool.replicas_min.value, pool.replicas_max.value) == (1, 6, 6)
    assert written(pool.replicas_min) == "6"


@pytest.mark.parametrize(
    ("jobs", "pods", "arguments", "nodes", "replicas"),
    [
        (3, 2, BY_POD, 2, 3),  # each Job is one group
        (1, 4, BY_POD, 2, 2),
        (4, 1, BY_POD, 2, 2),  # of Jobs of one pod, two are a group
        (2, 1, BY_JOB, 2, 1),  # the number of nodes is that of the Jobs
        (2, 3, "", 1, 6),
        (1, 3, BY_POD, 2, None),  # three pods are no groups of two
    ],
)
def test_replicas_of_jobs_and_pods(jobs: int, pods: int, arguments: str, nodes: int, replicas: int | None) -> None:
    pool = only(SET % (jobs, pods, arguments))
    assert (pool.nodes.value, pool.replicas_min.get(None), pool.replicas_max.get(None)) == (nodes, replicas, replicas)


def test_pods_without_an_index_form_no_groups() -> None:
    text = (SET % (1, 4, BY_POD)).replace("parallelism: 4", "parallelism: 4\n        completionMode: NonIndexed")
    assert only(text).replicas_min.get(None) is None


def test_one_job_of_one_pod_is_the_default() -> None:
    text = (SET % (1, 1, "")).replace("    replicas: 1\n", "").replace("        parallelism: 1\n", "")
    pool = only(text)
    assert pool.replicas_min.value == 1
    assert pool.replicas_min.writer is not None


@pytest.mark.parametrize(("jobs", "pods", "label"), [("two", 1, "two"), (1, "many", "many"), (-1, 1, "-1")])
def test_numbers_that_are_none_are_said(jobs: object, pods: object, label: str) -> None:
    reading = VerdictReading(())
    [deployment] = recognise(SET % (jobs, pods, ""), reading=reading)
    assert deployment.pools[0].replicas_min.get(None) is None
    [(code, verdict)] = reading.problems
    assert code == "DOC102"
    assert verdict.place.document.source.text[verdict.place.span.start : verdict.place.span.end] == label


def test_jobs_that_are_named_for_them_are_prefill_and_decode() -> None:
    one = (SET % (1, 1, "")).replace("name: server", "name: prefill")
    other = one[one.index("  - name: prefill") :].replace("name: prefill", "name: decode")
    [deployment] = recognise(one + other)
    assert [(pool.name, pool.role) for pool in deployment.pools] == [("prefill", Role.PREFILL), ("decode", Role.DECODE)]


def test_what_kustomize_completes_is_a_part() -> None:
    [deployment] = recognise((SET % (1, 2, "")).replace("vllm/vllm-openai:v0.19.1", "replaced-by-kustomize/vllm-openai"))
    assert deployment.notes == (PATCHED,)
    [complete] = recognise(SET % (1, 2, ""))
    assert complete.notes == ()


def test_training_is_no_deployment() -> None:
    text = (SET % (1, 2, "")).replace("vllm/vllm-openai:v0.19.1", "pytorch/pytorch:2.6.0").replace("args: [", "args: [torchrun, ")
    assert recognise(text) == []
