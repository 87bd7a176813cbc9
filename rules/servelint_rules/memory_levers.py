"""MEM: advice on what would give the KV cache more room, or the engine more speed."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from servelint.deployment import Role
from servelint.engines.versions import VLLM_V1
from servelint.facts import Fact, FactState, Origin, OriginKind
from servelint.finding import Certainty, Proposal, Related, Severity, Verdict
from servelint.formats import containers
from servelint.rulebook import Scope, rule
from servelint.source.scalars import whole
from servelint_rules import guards, rewording
from servelint_rules.changes import edits_of, setting, stated
from servelint_rules.figures import GIB, in_gib
from servelint_rules.host_resources import memory_limit
from servelint_rules.places import place_of, related
from servelint_rules.provisioning import wanted_at_once
from servelint_rules.unaccounted import gpu_memory
from servelint_rules.workload import typical_tokens

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import ContainerCase, PoolCase
    from servelint.engines.command import Argument, Command

# The first compute capability whose attention kernels read an 8-bit cache in hardware (Ada), and how each engine calls one.
_FP8_FROM = (8, 9)
_FP8 = {"vllm": "fp8", "sglang": "fp8_e4m3", "trtllm": "fp8"}
# Devices that the project's own releases run on; forks for others have defaults of their own.
_RELEASED = frozenset(("", "nvidia.com/gpu", "amd.com/gpu"))


@rule(
    "MEM404", "default-utilization-changed", "The share of GPU memory depends on which release is pulled",
    severity=Severity.INFO, certainty=Certainty.PROVEN, scope=Scope.POOL, since="0.1.0",
    engines=("vllm",), inputs=("image tag",), advice=True,
)  # fmt: skip
def default_utilization_changed(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    vLLM without `--gpu-memory-utilization` in an image whose tag moves with the releases (`latest`, `nightly`, none).

    ## Why it matters

    The default was 0.90 up to 0.19.1 and is 0.92 from 0.20.2 on, where CUDA graphs count against it too. The KV cache, and
    with it the number of requests that run at once, changes without any change of the manifest.

    ## How to fix

    Pin the image, or state the share.

    ## Certainty

    Proven, from the defaults of the releases.

    ## References

    - vLLM, `vllm/config/cache.py`, `gpu_memory_utilization`; `VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS` in `vllm/envs.py`
    """
    pool = case.pool
    share = pool.gpu_memory_utilization
    if share.state is not FactState.ALTERNATIVES or share.place is not None or pool.kv_cache_memory_bytes.is_known:
        return
    for container in pool.containers[:1]:
        place = container.image.place
        tag = containers.tag_of(container.image.value) if container.image.is_known else "?"
        if not containers.is_moving(tag):
            continue  # some release, and always the same one: which one it is this does not say
        if place is None or not guards.runs_on_gpus(container) or pool.gpu_resource not in _RELEASED:
            continue
        shares = " or ".join(f"{value:.2f}" for value in sorted(share.values))
        yield Verdict(
            place,
            f"the engine takes {shares} of the GPU's memory, by the release that the image holds",
            proposals=(Proposal("pin the image, or state --gpu-memory-utilization", False, None),),
            key=container.name,
        )


