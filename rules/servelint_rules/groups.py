"""DIS: LeaderWorkerSets: whether the pods of a group agree, and fail together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.facts import FactState, Place
from servelint.finding import Certainty, Proposal, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint.source.nodes import MappingNode, ScalarNode
from servelint_rules import guards, pods
from servelint_rules.figures import count
from servelint_rules.places import related

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import PoolCase
    from servelint.deployment import Pod
    from servelint.finding import Edit
    from servelint.source.nodes import Node

_TOGETHER = "RecreateGroupOnPodRestart"
# Fields on which the pods of one group must agree, in the engines' words.
_AGREED = (("tensor", "tensor-parallel size"), ("pipeline", "pipeline-parallel size"), ("data", "data-parallel size"))


@rule(
    "DIS707", "lws-group-inconsistent", "Group of pods that cannot form",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.POOL, since="0.1.0",
    formats=("leaderworkerset",),
)  # fmt: skip
def group_inconsistent(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A LeaderWorkerSet whose leader and workers ask for different numbers of GPUs or run the engine with different degrees;
    whose name is no DNS label that begins with a letter; or whose roll-out may neither remove nor add a group.

    ## Why it matters

    All ranks of a group take the same share of the model, so all its pods must hold the same GPUs: with fewer in one of
    them the engine waits for ranks that never come. The controller makes a Service of the set's name, which the API
    server refuses for `llama-3.1` or `70b`, so that the leader is never found. `maxUnavailable: 0` with `maxSurge: 0` is
    refused by the webhook.

    ## How to fix

    Give leader and workers the same GPUs and degrees; choose another name; allow one group more or one less.

    ## Certainty

    Proven from the object alone. A leader that asks for no GPU at all only starts the engine and is not compared.
    A name that somebody fills in (`__NAME__`, `LWS_NAME`) is not judged.

    ## References

    - [LeaderWorkerSet](https://lws.sigs.k8s.io/docs/concepts/): webhook `leaderworkerset_webhook.go`
    """
    pool = case.pool
    pod = pool.containers[0].pod if pool.containers else None
    item = pods.workload_of(pod) if pod is not None else None
    if pod is None or pod.partial:
        return
    gpus = pool.gpus_per_node
    if gpus.state is FactState.CONFLICT and len(gpus.values) > 1 and "leader asks" in gpus.reason:
        yield Verdict(gpus.place or pool.place, gpus.reason, proposals=(_same("number of GPUs"),), key="gpus")
    for name, what in _AGREED:
        fact = getattr(pool, name)
        if fact.state is FactState.CONFLICT and "leader runs" in fact.reason:
            yield Verdict(fact.place or pool.place, f"{what}: {fact.reason}", proposals=(_same(what),), key=name)
    root = pod.document.root
    if root is not None and root.text_at("kind") == "LeaderWorkerSet":
        yield from _name(pod, root)
        yield from _rollout(pod, root)
    elif item is not None:
        yield from _rollout(pod, item)


def _same(what: str) -> Proposal:
    return Proposal(f"give leader and workers the same {what}", False, None)


def _name(pod: Pod, root: Node) -> Iterator[Verdict]:
    node = root.get("metadata", "name")
    if not isinstance(node, ScalarNode) or guards.is_filled_in_later(node.text):
        return
    name = node.text
    plain = all(c.isascii() and (c.islower() or c.isdigit() or c == "-") for c in name)
    if plain and name[:1].isalpha() and name[-1:] != "-" and len(name) <= 63:
        return
    reason = "it has more than 63 characters" if len(name) > 63 else "it is not letters, digits and dashes, with a letter first"
    yield Verdict(
        Place.of(pod.document, node),
        f"no Service can have the name {name}: {reason}",
        proposals=(Proposal("take a name of lower-case letters, digits and dashes", False, None),),
        key="name",
    )


def _rollout(pod: Pod, root: Node) -> Iterator[Verdict]:
    configuration = root.get("spec", "rolloutStrategy", "rollingUpdateConfiguration")
    if configuration is None:
        return
    values = [configuration.get(key) for key in ("maxUnavailable", "maxSurge")]
    texts = [value.text if isinstance(value, ScalarNode) else None for value in values]
    surge = texts[1] if values[1] is not None else "0"  # the API's defaults: one group away, none more
    if texts[0] in ("0", "0%") and surge in ("0", "0%") and values[0] is not None:
        yield Verdict(
            Place.of(pod.document, values[0]),
            "no group may be away during a roll-out, and none may be added",
            proposals=(Proposal("set maxSurge or maxUnavailable to 1", False, None),),
            key="rollout",
        )


@rule(
    "DIS714", "failure-domain", "Group that is not restarted as a whole",
    severity=Severity.INFO, certainty=Certainty.PROVEN, scope=Scope.POOL, since="0.1.0",
    formats=("leaderworkerset",), fixable=True, advice=True,
)  # fmt: skip
def failure_domain(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A LeaderWorkerSet of several pods whose `restartPolicy` is `None` (or the old `Default`): a pod that fails is restarted
    alone.

    ## Why it matters

    The ranks of tensor and pipeline parallelism are one process group. When one of them is gone the others hang in their
    next collective operation, and a new pod cannot join them: the replica stays up and answers nothing.

    ## How to fix

    Leave `restartPolicy` out, or set it to `RecreateGroupOnPodRestart`, which is the default.

    ## Certainty

    Proven that the group is not restarted; advice, since a probe or a script may do it.

    ## References

    - [LeaderWorkerSet: failure handling](https://lws.sigs.k8s.io/docs/concepts/)
    """
    pool = case.pool
    pod = pool.containers[0].pod if pool.containers else None
    item = pods.workload_of(pod) if pod is not None else None
    root = pod.document.root if pod is not None else None
    item = item or (root if root is not None and root.text_at("kind") == "LeaderWorkerSet" else None)
    template = item.get("spec", "leaderWorkerTemplate") if item is not None else None
    if pod is None or not isinstance(template, MappingNode) or pool.nodes.get(1) < 2:
        return
    node = template.get("restartPolicy")
    if not isinstance(node, ScalarNode) or node.text == _TOGETHER:
        return
    document = pod.document

    def edits() -> tuple[Edit, ...] | None:
        from servelint.source.edits import set_scalar  # lazy: only findings edit

        return set_scalar(document, node, _TOGETHER)

    place = Place.of(document, node)
    yield Verdict(
        place,
        f"{node.text}: of {count(pool.nodes.get(1), 'pod')} the one that failed is restarted, and the others wait for it",
        related=related(place, (pool.nodes, "pods of one group")),
        proposals=(Proposal(f"set it to {_TOGETHER}", True, edits),),
    )
