"""Rollout: whether a new version can replace the old one, and whether requests in flight are let finish."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.facts import Place
from servelint.finding import Certainty, Proposal, Related, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint.source.nodes import MappingNode, ScalarNode
from servelint.source.scalars import whole
from servelint_rules import guards, pods
from servelint_rules.figures import count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import ContainerCase, PoolCase
    from servelint.deployment import Container
    from servelint.finding import Edit
    from servelint.source.nodes import Node

_DEFAULT_SHARE = "25%"  # of maxSurge and maxUnavailable
_DEFAULT_GRACE_SECONDS = 30


@rule(
    "K8S604", "rollout-deadlock-on-gpus", "Rolling update needs GPUs beside those in use",
    severity=Severity.WARNING, certainty=Certainty.HEURISTIC, scope=Scope.CONTAINER, since="0.1.0",
    formats=("kubernetes",), fixable=True,
)  # fmt: skip
def rollout_deadlock_on_gpus(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A Deployment whose rolling update starts a new pod before it ends an old one (`maxSurge` at least 1, `maxUnavailable` 0;
    the defaults of 25 % come to that below four replicas) and whose pods take all GPUs of a node, or are bound to one node.

    ## Why it matters

    The new pod waits for GPUs that the old one holds, and the old one is not ended before the new one is ready. Unless a
    free node of the same kind is kept for it, the rollout hangs until `progressDeadlineSeconds`, and has to be untangled
    by hand.

    ## How to fix

    `strategy: {type: Recreate}` (the service is down while the new pod loads), or `maxSurge: 0` with `maxUnavailable: 1` where
    there are several replicas.

    ## Certainty

    Heuristic: whether a spare node exists is not in the manifest. Pods that take a part of a node are left out: there is
    room beside them often enough. So are pods for which an autoscaler makes nodes by their label (GKE compute classes,
    Karpenter).

    ## References

    - [Kubernetes: rolling update deployment](https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#rolling-update-deployment)
    - [LLMKube#192](https://github.com/defilantech/LLMKube/issues/192), [airunway#400](https://github.com/ai-runway/airunway/issues/400)
    """
    container, pool = case.container, case.pool
    pod = container.pod
    if pod is None or pod.owner != "Deployment" or not guards.shows_all(case) or not pods.is_first(container, pool):
        return
    workload, gpus = pods.workload_of(pod), pool.gpus_per_node.get(0)
    pinned = pods.pinned_node(pod.node)
    if workload is None or gpus < 1 or (gpus < pods.GPUS_OF_A_NODE and pinned is None) or not guards.counts_devices(pool):
        return
    if pinned is None and guards.gets_new_nodes(pod):
        return
    replicas = pool.replicas_min.get(1)
    if replicas < 1 or (workload.text_at("spec", "strategy", "type") or "RollingUpdate") != "RollingUpdate":
        return
    surge = _share(workload, "maxSurge", replicas, up=True)
    unavailable = _share(workload, "maxUnavailable", replicas, up=False)
    if surge is None or unavailable is None or surge < 1 or unavailable > 0:
        return
    document = container.document
    strategy = pods.key_place(document, workload.get("spec"), "strategy")
    place = pool.gpus_per_node.place or container.place
    where = f"on {pinned.text}, which holds the old one" if isinstance(pinned, ScalarNode) else "on another node"
    yield Verdict(
        place,
        f"the new pod needs {count(gpus, 'GPU')} {where}, before an old one is ended",
        arithmetic=(f"{count(replicas, 'replica')}: maxSurge {surge}, maxUnavailable {unavailable}",),
        related=(Related(strategy, "the strategy"),) if strategy is not None else (),
        proposals=(Proposal("end the old pod first: strategy Recreate", False, lambda: _recreate(case, workload)),),
    )


