"""CLI: whether the engine can read the values that its options are given: choices, numbers, JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.engines.arguments import number
from servelint.engines.command import Form
from servelint.finding import Certainty, Proposal, Severity, Verdict
from servelint.rulebook import Scope, rule
from servelint.source.scalars import whole
from servelint_rules import flag_history
from servelint_rules.engine_options import is_certain, is_fork, is_written, listed, release, shortened, stated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servelint.case import ContainerCase
    from servelint.engines.command import Argument, Command
    from servelint.engines.flag import Flag
    from servelint.engines.versions import Version

# What vLLM's optional_type reads as Python's None (vllm/engine/arg_utils.py), for any option that may be left out.
_NONE = frozenset(("", "none"))
_NUMBERS = frozenset(("int", "size", "float"))
_COMPARISONS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}


def _sure(case: ContainerCase, command: Command, argument: Argument) -> tuple[Severity, Certainty]:
    """An error where the release is known and the value is what is written, else a heuristic's warning."""
    if is_certain(case, command) and is_written(argument):
        return Severity.ERROR, Certainty.PROVEN
    return Severity.WARNING, Certainty.HEURISTIC


@rule(
    "CLI110", "value-not-in-choices", "Value that the option does not take",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0",
    engines=("vllm", "sglang"), fixable=True, inputs=("image tag",),
)  # fmt: skip
def value_not_in_choices(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    Values of options that take one of a closed list (`--kv-cache-dtype`, `--dtype`, `--load-balance-method`), against the
    list of the release in the image's tag. The lists change: vLLM's `--kv-cache-dtype` had 4 values up to 0.9 and has 8 in
    0.18. Between two scanned releases the values of both count; options that take any text beside their list are left out.

    ## Why it matters

    The option parser refuses the value and the engine stops: "invalid choice".

    ## How to fix

    Take a value of the list. Where exactly one is a slip of the keyboard away, the fix writes it.

    ## Certainty

    Proven, and an error, where the release is known and was scanned. A warning where another project's image is only named
    and tagged like the engine's own; where nothing says the release, too, and only if no scanned release has the value
    and the list has always been the same, or a value of it is a slip of the keyboard away. Images of forks for other hardware
    are left out.

    ## References

    - vLLM, `vllm/engine/arg_utils.py` and `vllm/config`, SGLang, `python/sglang/srt/server_args.py`, releases as scanned
    - Python, `argparse`: choices
    """
    command = case.container.command
    if command is None or is_fork(case):
        return
    found = release(case)
    version = None if found.likely is not None and found.likely.at_least else found.version
    known = flag_history.covers(command.table, version)
    for argument, flag, value in stated(case):
        if not flag.has_choices or flag.arity_at(version) not in ("1", "?"):
            continue
        choices = flag.choices_at(version) if known else flag.choices_ever()
        if choices is None or value in choices or (command.engine == "vllm" and value.lower() in _NONE):
            continue
        near = _near(value, choices)
        if not known and not near and not _is_settled(command, flag, choices):
            continue  # a list that grew from release to release grows in the builds between them, too
        severity, certainty = _sure(case, command, argument)
        where = f"{flag_history.NAMES[command.engine]} {version}" if known else "any release scanned"
        yield Verdict(
            command.place_of(argument),
            f"“{shortened(value, 40)}” is no value of {argument.written} in {where}",
            arithmetic=("it takes " + listed(choices, 12),),
            help=found.caveat if known else (),
            proposals=(_set(command, argument, near),) if near else (),
            severity=severity,
            certainty=certainty,
            key=argument.name,
        )


def _is_settled(command: Command, flag: Flag, choices: tuple[str, ...]) -> bool:
    """The option has had the same choices since the oldest release scanned, or since it came."""
    first = flag.introduced or command.table.scanned[0]
    return set(flag.choices_at(first) or ()) == set(choices)


def _near(value: str, choices: tuple[str, ...]) -> str:
    """The one choice that was surely meant: the same but for case, ``-`` and ``_``."""
    plain = value.strip().lower().replace("-", "_")
    found = [choice for choice in choices if choice.lower().replace("-", "_") == plain]
    return found[0] if len(found) == 1 else ""


def _set(command: Command, argument: Argument, value: str) -> Proposal:
    from servelint.engines.argument_writer import ArgumentWriter  # lazy: only findings write

    return Proposal(f"{value} instead", False, lambda: ArgumentWriter(command, argument).write(value))


@rule(
    "CLI111", "value-out-of-range", "Number that the option cannot take",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0", fixable=True,
)  # fmt: skip
def value_out_of_range(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    Values of numeric options: that they are numbers of the right kind, and that they keep the bounds the engine states
    (`--gpu-memory-utilization` in (0, 1], degrees and sizes at least 1). Human-readable sizes (`32k`) are read where the
    option takes them. An empty value (`--tensor-parallel-size=`) is no number, but for options of vLLM that may be left out,
    which read it as that.

    ## Why it matters

    The engine checks its configuration before it loads anything and stops.

    ## How to fix

    Write a number within the bounds. A percentage (`90`) is a fraction (`0.9`) to every engine.

    ## Certainty

    Proven from the bounds in the engines' configuration classes; a value that a script computes or a variable gives is not
    judged. A warning where the version is not known and the value is no number at all, since releases differ in what they
    read.

    ## References

    - vLLM, `vllm/config/*.py` (`Field(ge=1)` and the like) and `human_readable_int`, releases as scanned
    - PyTorch, `torch.cuda.set_per_process_memory_fraction`, for TGI
    """
    command = case.container.command
    if command is None or is_fork(case):
        return
    version = case.pool.version.get(None)
    for argument, flag, value in stated(case):
        if not _NUMBERS.issuperset(flag.kinds_ever()) or flag.arity_at(version) != "1" or flag.choices_ever():
            continue
        kinds = flag.kinds_at(version) if version is not None else flag.kinds_ever()
        found = number(value, kinds)
        if found is None:
            if _is_word_for_number(command, flag, value, version):
                continue
            severity, certainty = _sure(case, command, argument)
            what = "whole number" if kinds[-1] != "float" else "number"
            label = f"“{shortened(value, 40)}” is " + ("larger than any setting" if value.strip().isdigit() else f"no {what}")
            yield Verdict(
                command.place_of(argument),
                label if value.strip() else f"{argument.written} is given nothing, and takes a {what}",
                severity=severity,
                certainty=certainty,
                key=argument.name,
            )
            continue
        broken = [(_COMPARISONS[name], bound) for name, bound in flag.constraints.items() if not _holds(name, found, bound)]
        if broken:
            certain = is_written(argument)
            yield Verdict(
                command.place_of(argument),
                f"{argument.written} must be " + " and ".join(f"{name} {bound:g}" for name, bound in broken),
                proposals=_as_fraction(command, argument, flag, found),
                severity=Severity.ERROR if certain else Severity.WARNING,
                certainty=Certainty.PROVEN if certain else Certainty.HEURISTIC,
                key=argument.name,
            )


def _is_word_for_number(command: Command, flag: Flag, value: str, version: Version | None) -> bool:
    """Words that some release reads in place of a number: none, and a length that vLLM is to find itself.

    Nothing at all is Python's None to vLLM's options that may be left out; those with a number as their default may not.
    """
    text = value.strip().lower()
    if not text:
        defaults = flag.defaults_at(version)
        return command.engine == "vllm" and (not flag.constraints or not defaults or "None" in defaults)
    return text in _NONE or text == "auto" or (command.engine == "vllm" and flag.default_at(None) == text)


def _holds(name: str, value: float, bound: float) -> bool:
    if name == "ge":
        return value >= bound
    if name == "gt":
        return value > bound
    return value <= bound if name == "le" else value < bound


def _as_fraction(command: Command, argument: Argument, flag: Flag, value: float) -> tuple[Proposal, ...]:
    """A percentage given for a fraction."""
    if flag.constraints.get("le") != 1 or not 1 < value <= 100:
        return ()
    return (_set(command, argument, f"{value / 100:g}"),)


@rule(
    "CLI113", "json-flag-invalid", "Option that takes JSON, and does not get it",
    severity=Severity.ERROR, certainty=Certainty.PROVEN, scope=Scope.CONTAINER, since="0.1.0",
    engines=("vllm", "sglang"), fixable=True,
)  # fmt: skip
def json_flag_invalid(case: ContainerCase) -> Iterator[Verdict]:
    """
    ## What it checks

    That the values of options which take JSON (`--speculative-config`, `--kv-transfer-config`, `--compilation-config`,
    `--hf-overrides`, `--limit-mm-per-prompt`; SGLang's `--json-model-override-args`) parse, as they reach the engine: after
    the quotes that a shell takes away, and without those that an exec list passes on.

    ## Why it matters

    The engine stops: "cannot be converted to json.loads". The usual cause is quoting: a shell takes double quotes away
    unless single quotes stand around them, and in an exec list single quotes inside the item are part of the value.

    ## How to fix

    In a script: single quotes around the JSON, double quotes in it. In a list of arguments: the JSON as one YAML scalar,
    with no quotes of its own around it. `--limit-mm-per-prompt image=2` is `{"image": 2}` since vLLM 0.10.

    ## Certainty

    Proven where every release, or the one that runs, takes JSON there. A warning where the version is not known and older
    releases took another form. Values with variables or placeholders in them are not judged.

    ## References

    - vLLM, `vllm/engine/arg_utils.py`: `json.loads` as the option's type; `nullable_kvs` up to 0.9.2
    - [vllm#8273](https://github.com/vllm-project/vllm/issues/8273)
    """
    command = case.container.command
    if command is None:
        return
    version = case.pool.version.get(None)
    for argument, flag, value in stated(case):
        if "json" not in flag.kinds_ever() or flag.arity_at(version) != "1":
            continue
        error = _json_error(value)
        kinds = flag.kinds_ever() if not flag_history.covers(command.table, version) else flag.kinds_at(version)
        if not error or "json" not in kinds or value.strip().lower() in _NONE or "<" in value:
            continue
        always = kinds == ("json",) and is_written(argument)
        yield Verdict(
            command.place_of(argument),
            f"“{shortened(value, 50)}” is no JSON: {error}",
            arithmetic=_cause(command, argument, value),
            help=(f"older releases took another form of {flag.name}; newer ones refuse it",) if not always else (),
            proposals=_as_mapping(command, argument, value) if argument.form is not Form.ENTRY else (),
            severity=Severity.ERROR if always else Severity.WARNING,
            certainty=Certainty.PROVEN if always else Certainty.HEURISTIC,
            key=argument.name,
        )


def _json_error(value: str) -> str:
    """What Python's parser says of ``value``; "" if it parses. A value that only looks like none is quick to tell."""
    import json  # lazy: only command lines with such an option parse any

    try:
        json.loads(value)
    except json.JSONDecodeError as error:
        return f"{error.msg} at character {error.pos + 1}"
    except RecursionError:
        return "nested too deeply"
    except ValueError:
        return "a number has more digits than Python reads"
    return ""


def _cause(command: Command, argument: Argument, value: str) -> tuple[str, ...]:
    """Where the quotes went, or came from."""
    word = argument.words[-1]
    if command.program.shell and value.startswith("{") and '"' not in value and word.start >= 0:
        written = word.node.text[word.start : word.end]
        if '"' in written:
            return ("the shell takes the double quotes away: single quotes must stand around the whole value",)
    if not command.program.shell and len(value) > 1 and value[0] == value[-1] == "'":
        return ("no shell takes the single quotes away here: the engine receives them",)
    return ()


def _as_mapping(command: Command, argument: Argument, value: str) -> tuple[Proposal, ...]:
    """``image=16,video=2`` as the JSON that replaced it; single quotes around JSON taken away."""
    import json

    if not command.program.shell and len(value) > 2 and value[0] == value[-1] == "'" and not _json_error(value[1:-1]):
        return (_set(command, argument, value[1:-1]),)
    pairs = [part.partition("=") for part in value.split(",")]
    if not all(key.strip().isidentifier() and whole(count.strip()) is not None for key, _, count in pairs):
        return ()
    return (_set(command, argument, json.dumps({key.strip(): int(count) for key, _, count in pairs})),)
