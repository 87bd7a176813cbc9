"""Engine options: which arguments a rule may judge, and how surely the scanned releases speak for what runs here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.case import once
from servelint.engines.command import Form
from servelint.engines.placeholders import placeholder
from servelint.finding import Certainty, Severity
from servelint.formats import containers
from servelint.source.nodes import ScalarNode
from servelint_rules import flag_history, guards

if TYPE_CHECKING:
    from servelint.case import ContainerCase
    from servelint.deployment import Container, Pool
    from servelint.engines.command import Argument, Command
    from servelint.engines.flag import Flag
    from servelint.engines.flags import FlagTable
    from servelint.engines.likely_releases import LikelyRelease
    from servelint.engines.versions import Version
    from servelint.facts import Place

ENGINES = ("vllm", "sglang", "tgi")  # those whose releases were scanned
# What the engine's option parser says, by its kind.
_REFUSALS = {"clap": "unexpected argument", "click": "No such option"}
# Images of vLLM's forks and plugins for other hardware have options of their own.
_FORKS = frozenset(
    (
        "ascend", "cambricon", "gaudi", "habana", "habanalabs", "hpu", "kunlun", "metax", "musa", "neuron", "neuronx", "npu",
        "omni", "spyre", "tpu", "xpu",
    )
)  # fmt: skip
_MOVING = frozenset(("", "latest", "nightly", "main"))
_OWN_IMAGES = {"vllm": "vllm/vllm-openai", "sglang": "lmsysorg/sglang", "tgi": "huggingface/text-generation-inference"}
_TEMPLATES = ("${", "$(", "<%")


def refusal(command: Command) -> str:
    return f"the engine stops with “{_REFUSALS.get(command.table.parser, 'unrecognized arguments')}”"


@once
def options(case: ContainerCase) -> tuple[Argument, ...]:
    """The options whose flag is written out: not positionals, and none whose name a variable hides."""
    command = case.container.command
    return tuple(filter(_is_option, command.arguments)) if command is not None else ()


def _is_option(argument: Argument) -> bool:
    first = argument.words[0]
    return argument.form is not Form.POSITIONAL and not (first.variable and "=" not in first.text)


@once
def known_options(case: ContainerCase) -> tuple[tuple[Argument, Flag], ...]:
    """(option, its flag) for those that some release has."""
    return tuple((a, a.flag) for a in options(case) if a.flag is not None and a.form is not Form.JAMMED)


@once
def stated(case: ContainerCase) -> tuple[tuple[Argument, Flag, str], ...]:
    """(option, its flag, its value) for known options that set a value as a whole, where it can be read as it stands."""
    found = []
    for argument, flag in known_options(case):
        value = argument.value
        if value is None or argument.key or any(word.variable for word in argument.words) or _is_filled_in(value):
            continue
        found.append((argument, flag, value))
    return tuple(found)


def _is_filled_in(value: str) -> bool:
    """A placeholder, a template's variable, or a value that is nothing but ``{n}`` (a parameter of a sweep)."""
    if any(mark in value for mark in _TEMPLATES) or placeholder(value):
        return True
    return value[:1] == "{" and value[1:-1].isidentifier() and value[-1:] == "}"


@once
def is_fork(case: ContainerCase) -> bool:
    """An image of a fork whose options are not those of the releases, as far as its name says."""
    return not case.pool.version.is_known and is_fork_image(case.container.image.get(""))


def is_fork_image(image: str) -> bool:
    return not _FORKS.isdisjoint(containers.words_of(image))


def is_own_build(container: Container) -> bool:
    """An image that is built beside the manifest, that a variable names, or that somebody else than the project publishes
    without the number of a release: nobody can say which options were added to it."""
    written = container.node.get("image")
    text = written.text if isinstance(written, ScalarNode) else ""
    return (
        container.node.get("build") is not None
        or "$" in text
        or (container.image.is_known and _is_of_others(container.image.value, container.engine))
    )


