"""PAR208, PAR210, PAR211: what pipeline parallelism does not go together with."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from servelint.finding import Certainty, Proposal, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint_rules.changes import edits_of
from servelint_rules.flag_history import NAMES
from servelint_rules.places import place_of, related

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import PoolCase
    from servelint.facts import Fact


@rule(
    "PAR208", "pp-unsupported-model", "The engine cannot split this model into pipeline stages",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.POOL, since="0.1.0",
    engines=("vllm", "sglang"), inputs=("model", "image tag"),
)  # fmt: skip
def pp_unsupported_model(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A pipeline-parallel size above 1 for a model whose class in the engine, in the release that the image names, cannot be
    split: in vLLM it does not derive from `SupportsPP`, in SGLang its `forward` takes no `pp_proxy_tensors`.

    ## Why it matters

    The engine stops at start-up: "Pipeline parallelism is not supported for this model", "Pipeline Parallel is not
    compatible with this model".

    ## How to fix

    Tensor parallelism over the same GPUs, or a release whose class can be split.

    ## Certainty

    Proven from the classes of the releases. Where the image does not say its version: only where no release that was read
    can split the model, and as a warning.

    ## References

    - vLLM, `vllm/config/model.py`, `verify_with_parallel_config`; `vllm/model_executor/models/interfaces.py`
    - SGLang, `python/sglang/srt/model_executor/model_runner.py`
    - [vllm#52761](https://github.com/vllm-project/vllm/issues/52761)
    """
    pool = case.pool
    if pool.pipeline.value <= 1:
        return
    classes = case.architecture.field("architectures")
    if not isinstance(classes, list) or not classes:
        return
    from servelint.engines.model_registry import pipelines  # lazy: few pools have pipeline stages

    engine, version = pool.engine.value, pool.version.get(None)
    if pipelines(engine, str(classes[0]), version) is not False:
        return
    place = place_of(pool, pool.pipeline)
    release = f"{NAMES[engine]} {version}" if version is not None else f"every release of {NAMES[engine]} that was read"
    yield Verdict(
        place,
        f"{classes[0]} has no pipeline stages in {release}",
        related=related(place, (pool.model, str(classes[0]))),
        proposals=(Proposal("pipeline-parallel size 1, tensor parallelism over the same GPUs", False, None),),
        severity=Severity.ERROR if version is not None else Severity.WARNING,
    )