def _share(workload: Node, key: str, replicas: int, *, up: bool) -> int | None:
    """Pods that ``key`` of the rolling update allows; percentages are rounded up for maxSurge and down for maxUnavailable."""
    text = workload.text_at("spec", "strategy", "rollingUpdate", key) or _DEFAULT_SHARE
    if whole(text) is not None:
        return int(text)
    share = text.removesuffix("%")
    if whole(share) is None or share == text:
        return None
    return -(-replicas * int(share) // 100) if up else replicas * int(share) // 100


def _recreate(case: ContainerCase, workload: Node) -> tuple[Edit, ...] | None:
    from servelint.source import edits

    spec = workload.get("spec")
    if not isinstance(spec, MappingNode) or spec.entry("strategy") is not None:
        return None
    return edits.insert_entry(case.container.document, spec, "strategy", "type: Recreate", "replicas")


@rule(
    "K8S616", "termination-grace-short", "Pod is killed before it has ended in an orderly way",
    severity=Severity.WARNING, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0",
    formats=guards.TEMPLATED, fixable=True,
)  # fmt: skip
def termination_grace_short(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    `terminationGracePeriodSeconds` (30 by default) against what an orderly end takes: the sleep of the `preStop` hook and
    vLLM's `--shutdown-timeout`, in which it lets requests in flight finish.

    ## Why it matters

    The grace period runs from the moment the pod is told to end, the hook included. When it is over, every process is
    killed: a hook that sleeps through it takes away the time that it was meant to win, and clients see broken streams.

    ## How to fix

    Make the grace period longer than the hook, the shutdown timeout and some seconds together.

    ## Certainty

    Proven, from the times in the manifest. Hooks that do something else than sleep are not timed.

    ## References

    - [Kubernetes: pod termination](https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination)
    - [vllm#43208](https://github.com/vllm-project/vllm/pull/43208), [kserve#5496](https://github.com/kserve/kserve/pull/5496)
    """
    container = case.container
    pod = container.pod
    if pod is None or not guards.shows_all(case):
        return
    hook = _hook_seconds(container)
    drain, flag = _drain_seconds(container)
    stated = pod.node.get("spec", "terminationGracePeriodSeconds")
    grace = _DEFAULT_GRACE_SECONDS if stated is None else pods.whole(stated)
    if grace is None or hook + drain == 0 or hook + drain < grace:
        return
    document = container.document
    hooked = pods.key_place(document, container.node.get("lifecycle"), "preStop")
    place = Place.of(document, stated) if stated is not None else hooked if hook else flag
    wanted = hook + drain + _DEFAULT_GRACE_SECONDS
    said = f"{grace} s" if stated is not None else f"{grace} s, the default,"
    yield Verdict(
        place or container.place,
        f"{said} of grace for {hook + drain} s of ending",
        arithmetic=(f"preStop {hook} s + shutdown timeout {drain} s = {hook + drain} s",),
        proposals=(Proposal(f"terminationGracePeriodSeconds: {wanted}", True, lambda: _graced(container, wanted)),),
    )


def _hook_seconds(container: Container) -> int:
    """What the ``preStop`` hook sleeps; 0 where it does something else."""
    hook = container.node.get("lifecycle", "preStop")
    if hook is None:
        return 0
    slept = pods.whole(hook.get("sleep", "seconds"))
    if slept is not None:
        return slept
    import re  # lazy: few containers have a hook

    words = " ".join(node.text for node in hook.elements_at("exec", "command") if isinstance(node, ScalarNode))
    found = re.fullmatch(r"(?:\S*/)?(?:ba|da)?(?:sh -c )?\"?(?:\S*/)?sleep ([0-9]{1,9})s?\"?;?", words.strip())
    return int(found.group(1)) if found is not None else 0


def _drain_seconds(container: Container) -> tuple[int, Place | None]:
    """vLLM's ``--shutdown-timeout``; 0 where it is not stated, which ends at once."""
    command = container.command
    argument = command.last("--shutdown-timeout") if command is not None else None
    if command is None or argument is None or argument.value_is_unknown or whole(argument.value or "") is None:
        return 0, None
    return int(argument.value or 0), command.place_of(argument)


def _graced(container: Container, seconds: int) -> tuple[Edit, ...] | None:
    from servelint.source import edits

    spec = container.pod.node.get("spec") if container.pod is not None else None
    stated = spec.get("terminationGracePeriodSeconds") if spec is not None else None
    if isinstance(stated, ScalarNode):
        return edits.set_scalar(container.document, stated, str(seconds))
    if not isinstance(spec, MappingNode):
        return None
    return edits.insert_entry(container.document, spec, "terminationGracePeriodSeconds", str(seconds), "containers")


@rule(
    "K8S623", "job-not-deployment", "Server without a controller that keeps it running",
    severity=Severity.INFO, certainty=Certainty.ADVICE, scope=Scope.CONTAINER, since="0.1.0",
    formats=("kubernetes",), advice=True,
)  # fmt: skip
def job_not_deployment(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    An engine's server in a Job or in a Pod of its own.

    ## Why it matters

    A Pod that is evicted, or whose node fails, does not come back. A Job restarts it, but counts a server as never
    completed, has no Service semantics of replicas and no rolling update.

    ## How to fix

    Use a Deployment, a StatefulSet or a LeaderWorkerSet. For a test or a batch run it is fine as it is.

    ## Certainty

    Advice: the manifest does not say what it is for.

    ## References

    - [Kubernetes: workload management](https://kubernetes.io/docs/concepts/workloads/controllers/)
    """
    container, pool = case.container, case.pool
    pod = container.pod
    if pod is None or pod.owner not in ("Pod", "Job") or not guards.shows_all(case) or not pods.is_first(container, pool):
        return
    workload = pods.workload_of(pod)
    kind = workload.get("kind") if workload is not None else None
    place = Place.of(container.document, kind) if kind is not None else container.place
    lost = "nothing starts it again elsewhere" if pod.owner == "Pod" else "a Job waits for it to complete"
    yield Verdict(place, f"a server in a {pod.owner}: {lost}", key=container.name)


@rule(
    "K8S627", "replicas-zero-or-scale-to-zero", "Scales to zero: the first request waits for the model to load",
    severity=Severity.INFO, certainty=Certainty.ADVICE, scope=Scope.POOL, since="0.1.0", advice=True,
)  # fmt: skip
def scale_to_zero(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A least number of replicas that is stated to be zero.

    ## Why it matters

    While there is no replica, a request waits until a pod is scheduled, the image pulled, the weights loaded and the engine
    started: minutes. Most clients and gateways give up before; so nothing but a queue in front of it makes it of use.

    ## How to fix

    Keep one replica, or see to it that clients wait or try again.

    ## Certainty

    Advice: scaling to zero may be the intention, and zero may stand for "switched off".

    ## References

    - [KServe: scale to zero](https://kserve.github.io/website/docs/model-serving/predictive-inference/autoscaling/kpa-autoscaler)
    - [vllm#20264](https://github.com/vllm-project/vllm/issues/20264): what a start takes
    """
    least = case.pool.replicas_min
    if not least.is_stated or least.value != 0 or least.place is None:
        return
    if case.deployment.format == "kthena" and all(each.pod is None for each in case.pool.containers):
        return  # nothing scales a ModelBooster's workers up: K8S653
    yield Verdict(least.place, "no replica is kept: a request finds nobody until a pod has loaded the model")
