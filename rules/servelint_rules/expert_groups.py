"""PAR212, PAR213, PAR220: expert and data parallelism against what the model is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.finding import Certainty, Proposal, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint_rules.places import place_of, related
from servelint_rules.unaccounted import check_model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import PoolCase
    from servelint.engines.command import Argument, Command

# vLLM refuses expert parallelism without experts since 0.8 (vllm/config.py 0.8.0, not in 0.7.3), and external data-parallel
# ranks of a dense model since 0.21 (vllm/engine/arg_utils.py 0.21.0, not in 0.20.2).
_REFUSES_DENSE_EXPERTS, _REFUSES_DENSE_RANKS = (0, 8, 0), (0, 21, 0)


def _switch(case: PoolCase, flag: str) -> tuple[Command, Argument] | None:
    """The command and the argument that turns ``flag`` on."""
    for container in case.pool.containers:
        argument = container.command.last(flag) if container.command is not None else None
        off = argument is not None and (
            (argument.value or "true").strip().lower() not in {"true", "1", "yes", "on"}
            or (argument.flag is not None and argument.flag.negates(argument.written))
        )
        if container.command is not None and argument is not None and not off:
            return container.command, argument
    return None


@rule(
    "PAR212", "expert-parallel-on-dense", "Expert parallelism without experts",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.POOL, since="0.1.0",
    engines=("vllm",), fixable=True, inputs=("model",),
)  # fmt: skip
def expert_parallel_on_dense(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    `--enable-expert-parallel` for a model without a mixture of experts, and `--enable-eplb` without `--enable-expert-parallel`.

    ## Why it matters

    vLLM stops at start-up: "Number of experts in the model must be greater than 0 when expert parallelism is enabled";
    "enable_expert_parallel must be True to use EPLB".

    ## How to fix

    Leave the flag out.

    ## Certainty

    Proven from the model's configuration and vLLM's own check (since 0.8).

    ## References

    - vLLM, `vllm/config/model.py`, `vllm/config/parallel.py`
    """
    from servelint.engines.argument_writer import ArgumentWriter

    expert, balanced = _switch(case, "--enable-expert-parallel"), _switch(case, "--enable-eplb")
    if balanced is not None and expert is None and balanced[0].complete:
        yield Verdict(
            balanced[0].place_of(balanced[1]),
            "experts are balanced between ranks only with --enable-expert-parallel",
            key="eplb",
        )
    if expert is None or case.pool.version.get(_REFUSES_DENSE_EXPERTS) < _REFUSES_DENSE_EXPERTS:
        return
    check_model(case)
    architecture = case.architecture
    if architecture.experts or not architecture.config.get("intermediate_size"):
        return
    command, argument = expert
    place = command.place_of(argument)
    yield Verdict(
        place,
        f"{architecture.id} has no experts",
        related=related(place, (case.pool.model, "a dense model")),
        proposals=(Proposal("leave the flag out", True, ArgumentWriter(command, argument).write(None)),),
    )


@rule(
    "PAR213", "data-parallel-on-dense", "Data-parallel ranks of one engine for a dense model",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.POOL, since="0.1.0",
    engines=("vllm",), inputs=("model", "image tag"),
)  # fmt: skip
def data_parallel_on_dense(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    vLLM's external data-parallel ranks (`--data-parallel-external-lb`, `--data-parallel-rank`) for a model without experts.

    ## Why it matters

    Ranks of a mixture of experts must run in step; copies of a dense model have nothing to do with each other. vLLM refuses
    external ranks of dense models since 0.21: "Non-MoE models do not support external data parallel mode". Before, they worked
    as replicas that restart and scale only together.

    ## How to fix

    Plain replicas: no data-parallel options, `replicas:` times the number of ranks. Each can then fail, restart and scale
    alone, and the router sees all of them.

    ## Certainty

    Proven for releases since 0.21; a warning otherwise.

    ## References

    - vLLM, `vllm/engine/arg_utils.py`, `create_engine_config`
    - [vllm-router#18](https://github.com/vllm-project/router/pull/18)
    """
    pool = case.pool
    if pool.data.value <= 1:
        return
    found = _switch(case, "--data-parallel-external-lb")
    if found is None:
        for container in pool.containers:
            argument = container.command.last("--data-parallel-rank") if container.command is not None else None
            if container.command is not None and argument is not None:
                found = container.command, argument
    if found is None:
        return
    check_model(case)
    architecture = case.architecture
    if architecture.experts or not architecture.config.get("intermediate_size"):
        return
    version = pool.version.get(None)
    certain = version is not None and version >= _REFUSES_DENSE_RANKS
    place = found[0].place_of(found[1])
    said = f"vLLM {version} refuses that" if certain else "they are replicas that can only scale together"
    yield Verdict(
        place,
        f"{architecture.id} has no experts that the ranks would share: {said}",
        related=related(place, (pool.model, "a dense model"), (pool.data, f"data-parallel size {pool.data.value}")),
        proposals=(Proposal("plain replicas, without data-parallel options", False, None),),
        severity=Severity.ERROR if certain else Severity.WARNING,
        certainty=Certainty.PROVEN if certain else Certainty.HEURISTIC,
    )


@rule(
    "PAR220", "ep-experts-uneven", "The experts cannot be dealt out evenly over the expert group",
    severity=Severity.WARNING, certainty=Certainty.PROVEN, scope=Scope.POOL, since="0.1.0",
    engines=("vllm", "sglang", "trtllm"), inputs=("model",),
)  # fmt: skip
def ep_experts_uneven(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    That the number of routed experts (without redundant ones) is a multiple of the expert-parallel group, and not below it.

    ## Why it matters

    Ranks with one expert more hold more weights and wait for nobody; all others wait for them at every layer. Several kernels
    and the load balancer refuse uneven groups. Ranks beyond the number of experts hold none.

    ## How to fix

    A group that divides the experts, or redundant experts that fill the last rank up.

    ## Certainty

    Proven arithmetic; a warning because several kernels run it.

    ## References

    - vLLM, `vllm/model_executor/layers/fused_moe/layer.py`, `determine_expert_map`
    """
    pool, layout = case.pool, case.layout
    group = layout.group("expert") if layout.engine == "vllm" and layout.expert > 1 else layout.expert
    if group <= 1:
        return
    check_model(case)
    experts = case.architecture.experts
    if not experts or experts % group == 0 or _has_redundant_experts(case):
        return
    place = place_of(pool, pool.expert)
    few, more = divmod(experts, group)
    yield Verdict(
        place,
        f"{experts} experts on {group} ranks: {more} ranks hold {few + 1}, the others {few}",
        arithmetic=(f"{experts} / {group} = {experts / group:.2f}",),
        related=related(place, (pool.model, f"{experts} experts"), (pool.tensor, f"tensor-parallel size {layout.tensor}")),
        severity=Severity.WARNING,
    )


def _has_redundant_experts(case: PoolCase) -> bool:
    names = ("--num-redundant-experts", "--ep-num-redundant-experts", "--eplb-config")
    commands = [container.command for container in case.pool.containers if container.command is not None]
    return any(argument.name in names for command in commands for argument in command.arguments)
