"""PAR214, PAR215, PAR216: degrees and ranks that do not fit each other, whatever the model is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.finding import Certainty, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint_rules import guards
from servelint_rules.places import place_of, related

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import PoolCase
    from servelint.engines.command import Command

# vLLM checks decode context parallelism against the KV heads since 0.14 (vllm/config/model.py; not in 0.11.0), and the query
# heads of each since 0.27.
_CHECKS_KV_HEADS, _CHECKS_QUERY_HEADS = (0, 14, 0), (0, 27, 1)


def _number(command: Command, flag: str) -> int | None:
    """The number behind ``flag``; None where it is absent, or not a plain number."""
    argument = command.last(flag)
    if argument is None or argument.value_is_unknown or not guards.is_literal(command, flag):
        return None
    text = (argument.value or "").strip()
    return int(text) if text.isdecimal() and len(text) < 10 else None


@rule(
    "PAR214", "dp-flags-inconsistent", "Ranks and nodes of one engine contradict each other",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.POOL, since="0.1.0",
    engines=("vllm", "sglang"),
)  # fmt: skip
def dp_flags_inconsistent(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    On one command line: more local data-parallel ranks than there are ranks, a rank outside of `0 … size − 1`, a node rank
    outside of `0 … nnodes − 1`, the external load balancer with one rank or together with the hybrid one, and (SGLang) tensor ×
    pipeline ranks that the nodes cannot share evenly.

    ## Why it matters

    The engine refuses the arguments at start-up, or waits for ranks that never come.

    ## How to fix

    Numbers that fit; the finding shows which two contradict each other.

    ## Certainty

    Proven from the engine's own checks. Only literal numbers of one command line are compared.

    ## References

    - vLLM, `vllm/config/parallel.py`, `vllm/engine/arg_utils.py`; SGLang, `python/sglang/srt/server_args.py`
    """
    pool = case.pool
    for container in pool.containers:
        command = container.command
        if command is None:
            continue
        for flag, label in _contradictions(case, command):
            argument = command.last(flag)
            if argument is not None:
                yield Verdict(command.place_of(argument), label, key=flag)


def _contradictions(case: PoolCase, command: Command) -> Iterator[tuple[str, str]]:
    nodes, node = _number(command, "--nnodes"), _number(command, "--node-rank")
    if nodes is not None and node is not None and node >= nodes:
        yield "--node-rank", f"node rank {node} of {nodes} nodes: ranks count from 0"
    if case.pool.engine.value == "sglang":
        ranks = case.layout.tensor * case.layout.pipeline
        if nodes is not None and nodes > 0 and ranks % nodes:
            yield "--nnodes", f"{ranks} ranks cannot be shared evenly by {nodes} nodes"
        return
    size, local = _number(command, "--data-parallel-size"), _number(command, "--data-parallel-size-local")
    rank = _number(command, "--data-parallel-rank")
    if size is not None and local is not None and local > size:
        yield "--data-parallel-size-local", f"{local} local ranks of {size} in all"
    if size is not None and rank is not None and rank >= size:
        yield "--data-parallel-rank", f"rank {rank} of {size}: ranks count from 0"
    external, hybrid = command.last("--data-parallel-external-lb"), command.last("--data-parallel-hybrid-lb")
    if external is not None and external.value is None and size == 1:
        yield "--data-parallel-external-lb", "an external load balancer needs more than one data-parallel rank"
    if external is not None and hybrid is not None and external.value is None and hybrid.value is None:
        yield "--data-parallel-hybrid-lb", "external and hybrid load balancing exclude each other"


