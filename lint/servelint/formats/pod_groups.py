"""Groups of pods that run one replica of a model together: one template, or a leader's and its workers'.

What a controller's own module knows is how many pods a group has and how many groups there are; what follows from that for the
engines in them is here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.deployment import Deployment, Role
from servelint.facts import Fact, FactState, Origin, OriginKind
from servelint.formats import controller_words, devices, podspec, roles, scheduling
from servelint.formats.writers import together
from servelint.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from servelint.deployment import Pool
    from servelint.formats.base import Surroundings
    from servelint.source.nodes import Document, Node

_AGREE = ("model", "tensor", "pipeline", "data", "data_local", "expert", "max_model_len", "kv_cache_dtype", "quantization")
_ROLE_WORDS = {
    Role.PREFILL: frozenset(("prefill", "prefiller")),
    Role.DECODE: frozenset(("decode", "decoder")),
    Role.ENCODE: frozenset(("encode", "encoder")),
}


class Group(NamedTuple):
    """The pods of one role. ``leader`` and ``worker``: pod templates; ``worker`` is None where all pods have the leader's.

    ``size``: pods of one group, None where only the engine's command line can say it. ``replicas``: groups (at least).
    ``most``: groups at most, None where that is the same. ``ordered``: pods have an index, so that the command line can tell
    those of one group apart. ``given``: variables that the controller injects.
    """

    name: str
    leader: Node
    worker: Node | None
    size: Fact[int] | None
    replicas: Fact[int]
    most: Fact[int] | None = None
    ordered: bool = False
    given: Mapping[str, Fact[str]] | None = None


def role_pools(document: Document, group: Group, surroundings: Surroundings, *, owner: str, partial: bool = False) -> list[Pool]:
    """The pools of one role, named for it; their own role is taken from its name where the command line asks for one."""
    found = pools(document, group, surroundings, owner=owner, partial=partial)
    named = []
    for pool in found:
        command = pool.containers[0].command
        role = pool.role if command is None else roles.role_of(group.leader, document, command, group.name)
        named.append(pool._replace(name=group.name if len(found) == 1 else f"{group.name}-{pool.name}", role=role))
    return named


def pools(document: Document, group: Group, surroundings: Surroundings, *, owner: str, partial: bool = False) -> list[Pool]:
    """A pool for every engine of the leader, with the workers' engine and GPUs; none where the leader starts none."""
    templates = (group.leader,) if group.worker is None else (group.leader, group.worker)
    every = [
        podspec.engine_pools(document, template, surroundings, owner=owner, partial=partial, given=group.given)
        for template in templates
    ]
    leads, follows = every[0], every[1] if len(every) > 1 else []
    if group.size is not None and group.size.is_known and group.size.value == 1:
        follows = []  # the workers' template is never run
    found = []
    for index, lead in enumerate(leads):
        pool = joined(lead, follows[index]) if index < len(follows) else lead
        if group.size is None:
            found.append(sized(group.replicas, pool, ordered=group.ordered, most=group.most))
            continue
        most = (group.most or group.replicas)._replace(name="replicas.max")
        pool = pool._replace(nodes=group.size, replicas_min=group.replicas, replicas_max=most)
        found.append(pool if group.worker is None else with_workers(document, pool, group.worker, group.size))
    return found


def deployed(
    document: Document, item: Node, format_name: str, pools: Sequence[Pool], surroundings: Surroundings, *, partial: bool = False
) -> Iterator[Deployment]:
    """The deployment of an object's pools, if it has any; a size or a replica count that is no number is reported.

    ``partial``: another file completes the object.
    """
    if not pools:
        return
    name = controller_words.label_of(item).text
    for pool in pools:
        for fact in (pool.replicas_min, pool.nodes):
            podspec.report_invalid(surroundings, name, fact)
    notes = (podspec.PATCHED,) if partial else ()
    yield Deployment(name, format_name, document, tuple(with_roles(pools)), notes=notes)


