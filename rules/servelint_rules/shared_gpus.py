"""MEM408: engines that share GPUs, and the sum of what they take of each."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from servelint.finding import Certainty, Proposal, Severity, Verdict
from servelint.formats import devices
from servelint.records import NamedTuple
from servelint.rulebook import Scope, rule
from servelint.source.nodes import ScalarNode, SequenceNode
from servelint.source.scalars import whole
from servelint_rules import guards
from servelint_rules.places import place_of, related

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from servelint.case import WorkspaceCase
    from servelint.deployment import Pool
    from servelint.facts import Fact

_ROOM = 1e-9
# Variables that choose devices inside of a container, and the one that chooses those of the container.
_INSIDE = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")
_OUTSIDE = "NVIDIA_VISIBLE_DEVICES"


class _Engine(NamedTuple):
    """``shares``: what the service's engines take of each GPU of the host; ``profiles``: none for a service that always runs."""

    pool: Pool
    shares: dict[str, float]
    profiles: tuple[str, ...]

    @property
    def container(self) -> str:
        """The name that no other container of the host may have; "" where Compose chooses one."""
        return self.pool.containers[0].node.text_at("container_name") or ""


@rule(
    "MEM408", "shared-gpu-oversubscribed", "Engines share GPUs and ask for more than there is",
    severity=Severity.WARNING, certainty=Certainty.HEURISTIC, scope=Scope.WORKSPACE, since="0.1.0",
    engines=("vllm",),
)  # fmt: skip
def shared_gpu_oversubscribed(case: WorkspaceCase) -> Iterator[Verdict]:
    """
    ## What it checks

    Several vLLM engines on the same GPUs: in one container that is given fewer than they need together, and in services of
    one Compose file that run at the same time (both without `profiles`, or one without) on the same device ids. The sum
    of their shares of GPU memory is compared with the GPUs that there are.

    ## Why it matters

    `--gpu-memory-utilization` is a share of the whole GPU, not of what is free. The second engine stops: "Free memory on
    device … on startup is less than desired GPU memory utilization". A service without `profiles` also starts when a
    profile is asked for: it does not give its GPU back to the services of that profile.

    ## How to fix

    Shares that sum up to less than one on each GPU, or a GPU for each engine. Give a service that must not run beside a
    profile's a profile of its own.

    ## Certainty

    Heuristic, as a script may start one in place of another, and an `.env` file may set other devices. If they run at once
    it is certain. Services that share nothing but a profile are left out: some files list alternatives there. Of services
    with the same `container_name` one runs at a time. A service that names no device takes the first GPUs of the host;
    nothing is said where a variable of Compose's names them and is `all` by default.

    ## References

    - vLLM, `vllm/v1/worker/utils.py`, `request_memory`
    - [Docker Compose: profiles](https://docs.docker.com/compose/how-tos/profiles/)
    """
    services: dict[str, list[_Engine]] = {}
    for deployment in case.deployments:
        if deployment.format == "compose":
            found = [engine for pool in deployment.pools if (engine := _service(pool)) is not None]
            services.setdefault(deployment.document.source.path, []).extend(found)
        elif len(deployment.pools) > 1:
            yield from _containers(deployment.pools)
    for engines in services.values():
        if len(engines) > 1:
            yield from _services(engines)


def _containers(pools: Iterable[Pool]) -> Iterator[Verdict]:
    """Engines of one container, and the devices it asks for."""
    groups: dict[int, list[Pool]] = {}
    for pool in pools:
        if pool.containers:
            groups.setdefault(id(pool.containers[0].node), []).append(pool)
    for several in groups.values():
        if len(several) < 2 or not all(_is_vllm(pool) for pool in several):
            continue
        asked_for = devices.devices(several[0].containers[0].node)
        counted = asked_for.resource in devices.COUNTED and asked_for.written is not None and not asked_for.shared
        there = devices.whole(asked_for.written) if counted and asked_for.written is not None else None
        shares = [share for pool in several if (share := _share(pool)) is not None]
        if not there or len(shares) < len(several):
            continue
        asked = sum(gpus * share for gpus, share in shares)
        if asked <= there + _ROOM:
            continue
        place = place_of(several[-1], several[-1].gpu_memory_utilization)
        yield Verdict(
            place,
            f"{len(several)} engines ask for the memory of {asked:.3g} GPUs, and the container has {there}",
            arithmetic=(" + ".join(f"{gpus} × {share:g}" for gpus, share in shares) + f" = {asked:.3g}",),
            related=related(place, *((pool.gpu_memory_utilization, "another share") for pool in several[:-1])),
        )


def _is_vllm(pool: Pool) -> bool:
    return pool.engine.get("") == "vllm" and bool(pool.containers) and guards.runs_on_gpus(pool.containers[0])


def _share(pool: Pool) -> tuple[int, float] | None:
    """(GPUs, share of each) of one engine."""
    facts = (pool.tensor, pool.pipeline, pool.data)
    if not all(fact.is_known for fact in facts) or not pool.gpu_memory_utilization.is_known:
        return None
    return prod(fact.value for fact in facts), pool.gpu_memory_utilization.value


