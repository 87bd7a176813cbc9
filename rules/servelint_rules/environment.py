"""CLI: variables that the engine does not read, or no longer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.engines.flags import Presence
from servelint.finding import Certainty, Proposal, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint_rules import flag_history
from servelint_rules.engine_options import is_fork, is_newest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import ContainerCase
    from servelint.engines.flags import Flag, FlagTable
    from servelint.engines.versions import Version
    from servelint.facts import Fact

_PREFIXES = {"vllm": "VLLM_", "sglang": "SGLANG_"}
# Kubernetes puts these into every pod for a Service of that name.
_LINKS = ("_SERVICE_HOST", "_SERVICE_PORT", "_PORT", "_TCP", "_UDP", "_ADDR", "_PROTO")
# Plugins of vLLM read variables of their own.
_PLUGINS = ("VLLM_ASCEND_", "VLLM_SPYRE_", "VLLM_NEURON_", "VLLM_HPU_", "VLLM_GAUDI_", "VLLM_TPU_", "VLLM_OMNI_", "VLLM_RBLN_")
_STRICT = "--fail-on-environ-validation"


@rule(
    "CLI109", "unknown-or-removed-env", "Variable that the engine does not read",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0",
    engines=("vllm", "sglang"), inputs=("image tag",),
)  # fmt: skip
def unread_variable(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    Variables `VLLM_…` and `SGLANG_…` of the container against those that the release in the image's tag reads: removed
    ones, ones that came later, and slips of the keyboard.

    ## Why it matters

    An option the engine does not know stops it; a variable it does not know is ignored in silence. A manifest with
    `VLLM_ATTENTION_BACKEND=FLASHINFER` runs another backend since the variable went (by 0.16), and nothing says so but one
    line in the log. With `--fail-on-environ-validation` vLLM refuses to start.

    ## How to fix

    Give the option that took the variable's place, where there is one (`--attention-backend`), and take the variable out.

    ## Certainty

    Proven from the releases as scanned. An error where the variable chose between implementations and an option of the
    same name took its place without being given, and under `--fail-on-environ-validation`; a warning where it is set to
    something else than the default it had; a note where it says what happens anyway. A slip of the keyboard is a heuristic
    and a warning, whatever the version. Where the version is not known only the first kind is said otherwise, as a warning,
    for the project's own image under a moving tag. Variables of Kubernetes' service links, of plugins, and those a script in
    the same file uses itself are left out. SGLang read some variables in places that were not scanned before it kept a list
    of them: there, only removed ones are said, as a note.

    ## References

    - vLLM, `vllm/envs.py`, and SGLang, `python/sglang/srt/environ.py`, releases as scanned
    - [vllm#57475](https://github.com/vllm-project/vllm/issues/57475): still set on 0.29
    """
    command, engine = case.container.command, case.container.engine
    prefix = _PREFIXES.get(engine, "")
    names = [name for name in case.container.environment if prefix and name.startswith(prefix)]
    if command is None or not names or is_fork(case):
        return
    from servelint.engines.flags import environment_table  # lazy: only containers with such variables need the table

    table = environment_table(engine)
    version = case.pool.version.get(None)
    known = flag_history.covers(table, version)
    newest = not known and is_newest(case)
    for name in names:
        if name.endswith(_LINKS) and table.flag(name) is None:
            continue
        fact = case.container.environment[name]
        flag = table.flag(name)
        found = (
            _unknown(case, table, name)
            if flag is None
            else _unread(case, flag, fact, version)
            if known and version is not None
            else _gone_in_newest(case, flag, fact)
            if newest
            else None
        )
        if found is not None:
            yield found


def _unread(case: ContainerCase, flag: Flag, fact: Fact[str], version: Version) -> Verdict | None:
    """A variable that some releases read and ``version`` surely does not."""
    if flag.presence(version) is not Presence.ABSENT:
        return None
    engine = flag_history.NAMES[case.container.engine]
    removal = flag.removal(version) if flag.removed_before(version) else None
    if removal is not None:
        label = f"{engine} reads it no longer since {removal[1]}; this is {version}"
    elif flag.introduced is not None and version < flag.introduced and case.container.engine == "vllm":
        label = f"{engine} reads it since {flag.introduced}; this is {version}"
    else:
        return None
    successor = _successor(case, flag.name, version) if removal is not None else ""
    severity, certainty = _weight(case, flag, fact, successor)
    return Verdict(
        fact.place or case.container.place,
        f"{flag.name}: {label}",
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


def _unknown(case: ContainerCase, table: FlagTable, name: str) -> Verdict | None:
    """A slip of the keyboard: no release reads it, nothing else in the file uses it, and a variable is called almost so."""
    if case.container.engine != "vllm" or name.startswith(_PLUGINS) or _is_used(case, name):
        return None
    near = _nearest(table, name)
    if not near:
        return None
    fact = case.container.environment[name]
    return Verdict(
        fact.place or case.container.place,
        f"no vLLM release scanned reads {name}; the nearest is {near}",
        proposals=(Proposal(f"{near}, if that was meant", False, None),),
        severity=Severity.WARNING,
        certainty=Certainty.HEURISTIC,
        key=name,
    )


def _is_used(case: ContainerCase, name: str) -> bool:
    """Something in the file expands it: a script, or Kubernetes."""
    text = case.container.document.physical.source.text
    return any(f"{mark}{name}" in text for mark in ("$", "${", "$("))


def _nearest(table: FlagTable, name: str) -> str:
    """The variable that ``name`` is but for a few characters in as many words: one word more is another variable."""
    from difflib import get_close_matches  # lazy: only unknown variables look for a neighbour

    words = name.count("_")
    like = [other for other in table.names() if other.count("_") == words and other.startswith(_PREFIXES[table.engine])]
    found = get_close_matches(name, sorted(like), n=1, cutoff=0.9)
    return found[0] if found else ""