def with_roles(pools: Sequence[Pool]) -> list[Pool]:
    """``pools`` of one object, with the roles that its own names give them where there is a prefill and a decode role.

    Such objects are routed by these names, whatever the command lines say of a transfer.
    """
    named = [_named_role(pool.name) for pool in pools]
    if not {Role.PREFILL, Role.DECODE} <= set(named):
        return list(pools)
    return [
        pool._replace(role=role) if role is not None and pool.role is Role.SERVE else pool
        for pool, role in zip(pools, named, strict=True)
    ]


def _named_role(name: str) -> Role | None:
    parts = set(name.lower().replace("_", "-").replace(".", "-").split("-"))
    found = {role for role, words in _ROLE_WORDS.items() if parts & words}
    return found.pop() if len(found) == 1 else None


def joined(leader: Pool, worker: Pool) -> Pool:
    """The leader's pool with the worker's engine container; facts on which the two disagree become conflicts."""
    conflicts: dict[str, Any] = {}
    for name in _AGREE:
        ours: Fact[Any] = getattr(leader, name)
        theirs: Fact[Any] = getattr(worker, name)
        if ours.is_known and theirs.is_known and ours.value != theirs.value and ours.origin is not None:
            reason = f"the leader runs with {ours.value} and the workers with {theirs.value}"
            conflicts[name] = Fact.conflict(ours.name, (ours.value, theirs.value), reason, ours.origin)
    return leader._replace(containers=(*leader.containers, *worker.containers), **conflicts)


def with_workers(document: Document, pool: Pool, worker: Node | None, size: Fact[int]) -> Pool:
    """GPUs of a group whose workers have their own template. The engine's GPUs are the same in every pod, or a conflict."""
    if worker is None or (size.is_known and size.value == 1):
        return pool  # the worker template is never run
    container = _accelerated(worker)
    if container is None:
        return pool
    asked = devices.devices(container)
    partial = bool(pool.containers[0].pod and pool.containers[0].pod.partial)
    theirs = devices.count(document, container, partial=partial)
    ours = pool.gpus_per_node
    if not pool.gpu_resource and ours.state is FactState.UNKNOWN and theirs.is_known and size.is_known and not partial:
        # A leader without GPUs only starts the engine; the ranks are on the workers.
        writer = together((document, asked.limit), (document, asked.request))
        origin = Origin(OriginKind.DERIVED, f"{size.value} pods, of which the leader asks for no accelerator")
        return pool._replace(
            accelerator=scheduling.accelerator(document, worker) or pool.accelerator,
            gpu_resource=asked.resource,
            gpus_per_node=theirs._replace(writer=writer),
            nodes=Fact.known("nodes", size.value - 1, origin),
        )
    if not ours.is_known or ours.origin is None:
        return pool
    if not theirs.is_known or theirs.value != ours.value or asked.resource != pool.gpu_resource:
        what = f"{theirs.value} × {asked.resource}" if theirs.is_known else "an unknown number"
        reason = f"the leader asks for {ours.value} × {pool.gpu_resource}, each worker for {what}"
        values = (ours.value, theirs.value) if theirs.is_known else (ours.value,)
        return pool._replace(gpus_per_node=Fact.conflict(ours.name, values, reason, ours.origin))
    engine = devices.devices(pool.containers[0].node)
    nodes = (engine.limit, engine.request, asked.limit, asked.request)
    return pool._replace(gpus_per_node=ours._replace(writer=together(*((document, node) for node in nodes))))


def _accelerated(template: Node) -> Node | None:
    """The container of ``template`` that asks for accelerators, if it is one container."""
    found = [c for c in template.elements_at("spec", "containers") if devices.devices(c).resource]
    return found[0] if len(found) == 1 else None


def sized(pods: Fact[int], pool: Pool, *, ordered: bool, most: Fact[int] | None = None) -> Pool:
    """The pool with its nodes and replicas, where its object counts pods and only the command line knows of groups."""
    nodes = nodes_of(pool)
    if nodes.state is FactState.UNKNOWN and ordered and pods.is_known and pods.value and _are_one_group(pool):
        nodes = Fact.known("nodes", pods.value, Origin(OriginKind.DERIVED, "each pod is the node of its index", pods.place))
    counts = [pods, (most or pods)._replace(name="replicas.max")]
    if nodes.state is FactState.UNKNOWN:
        reason = f"how many pods make one replica is not known: {nodes.reason}"
        counts = [Fact.unknown(fact.name, reason, nodes.remedy) for fact in counts]
    elif nodes.value > 1:
        first = _is_first(pool)
        counts = [_groups(fact, nodes.value, ordered=ordered, first=first) for fact in counts]
    return pool._replace(nodes=nodes, replicas_min=counts[0], replicas_max=counts[1])


