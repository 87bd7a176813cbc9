"""K8S and PAR201: whether the pods ask for what the engine in them needs, and live long enough to load it."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from servelint.facts import Place
from servelint.finding import Certainty, Proposal, Related, Severity, Verdict
from servelint.formats import containers, devices
from servelint.rulebook import Scope, rule
from servelint.source.nodes import MappingNode
from servelint_rules import gpu_counts, guards, loading
from servelint_rules.figures import count
from servelint_rules.places import place_of, related

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import ContainerCase, PoolCase
    from servelint.deployment import Container, Pool
    from servelint.formats.devices import Devices
    from servelint.source.nodes import Node

_PLAIN = ("kubernetes", "leaderworkerset")


@rule(
    "PAR201", "gpu-count-mismatch", "GPUs requested and GPUs needed differ",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.POOL, since="0.1.0",
    formats=_PLAIN, fixable=True,
)  # fmt: skip
def gpu_count_mismatch(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    That the GPUs which the pods of one replica request are the GPUs its degrees of parallelism need. Which degrees
    multiply depends on the engine: for vLLM tensor, pipeline, prefill-context and data parallelism do; expert and decode
    context parallelism reuse GPUs that are there. Where a pod runs its own share of the data-parallel ranks
    (`--data-parallel-size-local`), the pod is counted; otherwise all pods of the replica together.

    ## Why it matters

    With fewer GPUs than ranks the engine stops at start-up ("World size (4) is larger than the number of available GPUs",
    or it waits for a Ray placement group that never comes). With more, the rest idle, and nobody else can have them.

    ## How to fix

    Make the limit (and the request, which must be equal) the number that is needed, or change the degree. In a
    LeaderWorkerSet the number is that of one pod times `size`.

    ## Certainty

    Proven: from the command line and the resources in the same manifest. The rule is silent where they do not decide it:
    patches and unfinished bases, degrees computed by a shell, resources that do not count GPUs one by one (TPU, Neuron,
    MIG, claims), pods of an operator, and images for CPUs or simulators.

    ## References

    - vLLM, `vllm/config/parallel.py`: `world_size`, `world_size_across_dp`
    - [Kubernetes: schedule GPUs](https://kubernetes.io/docs/tasks/manage-gpus/scheduling-gpus/)
    """
    pool = case.pool
    container = pool.containers[0] if pool.containers else None
    if container is None or not _is_judged(container) or not guards.counts_devices(pool):
        return
    if not guards.is_literal(container.command, *gpu_counts.DEGREE_FLAGS) or gpu_counts.is_launched_from_outside(container):
        return
    need = gpu_counts.need_of(case)
    if need is None or need.needed == need.asked:
        return
    missing = need.needed > need.asked
    if not missing and _may_grow(container):
        return
    place = place_of(pool, pool.gpus_per_node)
    where = "each pod" if need.per_pod else "a replica"
    ranks = f"{count(need.needed, 'GPU')} needed by {where}, {need.asked} requested"
    idle = "" if missing else f"; {need.asked - need.needed} would idle"
    yield Verdict(
        place,
        ranks + idle,
        arithmetic=gpu_counts.arithmetic(case, need),
        related=related(
            place,
            (pool.tensor, f"tensor-parallel size {pool.tensor.value}"),
            (pool.pipeline, f"pipeline-parallel size {pool.pipeline.value}"),
            (pool.data, f"data-parallel size {pool.data.value}"),
            (pool.nodes, f"{count(pool.nodes.value, 'pod')} in a group"),
        ),
        proposals=gpu_counts.proposals(pool, need),
        severity=Severity.ERROR if missing else Severity.WARNING,
        key="fewer" if missing else "more",
    )


def _is_judged(container: Container) -> bool:
    return (
        guards.is_complete(container.pod)
        and container.pod is not None
        and not guards.has_operator(container.pod)
        and guards.runs_on_gpus(container)
    )


def _may_grow(container: Container) -> bool:
    """An elastic deployment holds GPUs that it does not use yet."""
    return container.command is not None and container.command.last("--enable-elastic-ep") is not None


