"""SLO: targets against what the hardware can do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.finding import Certainty, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint_rules.figures import duration, rate, seconds
from servelint_rules.places import place_of, related

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.capacity.throughput import Reading, ThroughputBound
    from servelint.case import PoolCase


@rule(
    "SLO801", "ttft-target-impossible", "Time to first token cannot meet its target",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.POOL, since="0.1.0",
    inputs=("model", "accelerator", "targets"),
)  # fmt: skip
def ttft_target_impossible(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    `targets.ttft` against the least time in which the GPUs of one replica can compute the prompt, and against what they
    are likely to need. The target is the time of one request of `input_tokens.max` at steady concurrency; only where
    the workload says `arrival: burst` is it that of the last of all concurrent requests.

    ## Why it matters

    A target below the bound cannot be met by any tuning: only by more GPUs per replica, a smaller model, shorter prompts,
    or a prefix cache that spares the work.

    ## How to fix

    Change the target, the layout or the workload. More replicas do not make one request faster.

    ## Certainty

    Proven where the bound exceeds the target: all GPUs at the highest peak that any source lists, each weight used once
    per token, nothing else (where model size and shape disagree: in both readings). A warning where only the middle of
    the estimate does.

    ## References

    - `servelint derive` prints the bound and the estimate with their terms
    """
    pool = case.pool
    target = pool.target_ttft_seconds
    if not target.is_known:
        return
    latency = case.latency
    place = place_of(pool, target)
    gpus = f"{case.layout.world_size} × {case.accelerator.name}"
    about = related(place, (pool.input_tokens_max, "tokens of the prompt"))
    if latency.ttft_bound_seconds > target.value:
        yield Verdict(
            place,
            f"at least {duration(latency.ttft_bound_seconds)} s at the peak of {gpus}",
            arithmetic=_steps(case, "no engine is faster"),
            related=about,
            severity=Severity.ERROR,
            certainty=Certainty.PROVEN,
        )
    elif not latency.queue_bound and latency.ttft_seconds.mid > target.value:
        yield Verdict(
            place,
            f"about {seconds(latency.ttft_seconds)} is likely on {gpus}",
            arithmetic=_steps(case, "time to first token"),
            related=about,
            severity=Severity.WARNING,
            certainty=Certainty.ESTIMATED,
        )


def _steps(case: PoolCase, title: str) -> tuple[str, ...]:
    """The prompt's arithmetic, and the first step of the derivation called ``title``."""
    steps = case.latency.steps
    work = next((f"{s.formula} = {s.result}" for s in steps if s.title == "prefill arithmetic"), "")
    time = next((f"{s.formula} = {s.result}" for s in steps if s.title == title), "")
    return tuple(line for line in (work, time) if line)


