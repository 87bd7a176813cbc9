"""MEM: what a share of GPU memory, or a size stated in its place, leaves for the rest."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from servelint.engines.versions import VLLM_V1
from servelint.facts import UnknownFact
from servelint.finding import Certainty, Proposal, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint_rules import guards
from servelint_rules.changes import edits_of
from servelint_rules.figures import GIB, gib
from servelint_rules.places import place_of, related
from servelint_rules.unaccounted import check_accelerator, gpu_memory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import PoolCase
    from servelint.engines.versions import Version


@rule(
    "MEM403", "utilization-too-high", "gpu_memory_utilization leaves too little outside the budget",
    severity=Severity.WARNING, certainty=Certainty.HEURISTIC, scope=Scope.POOL, since="0.1.0",
    engines=("vllm",), fixable=True, inputs=("accelerator", "image tag"),
)  # fmt: skip
def utilization_too_high(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    Whether the memory that a stated `--gpu-memory-utilization` of 0.93 and more leaves free covers what vLLM does not
    count against its budget: the CUDA and NCCL context from before its first measurement and, in releases before 0.20,
    CUDA graphs and one tensor of 32-bit logits (`--max-num-seqs` × vocabulary × 4 bytes). The sampler is warmed up after
    the graphs are captured, with several such tensors; what profiling reserved inside the budget is there for them, but
    PyTorch's allocator keeps some of it in pieces and does not join them, so that one must fit outside.

    Where the GPU is not known the share is only judged if it leaves too little on every NVIDIA GPU before Blackwell, or on
    every one there is: 5 % are plenty on a GPU of 192 GB, and too little on one of 24 GB.

    ## Why it matters

    vLLM fills its budget with KV cache. What comes after (graph capture, the sampler's warm-up, NCCL buffers) must fit in
    the rest, or the engine stops after loading: "CUDA out of memory occurred when warming up sampler", "Free memory on
    device … is less than desired GPU memory utilization". Or it starts, and dies at the first long prompt.

    ## How to fix

    0.90 to 0.92; the finding names a value that leaves enough. A smaller `--max-num-seqs` needs fewer graphs and smaller
    logits. If the KV cache is then too small, lower `--max-model-len` or `--max-num-seqs` first.

    ## Certainty

    Heuristic: from measured start-ups on H100 (context 0.5 GiB with one GPU, 1.5 with several, 2.0 with several and experts,
    whose group has a communicator of its own; graphs 0.5 to 1.9 GiB), not from the engine's arithmetic. How much the
    allocator keeps in pieces is not known beforehand: 0.3 to 2.4 GiB in eleven logs. gpt-oss-20b failed at 0.95 on two H100,
    which this finds, and on one, where it kept 2.0 GiB, which this does not.

    ## References

    - [vllm#19186](https://github.com/vllm-project/vllm/issues/19186), [vllm#57475](https://github.com/vllm-project/vllm/issues/57475),
      [vllm#15598](https://github.com/vllm-project/vllm/issues/15598)
    - Logs of vLLM 0.19: [llm-d-planner#205](https://github.com/llm-d-incubation/llm-d-planner/pull/205)
    - vLLM, `vllm/v1/worker/gpu_worker.py`, `compile_or_warm_up_model`
    """
    pool = case.pool
    fact = pool.gpu_memory_utilization
    if not fact.is_stated or pool.kv_cache_memory_bytes.is_known or not guards.on_gpus(case):
        return
    utilization = fact.value
    if not _SUSPECT <= utilization <= 1:
        return
    outside, words = _outside(case)
    if not pool.accelerator.values:
        yield from _on_any(case, utilization, outside, words)
    check_accelerator(case)
    device = case.accelerator.memory().mid
    left = (1 - utilization) * device
    if left >= outside:
        return
    suggested = min(_USUAL, int((1 - outside / device) * 100) / 100)
    place = place_of(pool, fact)
    yield Verdict(
        place,
        f"{gib(left)} GiB is left outside the budget; about {gib(outside)} GiB is needed there",
        arithmetic=(f"{gib(device)} GiB × (1 − {utilization:g}) = {gib(left)} GiB; outside the budget: {words}",),
        related=related(place, (pool.accelerator, f"{gib(device)} GiB")),
        proposals=(
            Proposal(
                f"--gpu-memory-utilization {suggested:g}; the KV cache shrinks by the difference",
                False,
                partial(edits_of, fact, suggested),
            ),
        ),
        severity=Severity.WARNING,
    )