@rule(
    "K8S601", "shm-missing-for-multi-gpu", "Several GPUs with the default 64 MiB of shared memory",
    severity=Severity.WARNING, certainty=Certainty.HEURISTIC, scope=Scope.CONTAINER, since="0.1.0",
    formats=_PLAIN, fixable=True,
)  # fmt: skip
def shm_missing_for_multi_gpu(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A container that runs several ranks of one engine (tensor, pipeline or expert parallelism on more than one GPU) in a pod
    without a volume at `/dev/shm` and without `hostIPC`.

    ## Why it matters

    The ranks of one pod talk through shared memory: NCCL where GPUs cannot reach each other directly, and the engine's
    own message queue in any case. A container's default `/dev/shm` has 64 MiB. When it is full the engine dies with
    "Bus error" or an NCCL "unhandled system error", often only under load.

    ## How to fix

    Mount a memory-backed `emptyDir` at `/dev/shm`. The proposed size, 1 GiB for each GPU, is a rule of thumb; only pages
    that are written count against the memory limit of the container.

    ## Certainty

    Heuristic: whether 64 MiB are too little depends on how the GPUs are connected and on the load. Operators that mount
    the volume themselves are left out, as are patches and bases.

    ## References

    - NCCL user guide, "Troubleshooting: shared memory"
    - [production-stack#276](https://github.com/vllm-project/production-stack/issues/276),
      [vllm#1710](https://github.com/vllm-project/vllm/issues/1710)
    """
    container, pool = case.container, case.pool
    pod = container.pod
    if pod is None or not guards.may_lack(pod) or not guards.runs_on_gpus(container):
        return
    if containers.has_shared_memory(pod.node, container.node):
        return
    asked = devices.devices(container.node)
    if asked.resource not in devices.COUNTED:
        return
    gpus = _gpus_of(asked)
    ranks = _ranks_in_pod(pool)
    if gpus <= 1 or ranks <= 1:
        return
    from servelint.formats.snippets import mount_shared_memory  # lazy: only findings edit

    size = min(gpus, ranks)
    place = Place.of(container.document, asked.written) if asked.written is not None else container.place
    yield Verdict(
        place,
        f"{size} ranks in one container, and nothing is mounted at /dev/shm",
        arithmetic=("default of container runtimes: 64 MiB for all ranks together",),
        related=related(place, (pool.tensor, f"tensor-parallel size {pool.tensor.get(1)}")),
        proposals=(
            Proposal(
                f"mount a memory-backed emptyDir of {size} GiB at /dev/shm (1 GiB for each GPU: a rule of thumb)",
                True,
                mount_shared_memory(container.document, pod.node, container.node, size),
            ),
        ),
        key=container.name,
    )


def _gpus_of(asked: Devices) -> int:
    """GPUs of the container, 0 where the number cannot be read."""
    number = devices.whole(asked.written) if asked.written is not None else None
    return number or 0


def _ranks_in_pod(pool: Pool) -> int:
    """Ranks that exchange data, at most; 1 where the degrees are not known. Data-parallel ranks do for the sake of experts."""
    degrees = [pool.tensor, pool.pipeline, pool.prefill_context]
    if pool.expert.get(1) > 1:
        degrees.append(pool.data)
    return prod(degree.get(1) for degree in degrees)


@rule(
    "K8S602", "liveness-kills-loading-pod", "Liveness probe ends the container before the model is loaded",
    severity=Severity.ERROR, certainty=Certainty.ESTIMATED, scope=Scope.CONTAINER, since="0.1.0",
    engines=("vllm",), formats=_PLAIN, fixable=True, inputs=("model",),
)  # fmt: skip
def liveness_kills_loading_pod(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A liveness probe on the engine's own port, without a startup probe, that gives up within five minutes:
    `initialDelaySeconds + periodSeconds × failureThreshold`, with Kubernetes' defaults 0, 10 and 3 where they are absent.

    ## Why it matters

    vLLM opens its port when the weights are loaded, the kernels compiled and the CUDA graphs captured. Until then the
    probe fails; the kubelet ends the container, and the next one starts again from nothing. A pod of this kind never
    becomes ready, or only where the weights happen to be in the page cache.

    ## How to fix

    Add a startup probe with the same handler and a generous budget: the liveness probe waits for it. A longer
    `initialDelaySeconds` also helps, but delays the detection of a hung engine for ever after.

    ## Certainty

    An error where the budget is below a minute and the checkpoint has 10 GB or more: that is less than import, load and
    compilation take together. Otherwise a warning by experience (loading takes minutes from a network disk); models below
    2 GB are left out, probes of another port, path or kind too.

    ## References

    - [Kubernetes: liveness, readiness and startup probes](https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/)
    - [kserve#5062](https://github.com/kserve/kserve/issues/5062), [aibrix#782](https://github.com/vllm-project/aibrix/issues/782)
    """
    container, pool = case.container, case.pool
    if not guards.may_lack(container.pod) or not guards.runs_on_gpus(container):
        return
    if container.node.get("startupProbe") is not None:
        return
    probe = containers.probe(container.node, "livenessProbe")
    if probe is None or not loading.asks_engine(container, probe) or probe.grace_seconds >= loading.SUSPECT_SECONDS:
        return
    weights = loading.checkpoint_bytes(pool)
    if weights is not None and weights < loading.SMALL_WEIGHTS_BYTES:
        return
    certain = (
        probe.grace_seconds < loading.CERTAIN_SECONDS
        and weights is not None
        and weights >= loading.LARGE_WEIGHTS_BYTES
        and probe.handler == "httpGet"
        and not loading.starts_fast(container)
    )
    size = f"{weights / 1e9:.0f} GB of weights" if weights is not None else "the model"
    place = Place.of(container.document, _key_of(container.node, "livenessProbe"))
    yield Verdict(
        place,
        f"the container has {probe.grace_seconds} s to load {size}",
        arithmetic=(
            f"{probe.initial_delay} s + {probe.period} s × {probe.failure_threshold} failures = {probe.grace_seconds} s",
        ),
        related=related(place, (pool.model, f"{size} to load") if weights is not None else (pool.model, "to load")),
        proposals=(loading.startup_proposal(container, weights),),
        severity=Severity.ERROR if certain else Severity.WARNING,
        certainty=Certainty.ESTIMATED if certain else Certainty.HEURISTIC,
    )


def _key_of(mapping: Node, key: str) -> Node:
    """The key's own node, so that one line is marked and not the whole block below it."""
    entry = mapping.entry(key) if isinstance(mapping, MappingNode) else None
    return entry[0] if entry is not None else mapping


# Tags that move with every build. A date, a commit or a version in the tag pins it.
_MOVING = frozenset(("latest", "nightly", "main", "master", "dev", "develop", "edge", "rolling", "head", "trunk", "snapshot"))


@rule(
    "K8S606", "image-not-pinned", "Engine image is not pinned to a version",
    severity=Severity.WARNING, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0",
    formats=_PLAIN,
)  # fmt: skip
def image_not_pinned(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    The image of a container that runs an engine: no tag at all, or a tag that moves with every build (`latest`, `nightly`,
    `main`, `dev` and the like, also with a suffix such as `latest-cu129`).

    ## Why it matters

    Engines change defaults, flags and memory accounting from release to release: vLLM's memory share went from 0.90 to
    0.92, and its number of batched tokens depends on the release. With a moving tag the next rescheduled pod runs another
    engine than its neighbours. No rule here that depends on a version can be sure of anything either.

    ## How to fix

    Name a release (`vllm/vllm-openai:v0.19.1`), or better a digest.

    ## Certainty

    Proven that the tag moves; a warning because it may be meant.

    ## References

    - [Kubernetes: images, "you should avoid using the :latest tag"](https://kubernetes.io/docs/concepts/containers/images/#image-names)
    """
    container = case.container
    if not guards.may_lack(container.pod) or not container.image.is_known:
        return
    place = container.image.place
    tag = containers.tag_of(container.image.value)
    if place is None or not _moves(tag) or container.node.text_at("imagePullPolicy") == "Never":
        return
    name = container.image.value.rpartition("/")[2]
    label = f"{name} has no tag, which means latest" if tag is None else f"the tag {tag} moves with every build"
    always = container.node.get("imagePullPolicy")
    again = container.node.text_at("imagePullPolicy") == "Always" and always is not None
    yield Verdict(
        place,
        label,
        related=(Related(Place.of(container.document, always), "every start pulls it anew"),) if again and always else (),
        proposals=(Proposal("pin the image to a release tag or a digest", False, None),),
        key=container.name,
    )


def _moves(tag: str | None) -> bool:
    if tag is None:
        return True
    words = tag.lower().replace("_", "-").replace(".", "-").split("-")
    return words[0] in _MOVING and not any(any(c.isdigit() for c in word) and not word.startswith("cu") for word in words[1:])


@rule(
    "K8S607", "gpu-limit-missing", "GPU limit missing or not valid",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0",
    formats=_PLAIN, fixable=True,
)  # fmt: skip
def gpu_limit_missing(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    The accelerators that an engine's container asks for: in `requests` without a limit, with a limit other than the
    request, or not a whole number; and a container whose command line needs several GPUs but asks for none.

    ## Why it matters

    GPUs are extended resources: they cannot be overcommitted, so the API server refuses a request without an equal limit
    ("Limit must be set for non overcommitable resources") and a fraction ("must be an integer"). A pod that asks for none
    gets none, and may be scheduled to a node that has none.

    ## How to fix

    State the number under `limits`; the request follows from it. Whole GPUs only: to share one, use MIG or time-slicing
    through the device plugin.

    ## Certainty

    Proven: from the validation of the Kubernetes API. The last case needs degrees that are written out, and a pod that has
    no other way to the devices (privileged, runtime class, host path, `NVIDIA_VISIBLE_DEVICES`, a claim).

    ## References

    - Kubernetes, `pkg/apis/core/validation/validation.go`: `validateContainerResourceRequirements`
    - [Kubernetes: schedule GPUs](https://kubernetes.io/docs/tasks/manage-gpus/scheduling-gpus/#using-device-plugins)
    """
    container = case.container
    if not guards.may_lack(container.pod):
        return
    asked = devices.devices(container.node)
    if asked.written is not None:
        yield from _invalid_count(container, asked)
    elif not asked.resource:
        yield from _none_asked(case)


def _invalid_count(container: Container, asked: Devices) -> Iterator[Verdict]:
    from servelint.source import edits

    document, resource = container.document, asked.resource
    for node in (asked.limit, asked.request):
        if node is None or any(mark in node.text for mark in ("$", "{{", "<")):
            continue
        if devices.whole(node) is None:
            yield Verdict(Place.of(document, node), f"{resource}: {node.text} is not a whole number of devices", key=resource)
            return
    if asked.request is not None and asked.limit is None:
        place = Place.of(document, asked.request)
        from servelint.formats.snippets import add_limit

        yield Verdict(
            place,
            f"{asked.request.text} × {resource} requested without a limit: the API server refuses the pod",
            proposals=(
                Proposal(
                    f"set the limit to {asked.request.text} as well",
                    True,
                    add_limit(document, container.node, resource, asked.request.text),
                ),
            ),
            key=resource,
        )
    elif asked.request is not None and asked.limit is not None and not _equal(asked):
        place = Place.of(document, asked.request)
        yield Verdict(
            place,
            f"{resource}: request {asked.request.text} and limit {asked.limit.text} must be equal",
            related=(Related(Place.of(document, asked.limit), f"limit {asked.limit.text}"),),
            proposals=(
                Proposal(
                    f"set the request to {asked.limit.text}", False, edits.set_scalar(document, asked.request, asked.limit.text)
                ),
            ),
            key=resource,
        )


def _equal(asked: Devices) -> bool:
    return asked.limit is not None and asked.request is not None and devices.whole(asked.limit) == devices.whole(asked.request)


def _none_asked(case: ContainerCase) -> Iterator[Verdict]:
    container, pool, pod = case.container, case.pool, case.container.pod
    if pod is None or pool.gpu_resource or container is not pool.containers[0] or not pool.nodes.is_known:
        return
    if (
        guards.sees_host_devices(container)
        or not guards.runs_on_gpus(container)
        or gpu_counts.is_launched_from_outside(container)
    ):
        return
    if pod.node.elements_at("spec", "resourceClaims") or any(
        devices.devices(other).resource for other in pod.node.elements_at("spec", "containers")
    ):
        return
    degrees = [(f, label) for f, label in ((pool.tensor, "tensor"), (pool.pipeline, "pipeline")) if f.is_stated and f.value > 1]
    if not degrees or not guards.is_literal(container.command, *gpu_counts.DEGREE_FLAGS):
        return
    needed = 1
    for fact, _ in degrees:
        needed *= fact.value
    fact, label = degrees[0]
    place = fact.place or container.place
    each = needed // pool.nodes.value if needed % pool.nodes.value == 0 else 0
    from servelint.formats.snippets import add_limit

    yield Verdict(
        place,
        f"{label}-parallel size {fact.value} needs {count(needed, 'GPU')}, and the container asks for none",
        proposals=(
            Proposal(
                f"set the limit nvidia.com/gpu: {each}",
                False,
                add_limit(container.document, container.node, "nvidia.com/gpu", str(each)),
            ),
        )
        if each
        else (),
        key="none",
    )
