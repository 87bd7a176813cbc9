"""The engine TensorRT-LLM: its images, how its server is started, its command line and its configuration files.

Sources: TensorRT-LLM 1.0 to 1.3 (tensorrt_llm/commands/serve.py, tensorrt_llm/llmapi/llm_utils.py); Dynamo
components/src/dynamo/trtllm/backend_args.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servelint.engines import images, launching, servers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from servelint.deployment import Pool
    from servelint.engines.command import Command, Program
    from servelint.engines.config_arguments import Files
    from servelint.engines.versions import Version
    from servelint.facts import Fact

_RELEASES = images.Releases(
    "TensorRT-LLM",
    r"(.*/)?nvidia/tensorrt-llm/(release|devel)",
    r"v?(\d+\.\d+\.\d+)((rc|\.post)\d+)*(-.*)?",
    "pin nvcr.io/nvidia/tensorrt-llm/release:X.Y.Z, or set engine_versions: {trtllm: X.Y.Z} in servelint.yaml",
)
_SERVERS = ("serve", "grpc")
_OTHERS = ("disaggregated", "disaggregated_mpi_worker", "mm_embedding_serve", "disagg_serve")


class Trtllm:
    """See :class:`servelint.engines.base.Engine`."""

    name = "trtllm"
    needles = (b"trtllm", b"tensorrt-llm", b"tensorrt_llm")

    def owns_image(self, image: str) -> bool:
        """No image of the project starts the server by its own entrypoint, but one may be named for doing so."""
        return images.split(image)[0].lower().rpartition("/")[2] == "trtllm-serve"

    def version(self, image: Fact[str]) -> Fact[Version]:
        return servers.version(self.name, image, _RELEASES)

    def command(self, programs: Sequence[Program], image: str) -> Command | None:
        """The first server among the programs: ``trtllm-serve [serve] MODEL …`` (behind ``mpirun`` or not), or Dynamo's."""
        return servers.first(self.name, programs, image, _RELEASES, launch=_launch, starts_itself=self._starts_itself)

    def _starts_itself(self, image: str, program: Program) -> bool:
        return self.owns_image(image) and launching.are_arguments(program)

    def configured(self, command: Command, files: Files) -> Command:
        """The settings of the file stand behind those of the command line, over which they win.

        ``trtllm-serve`` lets explicit options win from a release of 1.3 on (pull request 14812): the facts decide that.
        """
        from servelint.engines.config_arguments import with_file  # lazy: few command lines name a file

        flag = "--config" if command.last("--extra-engine-args") is None else "--extra-engine-args"
        return with_file(command, None, files, flag, last=True)

    def facts(self, command: Command, environment: Mapping[str, Fact[str]]) -> dict[str, Fact[Any]]:
        from servelint.engines.trtllm_facts import stated

        return stated(command, environment, servers.version_of(self.name, command.image, _RELEASES))

    def defaults(self, pool: Pool) -> dict[str, Fact[Any]]:
        from servelint.engines.trtllm_facts import defaults

        return defaults(pool)


def _launch(program: Program) -> tuple[str, int] | None:
    """(launcher, index of the first argument) of TensorRT-LLM's server in a program's words; None if it runs none."""
    if launching.talks(program):
        return None
    words = program.words
    starts = [index + 1 for index, name in enumerate(program.names) if name == "trtllm-serve"]
    starts += [start for module, start in program.modules if module == "tensorrt_llm.commands.serve"]
    for start in starts:
        first = words[start].text if start < len(words) else ""
        if first in _OTHERS:
            return None
        return "trtllm-serve", start + 1 if first in _SERVERS else start
    return None