@rule(
    "PAR215", "context-parallel-invalid", "Context parallelism does not fit the tensor-parallel group",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.POOL, since="0.1.0",
    engines=("vllm", "sglang"), inputs=("model",),
)  # fmt: skip
def context_parallel_invalid(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    vLLM's decode context parallelism: that it divides the tensor-parallel size (with prefill context parallelism: is 1, that
    size or all ranks), and for models with KV heads that there are more ranks than heads and it is at most the number of copies
    of each. SGLang's attention context parallelism: that it divides the tensor-parallel size.

    ## Why it matters

    It reuses ranks that are there: in vLLM those that would hold copies of the same KV heads. Where there are none, nothing can
    be split, and the engine stops at start-up.

    ## How to fix

    At most tensor-parallel size / KV heads, and a divisor of it; 1 where there are no copies.

    ## Certainty

    Proven from the engine's own checks; against the model's heads only since vLLM 0.14, and a warning where the image does not
    say its version.

    ## References

    - vLLM, `vllm/config/parallel.py`, `vllm/config/model.py`; documentation, Context Parallel Deployment
    """
    pool, layout = case.pool, case.layout
    tensor, decode, prefill = layout.tensor, layout.decode_context, layout.prefill_context
    if decode <= 1 and prefill <= 1:
        return
    if layout.engine == "sglang":
        inside = layout.prefill_context * layout.attention_data
        if prefill > 1 and tensor % inside:
            place = place_of(pool, pool.prefill_context)
            yield Verdict(
                place,
                f"attention groups of {inside} do not divide tensor-parallel size {tensor}",
                related=related(place, (pool.tensor, f"tensor-parallel size {tensor}")),
            )
        return
    if decode <= 1:
        return
    place = place_of(pool, pool.decode_context)
    ranks = related(place, (pool.tensor, f"tensor-parallel size {tensor}"))
    if (prefill == 1 and tensor % decode) or (prefill > 1 and decode not in {prefill, tensor * prefill}):
        yield Verdict(place, f"decode context parallelism of {decode} does not fit {tensor * prefill} ranks", related=ranks)
        return
    if case.architecture.is_mla or prefill > 1:
        return
    from servelint.capacity import shape

    heads, version = shape.kv_heads(case.architecture), pool.version.get(None)
    queries = shape.heads(case.architecture) // heads
    if tensor <= heads:
        label = f"tensor-parallel size {tensor} leaves no copies of {heads} KV heads to split"
    elif decode > tensor // heads:
        label = f"each of {heads} KV heads has {tensor // heads} copies, not {decode}"
    elif queries % decode and version is not None and version >= _CHECKS_QUERY_HEADS:
        label = f"{queries} query heads for each KV head cannot be shared by {decode}"
    else:
        return
    certain = version is not None and version >= _CHECKS_KV_HEADS
    yield Verdict(
        place,
        label,
        related=ranks,
        severity=Severity.ERROR if certain else Severity.WARNING,
        certainty=Certainty.PROVEN if certain else Certainty.HEURISTIC,
    )


@rule(
    "PAR216", "attention-dp-not-dividing-tp", "Attention data parallelism does not divide the tensor-parallel group",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.POOL, since="0.1.0",
    engines=("sglang",),
)  # fmt: skip
def attention_dp_not_dividing_tp(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    SGLang with `--enable-dp-attention`: that `--dp-size` divides `--tp-size`, and that the expert group is no larger than the
    tensor group and divides it.

    ## Why it matters

    Both run inside the tensor-parallel group: they add no GPUs, they cut the ones that are there into equal groups. SGLang
    asserts that at start-up.

    ## How to fix

    A divisor of the tensor-parallel size, which is the number of GPUs (times pipeline stages).

    ## Certainty

    Proven from SGLang's own checks.

    ## References

    - SGLang, `python/sglang/srt/server_args.py`; since 0.5.19 `arg_groups/parallel_hook.py`
    """
    pool, layout = case.pool, case.layout
    tensor = layout.tensor
    for fact, size, what in (
        (pool.attention_data, layout.attention_data, "attention data parallelism"),
        (pool.expert, layout.expert, "an expert group"),
    ):
        if size > 1 and tensor % size:
            place = place_of(pool, fact)
            yield Verdict(
                place,
                f"{what} of {size} does not divide tensor-parallel size {tensor}",
                arithmetic=(f"{tensor} / {size} = {tensor / size:.2f}",),
                related=related(place, (pool.tensor, f"tensor-parallel size {tensor}")),
                key=what,
            )
