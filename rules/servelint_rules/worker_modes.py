"""DIS716 and DIS717: the part that a worker is said to play in disaggregated serving, and the one that its command line takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.deployment import Role
from servelint.engines.arguments import file_of
from servelint.facts import Place
from servelint.finding import Certainty, Proposal, Related, Severity, Verdict
from servelint.formats.dynamo_components import components
from servelint.rulebook import Scope, rule
from servelint.source.nodes import ScalarNode
from servelint_rules.kv_transfer import command_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import ContainerCase, PoolCase
    from servelint.deployment import Deployment, Pool
    from servelint.engines.command import Argument, Command
    from servelint.formats.dynamo_components import Component

_MODE = "--disaggregation-mode"
_SWITCHES = (("--is-prefill-worker", "prefill"), ("--is-decode-worker", "decode"))
# Files of further arguments in which the mode does not stand (components/src/dynamo/trtllm).
_OTHER_FILES = (file_of("--extra-engine-args"),)


@rule(
    "DIS716", "worker-mode-mismatch", "Worker declared for one phase that runs as another kind",
    severity=Severity.WARNING, certainty=Certainty.PROVEN, scope=Scope.POOL, since="0.1.0",
    engines=("vllm", "sglang", "trtllm"), formats=("dynamo",),
)  # fmt: skip
def worker_mode_mismatch(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    Workers of a Dynamo graph that are declared `prefill` or `decode` (`subComponentType`, `type`) and whose command line
    makes them something else: a prefill worker without `--is-prefill-worker` and `--disaggregation-mode prefill`, a decode
    worker that is told to prefill, a decode worker of SGLang or TensorRT-LLM without a mode beside prefill workers.

    ## Why it matters

    The type is a label for the operator and the planner. What a worker registers as is decided by its command line alone. A
    "prefill" worker without the option serves whole requests like every other worker: nothing is disaggregated, and a
    planner that scales prefill scales decode too. If every worker prefills, no request is ever answered.

    ## How to fix

    Give the worker the option of its runtime: `--disaggregation-mode prefill` (SGLang, TensorRT-LLM, and vLLM from Dynamo
    1.0 on), `--is-prefill-worker` before. Or declare it as what it is.

    ## Certainty

    Proven from the command line, where that is complete: the operator hands a worker's arguments on as they are. A vLLM
    worker without a mode decodes as well as it serves both phases, so a decode worker without one is right. An error only
    where no worker is left to decode.

    ## References

    - Dynamo, `components/src/dynamo/{vllm,sglang,trtllm}`: arguments; `deploy/operator/internal/dynamo/graph.go`
    - [Dynamo: disaggregated serving](https://docs.nvidia.com/dynamo/latest/design-docs/disaggregated-serving)
    """
    command = command_of(case.pool)
    if command is None or not _is_told(command, case.pool):
        return
    component = _component(case.deployment, case.pool)
    declared = component.role if component is not None else ""
    if component is None or declared not in ("prefill", "decode"):
        return
    argument = _argument(command)
    mode = _mode(argument)
    if mode is None or mode == declared or (declared == "decode" and not _is_beside_prefill(case, command, mode)):
        return
    place = Place.of(case.deployment.document, _type_of(component))
    shown = f"{argument.written} {mode}" if argument is not None and argument.name == _MODE else argument and argument.written
    label = f"declared a {declared} worker, and its command line {f'says {shown}' if shown else 'names no phase: it serves both'}"
    nobody = mode == "prefill" and not any(_may_decode(pool) for pool in case.deployment.pools if pool is not case.pool)
    yield Verdict(
        place,
        label + (": no worker decodes" if nobody else ""),
        related=(Related(_command_place(command, argument), "runs as this"),),
        proposals=(Proposal(f"start it with {_option(command, declared)}, or declare it as what it is", False, None),),
        severity=Severity.ERROR if nobody else None,
    )


def _component(deployment: Deployment, pool: Pool) -> Component | None:
    """The component that the pool was made of."""
    root = deployment.document.root
    if root is None:
        return None
    every = [each for item in (root, *root.elements_at("items")) for each in components(item)]
    return next((each for each in every if Place.of(deployment.document, each.label) == pool.place), None)


def _type_of(component: Component) -> ScalarNode:
    for key in ("subComponentType", "type", "componentType"):
        node = component.node.get(key)
        if isinstance(node, ScalarNode):
            return node
    raise AssertionError("a component without a type has no role")


