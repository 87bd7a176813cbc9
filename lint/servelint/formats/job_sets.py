"""JobSet: Jobs made of several templates, each template as many times as its ``replicas`` say.

The pods of a Job are numbered (a JobSet makes its Jobs indexed unless they say otherwise), and so are the Jobs of a template, so
that the command line can form groups of either.

Sources: JobSet 0.11 ``api/jobset/v1alpha2/jobset_types.go`` (``replicas`` is 1 by default), ``pkg/webhooks/jobset_webhook.go``
(the completion mode), batch/v1 (``parallelism`` is 1 by default). The controller adds labels, annotations and a host name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.formats import custom_resources, pod_groups
from servelint.formats.kubernetes import is_patch_file, is_unfinished
from servelint.formats.pod_groups import Group

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.deployment import Deployment, Pool
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document, Node

_WHO = "JobSet"
_REPLICAS = "replicas.min"


def deployments(document: Document, item: Node, surroundings: Surroundings) -> Iterator[Deployment]:
    pools: list[Pool] = []
    partial = is_patch_file(document.source.path)
    for index, job in enumerate(item.elements_at("spec", "replicatedJobs")):
        template = job.get("template", "spec", "template")
        if template is None:
            continue
        partial = partial or is_unfinished(item, template)
        name = job.text_at("name") or f"job-{index}"
        pools += _pools(document, job, template, name, surroundings, partial=partial)
    yield from pod_groups.deployed(document, item, "jobset", pools, surroundings, partial=partial)


def _pools(document: Document, job: Node, template: Node, name: str, surroundings: Surroundings, *, partial: bool) -> list[Pool]:
    """The engines in the pods of one replicated Job."""
    jobs = custom_resources.number(document, job, "replicas", _REPLICAS, default=1, of=_WHO)
    pods = custom_resources.number(document, job.get("template", "spec"), "parallelism", _REPLICAS, default=1, of="Kubernetes")
    indexed = (job.text_at("template", "spec", "completionMode") or "Indexed") == "Indexed"
    single = pods.get(0) == 1  # then its Jobs are what an index tells apart
    group = Group(name, template, None, None, jobs if single else pods, ordered=single or indexed)
    found = pod_groups.role_pools(document, group, surroundings, owner=_WHO, partial=partial)
    if single:
        return found
    return [
        pool._replace(
            replicas_min=pod_groups.times(jobs, pool.replicas_min), replicas_max=pod_groups.times(jobs, pool.replicas_max)
        )
        for pool in found
    ]
