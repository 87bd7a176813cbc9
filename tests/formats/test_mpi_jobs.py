"""MPIJob: a launcher, and the workers on which its mpirun starts the ranks."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from format_reading import VerdictReading, recognised, written
from servelint.formats.podspec import PATCHED

if TYPE_CHECKING:
    from servelint.deployment import Pool

FIXTURES = Path(__file__).parents[2] / "fixtures" / "mpijob"

JOB = """
apiVersion: kubeflow.org/v2beta1
kind: MPIJob
metadata: {name: x}
spec:
  runLauncherAsWorker: %s
  mpiReplicaSpecs:
    Launcher:
      template:
        spec:
          containers:
          - name: launcher
            image: %s
            command: [mpirun, -n, '16', %s]
            resources: {limits: {nvidia.com/gpu: 8}}
    Worker:
      replicas: %s
      template:
        spec:
          nodeSelector: {nvidia.com/gpu.product: NVIDIA-H200}
          containers:
          - name: worker
            image: registry.example.com/worker:1
            command: [/usr/sbin/sshd, -De]
            resources: {limits: {nvidia.com/gpu: 8}}
"""
TRTLLM = "nvcr.io/nvidia/tensorrt-llm/release:1.0.0"
SERVE = "trtllm-llmapi-launch, trtllm-serve, org/model, --tp_size, '16'"


recognise = partial(recognised, "mpijob")


def only(text: str) -> Pool:
    [deployment] = recognise(text)
    [pool] = deployment.pools
    return pool


def fixture(name: str) -> Pool:
    return only((FIXTURES / name).read_text(encoding="utf-8"))


def test_the_ranks_are_on_the_workers() -> None:
    pool = fixture("trtllm-serve.yaml")
    assert (pool.engine.value, pool.tensor.value, pool.expert.value) == ("trtllm", 16, 16)
    assert (pool.gpus_per_node.value, pool.nodes.value, pool.replicas_min.value) == (8, 2, 1)
    assert (written(pool.gpus_per_node), written(pool.nodes)) == ('"8"', "2")
    assert pool.accelerator.value.name == "H200-SXM-141GB", "of the workers: the launcher may run anywhere"


def test_the_launcher_may_be_a_host_of_ranks() -> None:
    pool = fixture("launcher-with-ranks.yaml")
    assert (pool.tensor.value, pool.pipeline.value, pool.gpus_per_node.value, pool.nodes.value) == (8, 2, 8, 2)


@pytest.mark.parametrize(("works", "workers", "nodes"), [("false", 2, 2), ("true", 1, 2), ("true", 0, 1), ("false", 0, None)])
def test_hosts_by_who_runs_ranks(works: str, workers: int, nodes: int | None) -> None:
    pool = only(JOB % (works, TRTLLM, SERVE, workers))
    assert pool.nodes.get(None) == nodes
    assert pool.gpus_per_node.get(None) == (8 if nodes else None), "the operator hides the launcher's own GPUs"


def test_a_number_of_workers_that_is_none_is_said() -> None:
    reading = VerdictReading(())
    [deployment] = recognise(JOB % ("false", TRTLLM, SERVE, "some"), reading)
    assert deployment.pools[0].nodes.get(None) is None
    [(code, verdict)] = reading.problems
    assert code == "DOC102"
    assert verdict.place.document.source.text[verdict.place.span.start : verdict.place.span.end] == "some"


@pytest.mark.parametrize("server", ["/opt/nim/start-mpi-cluster.sh", "python3, -m, vllm_nvext.entrypoints.openai.api_server"])
def test_the_servers_that_the_chart_of_nim_starts_on_every_rank(server: str) -> None:
    pool = only(JOB % ("false", "nvcr.io/nim/meta/llama-3.1-405b-instruct:1.2.1", server, 2))
    assert (pool.engine.value, pool.model.value) == ("nim", "meta/llama-3.1-405b-instruct")
    assert (pool.gpus_per_node.value, pool.nodes.value) == (8, 2)


def test_what_kustomize_completes_is_a_part() -> None:
    [deployment] = recognise(JOB % ("false", "replaced-by-kustomize/tensorrt-llm/release", SERVE, 2))
    assert deployment.notes == (PATCHED,)
    [pool] = deployment.pools
    assert (pool.nodes.value, pool.gpus_per_node.get(None)) == (2, None)


def test_training_is_no_deployment() -> None:
    assert recognise(JOB % ("false", "horovod/horovod:0.28.1", "python, /examples/train.py", 2)) == []


def test_no_launcher_is_no_deployment() -> None:
    assert recognise((JOB % ("false", TRTLLM, SERVE, 2)).replace("Launcher:", "Other:")) == []