def _service(pool: Pool) -> _Engine | None:
    """The service with its GPUs; None where they or its share are not known."""
    share = _share(pool) if _is_vllm(pool) else None
    if share is None or not pool.gpu_resource.endswith("/gpu") or pool.kv_cache_memory_bytes.is_stated:
        return None
    gpus = _devices(pool, share[0])
    if gpus is None or len(gpus) < share[0]:
        return None
    node = pool.containers[0].node
    named = [item.text for item in node.elements_at("profiles") if isinstance(item, ScalarNode)]
    copies = pool.replicas_min.get(1)
    return _Engine(pool, dict.fromkeys(gpus[: share[0]], copies * share[1]), tuple(named))


def _devices(pool: Pool, number: int) -> list[str] | None:
    """The host's devices in the order in which the engine takes them; None where that is not known."""
    container = pool.containers[0]
    outside = _ids(pool)
    if outside is None and (variable := container.variable(_OUTSIDE)) is not None:
        outside = _names(variable.get("?"))
        if outside is None or (not outside and _is_left_open(variable)):
            return None
    for name in _INSIDE:
        variable = container.variable(name)
        if variable is None:
            continue
        inside = _names(variable.get("?"))
        if not inside:
            return inside if inside is None else None
        if not outside:
            return inside
        if not all(whole(word) is not None and int(word) < len(outside) for word in inside):
            return None
        return [outside[int(word)] for word in inside]
    if outside is not None or pool.gpus_per_node.get(None) is None:
        return outside or [str(index) for index in range(number)]
    stated = pool.gpus_per_node.origin
    return None if stated is not None and stated.text == "device_ids" else [str(index) for index in range(number)]


def _is_left_open(variable: Fact[str]) -> bool:
    """The devices are a variable of Compose's own, by which each service is given its own ones."""
    place = variable.place
    return place is not None and "$" in place.document.source.text[place.span.start : place.span.end]


def _names(text: str) -> list[str] | None:
    """Device ids; an empty list for "all", None where they are not known."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    if words == ["all"]:
        return []
    return words if words and all(word.isdigit() or word.startswith("GPU-") for word in words) else None


def _ids(pool: Pool) -> list[str] | None:
    """``device_ids`` of the service's own reservation, where they are literal."""
    node = pool.containers[0].node
    for request in (*node.elements_at("deploy", "resources", "reservations", "devices"), *node.elements_at("gpus")):
        ids = request.get("device_ids")
        if isinstance(ids, SequenceNode):
            words = [item.resolved.text.rpartition("=")[2] for item in ids.items if isinstance(item.resolved, ScalarNode)]
            return words if all(word.isdigit() or word.startswith("GPU-") for word in words) else None
    return None


def _at_once(engines: list[_Engine], gpu: str) -> list[_Engine]:
    """Of services with one ``container_name``, of which Docker takes only one at a time, the one with the smallest share."""
    least: dict[str, _Engine] = {}
    for engine in engines:
        name = engine.container or f" {engine.pool.name}"
        if name not in least or engine.shares[gpu] < least[name].shares[gpu]:
            least[name] = engine
    return list(least.values())


def _services(engines: list[_Engine]) -> Iterator[Verdict]:
    """For each GPU the services that may run at once and ask for more than it has; said once for each set of them."""
    gpus = sorted({gpu for engine in engines for gpu in engine.shares})
    profiles: list[str | None] = [None, *sorted({name for engine in engines for name in engine.profiles})]
    said: set[frozenset[str]] = set()
    for profile in profiles:
        running = [engine for engine in engines if not engine.profiles or profile in engine.profiles]
        for gpu in gpus:
            on_it = _at_once([engine for engine in running if gpu in engine.shares], gpu)
            asked = sum(engine.shares[gpu] for engine in on_it)
            names = frozenset(engine.pool.name for engine in on_it)
            if asked <= 1 + _ROOM or len(on_it) < 2 or any(other <= names for other in said):
                continue
            always = [engine.pool.name for engine in on_it if not engine.profiles]
            if not always:
                continue  # a profile may be a list of alternatives that are started by name
            said.add(names)
            last, others = on_it[-1].pool, [engine.pool for engine in on_it[:-1]]
            place = place_of(last, last.gpu_memory_utilization)
            when = f" under the profile {profile}" if profile is not None else ""
            yield Verdict(
                place,
                f"{' and '.join(engine.pool.name for engine in on_it)} run at once{when} and ask for {asked:.3g} of GPU {gpu}"
                + (f"; {always[0]} has no profile and always starts" if when else ""),
                arithmetic=(" + ".join(f"{engine.shares[gpu]:g}" for engine in on_it) + f" = {asked:.3g}",),
                related=related(place, *((pool.gpu_memory_utilization, f"the share of {pool.name}") for pool in others)),
                proposals=(Proposal("another GPU for one of them, smaller shares, or a profile of its own", False, None),),
                key=f"gpu {gpu} {profile or ''}".strip(),
            )
