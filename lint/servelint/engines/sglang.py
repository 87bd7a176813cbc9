"""The engine SGLang: its images, how its server is started, and its command line.

Sources: SGLang 0.4.0 to 0.5.23 (python/sglang/launch_server.py, python/sglang/cli/serve.py, docker/Dockerfile).
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
    "SGLang",
    r"(.*/)?lmsysorg/sglang",
    # Builds for other hardware (v0.5.6-cann8.3.rc1-910b, v0.5.5-rocm700-mi30x) are of that release too.
    r"v(\d+\.\d+\.\d+(?:\.post\d+)?)(rc\d+)?(-.*)?",
    "pin lmsysorg/sglang:vX.Y.Z, or set engine_versions: {sglang: X.Y.Z} in servelint.yaml",
    usual="lmsysorg/sglang",
)
# Flags that no other program of a serving stack has, besides the model's path.
_TELLING = ("--tp", "--mem-frac", "--tensor-parallel-size", "--context-length", "--disaggregation-mode", "--host")
# Flags of SGLang alone, by which a patch that names no image is known.
_OWN = (
    "--mem-fraction-static",
    "--enable-hierarchical-cache",
    "--hicache-",
    "--chunked-prefill-size",
    "--max-running-requests",
    "--enable-dp-attention",
    "--moe-a2a-backend",
    "--cuda-graph-max-bs",
)


class Sglang:
    """See :class:`servelint.engines.base.Engine`."""

    name = "sglang"
    needles = (b"sglang", b"sgl-", b"--mem-fraction-static", b"--enable-hierarchical-cache")

    def owns_image(self, image: str) -> bool:
        """None does (the project's images start what they are told), except where its name says that it is a server."""
        return images.split(image)[0].lower().rpartition("/")[2] == "sglang-server"

    def version(self, image: Fact[str]) -> Fact[Version]:
        return servers.version(self.name, image, _RELEASES)

    def command(self, programs: Sequence[Program], image: str) -> Command | None:
        """The first server among the programs: ``python -m sglang.launch_server …``, ``sglang serve …``, or the bare arguments
        of an image that starts it. The router (``sglang_router``) is no engine."""
        return servers.first(self.name, programs, image, _RELEASES, launch=_launch, starts_itself=_starts_itself)

    def configured(self, command: Command, files: Files) -> Command:
        """The settings of the file of ``--config`` stand in front of the command line, which wins over them.

        Source: SGLang, python/sglang/srt/server_args_config_parser.py.
        """
        from servelint.engines.config_arguments import with_file  # lazy: few command lines name a file

        section = command.last("--disagg-config-key")  # Dynamo's: a file with a section for each role
        if section is not None and section.value:
            return with_file(command, None, files, "--disagg-config", section=section.value)
        return with_file(command, None, files)

    def facts(self, command: Command, environment: Mapping[str, Fact[str]]) -> dict[str, Fact[Any]]:
        from servelint.engines.sglang_facts import stated

        return stated(command, environment)

    def defaults(self, pool: Pool) -> dict[str, Fact[Any]]:
        from servelint.engines.sglang_defaults import defaults

        return defaults(pool)


def _launch(program: Program) -> tuple[str, int] | None:
    """(launcher, index of the first argument) of SGLang's server in a program's words; None if it runs none."""
    if launching.talks(program):
        return None
    words = program.words
    for index, name in enumerate(program.names):
        if name == "launch_server.py" and words[index].text.endswith("sglang/launch_server.py"):
            return "sglang/launch_server.py", index + 1
        if name == "sglang" and index + 1 < len(words) and words[index + 1].text == "serve":
            return "sglang serve", index + 2
    for module, start in program.modules:
        if module == "sglang.launch_server":
            return "python -m sglang.launch_server", start
        if module in {"sglang", "sglang.cli", "sglang.cli.main"} and start < len(words) and words[start].text == "serve":
            return f"python -m {module} serve", start + 1
    return None


def _starts_itself(image: str, program: Program) -> bool:
    """The words are SGLang's options, for an image whose name says that it is built to start the server, or for none."""
    words = program.words
    if not words or not words[0].text.startswith("--") or "router" in image.lower():
        return False
    options = [word.text for word in words]
    if not image:
        names = {text.partition("=")[0] for text in options}
        return "--model-path" in names and any(text.startswith(_OWN) for text in options)
    if "sglang" not in image.lower():
        return False
    return any(text.startswith("--model") for text in options) and any(text.startswith(_TELLING) for text in options)
