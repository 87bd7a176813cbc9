"""Whether an option of the engine is the index that its controller gives the pod: a StatefulSet, an Indexed Job or a JobSet."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from servelint.deployment import Container

# Where the index stands in a pod: labels and annotations of apps/v1, of batch/v1 and, for Jobs of one pod, of a JobSet.
_FIELDS = ("apps.kubernetes.io/pod-index", "batch.kubernetes.io/job-completion-index", "jobset.sigs.k8s.io/job-index")
_OF_NAME = r"\$\{(?:HOSTNAME|POD_NAME|MY_POD_NAME)##\*-\}"


def ranks_each_pod(container: Container) -> bool:
    """The engine's rank among its nodes is the pod's index, so that all pods of the object are of one group."""
    rank = container.command.last("--node-rank") if container.command is not None else None
    if rank is None or not rank.words:
        return False
    word = rank.words[-1]
    value = word.text.removeprefix(f"{rank.written}=")
    if re.fullmatch(_OF_NAME, value) is not None or word.variable == "JOB_COMPLETION_INDEX":
        return True
    if not word.variable or value.strip("${()}") != word.variable:
        return False  # a part of the index, or worked out from it
    for variable in container.node.elements_at("env"):
        if variable.text_at("name") == word.variable:
            path = variable.text_at("valueFrom", "fieldRef", "fieldPath") or ""
            return any(field in path for field in _FIELDS)
    return (
        re.search(rf"\b{re.escape(word.variable)}=[\"']?{_OF_NAME}[\"']?\s*(?:$|[;&])", word.node.text, re.MULTILINE) is not None
    )
