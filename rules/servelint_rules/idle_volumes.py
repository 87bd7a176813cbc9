"""Idle volumes: volumes of a pod that no container mounts, and caches into which nothing is put."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from servelint.facts import Place
from servelint.finding import Certainty, Proposal, Severity, Verdict
from servelint.formats import containers
from servelint.rulebook import Scope, rule
from servelint.source.nodes import ScalarNode
from servelint_rules import guards, pods
from servelint_rules.hub import cache_of_image, reads_a_path
from servelint_rules.places import place_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import ContainerCase
    from servelint.deployment import Container, Pod
    from servelint.source.nodes import Node

# The volumes of KServe's presets, which mount them (config/llmisvcconfig/config-llm-*.yaml).
_OF_PRESETS = frozenset(("dshm", "home", "model-cache", "tls-certs", "tmp-dir"))
# Volumes that a webhook mounts into containers of its own (GKE's bucket driver).
_MOUNTED_ELSEWHERE = ("gke-gcsfuse-",)
# Variables that put the hub's cache elsewhere.
_HOMES = frozenset(("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME", "HOME", "TRANSFORMERS_CACHE"))
_CACHES = ("data", "model", "cache", "huggingface", "hf", "weights")


@rule(
    "K8S637", "memory-volume-not-mounted", "Shared memory that no container mounts",
    severity=Severity.WARNING, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0",
    formats=(*guards.TEMPLATED, "kserve"),
)  # fmt: skip
def memory_volume_not_mounted(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    An `emptyDir` with `medium: Memory` in the pod of an engine that none of its containers mounts. In an LLMInferenceService
    of KServe: under a name that its presets do not mount either.

    ## Why it matters

    Such a volume is there for `/dev/shm`. Without a `volumeMounts` entry the engine keeps the 64 MiB of the container runtime,
    or what a preset gives it, whatever the size in this file says.

    ## How to fix

    Mount it: `volumeMounts: [{name: shm, mountPath: /dev/shm}]`; or remove it where the operator's preset brings its own. In
    KServe, name it `dshm` to change the size of the preset's.

    ## Certainty

    Proven from the template; experience for KServe, whose presets an administrator may change. Volumes that a webhook mounts,
    by their names, are left out; where several ranks lack shared memory altogether, K8S601 says so.

    ## References

    - [Kubernetes: volumes](https://kubernetes.io/docs/concepts/storage/volumes/)
    - [KServe: presets of LLMInferenceService](https://github.com/kserve/kserve/tree/master/config/llmisvcconfig)
    """
    container, pool = case.container, case.pool
    pod = container.pod
    if pod is None or not pods.speaks_for(container, case.deployment):
        return
    preset = pod.owner == "LLMInferenceService"
    if preset and container.document.get("spec", "baseRefs") is not None:
        return  # a preset of the organization's may mount it
    if not preset and (case.deployment.format == "kserve" or not guards.shows_all(case)):
        return
    if not preset and pods.ranks_in_pod(pool) > 1 and not containers.has_shared_memory(pod.node, container.node):
        return  # K8S601
    mounted = _mounted_names(pod)
    for volume in pod.node.elements_at("spec", "volumes"):
        name = volume.get("name")
        if not isinstance(name, ScalarNode) or volume.text_at("emptyDir", "medium") != "Memory" or name.text in mounted:
            continue
        if name.text.startswith(_MOUNTED_ELSEWHERE) or (preset and name.text in _OF_PRESETS):
            continue
        yield Verdict(
            Place.of(container.document, name),
            f"no container mounts {name.text}"
            + (", and KServe's presets mount a volume of their own, dshm, at /dev/shm" if preset else ""),
            proposals=(Proposal("name it dshm" if preset else "mount it at /dev/shm, or remove it", False, None),),
            certainty=Certainty.HEURISTIC if preset else Certainty.PROVEN,
            key=name.text,
        )


def _mounted_names(pod: Pod) -> set[str]:
    every = [each for key in ("containers", "initContainers") for each in pod.node.elements_at("spec", key)]
    return {mount.text_at("name") or "" for each in every for mount in each.elements_at("volumeMounts")}


@rule(
    "K8S638", "cache-volume-unused", "Volume for the model, and the model goes elsewhere",
    severity=Severity.INFO, certainty=Certainty.HEURISTIC, scope=Scope.CONTAINER, since="0.1.0",
    engines=("vllm", "sglang"), formats=guards.TEMPLATED, advice=True,
)  # fmt: skip
def cache_volume_unused(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    An engine that fetches its model from the hub into its home directory (no `HF_HOME`, `HF_HUB_CACHE` or `--download-dir`),
    while a volume is mounted at a path like `/data`, `/models` or `/cache` that no variable and no argument names.

    ## Why it matters

    The weights land in the writable layer of the container: they count against the node's disk, are gone with the container,
    and are fetched again after every restart, though a volume for them is there.

    ## How to fix

    `HF_HOME` with the path of the volume; or mount the volume at `/root/.cache/huggingface`.

    ## Certainty

    Heuristic: the volume may be for something else.

    ## References

    - [huggingface_hub: environment variables](https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables)
    """
    container, pool = case.container, case.pool
    pod, model = container.pod, pool.model.get("")
    if pod is None or not guards.shows_all(case) or not _fetches_to_home(container, model):
        return
    kinds = ("configMap", "secret", "projected", "downwardAPI")
    mounts = [
        mount
        for mount in pods.mounts(pod, container.node)
        if mount.volume is None or all(mount.volume.get(kind) is None for kind in kinds)
    ]
    if any(_home_of(container).startswith(mount.path) for mount in mounts):
        return
    said = list(_texts(container))
    for mount in mounts:
        path = mount.path
        words = posixpath.basename(path).lower().replace("_", "-").split("-")
        if not any(word.removesuffix("s") in _CACHES for word in words) or any(path in text for text in said):
            continue
        node = mount.node.get("mountPath")
        yield Verdict(
            Place.of(container.document, node) if node is not None else place_of(pool, pool.model),
            f"{model} is fetched to {_home_of(container)}, and nothing uses {path}",
            proposals=(Proposal(f"set HF_HOME to {path}", False, None),),
            key=path,
        )
        return


def _home_of(container: Container) -> str:
    """HF_HOME as the images of the engines' projects have it; "" for other images."""
    return (cache_of_image(container) or "").removesuffix("/hub")


def _fetches_to_home(container: Container, model: str) -> bool:
    command = container.command
    if command is None or not command.complete or not _home_of(container) or model.count("/") != 1 or model.startswith("/"):
        return False
    if reads_a_path(container) or not _HOMES.isdisjoint(container.environment):
        return False
    if container.open_environment or container.node.get("securityContext", "runAsUser") is not None:
        return False
    return command.last("--download-dir") is None


def _texts(container: Container) -> Iterator[str]:
    for key in ("command", "args", "env"):
        node: Node | None = container.node.get(key)
        yield from pods.texts(node)
