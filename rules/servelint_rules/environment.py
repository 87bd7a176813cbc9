"""CLI: variables that the engine does not read, or no longer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.engines.flag import Presence
from servelint.finding import Certainty, Proposal, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint_rules import flag_history
from servelint_rules.engine_options import Release, at_most_heuristic, is_fork, is_newest, release

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import ContainerCase
    from servelint.engines.flag import Flag
    from servelint.engines.versions import Version
    from servelint.facts import Fact

_PREFIXES = {"vllm": "VLLM_", "sglang": "SGLANG_"}
# Rightly spelled names that stand in most manifests.
_COMMON = frozenset(
    ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HOME", "HF_HUB_OFFLINE", "HF_HUB_ENABLE_HF_TRANSFER", "POD_IP", "POD_NAME",
     "NCCL_DEBUG", "NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME", "PYTORCH_CUDA_ALLOC_CONF", "VLLM_LOGGING_LEVEL")
)  # fmt: skip
_STRICT = "--fail-on-environ-validation"


@rule(
    "CLI109", "unknown-or-removed-env", "Variable that the engine does not read",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0",
    engines=("vllm", "sglang", "tgi", "trtllm"), inputs=("image tag",),
)  # fmt: skip
def unread_variable(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    Variables `VLLM_…` and `SGLANG_…` of the container against those that the release in the image's tag reads: removed
    ones, and ones that came later. And names that are a slip of the keyboard away from one that vLLM or a library below the
    engine reads (the hub's `HF_HOME` and `TRANSFORMERS_CACHE`, NCCL, CUDA, PyTorch): a letter or two of one word, or a word in
    place of its abbreviation. Removed variables without consequence are CLI121.

    ## Why it matters

    An option the engine does not know stops it; a variable it does not know is ignored in silence. A manifest with
    `VLLM_ATTENTION_BACKEND=FLASHINFER` runs another backend since the variable went (by 0.16), and nothing says so but one
    line in the log. `WILM_USE_TRITON_FLASH_ATTENTION=0` leaves the kernel on that was to be switched off. With
    `--fail-on-environ-validation` vLLM refuses to start.

    ## How to fix

    Give the option that took the variable's place, where there is one (`--attention-backend`), and take the variable out.

    ## Certainty

    Proven from the releases as scanned. An error where the variable chose between implementations and an option of the
    same name took its place without being given, and under `--fail-on-environ-validation`; a warning where it is set to
    something else than the default it had. Where another project's image is only named and tagged like the engine's own, it
    is a warning at most. Where the version is not known only the first kind is said otherwise, as a warning, for the
    project's own image under a moving tag.
    ## References

    - vLLM, `vllm/envs.py`, and SGLang, `python/sglang/srt/environ.py`, releases as scanned
    - [vllm#57475](https://github.com/vllm-project/vllm/issues/57475): still set on 0.29
    - [huggingface_hub: environment variables](https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables),
      [NCCL: environment variables](https://docs.nvidia.com/deeplearning/nccl/user-guide/docs/env.html)
    """
    if not _COMMON.issuperset(case.container.environment) or case.deployment.format == "helm-values":
        from servelint_rules import environment_slips  # lazy: many containers have none but the commonest variables

        yield from environment_slips.misspelled(case)
    yield from (verdict for verdict in _unread_variables(case) if verdict.severity is not Severity.INFO)


