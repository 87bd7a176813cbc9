"""MEM: the host's memory: what an engine keeps there, and what passes through it while the weights are loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.engines.versions import VLLM_V1
from servelint.facts import UnknownFact
from servelint.finding import Certainty, Proposal, Related, Severity, Verdict
from servelint.formats import containers
from servelint.records import NamedTuple
from servelint.rulebook import Scope, rule
from servelint_rules import guards
from servelint_rules.figures import GIB, count, in_gib
from servelint_rules.host_resources import Size, memory_limit, memory_volumes
from servelint_rules.loading import checkpoint_size
from servelint_rules.path_models import named_by_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import PoolCase
    from servelint.deployment import Container, Pool
    from servelint.facts import Place
    from servelint.finding import Edit

# Loaders that read weights without the page cache, or load none; and those that hold files in memory of their own.
_UNCACHED = frozenset(("dummy", "runai_streamer", "runai_streamer_sharded", "tensorizer", "fastsafetensors", "gguf"))
# Weights that pass through the page cache may be so many times what it can hold before they are said to be too much.
MOST_TIMES = 3


class Held(NamedTuple):
    """Memory that a container's processes hold all the time. ``words``: how it comes about; ``place``: who asks for it."""

    size_bytes: float
    words: str
    place: Place | None


class Passing(NamedTuple):
    """Weights on their way to the GPUs: those of one of ``hosts`` hosts. ``guessed``: the model that its path alone names.
    ``at_least``: nobody says in how many bits they are stored, and this is of the fewest."""

    size_bytes: float
    hosts: int
    guessed: str
    at_least: bool