@rule(
    "SLO802", "throughput-exceeds-roofline", "Throughput target is beyond the GPU's roofline",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.POOL, since="0.1.0",
    inputs=("model", "accelerator", "targets"),
)  # fmt: skip
def throughput_exceeds_roofline(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    `targets.throughput_per_gpu` against the GPU's peak arithmetic divided by the arithmetic of one token, 2 × the active
    parameters; for output tokens also against its memory bandwidth.

    ## Why it matters

    No layout and no tuning passes that bound: the number of GPUs multiplies throughput, it does not raise what one GPU
    gives. A target beyond it is usually a unit that slipped (per ms for per s, a total for one GPU).

    ## How to fix

    Check the unit and the scope of the target first. Then: a smaller or sparser model, a number format with a higher peak,
    another GPU.

    ## Certainty

    Proven where the target exceeds the bound in every reading of the model. Where its stated parameter count and its
    shape disagree and only one reading is exceeded, a warning that names both.

    ## References

    - Williams, Waterman, Patterson: Roofline, CACM 52(4), 2009
    """
    pool = case.pool
    target = pool.target_tokens_per_second_per_gpu
    if not target.is_known:
        return
    bound = case.throughput
    which = pool.target_throughput_of.get("total")
    readings = bound.output_bounds if which == "output" else bound.bounds
    stated, best = readings[0], max(readings, key=lambda reading: reading.tokens_per_second_per_gpu)
    certain = target.value > best.tokens_per_second_per_gpu
    if not certain and target.value <= stated.tokens_per_second_per_gpu:
        return
    limit = (best if certain else stated).tokens_per_second_per_gpu
    kind = "input and output" if which == "total" else which
    reading = "" if certain else f" with {stated.label}"
    yield Verdict(
        place_of(pool, target),
        f"{rate(target.value)} {kind} tokens/s per GPU is {target.value / limit:.3g} × the bound of {rate(limit)}{reading}",
        arithmetic=_roofline(bound, readings),
        severity=Severity.ERROR if certain else Severity.WARNING,
        certainty=Certainty.PROVEN if certain else Certainty.ESTIMATED,
    )


def _roofline(bound: ThroughputBound, readings: tuple[Reading, ...]) -> tuple[str, ...]:
    """One line per reading of the model: the peak over the arithmetic of a token, or the bandwidth where that is less."""
    peak = bound.bounds[0].tokens_per_second_per_gpu * 2 * bound.bounds[0].parameters
    lines = []
    for reading in readings:
        computed = peak / (2 * reading.parameters)
        line = f"{peak / 1e12:.4g} TFLOP/s / (2 × {reading.label}) = {rate(computed)} tokens/s per GPU"
        if reading.tokens_per_second_per_gpu < 0.999 * computed:
            line += f"; by memory bandwidth {rate(reading.tokens_per_second_per_gpu)}"
        lines.append(line)
    return tuple(lines)


@rule(
    "SLO803", "decode-exceeds-bandwidth", "Time per output token is below what reading memory takes",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.POOL, since="0.1.0",
    inputs=("model", "accelerator", "targets"),
)  # fmt: skip
def decode_exceeds_bandwidth(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    `targets.tpot`, and a plan's `claims.tpot`, against the least time of one decode step: the weights that a token uses and
    the KV cache of the smallest admissible batch, read once over all GPUs of the replica at their highest bandwidth (or the
    arithmetic, where that takes longer). With speculative decoding a step may yield 1 + draft tokens.

    ## Why it matters

    Each token needs every weight it uses to pass through the GPU. No kernel, engine or batch is faster than that, so such a
    time is of another model, another number format, or counts the tokens of all requests as those of one.

    ## How to fix

    Divide by requests where a rate was meant; otherwise more tensor parallelism, weights of fewer bits, or another target.

    ## Certainty

    Proven, at the most favourable batch, length and reading of the model. Where stated parameters and shape disagree and
    only one forbids it, a warning that names both.

    ## References

    - [Pope et al., *Efficiently scaling transformer inference*](https://arxiv.org/abs/2211.05102), section 2
    - `servelint derive` prints the bound with its terms
    """
    pool, plan = case.pool, case.deployment.plan
    if pool.role.value in ("prefill", "encode"):
        return
    target = pool.target_tpot_seconds
    said = [(target, target.value, target.value, "wanted")] if target.is_known else []
    if plan is not None and plan.claims.tpot.is_known:
        claim = plan.claims.tpot
        said.append((claim, claim.value.value_si, claim.value.value_si + claim.value.rounding, "claimed"))
    if not said:
        return
    bound = case.latency.tpot_bound_seconds
    weights = _weights_alone(case) if plan is not None else bound
    for fact, stated, value, words in said:  # value: the most that what is stated was rounded from
        certain = value < bound
        if not certain and value >= weights:
            continue
        least = bound if certain else weights
        place = place_of(pool, fact)
        reading = "" if certain else " for the weights of the parameters as stated"
        yield Verdict(
            place,
            f"at least {duration(least * 1e3)} ms a token{reading}; {duration(stated * 1e3)} ms {words}",
            arithmetic=_tokens(case) if certain else (_weights_line(case, least),),
            related=related(place, (pool.accelerator, "the accelerator"), (pool.model, "the model")),
            severity=Severity.ERROR if certain else Severity.WARNING,
            certainty=Certainty.PROVEN if certain else Certainty.ESTIMATED,
            key=words,
        )


def _tokens(case: PoolCase) -> tuple[str, ...]:
    """The last step of the derivation: the bound of a token's time."""
    step = case.latency.steps[-1]
    return (f"{step.formula} ({', '.join(step.inputs)}) = {step.result}",)


def _weights_alone(case: PoolCase) -> float:
    """Seconds to read the weights of the parameters as stated, over all GPUs; 0 where the shape is what counts.

    Where both disagree, the bound takes the smaller reading; this is the other's, without its KV cache.
    """
    from servelint.capacity.latency import draft_tokens
    from servelint.capacity.quantization import dtype_bytes
    from servelint.capacity.work import bandwidth, readings_of

    works = readings_of(case.pool)
    quantized = case.pool.quantization.get("none") not in ("none", "")
    if len(works) < 2 or quantized:
        return 0.0
    rate_ = case.layout.world_size * bandwidth(case.accelerator) * (1 + draft_tokens(case.pool))
    return works[0].layers * dtype_bytes(case.pool) / rate_


def _weights_line(case: PoolCase, least: float) -> str:
    from servelint.capacity.quantization import dtype_bytes
    from servelint.capacity.work import bandwidth, readings_of

    speed = bandwidth(case.accelerator) / 1e12
    gpus, work = case.layout.world_size, readings_of(case.pool)[0]
    return f"{work.label} × {dtype_bytes(case.pool):g} B / ({gpus} GPUs × {speed:.3g} TB/s) = {duration(least * 1e3)} ms"