@rule(
    "CLI121", "idle-env", "Variable that no longer does anything",
    severity=Severity.INFO, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0",
    engines=("vllm", "sglang"), inputs=("image tag",), advice=True,
)  # fmt: skip
def idle_variable(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    As CLI109, where the engine behaves as the variable says: it is set to what became the only behaviour or was the default
    (`VLLM_USE_V1=1`), or an option beside it says the same. And removed variables of SGLang.

    ## Why it matters

    It does no harm. Whoever reads the manifest believes that it decides something.

    ## How to fix

    Take it out.

    ## Certainty

    Proven from the releases as scanned that the variable is not read; a note. SGLang read some variables in places that were
    not scanned before it kept a list of them: there it is a heuristic.

    ## References

    - vLLM, `vllm/envs.py`, and SGLang, `python/sglang/srt/environ.py`, releases as scanned
    """
    yield from (verdict for verdict in _unread_variables(case) if verdict.severity is Severity.INFO)


def _unread_variables(case: ContainerCase) -> Iterator[Verdict]:
    command, engine = case.container.command, case.container.engine
    prefix = _PREFIXES.get(engine, "")
    names = [name for name in case.container.environment if prefix and name.startswith(prefix)]
    if command is None or not names or is_fork(case):
        return
    from servelint.engines.flags import environment_table  # lazy: only containers with such variables need the table

    table = environment_table(engine)
    running = release(case)
    known = flag_history.covers(table, running.version) and not (running.likely is not None and running.likely.at_least)
    newest = not known and is_newest(case)
    for name in names:
        fact, flag = case.container.environment[name], table.flag(name)
        if flag is None:
            continue
        found = _unread(case, flag, fact, running) if known else _gone_in_newest(case, flag, fact) if newest else None
        if found is not None:
            yield found


def _unread(case: ContainerCase, flag: Flag, fact: Fact[str], running: Release) -> Verdict | None:
    """A variable that some releases read and the one that runs surely does not."""
    version = running.version
    if version is None or flag.presence(version) is not Presence.ABSENT:
        return None
    engine = flag_history.NAMES[case.container.engine]
    removal = flag.removal(version) if flag.removed_before(version) else None
    if removal is not None:
        label = f"{engine} reads it no longer since {removal[1]}; {running.so_called}"
    elif flag.introduced is not None and version < flag.introduced and case.container.engine == "vllm":
        label = f"{engine} reads it since {flag.introduced}; {running.so_called}"
    else:
        return None
    successor = _successor(case, flag.name, version) if removal is not None else ""
    severity, certainty = at_most_heuristic(running, *_weight(case, flag, fact, successor))
    return Verdict(
        fact.place or case.container.place,
        f"{flag.name}: {label}",
        help=running.caveat,
        proposals=(_instead(successor, fact, flag.name),),
        severity=severity,
        certainty=certainty,
        key=flag.name,
    )


def _weight(case: ContainerCase, flag: Flag, fact: Fact[str], successor: str) -> tuple[Severity, Certainty]:
    command = case.container.command
    if case.container.engine != "vllm":
        return Severity.INFO, Certainty.HEURISTIC
    if command is not None and command.last(_STRICT) is not None:
        return Severity.ERROR, Certainty.PROVEN
    if successor and command is not None and command.last(successor) is not None:
        return Severity.INFO, Certainty.PROVEN  # the option says it already
    if successor and flag.kind_at(None) == "text":
        certain = case.container.command is not None and case.container.command.complete
        return (Severity.ERROR, Certainty.PROVEN) if certain else (Severity.WARNING, Certainty.HEURISTIC)
    if fact.is_known and _is_default(flag, fact.value):
        return Severity.INFO, Certainty.PROVEN
    return Severity.WARNING, Certainty.PROVEN


def _is_default(flag: Flag, value: str) -> bool:
    """The value is the one that the variable had when it was not set."""
    text = value.strip().lower()
    truths = {"1": "true", "0": "false"} if flag.kind_at(None) == "bool" else {}
    return any(truths.get(text, text) == default.lower() for default in flag.defaults_at(None))


def _successor(case: ContainerCase, name: str, version: Version | None) -> str:
    """The option that has the variable's name, where the release has one."""
    command = case.container.command
    option = "--" + name.partition("_")[2].lower().replace("_", "-")
    flag = command.table.flag(option) if command is not None else None
    if flag is None:
        return ""
    there = flag.in_newest() if version is None else flag.presence(version) is Presence.PRESENT
    return flag.name if there else ""


def _instead(successor: str, fact: Fact[str], name: str) -> Proposal:
    if successor:
        value = fact.value if fact.is_known else "…"
        return Proposal(f"{successor}={value} on the command line, and {name} taken out", False, None)
    return Proposal(f"take {name} out", False, None)


def _gone_in_newest(case: ContainerCase, flag: Flag, fact: Fact[str]) -> Verdict | None:
    """A moving tag: what the newest release no longer reads, where it chose an implementation."""
    removal = flag.removal()
    successor = _successor(case, flag.name, None)
    if removal is None or flag.in_newest() or not successor or flag.kind_at(None) != "text":
        return None
    command = case.container.command
    if case.container.engine != "vllm" or command is None or command.last(successor) is not None:
        return None
    return Verdict(
        fact.place or case.container.place,
        f"{flag.name}: {flag_history.NAMES['vllm']} reads it no longer since {removal[1]}, and the image's tag moves",
        proposals=(_instead(successor, fact, flag.name),),
        severity=Severity.WARNING,
        certainty=Certainty.HEURISTIC,
        key=flag.name,
    )