def _on_any(case: PoolCase, utilization: float, outside: float, words: str) -> Iterator[Verdict]:
    """What holds whichever GPU it is. Nothing is said of a share that some GPU of the last generation but one could bear."""
    from servelint.catalogue import accelerators  # lazy: only manifests that state such a share

    pool = case.pool
    if pool.gpu_resource not in ("", "nvidia.com/gpu"):
        return
    every = [
        found for name in accelerators.names() if (found := accelerators.find(name)) is not None and found.vendor == "NVIDIA"
    ]
    bearing = [gpu for gpu in every if (1 - utilization) * gpu.memory().high >= outside]
    if any(gpu.compute_capability is None or gpu.compute_capability < _BLACKWELL for gpu in bearing):
        return
    least = outside / (1 - utilization) if utilization < 1 else None
    which = f"a GPU below {least / GIB:.0f} GiB" if bearing and least is not None else "any GPU"
    place = place_of(pool, pool.gpu_memory_utilization)
    yield Verdict(
        place,
        f"{(1 - utilization) * 100:.2g} % of {which} is less than the {gib(outside)} GiB that are needed outside the budget",
        arithmetic=(f"outside the budget: {words}",),
        proposals=(
            Proposal(f"--gpu-memory-utilization {_USUAL:g}", False, partial(edits_of, pool.gpu_memory_utilization, _USUAL)),
        ),
        severity=Severity.WARNING,
    )


# The first compute capability of GPUs with more memory than 150 GiB.
_BLACKWELL = (10, 0)
# What is proposed where it leaves enough.
_USUAL = 0.9
# What the engine takes by default (0.90, later 0.92) is never too high.
_SUSPECT = 0.93
# Measured on H100, vLLM 0.11 to 0.19: memory in use before the engine's first measurement, and CUDA graphs.
_CONTEXT_ONE_GPU, _CONTEXT_SEVERAL, _GRAPHS = 0.5 * GIB, 1.5 * GIB, 1.0 * GIB
# The communicator of the expert group, which in 0.19 only models with experts have (`initialize_model_parallel` in
# vllm/distributed/parallel_state.py): 2.01 GiB before the first measurement of Mixtral, Kimi-VL and gpt-oss at TP 2, 1.53 of
# dense models.
_EXPERT_GROUP = 0.5 * GIB
# Graphs count against the budget by default from the first release of which that is known.
_GRAPHS_INSIDE_FROM = (0, 20, 2)


def _outside(case: PoolCase) -> tuple[float, str]:
    """Bytes per GPU that vLLM needs beside its budget, and in words. An unknown version is taken for a recent one."""
    pool = case.pool
    several = pool.tensor.get(1) * pool.pipeline.get(1) > 1 or pool.expert.get(1) > 1
    size = _CONTEXT_SEVERAL if several else _CONTEXT_ONE_GPU
    if several and pool.architecture.is_known and pool.architecture.value.experts:
        size += _EXPERT_GROUP
    words = f"CUDA {'and NCCL ' if several else ''}context {gib(size)} GiB"
    version = pool.version.get(None)
    if version is not None and _graphs_outside(case, version) and not pool.enforce_eager.get(False):
        graphs = _graph_bytes(case)
        size += graphs
        words += f", CUDA graphs {gib(graphs)} GiB (not in the budget of vLLM {version})"
    if version is not None and VLLM_V1 <= version < _GRAPHS_INSIDE_FROM:
        rows, vocabulary = _logits(case)
        if rows * vocabulary:
            size += 4 * rows * vocabulary
            words += f", logits of the sampler's warm-up {rows} × {vocabulary} × 4 bytes = {gib(4 * rows * vocabulary)} GiB"
    return size, words


def _graphs_outside(case: PoolCase, version: Version) -> bool:
    """Whether nothing is set aside for graphs: before the release that began to, and under model runner 2 before 0.29."""
    if version < _GRAPHS_INSIDE_FROM:
        return True
    try:
        return not case.memory.graphs_inside
    except UnknownFact:
        return False


def _logits(case: PoolCase) -> tuple[int, int]:
    """Rows and columns of the logits with which the sampler is warmed up; zeros where they are not known."""
    pool = case.pool
    rows, vocabulary = pool.max_num_seqs.get(0), 0
    if pool.architecture.is_known:
        vocabulary = pool.architecture.value.number("vocab_size", 0)
    return min(rows, pool.max_num_batched_tokens.get(rows)), int(vocabulary)


def _graph_bytes(case: PoolCase) -> float:
    """CUDA graphs of this model, or what is usual where it is not known."""
    try:
        return case.memory.graphs_bytes.mid
    except UnknownFact:
        return _GRAPHS