def _is_told(command: Command, pool: Pool) -> bool:
    """All that may name the mode is at hand, and it is Dynamo's worker that reads it."""
    if "dynamo" not in command.launcher or not (command.complete or command.elsewhere in _OTHER_FILES):
        return False
    names = [name for container in pool.containers for name in container.environment]
    return not any("DISAGGREGATION_MODE" in name or "PREFILL_WORKER" in name for name in names)


def _argument(command: Command) -> Argument | None:
    """What names the mode; None where nothing does."""
    mode = command.last(_MODE)
    if mode is not None:
        return mode
    found = [command.last(flag) for flag, _ in _SWITCHES]
    return next((a for a in found if a is not None and not a.written.startswith("--no-")), None)


def _mode(argument: Argument | None) -> str | None:
    """ "prefill", "decode", or "" for both phases; None where it cannot be read."""
    if argument is None:
        return ""
    if argument.name != _MODE:
        return dict(_SWITCHES)[argument.name]
    if argument.value_is_unknown or argument.value is None:
        return None
    value = argument.value.lower()
    return value if value in ("prefill", "decode") else "" if value in ("agg", "pd", "null", "prefill_and_decode") else None


def _is_beside_prefill(case: PoolCase, command: Command, mode: str) -> bool:
    """For a decode worker: whether it matters that it is none. One of vLLM without a mode decodes, too."""
    if mode == "":
        others = any(pool.role is Role.PREFILL for pool in case.deployment.pools if pool is not case.pool)
        return others and command.engine != "vllm"
    return True


def _may_decode(pool: Pool) -> bool:
    command = command_of(pool)
    return command is None or _mode(_argument(command)) != "prefill"


def _command_place(command: Command, argument: Argument | None) -> Place:
    return command.place_of(argument) if argument is not None else Place.of(command.document, command.node)


def _option(command: Command, declared: str) -> str:
    """The option by which this runtime is told; that of vLLM has changed (0.6.1 to 1.6.1 have both)."""
    if command.engine != "vllm" or declared == "decode":
        return f"{_MODE} {declared}" if command.engine != "vllm" else "no prefill option"
    from servelint.engines.flag import Presence
    from servelint.engines.flags import flag_table  # lazy: only findings name the option
    from servelint.engines.versions import Version

    tag = command.image.rpartition(":")[2]
    release = Version.parse(tag.removeprefix("v"))
    flag = flag_table("dynamo").flag(_MODE)
    if release is None or flag is None:
        return f"{_MODE} prefill (--is-prefill-worker before Dynamo 1.0)"
    return f"{_MODE} prefill" if flag.presence(release) is Presence.PRESENT else "--is-prefill-worker"


_INERT = ("--disaggregation-transfer-backend", "--disaggregation-bootstrap-port")
# Engines that hand over what an encoder made, and not the KV cache.
_ENCODING = ("--encoder-only", "--language-only")


@rule(
    "DIS717", "disaggregation-options-without-mode", "Options of disaggregation on an engine that is not disaggregated",
    severity=Severity.WARNING, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0",
    engines=("sglang",),
)  # fmt: skip
def options_without_mode(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    SGLang with `--disaggregation-transfer-backend` or `--disaggregation-bootstrap-port`, and without
    `--disaggregation-mode`.

    ## Why it matters

    The mode is `null` by default, and without one SGLang reads neither of these options: the engine serves both phases, and
    sends or takes no KV cache. Whoever wrote them expects prefill and decode to be separate.

    ## How to fix

    Add `--disaggregation-mode prefill` on the instances that prefill and `decode` on the others; or take the options out.

    ## Certainty

    Proven for a command line that is complete. A warning: the engine serves all the same.

    ## References

    - SGLang, `python/sglang/srt/server_args.py`: `_handle_pd_disaggregation`
    - [SGLang: PD disaggregation](https://docs.sglang.io/advanced_features/pd_disaggregation.html)
    """
    command = case.container.command
    if command is None or not command.complete or any("DISAGGREGATION_MODE" in name for name in case.container.environment):
        return
    if case.pool.role is not Role.SERVE or case.deployment.format == "srt-slurm":
        return  # srtctl adds the mode of the section (src/srtctl/backends/sglang.py)
    mode = command.last(_MODE)
    if (mode is not None and mode.value != "null") or any(command.last(flag) is not None for flag in _ENCODING):
        return
    found = [argument for flag in _INERT if (argument := command.last(flag)) is not None]
    if not found:
        return
    places = [command.place_of(argument) for argument in found]
    yield Verdict(
        places[0],
        f"{found[0].name} is not read: without {_MODE} the engine serves both phases",
        related=tuple(Related(place, "nor is this") for place in places[1:]),
        proposals=(Proposal(f"add {_MODE} prefill or decode, or take the options out", False, None),),
        key=case.container.name,
    )
