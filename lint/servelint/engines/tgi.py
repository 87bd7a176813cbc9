"""The engine text-generation-inference (TGI): its images, its launcher, and the variables that the launcher reads.

Sources: text-generation-inference 1.4 to 3.3 (launcher/src/main.rs, Dockerfile*, tgi-entrypoint.sh);
huggingface/Google-Cloud-Containers containers/tgi; huggingface/tgi-gaudi.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.engines import images, launching

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from servelint.deployment import Pool
    from servelint.engines.command import Command, Program
    from servelint.engines.versions import Version
    from servelint.facts import Fact

_RELEASES = images.Releases(
    "TGI",
    r"(.*/)?huggingface/text-generation-inference",
    r"v?(\d+\.\d+\.\d+)(rc\d+)?(-.*)?",
    "pin ghcr.io/huggingface/text-generation-inference:X.Y.Z, or set engine_versions: {tgi: X.Y.Z} in servelint.yaml",
)
_LAUNCHER = "text-generation-launcher"
# Parts of a repository's last path element that say that its entrypoint is the launcher.
_OWN_ENTRYPOINT = ("text-generation-inference", "tgi-gaudi", "tgi-tpu", "tgi-neuron")


class Tgi:
    """See :class:`servelint.engines.base.Engine`."""

    name = "tgi"
    needles = (b"text-generation-", b"tgi-gaudi", b"tgi-tpu", b"tgi-neuron")

    def owns_image(self, image: str) -> bool:
        repository = images.split(image)[0].lower().rpartition("/")[2]
        return any(name in repository for name in _OWN_ENTRYPOINT)

    def version(self, image: Fact[str]) -> Fact[Version]:
        return images.version(image, _RELEASES)

    def command(self, programs: Sequence[Program], image: str) -> Command | None:
        """The first launcher among the programs: ``text-generation-launcher …``, or the bare arguments (or none at all: the
        environment may say everything) of an image whose entrypoint it is."""
        for program in programs:
            start = _launch(program)
            if start is None and program.entrypoint and self.owns_image(image) and launching.are_arguments(program):
                start = 0
            if start is not None:
                from servelint.engines.flags import flag_table  # lazy: only containers that run TGI pay for its flags

                launcher = _LAUNCHER if start else "image"
                version = images.version_of(image, _RELEASES)
                return launching.parsed(self.name, program, launcher, start, flag_table(self.name), version, image)
        return None

    def facts(self, command: Command, environment: Mapping[str, Fact[str]]) -> dict[str, Fact[Any]]:
        from servelint.engines.tgi_facts import stated

        return stated(command, environment)

    def defaults(self, pool: Pool) -> dict[str, Fact[Any]]:
        from servelint.engines.tgi_facts import defaults

        return defaults(pool)


def _launch(program: Program) -> int | None:
    """The index of the first argument of the launcher in a program's words; None if it runs none."""
    if launching.talks(program) or _LAUNCHER not in program.names:
        return None
    return program.names.index(_LAUNCHER) + 1