@rule(
    "MEM407", "fraction-semantics-confused", "mem_fraction_static leaves too little for activations",
    severity=Severity.WARNING, certainty=Certainty.HEURISTIC, scope=Scope.POOL, since="0.1.0",
    engines=("sglang",), fixable=True, inputs=("model", "accelerator"),
)  # fmt: skip
def fraction_semantics_confused(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    Whether a stated `--mem-fraction-static` leaves SGLang the activations of one prefill chunk and its CUDA graphs, each at
    the favourable end of its estimate.

    ## Why it matters

    The share means something else in every engine. vLLM's holds everything, activations and (in newer releases) graphs too.
    SGLang's holds weights and KV pool only: the rest of the device is all that a step has. TensorRT-LLM's is a share of what
    the weights leave. A number carried over from one to the other either wastes memory or fails at the first long prompt
    with "CUDA out of memory".

    ## How to fix

    The value that the finding names, a smaller `--chunked-prefill-size`, or no value: SGLang then works it out.

    ## Certainty

    Heuristic: how large the activations of a step are depends on the kernels.

    ## References

    - SGLang documentation, Hyperparameter Tuning: `--mem-fraction-static`
    - [sglang#322](https://github.com/sgl-project/sglang/issues/322), [sglang#4330](https://github.com/sgl-project/sglang/issues/4330)
    """
    pool = case.pool
    fact = pool.gpu_memory_utilization
    if not fact.is_stated:
        return
    memory = gpu_memory(case)
    if memory is None:
        return
    graphs = 0.0 if pool.enforce_eager.get(False) else memory.graphs_bytes.low
    taken = memory.budget_bytes.low / memory.device_bytes.low  # of AMD's GPUs less than what is stated
    left, needed = (1 - taken) * memory.device_bytes.mid, memory.activation_bytes.low + graphs
    if left >= needed:
        return
    most = int(100 * fact.value / taken * (1 - (memory.activation_bytes.mid + graphs) / memory.device_bytes.mid)) / 100
    place = place_of(pool, fact)
    yield Verdict(
        place,
        f"{gib(left)} GiB is left for activations and graphs; {gib(needed)} GiB is the least they need",
        arithmetic=(f"{gib(memory.device_bytes.mid)} GiB × (1 − {taken:g}) = {gib(left)} GiB",),
        related=related(place, (pool.max_num_batched_tokens, "tokens of one step")),
        proposals=(Proposal(f"--mem-fraction-static {most:g}", False, partial(edits_of, fact, most)),) if most > 0 else (),
    )


@rule(
    "MEM413", "explicit-kv-bytes-conflict", "Stated size of the KV cache does not fit",
    severity=Severity.ERROR, certainty=Certainty.ESTIMATED, scope=Scope.POOL, since="0.1.0",
    engines=("vllm",), fixable=True, inputs=("model", "accelerator"),
)  # fmt: skip
def explicit_kv_bytes_conflict(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    `--kv-cache-memory-bytes` against the device: the KV cache as stated, the weights, and what activations, context and
    graphs take beside them. With it `--gpu-memory-utilization` decides nothing about the cache any more.

    ## Why it matters

    vLLM takes the number as it is, without looking whether it fits, and dies while it allocates the cache or captures
    graphs: "CUDA out of memory".

    ## How to fix

    A smaller cache, or none stated: then vLLM measures what is left.

    ## Certainty

    Proven where weights and cache alone exceed the device. A warning where the middle of the estimate of the rest does not
    fit beside them.

    ## References

    - vLLM, `vllm/v1/worker/gpu_worker.py`, `determine_available_memory`
    """
    pool = case.pool
    stated = pool.kv_cache_memory_bytes
    if not stated.is_stated:
        return
    memory = gpu_memory(case)
    if memory is None:
        return
    rest = memory.activation_bytes.mid + memory.overhead_bytes.mid + memory.graphs_bytes.mid
    proven = memory.weights_bytes.low + stated.value > memory.device_bytes.high
    if not proven and memory.weights_bytes.mid + rest + stated.value <= memory.device_bytes.mid:
        return
    fits = int(memory.device_bytes.low - memory.weights_bytes.high - 1.25 * rest)
    place = place_of(pool, stated)
    yield Verdict(
        place,
        f"{gib(stated.value)} GiB of KV cache do not fit beside {gib(memory.weights_bytes.mid)} GiB of weights",
        arithmetic=(
            f"cache {gib(stated.value)} + weights {gib(memory.weights_bytes.mid)} GiB + activations and graphs {gib(rest)}",
            f"the device has {gib(memory.device_bytes.mid)} GiB",
        ),
        related=related(place, (pool.gpu_memory_utilization, "has no say in the KV cache"), (pool.model, "the weights")),
        proposals=(Proposal(f"--kv-cache-memory-bytes {fits}", False, partial(edits_of, stated, fits)),) if fits > 0 else (),
        severity=Severity.ERROR if proven else Severity.WARNING,
        certainty=Certainty.PROVEN if proven else Certainty.ESTIMATED,
    )