@rule(
    "MEM409", "host-memory-too-small", "Memory limit below what the model needs of the host",
    severity=Severity.ERROR, certainty=Certainty.ESTIMATED, scope=Scope.POOL, since="0.1.0",
    fixable=True, inputs=("model",),
)  # fmt: skip
def host_memory_too_small(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    The memory limit of the container that runs the engine against the weights that one host loads, and what may lie in
    memory-backed volumes beside them. An engine that runs on CPUs keeps weights and KV cache (`VLLM_CPU_KVCACHE_SPACE`) there.

    ## Why it matters

    On GPUs the weights only pass through: checkpoint files are mapped, and the pages read count against the container's
    limit. The kernel gives them up again, so that a limit somewhat below the files only costs time (MEM419). With less than a
    third of them the ranks, which read the same files, drive each other's pages out: loading takes a multiple of the time and
    outlives probes, and what the processes hold for themselves is soon too much. Files in `/dev/shm` cannot be given up at
    all. On CPUs the weights stay, so that the container surely dies.

    ## How to fix

    Raise the memory limit (and request) above the weights and the volumes, or spread the model over more hosts.

    ## Certainty

    On CPUs an error by estimate: weights and cache exceed the limit even at the favourable end. On GPUs a heuristic and
    a warning, from a third of the weights downwards: mapped pages can be given up, at a price that depends on the storage and
    the loader. Where only the path of the model names it (`/models/Qwen3-32B`), that name is taken. Weights spread over
    several hosts count by their share. Loaders that read past the page cache are left out, and so are pods without a limit.

    ## References

    - [TensorRT-LLM#18832](https://github.com/NVIDIA/TensorRT-LLM/pull/18832): file pages that stay until the container is killed
    - [vllm#28923](https://github.com/vllm-project/vllm/issues/28923), [LLMKube#1724](https://github.com/defilantech/LLMKube/issues/1724)
    - [Linux: memory resource controller](https://docs.kernel.org/admin-guide/cgroup-v2.html#memory): page cache is charged
    """
    pool = case.pool
    limits = [(container, limit) for container in pool.containers if (limit := memory_limit(container)) is not None]
    for container, limit in limits[:1]:
        if runs_on_cpus(container):
            yield from _on_cpus(pool, container, limit)
            continue
        passing = passing_through(case, container, limit)
        if passing is not None and passing.size_bytes > MOST_TIMES * limit.size_bytes:
            yield from read_through(pool, container, limit, passing)


def _on_cpus(pool: Pool, container: Container, limit: Size) -> Iterator[Verdict]:
    size = checkpoint_size(pool)
    weights = min(size.low, 2 * pool.architecture.value.parameters) if pool.architecture.value.parameters else size.low
    cache = _number(container, "VLLM_CPU_KVCACHE_SPACE")
    held = cache * GIB if cache is not None else 0.0
    if weights + held <= limit.size_bytes:
        return
    parts = f"weights {in_gib(weights)} GiB"
    if cache:
        parts += f" + KV cache {cache:g} GiB (VLLM_CPU_KVCACHE_SPACE)"
    yield Verdict(
        limit.place,
        f"{in_gib(limit.size_bytes)} GiB for an engine on CPUs that keeps {in_gib(weights + held)} GiB",
        arithmetic=(f"{parts} = {in_gib(weights + held)} GiB, and the processes themselves",),
        related=_model(pool),
        proposals=(_raised(limit, 1.25 * (weights + held)),),
        key=container.name,
    )


def passing_through(case: PoolCase, container: Container, limit: Size) -> Passing | None:
    """The weights that one host reads through its page cache; None where they take another way, or the engine keeps so much
    that MEM410 has the word. Raises :class:`UnknownFact` where nobody can tell how much it is."""
    if not guards.runs_on_gpus(container) or _bypasses_cache(container) or _over_budget(case, container, limit):
        return None
    pool, guessed = case.pool, ""
    try:
        size = checkpoint_size(pool)
    except UnknownFact:
        named = named_by_path(pool)
        if named is None:
            raise
        size, guessed = checkpoint_size(named), named.architecture.value.id
    hosts = max(1, pool.nodes.value)
    return Passing(size.low / hosts, hosts, guessed, size.low < size.mid / 2)


def read_through(pool: Pool, container: Container, limit: Size, passing: Passing) -> Iterator[Verdict]:
    """What MEM409 and, where it is little, MEM419 say of weights that are larger than the memory they pass through."""
    weights, hosts = passing.size_bytes, passing.hosts
    volumes = [(mount, size) for mount, size in memory_volumes(container) if size.size_bytes < limit.size_bytes]
    shared = sum(size.size_bytes for _, size in volumes)
    beside = "".join(f" + up to {in_gib(size.size_bytes)} GiB in {mount.path}" for mount, size in volumes)
    share = f" (a share of 1/{hosts})" if hosts > 1 else ""
    least = "at least " if passing.at_least else ""
    guess = f", if the path holds {passing.guessed}" if passing.guessed else ""
    yield Verdict(
        limit.place,
        f"{least}{in_gib(weights)} GiB of weights are read through {in_gib(limit.size_bytes)} GiB of memory{guess}",
        arithmetic=(f"weights {in_gib(weights)} GiB{share}{beside}; limit {in_gib(limit.size_bytes)} GiB",),
        related=(*_model(pool), *(Related(size.place, f"{mount.path} is memory too") for mount, size in volumes)),
        proposals=(_raised(limit, 1.1 * weights + shared),),
        severity=Severity.WARNING,
        certainty=Certainty.HEURISTIC,
        key=container.name,
    )


def _model(pool: Pool) -> tuple[Related, ...]:
    place = pool.model.place
    return (Related(place, "the model"),) if place is not None and pool.model.is_stated else ()


def _bypasses_cache(container: Container) -> bool:
    command = container.command
    loader = command.last("--load-format") if command is not None else None
    return loader is not None and (loader.value_is_unknown or loader.value in _UNCACHED)


def _over_budget(case: PoolCase, container: Container, limit: Size) -> bool:
    """What is held is more than the limit already: MEM410 says so."""
    try:
        return sum(item.size_bytes for item in held(case, container)) > limit.size_bytes
    except UnknownFact:
        return False


def runs_on_cpus(container: Container) -> bool:
    """The engine computes on the host, as far as its image, its variables or its options say."""
    words = containers.words_of(container.node.text_at("image") or "")
    if words & guards.PRETENDERS:
        return False
    device = container.command.last("--device") if container.command is not None else None
    named = device is not None and device.value == "cpu"
    return "cpu" in words or container.variable("VLLM_CPU_KVCACHE_SPACE") is not None or named


def _number(container: Container, variable: str) -> float | None:
    """The number that a variable of the container is set to; None where it is not set, or not a number."""
    fact = container.variable(variable)
    return _finite(fact.get("")) if fact is not None else None


def _finite(text: str) -> float | None:
    """The number that ``text`` is; None for what is none, and for those that no memory has."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) < float("inf") else None


@rule(
    "MEM410", "cpu-offload-exceeds-host", "Offloaded weights or KV cache exceed the memory limit",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.POOL, since="0.1.0",
    engines=("vllm", "sglang"), fixable=True,
)  # fmt: skip
def cpu_offload_exceeds_host(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    What the engine is told to keep in the host's memory, over all ranks of the pod, against the container's memory limit:
    `--cpu-offload-gb` (per GPU), `--kv-offloading-size` (for all tensor-parallel ranks together), LMCache's
    `LMCACHE_MAX_LOCAL_CPU_SIZE` (per rank), SGLang's `--hicache-size` (per rank), and the swap space that vLLM before 0.8
    pins for each GPU, 4 GiB where nothing is stated.

    ## Why it matters

    These are allocated at start-up and pinned: they cannot be swapped out or given up. The container is killed while it
    allocates them.

    ## How to fix

    Raise the memory limit above their sum and some GiB for each process, or offload less.

    ## Certainty

    Proven where the sum alone exceeds the limit. Offloaded weights count at most as much as the model has; where the model
    is not known, they make it a warning.

    ## References

    - vLLM, `vllm/config/cache.py` (`kv_offloading_size`, `swap_space`) and `vllm/config/offload.py` (`cpu_offload_gb`)
    - SGLang, `python/sglang/srt/server_args.py`, `--hicache-size`: in GB for each rank
    - [LMCache: configuration](https://docs.lmcache.ai/api_reference/configurations.html)
    """
    for container in case.pool.containers[:1]:
        limit = memory_limit(container)
        if limit is None or not guards.runs_on_gpus(container):
            continue
        items = held(case, container)
        total = sum(item.size_bytes for item in items)
        if total <= limit.size_bytes:
            continue
        sure = sum(item.size_bytes for item in items if not item.words.startswith("up to")) > limit.size_bytes
        place = next((item.place for item in items if item.place is not None), limit.place)
        yield Verdict(
            place,
            f"{in_gib(total)} GiB are kept on a host of which the container may use {in_gib(limit.size_bytes)} GiB",
            arithmetic=tuple(f"{item.words} = {in_gib(item.size_bytes)} GiB" for item in items[:3]),
            related=(Related(limit.place, f"the limit: {in_gib(limit.size_bytes)} GiB"),) if place != limit.place else (),
            proposals=(_raised(limit, 1.25 * total),),
            severity=Severity.ERROR if sure else Severity.WARNING,
            certainty=Certainty.PROVEN if sure else Certainty.HEURISTIC,
            key=container.name,
        )


def held(case: PoolCase, container: Container) -> list[Held]:
    """What the ranks of one pod keep in the host's memory by their settings. Raises :class:`UnknownFact` where something is
    kept by ranks of which nobody knows how many there are."""
    command, pool = container.command, case.pool
    items: list[Held] = []

    def option(flag: str) -> tuple[float, Place] | None:
        argument = command.last(flag) if command is not None else None
        if command is None or argument is None or argument.value is None or argument.value_is_unknown:
            return None
        value = _finite(argument.value)
        return (value, command.place_of(argument)) if value is not None else None

    per_rank: list[tuple[str, float, Place | None, float]] = []
    offload = option("--cpu-offload-gb")
    if offload is not None and offload[0] > 0:
        items += _offloaded(case, *offload)
    whole = option("--kv-offloading-size") if pool.engine.get("") == "vllm" else None
    if whole is not None:
        groups = max(1, _ranks(case) // max(1, case.layout.rank_group))
        items.append(Held(whole[0] * groups * GIB, f"--kv-offloading-size {whole[0]:g} GiB × {groups}", whole[1]))
    cache = option("--hicache-size")
    if cache is not None and command is not None and command.last("--enable-hierarchical-cache") is not None:
        per_rank.append(("--hicache-size", cache[0], cache[1], 1e9))
    lmcache = _number(container, "LMCACHE_MAX_LOCAL_CPU_SIZE")
    if lmcache is not None and _keeps_locally(container):
        per_rank.append(("LMCACHE_MAX_LOCAL_CPU_SIZE", lmcache, container.environment["LMCACHE_MAX_LOCAL_CPU_SIZE"].place, GIB))
    swap = _swap_space(pool, container)
    if swap is not None:
        per_rank.append(("swap space", swap, None, GIB))
    if per_rank:
        ranks = _ranks(case)
        for what, size, place, unit in per_rank:
            words = f"{what} {size:g} {'GB' if unit == 1e9 else 'GiB'} × {count(ranks, 'rank')}"
            items.append(Held(size * unit * ranks, words, place))
    return items


def _offloaded(case: PoolCase, size: float, place: Place) -> list[Held]:
    """Weights that stay on the host: at most those that there are."""
    ranks = _ranks(case)
    words = f"--cpu-offload-gb {size:g} GiB × {count(ranks, 'rank')}"
    try:
        most = checkpoint_size(case.pool)
    except UnknownFact:
        return [Held(size * ranks * GIB, f"up to {words}", place)]
    if most.low < size * ranks * GIB:
        return [Held(most.low, f"{words}, and the model has no more", place)]
    return [Held(size * ranks * GIB, words, place)]


def _ranks(case: PoolCase) -> int:
    """Ranks in one pod."""
    return max(1, case.layout.world_size // max(1, case.pool.nodes.value))


def _keeps_locally(container: Container) -> bool:
    fact = container.variable("LMCACHE_LOCAL_CPU")
    return fact is None or fact.get("").lower() in ("true", "1", "yes")


def _swap_space(pool: Pool, container: Container) -> float | None:
    """GiB of swap space for each GPU, of the releases that make any: V0 pins it (vllm/config/cache.py)."""
    version = pool.version.get(None)
    if pool.engine.get("") != "vllm" or version is None or version >= VLLM_V1 or container.command is None:
        return None
    argument = container.command.last("--swap-space")
    table = container.command.table.flag("--swap-space")
    text = argument.value if argument is not None else table.default_at(version) if table is not None else None
    return _finite(text or "")


def _raised(limit: Size, wanted: float) -> Proposal:
    """Another limit; the request, where it is stated, follows at the operator's will."""
    size = f"{-(-int(wanted) // GIB)}Gi"

    def edits() -> tuple[Edit, ...] | None:
        from servelint.source.edits import set_scalar  # lazy: only fixes write

        return set_scalar(limit.document, limit.node, size)

    return Proposal(f"memory limit {size}, on hosts that have it", False, edits)