def _is_of_others(image: str, engine: str) -> bool:
    """No image of the project, nor a copy of one in another registry, nor one whose tag has a number like a release's."""
    if guards.is_local_image(image):
        return True
    name = image.partition("@")[0]
    tag = containers.tag_of(name) or ""
    own = _OWN_IMAGES.get(engine)
    return (own is None or not f"/{name.removesuffix(f':{tag}')}".endswith(f"/{own}")) and not tag.removeprefix("v")[:1].isdigit()


def is_newest(case: ContainerCase) -> bool:
    """The project's own image under a tag that moves with its releases."""
    name, _, tag = case.container.image.get("").partition(":")
    own = _OWN_IMAGES.get(case.container.engine)
    return own is not None and name.endswith(own) and tag in _MOVING


class Release:
    """What runs here. ``version``: as the image or the configuration says it, or as an image's name suggests (``likely``)."""

    __slots__ = ("likely", "version")

    def __init__(self, version: Version | None, likely: LikelyRelease | None = None) -> None:
        self.version = version
        self.likely = likely

    @property
    def so_called(self) -> str:
        """The version and how it is known, for people: "this is 0.10.2"."""
        if self.likely is None:
            return f"this is {self.version}"
        return f"{self.likely.image} should be {self.version}" + (" or newer" if self.likely.at_least else "")

    @property
    def caveat(self) -> tuple[str, ...]:
        if self.likely is None:
            return ()
        return (f"the release is taken from {self.likely.image}, an image of another project",)


@once
def release(case: ContainerCase) -> Release:
    """The release of the engine, if need be the one that the image's name and tag suggest."""
    return release_of(case.pool, case.container)


def release_of(pool: Pool, container: Container) -> Release:
    version, image = pool.version.get(None), container.image.get("")
    if version is not None or pool.version.is_known or not image:
        return Release(version)
    from servelint.engines.likely_releases import likely_release  # lazy: most images say their version, or nothing

    likely = likely_release(container.engine, image)
    return Release(likely.version, likely) if likely is not None else Release(None)


def at_most_heuristic(release: Release, severity: Severity, certainty: Certainty) -> tuple[Severity, Certainty]:
    """A release that is only likely makes no error and no proof."""
    if release.likely is None:
        return severity, certainty
    return min(severity, Severity.WARNING), Certainty.HEURISTIC


def scanned(table: FlagTable) -> str:
    return f"{table.scanned[0]} to {table.scanned[-1]}" if table.scanned else "of one release"


def is_certain(case: ContainerCase, command: Command) -> bool:
    """The release is known, was scanned, and parses its command line itself (no worker of Dynamo's, no keyword arguments)."""
    return (
        flag_history.covers(command.table, case.pool.version.get(None))
        and not flag_history.has_wrapper(command)
        and command.separator != "_"
    )


def is_written(argument: Argument) -> bool:
    """It stands in the file as the engine gets it: no variable, no default of one, and no controller put it there."""
    return all((word.whole or word.start >= 0) and not word.expanded and not word.variable for word in argument.words)


def flag_place(command: Command, argument: Argument) -> Place:
    """Where the flag stands: the key of a configuration file's entry, the flag's item of a list, else the argument."""
    if argument.form is Form.ENTRY and argument.words[0].span is not None:
        from servelint.facts import Place  # lazy: only findings ask for it

        return Place((argument.document or command.document).physical, argument.words[0].span)
    return command.flag_place_of(argument)


def shortened(text: str, most: int = 60) -> str:
    one_line = " ".join(text.split())
    return one_line if len(one_line) <= most else one_line[: most - 1] + "…"


def listed(names: tuple[str, ...], most: int = 3) -> str:
    kept = [*names[:most], f"{len(names) - most} more"] if len(names) > most else list(names)
    return kept[0] if len(kept) == 1 else f"{', '.join(kept[:-1])} or {kept[-1]}"