@rule(
    "PAR210", "layers-vs-pp", "The layers cannot be laid out over the pipeline stages",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.POOL, since="0.1.0",
    inputs=("model",),
)  # fmt: skip
def layers_vs_pp(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    More pipeline stages than the model has layers; and for vLLM, that `VLLM_PP_LAYER_PARTITION` lists one number for each stage
    whose sum is the number of layers.

    ## Why it matters

    A stage without layers has nothing to compute. vLLM refuses a partition that does not add up: "sum(partitions)=… does not
    match num_layers=…".

    ## How to fix

    At most as many stages as layers; a list that fits, or none: the engine splits evenly by itself.

    ## Certainty

    Proven, from the model's configuration.

    ## References

    - vLLM, `vllm/distributed/utils.py`, `get_pp_indices`
    """
    pool = case.pool
    stages = pool.pipeline.value
    if stages <= 1:
        return
    from servelint.capacity import shape  # lazy: few pools have pipeline stages

    partition = _partition(case) if pool.engine.get("") == "vllm" else None
    layers = shape.layer_count(case.architecture)
    if stages > layers:
        place = place_of(pool, pool.pipeline)
        yield Verdict(
            place,
            f"{stages} stages for {layers} layers",
            related=related(place, (pool.model, f"{layers} layers")),
            proposals=(Proposal(f"pipeline-parallel size {layers} at most", False, None),),
            key="more stages than layers",
        )
    if partition is None or partition.place is None:
        return
    parts = [part.strip() for part in partition.value.split(",")]
    if not all(part.isdigit() for part in parts):
        return
    total = sum(map(int, parts))
    if len(parts) != stages:
        label = f"{len(parts)} numbers for {stages} stages"
    elif total != layers:
        label = f"{total} layers listed, {case.architecture.id} has {layers}"
    else:
        return
    yield Verdict(
        partition.place,
        label,
        arithmetic=(f"{' + '.join(parts)} = {total}; {stages} stages, {layers} layers",),
        related=related(partition.place, (pool.pipeline, f"pipeline-parallel size {stages}")),
        key="partition",
    )


def _partition(case: PoolCase) -> Fact[str] | None:
    for container in case.pool.containers:
        fact = container.environment.get("VLLM_PP_LAYER_PARTITION")
        if fact is not None and fact.is_known:
            return fact
    return None


# Releases of SGLang whose server arguments assert that nothing is speculated with pipeline stages: in 0.4.7 to 0.5.19, not
# in 0.5.21 (python/sglang/srt/server_args.py, python/sglang/srt/arg_groups). vLLM's V0 engine refused it (spec_decode_worker.py,
# 0.6.6 and 0.7.3); in 0.8 and 0.9 that engine still runs the methods that V1 lacked; 0.10 has V1 only.
_SGLANG_REFUSES = ((0, 4, 7), (0, 5, 19))
_VLLM_REFUSES = (0, 7, 3)


@rule(
    "PAR211", "speculative-with-pipeline", "Speculative decoding together with pipeline parallelism",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.POOL, since="0.1.0",
    engines=("vllm", "sglang"), fixable=True, inputs=("image tag",),
)  # fmt: skip
def speculative_with_pipeline(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    A pipeline-parallel size above 1 and speculative decoding (a draft model, EAGLE, MTP, n-grams) in one pool.

    ## Why it matters

    The draft runs on the last stage only, and needs what the first one samples. vLLM up to 0.7 and SGLang from 0.4.7 to 0.5.19
    refuse it at start-up. Later releases of vLLM start, but several methods fail or give wrong tokens: MTP broke in three ways,
    and asynchronous scheduling corrupted outputs silently.

    ## How to fix

    Drop one of the two. Where the model fits without stages, speculation is worth more than a pipeline.

    ## Certainty

    Proven for releases that refuse it, with the image's version. A warning by experience for other releases of vLLM, and for
    SGLang where the image does not say its version.

    ## References

    - vLLM, `vllm/spec_decode/spec_decode_worker.py` (0.6 to 0.9); SGLang, `python/sglang/srt/server_args.py`
    - [vllm#14117](https://github.com/vllm-project/vllm/issues/14117), [vllm#49355](https://github.com/vllm-project/vllm/issues/49355),
      [vllm#57755](https://github.com/vllm-project/vllm/issues/57755)
    """
    pool = case.pool
    stages = pool.pipeline.value
    if stages <= 1 or not pool.speculative.is_stated:
        return
    engine, version = pool.engine.value, pool.version.get(None)
    refused = version is not None and (
        version <= _VLLM_REFUSES if engine == "vllm" else _SGLANG_REFUSES[0] <= version <= _SGLANG_REFUSES[1]
    )
    if engine == "sglang" and version is not None and not refused:
        return
    place = place_of(pool, pool.speculative)
    if refused:
        label = f"{NAMES[engine]} {version} refuses it with {stages} pipeline stages"
    elif engine == "sglang":
        label = f"SGLang up to {'.'.join(map(str, _SGLANG_REFUSES[1]))} refuses it with {stages} pipeline stages"
    else:
        label = f"with {stages} pipeline stages several methods fail or give wrong tokens"
    yield Verdict(
        place,
        label,
        related=related(place, (pool.pipeline, f"pipeline-parallel size {stages}")),
        proposals=(Proposal("drop speculative decoding", False, partial(edits_of, pool.speculative, None)),),
        severity=Severity.ERROR if refused else Severity.WARNING,
        certainty=Certainty.PROVEN if refused else Certainty.HEURISTIC,
    )
