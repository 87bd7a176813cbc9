"""MPIJob: a launcher that runs ``mpirun``, and workers on which it starts the ranks of one engine.

Sources: kubeflow/mpi-operator ``pkg/apis/kubeflow/v2beta1/{types,default}.go`` (no workers by default) and
``pkg/controller/mpi_job_controller.go``: the host file names the workers, and the launcher if ``runLauncherAsWorker`` says so;
else it gets no GPUs (an empty ``NVIDIA_VISIBLE_DEVICES``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.facts import Fact, Origin, OriginKind
from servelint.formats import custom_resources, devices, pod_groups
from servelint.formats.kubernetes import is_patch_file, is_unfinished
from servelint.formats.pod_groups import Group

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.deployment import Deployment, Pool
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document, Node

_WHO = "the MPI operator"
_NO_RANKS = "no rank runs in the launcher, which is given no GPUs"
_NO_HOSTS = "the MPIJob has no workers to start the ranks on"


def deployments(document: Document, item: Node, surroundings: Surroundings) -> Iterator[Deployment]:
    launcher = item.get("spec", "mpiReplicaSpecs", "Launcher", "template")
    if launcher is None:
        return
    holder = item.get("spec", "mpiReplicaSpecs", "Worker")
    worker = holder.get("template") if holder is not None else None
    workers = custom_resources.number(document, holder, "replicas", "nodes", default=0, of=_WHO)
    one = Fact.known("replicas.min", 1, Origin(OriginKind.DERIVED, "an MPIJob is one group of ranks"))
    partial = is_patch_file(document.source.path) or any(
        is_unfinished(item, pod) for pod in (launcher, worker) if pod is not None
    )
    group = Group("", launcher, None, workers, one)
    found = pod_groups.pools(document, group, surroundings, owner="MPIJob", partial=partial)
    works = (item.text_at("spec", "runLauncherAsWorker") or "").lower() == "true"
    pools = [_placed(document, pool, worker, workers, works=works) for pool in found]
    yield from pod_groups.deployed(document, item, "mpijob", pools, surroundings, partial=partial)


def _placed(document: Document, pool: Pool, worker: Node | None, workers: Fact[int], *, works: bool) -> Pool:
    """The pool on the hosts of its ranks. ``works``: they run in the launcher, too."""
    if not workers.is_known:
        return pool
    pods = workers.value + 1
    every = Fact.known("nodes", pods, Origin(OriginKind.DERIVED, f"the launcher + {workers.value} of the Worker", workers.place))
    if works:
        return pod_groups.with_workers(document, pool, worker, every)._replace(nodes=every)
    hosts = workers if workers.value else Fact.unknown("nodes", _NO_HOSTS, "state replicas of the Worker")
    pool = pool._replace(gpu_resource="", gpus_per_node=Fact.unknown(devices.NAME, _NO_RANKS))
    return pod_groups.with_workers(document, pool, worker, every)._replace(nodes=hosts)
