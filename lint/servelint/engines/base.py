"""What an engine is: how to know its process, its flags by version, and the facts its command line states."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from servelint.deployment import Pool
    from servelint.engines.command import Command, Program
    from servelint.engines.versions import Version
    from servelint.facts import Fact


class Engine(Protocol):
    """One inference engine.

    ``needles``: lower-case byte strings (image and module names); a file with any of them may hold this engine.
    """

    @property
    def name(self) -> str: ...
    @property
    def needles(self) -> tuple[bytes, ...]: ...

    def owns_image(self, image: str) -> bool:
        """True if ``image`` (repository and tag) is known to run this engine by its own entrypoint."""

    def version(self, image: Fact[str]) -> Fact[Version]:
        """The engine's version from an image reference; unknown with the reason where the tag does not say it."""

    def command(self, programs: Sequence[Program], image: str) -> Command | None:
        """This engine's process among the ``programs`` a container runs, its arguments parsed; None if it runs none.

        A container whose image starts the engine itself passes one ``Program`` without words before its arguments.
        """

    def facts(self, command: Command, environment: Mapping[str, Fact[str]]) -> dict[str, Fact[Any]]:
        """What the command line states, by field name of :class:`servelint.deployment.Pool`."""

    def defaults(self, pool: Pool) -> dict[str, Fact[Any]]:
        """The defaults of this engine's version for the facts of ``pool`` that nobody stated."""
