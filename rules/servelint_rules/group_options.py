"""DIS722: options on which the pods of one group must agree, and do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.engines.command import Form
from servelint.finding import Certainty, Proposal, Related, Severity, Verdict
from servelint.rulebook import Scope, rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import PoolCase
    from servelint.engines.command import Argument, Command

# What every rank takes part in, or allocates alike. Ports, ranks, names, logging and what the API server does are not among
# them, nor are shares of memory, of which the ranks take the least.
_DEGREES = {
    "vllm": ("--tensor-parallel-size", "--pipeline-parallel-size", "--data-parallel-size"),
    "sglang": ("--tp-size", "--pp-size", "--dp-size", "--ep-size"),
}
_ALIKE = {
    "vllm": (
        "--quantization", "--dtype", "--kv-cache-dtype", "--block-size", "--max-model-len", "--max-num-seqs",
        "--max-num-batched-tokens", "--enable-expert-parallel", "--enable-eplb", "--eplb-config", "--all2all-backend",
        "--moe-backend", "--attention-backend", "--decode-context-parallel-size", "--speculative-config",
        "--kv-transfer-config", "--compilation-config", "--enforce-eager", "--enable-prefix-caching",
    ),
    "sglang": (
        "--quantization", "--dtype", "--kv-cache-dtype", "--page-size", "--context-length", "--max-running-requests",
        "--max-total-tokens", "--chunked-prefill-size", "--max-prefill-tokens", "--attention-backend",
        "--prefill-attention-backend", "--decode-attention-backend", "--moe-a2a-backend", "--moe-runner-backend",
        "--deepep-mode", "--enable-dp-attention", "--enable-dp-lm-head", "--moe-dense-tp-size", "--ep-num-redundant-experts",
        "--enable-eplb", "--enable-two-batch-overlap", "--disable-radix-cache", "--disable-cuda-graph", "--cuda-graph-bs",
        "--cuda-graph-max-bs", "--disaggregation-mode", "--disaggregation-transfer-backend", "--disaggregation-ib-device",
        "--disable-shared-experts-fusion", "--speculative-algorithm", "--speculative-num-steps", "--speculative-eagle-topk",
        "--speculative-num-draft-tokens", "--enable-torch-compile", "--random-seed",
    ),
}  # fmt: skip
# Of these, none is the same as not having the option; of others without a default the engine chooses, perhaps the same.
_OFF = frozenset((
    "--disaggregation-ib-device", "--speculative-algorithm", "--speculative-config", "--kv-transfer-config", "--eplb-config",
))  # fmt: skip


@rule(
    "DIS722", "group-options-differ", "Pods of one group with different options",
    severity=Severity.WARNING, certainty=Certainty.HEURISTIC, scope=Scope.POOL, since="0.1.0",
    engines=("vllm", "sglang"),
)  # fmt: skip
def group_options_differ(case: PoolCase) -> Iterator[Verdict]:
    """
    ## What it checks

    The command lines of the leader and of the workers of one replica, where each has its own: degrees, types, sizes of
    batches and caches, back ends, CUDA graphs, speculation, and the list of network devices.

    ## Why it matters

    All ranks run every step together. Where one of them has another batch limit, another back end or no CUDA graphs, the
    group hangs in a collective operation or fails at its first step; where the lists of network devices differ, the ranks of
    one pod send over other rails than those of the other, or over a card that is not meant for it. Two templates that were
    copied from each other drift apart silently.

    ## How to fix

    Give leader and workers the same value; better, one template, or one list of arguments by a YAML anchor.

    ## Certainty

    Heuristic: some of the options may differ between hosts on purpose. Only complete command lines are compared, and an
    option that one side leaves at the default which the other states is the same.

    ## References

    - [SGLang: multi-node deployment](https://docs.sglang.io/references/multi_node_deployment/multi_node_index.html)
    - [vLLM: parallelism and scaling, multi-node](https://docs.vllm.ai/en/stable/serving/parallelism_scaling/)
    """
    containers = case.pool.containers
    leader = containers[0].command if containers else None
    if leader is None or leader.engine not in _ALIKE or not leader.complete:
        return
    for container in containers[1:]:
        worker = container.command
        if worker is None or worker.engine != leader.engine or not worker.complete or worker.launcher != leader.launcher:
            continue
        if worker.node is leader.node or worker.document.source.path != case.deployment.document.source.path:
            continue  # one template for all pods, or said of the object that holds it
        # Degrees that differ are DIS707's in a LeaderWorkerSet.
        degrees = _DEGREES[leader.engine] if case.deployment.format != "leaderworkerset" else ()
        for flag in (*degrees, *_ALIKE[leader.engine]):
            verdict = _differ(case, leader, worker, flag)
            if verdict is not None:
                yield verdict


def _differ(case: PoolCase, leader: Command, worker: Command, flag: str) -> Verdict | None:
    ours, theirs = leader.last(flag), worker.last(flag)
    values = [_value(argument) for argument in (ours, theirs)]
    if (ours is None and theirs is None) or _unknown(leader, flag) or _unknown(worker, flag) or values[0] == values[1]:
        return None
    stated, silent = (theirs or ours), ours is None or theirs is None
    if stated is None or (silent and _is_default(case, stated)):
        return None
    here, command = ("the workers", worker) if theirs is not None else ("the leader", leader)
    place = command.place_of(stated)
    if silent:
        label = f"{here} {'has' if here == 'the leader' else 'have'} {_shown(stated)}, and the other side has not"
        related: tuple[Related, ...] = ()
    else:
        assert ours is not None
        label = f"the workers have {_shown(stated)}; the leader has {_what(values[0] or '', values[1] or '')}"
        related = (Related(leader.place_of(ours), "the leader's"),)
    return Verdict(
        place,
        label,
        related=related,
        proposals=(Proposal(f"give leader and workers the same {flag}", False, None),),
        key=flag,
    )


def _unknown(command: Command, flag: str) -> bool:
    return any(argument.name == flag and (argument.value_is_unknown or argument.key) for argument in command.arguments)


def _value(argument: Argument | None) -> str | None:
    """The value in one spelling; a switch is its own flag, so that its negation differs."""
    if argument is None:
        return None
    if argument.value is None or argument.form is Form.BARE:
        return "off" if argument.written.startswith("--no-") else "on"
    text = argument.value.strip()
    if text[:1] in "{[":
        import json  # lazy: few options are JSON

        try:
            return json.dumps(json.loads(text), sort_keys=True)
        except ValueError:
            return text
    return ",".join(word.strip() for word in text.split(","))


def _is_default(case: PoolCase, argument: Argument) -> bool:
    """The side that is silent has the same value by default; or the default is not known."""
    if argument.flag is None or argument.name in _OFF:
        return argument.flag is None
    value = {"on": "True", "off": "False"}.get(_value(argument) or "", _value(argument))
    defaults = argument.flag.defaults_at(case.pool.version.get(None))
    return not defaults or any(default in ("None", "?", value) for default in defaults)


def _shown(argument: Argument) -> str:
    value = argument.value if argument.value is not None and argument.form is not Form.BARE else ""
    return f"{argument.written} {value}".strip() if len(value) <= 40 else argument.written


def _what(ours: str, theirs: str) -> str:
    """The leader's value; of long lists what is in one of them alone."""
    one, other = ours.split(","), theirs.split(",")
    if max(len(ours), len(theirs)) <= 40 or len(one) < 2:
        return ours if len(ours) <= 60 else "another value"
    more, less = [w for w in other if w not in one], [w for w in one if w not in other]
    parts = [f"no {', '.join(more)}"] if more else []
    parts += [f"{', '.join(less)} besides"] if less else []
    return f"{' and '.join(parts)} in its list" if parts else "another order"
