"""NVIDIA NIM: containers that hold one model (or, as ``llm-nim``, any) and choose an engine and a profile by the GPUs they find.

Sources: NVIDIA NIM for LLMs, "Environment Variables", "Configure Your NIM" and "Utilities" of 1.0 to 2.1 (docs.nvidia.com/nim).
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
    "NIM",
    r"(.*/)?nim/[^/]+/[^/]+",
    r"v?(\d+(?:\.\d+){1,2})(-.*)?",
    "pin the image by its tag",
)
_SERVERS = frozenset((
    "nim-serve", "start-server.sh", "start_server.sh",
    "start-mpi-cluster.sh", "vllm_nvext.entrypoints.openai.api_server",  # on every rank of mpirun, in the chart nim-llm 1.x
))  # fmt: skip
# What the image's entrypoint runs in place of the server.
_UTILITIES = frozenset(("list-model-profiles", "download-to-cache", "create-model-store", "check-cache-env"))


class Nim:
    """See :class:`servelint.engines.base.Engine`. Its version is the NIM's, which says nothing of the engine in it."""

    name = "nim"
    needles = (b"nvcr.io/nim/", b"/nim/meta/", b"/nim/nvidia/", b"nim_model_name")

    def owns_image(self, image: str) -> bool:
        repository = images.split(image)[0].lower()
        return "/nim/" in repository and repository.rpartition("/nim/")[2].count("/") == 1

    def version(self, image: Fact[str]) -> Fact[Version]:
        return images.version(image, _RELEASES)

    def command(self, programs: Sequence[Program], image: str) -> Command | None:
        """The container's own entrypoint, or its server started by name."""
        if not self.owns_image(image):
            return None
        for program in programs:
            start = next((i + 1 for i, name in enumerate(program.names) if name in _SERVERS), None)
            if start is None and not (program.entrypoint and launching.are_arguments(program)):
                continue
            if program.names and program.names[0] in _UTILITIES:
                continue
            from servelint.engines.flags import flag_table  # lazy: few containers are a NIM

            table = flag_table("vllm")  # what nim-serve passes on, from 2.0 on
            return launching.parsed(self.name, program, "image", start or 0, table, None, image)
        return None

    def facts(self, command: Command, environment: Mapping[str, Fact[str]]) -> dict[str, Fact[Any]]:
        from servelint.engines.nim_facts import stated

        return stated(command, environment)

    def defaults(self, pool: Pool) -> dict[str, Fact[Any]]:
        from servelint.engines.nim_facts import defaults

        return defaults(pool)