@rule(
    "MEM412", "kv-dtype-lever", "An 8-bit KV cache would hold the workload",
    severity=Severity.INFO, certainty=Certainty.HEURISTIC, scope=Scope.POOL, since="0.1.0",
    engines=tuple(_FP8), fixable=True, inputs=("model", "accelerator", "workload"), advice=True,
)  # fmt: skip
def kv_dtype_lever(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A pool whose KV cache holds fewer requests than are to run at once, in 16 bits, on a GPU of compute capability 8.9 and
    more, where a cache of 8 bits would hold more.

    ## Why it matters

    Half the bytes per token: twice the requests at once on the same GPUs, and less to read per step.

    ## How to fix

    `--kv-cache-dtype fp8`, after a look at the answers: without calibrated scales long contexts and small models lose
    accuracy first.

    ## Certainty

    Heuristic: the room is estimated, the loss of accuracy depends on the model.

    ## References

    - vLLM documentation, Quantized KV Cache
    """
    pool = case.pool
    length, wanted = typical_tokens(pool), wanted_at_once(pool)
    if length is None or wanted is None or str(pool.kv_cache_dtype.get("auto")) not in ("auto", "bfloat16", "float16"):
        return
    memory = gpu_memory(case)
    capability = case.accelerator.compute_capability
    if memory is None or memory.kv_pool_bytes.mid <= 0 or capability is None or capability < _FP8_FROM:
        return
    tokens = int(length.mid)
    holds = memory.max_concurrency(tokens).mid
    if holds >= wanted[0]:
        return
    from servelint.capacity.memory import memory_of  # lazy: only where there is too little room

    name = _FP8[pool.engine.value]
    other = Fact.known(pool.kv_cache_dtype.name, name, Origin(OriginKind.DERIVED, "instead"))
    more = memory_of(pool.with_facts({"kv_cache_dtype": other}), case.accelerator, case.layout).max_concurrency(tokens).mid
    if more < 1.2 * holds:
        return
    place = place_of(pool, pool.kv_cache_dtype, pool.max_num_seqs, pool.concurrency)
    yield Verdict(
        place,
        f"the KV cache holds {int(holds)} of {wanted[0]} requests; in 8 bits it would hold {int(more)}",
        arithmetic=(f"requests of {tokens} tokens",),
        related=related(place, (pool.concurrency, "so many at once"), (pool.accelerator, "reads an 8-bit cache")),
        proposals=(
            Proposal(
                f"{setting(case, 'kv_cache_dtype', name)}, after a look at the answers",
                False,
                partial(stated, case, "kv_cache_dtype", name),
            ),
        ),
    )


@rule(
    "MEM414", "prefix-cache-off", "Prefix cache is switched off",
    severity=Severity.INFO, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0",
    engines=("vllm", "sglang"), fixable=True, advice=True,
)  # fmt: skip
def prefix_cache_off(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    vLLM's `--no-enable-prefix-caching` (the cache is on by default since 0.8) and SGLang's `--disable-radix-cache`, except in
    pools that only decode.

    ## Why it matters

    Every turn of a conversation, every common system prompt and every retry is computed anew. The cache costs no memory: it
    uses blocks that are free.

    ## How to fix

    Take the option out, unless it is there for a benchmark whose prompts must not meet, or for a fault of the release.

    ## Certainty

    Proven that it is off; whether prompts share anything is for the operator to know.

    ## References

    - vLLM documentation, Automatic Prefix Caching
    """
    command = case.container.command
    if command is None or case.pool.role is Role.DECODE:
        return
    version = case.pool.version.get(None)
    argument = _switched_off(command)
    if argument is None or (command.engine == "vllm" and version is not None and version < VLLM_V1):
        return
    word = argument.words[0]
    if word.expanded and word.node.text.lower() not in ("true", "false"):
        return  # a chart's own choice, which nobody wrote down
    yield Verdict(
        command.place_of(argument),
        "prompts that begin alike are computed anew each time",
        proposals=(Proposal(f"take {argument.written} out", False, lambda: rewording.removed(command, argument)),),
        key=argument.written,
    )


def _switched_off(command: Command) -> Argument | None:
    if command.engine == "sglang":
        argument = command.last("--disable-radix-cache")
        return argument if argument is not None and (argument.value or "true").lower() == "true" else None
    argument = command.last("--enable-prefix-caching")
    if argument is None or argument.flag is None or argument.value_is_unknown:
        return None
    negated = argument.flag.negates(argument.written)
    off = negated if argument.value is None else (argument.value.lower() in ("false", "0", "no", "off")) is not negated
    return argument if off else None


@rule(
    "MEM415", "enforce-eager-in-production", "CUDA graphs are switched off",
    severity=Severity.INFO, certainty=Certainty.PROVEN, scope=Scope.POOL, since="0.1.0",
    engines=("vllm", "sglang", "tgi"), fixable=True, advice=True,
)  # fmt: skip
def enforce_eager_in_production(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    `--enforce-eager` (vLLM), `--disable-cuda-graph` (SGLang) and `--cuda-graphs 0` (TGI), except in pools that only prefill.

    ## Why it matters

    Without graphs each of a decode step's hundreds of kernels is launched by the CPU: small batches become several times
    slower, and vLLM compiles nothing. What is won is a quicker start and one or two GiB.

    ## How to fix

    Take it out once the engine starts; if memory is short, capture fewer sizes (`--max-num-seqs`) instead.

    ## Certainty

    Proven that they are off.

    ## References

    - vLLM documentation, Conserving memory: reduce CUDA graphs
    """
    pool = case.pool
    if not pool.enforce_eager.is_stated or not pool.enforce_eager.value or pool.role in (Role.PREFILL, Role.ENCODE):
        return
    if not guards.on_gpus(case):
        return
    yield Verdict(
        place_of(pool, pool.enforce_eager),
        "each kernel of a decode step is launched by the CPU",
        proposals=(Proposal("take it out: graphs take one or two GiB", False, lambda: edits_of(pool.enforce_eager, False)),),
    )


@rule(
    "MEM417", "mm-cache-reserve", "Caches of images and videos take much of the host's memory",
    severity=Severity.INFO, certainty=Certainty.PROVEN, scope=Scope.POOL, since="0.1.0",
    engines=("vllm",), advice=True,
)  # fmt: skip
def mm_cache_reserve(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    `--mm-processor-cache-gb` times the processes that each have such a cache, API servers and data-parallel ranks: from 16 GiB,
    or a fourth of the container's memory limit, on it is said.

    ## Why it matters

    The size is per process. With eight data-parallel ranks a stated 8 GB are 72, and the container is killed when they fill.

    ## How to fix

    A smaller cache, or memory for all of them.

    ## Certainty

    Proven, as an upper end: caches fill with use.

    ## References

    - vLLM, `vllm/config/multimodal.py`, `mm_processor_cache_gb`
    """
    pool = case.pool
    for container in pool.containers[:1]:
        command = container.command
        argument = command.last("--mm-processor-cache-gb") if command is not None else None
        if command is None or argument is None or argument.value is None or argument.value_is_unknown:
            continue
        servers = command.last("--api-server-count")
        stated = servers.value if servers is not None else None
        number = whole(stated) if stated is not None else None
        count = 1 if number is None else number
        try:
            each = float(argument.value)
        except ValueError:
            continue
        if not 0 < each < float("inf"):
            continue
        processes = count + pool.data.get(1)
        total = each * processes * GIB
        limit = memory_limit(container)
        if total < 16 * GIB and (limit is None or total < 0.25 * limit.size_bytes):
            continue
        place = command.place_of(argument)
        of = f" of {in_gib(limit.size_bytes)} GiB" if limit is not None else ""
        yield Verdict(
            place,
            f"{each:g} GiB in each of {processes} processes: up to {total / GIB:.3g} GiB{of}",
            related=(Related(limit.place, "the memory limit"),) if limit is not None else (),
            key=container.name,
        )
