"""The engines that Dynamo's workers run too: their server among the programs of a container, and its version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.engines import dynamo, images, launching

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from servelint.engines.command import Command, Program
    from servelint.engines.images import Releases
    from servelint.engines.versions import Version
    from servelint.facts import Fact


def first(
    engine: str,
    programs: Sequence[Program],
    image: str,
    releases: Releases,
    *,
    launch: Callable[[Program], tuple[str, int] | None],
    starts_itself: Callable[[str, Program], bool],
    subcommand: str = "",
) -> Command | None:
    """The first of ``programs`` that runs the server of ``engine``.

    ``launch`` gives (launcher, index of the first argument) of a program that does. ``starts_itself``: the image's own
    entrypoint is the server, and the program's words are its arguments, behind ``subcommand`` if they begin with that.
    """
    for program in programs:
        found = launch(program) or dynamo.worker(program, engine)
        if found is None and program.entrypoint and not images.is_stand_in(image) and starts_itself(image, program):
            found = "image", int(bool(subcommand) and bool(program.words) and program.words[0].text == subcommand)
        if found is not None:
            from servelint.engines.flags import flag_table  # lazy: only containers that run the engine pay for its flags

            worker = found[0].startswith(dynamo.LAUNCHER)
            table = dynamo.table(engine) if worker else flag_table(engine)
            return launching.parsed(engine, program, *found, table, version_of(engine, image, releases), image)
    return None


def version_of(engine: str, image: str, releases: Releases) -> Version | None:
    """The version that the image's tag says: the engine's own, or a release of Dynamo's that ships it."""
    return dynamo.version_of(image, engine) or images.version_of(image, releases)


def version(engine: str, image: Fact[str], releases: Releases) -> Fact[Version]:
    """The same as a fact; unknown with the reason."""
    return dynamo.version(image, engine) or images.version(image, releases)