def _are_one_group(pool: Pool) -> bool:
    """The command line numbers all pods of the object as nodes of one group, whose size it takes from elsewhere."""
    from servelint.formats import pod_ordinals  # lazy: few groups take their size from elsewhere

    command = pool.containers[0].command
    return command is not None and command.last("--nnodes") is not None and pod_ordinals.ranks_each_pod(pool.containers[0])


def nodes_of(pool: Pool) -> Fact[int]:
    """Pods of one replica: what the engine's command line says of its group, else one."""
    stated = pool.nodes
    if stated.state is not FactState.UNKNOWN or stated.reason != "not stated":
        return stated
    data, local = pool.data, pool.data_local
    if data.is_known and local.is_stated and 0 < local.value < data.value and data.value % local.value == 0:
        # vLLM: `--data-parallel-size` ranks, `--data-parallel-size-local` of them in each pod.
        return Fact.known("nodes", data.value // local.value, Origin(OriginKind.DERIVED, "data ranks / local data ranks"))
    if data.is_known and data.value > 1 and _has_one_rank(pool):
        return Fact.known("nodes", data.value, Origin(OriginKind.DERIVED, "a data rank in each pod", data.place))
    return Fact.known("nodes", 1, Origin(OriginKind.DERIVED, "the engine runs in one pod"))


def _has_one_rank(pool: Pool) -> bool:
    """vLLM: ``--data-parallel-rank`` says that the process is one of the ranks, and it takes all GPUs of its pod."""
    command, gpus = pool.containers[0].command, pool.gpus_per_node
    if command is None or command.last("--data-parallel-rank") is None or not gpus.is_known:
        return False
    degrees = [fact.get(1 if command.complete and fact.reason == "not stated" else 0) for fact in (pool.tensor, pool.pipeline)]
    return degrees[0] * degrees[1] == gpus.value


def _is_first(pool: Pool) -> bool:
    """The command line says that its pod is the first of its group."""
    command = pool.containers[0].command
    ranks = [command.last(flag) for flag in ("--node-rank", "--data-parallel-start-rank")] if command is not None else []
    return any(rank is not None and rank.value == "0" for rank in ranks)


def _groups(pods: Fact[int], nodes: int, *, ordered: bool, first: bool) -> Fact[int]:
    """Replicas where ``nodes`` pods form one of them: only pods with an index can be told apart by the command line.

    ``first``: each of ``pods`` is the first of its group, whose others are in other objects.
    """
    if not pods.is_known:
        return pods
    count = pods.value
    if ordered and count and count % nodes == 0:
        return Fact.known(pods.name, count // nodes, Origin(OriginKind.DERIVED, f"{count} pods in groups of {nodes}"))
    if first and count == 1:
        return Fact.known(pods.name, 1, Origin(OriginKind.DERIVED, f"the first of {nodes} pods; the others are in other objects"))
    reason = f"the engine's group has {nodes} pods and this object has {count}; the others are in another object"
    return Fact.unknown(pods.name, reason)


def times(outer: Fact[int], inner: Fact[int]) -> Fact[int]:
    """``inner`` in each of ``outer`` sets: a fact that can be written where one of the two is 1."""
    if not outer.is_known or not inner.is_known:
        return inner if outer.is_known else outer._replace(name=inner.name)
    if outer.value == 1:
        return inner
    if inner.value == 1:
        return outer._replace(name=inner.name)
    product = outer.value * inner.value
    place = inner.place or outer.place
    return Fact.known(inner.name, product, Origin(OriginKind.DERIVED, f"{outer.value} × {inner.value}", place))


def controlled(names: Sequence[str], who: str) -> dict[str, Fact[str]]:
    """Variables that the controller sets in each pod to a value of its own."""
    return {name: Fact.unknown(f"env.{name}", f"{who} sets it in each pod", "it differs from pod to pod") for name in names}
